/** What `validate --published` prints: a row a point, then how far the model is from them, those fitted to and those not apart. */
import { publishedRows } from './published.ts';
import type { PublishedOptions, PublishedRow } from './published.ts';
import { quantileSorted } from './statistics.ts';

interface PublishedSummary {
  readonly use: 'calibrate' | 'validate';
  /** Points with a prediction, and all of them. */
  readonly rows: number;
  readonly all: number;
  /** Of |predicted / value - 1|; null without any. */
  readonly median: number | null;
  readonly p90: number | null;
  readonly max: number | null;
}

export interface PublishedReport {
  readonly rows: readonly PublishedRow[];
  readonly summaries: readonly PublishedSummary[];
  /** The table, or JSON, with a line break at its end. */
  readonly text: string;
  /** Calibration points that are farther off than `CALIBRATION_LIMIT`, or have no prediction. */
  readonly failures: readonly PublishedRow[];
}

/** How far a calibration point may be from its source. */
export const CALIBRATION_LIMIT = 0.15;

/** `files`: points from outside, beside the shipped ones. Throws an InputError for a mistake in them. */
export async function publishedReport(
  files: readonly string[],
  options: PublishedOptions & { readonly json?: boolean },
): Promise<PublishedReport> {
  const rows = await publishedRows(files, options);
  const summaries = (['calibrate', 'validate'] as const).map((use) => summaryOf(rows, use));
  return {
    rows,
    summaries,
    text: options.json === true ? jsonOf(rows, summaries) : textOf(rows, summaries),
    failures: rows.filter(
      ({ use, error_ratio: error }) => use === 'calibrate' && (error === null || Math.abs(error) > CALIBRATION_LIMIT),
    ),
  };
}

function summaryOf(rows: readonly PublishedRow[], use: PublishedSummary['use']): PublishedSummary {
  const all = rows.filter((row) => row.use === use);
  const errors = Float64Array.from(
    all.flatMap(({ error_ratio: error }) => (error === null ? [] : [Math.abs(error)])),
  ).sort((a, b) => a - b);
  const at = (q: number): number | null => (errors.length === 0 ? null : quantileSorted(errors, errors.length, q));
  return { use, rows: errors.length, all: all.length, median: at(0.5), p90: at(0.9), max: at(1) };
}

function jsonOf(rows: readonly PublishedRow[], summaries: readonly PublishedSummary[]): string {
  return `${JSON.stringify({ rows, summaries }, null, 2)}\n`;
}

const HEADER = ['source', 'point', 'engine', 'published', 'predicted', 'error', 'use'];

function textOf(rows: readonly PublishedRow[], summaries: readonly PublishedSummary[]): string {
  const cells = rows.map((row) => [
    row.source,
    pointOf(row),
    row.engine,
    `${number(row.value)} ${row.unit}`,
    row.predicted === null ? (row.reason ?? 'no prediction') : `${number(row.predicted)} ${row.unit}`,
    row.error_ratio === null ? '' : percent(row.error_ratio, true),
    `${row.use} (${row.label})`,
  ]);
  const widths = HEADER.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i].length)));
  const right = new Set([3, 4, 5]);
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (right.has(i) ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd();
  return [line(HEADER), ...cells.map(line), '', ...summaries.map(summaryLine), ''].join('\n');
}

function summaryLine({ use, rows, all, median, p90, max }: PublishedSummary): string {
  const errors =
    median === null || p90 === null || max === null
      ? ''
      : `, median |error| ${percent(median)}, p90 ${percent(p90)}, max ${percent(max)}`;
  return `published (${use}): rows ${rows} of ${all}${errors}`;
}

/** `request_latency_p50_ms, services 5000`. */
function pointOf(row: PublishedRow): string {
  return [row.metric, ...Object.entries(row.at).map(([name, value]) => `${name} ${value}`)].join(', ');
}

function number(value: number): string {
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toString();
  return Number(value.toPrecision(4)).toString();
}

function percent(ratio: number, signed = false): string {
  const text = (ratio * 100).toFixed(1);
  return `${signed && ratio >= 0 ? '+' : ''}${text} %`;
}
