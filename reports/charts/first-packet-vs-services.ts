/** What the first packet of a connection costs against the number of services: mean with its interval, median and 99th percentile. */
import type { SummaryRow } from '../csv.ts';
import type { Reference } from '../manifest.ts';
import type { Chart } from './chart.ts';
import { VEGA_LITE_SCHEMA } from './chart.ts';
import { growthSentence, panelNote, rankingSentence } from './compare-words.ts';
import { estimateTable } from './chart-table.ts';
import type { Statistic } from './cost-lines.ts';
import { lineLayers, lineRows } from './cost-lines.ts';
import { panels } from './layout.ts';
import { INTERVAL_READING, rangeBounds, rangeReading } from './range-band.ts';
import { referencePoints, referenceReading, referenceRows } from './reference-marks.ts';
import { logDomain, logX, logY } from './scale.ts';
import { costMetric, distinctValues, estimates } from './series.ts';

export function firstPacketVsServices(
  rows: readonly SummaryRow[],
  references: readonly Reference[] = [],
): Chart | undefined {
  const cost = costMetric(rows, 'cost_first_packet_mean');
  if (cost === undefined) return undefined;
  const { metric, unit } = cost;
  const mean = estimates(rows, metric, 'services');
  if (
    distinctValues(
      rows.filter((row) => row.metric === metric),
      'services',
    ).length < 2
  )
    return undefined;
  const percentile = (name: string): Statistic['points'] =>
    estimates(rows, `cost_first_packet_${name}_${unit.suffix}`, 'services').points;
  const statistics: Statistic[] = [
    { label: 'mean', points: mean.points },
    { label: 'median', points: percentile('p50') },
    { label: '99th percentile', points: percentile('p99') },
  ].filter((statistic) => statistic.points.length > 0);
  const published = referencePoints(references, { ...mean, metric, x: 'services' });
  const values = [
    ...statistics.flatMap((statistic) => statistic.points.map((point) => point.mean)),
    ...rangeBounds(mean.points),
    ...published.map((point) => point.value),
  ];
  const title = 'Cost of a first packet';
  const x = logX('x', 'services', [...distinctValues(rows, 'services'), ...published.map((point) => point.x)]);
  const y = logY('value', values, unit);
  const panel = mean.panels.at(-1) ?? '';
  const finding = [
    growthSentence(mean.points, mean.engines, panel, 'the mean cost of a first packet', 'services', unit),
    rankingSentence(mean.points, mean.engines, panel, 'services'),
  ];
  return {
    id: 'first-packet-vs-services',
    title,
    kind: 'modelled cost',
    spec: {
      $schema: VEGA_LITE_SCHEMA,
      data: { values: [...lineRows(statistics, unit, logDomain(values)[0]), ...referenceRows(published, unit)] },
      ...panels(
        mean.panels,
        'modelled cost of a first packet (log scale)',
        lineLayers(mean.engines, statistics, x, y, 'cost', { ranges: true, references: published }),
        { one: 340, many: 220 },
      ),
    },
    finding: finding.filter((sentence) => sentence !== '').join(' ') + panelNote(mean.panels, panel, mean.hiddenPanels),
    reading:
      'Both axes are logarithmic: a straight rising line means that the cost is a power of the number of services. ' +
      `${rangeReading(mean.points) || INTERVAL_READING} Long-dashed and dotted lines are percentiles over packets.${referenceReading(published)}`,
    table: estimateTable(statistics, unit),
  };
}
