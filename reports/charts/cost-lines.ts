/** Layers shared by the charts that draw estimates with their 95% confidence intervals as lines, one colour an engine. */
import type { Json, JsonObject } from './chart.ts';
import { engineChannels, engineLabel } from './engine-style.ts';
import { field } from './scale.ts';
import type { Unit } from './scale.ts';
import { estimatedEngines, intervalFields, rangeLayers, rangeNote, samplingBars } from './range-band.ts';
import { referenceLayers } from './reference-marks.ts';
import type { ReferencePoint } from './reference-marks.ts';
import type { Estimate } from './series.ts';
import { formatIn, rangeText } from './series.ts';

export interface Statistic {
  readonly label: string;
  readonly points: readonly Estimate[];
}

/** Dashes by order of statistic: the first (solid) is the one with points and a band. */
const DASHES: readonly (readonly number[])[] = [
  [1, 0],
  [6, 4],
  [2, 4],
];

/** Rows for `data.values`, those at zero only where the scale begins there (`floor` 0): the words of the tooltip are made here, so that Vega needs no locale. */
export function lineRows(statistics: readonly Statistic[], unit: Unit, floor: number): JsonObject[] {
  return statistics.flatMap(({ label, points }, order) =>
    points
      .filter((point) => point.mean > 0 || floor === 0)
      .map((point) => ({
        engine: engineLabel(point.engine),
        statistic: label,
        first: order === 0,
        panel: point.panel,
        x: point.x,
        services: point.services,
        rules: point.rules,
        value: point.mean,
        // A log scale has no place for an interval that reaches zero, and nothing counted is below it.
        low: point.low === null ? null : Math.max(point.low, floor),
        high: point.high,
        text: formatIn(unit, point.mean),
        interval: intervalText(point, unit),
        // Drawn at the first statistic alone; the range of the others is in their tooltips.
        rangeLow: point.range === undefined ? null : Math.max(point.range.low, floor),
        rangeHigh: point.range?.high ?? null,
        range: rangeText(point, unit),
        estimated: point.range?.estimated === true,
        note: order === 0 ? rangeNote(point, points) : '',
        replications: point.replications,
      })),
  );
}

function intervalText(point: Estimate, unit: Unit): string {
  if (point.low === null || point.high === null) return 'one replication, no interval';
  return `${formatIn(unit, point.low)} to ${formatIn(unit, point.high)}`;
}

const SERVICES_AND_RULES: readonly Json[] = [
  field('services', 'services', 'quantitative', ','),
  field('rules', 'rules installed', 'quantitative', ',.0f'),
];

interface LineOptions {
  /** What a tooltip says of a point beside its value. */
  readonly pointFields?: readonly Json[];
  readonly ranges?: boolean;
  /** Published points, whose rows are in the data, too. */
  readonly references?: readonly ReferencePoint[];
}

/**
 * Band, lines and points over rows of `lineRows`; `x` and `y` are the position channels. The band is the sampling interval; where the
 * profile's range is drawn (`ranges`) the band is that, and the sampling interval a bar.
 */
export function lineLayers(
  engines: readonly string[],
  statistics: readonly Statistic[],
  x: JsonObject,
  y: JsonObject,
  valueTitle: string,
  { pointFields = SERVICES_AND_RULES, ranges = false, references = [] }: LineOptions = {},
): Json[] {
  const first = statistics[0]?.points ?? [];
  const withBand = ranges && first.some((point) => point.range !== undefined);
  const { color, shape } = engineChannels(engines, withBand ? estimatedEngines(engines, first) : []);
  const many = statistics.length > 1;
  const labels = statistics.map((statistic) => statistic.label);
  const dash: JsonObject = many
    ? {
        strokeDash: {
          field: 'statistic',
          type: 'nominal',
          scale: { domain: labels, range: DASHES.slice(0, labels.length) },
          legend: { symbolType: 'stroke', symbolSize: 400, symbolStrokeColor: 'var(--chart-mark, #6b7280)' },
        },
        strokeWidth: { condition: { test: 'datum.first', value: 2.4 }, value: 1.3 },
        opacity: { condition: { test: 'datum.first', value: 1 }, value: 0.75 },
        detail: [{ field: 'statistic' }],
      }
    : {};
  const tooltip: Json = [
    field('engine', 'engine'),
    ...(many ? [field('statistic', 'statistic')] : []),
    field('text', valueTitle),
    ...intervalFields(first),
    ...pointFields,
    field('replications', 'replications', 'quantitative'),
  ];
  const intervals: Json = {
    transform: [{ filter: 'datum.first && isValid(datum.low) && isValid(datum.high)' }],
    mark: { type: 'area', opacity: 0.22, tooltip: false },
    encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color },
  };
  return [
    ...(withBand ? rangeLayers(x, y, color) : [intervals]),
    {
      transform: [{ filter: '!datum.reference' }],
      mark: { type: 'line', tooltip: false },
      encoding: { x, y, color, ...dash },
    },
    ...(withBand ? samplingBars(x, y, color) : []),
    {
      transform: [{ filter: 'datum.first' }],
      mark: { type: 'point', filled: true, size: 62, opacity: 1, tooltip: false },
      encoding: { x, y, color, shape },
    },
    // Wide invisible targets: a tooltip should not need a steady hand. The first statistic's lie on top.
    ...[false, true]
      .filter((first) => first || many)
      .map((first) => ({
        transform: [{ filter: first ? 'datum.first' : '!datum.first && !datum.reference' }],
        mark: { type: 'point', filled: true, size: first ? 300 : 160, opacity: 0 },
        encoding: { x, y, tooltip },
      })),
    ...referenceLayers(references, x, y, color),
  ];
}
