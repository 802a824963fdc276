/**
 * A few numbers fitted to a few published points through any model: damped Gauss-Newton steps on relative errors, between bounds. Small,
 * without chance, and the same on every machine.
 */
import { boundedLeastSquares } from './least-squares.ts';

export interface FittedNumber {
  readonly start: number;
  readonly low: number;
  readonly high: number;
}

export interface RelativeFit {
  readonly values: readonly number[];
  /** Square root of the mean squared relative error. */
  readonly error: number;
  /** Times that the model was asked. */
  readonly asked: number;
}

/** Of a number, for the slopes. */
const STEP = 0.01;
/** A step that makes things worse is tried again at half its length so many times. */
const HALVINGS = 3;
/** Steps that move every number by less than this share of it are the last. */
const DONE = 1e-3;
const ITERATIONS = 20;

/** `ratios` gives predicted / published for each point. */
export async function relativeFit(
  numbers: readonly FittedNumber[],
  ratios: (values: readonly number[]) => Promise<readonly number[]>,
): Promise<RelativeFit> {
  let asked = 0;
  const ask = async (values: readonly number[]): Promise<readonly number[]> => {
    asked++;
    return ratios(values);
  };
  let values = numbers.map(({ start }) => start);
  let at = await ask(values);
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    const columns: number[][] = [];
    for (const [a, value] of values.entries()) {
      // Away from the bound that is nearer, so that the slope is one inside.
      const step = value * STEP * (value + value * STEP > numbers[a].high ? -1 : 1);
      const moved = await ask(values.map((each, b) => (b === a ? each + step : each)));
      columns.push(moved.map((ratio, i) => (ratio - at[i]) / step));
    }
    const rows = at.map((_, i) => columns.map((column) => column[i]));
    const { coefficients } = boundedLeastSquares(
      rows,
      at.map((ratio) => 1 - ratio),
      at.map(() => 1),
      numbers.map(() => true),
    );
    if (values.every((value, a) => Math.abs(coefficients[a]) <= DONE * Math.abs(value))) break;
    let length = 1;
    let better: { values: number[]; at: readonly number[] } | undefined;
    for (let halving = 0; halving <= HALVINGS && better === undefined; halving++, length /= 2) {
      const next = values.map((value, a) =>
        Math.min(numbers[a].high, Math.max(numbers[a].low, value + length * coefficients[a])),
      );
      const there = await ask(next);
      if (errorOf(there) < errorOf(at)) better = { values: next, at: there };
    }
    if (better === undefined) break;
    const before = values;
    ({ values, at } = better);
    if (values.every((value, a) => Math.abs(value - before[a]) <= DONE * Math.abs(before[a]))) break;
  }
  return { values, error: errorOf(at), asked };
}

function errorOf(ratios: readonly number[]): number {
  return Math.sqrt(ratios.reduce((sum, ratio) => sum + (ratio - 1) * (ratio - 1), 0) / ratios.length);
}
