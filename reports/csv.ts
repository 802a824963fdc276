/**
 * The CSV files of a results folder: what the runner writes and what the charts read. Equal rows give equal bytes:
 * `\n` line ends, numbers in JavaScript's shortest form, booleans as true and false, null as an empty cell.
 */
import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import type { Cell, CostBasis, Observation, TimelineRow } from '../model/observation.ts';
import { COST_BASES, OBSERVATION_COLUMNS } from '../model/observation.ts';
import { ResultsError } from './results-error.ts';

/** One row of summary.csv: one metric of one engine at one point of the sweep, over its replications. */
export interface SummaryRow {
  readonly experiment: string;
  readonly engine: string;
  readonly profile: string;
  readonly services: number | null;
  readonly endpoints_per_service: number | null;
  readonly rules: number | null;
  /** Values of the axes that have no column of their own above, by axis name. */
  readonly axes: Readonly<Record<string, Cell>>;
  /** Name of a column of observations.csv; its unit is the name's ending. */
  readonly metric: string;
  readonly replications: number;
  readonly mean: number | null;
  readonly stddev: number | null;
  /** Both null when there are fewer than two replications. */
  readonly ci95_low: number | null;
  readonly ci95_high: number | null;
  /**
   * How far the kernel may be from a modelled cost by its profile, whatever the number of replications; absent from other metrics, and from
   * files that an earlier version wrote.
   */
  readonly range_low?: number;
  readonly range_high?: number;
  /** What stands behind the modelled cost. */
  readonly basis?: CostBasis;
}

/** A row of timeline.csv as read: columns beyond those of TimelineRow (a point's axes) stand in `point`. */
export interface TimelineFileRow extends TimelineRow {
  readonly point: Readonly<Record<string, Cell>>;
}

const POINT_COLUMNS = ['experiment', 'engine', 'profile', 'services', 'endpoints_per_service', 'rules'] as const;
const ESTIMATE_COLUMNS = ['metric', 'replications', 'mean', 'stddev', 'ci95_low', 'ci95_high'] as const;
const RANGE_COLUMNS = ['range_low', 'range_high', 'basis'] as const;
const TIMELINE_COLUMNS = [
  'engine',
  'replication',
  'node',
  'service',
  'time_s',
  'ready_endpoints',
  'installed_endpoints',
  'serving_endpoints',
  'connections',
  'failed_connections',
  'stale_connections',
  'broken_connections',
  'event',
] as const;

/** Columns of observations.csv whose cells are text even where they look like a number. */
const TEXT_COLUMNS: ReadonlySet<string> = new Set(['experiment', 'engine', 'profile', 'status', 'digest']);
const STANDARD_COLUMNS: ReadonlySet<string> = new Set(OBSERVATION_COLUMNS);
const SUMMARY_COLUMNS: ReadonlySet<string> = new Set([...POINT_COLUMNS, ...ESTIMATE_COLUMNS, ...RANGE_COLUMNS]);
const TIMELINE_COLUMN_SET: ReadonlySet<string> = new Set(TIMELINE_COLUMNS);

/**
 * Text of observations.csv: OBSERVATION_COLUMNS first, then every other key in the order in which it first appears.
 * A key that a row lacks is an empty cell. Throws on a number that is not finite.
 */
export function formatObservations(rows: readonly Observation[]): string {
  const columns: string[] = [...OBSERVATION_COLUMNS];
  const seen = new Set<string>(columns);
  for (const row of rows) {
    for (const key of Object.keys(row)) {
      if (!seen.has(key)) {
        seen.add(key);
        columns.push(key);
      }
    }
  }
  return format(
    columns,
    rows.map((row) => columns.map((column) => row[column] ?? null)),
  );
}

/** Text of summary.csv. `axisNames` that already have a column (services, endpoints_per_service, rules) are not repeated. */
export function formatSummary(rows: readonly SummaryRow[], axisNames: readonly string[]): string {
  const axes = axisNames.filter((name) => !SUMMARY_COLUMNS.has(name));
  return format(
    [...POINT_COLUMNS, ...axes, ...ESTIMATE_COLUMNS, ...RANGE_COLUMNS],
    rows.map((row) => [
      ...POINT_COLUMNS.map((column) => row[column]),
      ...axes.map((name) => row.axes[name] ?? null),
      ...ESTIMATE_COLUMNS.map((column) => row[column]),
      ...RANGE_COLUMNS.map((column) => row[column] ?? null),
    ]),
  );
}

/** Text of timeline.csv. `point` (one for each row, optional) adds the columns that tell a sweep's points apart. */
export function formatTimeline(
  rows: readonly TimelineRow[],
  points: readonly Readonly<Record<string, Cell>>[] = [],
): string {
  const names: string[] = [];
  for (const point of points) {
    for (const key of Object.keys(point)) {
      if (!names.includes(key) && !TIMELINE_COLUMN_SET.has(key)) names.push(key);
    }
  }
  return format(
    [...names, ...TIMELINE_COLUMNS],
    rows.map((row, i) => [
      ...names.map((name) => points[i]?.[name] ?? null),
      ...TIMELINE_COLUMNS.map((column) => row[column]),
    ]),
  );
}

/** Rows of observations.csv. `file` is only for messages. Throws ResultsError on a missing column or a cell of the wrong type. */
export function parseObservations(text: string, file: string): Observation[] {
  return readRecords(text, file, OBSERVATION_COLUMNS).map((record) => {
    const row: Record<string, Cell> = {};
    for (const [column, value] of record.cells) {
      if (TEXT_COLUMNS.has(column)) row[column] = value;
      else if (STANDARD_COLUMNS.has(column)) row[column] = numberOrNull(value, record, column);
      else row[column] = inferCell(value);
    }
    return row;
  });
}

/** Rows of summary.csv, columns that are neither standard nor estimates becoming `axes`. */
export function parseSummary(text: string, file: string): SummaryRow[] {
  return readRecords(text, file, [...POINT_COLUMNS, ...ESTIMATE_COLUMNS]).map((record) => {
    const axes: Record<string, Cell> = {};
    for (const [column, value] of record.cells) {
      if (!SUMMARY_COLUMNS.has(column)) axes[column] = inferCell(value);
    }
    const optional = (column: string): number | null => numberOrNull(record.cells.get(column) ?? '', record, column);
    return {
      experiment: record.cells.get('experiment') ?? '',
      engine: record.cells.get('engine') ?? '',
      profile: record.cells.get('profile') ?? '',
      services: optional('services'),
      endpoints_per_service: optional('endpoints_per_service'),
      rules: optional('rules'),
      axes,
      metric: record.cells.get('metric') ?? '',
      replications: numberIn(record, 'replications'),
      mean: optional('mean'),
      stddev: optional('stddev'),
      ci95_low: optional('ci95_low'),
      ci95_high: optional('ci95_high'),
      ...rangeOf(record),
    };
  });
}

/** Rows of timeline.csv in the order of the file. */
export function parseTimeline(text: string, file: string): TimelineFileRow[] {
  // Files of earlier versions have one node, and do not name it.
  const required = TIMELINE_COLUMNS.filter((column) => column !== 'node');
  return readRecords(text, file, required).map((record) => {
    const point: Record<string, Cell> = {};
    for (const [column, value] of record.cells) {
      if (!TIMELINE_COLUMN_SET.has(column)) point[column] = inferCell(value);
    }
    return {
      engine: record.cells.get('engine') ?? '',
      replication: numberIn(record, 'replication'),
      node: record.cells.get('node') ?? '',
      service: record.cells.get('service') ?? '',
      time_s: numberIn(record, 'time_s'),
      ready_endpoints: numberIn(record, 'ready_endpoints'),
      installed_endpoints: numberIn(record, 'installed_endpoints'),
      serving_endpoints: numberIn(record, 'serving_endpoints'),
      connections: numberIn(record, 'connections'),
      failed_connections: numberIn(record, 'failed_connections'),
      stale_connections: numberIn(record, 'stale_connections'),
      broken_connections: numberIn(record, 'broken_connections'),
      event: record.cells.get('event') ?? '',
      point,
    };
  });
}

/** CSV text of a table. Throws on a number that is not finite. */
export function format(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  for (const row of rows) {
    row.forEach((cell, i) => {
      if (typeof cell === 'number' && !Number.isFinite(cell)) {
        throw new Error(`column ${columns[i] ?? i}: ${cell} cannot be written: a result is a finite number or null`);
      }
    });
  }
  return stringify([columns, ...rows], {
    record_delimiter: '\n',
    // csv-stringify writes true as 1 and false as an empty cell unless it is told.
    cast: { boolean: (value) => (value ? 'true' : 'false'), number: (value) => String(value) },
  });
}

export interface FileRecord {
  readonly file: string;
  /** Line on which the record ends, 1-based. */
  readonly line: number;
  readonly cells: ReadonlyMap<string, string>;
}

interface ParsedLine {
  readonly info: { readonly lines: number };
  readonly record: readonly string[];
}

/** The lines below the header. Throws ResultsError where it lacks a required column or a line has another number of cells. */
export function readRecords(text: string, file: string, required: readonly string[]): FileRecord[] {
  let lines: readonly ParsedLine[];
  try {
    lines = parse(text, { bom: true, info: true, relax_column_count: true }) as unknown as ParsedLine[];
  } catch (error) {
    throw new ResultsError({ file }, `not CSV: ${error instanceof Error ? error.message : String(error)}`);
  }
  const header = lines[0]?.record;
  if (header === undefined) throw new ResultsError({ file }, 'is empty: a header line was expected');
  for (const column of required) {
    if (!header.includes(column)) throw new ResultsError({ file, line: 1, column }, 'the column is missing');
  }
  return lines.slice(1).map(({ info, record }) => {
    if (record.length !== header.length) {
      throw new ResultsError({ file, line: info.lines }, `has ${record.length} cells, the header has ${header.length}`);
    }
    return { file, line: info.lines, cells: new Map(header.map((column, i) => [column, record[i] ?? ''])) };
  });
}

export function numberOrNull(value: string, record: FileRecord, column: string): number | null {
  if (value === '') return null;
  const number = Number(value);
  if (value.trim() === '' || !Number.isFinite(number)) {
    throw new ResultsError({ file: record.file, line: record.line, column }, `"${value}" is not a number`);
  }
  return number;
}

function rangeOf(record: FileRecord): Pick<SummaryRow, 'range_low' | 'range_high' | 'basis'> {
  const cell = (column: string): string => record.cells.get(column) ?? '';
  if (cell('range_low') === '') return {};
  const basis = COST_BASES.find((each) => each === cell('basis'));
  if (basis === undefined) {
    const place = { file: record.file, line: record.line, column: 'basis' };
    throw new ResultsError(place, `"${cell('basis')}" is none of ${COST_BASES.join(', ')}`);
  }
  return {
    range_low: numberIn(record, 'range_low'),
    range_high: numberIn(record, 'range_high'),
    basis,
  };
}

export function numberIn(record: FileRecord, column: string): number {
  const number = numberOrNull(record.cells.get(column) ?? '', record, column);
  if (number === null) {
    throw new ResultsError({ file: record.file, line: record.line, column }, 'is empty: a number was expected');
  }
  return number;
}

/** The type of a cell that no contract names. Only text that our own writer would produce from a number counts as one. */
function inferCell(value: string): Cell {
  if (value === '') return null;
  if (value === 'true') return true;
  if (value === 'false') return false;
  const number = Number(value);
  return Number.isFinite(number) && String(number) === value ? number : value;
}
