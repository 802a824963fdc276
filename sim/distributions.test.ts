import { describe, expect, it } from 'vitest';
import { AliasTable } from './alias-table.ts';
import { chiSquaredScore } from './chi-squared.ts';
import {
  constant,
  empirical,
  exponential,
  lognormal,
  pareto,
  poissonArrivals,
  standardNormal,
  uniformInt,
  zipf,
} from './distributions.ts';
import type { Distribution } from './distributions.ts';
import { RandomStream, Rng } from './rng.ts';

const DRAWS = 200_000;

function sorted(distribution: Distribution, seed = 1): Float64Array {
  const stream = new Rng(seed).stream('distributions');
  return Float64Array.from({ length: DRAWS }, () => distribution.next(stream)).sort((a, b) => a - b);
}

function meanOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/** Largest distance of the empirical distribution function from `cdf`, times sqrt(n): 1.95 is exceeded once in a thousand times. */
function kolmogorovSmirnov(values: Float64Array, cdf: (x: number) => number): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) {
    const p = cdf(values[i]);
    most = Math.max(most, (i + 1) / values.length - p, p - i / values.length);
  }
  return most * Math.sqrt(values.length);
}

/** The normal distribution function, from the series of the error function; exact enough to 1e-9 within 6 deviations. */
function normalCdf(x: number): number {
  if (x < -6) return 0;
  if (x > 6) return 1;
  let term = x;
  let sum = x;
  for (let k = 1; k < 120; k++) {
    term *= (x * x) / (2 * k + 1);
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

/** Score of the mean, in its standard deviations. */
function meanScore(values: Float64Array, mean: number, deviation: number): number {
  return ((meanOf(values) - mean) / deviation) * Math.sqrt(values.length);
}

describe('continuous distributions', () => {
  it('exponential', () => {
    const distribution = exponential(250);
    const values = sorted(distribution);
    expect(distribution.mean).toBe(250);
    expect(Math.abs(meanScore(values, 250, 250))).toBeLessThan(3.5);
    expect(kolmogorovSmirnov(values, (x) => 1 - Math.exp(-x / 250))).toBeLessThan(1.95);
    expect(values[0]).toBeGreaterThanOrEqual(0);
    expect(values[DRAWS / 2] / (250 * Math.LN2)).toBeCloseTo(1, 1);
  });

  it('exponential gives 0 and no infinity at the ends of the uniform', () => {
    // All words 0: u = 0, the least a stream can give.
    expect(exponential(1).next(new RandomStream(0, 0, 0, 0))).toBe(0);
    const last = { nextFloat: () => 1 - 2 ** -53 } as RandomStream;
    expect(exponential(1).next(last)).toBeCloseTo(53 * Math.LN2, 12);
  });

  it('lognormal', () => {
    const distribution = lognormal(40, 0.8);
    const values = sorted(distribution);
    const mean = 40 * Math.exp(0.32);
    expect(distribution.mean).toBeCloseTo(mean, 10);
    expect(Math.abs(meanScore(values, mean, mean * Math.sqrt(Math.expm1(0.64))))).toBeLessThan(3.5);
    expect(values[DRAWS / 2] / 40).toBeCloseTo(1, 1);
    expect(kolmogorovSmirnov(values, (x) => normalCdf(Math.log(x / 40) / 0.8))).toBeLessThan(1.95);
  });

  it('lognormal with sigma 0 is its median', () => {
    expect(lognormal(7, 0).next(new Rng(1).stream('x'))).toBe(7);
  });

  it('standardNormal', () => {
    const values = sorted({ mean: 0, next: standardNormal }, 2);
    expect(Math.abs(meanScore(values, 0, 1))).toBeLessThan(3.5);
    expect(kolmogorovSmirnov(values, normalCdf)).toBeLessThan(1.95);
    const squares = values.map((x) => x * x);
    expect(Math.abs(meanScore(squares, 1, Math.SQRT2))).toBeLessThan(3.5);
  });

  it('pareto', () => {
    const distribution = pareto(3, 2.5);
    const values = sorted(distribution);
    expect(distribution.mean).toBeCloseTo(5, 12);
    // Variance scale^2 a / ((a - 1)^2 (a - 2)) = 20.
    expect(Math.abs(meanScore(values, 5, Math.sqrt(20)))).toBeLessThan(3.5);
    expect(values[0]).toBeGreaterThanOrEqual(3);
    expect(kolmogorovSmirnov(values, (x) => 1 - Math.pow(3 / x, 2.5))).toBeLessThan(1.95);
    expect(pareto(3, 1).mean).toBe(Infinity);
  });

  it('poissonArrivals gives integers with the right mean and counts with the variance of a Poisson process', () => {
    const distribution = poissonArrivals(20_000);
    expect(distribution.mean).toBe(50_000);
    const stream = new Rng(3).stream('arrivals');
    const buckets = new Float64Array(1000);
    let time = 0;
    for (;;) {
      const gap = distribution.next(stream);
      if (!(Number.isInteger(gap) && gap >= 0)) expect.fail(`a gap of ${gap}`);
      time += gap;
      const bucket = Math.floor(time / 5e6);
      if (bucket >= buckets.length) break;
      buckets[bucket]++;
    }
    const mean = meanOf(buckets);
    const variance = meanOf(buckets.map((count) => (count - mean) * (count - mean)));
    // 100 a bucket; the mean of 1000 buckets has a deviation of 0.32, the ratio one of sqrt(2 / 1000).
    expect(Math.abs(mean - 100)).toBeLessThan(1.1);
    expect(Math.abs(variance / mean - 1)).toBeLessThan(0.16);
  });
});

describe('discrete distributions', () => {
  /** Draws categories, each expected 5 times or more, and scores the fit to `weights`. */
  function score(distribution: Distribution, weights: ArrayLike<number>): number {
    const stream = new Rng(5).stream('discrete');
    let total = 0;
    for (let i = 0; i < weights.length; i++) total += weights[i];
    const counts = new Float64Array(weights.length);
    for (let i = 0; i < DRAWS; i++) counts[distribution.next(stream)]++;
    return chiSquaredScore(
      counts,
      Float64Array.from(weights, (weight) => (weight / total) * DRAWS),
    );
  }

  it('uniformInt', () => {
    expect(uniformInt(100).mean).toBe(49.5);
    expect(Math.abs(score(uniformInt(100), new Float64Array(100).fill(1)))).toBeLessThan(3.5);
    expect(uniformInt(1).next(new Rng(1).stream('x'))).toBe(0);
  });

  it.each([0, 0.5, 1, 1.2])('zipf with exponent %s', (exponent) => {
    const weights = Float64Array.from({ length: 500 }, (_, k) => Math.pow(k + 1, -exponent));
    expect(Math.abs(score(zipf(500, exponent), weights))).toBeLessThan(3.5);
    const mean =
      weights.reduce((sum, weight, k) => sum + k * weight, 0) / weights.reduce((sum, weight) => sum + weight);
    expect(zipf(500, exponent).mean).toBeCloseTo(mean, 9);
  });

  it('zipf of one is always 0', () => {
    expect(zipf(1, 1).next(new Rng(1).stream('x'))).toBe(0);
  });

  it('empirical', () => {
    const values = [3, 1, 4, 1.5, 9];
    const weights = [10, 0, 1, 5, 84];
    const distribution = empirical(values, weights);
    expect(distribution.mean).toBeCloseTo((30 + 4 + 7.5 + 756) / 100, 12);
    const index: Distribution = { mean: 0, next: (stream) => values.indexOf(distribution.next(stream)) };
    const stream = new Rng(5).stream('empirical');
    const counts = new Float64Array(5);
    for (let i = 0; i < DRAWS; i++) counts[index.next(stream)]++;
    expect(counts[1]).toBe(0);
    const present = [0, 2, 3, 4];
    const fit = chiSquaredScore(
      present.map((i) => counts[i]),
      present.map((i) => (weights[i] / 100) * DRAWS),
    );
    expect(Math.abs(fit)).toBeLessThan(3.5);
  });

  it('constant draws nothing', () => {
    const stream = new Rng(1).stream('x');
    expect(constant(-4.5).next(stream)).toBe(-4.5);
    expect(constant(-4.5).mean).toBe(-4.5);
    expect(stream.nextUint32()).toBe(new Rng(1).stream('x').nextUint32());
  });
});

describe('AliasTable', () => {
  /** What the columns give each index in all, read by asking for every column on a grid of uniforms. */
  function shares(weights: readonly number[]): Float64Array {
    const table = new AliasTable(weights);
    const grid = 1000;
    const counts = new Float64Array(weights.length);
    for (let column = 0; column < weights.length; column++) {
      for (let step = 0; step < grid; step++) {
        const stream = { below: () => column, nextFloat: () => (step + 0.5) / grid } as unknown as RandomStream;
        counts[table.draw(stream)]++;
      }
    }
    return counts.map((count) => count / (grid * weights.length));
  }

  it.each([
    [[1]],
    [[1, 1, 1, 1, 1, 1, 1]],
    [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
    [[0, 0, 1, 0]],
    [[1e-12, 1, 1e-12]],
    [[0.1, 0.2, 0.3, 0.4, 0, 0.7]],
    [[1e300, 1e-300, 0]],
  ])('splits the columns by weight: %j', (weights) => {
    const total = weights.reduce((sum, weight) => sum + weight);
    for (const [i, share] of shares(weights).entries()) expect(Math.abs(share - weights[i] / total)).toBeLessThan(2e-3);
  });

  it('never draws a zero weight', () => {
    const stream = new Rng(8).stream('weights');
    for (let round = 0; round < 300; round++) {
      const weights = Array.from({ length: 1 + stream.below(40) }, () =>
        stream.below(3) === 0 ? 0 : stream.nextFloat(),
      );
      weights[stream.below(weights.length)] = 0.1;
      for (const [i, share] of shares(weights.slice(0, 12).concat(0.1)).entries()) {
        if (i < 12 && weights[i] === 0) expect(share).toBe(0);
      }
    }
  });

  it('draws a known sequence', () => {
    const stream = new Rng(1).stream('alias');
    const table = new AliasTable([5, 3, 2, 1]);
    expect(Array.from({ length: 30 }, () => table.draw(stream)).join('')).toBe('112101130000220230020012211010');
  });

  it.each([[[]], [[0, 0]], [[1, -1]], [[NaN]], [[Infinity]], [[1e308, 1e308]]])('refuses %j', (weights) => {
    expect(() => new AliasTable(weights)).toThrow('weight');
  });
});

it.each([
  ['exponential(0)', () => exponential(0)],
  ['exponential(NaN)', () => exponential(NaN)],
  ['lognormal(0, 1)', () => lognormal(0, 1)],
  ['lognormal(1, -1)', () => lognormal(1, -1)],
  ['pareto(0, 1)', () => pareto(0, 1)],
  ['pareto(1, 0)', () => pareto(1, 0)],
  ['empirical of unequal lengths', () => empirical([1, 2], [1])],
  ['uniformInt(0)', () => uniformInt(0)],
  ['uniformInt(1.5)', () => uniformInt(1.5)],
  ['zipf(0, 1)', () => zipf(0, 1)],
  ['zipf(5, -1)', () => zipf(5, -1)],
  ['constant(Infinity)', () => constant(Infinity)],
  ['poissonArrivals(0)', () => poissonArrivals(0)],
])('refuses %s', (_, make) => {
  expect(make).toThrow('Assertion failed');
});

it('draws the same bits on every engine', () => {
  const stream = new Rng(1).stream('pinned');
  const drawn = [exponential(1e6), lognormal(2, 0.5), pareto(1, 1.5), zipf(1000, 1), poissonArrivals(1000)].map((d) =>
    d.next(stream),
  );
  expect(drawn).toEqual([663883.538493163, 1.0169357859274246, 1.714302676761706, 18, 1712441]);
});
