/** Our time over that of each peer, job by job, with its interval and the bar that it must not exceed. */
import type { HostRow } from '../host-time.ts';
import type { Chart, Json, JsonObject } from './chart.ts';
import { VEGA_LITE_SCHEMA } from './chart.ts';
import { axisHeading, DESIGN_WIDTH } from './layout.ts';
import { field, logY, UNIT_COUNT } from './scale.ts';
import { MARK_COLOUR, STRONG_COLOUR } from './theme.ts';
import { countOf, formatNs, formatNumber, joinWords } from './words.ts';

interface Ratio {
  readonly row: HostRow;
  readonly ours: HostRow;
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

const VERDICTS = [
  { label: 'bar met', colour: '#009e73', shape: 'circle' },
  { label: 'bar missed', colour: '#d55e00', shape: 'triangle-down' },
  { label: 'bar within the interval', colour: '#8a7a00', shape: 'diamond' },
  { label: 'no bar', colour: '#0f7fc4', shape: 'square' },
] as const;

type VerdictLabel = (typeof VERDICTS)[number]['label'];

const LABEL_OF: Readonly<Record<HostRow['verdict'], VerdictLabel>> = {
  pass: 'bar met',
  missed: 'bar missed',
  unclear: 'bar within the interval',
  '': 'no bar',
};

/** Of a row with the words above its mark, in pixels. */
const ROW_HEIGHT = 36;

/** `rows`: of one suite. Undefined where there is nobody to compare with. */
export function hostRatios(suite: string, rows: readonly HostRow[]): Chart | undefined {
  const ratios = ratiosOf(rows);
  if (ratios.length === 0) return undefined;
  const data = ratios.map((ratio, i) => dataOf(ratio, i));
  const shown = VERDICTS.filter(({ label }) => data.some((each) => each['verdict'] === label));
  const bounds = ratios.flatMap(({ row, low, high }) => [low, high, row.bar_ratio ?? low]);
  const { scale, axis } = logY('median', [...bounds, 1], UNIT_COUNT);
  const x: JsonObject = {
    field: 'median',
    type: 'quantitative',
    title: null,
    scale: scale ?? null,
    axis: axis ?? null,
  };
  const y: JsonObject = { field: 'order', type: 'ordinal', axis: null };
  const domain = shown.map(({ label }) => label);
  const color: JsonObject = {
    field: 'verdict',
    type: 'nominal',
    title: null,
    scale: { domain, range: shown.map(({ colour }) => colour) },
  };
  const shape: JsonObject = { ...color, scale: { domain, range: shown.map((each) => each.shape) } };
  const tooltip: Json = [
    field('what', 'job'),
    field('text', 'ours over it'),
    field('interval', '95% interval'),
    field('bar', 'bar'),
    field('ours', 'our operation'),
    field('theirs', 'its operation'),
    field('rounds', 'rounds', 'quantitative'),
  ];
  const layer: readonly Json[] = [
    {
      // Data of its own: otherwise the line is drawn once for each row.
      data: { values: [{}] },
      mark: { type: 'rule', strokeDash: [5, 4], strokeWidth: 1.4, color: MARK_COLOUR, tooltip: false },
      encoding: { x: { datum: 1 } },
    },
    {
      mark: { type: 'text', align: 'left', baseline: 'bottom', dy: -8, fontSize: 12, tooltip: false },
      encoding: { x: { value: 2 }, y, text: { field: 'what' }, color: { value: STRONG_COLOUR } },
    },
    {
      mark: { type: 'rule', strokeWidth: 2.5 },
      encoding: { x: { ...x, field: 'low' }, x2: { field: 'high' }, y, color, tooltip },
    },
    {
      mark: { type: 'point', filled: true, size: 70, opacity: 1 },
      encoding: { x, y, color, shape, tooltip },
    },
    {
      transform: [{ filter: 'isValid(datum.at_most)' }],
      mark: { type: 'tick', orient: 'vertical', thickness: 2, size: 16, color: STRONG_COLOUR },
      encoding: { x: { ...x, field: 'at_most' }, y, tooltip },
    },
  ];
  return {
    id: `${suite}-ratios`,
    title: 'Our time over theirs',
    kind: 'host time',
    spec: {
      $schema: VEGA_LITE_SCHEMA,
      data: { values: data },
      title: axisHeading(['our time over that of the one named (log scale);', 'left of 1 ours is faster']),
      width: DESIGN_WIDTH,
      height: ratios.length * ROW_HEIGHT,
      layer,
    },
    finding: finding(ratios),
    reading:
      'A mark is the median of the ratios of rounds that ran side by side, the line through it the 95% interval of that median. ' +
      'An upright stroke is the bar: the mark and its whole interval should be left of it.',
    table: {
      columns: ['job', 'against', 'ours over it', '95% interval', 'bar', 'verdict'],
      rows: ratios.map(({ row, median, low, high }) => [
        jobWords(row),
        row.contender,
        formatNumber(median),
        `${formatNumber(low)} to ${formatNumber(high)}`,
        row.bar_ratio === null ? null : `≤ ${formatNumber(row.bar_ratio)}`,
        row.verdict === '' ? null : row.verdict,
      ]),
    },
  };
}

/** "exponential, 10,000 pending events". */
export function jobWords(row: HostRow): string {
  return `${row.job}, ${formatNumber(row.size)} ${row.size_of}`;
}

function ratiosOf(rows: readonly HostRow[]): Ratio[] {
  let ours = rows[0];
  return rows.flatMap((row) => {
    const { median_ratio: median, low_ratio: low, high_ratio: high } = row;
    if (median === null || low === null || high === null) {
      ours = row;
      return [];
    }
    return ours === undefined ? [] : [{ row, ours, median, low, high }];
  });
}

function dataOf({ row, ours, median, low, high }: Ratio, order: number): JsonObject {
  return {
    order,
    what: `${jobWords(row)}: ${row.contender}`,
    median,
    low,
    high,
    at_most: row.bar_ratio,
    verdict: LABEL_OF[row.verdict],
    text: formatNumber(median),
    interval: `${formatNumber(low)} to ${formatNumber(high)}`,
    bar: row.bar_ratio === null ? 'none' : `at most ${formatNumber(row.bar_ratio)}`,
    ours: formatNs(ours.operation_median_ns),
    theirs: formatNs(row.operation_median_ns),
    rounds: row.rounds,
  };
}

function finding(ratios: readonly Ratio[]): string {
  const judged = ratios.filter(({ row }) => row.verdict !== '');
  const count = (verdict: HostRow['verdict']): number => judged.filter(({ row }) => row.verdict === verdict).length;
  const parts = [
    `${countOf(count('pass'), 'bar')} met`,
    ...(count('missed') > 0 ? [`${count('missed')} missed`] : []),
    ...(count('unclear') > 0 ? [`${count('unclear')} within the interval`] : []),
  ];
  const verdicts = judged.length === 0 ? '' : `${joinWords(parts)}. `;
  const sorted = [...ratios].sort((a, b) => a.median - b.median);
  const [best] = sorted;
  const worst = sorted.at(-1);
  if (best === undefined || worst === undefined) return verdicts.trimEnd();
  return `${verdicts}Ours takes ${extreme(worst)}${best === worst ? '' : ` at most and ${extreme(best)} at least`}.`;
}

function extreme({ row, median }: Ratio): string {
  return `${formatNumber(median)} times as long as ${row.contender} (${jobWords(row)})`;
}
