/** First-packet cost against installed rules, with a mark at 5,000 rules: the size from which performance is said to drop. */
import type { SummaryRow } from '../csv.ts';
import type { Chart, Json } from './chart.ts';
import { VEGA_LITE_SCHEMA } from './chart.ts';
import { estimateTable } from './chart-table.ts';
import { panelNote } from './compare-words.ts';
import { lineLayers, lineRows } from './cost-lines.ts';
import { engineLabel } from './engine-style.ts';
import { panels } from './layout.ts';
import { rangeBounds, rangeReading } from './range-band.ts';
import type { Unit } from './scale.ts';
import { logDomain, logX, logY } from './scale.ts';
import type { Estimate } from './series.ts';
import { costMetric, distinctValues, estimates, formatIn, lineOf } from './series.ts';
import { MARK_COLOUR } from './theme.ts';
import { formatNumber, formatTimes } from './words.ts';

/** The claim: "with 5,000 or more rules, network performance may drop". */
const CLAIMED_RULES = 5000;

export function costVsRules(rows: readonly SummaryRow[]): Chart | undefined {
  const cost = costMetric(rows, 'cost_first_packet_mean');
  if (cost === undefined) return undefined;
  const { metric, unit } = cost;
  const chosen = rows.filter((row) => row.metric === metric);
  const along = (['services', 'endpoints_per_service'] as const).find(
    (column) => distinctValues(chosen, column).length > 1,
  );
  if (along === undefined || distinctValues(chosen, 'rules').length < 2) return undefined;
  const all = estimates(rows, metric, 'rules', along);
  const statistics = [{ label: 'mean', points: all.points }];
  const values = [...all.points.map((point) => point.mean), ...rangeBounds(all.points)];
  const xs = [...all.points.map((point) => point.x), CLAIMED_RULES];
  const y = logY('value', values, unit);
  const panel = all.panels.at(-1) ?? '';
  const sentences = all.engines.map((engine) => claimSentence(lineOf(all.points, engine, panel), engine, unit));
  const claim: readonly Json[] = [
    {
      // Data of its own: otherwise the mark is drawn once for each row.
      data: { values: [{}] },
      mark: { type: 'rule', strokeDash: [5, 4], strokeWidth: 1.4, color: MARK_COLOUR, tooltip: false },
      encoding: { x: { datum: CLAIMED_RULES } },
    },
    {
      data: { values: [{}] },
      mark: {
        type: 'text',
        align: 'right',
        baseline: 'top',
        dx: -6,
        y: 2,
        fontSize: 12,
        color: MARK_COLOUR,
        text: ['the claim: slower', 'from 5,000 rules on'],
        tooltip: false,
      },
      encoding: { x: { datum: CLAIMED_RULES } },
    },
  ];
  return {
    id: 'cost-vs-rules',
    title: 'Cost of a first packet against installed rules',
    kind: 'modelled cost',
    spec: {
      $schema: VEGA_LITE_SCHEMA,
      data: { values: lineRows(statistics, unit, logDomain(values)[0]) },
      ...panels(
        all.panels,
        'modelled cost of a first packet, mean (log scale)',
        [
          ...lineLayers(all.engines, statistics, { ...logX('x', 'rules installed', xs) }, y, 'cost', { ranges: true }),
          ...claim,
        ],
        { one: 340, many: 220 },
      ),
    },
    finding: sentences.filter((sentence) => sentence !== '').join(' ') + panelNote(all.panels, panel, all.hiddenPanels),
    reading:
      'Each point is one cluster size; x counts what that engine installs for it, so the same cluster stands further left for an ' +
      'engine that needs fewer rules. A threshold would show as a step at the dashed line, mere growth as a line of one slope.' +
      ` ${rangeReading(all.points)}`.trimEnd(),
    table: estimateTable(statistics, unit),
  };
}

/** A point above and one below the claim that are further apart (in rules, as a ratio) cannot show what happens at it. */
const CLOSE_RATIO = 1.5;

/** What happens around CLAIMED_RULES on one line: the cost there, and whether the slope changes. */
function claimSentence(line: readonly Estimate[], engine: string, unit: Unit): string {
  const name = engineLabel(engine);
  const first = line[0];
  const last = line.at(-1);
  if (first === undefined || last === undefined) return '';
  const at = line.findIndex((point) => point.x >= CLAIMED_RULES);
  const above = line[at];
  const below = line[at - 1];
  if (above === undefined) return `${name} has at most ${formatNumber(last.x)} rules here, below the claim's 5,000.`;
  if (below === undefined)
    return `${name} has at least ${formatNumber(first.x)} rules here, so nothing is known of fewer than 5,000.`;
  const range = `${formatIn(unit, below.mean)} at ${formatNumber(below.x)} rules and ${formatIn(unit, above.mean)} at ${formatNumber(above.x)}`;
  const rise = above.mean / below.mean;
  const rules = above.x / below.x;
  if (rules > CLOSE_RATIO)
    return `For ${name} this sweep has no points close enough to 5,000 rules to tell (${range}).`;
  const growth = `: ${formatTimes(rise)} the cost for ${formatTimes(rules)} the rules`;
  if (rise < 1.05) return `${name} does not get dearer across 5,000 rules (${range}).`;
  if (rise > rules * 1.1) return `${name} shows a jump across 5,000 rules (${range})${growth}.`;
  return `${name} passes 5,000 rules without a jump (${range})${growth}.`;
}
