/** Quantiles of the standard normal distribution. */
import { log } from './math.ts';

/** Beyond these the tails begin, where another approximation holds. */
const TAIL = 0.02425;

/**
 * The z that a standard normal is below with probability `p`, 0 < p < 1: rational approximations by Peter J. Acklam, whose relative error
 * stays below 1.2e-9.
 */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new Error(`A quantile needs a probability between 0 and 1, got ${p}`);
  if (p < TAIL) return lowerTail(Math.sqrt(-2 * log(p)));
  if (p > 1 - TAIL) return -lowerTail(Math.sqrt(-2 * log(1 - p)));
  const q = p - 0.5;
  const r = q * q;
  const above =
    ((((-3.969683028665376e1 * r + 2.209460984245205e2) * r - 2.759285104469687e2) * r + 1.38357751867269e2) * r -
      3.066479806614716e1) *
      r +
    2.506628277459239;
  const below =
    ((((-5.447609879822406e1 * r + 1.615858368580409e2) * r - 1.556989798598866e2) * r + 6.680131188771972e1) * r -
      1.328068155288572e1) *
      r +
    1;
  return (above * q) / below;
}

function lowerTail(q: number): number {
  const above =
    ((((-7.784894002430293e-3 * q - 3.223964580411365e-1) * q - 2.400758277161838) * q - 2.549732539343734) * q +
      4.374664141464968) *
      q +
    2.938163982698783;
  const below =
    (((7.784695709041462e-3 * q + 3.224671290700398e-1) * q + 2.445134137142996) * q + 3.754408661907416) * q + 1;
  return above / below;
}
