/** Which axis of a sweep changes a metric: what a chart takes for its x, and which axes it may leave out because they change nothing. */
import type { Cell } from '../../model/observation.ts';
import type { SummaryRow } from '../csv.ts';
import { axisAt } from './axis-words.ts';
import type { ChangeMetric, ChangeStatistic } from './change-metrics.ts';
import { formatShare, joinWords } from './words.ts';
import { pointValue } from './series.ts';

/** A difference below this share of the larger value is not worth a chart. */
const WORTH_A_CHART = 0.01;
/** Without intervals nobody knows what is chance: the difference must be larger. */
const WORTH_WITHOUT_INTERVALS = 0.1;
/** An axis is passed over for a later one that typically changes the metric by half as much again. */
const MUCH_MORE = 1.5;
/** An axis that changes little, and far less than the chosen one, has no panels of its own. */
const LITTLE = 0.25;
const FAR_LESS = 4;

const COLUMN_AXES = ['services', 'endpoints_per_service'] as const;

/** Rows of one statistic, as a share where it is one and in the chart's unit; `metric` becomes the label. Empty where a column is missing. */
export function statisticRows(
  rows: readonly SummaryRow[],
  { label, metric, over }: ChangeStatistic,
  factor: number,
): SummaryRow[] {
  const wholes = new Map<string, number>();
  if (over !== undefined) {
    for (const row of rows) if (row.metric === over && row.mean !== null) wholes.set(pointKey(row), row.mean);
  }
  return rows.flatMap((row) => {
    if (row.metric !== metric || row.mean === null) return [];
    const whole = over === undefined ? 1 : (wholes.get(pointKey(row)) ?? 0);
    if (whole <= 0) return [];
    // Counts and times are not below zero; an interval of few replications may say so.
    const by = (value: number | null): number | null => (value === null ? null : Math.max(0, (value * factor) / whole));
    return [
      {
        ...row,
        metric: label,
        mean: by(row.mean),
        stddev: by(row.stddev),
        ci95_low: by(row.ci95_low),
        ci95_high: by(row.ci95_high),
        ...(row.range_low === undefined || row.range_high === undefined
          ? {}
          : { range_low: (row.range_low * factor) / whole, range_high: (row.range_high * factor) / whole }),
      },
    ];
  });
}

/** Names of what the sweep varies: its own axes first, then services and endpoints where no own axis decides them. */
export function sweptAxes(rows: readonly SummaryRow[]): string[] {
  const own = [...new Set(rows.flatMap((row) => Object.keys(row.axes)))].filter(
    (name) => new Set(rows.map((row) => row.axes[name] ?? null)).size > 1,
  );
  const columns = COLUMN_AXES.filter((column) => {
    const at = new Map<string, number | null>();
    return rows.some((row) => {
      const key = JSON.stringify(own.map((name) => row.axes[name] ?? null));
      if (!at.has(key)) at.set(key, row[column]);
      return at.get(key) !== row[column];
    });
  });
  return [...own, ...columns];
}

export function isNumericAxis(rows: readonly SummaryRow[], axis: string): boolean {
  return rows.every((row) => typeof pointValue(row, axis) === 'number');
}

export interface ChosenAxis {
  readonly axis: string;
  /** Axes that are left, beside `axis`. */
  readonly others: readonly string[];
  /** Without those at other values of axes that change little. */
  readonly rows: readonly SummaryRow[];
  /** What was left out, in a sentence; empty where nothing was. */
  readonly note: string;
}

/**
 * The first of `candidates` that changes the metric (no later one by far more); undefined when none does.
 * `rows` are those of the metric's statistics.
 */
export function chooseAxis(
  rows: readonly SummaryRow[],
  candidates: readonly string[],
  metric: ChangeMetric,
): ChosenAxis | undefined {
  const axes = sweptAxes(rows);
  const variations = new Map(axes.map((axis) => [axis, variationAlong(rows, axis, axes)]));
  const shareOf = (axis: string): number => variations.get(axis)?.share ?? 0;
  const factorOf = (axis: string): number => variations.get(axis)?.factor ?? 1;
  const worth = candidates.filter((axis) => {
    if ((variations.get(axis)?.difference ?? 0) < (metric.leastDifference ?? 0)) return false;
    const isClear = variations.get(axis)?.clear ?? false;
    return shareOf(axis) >= WORTH_A_CHART && (isClear || metric.isLoss);
  });
  const most = Math.max(1, ...worth.map(factorOf));
  const axis = worth.find((name) => (factorOf(name) - 1) * MUCH_MORE >= most - 1);
  if (axis === undefined) return undefined;
  const idle = axes.filter(
    (name) => name !== axis && shareOf(name) < LITTLE && shareOf(name) * FAR_LESS < shareOf(axis),
  );
  const others = axes.filter((name) => name !== axis && !idle.includes(name));
  return { axis, others, ...atOneValue(rows, idle, shareOf) };
}

/** Rows of the sweep's own axes that change none of `metrics` at one value each: panels that look the same say nothing. */
export function withoutIdleAxes(
  rows: readonly SummaryRow[],
  metrics: readonly string[],
): { rows: readonly SummaryRow[]; note: string } {
  const own = rows.filter((row) => metrics.includes(row.metric) && row.mean !== null);
  const axes = sweptAxes(own);
  const shares = new Map(axes.map((axis) => [axis, variationAlong(own, axis, axes).share]));
  const idle = axes.filter((axis) => axis in (own[0]?.axes ?? {}) && (shares.get(axis) ?? 0) < WORTH_A_CHART);
  return atOneValue(rows, idle, (axis) => shares.get(axis) ?? 0);
}

function atOneValue(
  rows: readonly SummaryRow[],
  axes: readonly string[],
  shareOf: (axis: string) => number,
): { rows: readonly SummaryRow[]; note: string } {
  let left = rows;
  const places: string[] = [];
  for (const name of axes) {
    const value = fullestValue(left, name);
    left = left.filter((row) => pointValue(row, name) === value);
    places.push(axisAt(name, value));
  }
  if (places.length === 0) return { rows: left, note: '' };
  const most = Math.max(...axes.map(shareOf));
  const difference = most === 0 ? 'are the same' : `differ by at most ${formatShare(most)}`;
  const along = places.length === 1 ? 'that axis' : 'each of these axes';
  return { rows: left, note: `Drawn at ${joinWords(places)}: elsewhere along ${along} the values ${difference}.` };
}

/** The first value that no other one has more rows of: trials that failed leave gaps. */
function fullestValue(rows: readonly SummaryRow[], axis: string): Cell {
  const counts = new Map<Cell, number>();
  for (const row of rows) {
    const value = pointValue(row, axis);
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const most = Math.max(...counts.values());
  return [...counts].find(([, count]) => count === most)?.[0] ?? null;
}

interface Variation {
  /** The largest difference between two values of the axis, all else equal, as a share of the larger mean. */
  readonly share: number;
  /** The same in the metric's unit. */
  readonly difference: number;
  /** How many times the smallest mean the largest one is; the median over all combinations of the rest. */
  readonly factor: number;
  /** Somewhere the difference is hardly chance: neither mean lies in the other's interval. All points meet the same chance. */
  readonly clear: boolean;
}

function variationAlong(rows: readonly SummaryRow[], axis: string, axes: readonly string[]): Variation {
  const groups = new Map<string, SummaryRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([
      row.metric,
      row.engine,
      row.profile,
      ...axes.filter((name) => name !== axis).map((name) => pointValue(row, name)),
    ]);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  let share = 0;
  let difference = 0;
  let clear = false;
  const factors: number[] = [];
  for (const group of groups.values()) {
    const means = group.map((row) => row.mean ?? 0);
    const high = group[means.indexOf(Math.max(...means))];
    const low = group[means.indexOf(Math.min(...means))];
    if (high?.mean === undefined || high.mean === null || low?.mean === undefined || low.mean === null) continue;
    if (high.mean <= 0) continue;
    factors.push(low.mean > 0 ? high.mean / low.mean : Infinity);
    const own = (high.mean - low.mean) / high.mean;
    share = Math.max(share, own);
    difference = Math.max(difference, high.mean - low.mean);
    clear ||=
      high.ci95_low === null || low.ci95_high === null
        ? own >= WORTH_WITHOUT_INTERVALS
        : high.ci95_low > low.mean && low.ci95_high < high.mean && own >= WORTH_A_CHART;
  }
  factors.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return { share, difference, factor: factors[factors.length >> 1] ?? 1, clear };
}

/** The engine's name of rows that are the same in every mode. */
const ALL_MODES = 'all proxy modes';

/**
 * Lines for a metric that engines do not change: one for each of the two values of a text axis, else one for all modes.
 * Null where engines differ, or a single engine has no such axis.
 */
export function linesWithoutEngines(
  rows: readonly SummaryRow[],
  others: readonly string[],
): { rows: SummaryRow[]; lineAxis: string | undefined } | undefined {
  const engines = [...new Set(rows.map((row) => row.engine))];
  if (!sameInAllEngines(rows, engines.length)) return undefined;
  const lineAxis = others.find(
    (name) => !isNumericAxis(rows, name) && new Set(rows.map((row) => pointValue(row, name))).size === 2,
  );
  if (lineAxis === undefined && engines.length === 1) return undefined;
  const first = rows.filter((row) => row.engine === engines[0]);
  return {
    lineAxis,
    rows: first.map((row) => {
      const engine = lineAxis === undefined ? ALL_MODES : axisAt(lineAxis, pointValue(row, lineAxis));
      const axes = Object.fromEntries(Object.entries(row.axes).filter(([name]) => name !== lineAxis));
      return { ...row, engine, axes };
    }),
  };
}

/** What a line chart of the metric against a numeric axis is made of; undefined where no such axis changes it. */
export function lineChoice(rows: readonly SummaryRow[], metric: ChangeMetric) {
  const own = metricRows(rows, metric);
  const candidates = sweptAxes(own).filter(
    (axis) => isNumericAxis(own, axis) && (metric.isOfChange || axis in (own[0]?.axes ?? {})),
  );
  const chosen = chooseAxis(own, candidates, metric);
  if (chosen === undefined) return undefined;
  const lines = linesWithoutEngines(chosen.rows, chosen.others);
  return { ...chosen, drawn: lines?.rows ?? chosen.rows, lineAxis: lines?.lineAxis };
}

/** The rows of all statistics of a metric; none where the first is absent. */
export function metricRows(rows: readonly SummaryRow[], { statistics, factor }: ChangeMetric): SummaryRow[] {
  const [first = [], ...others] = statistics.map((statistic) => statisticRows(rows, statistic, factor));
  return first.length === 0 ? [] : [first, ...others].flat();
}

function sameInAllEngines(rows: readonly SummaryRow[], engines: number): boolean {
  const points = new Map<string, SummaryRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.metric, row.profile, row.services, row.endpoints_per_service, row.axes]);
    points.set(key, [...(points.get(key) ?? []), row]);
  }
  return [...points.values()].every(
    (point) => point.length === engines && point.every((row) => row.mean === point[0]?.mean),
  );
}

/** One point of the sweep and engine. */
export function pointKey(row: SummaryRow): string {
  return JSON.stringify([row.engine, row.profile, row.services, row.endpoints_per_service, row.axes]);
}
