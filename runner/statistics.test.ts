import { describe, expect, it } from 'vitest';
import { estimate, logLogSlope, medianEstimate, quantileSorted, studentT975 } from './statistics.ts';

describe('estimate', () => {
  it('agrees with a worked example: NIST e-Handbook 1.3.5.2 form, n = 5', () => {
    const { mean, stddev, low, high } = estimate([9, 10, 11, 10, 12]);
    expect(mean).toBeCloseTo(10.4, 12);
    expect(stddev).toBeCloseTo(1.140175425, 8);
    // 2.776 x 1.140175 / sqrt(5) = 1.41551
    expect(low).toBeCloseTo(10.4 - 1.41551, 4);
    expect(high).toBeCloseTo(10.4 + 1.41551, 4);
  });

  it('gives no interval for one value', () => {
    expect(estimate([3])).toEqual({ n: 1, mean: 3, stddev: 0, low: undefined, high: undefined });
  });
});

describe('studentT975', () => {
  it('follows the published table beyond 30 degrees of freedom', () => {
    expect(studentT975(40)).toBeCloseTo(2.021, 3);
    expect(studentT975(60)).toBeCloseTo(2.0003, 3);
    expect(studentT975(120)).toBeCloseTo(1.9799, 3);
    expect(studentT975(1e9)).toBeCloseTo(1.96, 4);
  });

  it('refuses no degrees of freedom', () => {
    expect(() => studentT975(0)).toThrow(/at least 1/);
  });
});

describe('quantileSorted', () => {
  it('interpolates between order statistics (type 7)', () => {
    const values = [1, 2, 3, 4];
    expect(quantileSorted(values, 4, 0)).toBe(1);
    expect(quantileSorted(values, 4, 0.5)).toBe(2.5);
    expect(quantileSorted(values, 4, 0.25)).toBe(1.75);
    expect(quantileSorted(values, 4, 1)).toBe(4);
    expect(quantileSorted([7], 1, 0.99)).toBe(7);
  });
});

describe('logLogSlope', () => {
  it('finds the exponent of a power law exactly', () => {
    const xs = [1, 10, 100, 1000];
    const fit = logLogSlope(
      xs,
      xs.map((x) => 3 * x * x),
    );
    expect(fit?.exponent).toBeCloseTo(2, 10);
    expect(fit?.low).toBeCloseTo(2, 6);
  });

  it('has an interval that holds the truth for noisy points', () => {
    const xs = [1, 2, 4, 8, 16, 32];
    const noise = [1.1, 0.9, 1.05, 0.95, 1.02, 0.98];
    const fit = logLogSlope(
      xs,
      xs.map((x, i) => x * noise[i]),
    );
    expect(fit?.low).toBeLessThan(1);
    expect(fit?.high).toBeGreaterThan(1);
  });

  it('needs three points above zero', () => {
    expect(logLogSlope([1, 2, 3], [1, 2, 0])).toBeUndefined();
  });
});

describe('medianEstimate', () => {
  const counting = (n: number): number[] => Array.from({ length: n }, (_, i) => n - i);

  it.each([
    [6, 1, 6],
    [8, 1, 8],
    [9, 2, 8],
    [10, 2, 9],
    [15, 4, 12],
    [20, 6, 15],
    [25, 8, 18],
    [50, 18, 33],
    [101, 41, 61],
  ])('of %i values its 95 %% interval runs from the %ith to the %ith, as published tables have it', (n, low, high) => {
    expect(medianEstimate(counting(n))).toEqual({ n, median: (n + 1) / 2, low, high });
  });

  it('of fewer than 6 values it is the whole range', () => {
    expect(medianEstimate([3, 1, 2])).toEqual({ n: 3, median: 2, low: 1, high: 3 });
    expect(medianEstimate([7])).toEqual({ n: 1, median: 7, low: 7, high: 7 });
  });

  it('leaves the values as they are', () => {
    const values = [3, 1, 2];
    medianEstimate(values);
    expect(values).toEqual([3, 1, 2]);
  });
});
