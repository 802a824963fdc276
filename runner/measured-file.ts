/** Reads CSV files of measured rows; whatever is wrong with one is said with its line and column. */
import { basename } from 'node:path';
import { CsvError, parse } from 'csv-parse/sync';
import { MEASURED_COLUMNS, measuredRow, MeasuredRowError } from '../costs/measured-row.ts';
import type { MeasuredRow } from '../costs/measured-row.ts';
import { didYouMean, InputError, quote } from '../scenarios/errors.ts';
import { readAnyText } from '../scenarios/source.ts';

interface Line {
  readonly record: readonly string[];
  readonly info: { readonly lines: number };
  readonly raw: string;
}

export function readMeasuredFiles(paths: readonly string[]): MeasuredRow[] {
  return paths.flatMap(readMeasuredFile);
}

function readMeasuredFile(path: string): MeasuredRow[] {
  const [header, ...lines] = readLines(path);
  if (header === undefined)
    throw new InputError('The file is empty; expected CSV with a line of columns.', { file: path });
  const columns = header.record.map((name) => name.trim());
  assertColumns(columns, path);
  if (lines.length === 0) {
    throw new InputError('The file has no rows below its line of columns.', { file: path, line: 1, column: 1 });
  }
  return lines.map((line) => {
    const at = line.info.lines;
    const record = Object.fromEntries(columns.map((name, i) => [name, line.record[i] ?? '']));
    try {
      return measuredRow(record, `${basename(path)}:${at}`);
    } catch (error) {
      if (!(error instanceof MeasuredRowError)) throw error;
      const column = cellStart(line.raw, columns.indexOf(error.column));
      throw new InputError(`${error.message}.`, { file: path, line: at, column });
    }
  });
}

function readLines(path: string): Line[] {
  const text = readAnyText(path);
  try {
    return parse(text, { bom: true, info: true, raw: true, skip_empty_lines: true }) as unknown as Line[];
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const lines = (error as CsvError & { lines?: number }).lines;
    throw new InputError(`This is no CSV: ${error.message}.`, { file: path, line: lines ?? 1, column: 1 });
  }
}

function assertColumns(columns: readonly string[], path: string): void {
  const missing = MEASURED_COLUMNS.find((name) => !columns.includes(name));
  if (missing === undefined) return;
  throw new InputError(
    `There is no column "${missing}"; got ${quote(columns.join(','))}. Expected ${MEASURED_COLUMNS.join(', ')}.${didYouMean(missing, columns)}`,
    { file: path, line: 1, column: 1 },
  );
}

/** Column (from 1) of the character that cell `index` of the line begins with. */
function cellStart(raw: string, index: number): number {
  let cell = 0;
  let isQuoted = false;
  for (let i = 0; i < raw.length; i++) {
    if (cell === index) return i + 1;
    if (raw[i] === '"') isQuoted = !isQuoted;
    else if (raw[i] === ',' && !isQuoted) cell++;
  }
  return raw.length + 1;
}
