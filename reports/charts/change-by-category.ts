/** What change does by the values of a text axis (a scheduler, an API, a version): dots with intervals, a row for each value and engine. */
import type { Cell } from '../../model/observation.ts';
import type { SummaryRow } from '../csv.ts';
import { axisHead, axisValue } from './axis-words.ts';
import { chooseAxis, isNumericAxis, lineChoice, linesWithoutEngines, metricRows, sweptAxes } from './change-axis.ts';
import type { ChangeMetric } from './change-metrics.ts';
import type { Chart, Json, JsonObject } from './chart.ts';
import { VEGA_LITE_SCHEMA } from './chart.ts';
import { estimateTable } from './chart-table.ts';
import { panelNote, verdictAt } from './compare-words.ts';
import type { Statistic } from './cost-lines.ts';
import { lineRows } from './cost-lines.ts';
import { engineChannels, engineLabel } from './engine-style.ts';
import { panels } from './layout.ts';
import { intervalFields } from './range-band.ts';
import { field, valueScale } from './scale.ts';
import type { Estimate } from './series.ts';
import { estimates, formatIn, lineOf, pointValue } from './series.ts';
import { STRONG_COLOUR } from './theme.ts';
import { formatShare, formatTimes, joinWords } from './words.ts';

/** More values than this are a list, not a comparison. */
const CATEGORIES_MAX = 16;
/** Names up to this length stand left of the dots, longer ones above them. */
const SHORT_NAME = 8;
/** Panels whose values are apart as far as this share of the furthest are as good to speak of. */
const NEARLY = 0.9;
/** Height of one line of dots, in pixels. */
const LINE_HEIGHT = 17;

/** Where each category's name and dots stand, in lines from the top. */
interface Layout {
  readonly lines: number;
  readonly nameLine: (category: number) => number;
  readonly dotLine: (category: number, engine: number) => number;
  readonly namesAbove: boolean;
}

/** Undefined where the metric is absent, no text axis changes it, or a line chart already tells its two values apart. */
export function changeByCategory(rows: readonly SummaryRow[], metric: ChangeMetric): Chart | undefined {
  const own = metricRows(rows, metric);
  const firstLabel = metric.statistics[0]?.label ?? '';
  const chosen = chooseAxis(
    own,
    sweptAxes(own).filter((axis) => !isNumericAxis(own, axis)),
    metric,
  );
  if (chosen === undefined) return undefined;
  const { axis } = chosen;
  if (lineChoice(rows, metric)?.lineAxis === axis) return undefined;
  const drawn = linesWithoutEngines(chosen.rows, [])?.rows ?? chosen.rows;
  const categories = distinctCells(drawn, axis);
  if (categories.length > CATEGORIES_MAX) return undefined;
  const unmeasured = estimatedCategories(drawn, axis);
  const names = categories.map((value) => `${axisValue(axis, value)}${unmeasured.has(value) ? ESTIMATED : ''}`);
  const indexOf = (row: SummaryRow): Cell => categories.indexOf(pointValue(row, axis));
  const all = estimates(drawn, firstLabel, axis, axis, indexOf);
  const statistics: Statistic[] = metric.statistics
    .map(({ label }) => ({ label, points: estimates(drawn, label, axis, axis, indexOf).points }))
    .filter(({ points }) => points.length > 0);
  const layout = layoutOf(names, all.engines.length);
  const means = statistics.flatMap(({ points }) => points.map((point) => point.mean));
  const { scale, axis: valueAxis, note, floor } = valueScale(means, metric.unit, metric.isLoss);
  const x: JsonObject = { field: 'value', type: 'quantitative', title: null, scale, axis: valueAxis };
  const values = lineRows(statistics, metric.unit, floor).map((row) => ({
    ...row,
    name: names[Number(row['x'])] ?? '',
    line: layout.dotLine(
      Number(row['x']),
      all.engines.findIndex((engine) => engineLabel(engine) === row['engine']),
    ),
  }));
  const panel = widestPanel(all.points, all.panels);
  const sentences = all.engines
    .map((engine) => extremesSentence(lineOf(all.points, engine, panel), names, engine, metric))
    .filter((sentence) => sentence !== '')
    .join(' ');
  const extremes = sentences.includes(ESTIMATED) ? `${sentences} (${ESTIMATED} ${ESTIMATED_MEANS}.)` : sentences;
  const height = layout.lines * LINE_HEIGHT;
  return {
    id: `${metric.id}-by-category`,
    title: `${metric.title} by ${axisHead(axis)}`,
    kind: metric.kind,
    spec: {
      $schema: VEGA_LITE_SCHEMA,
      data: { values: [...values, ...nameRows(all.panels, names, layout)] },
      // Names stand outside of the plots; without this a panel would be moved by their width.
      ...(all.panels.length > 1 ? { bounds: 'flush' } : {}),
      ...panels(
        all.panels,
        headingOf(`${metric.heading}${note}`, statistics),
        dotLayers(all.engines, statistics, x, layout, axisHead(axis)),
        {
          one: height,
          many: height,
        },
      ),
    },
    finding: [extremes, panelNote(all.panels, panel, all.hiddenPanels).trim(), chosen.note]
      .filter((sentence) => sentence !== '')
      .join(' '),
    verdict: verdictAt(panel, extremes),
    reading:
      `${metric.reading} Lines through dots are 95% confidence intervals of the mean over replications` +
      `${statistics.length > 1 ? `; hollow marks: ${statistics[1]?.label ?? ''}` : ''}.` +
      (unmeasured.size > 0 ? ` ${ESTIMATED} ${ESTIMATED_MEANS}.` : ''),
    table: estimateTable(statistics, metric.unit, [
      { title: axisHead(axis), value: (point) => names[point.x] ?? null },
    ]),
  };
}

/** Behind the name of a category that no measurement has, where others are measured or derived from what is. */
const ESTIMATED = '*';
const ESTIMATED_MEANS = 'estimated from its algorithm: no measurement has it';

function estimatedCategories(rows: readonly SummaryRow[], axis: string): Set<Cell> {
  if (rows.every((row) => row.basis === 'estimated')) return new Set();
  return new Set(rows.filter((row) => row.basis === 'estimated').map((row) => pointValue(row, axis)));
}

/** Of the panels in which the values are about the furthest apart, the last one: that is what there is to say. */
function widestPanel(points: readonly Estimate[], panelNames: readonly string[]): string {
  const spread = (panel: string): number => {
    const means = points.filter((point) => point.panel === panel).map((point) => point.mean);
    const high = Math.max(...means);
    return high > 0 ? (high - Math.min(...means)) / high : 0;
  };
  const widest = Math.max(...panelNames.map(spread));
  return panelNames.findLast((panel) => spread(panel) >= NEARLY * widest) ?? '';
}

/** No legend of Vega's shows which marks are hollow. */
function headingOf(heading: string, [first, second]: readonly Statistic[]): string | readonly string[] {
  return second === undefined ? heading : [heading, `filled: ${first?.label ?? ''}; hollow: ${second.label}`];
}

/** In the order of the scenario's list, which is that of the rows. */
function distinctCells(rows: readonly SummaryRow[], axis: string): Cell[] {
  return [...new Set(rows.map((row) => pointValue(row, axis)))];
}

function layoutOf(names: readonly string[], engines: number): Layout {
  const namesAbove = names.some((name) => name.length > SHORT_NAME);
  const heading = namesAbove ? 1 : 0;
  // Half a line of air between categories of several lines.
  const air = heading + engines > 1 ? 0.5 : 0;
  const each = heading + engines + air;
  return {
    lines: each * names.length,
    nameLine: (category) => category * each + air / 2 + (namesAbove ? 0.5 : engines / 2),
    dotLine: (category, engine) => category * each + air / 2 + heading + engine + 0.5,
    namesAbove,
  };
}

function nameRows(panelNames: readonly string[], names: readonly string[], layout: Layout): JsonObject[] {
  return panelNames.flatMap((panel) =>
    names.map((name, category) => ({ panel, label: name, line: layout.nameLine(category) })),
  );
}

function dotLayers(
  engines: readonly string[],
  statistics: readonly Statistic[],
  x: JsonObject,
  layout: Layout,
  nameTitle: string,
): Json[] {
  const { color, shape } = engineChannels(engines);
  const y: JsonObject = {
    field: 'line',
    type: 'quantitative',
    title: null,
    scale: { domain: [layout.lines, 0], nice: false, zero: false },
    // Names are marks of their own: those of an axis would be cut off.
    axis: { labelExpr: "''", ticks: false, grid: false },
  };
  const many = statistics.length > 1;
  const labels = statistics.map((statistic) => statistic.label);
  const dots = { filter: 'isValid(datum.value)' };
  const tooltip: Json = [
    field('name', nameTitle),
    field('engine', 'engine'),
    ...(many ? [field('statistic', 'statistic')] : []),
    field('text', 'value'),
    ...intervalFields(statistics[0]?.points ?? []),
    field('replications', 'replications', 'quantitative'),
  ];
  return [
    {
      transform: [{ filter: 'isValid(datum.label)' }],
      mark: {
        type: 'text',
        align: layout.namesAbove ? 'left' : 'right',
        baseline: 'middle',
        fontSize: 12,
        color: STRONG_COLOUR,
        tooltip: false,
      },
      encoding: { x: { value: layout.namesAbove ? 0 : -10 }, y, text: { field: 'label' } },
    },
    {
      transform: [dots, { filter: 'datum.first && isValid(datum.low) && isValid(datum.high)' }],
      mark: { type: 'rule', strokeWidth: 2, opacity: 0.55, tooltip: false, clip: true },
      encoding: { x: { ...x, field: 'low' }, x2: { field: 'high' }, y, color },
    },
    {
      transform: [dots],
      mark: { type: 'point', size: 70, strokeWidth: 1.6, opacity: 1, tooltip: false },
      encoding: {
        x,
        y,
        color,
        shape,
        fill: color,
        ...(many
          ? {
              fillOpacity: {
                field: 'statistic',
                type: 'ordinal',
                title: null,
                scale: { domain: labels, range: [1, 0, 0].slice(0, labels.length) },
                legend: null,
              },
            }
          : {}),
      },
    },
    {
      transform: [dots],
      mark: { type: 'point', filled: true, size: 260, opacity: 0 },
      encoding: { x, y, tooltip },
    },
  ];
}

/** "With IPVS, the mean cost of a first packet is lowest with dh and nq (3.75 µs) and highest with wlc (3.92 µs), 4.5% more." */
function extremesSentence(
  line: readonly Estimate[],
  names: readonly string[],
  engine: string,
  { subject, unit }: ChangeMetric,
): string {
  if (line.length < 2) return '';
  const means = line.map((point) => point.mean);
  const [low, high] = [Math.min(...means), Math.max(...means)];
  const named = (mean: number): string =>
    joinWords(line.filter((point) => point.mean === mean).map((point) => names[point.x] ?? ''));
  const begin = `With ${engineLabel(engine)}, ${subject}`;
  if (low === high) return `${begin} is ${formatIn(unit, low)} with each.`;
  const ratio = high / low;
  const more = ratio < 1.95 ? `${formatShare(ratio - 1)} more` : `${formatTimes(ratio)} as much`;
  return `${begin} is lowest with ${named(low)} (${formatIn(unit, low)}) and highest with ${named(high)} (${formatIn(unit, high)})${low > 0 ? `, ${more}` : ''}.`;
}
