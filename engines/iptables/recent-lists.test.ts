import { describe, expect, it } from 'vitest';
import { COUNTER_STRIDE, RECENT_LISTS_PASSED, RECENT_TESTS } from '../../model/counters.ts';
import { NS_PER_S } from '../../model/time.ts';
import { Rng } from '../../sim/rng.ts';
import { MAX_ADDRESSES, RecentLists } from './recent-lists.ts';

const rows = new Uint32Array(COUNTER_STRIDE);

/** The lists passed by one check of an unknown address. */
function placeOf(lists: RecentLists, list: number): number {
  rows.fill(0);
  lists.check(list, -1, 0, 1, rows, 0);
  expect(rows[RECENT_TESTS]).toBe(1);
  return rows[RECENT_LISTS_PASSED];
}

function set(lists: RecentLists, list: number, address: number, seconds: number): void {
  lists.set(list, address, seconds * NS_PER_S, rows, 0);
}

function check(lists: RecentLists, list: number, address: number, seconds: number, timeout: number): boolean {
  return lists.check(list, address, seconds * NS_PER_S, timeout, rows, 0);
}

describe('places of lists', () => {
  it('are in byte order among those of one commit, behind those of earlier ones', () => {
    const lists = new RecentLists();
    const [c, a] = ['KUBE-SEP-C', 'KUBE-SEP-A'].map((name) => lists.acquire(name));
    lists.commit();
    const [d, b] = ['KUBE-SEP-D', 'KUBE-SEP-B'].map((name) => lists.acquire(name));
    lists.commit();
    expect([a, c, b, d].map((list) => placeOf(lists, list))).toEqual([1, 2, 3, 4]);
    lists.release(c);
    lists.commit();
    expect([a, b, d].map((list) => placeOf(lists, list))).toEqual([1, 2, 3]);
    const again = lists.acquire('KUBE-SEP-C');
    lists.commit();
    expect(placeOf(lists, again)).toBe(4);
  });

  it('a list lives until its last rule is gone, and comes back empty', () => {
    const lists = new RecentLists();
    const list = lists.acquire('KUBE-SEP-A');
    expect(lists.acquire('KUBE-SEP-A')).toBe(list);
    lists.commit();
    set(lists, list, 7, 0);
    lists.release(list);
    lists.commit();
    expect(check(lists, list, 7, 1, 10)).toBe(true);
    // Rewritten in one commit: there all the time.
    lists.release(list);
    lists.acquire('KUBE-SEP-A');
    lists.commit();
    expect(check(lists, list, 7, 1, 10)).toBe(true);
    lists.release(list);
    lists.commit();
    const fresh = lists.acquire('KUBE-SEP-A');
    lists.commit();
    expect(check(lists, fresh, 7, 1, 10)).toBe(false);
    expect(lists.count).toBe(1);
  });
});

/** The lists as xt_recent.c keeps them, in the simplest way: a Map in order of time. */
class SimpleList {
  readonly #stamps = new Map<number, number>();

  set(address: number, now: number): void {
    if (!this.#stamps.delete(address) && this.#stamps.size === MAX_ADDRESSES) this.#stamps.delete(this.#oldest());
    this.#stamps.set(address, now);
  }

  check(address: number, now: number, timeout: number): boolean {
    const stamp = this.#stamps.get(address);
    if (stamp === undefined) return false;
    const oldest = this.#oldest();
    if (now - (this.#stamps.get(oldest) ?? 0) > timeout) this.#stamps.delete(oldest);
    return now - stamp <= timeout;
  }

  #oldest(): number {
    for (const address of this.#stamps.keys()) return address;
    return -1;
  }
}

describe('entries', () => {
  it('are those of a simple list, over long random lives', () => {
    const stream = new Rng(3).stream('test');
    const lists = new RecentLists();
    const handles = ['A', 'B', 'C'].map((name) => lists.acquire(name));
    lists.commit();
    const simple = handles.map(() => new SimpleList());
    let seconds = 0;
    let hits = 0;
    for (let i = 0; i < 60_000; i++) {
      // Whole seconds, so that a time-out is met exactly now and then.
      if (stream.below(4) === 0) seconds++;
      const k = stream.below(3);
      // The third list has few clients, the others more than they can hold.
      const address = stream.below(k === 2 ? 5 : 130) - 2;
      if (stream.below(2) === 0) {
        set(lists, handles[k], address, seconds);
        simple[k].set(address, seconds);
      } else {
        const timeout = 5 + stream.below(200);
        const expected = simple[k].check(address, seconds, timeout);
        if (expected) hits++;
        if (check(lists, handles[k], address, seconds, timeout) !== expected) expect.fail(`step ${i}`);
      }
    }
    expect(hits).toBeGreaterThan(1000);
  });
});
