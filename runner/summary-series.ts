/** The rows of a summary as series along services: what sentences are computed from. */
import type { CostUnit } from '../model/profile.ts';
import type { SummaryRow } from '../reports/csv.ts';

/** One metric at each number of services, for one engine, in ascending order; other axes at their first value. */
export interface Series {
  readonly services: number[];
  readonly rules: number[];
  readonly means: number[];
}

export function seriesOf(summary: readonly SummaryRow[], engine: string, metric: string): Series {
  const series: Series = { services: [], rules: [], means: [] };
  for (const row of rowsAlongServices(summary, engine, metric)) {
    series.services.push(row.services ?? 0);
    series.rules.push(row.rules ?? 0);
    series.means.push(row.mean ?? 0);
  }
  return series;
}

/** The row of each number of services; rows without a mean are left out. */
export function rowsAlongServices(summary: readonly SummaryRow[], engine: string, metric: string): SummaryRow[] {
  const rows = summary
    .filter((row) => row.engine === engine && row.metric === metric && row.mean !== null)
    .sort((a, b) => (a.services ?? 0) - (b.services ?? 0));
  return rows.filter((row, i) => i === 0 || rows[i - 1].services !== row.services);
}

/** The unit of the packet costs: nanoseconds, or instructions with a profile that has those. */
export function costUnit(summary: readonly SummaryRow[]): CostUnit {
  return summary.some((row) => /^cost_.*_ns$/.test(row.metric) && row.mean !== null) ? 'ns' : 'instructions';
}

export interface CostSeries extends Series {
  readonly unit: CostUnit;
}

/** `cost_first_packet_mean` in the unit of the summary's costs. */
export function costSeries(summary: readonly SummaryRow[], engine: string, stem: string): CostSeries {
  const unit = costUnit(summary);
  return { ...seriesOf(summary, engine, `${stem}_${unit}`), unit };
}
