/**
 * How a chart shows how far a modelled cost may be from the kernel: a band around its line, with dashed edges and a word where nothing
 * measured stands behind it. The sampling interval, which is another thing and mostly far smaller, is a bar with caps at each point.
 */
import type { Json, JsonObject } from './chart.ts';
import { engineLabel } from './engine-style.ts';
import { field } from './scale.ts';
import type { Estimate } from './series.ts';
import { STRONG_COLOUR } from './theme.ts';

export const INTERVAL_READING = 'The shaded band is the 95% confidence interval of the mean over replications.';

/** Engines that have an estimated point. */
export function estimatedEngines(engines: readonly string[], points: readonly Estimate[]): string[] {
  return engines.filter((engine) => points.some((point) => point.engine === engine && point.range?.estimated === true));
}

/** The bounds of the range of each mean, for the domain of an axis. */
export function rangeBounds(points: readonly Estimate[]): number[] {
  return points.flatMap(({ range }) => (range === undefined ? [] : [range.low, range.high]));
}

/** For the caption of a chart that draws the ranges of the points; empty without any. */
export function rangeReading(points: readonly Estimate[]): string {
  if (points.every((point) => point.range === undefined)) return '';
  const estimated = points.some((point) => point.range?.estimated === true)
    ? ', with dashed edges where the mode was not measured in this unit (estimated)'
    : '';
  return (
    `The shaded band is how far the kernel may be from the modelled mean by the range of the cost profile${estimated}. ` +
    'The capped bars are something else: the 95% confidence interval of the mean over replications.'
  );
}

/** What stands above an estimated band: at the first of its engine's points in its panel, where lines that grow with x are still below. */
export function rangeNote(point: Estimate, points: readonly Estimate[]): string {
  if (point.range?.estimated !== true) return '';
  const isFirst = points.every(
    (other) => other.engine !== point.engine || other.panel !== point.panel || other.x >= point.x,
  );
  return isFirst ? `${engineLabel(point.engine)}: estimated` : '';
}

/** The two intervals of a tooltip, by names that tell them apart. */
export function intervalFields(points: readonly Estimate[]): Json[] {
  if (points.every((point) => point.range === undefined)) return [field('interval', '95% interval')];
  return [field('interval', '95% interval of the sampling'), field('range', "profile's range")];
}

/** The bands, below everything else. */
export function rangeLayers(x: JsonObject, y: JsonObject, color: JsonObject): Json[] {
  const low = { ...y, field: 'rangeLow' };
  const high = { ...y, field: 'rangeHigh' };
  const edge = (bound: JsonObject): Json => ({
    transform: [{ filter: 'datum.first && datum.estimated' }],
    mark: { type: 'line', strokeDash: [2, 3], strokeWidth: 1.2, tooltip: false },
    encoding: { x, y: bound, color },
  });
  return [
    {
      transform: [{ filter: 'datum.first && isValid(datum.rangeLow)' }],
      mark: { type: 'area', opacity: 0.17, tooltip: false },
      encoding: { x, y: low, y2: { field: 'rangeHigh' }, color },
    },
    edge(low),
    edge(high),
    {
      transform: [{ filter: "datum.note != ''" }],
      mark: {
        type: 'text',
        align: 'left',
        baseline: 'bottom',
        dy: -4,
        fontSize: 11,
        color: STRONG_COLOUR,
        tooltip: false,
      },
      encoding: { x, y: high, text: { field: 'note' } },
    },
  ];
}

/** The sampling intervals; an interval shorter than its point still shows as a line through it. */
export function samplingBars(x: JsonObject, y: JsonObject, color: JsonObject): Json[] {
  const transform: Json = [{ filter: 'datum.first && isValid(datum.low) && isValid(datum.high)' }];
  const cap = (bound: string): Json => ({
    transform,
    mark: { type: 'tick', orient: 'horizontal', size: 15, thickness: 1.5, opacity: 1, tooltip: false },
    encoding: { x, y: { ...y, field: bound }, color },
  });
  return [
    {
      transform,
      mark: { type: 'rule', strokeWidth: 1.5, tooltip: false },
      encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color },
    },
    cap('low'),
    cap('high'),
  ];
}
