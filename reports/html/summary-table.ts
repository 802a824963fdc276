/** The summary as one wide table: a row for each point and engine, a column for each metric that readers ask for first. */
import { axisTitle } from '../charts/axis-words.ts';
import { compareCells, isEstimated, pointValue } from '../charts/series.ts';
import { engineLabel, orderEngines } from '../charts/engine-style.ts';
import { formatNs, formatNumber } from '../charts/words.ts';
import type { SummaryRow } from '../csv.ts';
import type { TableData } from './table.ts';

interface MetricColumn {
  readonly metric: string;
  readonly title: string;
  readonly format: (value: number) => string;
  /** Shows the 95% interval, too; the range of the cost profile always follows where there is one. */
  readonly interval?: boolean;
}

const ms = (value: number): string => formatNs(value * 1e6);
const instructions = (value: number): string => `${formatNumber(value)} instr.`;

const METRICS: readonly MetricColumn[] = [
  { metric: 'rules_evaluated_per_first_packet_mean', title: 'rules a first packet evaluates', format: formatNumber },
  {
    metric: 'service_chain_entries_per_first_packet_mean',
    title: 'service-table entries passed',
    format: formatNumber,
  },
  { metric: 'rules_scanned_max', title: 'longest walk (rules)', format: formatNumber },
  { metric: 'cost_first_packet_mean_ns', title: 'first packet, mean', format: formatNs, interval: true },
  { metric: 'cost_first_packet_p50_ns', title: 'first packet, median', format: formatNs },
  { metric: 'cost_first_packet_p99_ns', title: 'first packet, p99', format: formatNs },
  { metric: 'cost_established_packet_mean_ns', title: 'later packets, mean', format: formatNs },
  { metric: 'cost_per_packet_mean_ns', title: 'all packets, mean', format: formatNs },
  { metric: 'cost_first_packet_mean_instructions', title: 'first packet, mean', format: instructions, interval: true },
  { metric: 'cost_first_packet_p50_instructions', title: 'first packet, median', format: instructions },
  { metric: 'cost_first_packet_p99_instructions', title: 'first packet, p99', format: instructions },
  { metric: 'cost_established_packet_mean_instructions', title: 'later packets, mean', format: instructions },
  { metric: 'cost_per_packet_mean_instructions', title: 'all packets, mean', format: instructions },
  { metric: 'sync_full_ms', title: 'full sync', format: ms },
  { metric: 'sync_incremental_mean_ms', title: 'incremental sync, mean', format: ms },
  { metric: 'programming_latency_p50_ms', title: 'programming latency, median', format: ms },
  { metric: 'programming_latency_p99_ms', title: 'programming latency, p99', format: ms },
  { metric: 'connections', title: 'connections', format: formatNumber },
  { metric: 'failed_connections', title: 'failed connections', format: formatNumber },
  { metric: 'stale_connections', title: 'stale connections', format: formatNumber },
  { metric: 'broken_connections', title: 'cut connections', format: formatNumber },
];

/** Undefined when the summary has none of the metrics. Columns without any value are left out. */
export function summaryTable(rows: readonly SummaryRow[]): TableData | undefined {
  const axisNames = [...new Set(rows.flatMap((row) => Object.keys(row.axes)))];
  const points = new Map<string, Map<string, SummaryRow>>();
  for (const row of rows) {
    const key = JSON.stringify([
      row.services,
      row.endpoints_per_service,
      ...axisNames.map((n) => row.axes[n] ?? null),
      row.engine,
    ]);
    const metrics = points.get(key) ?? new Map<string, SummaryRow>();
    points.set(key, metrics.set(row.metric, row));
  }
  const columns = METRICS.filter(({ metric }) => rows.some((row) => row.metric === metric && row.mean !== null));
  if (columns.length === 0) return undefined;
  const heads = [...points.values()].flatMap((metrics) => {
    const head = [...metrics.values()][0];
    return head === undefined ? [] : [{ head, metrics }];
  });
  const engines = orderEngines(heads.map(({ head }) => head.engine));
  const order = ['services', 'endpoints_per_service', ...axisNames];
  heads.sort((a, b) => {
    for (const name of order) {
      const by = compareCells(pointValue(a.head, name), pointValue(b.head, name));
      if (by !== 0) return by;
    }
    return engines.indexOf(a.head.engine) - engines.indexOf(b.head.engine);
  });
  return {
    caption:
      'Means over replications; in brackets the 95% confidence interval of the mean.' +
      (rows.some((row) => row.range_low !== undefined)
        ? " In square brackets how far the kernel may be from a modelled cost, by the profile's range; e: estimated, not measured in this unit."
        : ''),
    columns: [
      'services',
      'endpoints per service',
      ...axisNames.map(axisTitle),
      'engine',
      'rules installed',
      ...columns.map((c) => c.title),
    ],
    rows: heads.map(({ head, metrics }) => [
      head.services,
      head.endpoints_per_service,
      ...axisNames.map((name) => {
        const value = head.axes[name] ?? null;
        return typeof value === 'boolean' ? String(value) : value;
      }),
      engineLabel(head.engine),
      head.rules === null ? null : Math.round(head.rules),
      ...columns.map((column) => estimateText(metrics.get(column.metric), column)),
    ]),
  };
}

function estimateText(row: SummaryRow | undefined, { format, interval }: MetricColumn): string | null {
  if (row === undefined || row.mean === null) return null;
  const withoutInterval = interval !== true || row.ci95_low === null || row.ci95_high === null;
  const sampled = withoutInterval ? '' : ` (${format(row.ci95_low ?? 0)} to ${format(row.ci95_high ?? 0)})`;
  return `${format(row.mean)}${sampled}${rangeText(row, format)}`;
}

function rangeText({ range_low: low, range_high: high, basis }: SummaryRow, format: MetricColumn['format']): string {
  if (low === undefined || high === undefined) return '';
  return ` [${format(low)} to ${format(high)}${isEstimated(basis) ? ' e' : ''}]`;
}
