/** Sentences about losses along an axis: where a curve begins, where it reaches zero, and what that has to do with programming latency. */
import { axisAt, axisName, axisValue } from './axis-words.ts';
import { engineLabel } from './engine-style.ts';
import type { Estimate } from './series.ts';
import { lineOf } from './series.ts';
import { formatNs, formatShare, joinWords } from './words.ts';

/** How the values of one line, in ascending x, go to zero or come from it. */
export type Curve =
  | { readonly kind: 'none' }
  /** Something at first, nothing at `x` and at everything above. */
  | { readonly kind: 'falls to zero'; readonly x: number }
  /** Nothing up to `x`, something at everything above. */
  | { readonly kind: 'rises from zero'; readonly x: number }
  | { readonly kind: 'otherwise' };

export function curveOf(line: readonly { readonly x: number; readonly mean: number }[]): Curve {
  const somewhere = line.map((point) => point.mean > 0);
  const from = somewhere.indexOf(true);
  if (from < 0) return { kind: 'none' };
  const after = line[somewhere.lastIndexOf(true) + 1];
  if (after !== undefined && from === 0) return { kind: 'falls to zero', x: after.x };
  const before = line[from - 1];
  if (before !== undefined && after === undefined && !somewhere.slice(from).includes(false))
    return { kind: 'rises from zero', x: before.x };
  return { kind: 'otherwise' };
}

/** "0.51% to 0.56% at 0 s, none from 2 s on": engines whose curves have one kind of shape together, else each for itself. */
export function lossWords(
  points: readonly Estimate[],
  engines: readonly string[],
  panel: string,
  axis: string,
): string {
  const lines = engines
    .map((engine) => ({ engine, line: lineOf(points, engine, panel) }))
    .filter(({ line }) => line.length > 0);
  const shapes = new Set(lines.map(({ line }) => JSON.stringify([curveOf(line).kind, line[0]?.x, line.at(-1)?.x])));
  if (shapes.size === 1)
    return `${lineWords(
      lines.map(({ line }) => line),
      axis,
    )}${earlierZeros(lines, axis)}`;
  return lines.map(({ engine, line }) => `${lineWords([line], axis)} with ${engineLabel(engine)}`).join('; ');
}

/** Of lines that fall to zero at different x, who is earlier than the last: " (nftables from 1 s on)". */
function earlierZeros(
  lines: readonly { readonly engine: string; readonly line: readonly Estimate[] }[],
  axis: string,
): string {
  const falls = lines.flatMap(({ engine, line }) => {
    const curve = curveOf(line);
    return curve.kind === 'falls to zero' ? [{ engine, x: curve.x }] : [];
  });
  const last = Math.max(...falls.map(({ x }) => x));
  const early = falls.filter(({ x }) => x < last);
  if (early.length === 0) return '';
  return ` (${early.map(({ engine, x }) => `${engineLabel(engine)} from ${axisValue(axis, x)} on`).join(', ')})`;
}

/** One or more lines with the same x at their ends and one kind of shape. */
function lineWords(lines: readonly (readonly Estimate[])[], axis: string): string {
  const shown = lines[0] ?? [];
  const first = shown[0];
  const last = shown.at(-1);
  if (first === undefined || last === undefined) return 'unknown';
  const at = (pick: (line: readonly Estimate[]) => Estimate | undefined): string => {
    const means = lines.map((line) => pick(line)?.mean ?? 0);
    const [low, high] = [formatShare(Math.min(...means)), formatShare(Math.max(...means))];
    return low === high ? low : `${low} to ${high}`;
  };
  const begin = `${at((line) => line[0])} at ${axisValue(axis, first.x)}`;
  const end = `${at((line) => line.at(-1))} at ${axisValue(axis, last.x)}`;
  const curve = curveOf(shown);
  if (curve.kind === 'none') return first === last ? `none at ${axisValue(axis, first.x)}` : 'none at all';
  if (first === last) return begin;
  if (lines.every(isFlat)) return `${at((line) => line[0])} throughout`;
  const peak = insidePeak(lines);
  const hump = peak === undefined ? '' : `, at most ${formatShare(peak.mean)} at ${axisValue(axis, peak.x)}`;
  if (curve.kind === 'falls to zero')
    return `${begin}${hump}, none from ${axisValue(axis, reached(lines, 'falls to zero'))} on`;
  if (curve.kind === 'rises from zero')
    return `none up to ${axisValue(axis, reached(lines, 'rises from zero'))}${hump}, ${end}`;
  return `${begin}${hump}, ${end}`;
}

/** Where the last of the lines has come to zero, or the first of them leaves it. */
function reached(lines: readonly (readonly Estimate[])[], kind: 'falls to zero' | 'rises from zero'): number {
  const xs = lines.map(curveOf).flatMap((curve) => (curve.kind === kind ? [curve.x] : []));
  return kind === 'falls to zero' ? Math.max(...xs) : Math.min(...xs);
}

/** The largest point of all lines where it is above the ends of each. */
function insidePeak(lines: readonly (readonly Estimate[])[]): Estimate | undefined {
  const ends = lines.flatMap((line) => [line[0]?.mean ?? 0, line.at(-1)?.mean ?? 0]);
  const peak = largest(lines.flat());
  // Compared as printed: a peak that reads like an end is none.
  const isEnd = peak === undefined || formatShare(peak.mean) === formatShare(Math.max(...ends));
  return isEnd || peak.mean <= Math.max(...ends) ? undefined : peak;
}

/** Whether all values are the same, as far as a reader sees. */
export function isFlat(line: readonly { readonly mean: number }[]): boolean {
  return new Set(line.map((point) => formatShare(point.mean))).size === 1;
}

function largest(line: readonly Estimate[]): Estimate | undefined {
  return line.reduce<Estimate | undefined>(
    (best, point) => (best === undefined || point.mean > best.mean ? point : best),
    undefined,
  );
}

/** The first wait without losses, and the longest programming latency that it had to outlast. */
interface Wait {
  readonly panel: string;
  readonly fromSeconds: number;
  readonly longestNs: number;
}

/** Undefined where some line does not fall to zero or nothing is known of the latency. */
export function waitOf(
  lines: readonly (readonly Estimate[])[],
  panel: string,
  longestNs: number | undefined,
): Wait | undefined {
  const zeros = lines.flatMap((line) => {
    const curve = curveOf(line);
    return curve.kind === 'falls to zero' ? [curve.x] : [];
  });
  if (longestNs === undefined || zeros.length === 0 || zeros.length < lines.length) return undefined;
  return { panel, fromSeconds: Math.max(...zeros), longestNs };
}

/** "The longest programming latency is 0.94 s: preStop 2 s outlasts it." In one sentence for several panels where all do. */
export function latencyWords(waits: readonly Wait[], axis: string): string {
  const outlasts = ({ fromSeconds, longestNs }: Wait): boolean => fromSeconds * 1e9 > longestNs;
  if (waits.length > 1 && waits.every(outlasts)) {
    const each = joinWords(waits.map(({ longestNs }) => formatNs(longestNs)));
    return `Where losses end, ${axisName(axis)} outlasts the longest programming latency each time (${each}).`;
  }
  return waits
    .map((wait) => {
      const where = wait.panel === '' ? '' : ` with ${wait.panel}`;
      const compared = outlasts(wait) ? 'outlasts it' : 'is shorter, and was enough here';
      return `The longest programming latency${where} is ${formatNs(wait.longestNs)}: ${axisAt(axis, wait.fromSeconds)} ${compared}.`;
    })
    .join(' ');
}
