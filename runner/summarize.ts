/** Observations to summary rows: one a (point, engine, metric), with its mean and 95 % interval over the replications. */
import { COST_BASES } from '../model/observation.ts';
import type { Cell, Observation } from '../model/observation.ts';
import type { SummaryRow } from '../reports/csv.ts';
import { metricColumns } from './columns.ts';
import { rangeColumn } from './cost-columns.ts';
import { estimate } from './statistics.ts';

/** Rows in the order in which the points first appear; failed trials are left out of the means. */
export function summarize(
  observations: readonly Observation[],
  axisNames: readonly string[],
  hasRig = false,
): SummaryRow[] {
  const groups = new Map<string, Observation[]>();
  for (const row of observations) {
    if (row['status'] !== 'ok') continue;
    const key = JSON.stringify([
      row['services'],
      row['endpoints_per_service'],
      ...axisNames.map((n) => row[n]),
      row['engine'],
    ]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  const metrics = metricColumns(axisNames, hasRig);
  const summary: SummaryRow[] = [];
  for (const rows of groups.values()) {
    const first = rows[0];
    for (const metric of metrics) {
      const values = rows.map((row) => row[metric]).filter((value) => typeof value === 'number');
      if (values.length === 0) continue;
      const { mean, stddev, low, high } = estimate(values);
      const axes: Record<string, Cell> = {};
      for (const name of axisNames) axes[name] = first[name] ?? null;
      summary.push({
        experiment: String(first['experiment']),
        engine: String(first['engine']),
        profile: String(first['profile']),
        services: Number(first['services']),
        endpoints_per_service: Number(first['endpoints_per_service']),
        rules: Number(first['rules']),
        axes,
        metric,
        replications: values.length,
        mean,
        stddev,
        ci95_low: low ?? null,
        ci95_high: high ?? null,
        ...rangeOf(rows, metric),
      });
    }
  }
  return summary;
}

/** Means of the bounds of the profile's range, for the metrics that have one. */
function rangeOf(rows: readonly Observation[], metric: string): Partial<SummaryRow> {
  const bound = (which: 'low' | 'high'): number | undefined => {
    const values = rows.map((row) => row[rangeColumn(metric, which)]).filter((value) => typeof value === 'number');
    return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  const [low, high] = [bound('low'), bound('high')];
  if (low === undefined || high === undefined) return {};
  const basis = COST_BASES.find((each) => each === rows[0]?.['cost_basis']);
  return { range_low: low, range_high: high, ...(basis === undefined ? {} : { basis }) };
}
