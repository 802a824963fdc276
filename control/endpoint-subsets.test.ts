import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countOf, subsetTriggers, truncated } from './endpoint-subsets.ts';
import type { SliceEndpoint } from './slice-packing.ts';

function endpointOf(address: number, ready = true, changedAt = 0): SliceEndpoint {
  return { address, nodeName: 'node-1', ready, serving: ready, terminating: false, changedAt };
}

function range(from: number, count: number, ready = true): SliceEndpoint[] {
  return Array.from({ length: count }, (_, i) => endpointOf(from + i, ready));
}

function addresses(subsets: readonly (readonly SliceEndpoint[])[]): number[][] {
  return subsets.map((subset) => subset.map((endpoint) => endpoint.address));
}

describe('truncated', () => {
  it('leaves alone what fits', () => {
    const subsets = [range(1, 4), range(9, 6)];
    expect(truncated(subsets, 10)).toEqual(subsets);
  });

  it('takes addresses by their text', () => {
    // 0.0.0.9, .10, .11, .12: .10 comes first, .9 last.
    expect(addresses(truncated([range(9, 4)], 3))).toEqual([[10, 11, 12]]);
  });

  it('takes ready ones before others', () => {
    expect(addresses(truncated([[...range(10, 3, false), ...range(20, 2)]], 3))).toEqual([[20, 21, 10]]);
    expect(addresses(truncated([[...range(10, 3, false), ...range(20, 4)]], 3))).toEqual([[20, 21, 22]]);
  });

  it('gives each subset its share, rounded up, and the last what is left', () => {
    // 10 of 6 + 6 + 3: 4, 4 and 2.
    expect(truncated([range(100, 6), range(200, 6), range(300, 3)], 10).map((each) => each.length)).toEqual([4, 4, 2]);
    expect(truncated([range(100, 1), range(200, 1), range(300, 9)], 4).map((each) => each.length)).toEqual([1, 1, 2]);
  });

  it('is full, and drops no ready one for one that is not', () => {
    const subset = fc.array(fc.boolean(), { maxLength: 30 });
    fc.assert(
      fc.property(fc.array(subset, { maxLength: 4 }), fc.integer({ min: 1, max: 40 }), (ready, max) => {
        const all = ready.map((flags, s) => flags.map((flag, i) => endpointOf(100 * s + i, flag)));
        const kept = truncated(all, max);
        expect(countOf(kept)).toBe(Math.min(max, countOf(all)));
        const readyOf = (subsets: readonly (readonly SliceEndpoint[])[]) => subsets.flat().filter((each) => each.ready);
        expect(readyOf(kept)).toHaveLength(Math.min(max, readyOf(all).length));
        kept.forEach((each, i) => expect(all[i]).toEqual(expect.arrayContaining([...each])));
      }),
    );
  });
});

describe('subsetTriggers', () => {
  const leftAt = (address: number): number => 1000 + address;
  const whole = (subset: readonly SliceEndpoint[]) => ({ shown: subset, all: subset });

  it('has one for each address that came or went as a ready one', () => {
    const before = whole([endpointOf(1), endpointOf(2), endpointOf(3, false), endpointOf(4, false)]);
    const after = whole([
      endpointOf(2, false, 20),
      endpointOf(3, true, 30),
      endpointOf(4, false, 40),
      endpointOf(5, true, 50),
    ]);
    expect(subsetTriggers(before, after, leftAt)).toEqual([30, 50, 1001, 1002]);
  });

  it('has none for one that only got a place, or lost it', () => {
    const all = range(1, 4);
    const moved = { shown: [all[1], all[3]], all };
    expect(subsetTriggers({ shown: [all[0], all[1]], all }, moved, leftAt)).toEqual([]);
    const without = all.slice(1);
    expect(subsetTriggers({ shown: [all[0], all[1]], all }, { shown: without, all: without }, leftAt)).toEqual([1001]);
  });
});
