/** A row of a measurement, and its line of CSV. */

const CSV_COLUMNS = [
  'source',
  'engine',
  'mode',
  'services',
  'endpoints_per_service',
  'position',
  'rules_evaluated',
  'value',
  'unit',
  'repeats',
  'stddev',
  'statistic_rules',
  'comments',
  'variant',
  'min',
  'p10',
  'mean',
  'p90',
] as const;

/** What was measured. */
export interface Point {
  readonly engine: string;
  readonly mode: 'first' | 'established' | 'sync' | 'syscall';
  readonly services: number;
  readonly endpoints: number;
  /** Of the Service that the packets go to; for `sync` the operation. */
  readonly position: string;
  readonly rulesEvaluated: number;
  readonly statisticRules: number;
  readonly comments: boolean;
  readonly variant: string;
}

export interface Summary {
  /** The median. */
  readonly value: number;
  /** Packets, requests or runs behind it. */
  readonly repeats: number;
  readonly stddev: number;
  readonly min: number;
  readonly mean: number;
  /** Of samples enough for them. */
  readonly p10?: number;
  readonly p90?: number;
}

export interface Unit {
  readonly name: string;
  readonly digits: number;
}

export const NANOSECONDS: Unit = { name: 'ns/packet', digits: 1 };
export const INSTRUCTIONS: Unit = { name: 'instructions/packet', digits: 1 };

export function csvHeader(): string {
  return `${CSV_COLUMNS.join(',')}\n`;
}

/** Values are numbers and names without commas or quotes: nothing needs quoting. */
export function csvLine(source: string, point: Point, summary: Summary, { name, digits }: Unit): string {
  const number = (value: number | undefined): string => (value === undefined ? '' : value.toFixed(digits));
  return `${[
    source,
    point.engine,
    point.mode,
    point.services,
    point.endpoints,
    point.position,
    point.rulesEvaluated,
    number(summary.value),
    name,
    summary.repeats,
    number(summary.stddev),
    point.statisticRules,
    point.comments ? 1 : 0,
    point.variant,
    number(summary.min),
    number(summary.p10),
    number(summary.mean),
    number(summary.p90),
  ].join(',')}\n`;
}

/** Of runs that are few: the middle one (of an even number the mean of both), and no tenths. */
export function summaryOfRuns(runs: readonly number[]): Summary {
  if (runs.length === 0) throw new Error('no runs to sum up');
  const sorted = [...runs].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const value = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  const mean = runs.reduce((sum, run) => sum + run, 0) / runs.length;
  const squares = runs.reduce((sum, run) => sum + (run - mean) * (run - mean), 0);
  const stddev = runs.length > 1 ? Math.sqrt(squares / (runs.length - 1)) : 0;
  return { value, repeats: runs.length, stddev, min: sorted[0], mean };
}
