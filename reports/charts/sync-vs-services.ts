/** What it costs kube-proxy to program the node against services: one full sync, and the mean incremental one. */
import type { SummaryRow } from '../csv.ts';
import type { Reference } from '../manifest.ts';
import type { Chart } from './chart.ts';
import { VEGA_LITE_SCHEMA } from './chart.ts';
import { estimateTable } from './chart-table.ts';
import { growthSentence, panelNote } from './compare-words.ts';
import type { Statistic } from './cost-lines.ts';
import { lineLayers, lineRows } from './cost-lines.ts';
import { panels } from './layout.ts';
import { referencePoints, referenceReading, referenceRows } from './reference-marks.ts';
import { logDomain, logX, logY, UNIT_NS } from './scale.ts';
import type { Estimate } from './series.ts';
import { distinctValues, estimates, scaled } from './series.ts';

const FULL_METRIC = 'sync_full_ms';
const NS_PER_MS = 1e6;

/** The metric is in milliseconds; words and axis print nanoseconds in the unit that fits. */
const inNs = (point: Estimate): Estimate => scaled(point, NS_PER_MS);

export function syncVsServices(rows: readonly SummaryRow[], references: readonly Reference[] = []): Chart | undefined {
  const measured = rows.filter((row) => row.metric === FULL_METRIC && row.mean !== null && row.mean > 0);
  const services = distinctValues(measured, 'services');
  if (services.length < 2) return undefined;
  const full = estimates(rows, FULL_METRIC, 'services');
  const fullPoints = full.points.map(inNs);
  const partialPoints = estimates(rows, 'sync_incremental_mean_ms', 'services').points.map(inNs);
  const statistics: Statistic[] = [
    { label: 'full sync', points: fullPoints },
    { label: 'incremental sync, mean', points: partialPoints.filter((point) => point.mean > 0) },
  ].filter((statistic) => statistic.points.length > 0);
  const published = referencePoints(references, { ...full, metric: FULL_METRIC, x: 'services', factor: NS_PER_MS });
  const values = [
    ...statistics.flatMap((statistic) => statistic.points.map((point) => point.mean)),
    ...published.map((point) => point.value),
  ];
  const panel = full.panels.at(-1) ?? '';
  return {
    id: 'sync-vs-services',
    title: 'Cost of programming the node',
    kind: 'modelled cost',
    spec: {
      $schema: VEGA_LITE_SCHEMA,
      data: { values: [...lineRows(statistics, UNIT_NS, logDomain(values)[0]), ...referenceRows(published, UNIT_NS)] },
      ...panels(
        full.panels,
        'modelled duration of a sync (log scale)',
        lineLayers(
          full.engines,
          statistics,
          logX('x', 'services', [...services, ...published.map((point) => point.x)]),
          logY('value', values, UNIT_NS),
          'duration',
          { references: published },
        ),
        { one: 320, many: 210 },
      ),
    },
    finding:
      growthSentence(fullPoints, full.engines, panel, 'the duration of a full sync', 'services', UNIT_NS) +
      panelNote(full.panels, panel, full.hiddenPanels),
    reading:
      'No packet waits for this: it is how long kube-proxy needs to write the rules of the node, all of them (solid) or those that ' +
      'changed (dashed, where the experiment has changes). It delays when a change takes effect.' +
      referenceReading(published),
    table: estimateTable(statistics, UNIT_NS),
  };
}
