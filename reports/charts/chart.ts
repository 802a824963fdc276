/** What a chart is: a Vega-Lite specification together with the words and the table that say the same thing. */

export type Json = string | number | boolean | null | readonly Json[] | JsonObject;

export interface JsonObject {
  readonly [key: string]: Json;
}

/**
 * A kind of number; one chart shows one kind (work is exact, modelled cost depends on a profile, simulated time on delays, host time on
 * the machine that ran our code).
 */
type NumberKind = 'work' | 'modelled cost' | 'simulated time' | 'host time';

export interface ChartTable {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
}

export interface Chart {
  /** File name without ending, unique in a report section. */
  readonly id: string;
  readonly title: string;
  readonly kind: NumberKind;
  /** Vega-Lite v6, data inlined, without a theme; panel widths are DESIGN_WIDTH (layout.ts). */
  readonly spec: JsonObject;
  /** What to see: one or two sentences computed from the data. Also the picture's text alternative. */
  readonly finding: string;
  /** The finding as it stands away from the picture and its panels, in the experiment's verdict; absent where it is the same. */
  readonly verdict?: string;
  /** How to read it: one sentence about axes and marks. */
  readonly reading: string;
  readonly table: ChartTable;
}

export const VEGA_LITE_SCHEMA = 'https://vega.github.io/schema/vega-lite/v6.json';
