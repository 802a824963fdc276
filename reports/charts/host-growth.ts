/** Time of an operation against the size of the job, ours and each peer's: how each grows. */
import type { GrowthRow, HostRow } from '../host-time.ts';
import type { Chart, Json, JsonObject } from './chart.ts';
import { VEGA_LITE_SCHEMA } from './chart.ts';
import { panels } from './layout.ts';
import { field, logX, logY, UNIT_NS } from './scale.ts';
import { formatNs, formatNumber, joinWords } from './words.ts';

/** Ours first; each pair differs for eyes with other cones, and the shape from all others. */
const STYLES = [
  { colour: '#d55e00', shape: 'circle' },
  { colour: '#0f7fc4', shape: 'square' },
  { colour: '#009e73', shape: 'triangle-up' },
  { colour: '#9933ff', shape: 'diamond' },
  { colour: '#808080', shape: 'cross' },
  { colour: '#b5658f', shape: 'triangle-left' },
  { colour: '#8a7a00', shape: 'triangle-down' },
  { colour: '#6b7280', shape: 'triangle-right' },
] as const;

/** A chart for each thing that sizes of this suite count, of the jobs with two sizes or more. */
export function hostGrowth(suite: string, rows: readonly HostRow[], growth: readonly GrowthRow[]): Chart[] {
  const units = [...new Set(growth.map((line) => line.size_of))];
  return units.map((unit, i) => {
    const lines = growth.filter((line) => line.size_of === unit);
    return growthChart(`${suite}-growth${i === 0 ? '' : `-${i + 1}`}`, unit, rows, lines);
  });
}

function growthChart(id: string, unit: string, rows: readonly HostRow[], lines: readonly GrowthRow[]): Chart {
  const jobs = [...new Set(lines.map((line) => line.job))];
  const drawn = rows.filter((row) => row.size_of === unit && jobs.includes(row.job));
  const contenders = [...new Set(drawn.map((row) => row.contender))];
  const bounds = drawn.flatMap((row) => [row.operation_low_ns, row.operation_high_ns]);
  const y = logY('value', bounds, UNIT_NS);
  const x = logX(
    'size',
    unit,
    drawn.map((row) => row.size),
  );
  const styles = contenders.map((_, i) => STYLES[i % STYLES.length] ?? STYLES[0]);
  const channel = (range: readonly string[]): JsonObject => ({
    field: 'contender',
    type: 'nominal',
    title: null,
    scale: { domain: contenders, range },
  });
  const color = channel(styles.map(({ colour }) => colour));
  const tooltip: Json = [
    field('contender', 'contender'),
    field('panel', 'job'),
    field('size', unit, 'quantitative', ','),
    field('text', 'an operation'),
    field('interval', '95% interval'),
  ];
  const layer: readonly Json[] = [
    { mark: { type: 'line', tooltip: false }, encoding: { x, y, color } },
    {
      mark: { type: 'rule', strokeWidth: 2, tooltip: false },
      encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color },
    },
    {
      mark: { type: 'point', filled: true, size: 70, opacity: 1 },
      encoding: { x, y, color, shape: channel(styles.map(({ shape }) => shape)), tooltip },
    },
  ];
  return {
    id,
    title: `Time of an operation against ${unit}`,
    kind: 'host time',
    spec: {
      $schema: VEGA_LITE_SCHEMA,
      data: { values: drawn.map(dataOf) },
      ...panels(jobs, 'median time of an operation (log scale)', layer, { one: 300, many: 200 }),
    },
    finding: finding(unit, lines),
    reading:
      'Each point is a job of that size, the upright line through it the 95% interval of the median. A level line is a time that does not ' +
      'depend on the size; the exponent is the slope of a straight line through the points.',
    table: {
      columns: ['job', 'contender', 'sizes', 'exponent', '95% interval', 'bar', 'verdict'],
      rows: lines.map((line) => [
        line.job,
        line.contender,
        line.points,
        line.exponent.toFixed(2),
        `${line.exponent_low.toFixed(2)} to ${line.exponent_high.toFixed(2)}`,
        line.bar_exponent === null ? null : `≤ ${line.bar_exponent}`,
        line.verdict === '' ? null : line.verdict,
      ]),
    },
  };
}

function dataOf(row: HostRow): JsonObject {
  return {
    panel: row.job,
    contender: row.contender,
    size: row.size,
    value: row.operation_median_ns,
    low: row.operation_low_ns,
    high: row.operation_high_ns,
    text: formatNs(row.operation_median_ns),
    interval: `${formatNs(row.operation_low_ns)} to ${formatNs(row.operation_high_ns)}`,
  };
}

/** Ours alone, job by job: "With pending events our time of an operation grows with the exponent 0.12 (exponential) ...". */
function finding(unit: string, lines: readonly GrowthRow[]): string {
  const ours = lines.filter((line, i) => lines.findIndex((other) => other.job === line.job) === i);
  const parts = ours.map(
    (line) =>
      `${line.exponent.toFixed(2)} (${line.job}: ${formatNumber(line.exponent_low)} to ${formatNumber(line.exponent_high)})`,
  );
  return `In ${unit}, our time of an operation has the exponent ${joinWords(parts)}.`;
}
