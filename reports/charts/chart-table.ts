/** The table under a chart: the same numbers, for readers who cannot or do not want to see the picture. */
import type { ChartTable } from './chart.ts';
import type { Statistic } from './cost-lines.ts';
import { engineLabel } from './engine-style.ts';
import type { Unit } from './scale.ts';
import type { Estimate } from './series.ts';
import { formatIn, rangeText } from './series.ts';

/** What tells the points of a line apart, as columns. */
export interface PointColumn {
  readonly title: string;
  readonly value: (point: Estimate) => string | number | null;
}

const SERVICES_AND_RULES: readonly PointColumn[] = [
  { title: 'services', value: (point) => point.services },
  { title: 'rules installed', value: (point) => (point.rules === null ? null : Math.round(point.rules)) },
];

/** One row for each (panel, engine, point), one column for each statistic; the first has its interval beside it, and its profile's range. */
export function estimateTable(
  statistics: readonly Statistic[],
  unit: Unit,
  pointColumns: readonly PointColumn[] = SERVICES_AND_RULES,
  lineTitle = 'engine',
): ChartTable {
  const [first, ...others] = statistics;
  if (first === undefined) return { columns: [], rows: [] };
  const several = new Set(first.points.map((point) => point.panel)).size > 1;
  const ranged = first.points.some((point) => point.range !== undefined);
  const key = (point: Estimate): string =>
    JSON.stringify([point.panel, point.engine, point.services, point.rules, point.x]);
  const lookups = others.map((statistic) => new Map(statistic.points.map((point) => [key(point), point.mean])));
  return {
    columns: [
      ...(several ? ['panel'] : []),
      lineTitle,
      ...pointColumns.map((column) => column.title),
      first.label,
      '95% interval',
      ...(ranged ? ["profile's range"] : []),
      ...others.map((statistic) => statistic.label),
      'replications',
    ],
    rows: first.points.map((point) => [
      ...(several ? [point.panel] : []),
      engineLabel(point.engine),
      ...pointColumns.map((column) => column.value(point)),
      formatIn(unit, point.mean),
      point.low === null || point.high === null
        ? null
        : `${formatIn(unit, point.low)} to ${formatIn(unit, point.high)}`,
      ...(ranged ? [rangeText(point, unit)] : []),
      ...lookups.map((lookup) => {
        const value = lookup.get(key(point));
        return value === undefined ? null : formatIn(unit, value);
      }),
      point.replications,
    ]),
  };
}
