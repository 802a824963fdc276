/** The short table at the end of a sweep: one line an engine and point of the other axes, at the largest number of services. */
import type { SummaryRow } from '../reports/csv.ts';

/** The first of the metrics that a row has. */
type Column = readonly [title: string, metrics: readonly Metric[]];
type Metric = readonly [metric: string, show: (value: number) => string];

const ms = (value: number): string => time(value * 1e6);
const cost = (stem: string): readonly Metric[] => [
  [`${stem}_ns`, time],
  [`${stem}_instructions`, (value) => `${value.toFixed(0)} instr.`],
];

const COLUMNS: readonly Column[] = [
  ['rules scanned', [['rules_evaluated_per_first_packet_mean', (value) => value.toFixed(0)]]],
  ['first packet', cost('cost_first_packet_mean')],
  ['established', cost('cost_established_packet_mean')],
  ['full sync', [['sync_full_ms', ms]]],
  ['change to rules p50', [['programming_latency_p50_ms', ms]]],
  ['failed', [['failed_connections', (value) => value.toFixed(1)]]],
  ['stale', [['stale_connections', (value) => value.toFixed(1)]]],
  ['cut', [['broken_connections', (value) => value.toFixed(1)]]],
];

/** Lines of one experiment at most; summary.csv has every point. */
const LINES = 12;

/** Text with a header line; means over the replications, `-` where a metric does not apply. */
export function findingsTable(summaries: readonly (readonly SummaryRow[])[]): string {
  const lines = [['experiment', 'engine', 'services', ...COLUMNS.map(([title]) => title)]];
  for (const summary of summaries) {
    const largest = Math.max(...summary.map((row) => row.services ?? 0));
    const rows = summary.filter((row) => (row.services ?? 0) === largest);
    const points = [...new Set(rows.map(pointOf))];
    const engines = [...new Set(rows.map((row) => row.engine))];
    for (const point of points.slice(0, Math.max(1, Math.floor(LINES / Math.max(1, engines.length))))) {
      for (const engine of engines) {
        const own = rows.filter((row) => row.engine === engine && pointOf(row) === point);
        const cells = COLUMNS.map(([, metrics]) => {
          const shown = metrics.flatMap(([metric, show]) => {
            const mean = own.find((row) => row.metric === metric)?.mean;
            return mean === undefined || mean === null ? [] : [show(mean)];
          });
          return shown[0] ?? '-';
        });
        const name = `${own[0]?.experiment ?? ''}${points.length > 1 ? ` ${point}` : ''}`;
        lines.push([name, engine, String(largest), ...cells]);
      }
    }
  }
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  return lines
    .map((line) =>
      line.map((cell, column) => (column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('  '),
    )
    .join('\n');
}

/** Nanoseconds in the unit that keeps three digits or fewer before the point. */
function time(ns: number): string {
  if (ns < 1e4) return `${ns.toFixed(0)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(1)} ms`;
  return `${(ns / 1e9).toFixed(1)} s`;
}

/** The axes other than services, as a label. */
function pointOf(row: SummaryRow): string {
  const axes = Object.entries(row.axes).map(([name, value]) => `${name}=${value ?? ''}`);
  return [`endpoints=${row.endpoints_per_service ?? ''}`, ...axes].join(' ');
}
