/** Mean modelled cost over all packets of a connection against services: how much of the first packet's cost is left in traffic. */
import type { SummaryRow } from '../csv.ts';
import type { Reference } from '../manifest.ts';
import type { Chart } from './chart.ts';
import { VEGA_LITE_SCHEMA } from './chart.ts';
import { estimateTable } from './chart-table.ts';
import { growthSentence, panelNote, rankingSentence } from './compare-words.ts';
import type { Statistic } from './cost-lines.ts';
import { lineLayers, lineRows } from './cost-lines.ts';
import { panels } from './layout.ts';
import { rangeBounds, rangeReading } from './range-band.ts';
import { referencePoints, referenceReading, referenceRows } from './reference-marks.ts';
import { logDomain, logX, logY } from './scale.ts';
import { costMetric, distinctValues, estimates } from './series.ts';

export function perPacketVsServices(
  rows: readonly SummaryRow[],
  references: readonly Reference[] = [],
): Chart | undefined {
  const cost = costMetric(rows, 'cost_per_packet_mean');
  if (cost === undefined) return undefined;
  const { metric, unit } = cost;
  const services = distinctValues(
    rows.filter((row) => row.metric === metric),
    'services',
  );
  if (services.length < 2) return undefined;
  const all = estimates(rows, metric, 'services');
  const statistics: Statistic[] = [
    { label: 'all packets', points: all.points },
    {
      label: 'packets after the first',
      points: estimates(rows, `cost_established_packet_mean_${unit.suffix}`, 'services').points,
    },
  ].filter((statistic) => statistic.points.length > 0);
  const published = referencePoints(references, { ...all, metric, x: 'services' });
  const values = [
    ...statistics.flatMap((statistic) => statistic.points.map((point) => point.mean)),
    ...rangeBounds(all.points),
    ...published.map((point) => point.value),
  ];
  const panel = all.panels.at(-1) ?? '';
  const finding = [
    growthSentence(all.points, all.engines, panel, 'the mean cost over all packets', 'services', unit),
    rankingSentence(all.points, all.engines, panel, 'services'),
  ];
  return {
    id: 'per-packet-vs-services',
    title: 'Mean cost of a packet over all traffic',
    kind: 'modelled cost',
    spec: {
      $schema: VEGA_LITE_SCHEMA,
      data: { values: [...lineRows(statistics, unit, logDomain(values)[0]), ...referenceRows(published, unit)] },
      ...panels(
        all.panels,
        'modelled cost of a packet, mean (log scale)',
        lineLayers(
          all.engines,
          statistics,
          logX('x', 'services', [...services, ...published.map((point) => point.x)]),
          logY('value', values, unit),
          'cost',
          {
            ranges: true,
            references: published,
          },
        ),
        { one: 320, many: 210 },
      ),
    },
    finding: finding.filter((sentence) => sentence !== '').join(' ') + panelNote(all.panels, panel, all.hiddenPanels),
    reading:
      'Solid lines average every packet of the traffic, first packets included; dashed lines only those after the first, ' +
      'which connection tracking carries past the rules. The nearer the two, the less the first packet matters.' +
      ` ${rangeReading(all.points)}`.trimEnd() +
      referenceReading(published),
    table: estimateTable(statistics, unit),
  };
}
