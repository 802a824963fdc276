/**
 * `gate`: compares results with the committed baselines, exactly. Work counters, rule counts, digests and modelled costs
 * are functions of (commit, scenario, seed); any difference is a change that someone must explain.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { parseObservations } from '../reports/csv.ts';
import { writeFileAtomic } from '../reports/results.ts';
import { InputError } from '../scenarios/errors.ts';
import type { Cell, Observation } from '../model/observation.ts';
import { versions } from './host.ts';

export interface Baseline {
  readonly experiment: string;
  /** Why the numbers are what they are: given by whoever updated them. */
  readonly reason: string;
  readonly chainwalk: string;
  /** One row a trial: the columns of observations.csv that are not empty. */
  readonly trials: readonly Observation[];
}

export interface Difference {
  readonly experiment: string;
  readonly trial: string;
  readonly metric: string;
  readonly baseline: Cell | undefined;
  readonly current: Cell | undefined;
}

/** Columns that name a trial, as far as a row has them. */
const KEY_COLUMNS = ['engine', 'services', 'endpoints_per_service', 'replication', 'seed'];

const baselineSchema = z.object({
  experiment: z.string(),
  reason: z.string(),
  chainwalk: z.string(),
  trials: z.array(z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))).min(1),
});

/** Every baseline of the folder, in order of name; at least one. */
export function readBaselines(folder: string): Baseline[] {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.json')) : [];
  if (names.length === 0) {
    throw new InputError(
      `There are no baselines in "${folder}". Make them with: npm run gate -- --update --reason TEXT`,
    );
  }
  return names.sort((a, b) => (a < b ? -1 : 1)).map((name) => readBaseline(join(folder, name)));
}

function readBaseline(path: string): Baseline {
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new InputError(`Not a baseline: ${error instanceof Error ? error.message : String(error)}`, { file: path });
  }
  const parsed = baselineSchema.safeParse(data);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new InputError(`Not a baseline: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`, { file: path });
}

export function readObservations(folder: string): Observation[] {
  const path = join(folder, 'observations.csv');
  try {
    return parseObservations(readFileSync(path, 'utf8'), path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new InputError(
        `There are no results in "${folder}". Expected a file observations.csv, as \`sweep\` leaves it`,
      );
    }
    throw error;
  }
}

/** Differences over all experiments; one without a baseline, or without results, is a difference, too. */
export function compareAll(
  baselines: readonly Baseline[],
  results: ReadonlyMap<string, readonly Observation[]>,
): Difference[] {
  const differences = baselines.flatMap((baseline) =>
    compareWithBaseline(baseline, results.get(baseline.experiment) ?? []),
  );
  for (const experiment of results.keys()) {
    if (baselines.some((baseline) => baseline.experiment === experiment)) continue;
    differences.push({ experiment, trial: 'all', metric: 'baseline', baseline: 'missing', current: 'present' });
  }
  return differences;
}

/** Every difference between a baseline and the rows of a new run; trials that are missing or extra count, too. */
export function compareWithBaseline(baseline: Baseline, observations: readonly Observation[]): Difference[] {
  const differences: Difference[] = [];
  const current = new Map(observations.map((row) => [trialKey(row), row]));
  for (const expected of baseline.trials) {
    const key = trialKey(expected);
    const actual = current.get(key);
    current.delete(key);
    if (actual === undefined) {
      differences.push({
        experiment: baseline.experiment,
        trial: key,
        metric: 'trial',
        baseline: 'present',
        current: 'missing',
      });
      continue;
    }
    const found = compact(actual);
    const names = [...new Set([...Object.keys(expected), ...Object.keys(found)])];
    for (const metric of names) {
      if (expected[metric] === found[metric]) continue;
      differences.push({
        experiment: baseline.experiment,
        trial: key,
        metric,
        baseline: expected[metric],
        current: found[metric],
      });
    }
  }
  for (const key of current.keys()) {
    differences.push({
      experiment: baseline.experiment,
      trial: key,
      metric: 'trial',
      baseline: 'missing',
      current: 'present',
    });
  }
  return differences;
}

export function writeBaseline(
  folder: string,
  experiment: string,
  reason: string,
  observations: readonly Observation[],
): void {
  const head = { experiment, reason, chainwalk: versions().chainwalk };
  const lines = observations.map((row) => `    ${JSON.stringify(compact(row))}`);
  // One trial a line: a change of one number shows as one line in a review.
  const text = `${JSON.stringify(head, null, 2).slice(0, -2)},\n  "trials": [\n${lines.join(',\n')}\n  ]\n}\n`;
  writeFileAtomic(join(folder, `${experiment}.json`), text);
}

/** Where a difference of modelled cost comes from: the first work counter of the same trial that moved, if any. */
function explain(difference: Difference, all: readonly Difference[]): string {
  if (!/_(ns|ms|instructions)$/.test(difference.metric)) return '';
  const cause = all.find(
    (d) => d.experiment === difference.experiment && d.trial === difference.trial && d.metric.endsWith('_total'),
  );
  return cause === undefined
    ? 'no work counter moved: the profile or the cost model changed'
    : `${cause.metric} moved, too`;
}

export function formatDifference(difference: Difference, all: readonly Difference[]): string {
  const { baseline, current } = difference;
  const ratio =
    typeof baseline === 'number' && typeof current === 'number' && baseline !== 0
      ? ` (x ${(current / baseline).toPrecision(4)})`
      : '';
  const why = explain(difference, all);
  return `${difference.experiment} ${difference.trial}: ${difference.metric} was ${show(baseline)}, is ${show(current)}${ratio}${why === '' ? '' : `; ${why}`}`;
}

function show(value: Cell | undefined): string {
  return value === undefined || value === null ? 'empty' : String(value);
}

function trialKey(row: Observation): string {
  const named = KEY_COLUMNS.map((name) => `${name}=${show(row[name])}`);
  const axes = Object.keys(row)
    .filter((name) => name.includes('.'))
    .sort((a, b) => (a < b ? -1 : 1))
    .map((name) => `${name}=${show(row[name])}`);
  return [...named, ...axes].join(' ');
}

function compact(row: Observation): Record<string, Cell> {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null));
}
