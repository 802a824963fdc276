/** Pearson's chi-squared statistic as a score, for the tests of generators and distributions. */
import { assert } from './assert.ts';

/**
 * How many standard deviations the fit of `counts` to `expected` counts is from what chance gives, by Fisher's
 * sqrt(2 chi^2) - sqrt(2 df - 1): large for a bad fit, very negative for one too good to be random. Every expected count
 * should be 5 or more.
 */
export function chiSquaredScore(counts: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert(counts.length === expected.length && counts.length > 1, 'counts and expected counts must pair up');
  let statistic = 0;
  for (let i = 0; i < counts.length; i++) {
    const difference = counts[i] - expected[i];
    statistic += (difference * difference) / expected[i];
  }
  return Math.sqrt(2 * statistic) - Math.sqrt(2 * (counts.length - 1) - 1);
}
