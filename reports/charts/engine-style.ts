/**
 * How each engine looks, in every chart: a colour (told apart with any colour vision, at least 3:1 against the light and the dark
 * page) and a shape, so that no chart rests on colour alone. Three are of the Okabe-Ito palette; what is left of it is too faint on
 * white or too near to them for some eyes, so the fourth is a violet of its own.
 */
import type { JsonObject } from './chart.ts';

export interface EngineStyle {
  readonly label: string;
  readonly colour: string;
  /** A Vega symbol name. */
  readonly shape: string;
}

const STYLES: ReadonlyMap<string, EngineStyle> = new Map([
  ['iptables', { label: 'iptables', colour: '#d55e00', shape: 'circle' }],
  ['ipvs', { label: 'IPVS', colour: '#0f7fc4', shape: 'square' }],
  ['nftables', { label: 'nftables', colour: '#009e73', shape: 'triangle-up' }],
  ['userspace', { label: 'userspace', colour: '#9933ff', shape: 'diamond' }],
  ['reference', { label: 'reference', colour: '#808080', shape: 'cross' }],
]);

const OTHERS: readonly EngineStyle[] = [
  { label: '', colour: '#b5658f', shape: 'triangle-left' },
  { label: '', colour: '#8a7a00', shape: 'triangle-down' },
];

/** Engines in the fixed order of the legend; names that are not known come last, in order of their names. */
export function orderEngines(names: Iterable<string>): string[] {
  const known = [...STYLES.keys()];
  const rank = (name: string): number => (known.includes(name) ? known.indexOf(name) : known.length);
  return [...new Set(names)].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0));
}

/** The style of the i-th engine of a chart; `i` only matters for a name that is not known. */
export function engineStyle(name: string, i = 0): EngineStyle {
  const style = STYLES.get(name);
  if (style !== undefined) return style;
  const other = OTHERS[i % OTHERS.length] ?? { label: '', colour: '#808080', shape: 'circle' };
  return { ...other, label: name };
}

export function engineLabel(name: string): string {
  return engineStyle(name).label;
}

/**
 * Colour and shape channels for a field that holds engine labels. Without titles, so Vega-Lite joins their legends, which call the engines
 * of `estimated` so.
 */
export function engineChannels(
  engines: readonly string[],
  estimated: readonly string[] = [],
): { readonly color: JsonObject; readonly shape: JsonObject } {
  const styles = engines.map((name, i) => engineStyle(name, i));
  const domain = styles.map((style) => style.label);
  const labels = estimated.map((name) => `'${engineLabel(name)}'`).join(', ');
  const legend: JsonObject =
    estimated.length === 0
      ? {}
      : { legend: { labelExpr: `indexof([${labels}], datum.label) < 0 ? datum.label : datum.label + ' (estimated)'` } };
  const channel = (range: readonly string[]): JsonObject => ({
    field: 'engine',
    type: 'nominal',
    title: null,
    scale: { domain, range },
    ...legend,
  });
  return {
    color: channel(styles.map((style) => style.colour)),
    shape: channel(styles.map((style) => style.shape)),
  };
}
