import { describe, expect, it } from 'vitest';
import { boundedLeastSquares, unidentified } from './least-squares.ts';

const ones = (n: number): number[] => Array.from({ length: n }, () => 1);

/** Coefficients that may not be negative, every row with the same weight. */
function nonNegative(rows: readonly (readonly number[])[], targets: readonly number[]): readonly number[] {
  const width = rows[0]?.length ?? 0;
  return boundedLeastSquares(
    rows,
    targets,
    ones(rows.length),
    Array.from({ length: width }, () => false),
  ).coefficients;
}

describe('boundedLeastSquares', () => {
  const rows = [
    [1, 10, 3e6],
    [1, 20, 1e6],
    [1, 5, 7e6],
    [1, 80, 2e6],
  ];

  it('finds the coefficients that made the targets, whatever their units', () => {
    const targets = rows.map(([a = 0, b = 0, c = 0]) => 700 * a + 4 * b + 2e-5 * c);
    const [a, b, c] = nonNegative(rows, targets);
    expect(a).toBeCloseTo(700, 5);
    expect(b).toBeCloseTo(4, 6);
    expect(c).toBeCloseTo(2e-5, 11);
  });

  it('keeps a coefficient at zero where the best one would be negative, unless it may be', () => {
    const falling = [
      [1, 1],
      [2, 1],
      [3, 1],
    ];
    const [slope, level] = nonNegative(falling, [3, 2, 1]);
    expect(slope).toBe(0);
    expect(level).toBeCloseTo(2, 9);
    const signed = boundedLeastSquares(falling, [3, 2, 1], ones(3), [true, false]).coefficients;
    expect(signed[0]).toBeCloseTo(-1, 9);
    expect(signed[1]).toBeCloseTo(4, 9);
  });

  it('gives zero for a column of zeros, and nothing for nothing', () => {
    expect(nonNegative([[0], [0]], [1, 2])).toEqual([0]);
    expect(nonNegative([], [])).toEqual([]);
  });

  it('lets rows of little weight say little', () => {
    const { coefficients } = boundedLeastSquares([[1], [1]], [10, 20], [1, 1e-6], [false]);
    expect(coefficients[0]).toBeCloseTo(10, 6);
  });

  it('has the standard error of a mean, and of a slope', () => {
    // Of 1, 2, 3, 4: the mean 2.5, variance 5/3, standard error sqrt(5/3 / 4).
    const mean = boundedLeastSquares([[1], [1], [1], [1]], [1, 2, 3, 4], ones(4), [false]);
    expect(mean.standardErrors[0]).toBeCloseTo(Math.sqrt(5 / 12), 12);
    // y = 1, 3, 2, 5, 4 over x = 1..5: slope 0.8, residual variance 3.6 / 3, standard error sqrt(1.2 / 10).
    const line = boundedLeastSquares(
      [1, 2, 3, 4, 5].map((x) => [1, x]),
      [1, 3, 2, 5, 4],
      ones(5),
      [true, true],
    );
    expect(line.coefficients[1]).toBeCloseTo(0.8, 9);
    expect(line.standardErrors[1]).toBeCloseTo(Math.sqrt(0.12), 9);
  });
});

describe('unidentified', () => {
  it('names what no row has, and what comes in one proportion only', () => {
    const rows = [
      [1, 2, 4, 0],
      [1, 3, 6, 0],
      [1, 7, 14, 0],
    ];
    expect(unidentified(rows, 4)).toEqual([1, 2, 3]);
    expect(unidentified([...rows, [1, 9, 15, 1], [1, 4, 9, 0]], 4)).toEqual([]);
  });

  it('names a slope that all rows see at one point', () => {
    expect(
      unidentified(
        [
          [1, 5],
          [1, 5],
        ],
        2,
      ),
    ).toEqual([0, 1]);
  });
});
