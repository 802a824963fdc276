/**
 * The look that all charts share. Colours are CSS variables with a fall-back, which both the inlined SVG and Vega's SVG
 * renderer in the browser pass through: one picture follows the page into dark mode and onto paper without being redrawn.
 */
import type { JsonObject } from './chart.ts';

const TEXT_COLOUR = 'var(--chart-text, #454c57)';
export const STRONG_COLOUR = 'var(--chart-strong, #1b2027)';
const GRID_COLOUR = 'var(--chart-grid, #e3e6ea)';
const LINE_COLOUR = 'var(--chart-line, #9aa3ae)';
export const MARK_COLOUR = 'var(--chart-mark, #6b7280)';

const FONT = 'system-ui, -apple-system, Segoe UI, Roboto, Liberation Sans, sans-serif';

const CONFIG = {
  background: 'transparent',
  font: FONT,
  padding: 2,
  // Stated, because Vega's default is a global that other code on a page may change.
  locale: { number: { decimal: '.', thousands: ',', grouping: [3], currency: ['$', ''] } },
  // The figure carries one text alternative; a label for each of a thousand points would bury it.
  aria: false,
  view: { stroke: null },
  axis: {
    labelColor: TEXT_COLOUR,
    titleColor: TEXT_COLOUR,
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    labelPadding: 6,
    titlePadding: 10,
    gridColor: GRID_COLOUR,
    domainColor: LINE_COLOUR,
    tickColor: LINE_COLOUR,
    tickSize: 4,
  },
  axisY: {
    domain: false,
    ticks: false,
    minExtent: 60,
    maxExtent: 60,
  },
  title: { subtitleColor: TEXT_COLOUR, subtitleFontSize: 12 },
  header: { labelColor: STRONG_COLOUR, labelFontSize: 13, labelFontWeight: 600 },
  legend: {
    orient: 'top',
    direction: 'horizontal',
    title: null,
    labelColor: TEXT_COLOUR,
    labelFontSize: 12,
    labelLimit: 0,
    symbolOpacity: 1,
    symbolSize: 90,
    symbolStrokeWidth: 2,
    columnPadding: 16,
    offset: 14,
    rowPadding: 4,
    layout: { top: { anchor: 'start', direction: 'vertical', margin: 4 } },
  },
  line: { strokeWidth: 2.2, strokeJoin: 'round', strokeCap: 'round' },
} as const satisfies JsonObject;

/** Below this plot width, in pixels, a legend lists its entries below each other. */
const LEGEND_ROW_WIDTH_MIN = 400;

/** The configuration for a plot of the given width. */
export function chartConfig(plotWidth: number): JsonObject {
  if (plotWidth >= LEGEND_ROW_WIDTH_MIN) return CONFIG;
  return { ...CONFIG, legend: { ...CONFIG.legend, direction: 'vertical' } };
}

/** Text with every CSS variable replaced by its fall-back, for files that stand alone. */
export function withoutVariables(text: string): string {
  return text.replace(/var\(--[a-z-]+, (#[0-9a-f]{3,8})\)/g, '$1');
}
