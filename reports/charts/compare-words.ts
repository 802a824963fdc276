/** Sentences about how engines' estimates change along x and which is the dearer one: what a chart's caption says, from its data. */
import { engineLabel } from './engine-style.ts';
import type { Unit } from './scale.ts';
import type { Estimate } from './series.ts';
import { formatIn, lineOf } from './series.ts';
import { formatNumber, formatTimes, joinWords } from './words.ts';

/** A change below this share counts as none in words. */
const SAME_WITHIN = 0.05;

/** "From 10 to 10,000 services it grows 24-fold with iptables (5.2 µs to 125 µs) and stays within 5% with IPVS (…)." */
export function growthSentence(
  points: readonly Estimate[],
  engines: readonly string[],
  panel: string,
  subject: string,
  xNoun: string,
  unit: Unit,
): string {
  const parts: string[] = [];
  let from = Infinity;
  let to = 0;
  for (const engine of engines) {
    const line = lineOf(points, engine, panel);
    const first = line[0];
    const last = line.at(-1);
    if (first === undefined || last === undefined || first === last) continue;
    from = Math.min(from, first.x);
    to = Math.max(to, last.x);
    parts.push(`${changeWords(first.mean, last.mean, unit)} with ${engineLabel(engine)}`);
  }
  if (parts.length === 0) return '';
  return `From ${formatNumber(from)} to ${formatNumber(to)} ${xNoun}, ${subject} ${joinWords(parts)}.`;
}

function changeWords(first: number, last: number, unit: Unit): string {
  const range = `(${formatIn(unit, first)} to ${formatIn(unit, last)})`;
  if (first === last) return `stays at ${formatIn(unit, first)}`;
  if (first === 0) return `grows from zero ${range}`;
  const ratio = last / first;
  if (ratio >= 1.95) return `grows ${formatTimes(ratio).replace(' times', '-fold')} ${range}`;
  if (ratio > 1 + SAME_WITHIN) return `grows by ${formatNumber(Math.round((ratio - 1) * 100))}% ${range}`;
  if (last === 0) return `falls to zero ${range}`;
  if (ratio < 1 - SAME_WITHIN) return `falls by ${formatNumber(Math.round((1 - ratio) * 100))}% ${range}`;
  return `stays within ${SAME_WITHIN * 100}% ${range}`;
}

/** Which of the first two engines costs more where: at every x, or up to a crossing between two measured x. */
export function rankingSentence(
  points: readonly Estimate[],
  engines: readonly string[],
  panel: string,
  xNoun: string,
): string {
  const [a, b] = engines;
  if (a === undefined || b === undefined) return '';
  const left = lineOf(points, a, panel);
  const right = new Map(lineOf(points, b, panel).map((point) => [point.x, point.mean]));
  const steps: { x: number; dearer: string }[] = [];
  let widest = { x: 0, ratio: 1, dearer: a };
  for (const point of left) {
    const other = right.get(point.x);
    if (other === undefined || point.mean <= 0 || other <= 0) continue;
    const dearer = point.mean > other ? a : point.mean < other ? b : '';
    const ratio = Math.max(point.mean / other, other / point.mean);
    if (ratio > widest.ratio) widest = { x: point.x, ratio, dearer };
    steps.push({ x: point.x, dearer });
  }
  if (steps.length === 0) return '';
  if (steps.every((step) => step.dearer === ''))
    return `${engineLabel(a)} and ${engineLabel(b)} are equal at every size.`;
  const gap = `${formatTimes(widest.ratio)} as much at ${formatNumber(widest.x)} ${xNoun}`;
  const changes = steps.flatMap((step, i) => {
    const before = steps[i - 1];
    return before !== undefined && before.dearer !== step.dearer ? [{ before, step }] : [];
  });
  const change = changes[0];
  if (change === undefined) {
    return `${engineLabel(widest.dearer)} costs more at every size, ${gap}.`;
  }
  if (changes.length > 1) {
    return `The lines cross more than once; the widest gap is at ${formatNumber(widest.x)} ${xNoun}, where ${engineLabel(widest.dearer)} costs ${formatTimes(widest.ratio)} as much.`;
  }
  const later = change.step.dearer === '' ? 'neither' : engineLabel(change.step.dearer);
  return `Between ${formatNumber(change.before.x)} and ${formatNumber(change.step.x)} ${xNoun} the lines cross: from there on ${later} costs more. The widest gap: ${engineLabel(widest.dearer)} costs ${gap}.`;
}

/** Names the panel that a sentence is about, when there are several. */
export function panelNote(panels: readonly string[], panel: string, hidden: number): string {
  const which = panels.length > 1 ? ` This is said of the panel "${panel}".` : '';
  return hidden > 0 ? `${which} ${hidden} more panels are left out; their numbers are in summary.csv.` : which;
}
