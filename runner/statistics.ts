/** Statistics over replications: mean, Student-t confidence interval, quantiles, and the slope of a log-log line. */
import { linearRegression, mean, sampleStandardDeviation } from 'simple-statistics';
import { log } from '../sim/math.ts';

export interface Estimate {
  readonly n: number;
  readonly mean: number;
  /** Sample standard deviation; 0 for one value. */
  readonly stddev: number;
  /** 95 % confidence interval of the mean; undefined for fewer than two values. */
  readonly low: number | undefined;
  readonly high: number | undefined;
}

export function estimate(values: readonly number[]): Estimate {
  const n = values.length;
  const center = mean([...values]);
  if (n < 2) return { n, mean: center, stddev: 0, low: undefined, high: undefined };
  const stddev = sampleStandardDeviation([...values]);
  const half = (studentT975(n - 1) * stddev) / Math.sqrt(n);
  return { n, mean: center, stddev, low: center - half, high: center + half };
}

/** 0.975 quantiles of Student's t for 1 .. 30 degrees of freedom (NIST/SEMATECH e-Handbook, table 1.3.6.7.2). */
const T_975 = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
  2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/** Two-sided 95 % point of Student's t; above 30 degrees of freedom by the Cornish-Fisher expansion (error < 1e-4). */
export function studentT975(degreesOfFreedom: number): number {
  if (degreesOfFreedom < 1) throw new Error(`Degrees of freedom must be at least 1, got ${degreesOfFreedom}`);
  if (degreesOfFreedom <= 30) return T_975[degreesOfFreedom - 1];
  const z = 1.959964;
  const v = degreesOfFreedom;
  const z3 = z * z * z;
  const z5 = z3 * z * z;
  return z + (z3 + z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * z) / (96 * v * v);
}

/** Sorts in place. A typed array without a comparison sorts by number, outside JavaScript, and allocates nothing. */
export function sortAscending(values: Float64Array): Float64Array {
  // eslint-disable-next-line no-restricted-syntax
  return values.sort();
}

/** Quantile q of values[0 .. n-1], sorted ascending, by linear interpolation (type 7 of Hyndman and Fan 1996). */
export function quantileSorted(values: ArrayLike<number>, n: number, q: number): number {
  if (n === 0) throw new Error('A quantile needs at least one value');
  const position = (n - 1) * q;
  const below = Math.floor(position);
  const above = Math.min(below + 1, n - 1);
  const low = values[below];
  return low + (values[above] - low) * (position - below);
}

export interface Slope {
  readonly exponent: number;
  readonly low: number;
  readonly high: number;
  readonly points: number;
}

/** Exponent b of y = a x^b by least squares on the logarithms, with its 95 % interval. Needs 3 points with x, y > 0. */
export function logLogSlope(xs: readonly number[], ys: readonly number[]): Slope | undefined {
  const points = xs.map((x, i) => [x, ys[i]] as const).filter(([x, y]) => x > 0 && y > 0);
  const n = points.length;
  if (n < 3) return undefined;
  const logs = points.map(([x, y]) => [log(x), log(y)]);
  const meanX = mean(logs.map(([x]) => x));
  const sxx = logs.reduce((sum, [x]) => sum + (x - meanX) * (x - meanX), 0);
  if (sxx === 0) return undefined;
  const { m: exponent, b: intercept } = linearRegression(logs);
  let residual = 0;
  for (const [x, y] of logs) {
    const error = y - intercept - exponent * x;
    residual += error * error;
  }
  const half = studentT975(n - 2) * Math.sqrt(residual / (n - 2) / sxx);
  return { exponent, low: exponent - half, high: exponent + half, points: n };
}

/** A median with the interval that holds the true one with 95 % confidence or more, whatever the distribution. */
export interface MedianEstimate {
  readonly n: number;
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The interval between two order statistics, from the binomial distribution with p = 1/2 (Conover, Practical Nonparametric Statistics,
 * section 3.2). Below 6 values none has 95 %: then it is the whole range, with 1 - 2^(1-n).
 */
export function medianEstimate(values: readonly number[]): MedianEstimate {
  const n = values.length;
  const sorted = Float64Array.from(values).sort((a, b) => a - b);
  const rank = lowerRank(n);
  return { n, median: quantileSorted(sorted, n, 0.5), low: sorted[rank], high: sorted[n - 1 - rank] };
}

/** The largest r with P(fewer than r + 1 of n fair coins show heads) <= 0.025: the interval runs from value r to value n - 1 - r. */
function lowerRank(n: number): number {
  let term = 1;
  for (let i = 0; i < n; i++) term /= 2;
  let below = term;
  let rank = 0;
  for (let k = 1; k < n; k++) {
    term *= (n - k + 1) / k;
    below += term;
    if (below > 0.025) break;
    rank = k;
  }
  return rank;
}
