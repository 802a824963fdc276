/** What change does along an experiment's own axes, in sentences: the curve of losses first, then what its other charts of change say. */
import { axisAt, axisName, axisValue } from '../reports/charts/axis-words.ts';
import { changeCharts } from '../reports/charts/all.ts';
import { lineChoice, pointKey, statisticRows } from '../reports/charts/change-axis.ts';
import { LONGEST_LATENCY, LOSSES } from '../reports/charts/change-metrics.ts';
import type { Curve } from '../reports/charts/change-words.ts';
import { curveOf, isFlat } from '../reports/charts/change-words.ts';
import { pointValue } from '../reports/charts/series.ts';
import { joinWords } from '../reports/charts/words.ts';
import type { SummaryRow } from '../reports/csv.ts';
import { duration, short, shown } from './finding-words.ts';
import type { Finding } from './finding-words.ts';

/** Sentences about so many combinations of the other axes; the chart and the table have the rest. */
const COMBINATIONS = 4;
/** The captions of so many further charts of change. */
const CAPTIONS = 3;

export function changeFindings(summary: readonly SummaryRow[]): { curve: Finding[]; others: Finding[] } {
  const captions = changeCharts(summary)
    .filter(({ id }) => id !== `${LOSSES.id}-vs-axis`)
    .slice(0, CAPTIONS)
    .map(({ id, finding, verdict }) => ({ id, text: verdict ?? finding }));
  return { curve: lossCurve(summary), others: captions };
}

interface Line {
  readonly engine: string;
  readonly points: readonly { readonly x: number; readonly mean: number }[];
}

/** "With iptables and minSyncPeriod 1 s, 3.1 % of new connections were lost without preStop; from 2 s on none." */
function lossCurve(summary: readonly SummaryRow[]): Finding[] {
  const chosen = lineChoice(summary, LOSSES);
  if (chosen === undefined) return [];
  const { axis, others } = chosen;
  const combinations = new Map<string, SummaryRow[]>();
  for (const row of chosen.rows) {
    const name = others.map((other) => axisAt(other, pointValue(row, other))).join(' and ');
    combinations.set(name, [...(combinations.get(name) ?? []), row]);
  }
  return [...combinations]
    .slice(0, COMBINATIONS)
    .flatMap(([name, own]) => combinationFindings(name, own, axis, longestMs(summary, own)));
}

/** One sentence for all engines whose curves of new connections have zero at the same places. */
function combinationFindings(
  name: string,
  rows: readonly SummaryRow[],
  axis: string,
  longest: number | undefined,
): Finding[] {
  const [lostLabel = '', cutLabel = ''] = LOSSES.statistics.map((statistic) => statistic.label);
  const groups = new Map<string, { lost: Line; cut: Line }[]>();
  for (const engine of new Set(rows.map((row) => row.engine))) {
    const lost = lineOf(rows, engine, lostLabel, axis);
    if (lost.points.length === 0) continue;
    const key = JSON.stringify([curveOf(lost.points), lost.points[0]?.x, lost.points.at(-1)?.x]);
    groups.set(key, [...(groups.get(key) ?? []), { lost, cut: lineOf(rows, engine, cutLabel, axis) }]);
  }
  return [...groups.values()].map((group) => {
    const engines = group.map(({ lost }) => lost.engine);
    const names = joinWords(engines.map(shown));
    const lead = `With ${names}${name === '' ? '' : `${engines.length > 1 ? ', at ' : ' and '}${name}`}, `;
    const lost = curveWords(
      group.map((lines) => lines.lost),
      axis,
      (share) => `${share} of new connections were lost`,
      'no new connection was lost',
    );
    const cut = curveWords(
      group.map((lines) => lines.cut),
      axis,
      (share) => `of all connections ${share} were cut`,
      'no connection was cut',
    );
    const latency = longest === undefined ? '' : ` The longest programming latency was ${duration(longest)}.`;
    return {
      id: `losses-${engines.join('-')}${name === '' ? '' : ` (${name.replaceAll('\u00a0', ' ')})`}`,
      text: `${lead}${lost}.${cut === '' ? '' : ` ${cut.charAt(0).toUpperCase()}${cut.slice(1)}.`}${latency}`,
    };
  });
}

function lineOf(rows: readonly SummaryRow[], engine: string, label: string, axis: string): Line {
  const points = rows
    .filter((row) => row.engine === engine && row.metric === label && row.mean !== null)
    .map((row) => ({ x: Number(pointValue(row, axis)), mean: row.mean ?? 0 }))
    .sort((a, b) => a.x - b.x);
  return { engine, points };
}

/** What happens along lines: their first values, then where zero is (for all of them), else their last values. */
function curveWords(lines: readonly Line[], axis: string, some: (share: string) => string, none: string): string {
  const filled = lines.filter((line) => line.points.length > 0);
  const first = filled[0]?.points[0];
  const last = filled[0]?.points.at(-1);
  if (first === undefined || last === undefined) return '';
  const curves = filled.map((line) => curveOf(line.points));
  const xs = (kind: Curve['kind']): number[] =>
    curves.flatMap((curve) => (curve.kind === kind && 'x' in curve ? [curve.x] : []));
  if (curves.every((curve) => curve.kind === 'none')) return `${none} ${anywhere(filled[0]?.points ?? [], axis)}`;
  const shares = some(percent(filled.map((line) => line.points[0]?.mean ?? 0)));
  if (first !== last && filled.every((line) => isFlat(line.points))) return `${shares} at any ${axisName(axis)}`;
  const begin = `${shares} ${where(axis, first.x)}${peakWords(filled, axis)}`;
  if (first === last) return begin;
  const falls = xs('falls to zero');
  if (falls.length === filled.length) return `${begin}; from ${axisValue(axis, Math.max(...falls))} on none`;
  const end = `${percent(filled.map((line) => line.points.at(-1)?.mean ?? 0))} ${where(axis, last.x)}`;
  const rises = xs('rises from zero');
  if (rises.length === filled.length)
    return `${none} up to ${axisAt(axis, Math.min(...rises))}${peakWords(filled, axis)}; ${end}`;
  return `${begin}, ${end}`;
}

/** A value between the ends that is above both. */
function peakWords(lines: readonly Line[], axis: string): string {
  const ends = lines.flatMap(({ points }) => [points[0]?.mean ?? 0, points.at(-1)?.mean ?? 0]);
  const [peak] = lines.flatMap((line) => line.points).sort((a, b) => b.mean - a.mean || a.x - b.x);
  return peak === undefined || peak.mean <= Math.max(...ends) || percent([peak.mean]) === percent([Math.max(...ends)])
    ? ''
    : `, at most ${percent([peak.mean])} ${where(axis, peak.x)}`;
}

function anywhere(points: readonly { readonly x: number }[], axis: string): string {
  const [only] = points;
  return points.length === 1 && only !== undefined ? where(axis, only.x) : `at any ${axisName(axis)}`;
}

/** "without preStop", "at minSyncPeriod 2 s". */
function where(axis: string, x: number): string {
  return x === 0 && /pre_stop_s$/.test(axis) ? 'without preStop' : `at ${axisAt(axis, x)}`;
}

/** Of shares: "3.1 %", "2.9 to 3.1 %". */
function percent(shares: readonly number[]): string {
  const digits = (share: number): string => short(Number((share * 100).toPrecision(2)));
  const [low, high] = [digits(Math.min(...shares)), digits(Math.max(...shares))];
  return low === high ? `${low} %` : `${low} to ${high} %`;
}

/** The largest over the points of `rows` of the longest programming latency of a trial (mean over replications). */
function longestMs(summary: readonly SummaryRow[], rows: readonly SummaryRow[]): number | undefined {
  const points = new Set(rows.map(pointKey));
  const means = statisticRows(summary, LONGEST_LATENCY, 1)
    .filter((row) => points.has(pointKey(row)))
    .map((row) => row.mean ?? 0);
  return means.length === 0 ? undefined : Math.max(...means);
}
