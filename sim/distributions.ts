/** Random variables over a RandomStream. A distribution holds no state, so one may serve many streams. */
import { AliasTable } from './alias-table.ts';
import { assert } from './assert.ts';
import { exp, log, pow } from './math.ts';
import type { RandomStream } from './rng.ts';

export interface Distribution {
  next(stream: RandomStream): number;
  /** Infinity where the mean does not exist. */
  readonly mean: number;
}

/** Always `value`; draws nothing. */
export function constant(value: number): Distribution {
  assert(isFiniteNumber(value), `constant must be finite, got ${value}`);
  return { mean: value, next: () => value };
}

/** Density exp(-x / mean) / mean for x >= 0; one `nextFloat` a draw. */
export function exponential(mean: number): Distribution {
  assert(isPositive(mean), `exponential needs a positive mean, got ${mean}`);
  return { mean, next: (stream) => 0 - mean * log(1 - stream.nextFloat()) };
}

/** exp of a normal with mean ln(median) and standard deviation sigma (0 or more). */
export function lognormal(median: number, sigma: number): Distribution {
  assert(isPositive(median), `lognormal needs a positive median, got ${median}`);
  assert(isFiniteNumber(sigma) && sigma >= 0, `lognormal needs a sigma of 0 or more, got ${sigma}`);
  const mean = median * exp((sigma * sigma) / 2);
  return { mean, next: (stream) => median * exp(sigma * standardNormal(stream)) };
}

/** P(X > x) = (scale / x)^shape for x >= scale; one `nextFloat` a draw. The mean is infinite for a shape of 1 or less. */
export function pareto(scale: number, shape: number): Distribution {
  assert(isPositive(scale), `pareto needs a positive scale, got ${scale}`);
  assert(isPositive(shape), `pareto needs a positive shape, got ${shape}`);
  const mean = shape > 1 ? (scale * shape) / (shape - 1) : Infinity;
  return { mean, next: (stream) => scale * exp(-log(1 - stream.nextFloat()) / shape) };
}

/** One of `values` with probability in proportion to its weight. */
export function empirical(values: readonly number[], weights: readonly number[]): Distribution {
  assert(values.length === weights.length, `${values.length} values but ${weights.length} weights`);
  const table = new AliasTable(weights);
  const drawn = Float64Array.from(values);
  return { mean: weightedMean(values, weights), next: (stream) => drawn[table.draw(stream)] };
}

/** Integers 0 .. n-1, all equally likely; 1 <= n <= 2^32. */
export function uniformInt(n: number): Distribution {
  assert(Number.isInteger(n) && n >= 1 && n <= 4294967296, `uniformInt needs an integer in [1, 2^32], got ${n}`);
  return { mean: (n - 1) / 2, next: (stream) => stream.below(n) };
}

/** Integers k = 0 .. n-1 with probability in proportion to (k + 1)^-exponent, exponent 0 or more; constant time a draw. */
export function zipf(n: number, exponent: number): Distribution {
  assert(Number.isInteger(n) && n >= 1, `zipf needs a positive integer, got ${n}`);
  assert(isFiniteNumber(exponent) && exponent >= 0, `zipf needs an exponent of 0 or more, got ${exponent}`);
  const ranks = new Float64Array(n);
  const weights = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    ranks[k] = k;
    weights[k] = pow(k + 1, -exponent);
  }
  const table = new AliasTable(weights);
  return { mean: weightedMean(ranks, weights), next: (stream) => table.draw(stream) };
}

/**
 * Gaps between the arrivals of a Poisson process in integer nanoseconds, rounded to nearest: the mean is off by 1 part in
 * 24 g^2 for a mean gap of g ns, that is by nothing that shows at rates below 10^8 a second.
 */
export function poissonArrivals(ratePerSecond: number): Distribution {
  assert(isPositive(ratePerSecond), `poissonArrivals needs a positive rate, got ${ratePerSecond}`);
  const gap = exponential(1e9 / ratePerSecond);
  return { mean: gap.mean, next: (stream) => Math.floor(gap.next(stream) + 0.5) };
}

/**
 * Marsaglia's polar method: a point in the unit disc gives two normals, of which the second is dropped, since keeping
 * it would tie one stream's numbers to another's.
 */
export function standardNormal(stream: RandomStream): number {
  for (;;) {
    const u = 2 * stream.nextFloat() - 1;
    const v = 2 * stream.nextFloat() - 1;
    const square = u * u + v * v;
    if (square > 0 && square < 1) return u * Math.sqrt((-2 * log(square)) / square);
  }
}

function weightedMean(values: ArrayLike<number>, weights: ArrayLike<number>): number {
  let sum = 0;
  let total = 0;
  for (let i = 0; i < weights.length; i++) {
    sum += values[i] * weights[i];
    total += weights[i];
  }
  return sum / total;
}

function isFiniteNumber(value: number): boolean {
  return value - value === 0;
}

function isPositive(value: number): boolean {
  return value > 0 && value < Infinity;
}
