import { describe, expect, it } from 'vitest';
import { mean, nonNegativeLeastSquares } from './nnls.ts';

describe('nonNegativeLeastSquares', () => {
  it('finds the coefficients that made the targets, whatever their units', () => {
    const rows = [
      [1, 10, 3e6],
      [1, 20, 1e6],
      [1, 5, 7e6],
      [1, 80, 2e6],
    ];
    const targets = rows.map(([a = 0, b = 0, c = 0]) => 700 * a + 4 * b + 2e-5 * c);
    const [a, b, c] = nonNegativeLeastSquares(rows, targets);
    expect(a).toBeCloseTo(700, 5);
    expect(b).toBeCloseTo(4, 6);
    expect(c).toBeCloseTo(2e-5, 11);
  });

  it('keeps a coefficient at zero where the best one would be negative', () => {
    const [slope, level] = nonNegativeLeastSquares(
      [
        [1, 1],
        [2, 1],
        [3, 1],
      ],
      [3, 2, 1],
    );
    expect(slope).toBe(0);
    expect(level).toBeCloseTo(2, 9);
  });

  it('gives zero for a column of zeros, and nothing for nothing', () => {
    expect(nonNegativeLeastSquares([[0], [0]], [1, 2])).toEqual([0]);
    expect(nonNegativeLeastSquares([], [])).toEqual([]);
  });

  it('does not make up a mean of no rows', () => {
    expect(mean([])).toBeNaN();
  });
});
