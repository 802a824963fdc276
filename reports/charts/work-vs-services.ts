/** Exact work of a first packet against services: rules evaluated, and entries passed in the IPVS service table. No cost model in it. */
import type { SummaryRow } from '../csv.ts';
import type { Chart } from './chart.ts';
import { VEGA_LITE_SCHEMA } from './chart.ts';
import { estimateTable } from './chart-table.ts';
import { growthSentence, panelNote } from './compare-words.ts';
import type { Statistic } from './cost-lines.ts';
import { lineLayers, lineRows } from './cost-lines.ts';
import { engineLabel } from './engine-style.ts';
import { panels } from './layout.ts';
import { logDomain, logX, logY, UNIT_COUNT } from './scale.ts';
import { distinctValues, estimates } from './series.ts';
import { joinWords } from './words.ts';

const RULES_METRIC = 'rules_evaluated_per_first_packet_mean';
const ENTRIES_METRIC = 'service_chain_entries_per_first_packet_mean';

export function workVsServices(rows: readonly SummaryRow[]): Chart | undefined {
  const services = distinctValues(
    rows.filter((row) => row.metric === RULES_METRIC && row.mean !== null),
    'services',
  );
  if (services.length < 2) return undefined;
  const rules = estimates(rows, RULES_METRIC, 'services');
  const entries = estimates(rows, ENTRIES_METRIC, 'services');
  const passed = { ...entries, points: entries.points.filter((point) => point.mean > 0) };
  const statistics: Statistic[] = [
    { label: 'rules evaluated', points: rules.points },
    { label: 'service-table entries passed', points: passed.points },
  ].filter((statistic) => statistic.points.length > 0);
  const values = statistics.flatMap((statistic) => statistic.points.map((point) => point.mean));
  const panel = rules.panels.at(-1) ?? '';
  const withEntries = entries.engines.filter((engine) => passed.points.some((point) => point.engine === engine));
  const without = rules.engines.filter((engine) => !withEntries.includes(engine));
  const finding = [
    growthSentence(
      rules.points,
      rules.engines,
      panel,
      'the number of rules a first packet evaluates',
      'services',
      UNIT_COUNT,
    ),
    growthSentence(
      passed.points,
      withEntries,
      panel,
      'the number of service-table entries it passes',
      'services',
      UNIT_COUNT,
    ),
    withEntries.length > 0 && without.length > 0
      ? `${joinWords(without.map((engine) => engineLabel(engine)))} ${without.length === 1 ? 'has' : 'have'} no service table.`
      : '',
  ];
  return {
    id: 'work-vs-services',
    title: 'Work of a first packet',
    kind: 'work',
    spec: {
      $schema: VEGA_LITE_SCHEMA,
      data: { values: lineRows(statistics, UNIT_COUNT, logDomain(values)[0]) },
      ...panels(
        rules.panels,
        'rules or entries per first packet, mean (log scale)',
        lineLayers(
          rules.engines,
          statistics,
          logX('x', 'services', services),
          logY('value', values, UNIT_COUNT),
          'count',
        ),
        { one: 320, many: 210 },
      ),
    },
    finding:
      finding.filter((sentence) => sentence !== '').join(' ') + panelNote(rules.panels, panel, rules.hiddenPanels),
    reading:
      'These are exact counts of the simulated walk, not times: they depend on the scenario and the seed alone. ' +
      'Solid lines count rules (iptables or nftables) in every chain, dashed lines entries of the hash chains of the IPVS service table. ' +
      'Look-ups in nftables maps, whose number does not depend on services, are in no line.',
    table: estimateTable(statistics, UNIT_COUNT),
  };
}
