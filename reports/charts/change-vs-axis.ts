/** What change does against a numeric axis of the experiment's own: losses with their zero, latencies, costs; one chart a metric. */
import type { SummaryRow } from '../csv.ts';
import type { Reference } from '../manifest.ts';
import { axisHead, axisSpan } from './axis-words.ts';
import { lineChoice, pointKey, statisticRows } from './change-axis.ts';
import type { ChangeMetric } from './change-metrics.ts';
import { LONGEST_LATENCY, NS_PER_MS } from './change-metrics.ts';
import { latencyWords, lossWords, waitOf } from './change-words.ts';
import type { Chart } from './chart.ts';
import { VEGA_LITE_SCHEMA } from './chart.ts';
import { estimateTable } from './chart-table.ts';
import { growthSentence, panelNote, verdictAt } from './compare-words.ts';
import type { Statistic } from './cost-lines.ts';
import { lineLayers, lineRows } from './cost-lines.ts';
import { panels } from './layout.ts';
import { referencePoints, referenceReading, referenceRows } from './reference-marks.ts';
import type { ReferencePoint } from './reference-marks.ts';
import { field, logDomain, logY, scaleFromZero, sweepX } from './scale.ts';
import type { Estimate } from './series.ts';
import { distinctValues, estimates, lineOf } from './series.ts';

/** Waits that are there to outlast programming latency. */
const WAITS = /^cluster\.pre_stop_s$/;

/** Sentences for at most so many panels; else one is spoken of. */
const PANELS_IN_WORDS = 3;

/** Undefined where the metric is absent or no numeric axis changes it. */
export function changeVsAxis(
  rows: readonly SummaryRow[],
  metric: ChangeMetric,
  references: readonly Reference[] = [],
): Chart | undefined {
  const chosen = lineChoice(rows, metric);
  if (chosen === undefined) return undefined;
  const { axis, drawn, lineAxis } = chosen;
  const all = estimates(drawn, metric.statistics[0]?.label ?? '', axis);
  const statistics: Statistic[] = metric.statistics
    .map(({ label }) => ({ label, points: estimates(drawn, label, axis).points }))
    .filter(({ points }) => points.length > 0);
  const [main] = metric.statistics;
  const published =
    main === undefined || main.over !== undefined
      ? []
      : referencePoints(references, { ...all, metric: main.metric, x: axis, factor: metric.factor });
  const { y, note, floor } = valueChannel(statistics, all.panels, metric, published);
  const panel = all.panels.at(-1) ?? '';
  const growth = growthSentence(all.points, all.engines, panel, metric.subject, axisSpan(axis), metric.unit);
  const lineTitle = lineAxis === undefined ? 'engine' : axisHead(lineAxis);
  return {
    id: `${metric.id}-vs-axis`,
    title: `${metric.title} against ${axisHead(axis)}`,
    kind: metric.kind,
    spec: {
      $schema: VEGA_LITE_SCHEMA,
      data: { values: [...lineRows(statistics, metric.unit, floor), ...referenceRows(published, metric.unit)] },
      ...panels(
        all.panels,
        `${metric.heading}${note}`,
        lineLayers(
          all.engines,
          statistics,
          sweepX('x', axisHead(axis), [...distinctValues(drawn, axis), ...published.map((point) => point.x)]),
          y,
          'value',
          {
            pointFields: [field('x', axisHead(axis), 'quantitative')],
            references: published,
          },
        ),
        { one: 300, many: 180 },
      ),
    },
    finding: withNotes(
      metric.isLoss ? lossFinding(statistics, all, axis, longestLatencies(rows, chosen.rows)) : growth,
      [metric.isLoss ? '' : panelNote(all.panels, panel, all.hiddenPanels).trim(), chosen.note],
    ),
    ...(metric.isLoss ? {} : { verdict: verdictAt(panel, growth) }),
    reading:
      `${metric.reading} The shaded band is the 95% confidence interval of the mean over replications` +
      `${statistics.length > 1 ? ` of the solid line; the dashed one is: ${statistics[1]?.label ?? ''}` : ''}.${referenceReading(published)}`,
    table: estimateTable(statistics, metric.unit, [{ title: axisHead(axis), value: (point) => point.x }], lineTitle),
  };
}

function withNotes(sentence: string, notes: readonly string[]): string {
  return [sentence, ...notes].filter((text) => text !== '').join(' ');
}

function valueChannel(
  statistics: readonly Statistic[],
  panelsDrawn: readonly string[],
  metric: ChangeMetric,
  published: readonly ReferencePoint[],
) {
  const points = statistics.flatMap((statistic) => statistic.points);
  const means = [...points, ...published].map((point) => ('mean' in point ? point.mean : point.value));
  if (!metric.isLoss && means.every((mean) => mean > 0))
    return { y: logY('value', means, metric.unit), note: ' (log scale)', floor: logDomain(means)[0] };
  const highs = (statistics[0]?.points ?? []).flatMap((point) => (point.high === null ? [] : [point.high]));
  const peaks = panelsDrawn.map((panel) =>
    Math.max(0, ...points.filter((point) => point.panel === panel).map((point) => point.mean)),
  );
  const { scale, axis, note, floor } = scaleFromZero([...means, ...highs], peaks, metric.unit);
  return { y: { field: 'value', type: 'quantitative', title: null, scale, axis }, note, floor };
}

/** The longest programming latency of a trial at the drawn points, mean over replications, in nanoseconds; empty where it was not recorded. */
function longestLatencies(rows: readonly SummaryRow[], drawn: readonly SummaryRow[]): SummaryRow[] {
  const points = new Set(drawn.map(pointKey));
  return statisticRows(rows, LONGEST_LATENCY, NS_PER_MS).filter((row) => points.has(pointKey(row)));
}

interface Drawn {
  readonly panels: readonly string[];
  readonly engines: readonly string[];
  readonly hiddenPanels: number;
}

/** What is lost and what is cut in each panel, where that ends, and what it has to do with programming latency. */
function lossFinding(
  [lost, cut]: readonly Statistic[],
  { panels: names, engines, hiddenPanels }: Drawn,
  axis: string,
  latencies: readonly SummaryRow[],
): string {
  if (lost === undefined) return '';
  const few = names.length <= PANELS_IN_WORDS;
  const spoken = few ? names : names.slice(-1);
  const sentence = (lead: string, { points }: Statistic): string => {
    const parts = spoken.map((panel) => {
      const where = panel === '' || !few ? '' : `with ${panel} `;
      return `${where}${lossWords(points, engines, panel, axis)}`;
    });
    return `${lead}: ${parts.join('; ')}.`;
  };
  const longest = estimates(latencies, LONGEST_LATENCY.label, axis).points;
  const waits = spoken.flatMap((panel) => {
    const lines = engines.map((engine) => lineOf(lost.points, engine, panel)).filter((line) => line.length > 0);
    return waitOf(lines, few ? panel : '', longestOf(longest, panel)) ?? [];
  });
  return (
    [
      sentence('New connections lost', lost),
      cut === undefined ? '' : sentence('Established ones cut', cut),
      WAITS.test(axis) ? latencyWords(waits, axis) : '',
    ]
      .filter((text) => text !== '')
      .join(' ') + panelNote(few ? [] : names, spoken[0] ?? '', hiddenPanels)
  );
}

function longestOf(points: readonly Estimate[], panel: string): number | undefined {
  const own = points.filter((point) => point.panel === panel).map((point) => point.mean);
  return own.length === 0 ? undefined : Math.max(...own);
}
