import { describe, expect, it } from 'vitest';
import { estimate, logLogSlope, quantileSorted, studentT975 } from './statistics.ts';

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
