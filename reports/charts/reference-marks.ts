/** Points that others have published, as crosses beside the model's line, with the model's own value and its error in the tooltip. */
import type { Reference } from '../manifest.ts';
import type { SummaryRow } from '../csv.ts';
import type { Json, JsonObject } from './chart.ts';
import { engineLabel } from './engine-style.ts';
import { field } from './scale.ts';
import type { Unit } from './scale.ts';
import { formatIn, pointValue } from './series.ts';
import { formatShare } from './words.ts';

/** A cross of two strokes: no engine has it for its shape. */
const CROSS = 'M-1,-1L1,1M-1,1L1,-1';

/** One cross of a chart. */
export interface ReferencePoint {
  readonly reference: Reference;
  readonly panel: string;
  readonly x: number;
  /** In the chart's unit. */
  readonly value: number;
  readonly predicted: number | undefined;
}

interface Drawn {
  /** A column of observations.csv. */
  readonly metric: string;
  /** The column or axis that the chart's x shows. */
  readonly x: string;
  /** The rows of the chart's first statistic. */
  readonly rows: readonly SummaryRow[];
  readonly panelOf: (row: SummaryRow) => string;
  /** Those that are drawn. */
  readonly panels: readonly string[];
  /** From the metric's unit to the chart's. */
  readonly factor?: number;
}

/** Those whose metric is the chart's, whose engine is drawn and whose other axes have values of the sweep; in each panel that they fit. */
export function referencePoints(
  references: readonly Reference[],
  { metric, x, rows, panelOf, panels, factor = 1 }: Drawn,
): ReferencePoint[] {
  return references.flatMap((reference) => {
    const at = reference.at[x];
    if (reference.metric !== metric || typeof at !== 'number') return [];
    const others = Object.entries(reference.at).filter(([name]) => name !== x);
    const fitting = rows.filter(
      (row) => row.engine === reference.engine && others.every(([name, value]) => pointValue(row, name) === value),
    );
    const own = [...new Set(fitting.map(panelOf))].filter((panel) => panels.includes(panel));
    return own.map((panel) => ({
      reference,
      panel,
      x: at,
      value: reference.value * factor,
      predicted: typeof reference.predicted === 'number' ? reference.predicted * factor : undefined,
    }));
  });
}

/** Rows for `data.values`, beside those of the lines; a log scale has no place for zero. */
export function referenceRows(points: readonly ReferencePoint[], unit: Unit): JsonObject[] {
  return points
    .filter((point) => point.value > 0)
    .map(({ reference, panel, x, value, predicted }) => ({
      reference: true,
      engine: engineLabel(reference.engine),
      panel,
      x,
      value,
      note: '',
      source: `${reference.source}: ${reference.label}`,
      published: formatIn(unit, value),
      modelled: predicted === undefined ? 'not modelled' : formatIn(unit, predicted),
      error: errorText(reference.error_ratio),
    }));
}

function errorText(ratio: number | null | undefined): string {
  if (ratio === null || ratio === undefined) return 'none known';
  return `${ratio > 0 ? '+' : ratio < 0 ? '−' : ''}${formatShare(Math.abs(ratio))}`;
}

/** Above everything else; nothing without points. */
export function referenceLayers(
  points: readonly ReferencePoint[],
  x: JsonObject,
  y: JsonObject,
  color: JsonObject,
): Json[] {
  if (points.length === 0) return [];
  const transform: Json = [{ filter: 'datum.reference' }];
  return [
    {
      transform,
      mark: { type: 'point', shape: CROSS, filled: false, size: 70, strokeWidth: 2.4, opacity: 1, tooltip: false },
      encoding: { x, y, color },
    },
    {
      transform,
      mark: { type: 'point', filled: true, size: 300, opacity: 0 },
      encoding: {
        x,
        y,
        tooltip: [
          field('source', 'source'),
          field('engine', 'engine'),
          field('published', 'published'),
          field('modelled', 'model'),
          field('error', 'error of the model'),
        ],
      },
    },
  ];
}

/** For the caption of a chart that has crosses. */
export function referenceReading(points: readonly ReferencePoint[]): string {
  return points.length === 0 ? '' : ' Crosses are points that others have published.';
}
