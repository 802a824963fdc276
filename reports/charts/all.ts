/** Every chart of a report, in reading order. Adding a chart is one file and one line here. */
import type { Results } from '../results.ts';
import type { Chart } from './chart.ts';
import { churnTimeline } from './churn-timeline.ts';
import { costVsRules } from './cost-vs-rules.ts';
import { firstPacketVsServices } from './first-packet-vs-services.ts';
import { perPacketVsServices } from './per-packet-vs-services.ts';
import { syncVsServices } from './sync-vs-services.ts';
import { workVsServices } from './work-vs-services.ts';

/** The charts that the results have data for. */
export function chartsOf({ summary, timeline }: Pick<Results, 'summary' | 'timeline'>): Chart[] {
  return [
    firstPacketVsServices(summary),
    perPacketVsServices(summary),
    costVsRules(summary),
    workVsServices(summary),
    syncVsServices(summary),
    churnTimeline(timeline),
  ].filter((chart) => chart !== undefined);
}
