/** Widths, and panels one under the other. Runs in Node and, through the site bundle, in the browser. */
import type { Json, JsonObject } from './chart.ts';

/** Plot width that every chart is written with; `withWidth` replaces it. Chosen so that no other width in a spec is equal. */
export const DESIGN_WIDTH = 641;

/** Room beside the plot for the y axis with its title, and on the right for half a tick label, in pixels. */
export const AXIS_ROOM = 84;

/** The same spec with every panel `width` pixels wide. */
export function withWidth(spec: JsonObject, width: number): JsonObject {
  return replaceWidth(spec, width) as JsonObject;
}

function replaceWidth(node: Json, width: number): Json {
  if (typeof node !== 'object' || node === null) return node;
  if (isList(node)) return node.map((item) => replaceWidth(item, width));
  const copy: Record<string, Json> = {};
  for (const [key, value] of Object.entries(node)) {
    // Inlined data can be long and has no widths.
    copy[key] = key === 'width' && value === DESIGN_WIDTH ? width : key === 'data' ? value : replaceWidth(value, width);
  }
  return copy;
}

function isList(node: readonly Json[] | JsonObject): node is readonly Json[] {
  return Array.isArray(node);
}

/** What stands above a plot instead of a turned title beside its y axis: what the axis shows, and in which unit; a list has lines. */
export function axisHeading(text: string | readonly string[]): JsonObject {
  return {
    text,
    anchor: 'start',
    frame: 'bounds',
    fontSize: 12,
    fontWeight: 'normal',
    offset: 10,
    color: 'var(--chart-text, #454c57)',
  };
}

/** One layered plot, or one for each panel below the other when the rows' `panel` has several values. */
export function panels(
  names: readonly string[],
  yTitle: string | readonly string[],
  layer: readonly Json[],
  heights: { readonly one: number; readonly many: number },
): JsonObject {
  const title = axisHeading(yTitle);
  if (names.length <= 1) return { title, width: DESIGN_WIDTH, height: heights.one, layer };
  return {
    title,
    facet: {
      field: 'panel',
      type: 'nominal',
      sort: names,
      header: { title: null, labelAnchor: 'start', labelOrient: 'top', labelPadding: 6 },
    },
    columns: 1,
    spacing: 28,
    spec: { width: DESIGN_WIDTH, height: heights.many, layer },
  };
}
