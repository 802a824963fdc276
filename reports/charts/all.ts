/** Every chart of a report, in reading order. Adding a chart is one file and one line here. */
import type { Reference } from '../manifest.ts';
import type { Results } from '../results.ts';
import { withoutIdleAxes } from './change-axis.ts';
import { changeByCategory } from './change-by-category.ts';
import { CHANGE_METRICS } from './change-metrics.ts';
import { changeVsAxis } from './change-vs-axis.ts';
import type { Chart } from './chart.ts';
import { churnTimeline } from './churn-timeline.ts';
import { costVsRules } from './cost-vs-rules.ts';
import { firstPacketVsServices } from './first-packet-vs-services.ts';
import { perPacketVsServices } from './per-packet-vs-services.ts';
import { syncVsServices } from './sync-vs-services.ts';
import { workVsServices } from './work-vs-services.ts';

/** Charts against an experiment's own axes; summary.csv has what further metrics do. */
const CHANGE_CHARTS_MAX = 5;

type References = readonly Reference[];
type MakeChart = (rows: Results['summary'], references: References) => Chart | undefined;

const FIRST_PACKET = ['cost_first_packet_mean_ns', 'cost_first_packet_mean_instructions'];
const SERVICES_CHARTS: readonly (readonly [make: MakeChart, metrics: readonly string[]])[] = [
  [firstPacketVsServices, FIRST_PACKET],
  [perPacketVsServices, ['cost_per_packet_mean_ns', 'cost_per_packet_mean_instructions']],
  [costVsRules, FIRST_PACKET],
  [workVsServices, ['rules_evaluated_per_first_packet_mean', 'service_chain_entries_per_first_packet_mean']],
  [syncVsServices, ['sync_full_ms', 'sync_incremental_mean_ms']],
];

/** A chart against services, without panels for axes of the experiment's own that do not change its metrics. */
function servicesChart(
  summary: Results['summary'],
  make: MakeChart,
  metrics: readonly string[],
  references: References,
): Chart | undefined {
  const { rows, note } = withoutIdleAxes(summary, metrics);
  const chart = make(rows, references);
  return chart === undefined || note === '' ? chart : { ...chart, finding: `${chart.finding} ${note}` };
}

/** The charts of change against an experiment's own axes, in the order of their metrics. */
export function changeCharts(summary: Results['summary'], references: References = []): Chart[] {
  return CHANGE_METRICS.flatMap((metric) => [
    changeVsAxis(summary, metric, references),
    changeByCategory(summary, metric),
  ])
    .filter((chart) => chart !== undefined)
    .slice(0, CHANGE_CHARTS_MAX);
}

/** What charts are made of; published points are drawn where the manifest has any. */
interface Drawn extends Pick<Results, 'summary' | 'timeline'> {
  readonly manifest?: { readonly references?: References | undefined };
}

/** The charts that the results have data for. */
export function chartsOf({ summary, timeline, manifest }: Drawn): Chart[] {
  const references = manifest?.references ?? [];
  return [
    ...changeCharts(summary, references),
    ...SERVICES_CHARTS.map(([make, metrics]) => servicesChart(summary, make, metrics, references)),
    churnTimeline(timeline),
  ].filter((chart) => chart !== undefined);
}
