/** The files of `chainwalk bench`: host.csv (a row a job and contender), growth.csv and bench.json. Host time only, no other kind of number. */
import type { FileRecord } from './csv.ts';
import { format, numberIn, numberOrNull, readRecords } from './csv.ts';
import { ResultsError } from './results-error.ts';

const VERDICTS = ['pass', 'missed', 'unclear', ''] as const;

/** `pass`: the whole interval is at or below the bar; `missed`: above it; `unclear`: the bar lies in it. Empty: no bar. */
export type BarVerdict = (typeof VERDICTS)[number];

/** One contender or peer in one job. Intervals are those of the median, at 95 %. */
export interface HostRow {
  readonly suite: string;
  readonly job: string;
  readonly size: number;
  /** What size counts. */
  readonly size_of: string;
  /** The first row of a job is ours. */
  readonly contender: string;
  readonly rounds: number;
  /** Of a round. */
  readonly operations: number;
  readonly operation_median_ns: number;
  readonly operation_low_ns: number;
  readonly operation_high_ns: number;
  /** Our time over its time, round by round; null in our own row. */
  readonly median_ratio: number | null;
  readonly low_ratio: number | null;
  readonly high_ratio: number | null;
  /** The ratio that must not be exceeded. */
  readonly bar_ratio: number | null;
  /** The time of an operation that must not be exceeded; in our own rows. */
  readonly bar_ns: number | null;
  readonly verdict: BarVerdict;
  /** Of all answers, in hexadecimal; equal in all rows of a job. */
  readonly checksum: string;
}

/** How a contender's time of an operation grows with size: the exponent b of a x^b over the jobs of one name. */
export interface GrowthRow {
  readonly suite: string;
  readonly job: string;
  readonly size_of: string;
  readonly contender: string;
  readonly points: number;
  readonly exponent: number;
  readonly exponent_low: number;
  readonly exponent_high: number;
  /** The exponent that must not be exceeded; in our own lines. */
  readonly bar_exponent: number | null;
  readonly verdict: BarVerdict;
}

export interface BenchFacts {
  readonly command: string;
  readonly size: 'smoke' | 'full';
  readonly commit: string;
  /** Of chainwalk, Node, V8, compilers and interpreters. */
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memory_gb: number;
    readonly platform: string;
  };
  readonly suites: readonly { readonly name: string; readonly question: string; readonly seconds: number }[];
  /** What was left out, and how to get it. */
  readonly missing: readonly string[];
  /** Contenders that did not agree, peers that failed. */
  readonly failures: readonly string[];
}

const HOST_COLUMNS = [
  'suite',
  'job',
  'size',
  'size_of',
  'contender',
  'rounds',
  'operations',
  'operation_median_ns',
  'operation_low_ns',
  'operation_high_ns',
  'median_ratio',
  'low_ratio',
  'high_ratio',
  'bar_ratio',
  'bar_ns',
  'verdict',
  'checksum',
] as const;

const GROWTH_COLUMNS = [
  'suite',
  'job',
  'size_of',
  'contender',
  'points',
  'exponent',
  'exponent_low',
  'exponent_high',
  'bar_exponent',
  'verdict',
] as const;

export function formatHostRows(rows: readonly HostRow[]): string {
  return format(
    HOST_COLUMNS,
    rows.map((row) => HOST_COLUMNS.map((column) => row[column])),
  );
}

export function formatGrowthRows(rows: readonly GrowthRow[]): string {
  return format(
    GROWTH_COLUMNS,
    rows.map((row) => GROWTH_COLUMNS.map((column) => row[column])),
  );
}

/** Rows of host.csv. `file` is only for messages. */
export function parseHostRows(text: string, file: string): HostRow[] {
  return readRecords(text, file, HOST_COLUMNS).map((record) => {
    const word = (column: string): string => record.cells.get(column) ?? '';
    const optional = (column: string): number | null => numberOrNull(word(column), record, column);
    return {
      suite: word('suite'),
      job: word('job'),
      size: numberIn(record, 'size'),
      size_of: word('size_of'),
      contender: word('contender'),
      rounds: numberIn(record, 'rounds'),
      operations: numberIn(record, 'operations'),
      operation_median_ns: numberIn(record, 'operation_median_ns'),
      operation_low_ns: numberIn(record, 'operation_low_ns'),
      operation_high_ns: numberIn(record, 'operation_high_ns'),
      median_ratio: optional('median_ratio'),
      low_ratio: optional('low_ratio'),
      high_ratio: optional('high_ratio'),
      bar_ratio: optional('bar_ratio'),
      bar_ns: optional('bar_ns'),
      verdict: verdictIn(record),
      checksum: word('checksum'),
    };
  });
}

/** Rows of growth.csv. */
export function parseGrowthRows(text: string, file: string): GrowthRow[] {
  return readRecords(text, file, GROWTH_COLUMNS).map((record) => ({
    suite: record.cells.get('suite') ?? '',
    job: record.cells.get('job') ?? '',
    size_of: record.cells.get('size_of') ?? '',
    contender: record.cells.get('contender') ?? '',
    points: numberIn(record, 'points'),
    exponent: numberIn(record, 'exponent'),
    exponent_low: numberIn(record, 'exponent_low'),
    exponent_high: numberIn(record, 'exponent_high'),
    bar_exponent: numberOrNull(record.cells.get('bar_exponent') ?? '', record, 'bar_exponent'),
    verdict: verdictIn(record),
  }));
}

function verdictIn(record: FileRecord): BarVerdict {
  const text = record.cells.get('verdict') ?? '';
  const verdict = VERDICTS.find((each) => each === text);
  if (verdict !== undefined) return verdict;
  const place = { file: record.file, line: record.line, column: 'verdict' };
  throw new ResultsError(place, `"${text}" is none of pass, missed, unclear`);
}

/** bench.json. Our own program wrote it: only that it is JSON with these parts is looked at. */
export function parseBenchFacts(text: string, file: string): BenchFacts {
  let facts: Partial<BenchFacts>;
  try {
    facts = JSON.parse(text) as Partial<BenchFacts>;
  } catch (error) {
    throw new ResultsError({ file }, `not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  for (const part of ['command', 'size', 'commit', 'versions', 'machine', 'suites', 'missing', 'failures'] as const) {
    if (facts[part] === undefined) throw new ResultsError({ file, column: part }, 'is missing');
  }
  return facts as BenchFacts;
}
