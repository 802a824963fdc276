/** The table that `chainwalk bench` prints. */
import type { GrowthRow, HostRow } from '../../reports/host-time.ts';
import { formatNs, formatNumber } from '../../reports/charts/words.ts';
import { alignedTable } from '../text-table.ts';

const HEADER = [
  'suite',
  'job',
  'size',
  'contender',
  'an operation',
  '95 % interval',
  'ours over it',
  '95 % interval',
  'bar',
  'verdict',
];

export function hostTable(rows: readonly HostRow[]): string {
  return alignedTable(
    HEADER,
    rows.map((row) => [
      row.suite,
      row.job,
      `${formatNumber(row.size)} ${row.size_of}`,
      row.contender,
      plain(formatNs(row.operation_median_ns)),
      `${plain(formatNs(row.operation_low_ns))} to ${plain(formatNs(row.operation_high_ns))}`,
      row.median_ratio === null ? '-' : ratio(row.median_ratio),
      row.low_ratio === null || row.high_ratio === null ? '' : `${ratio(row.low_ratio)} to ${ratio(row.high_ratio)}`,
      barText(row),
      row.verdict,
    ]),
  );
}

export function growthTable(rows: readonly GrowthRow[]): string {
  return alignedTable(
    ['suite', 'job', 'by', 'contender', 'exponent', '95 % interval', 'bar', 'verdict'],
    rows.map((row) => [
      row.suite,
      row.job,
      row.size_of,
      row.contender,
      row.exponent.toFixed(2),
      `${row.exponent_low.toFixed(2)} to ${row.exponent_high.toFixed(2)}`,
      row.bar_exponent === null ? '' : `at most ${row.bar_exponent}`,
      row.verdict,
    ]),
  );
}

function barText({ bar_ratio, bar_ns }: HostRow): string {
  if (bar_ratio !== null) return `at most ${ratio(bar_ratio)}`;
  return bar_ns === null ? '' : `at most ${plain(formatNs(bar_ns))}`;
}

/** Three digits: 0.712, 1.41, 24.3. */
function ratio(value: number): string {
  return Number(value.toPrecision(3)).toString();
}

/** Terminals show a no-break space as any other character would be: some as a mark. */
function plain(text: string): string {
  return text.replaceAll('\u00a0', ' ');
}
