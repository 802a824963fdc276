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

/** Which engine costs more where: of two, at every x or up to a crossing between two measured x; of more, the order and who overtakes whom. */
export function rankingSentence(
  points: readonly Estimate[],
  engines: readonly string[],
  panel: string,
  xNoun: string,
): string {
  const drawn = engines.filter((engine) => lineOf(points, engine, panel).length > 0);
  const [a, b] = drawn;
  if (a === undefined || b === undefined) return '';
  if (drawn.length > 2) return orderSentence(points, drawn, panel, xNoun);
  const compared = comparePair(points, a, b, panel);
  if (compared === undefined) return '';
  const { steps, changes, widest } = compared;
  if (steps.every((step) => step.dearer === ''))
    return `${engineLabel(a)} and ${engineLabel(b)} are equal at every size.`;
  const gap = `${formatTimes(widest.ratio)} as much at ${formatNumber(widest.x)} ${xNoun}`;
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

interface PairStep {
  readonly x: number;
  /** Empty where the two are equal. */
  readonly dearer: string;
}

interface Pair {
  readonly steps: readonly PairStep[];
  readonly changes: readonly { readonly before: PairStep; readonly step: PairStep }[];
  readonly widest: { readonly x: number; readonly ratio: number; readonly dearer: string };
}

/** Two engines at each x that both have; undefined when there is none. */
function comparePair(points: readonly Estimate[], a: string, b: string, panel: string): Pair | undefined {
  const right = new Map(lineOf(points, b, panel).map((point) => [point.x, point.mean]));
  const steps: PairStep[] = [];
  let widest = { x: 0, ratio: 1, dearer: a };
  for (const point of lineOf(points, a, panel)) {
    const other = right.get(point.x);
    if (other === undefined || point.mean <= 0 || other <= 0) continue;
    const dearer = point.mean > other ? a : point.mean < other ? b : '';
    const ratio = Math.max(point.mean / other, other / point.mean);
    if (ratio > widest.ratio) widest = { x: point.x, ratio, dearer };
    steps.push({ x: point.x, dearer });
  }
  const changes = steps.flatMap((step, i) => {
    const before = steps[i - 1];
    return before !== undefined && before.dearer !== step.dearer ? [{ before, step }] : [];
  });
  return steps.length === 0 ? undefined : { steps, changes, widest };
}

/**
 * "At 10,000 services iptables costs the most, then IPVS and nftables: 9.3 times what nftables does. iptables overtakes IPVS between
 * 100 and 1,000 services."
 */
function orderSentence(points: readonly Estimate[], engines: readonly string[], panel: string, xNoun: string): string {
  const lines = engines.map((engine) => new Map(lineOf(points, engine, panel).map((point) => [point.x, point.mean])));
  const common = [...(lines[0]?.keys() ?? [])].filter((x) => lines.every((line) => line.has(x)));
  if (common.length === 0) return '';
  const largest = Math.max(...common);
  const at = (engine: string): number => lines[engines.indexOf(engine)]?.get(largest) ?? 0;
  const order = [...engines].sort((a, b) => at(b) - at(a) || engines.indexOf(a) - engines.indexOf(b));
  const [dearest = '', ...rest] = order;
  const cheapest = order.at(-1) ?? '';
  const ratio =
    at(cheapest) > 0 ? `: ${formatTimes(at(dearest) / at(cheapest))} what ${engineLabel(cheapest)} does` : '';
  const ranking =
    at(dearest) === at(cheapest)
      ? `At ${formatNumber(largest)} ${xNoun} all cost the same.`
      : `At ${formatNumber(largest)} ${xNoun} ${engineLabel(dearest)} costs the most, then ${joinWords(rest.map(engineLabel))}${ratio}.`;
  return `${ranking} ${overtakingSentence(points, engines, panel, xNoun)}`;
}

/** Whose line crosses whose, and between which two x; an engine's crossings in one sentence. */
function overtakingSentence(
  points: readonly Estimate[],
  engines: readonly string[],
  panel: string,
  xNoun: string,
): string {
  const overtaken = new Map<string, string[]>();
  const tangled: string[] = [];
  for (const [i, a] of engines.entries()) {
    for (const b of engines.slice(i + 1)) {
      const changes = comparePair(points, a, b, panel)?.changes ?? [];
      const [change] = changes;
      if (change === undefined) continue;
      const riser = change.step.dearer;
      if (changes.length > 1 || riser === '') {
        tangled.push(`${engineLabel(a)} and ${engineLabel(b)}`);
        continue;
      }
      const text = `${engineLabel(riser === a ? b : a)} between ${formatNumber(change.before.x)} and ${formatNumber(change.step.x)} ${xNoun}`;
      overtaken.set(riser, [...(overtaken.get(riser) ?? []), text]);
    }
  }
  const sentences = [...overtaken].map(([riser, texts]) => `${engineLabel(riser)} overtakes ${joinWords(texts)}.`);
  if (tangled.length > 0) sentences.push(`${joinWords(tangled)} cross more than once or meet.`);
  return sentences.length === 0 ? 'The order is the same at every size.' : sentences.join(' ');
}

/** A sentence that begins with "From" or "With", as it stands in a verdict: with the panel that it is about before it. */
export function verdictAt(panel: string, sentence: string): string {
  return panel === '' || sentence === ''
    ? sentence
    : `At ${panel}, ${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}`;
}

/** Names the panel that a sentence is about, when there are several. */
export function panelNote(panels: readonly string[], panel: string, hidden: number): string {
  const which = panels.length > 1 ? ` This is said of the panel "${panel}".` : '';
  return hidden > 0
    ? `${which} ${hidden} more ${hidden === 1 ? 'panel is' : 'panels are'} left out; all numbers are in summary.csv.`
    : which;
}
