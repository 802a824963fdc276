/** The oracle's lists of `-m recent` against what net/netfilter/xt_recent.c does, worked out by hand. */
import { describe, expect, it } from 'vitest';
import { COUNTER_STRIDE, RECENT_LISTS_PASSED, RECENT_TESTS } from '../../model/counters.ts';
import type { Rule } from './netfilter.ts';
import { RecentLists } from './recent.ts';

const SECOND = 1e9;
const SECONDS = 10;

function naming(list: string): Rule {
  return { matches: [{ kind: 'recent set', list }], target: { kind: 'RETURN' }, servicePortId: -1 };
}

function checking(list: string): Rule {
  return { matches: [{ kind: 'recent check', list, seconds: SECONDS }], target: { kind: 'RETURN' }, servicePortId: -1 };
}

function work(): number[] {
  return new Array<number>(COUNTER_STRIDE).fill(0);
}

/** Where a list stands in the line. */
function place(lists: RecentLists, name: string): number {
  const row = work();
  lists.check(name, SECONDS, 1, 0, row);
  expect(row[RECENT_TESTS]).toBe(1);
  return row[RECENT_LISTS_PASSED];
}

function made(...names: string[]): RecentLists {
  const lists = new RecentLists();
  lists.commit(new Map(names.map((name) => [name, [naming(name)]])));
  return lists;
}

describe('recent lists', () => {
  it('stand in byte order of their chains within a commit, later ones behind', () => {
    const lists = made('KUBE-SEP-C', 'KUBE-SEP-A');
    expect(['KUBE-SEP-A', 'KUBE-SEP-C'].map((name) => place(lists, name))).toEqual([1, 2]);
    lists.commit(new Map(['KUBE-SEP-A', 'KUBE-SEP-B', 'KUBE-SEP-C'].map((name) => [name, [naming(name)]])));
    expect(['KUBE-SEP-A', 'KUBE-SEP-B', 'KUBE-SEP-C'].map((name) => place(lists, name))).toEqual([1, 3, 2]);
  });

  it('live as long as any rule names them', () => {
    const lists = made('KUBE-SEP-A', 'KUBE-SEP-B');
    lists.set('KUBE-SEP-A', 7, 0, work());
    lists.commit(
      new Map([
        ['KUBE-SEP-B', [naming('KUBE-SEP-B')]],
        ['KUBE-SVC-X', [checking('KUBE-SEP-A')]],
      ]),
    );
    expect(lists.check('KUBE-SEP-A', SECONDS, 7, 0, work())).toBe(true);
    lists.commit(new Map([['KUBE-SEP-B', [naming('KUBE-SEP-B')]]]));
    lists.commit(new Map(['KUBE-SEP-A', 'KUBE-SEP-B'].map((name) => [name, [naming(name)]])));
    expect(lists.check('KUBE-SEP-A', SECONDS, 7, 0, work())).toBe(false);
    expect(place(lists, 'KUBE-SEP-A')).toBe(2);
  });

  it('match up to and with the last nanosecond', () => {
    const lists = made('KUBE-SEP-A');
    lists.set('KUBE-SEP-A', 7, 0, work());
    expect(lists.check('KUBE-SEP-A', SECONDS, 7, SECONDS * SECOND, work())).toBe(true);
    expect(lists.check('KUBE-SEP-A', SECONDS, 7, SECONDS * SECOND + 1, work())).toBe(false);
  });

  it('are reaped at the old end, once for each check that finds an entry', () => {
    const lists = made('KUBE-SEP-A');
    for (const [source, at] of [
      [1, 0],
      [2, 1],
      [3, 5],
    ] as const) {
      lists.set('KUBE-SEP-A', source, at * SECOND, work());
    }
    const at12 = (source: number, seconds = SECONDS): boolean =>
      lists.check('KUBE-SEP-A', seconds, source, 12 * SECOND, work());
    // A stranger finds nothing and reaps nothing; 3 matches and reaps 1; a longer time-out tells who is left.
    expect(at12(9)).toBe(false);
    expect(at12(1, 100)).toBe(true);
    expect(at12(3)).toBe(true);
    expect([1, 2, 3].map((source) => at12(source, 100))).toEqual([false, true, true]);
    // 2 is too old itself and goes.
    expect(at12(2)).toBe(false);
    expect([2, 3].map((source) => at12(source, 100))).toEqual([false, true]);
  });

  it('hold a hundred sources; one that comes again moves to the recent end', () => {
    const lists = made('KUBE-SEP-A');
    for (let source = 1; source <= 100; source++) lists.set('KUBE-SEP-A', source, source, work());
    lists.set('KUBE-SEP-A', 1, 101, work());
    lists.set('KUBE-SEP-A', 200, 102, work());
    const known = (source: number): boolean => lists.check('KUBE-SEP-A', SECONDS, source, 103, work());
    expect([1, 2, 3, 100, 200].map(known)).toEqual([true, false, true, true, true]);
  });
});
