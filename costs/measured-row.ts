/** Rows of measurements of a real kernel, as `kernel-data/*.csv` hold them: typed, and found by what they measured. */

export interface MeasuredRow {
  /** Where the row stands: `native-data.csv:12`. Empty for rows that no file has. */
  readonly place: string;
  readonly source: string;
  readonly engine: string;
  /** `first`, `established`, `sync`, `syscall`. */
  readonly mode: string;
  readonly services: number;
  readonly endpointsPerService: number;
  readonly position: string;
  readonly rulesEvaluated: number;
  readonly value: number;
  readonly unit: string;
  readonly comments: boolean;
  /** Without a word and a colon in front of it, where the first word is no option of its own. */
  readonly variant: string;
  /** Lowest of the runs; equal to `value` where the file has none. */
  readonly min: number;
}

/** A cell that is not what it should be, in a column. */
export class MeasuredRowError extends Error {
  override readonly name = 'MeasuredRowError';
  readonly column: string;

  constructor(message: string, column: string) {
    super(message);
    this.column = column;
  }
}

/** Columns that a file must have; `min` may be left out. */
export const MEASURED_COLUMNS = [
  'source',
  'engine',
  'mode',
  'services',
  'endpoints_per_service',
  'position',
  'rules_evaluated',
  'value',
  'unit',
  'comments',
  'variant',
] as const;

/** From a CSV record (column name to text). Throws a MeasuredRowError where a cell is not what it should be. */
export function measuredRow(record: Readonly<Record<string, string>>, place: string): MeasuredRow {
  const text = (column: string): string => {
    const cell = record[column];
    if (cell === undefined) throw new MeasuredRowError(`There is no column "${column}"`, column);
    return cell;
  };
  const number = (column: string, low: number): number => {
    const value = Number(text(column));
    if (text(column).trim() === '' || !Number.isFinite(value) || value < low) {
      throw new MeasuredRowError(`"${text(column)}" in column "${column}" must be a number of at least ${low}`, column);
    }
    return value;
  };
  const value = number('value', 0);
  return {
    place,
    source: text('source'),
    engine: text('engine'),
    mode: text('mode'),
    services: number('services', 0),
    endpointsPerService: number('endpoints_per_service', 0),
    position: text('position'),
    rulesEvaluated: number('rules_evaluated', 0),
    value,
    unit: text('unit'),
    comments: text('comments') === '1',
    variant: plainVariant(text('variant')),
    min: (record['min'] ?? '') === '' ? value : number('min', 0),
  };
}

/** `ci:endpoints` is `endpoints`; `conn_tab_bits=8:conns=256` has no word in front. */
function plainVariant(variant: string): string {
  const match = /^[A-Za-z][A-Za-z0-9_-]*:/.exec(variant);
  return match === null ? variant : variant.slice(match[0].length);
}

/** The value of `key=value` in a variant such as `conn_tab_bits=8:conns=256`. */
export function variantOption(variant: string, key: string): string | undefined {
  for (const part of variant.split(':')) {
    if (part.startsWith(`${key}=`)) return part.slice(key.length + 1);
  }
  return undefined;
}

/** What identifies a row among those of one engine: `first 5000x1 last`. */
export function pointName(row: MeasuredRow): string {
  const variant = row.variant === '' || row.variant === row.position ? '' : ` ${row.variant}`;
  const comments = row.comments || row.mode === 'sync' ? '' : ' without comments';
  return `${row.engine} ${row.mode} ${row.services}x${row.endpointsPerService} ${row.position}${variant}${comments}`;
}
