/** What the tests of charts of change share: fixtures, made-up rows, and a chart's words. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Cell } from '../../model/observation.ts';
import type { SummaryRow } from '../csv.ts';
import { readResults } from '../results.ts';
import { changeCharts } from './all.ts';
import type { Chart } from './chart.ts';

const HERE = dirname(fileURLToPath(import.meta.url));

export const PRE_STOP = 'cluster.pre_stop_s';
export const MIN_SYNC = 'proxy.min_sync_period_s';

export function fixtureRows(name: string): readonly SummaryRow[] {
  return readResults(join(HERE, '..', 'fixtures', name)).summary;
}

export function words(chart: Chart | undefined): string {
  return (chart?.finding ?? '').replaceAll('\u00a0', ' ');
}

export function chartOf(rows: readonly SummaryRow[], id: string): Chart | undefined {
  return changeCharts(rows).find((chart) => chart.id === id);
}

export function idsOf(rows: readonly SummaryRow[]): string[] {
  return changeCharts(rows).map((chart) => chart.id);
}

/** One summary row of made-up data. */
export function row(
  metric: string,
  mean: number | null,
  axes: Record<string, Cell>,
  more: Partial<SummaryRow> = {},
): SummaryRow {
  return {
    experiment: 'e',
    engine: 'iptables',
    profile: 'p',
    services: 2,
    endpoints_per_service: 3,
    rules: 52,
    axes,
    metric,
    replications: 1,
    mean,
    stddev: null,
    ci95_low: null,
    ci95_high: null,
    ...more,
  };
}

/** Losses of 1,000 connections along an axis: counts at each of its values. */
export function losses(
  engine: string,
  counts: Readonly<Record<number, number>>,
  { axis = PRE_STOP, cut = 0, others = {} }: { axis?: string; cut?: number; others?: Record<string, Cell> } = {},
): SummaryRow[] {
  return Object.entries(counts).flatMap(([x, count]) => {
    const axes = { [axis]: Number(x), ...others };
    return [
      row('connections', 1000, axes, { engine }),
      row('failed_connections', count, axes, { engine }),
      row('broken_connections', cut, axes, { engine }),
    ];
  });
}
