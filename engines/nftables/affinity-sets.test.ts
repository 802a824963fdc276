/** The affinity sets against maps of expiry times, and their memory. */
import { describe, expect, it } from 'vitest';
import { NS_PER_S } from '../../model/time.ts';
import { Rng } from '../../sim/rng.ts';
import { AffinitySets } from './affinity-sets.ts';

describe('AffinitySets', () => {
  it('holds what was updated until its time-out, for sets that are made, changed and deleted', () => {
    const stream = new Rng(1).stream('affinity');
    const sets = new AffinitySets();
    const plain = new Map<number, { timeoutNs: number; readonly expiry: Map<number, number> }>();
    let now = 0;
    let hits = 0;
    let expired = 0;
    for (let i = 0; i < 200_000; i++) {
      now += stream.below(20) * 1_000_000;
      sets.clock[0] = now;
      const handles = [...plain.keys()];
      const handle = handles[stream.below(Math.max(1, handles.length))];
      const what = stream.below(1000);
      const timeoutNs = (1 + stream.below(10)) * NS_PER_S;
      if (handle === undefined || (what < 4 && handles.length < 20)) {
        const made = sets.create(timeoutNs);
        expect(plain.has(made)).toBe(false);
        plain.set(made, { timeoutNs, expiry: new Map() });
        continue;
      }
      const set = plain.get(handle);
      if (set === undefined) throw new Error('A handle has its set');
      const address = stream.below(100) - 50;
      if (what < 7) {
        sets.delete(handle);
        plain.delete(handle);
      } else if (what < 10) {
        sets.setTimeoutNs(handle, timeoutNs);
        set.timeoutNs = timeoutNs;
      } else if (what < 500) {
        sets.update(handle, address);
        set.expiry.set(address, now + set.timeoutNs);
      } else {
        const until = set.expiry.get(address) ?? 0;
        const holds = until > now;
        if (holds) hits++;
        else if (until > 0) expired++;
        expect(sets.holds(handle, address)).toBe(holds);
      }
    }
    expect(hits).toBeGreaterThan(10_000);
    expect(expired).toBeGreaterThan(1000);
  });

  it('is gone at the nanosecond of its expiry, and counts from the last update', () => {
    const sets = new AffinitySets();
    const set = sets.create(10 * NS_PER_S);
    const holdsAt = (at: number): boolean => {
      sets.clock[0] = at;
      return sets.holds(set, 7);
    };
    sets.clock[0] = 5;
    sets.update(set, 7);
    expect(holdsAt(4 * NS_PER_S)).toBe(true);
    sets.update(set, 7);
    expect(holdsAt(14 * NS_PER_S - 1)).toBe(true);
    expect(holdsAt(14 * NS_PER_S)).toBe(false);
  });

  it('forgets expired clients: a million of them fit where ten thousand are remembered', () => {
    const sets = new AffinitySets();
    const set = sets.create(NS_PER_S);
    for (let client = 0; client < 1_000_000; client++) {
      sets.clock[0] = client * 100_000;
      sets.update(set, client);
    }
    expect(sets.capacity).toBeLessThanOrEqual(65_536);
  });
});
