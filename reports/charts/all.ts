/** Every chart of a report, in reading order. Adding a chart is one file and one line here. */
import type { Results } from '../results.ts';
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

/** The charts of change against an experiment's own axes, in the order of their metrics. */
export function changeCharts(summary: Results['summary']): Chart[] {
  return CHANGE_METRICS.flatMap((metric) => [changeVsAxis(summary, metric), changeByCategory(summary, metric)])
    .filter((chart) => chart !== undefined)
    .slice(0, CHANGE_CHARTS_MAX);
}

/** The charts that the results have data for. */
export function chartsOf({ summary, timeline }: Pick<Results, 'summary' | 'timeline'>): Chart[] {
  return [
    ...changeCharts(summary),
    firstPacketVsServices(summary),
    perPacketVsServices(summary),
    costVsRules(summary),
    workVsServices(summary),
    syncVsServices(summary),
    churnTimeline(timeline),
  ].filter((chart) => chart !== undefined);
}
