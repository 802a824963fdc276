/** Holds a profile against measurements of the real kernel: each row beside what the cost model gives for the rig's packets and commands. */
import type { CostProfile } from '../model/profile.ts';
import { CPU_SECONDS, operationKey, withCpuSeconds } from './cpu-seconds.ts';
import { pointName } from './measured-row.ts';
import type { MeasuredRow } from './measured-row.ts';
import { predictRow } from './predict-row.ts';

/** A row, or an operation's user and system seconds together, with both values in `unit`. */
interface ValidatedRow {
  readonly row: MeasuredRow;
  readonly point: string;
  readonly unit: string;
  readonly measured: number;
  readonly predicted: number;
  /** predicted / measured - 1. */
  readonly errorRatio: number;
}

/** A row that is shown and not judged: wall time, which waiting is part of, and CPU time below the clock's tick. */
interface ListedRow {
  readonly row: MeasuredRow;
  readonly point: string;
  readonly unit: string;
  readonly measured: number;
  readonly predicted: number;
  readonly reason: string;
}

interface UnpredictedRow {
  readonly row: MeasuredRow;
  readonly point: string;
  readonly reason: string;
}

export interface ErrorSummary {
  /** Rows with a prediction, judged or listed, of those of the files; system calls without a packet do not count. */
  readonly rows: number;
  readonly of: number;
  /** How many errors the quantiles below are of; null without any. */
  readonly judged: number;
  readonly medianErrorRatio: number | null;
  readonly p90ErrorRatio: number | null;
  readonly maxErrorRatio: number | null;
}

export interface GroupSummary extends ErrorSummary {
  readonly engine: string;
  readonly mode: string;
}

export interface Validation {
  readonly judged: readonly ValidatedRow[];
  readonly listed: readonly ListedRow[];
  readonly unpredicted: readonly UnpredictedRow[];
  /** By engine and mode, in the order of the rows. */
  readonly groups: readonly GroupSummary[];
  readonly overall: ErrorSummary;
}

export function validateProfile(profile: CostProfile, rows: readonly MeasuredRow[]): Validation {
  const judged: ValidatedRow[] = [];
  const listed: ListedRow[] = [];
  const unpredicted: UnpredictedRow[] = [];
  const merged = withCpuSeconds(rows);
  const operations = new Set(merged.filter((row) => row.unit === CPU_SECONDS).map(operationKey));
  const wall = rows.filter((row) => row.unit === 'wall_s');
  const lonely = rows.filter((row) => /^(user|sys)_s$/.test(row.unit) && !operations.has(operationKey(row)));
  for (const row of [...merged, ...wall]) {
    const prediction = predictRow(profile, row);
    const point = pointName(row);
    if (!('value' in prediction)) unpredicted.push({ row, point, reason: prediction.reason });
    else {
      const both = { row, point, unit: row.unit, measured: row.value, predicted: prediction.value };
      if (row.unit === 'wall_s') listed.push({ ...both, reason: 'wall time, beside the CPU time that is predicted' });
      else if (row.value === 0) listed.push({ ...both, reason: 'shorter than a tick of the clock of CPU time' });
      else judged.push({ ...both, errorRatio: prediction.value / row.value - 1 });
    }
  }
  for (const row of lonely) {
    unpredicted.push({ row, point: pointName(row), reason: 'only one of user and system seconds is there' });
  }
  const all = { judged, listed, unpredicted };
  const counted = rows.filter((row) => row.mode !== 'syscall');
  return {
    ...all,
    groups: groupsOf(counted).map((key) => {
      const [engine, mode] = key.split(' ') as [string, string];
      return { engine, mode, ...summarise(all, counted, (row) => groupOf(row) === key) };
    }),
    overall: summarise(all, counted, () => true),
  };
}

function groupOf(row: MeasuredRow): string {
  return `${row.engine} ${row.mode}`;
}

function groupsOf(rows: readonly MeasuredRow[]): string[] {
  return [...new Set(rows.map(groupOf))];
}

function summarise(
  { judged, unpredicted }: Pick<Validation, 'judged' | 'unpredicted'>,
  counted: readonly MeasuredRow[],
  belongs: (row: MeasuredRow) => boolean,
): ErrorSummary {
  const of = counted.filter(belongs).length;
  // An operation that is not predicted stands for its user and its system seconds.
  const missing = unpredicted
    .filter(({ row }) => row.mode !== 'syscall' && belongs(row))
    .reduce((sum, { row }) => sum + (row.unit === CPU_SECONDS ? 2 : 1), 0);
  const errors = judged
    .filter(({ row }) => belongs(row))
    .map(({ errorRatio }) => Math.abs(errorRatio))
    .sort((a, b) => a - b);
  const none = errors.length === 0;
  return {
    rows: of - missing,
    of,
    judged: errors.length,
    medianErrorRatio: none ? null : (errors[(errors.length - 1) >> 1] + errors[errors.length >> 1]) / 2,
    p90ErrorRatio: none ? null : errors[Math.ceil(0.9 * errors.length) - 1],
    maxErrorRatio: none ? null : errors[errors.length - 1],
  };
}
