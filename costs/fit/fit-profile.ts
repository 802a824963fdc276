/**
 * Fits a profile to measured rows, block by block: robust least squares on relative errors, with coefficients that may not be negative.
 * Predictions come from the cost model itself, asked with each parameter a little larger, so that there is no second formula.
 */
import type { CostProfile } from '../../model/profile.ts';
import { withCpuSeconds } from '../cpu-seconds.ts';
import { pointName } from '../measured-row.ts';
import type { MeasuredRow } from '../measured-row.ts';
import { predictRow } from '../predict-row.ts';
import { blocksOf } from './blocks.ts';
import type { Block, SearchedParameter } from './blocks.ts';
import { boundedLeastSquares, unidentified } from './least-squares.ts';
import { quantityAt, withValues } from './values.ts';

export interface FittedValue {
  readonly path: string;
  readonly block: string;
  readonly value: number;
  /** 0 where the value stands at its bound or was searched. */
  readonly standardError: number;
  /** Rows that the block was fitted to. */
  readonly rows: number;
  /** True where each parameter has one row: the rows agree with any value, so no error of theirs says how far it may be. */
  readonly isExact: boolean;
}

interface Unidentified {
  readonly path: string;
  readonly block: string;
  readonly needs: string;
}

export interface FittedProfile<P extends CostProfile> {
  /** `base` with the fitted values. */
  readonly profile: P;
  readonly values: readonly FittedValue[];
  /** Parameters of blocks that have rows, but not those that would tell them; they keep the base's value. */
  readonly unidentified: readonly Unidentified[];
  /** Blocks without any row, whose parameters keep the base's values. */
  readonly withoutRows: readonly string[];
}

/** Deterministic: the same rows give the same values. `base` supplies what no row can tell. */
export function fitProfile<P extends CostProfile>(base: P, measured: readonly MeasuredRow[]): FittedProfile<P> {
  const rows = withCpuSeconds(measured).filter((row) => row.value > 0 && 'value' in predictRow(base, row));
  let profile = base;
  const values: FittedValue[] = [];
  const missing: Unidentified[] = [];
  const withoutRows: string[] = [];
  for (const block of blocksOf(base.unit)) {
    const own = rows.filter((row) => block.rows(row));
    if (own.length === 0) {
      withoutRows.push(block.name);
      continue;
    }
    const found = fitBlock(profile, block, own);
    missing.push(...found.unidentified);
    const fitted = new Map(found.values.map(({ path, value }) => [path, value]));
    for (const [path, to] of block.equal) {
      const value = found.values.find((each) => each.path === to);
      if (value === undefined) continue;
      fitted.set(path, value.value);
      values.push({ ...value, path });
    }
    profile = withValues(profile, fitted);
    values.push(...found.values);
  }
  return { profile, values, unidentified: missing, withoutRows };
}

interface BlockFit {
  readonly values: readonly FittedValue[];
  readonly unidentified: readonly Unidentified[];
}

function fitBlock(profile: CostProfile, block: Block, rows: readonly MeasuredRow[]): BlockFit {
  const unclear = unclearParameters(profile, block, rows);
  const paths = block.parameters.filter(({ path }) => !unclear.has(path));
  const chosen = search(profile, { ...block, parameters: paths }, rows);
  const { solution } = solve(withValues(profile, chosen.values), { ...block, parameters: paths }, rows);
  const values = [
    ...[...chosen.values].map(([path, value]) => ({ path, value, standardError: 0 })),
    ...paths.map(({ path }, a) => ({
      path,
      value: solution.coefficients[a],
      standardError: solution.standardErrors[a],
    })),
  ].map((each) => ({ ...each, block: block.name, rows: rows.length, isExact: distinct(rows) <= paths.length }));
  const open = [...block.parameters.filter(({ path }) => unclear.has(path)), ...chosen.unclear];
  return { values, unidentified: open.map(({ path, needs }) => ({ path, needs, block: block.name })) };
}

/** Rows that measured different things: repeats of one are one. */
function distinct(rows: readonly MeasuredRow[]): number {
  return new Set(rows.map(pointName)).size;
}

function unclearParameters(profile: CostProfile, block: Block, rows: readonly MeasuredRow[]): Set<string> {
  const { jacobian } = linearise(profile, block, rows);
  const indices = unidentified(jacobian, block.parameters.length);
  return new Set(indices.map((a) => (block.parameters[a] as { path: string }).path));
}

/** Points that a searched parameter is tried at in each round, and rounds; each round looks nearer around the best so far. */
const TRIES = 4;
const ROUNDS = 5;
/** Below this relative change of the error over the whole range, nothing depends on the parameter. */
const FLAT = 1e-6;

/** One searched parameter after the other, the others held; the linear ones are solved for at each point. */
function search(
  profile: CostProfile,
  block: Block,
  rows: readonly MeasuredRow[],
): { values: Map<string, number>; unclear: SearchedParameter[] } {
  const values = new Map(block.searched.map(({ path, low, high }) => [path, (low + high) / 2]));
  const unclear: SearchedParameter[] = [];
  const score = (): number => solve(withValues(profile, values), block, rows).loss;
  for (let round = 0; round < ROUNDS; round++) {
    for (const parameter of block.searched) {
      const { path } = parameter;
      if (unclear.includes(parameter)) continue;
      const width = (parameter.high - parameter.low) / (1 << round);
      const centre = values.get(path) as number;
      const low = Math.max(parameter.low, centre - width / 2);
      const high = Math.min(parameter.high, centre + width / 2);
      let best = Infinity;
      let worst = 0;
      let at = centre;
      for (let k = 0; k <= TRIES; k++) {
        const value = low + ((high - low) * k) / TRIES;
        values.set(path, value);
        const loss = score();
        if (loss < best) [best, at] = [loss, value];
        worst = Math.max(worst, loss);
      }
      values.set(path, at);
      if (round === 0 && worst - best <= FLAT * worst) {
        unclear.push(parameter);
        values.set(path, quantityAt(profile, path).value);
      }
    }
  }
  for (const { path } of unclear) values.delete(path);
  return { values, unclear };
}

/** Iterations of the robust weights, which also follow what is not quite linear. */
const ITERATIONS = 6;
/** Huber's constant: errors beyond this many standard deviations count by their size, no more by its square. */
const HUBER = 1.345;
/** From the median of absolute errors to a standard deviation, for normal errors. */
const MEDIAN_TO_SIGMA = 1.4826;
/** The smallest standard deviation of relative errors that is believed. */
const LEAST_SIGMA = 1e-4;

function solve(profile: CostProfile, block: Block, rows: readonly MeasuredRow[]) {
  const signed = block.parameters.map((parameter) => parameter.signed === true);
  const trust = rows.map(rowTrust);
  let weights = trust;
  let current = profile;
  let solution = { coefficients: [] as readonly number[], standardErrors: [] as readonly number[] };
  let loss = Infinity;
  let { jacobian, targets } = linearise(current, block, rows);
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    solution = boundedLeastSquares(jacobian, targets, weights, signed);
    const errors = jacobian.map(
      (row, i) => trust[i] * (row.reduce((sum, cell, a) => sum + cell * solution.coefficients[a], 0) - targets[i]),
    );
    const sigma = Math.max(LEAST_SIGMA, MEDIAN_TO_SIGMA * median(errors.map(Math.abs)));
    weights = trust.map((w, i) => w * Math.sqrt(Math.min(1, (HUBER * sigma) / Math.max(1e-300, Math.abs(errors[i])))));
    loss = errors.reduce((sum, error) => sum + huber(error), 0);
    current = withValues(current, new Map(block.parameters.map(({ path }, a) => [path, solution.coefficients[a]])));
    // The guest's rows are medians, which bend; means are straight lines in every parameter.
    if (profile.unit === 'instructions') ({ jacobian, targets } = linearise(current, block, rows));
  }
  return { solution, loss };
}

/** Relative errors of 5% and more count by their size: one strange row does not pull a knee to itself. */
const LARGE_ERROR = 0.05;

function huber(error: number): number {
  const size = Math.abs(error);
  return size <= LARGE_ERROR ? size * size : 2 * LARGE_ERROR * size - LARGE_ERROR * LARGE_ERROR;
}

/** Seconds of CPU from which on ticks no longer matter. */
const TRUSTED_SECONDS = 0.03;

function rowTrust(row: MeasuredRow): number {
  return row.unit === 'cpu_s' ? Math.min(1, row.value / TRUSTED_SECONDS) : 1;
}

/** How far the slope of something that bends is looked for, as a share of a parameter's value. */
const NEAR = 0.02;

/** Predictions over measurements as rows . parameters = targets, exact where they are linear. */
function linearise(
  profile: CostProfile,
  block: Block,
  rows: readonly MeasuredRow[],
): { jacobian: number[][]; targets: number[] } {
  const predicted = (p: CostProfile): number[] =>
    rows.map((row) => {
      const prediction = predictRow(p, row);
      return 'value' in prediction ? prediction.value / row.value : NaN;
    });
  const at = predicted(profile);
  const columns = block.parameters.map(({ path }) => {
    const { value } = quantityAt(profile, path);
    const step = Math.max(1e-6, Math.abs(value) * (profile.unit === 'instructions' ? NEAR : 1));
    const moved = predicted(withValues(profile, new Map([[path, value + step]])));
    return { value, slopes: moved.map((x, i) => (x - at[i]) / step) };
  });
  const jacobian = rows.map((_, i) => columns.map(({ slopes }) => slopes[i]));
  const targets = rows.map(
    (_, i) => 1 - at[i] + columns.reduce((sum, { value, slopes }) => sum + value * slopes[i], 0),
  );
  return { jacobian, targets };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? 0) + (sorted[sorted.length >> 1] ?? 0)) / 2;
}
