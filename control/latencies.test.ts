import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NS_PER_MS } from '../model/time.ts';
import { LatencyHistogram, latenciesOverNodes } from './latencies.ts';

/** Type 7 of Hyndman and Fan over single values. */
function exactQuantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = (sorted.length - 1) * q;
  const low = Math.floor(rank);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (rank - low);
}

describe('LatencyHistogram', () => {
  it('has quantiles within a microsecond and 1 part in 4,096 of the exact ones', () => {
    const latency = fc.oneof(fc.nat(5e6), fc.nat(2e9), fc.integer({ min: 0, max: 2e12 }));
    fc.assert(
      fc.property(fc.array(latency, { minLength: 1, maxLength: 50 }), fc.constantFrom(0, 0.1, 0.5, 0.9, 0.99, 1), (values, q) => {
        const histogram = new LatencyHistogram();
        for (const value of values) histogram.add(value);
        const exact = exactQuantile(values, q);
        const error = Math.abs((histogram.quantileNs(q) ?? NaN) - exact);
        expect(error).toBeLessThanOrEqual(1000 + exact / 4096);
      }),
      { numRuns: 2000, seed: 5 },
    ); // prettier-ignore
  });

  it('takes in another and can be emptied', () => {
    const [a, b] = [new LatencyHistogram(), new LatencyHistogram()];
    for (const ms of [1, 2, 3]) a.add(ms * NS_PER_MS);
    b.add(4 * NS_PER_MS);
    a.absorb(b);
    a.absorb(new LatencyHistogram());
    expect([a.count, a.quantileNs(0.5), a.quantileNs(1)]).toEqual([4, 2.5 * NS_PER_MS, 4 * NS_PER_MS]);
    a.clear();
    expect([a.count, a.quantileNs(0.5)]).toEqual([0, undefined]);
    a.add(7 * NS_PER_MS);
    for (const q of [0, 1]) expect((a.quantileNs(q) ?? 0) / NS_PER_MS).toBeCloseTo(7, 2);
  });
});

describe('latenciesOverNodes', () => {
  it('pools nodes, and knows the slowest node and the last node of each change', () => {
    // Three changes on two nodes; the second node does not have the third by the end.
    const over = latenciesOverNodes([[1, 2, 9].map((ms) => ms * NS_PER_MS), [3, 1].map((ms) => ms * NS_PER_MS)], undefined, 0); // prettier-ignore
    expect([over.nodes, over.samples]).toEqual([2, 5]);
    expect(over.quantileNs(0.5)).toBe(2 * NS_PER_MS);
    expect([0, 1].map((q) => over.lastNodeQuantileNs(q))).toEqual([2 * NS_PER_MS, 3 * NS_PER_MS]);
    // Of 1, 2 and 9 ms: 2 + 0.98 x 7.
    expect((over.slowestNodeP99Ns ?? 0) / NS_PER_MS).toBeCloseTo(8.86, 2);
  });

  it('has nothing to say without changes', () => {
    const over = latenciesOverNodes([[], []], undefined, 0);
    expect([over.quantileNs(0.5), over.lastNodeQuantileNs(0.5), over.slowestNodeP99Ns]).toEqual([
      undefined, undefined, undefined,
    ]); // prettier-ignore
  });
});
