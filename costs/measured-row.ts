/** Rows of measurements of a real kernel, as `kernel-data/*.csv` hold them: typed, and found by what they measured. */

export interface MeasuredRow {
  readonly engine: string;
  /** `first`, `established`, `sync`. */
  readonly mode: string;
  readonly services: number;
  readonly endpointsPerService: number;
  readonly position: string;
  readonly rulesEvaluated: number;
  readonly value: number;
  readonly unit: string;
  readonly comments: boolean;
  readonly variant: string;
  /** Lowest of the runs; equal to `value` where the file has none. */
  readonly min: number;
}

/** From CSV records (column name to text). Columns that are absent or not a number throw: the file is not what it should be. */
export function measuredRows(records: readonly Readonly<Record<string, string>>[]): MeasuredRow[] {
  return records.map((record, index) => {
    const text = (column: string): string => {
      const cell = record[column];
      if (cell === undefined) throw new Error(`Row ${index + 2} has no column "${column}".`);
      return cell;
    };
    const number = (column: string): number => {
      const value = Number(text(column));
      if (text(column) === '' || !Number.isFinite(value)) {
        throw new Error(`Row ${index + 2}, column "${column}": "${text(column)}" is not a number.`);
      }
      return value;
    };
    const value = number('value');
    return {
      engine: text('engine'),
      mode: text('mode'),
      services: number('services'),
      endpointsPerService: number('endpoints_per_service'),
      position: text('position'),
      rulesEvaluated: number('rules_evaluated'),
      value,
      unit: text('unit'),
      comments: text('comments') === '1',
      variant: text('variant'),
      min: text('min') === '' ? value : number('min'),
    };
  });
}

/** A short name of what a row measured, for tables and messages. */
export function pointName(row: MeasuredRow): string {
  const comments = row.comments ? '' : ' no-comments';
  const variant = row.variant === '' ? '' : ` ${row.variant}`;
  return `${row.engine} ${row.mode} ${row.services}x${row.endpointsPerService} ${row.position}${comments}${variant}`;
}
