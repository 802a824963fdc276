/** Logarithmic and linear scales with domains and ticks that we choose: Vega's own depend on the width and crowd a log axis. */
import type { Json, JsonObject } from './chart.ts';

export interface Unit {
  /** Ending of the metric's name, without the underscore; empty for a count. */
  readonly suffix: 'ns' | 'ms' | 'instructions' | '';
  /** Vega expression that prints `datum.value` of an axis tick. */
  readonly tick: string;
}

const NS_TICK =
  "datum.value >= 1e9 ? format(datum.value / 1e9, '~g') + ' s' : datum.value >= 1e6 ? format(datum.value / 1e6, '~g') + ' ms' : " +
  "datum.value >= 1e3 ? format(datum.value / 1e3, '~g') + ' µs' : format(datum.value, '~g') + ' ns'";

export const UNIT_NS: Unit = { suffix: 'ns', tick: NS_TICK };
export const UNIT_INSTRUCTIONS: Unit = { suffix: 'instructions', tick: "format(datum.value, ',')" };
export const UNIT_COUNT: Unit = { suffix: '', tick: "format(datum.value, ',~g')" };

/** Largest number of tick labels on an axis of values before every second one goes. */
const TICKS_MAX = 9;

/** Domain of a log scale around `values` with some air: [smallest / margin, largest x margin]. Zero and below do not count. */
export function logDomain(values: readonly number[], margin = 1.25): readonly [number, number] {
  let low = Infinity;
  let high = 0;
  for (const value of values) {
    if (value > 0) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (high === 0) return [1, 10];
  // A flat line would otherwise fill the height with noise: show at least a factor of four.
  const spread = high / low < 4 ? 2 / Math.sqrt(high / low) : 1;
  return [low / margin / spread, high * margin * spread];
}

/** Ticks inside the domain at 1, 2 and 5 of each decade, at 1 and 3, or at 1 alone, whichever is the most that stays readable. */
function logTicks([low, high]: readonly [number, number]): number[] {
  for (const steps of [[1, 2, 5], [1, 3], [1]]) {
    const ticks = decadeTicks(low, high, steps);
    if (ticks.length <= 7) return ticks;
  }
  return decadeTicks(low, high, [1]);
}

function decadeTicks(low: number, high: number, steps: readonly number[]): number[] {
  const ticks: number[] = [];
  for (let exponent = -9; exponent <= 15; exponent++) {
    for (const step of steps) {
      // Through text: repeated multiplication would give 0.30000000000000004.
      const tick = Number(`${step}e${exponent}`);
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  return ticks;
}

/** The values of a sweep as ticks, thinned from the largest down when there are many. */
function sweepTicks(values: readonly number[]): number[] {
  const distinct = [...new Set(values)].filter((value) => value > 0).sort((a, b) => a - b);
  if (distinct.length <= TICKS_MAX) return distinct;
  return logTicks([distinct[0] ?? 1, distinct.at(-1) ?? 10]);
}

/** An x channel over the values of a sweep, logarithmic. */
export function logX(field: string, title: string, values: readonly number[]): JsonObject {
  return {
    field,
    type: 'quantitative',
    title: `${title} (log scale)`,
    scale: { type: 'log', domain: logDomain(values, 1.15), nice: false },
    axis: {
      values: sweepTicks(values),
      labelExpr: UNIT_COUNT.tick,
      grid: false,
      labelOverlap: 'greedy',
      labelSeparation: 8,
      labelFlush: false,
    },
  };
}

/** A y channel, logarithmic, printed in `unit`. Its title stands above the plot (layout.ts), where it takes no width. */
export function logY(field: string, values: readonly number[], unit: Unit): JsonObject {
  const domain = logDomain(values);
  return {
    field,
    type: 'quantitative',
    title: null,
    scale: { type: 'log', domain, nice: false },
    axis: { values: logTicks(domain), labelExpr: unit.tick, labelOverlap: 'greedy' },
  };
}

export function field(
  name: string,
  title: string,
  type: 'nominal' | 'quantitative' = 'nominal',
  format?: string,
): Json {
  return format === undefined ? { field: name, type, title } : { field: name, type, title, format };
}
