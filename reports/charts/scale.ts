/** Logarithmic and linear scales with domains and ticks that we choose: Vega's own depend on the width and crowd a log axis. */
import type { Json, JsonObject } from './chart.ts';

export interface Unit {
  /** Ending of the metric's name, without the underscore; empty for a count. */
  readonly suffix: 'ns' | 'instructions' | 'bytes' | 'ratio' | '';
  /** Vega expression that prints `datum.value` of an axis tick. */
  readonly tick: string;
}

const NS_TICK =
  "datum.value == 0 ? '0' : datum.value >= 1e9 ? format(datum.value / 1e9, '~g') + ' s' : datum.value >= 1e6 ? format(datum.value / 1e6, '~g') + ' ms' : " +
  "datum.value >= 1e3 ? format(datum.value / 1e3, '~g') + ' µs' : format(datum.value, '~g') + ' ns'";

export const UNIT_NS: Unit = { suffix: 'ns', tick: NS_TICK };
export const UNIT_INSTRUCTIONS: Unit = { suffix: 'instructions', tick: "format(datum.value, ',')" };
/** A share of a whole, from 0 to 1, printed as a percentage. */
export const UNIT_SHARE: Unit = {
  suffix: 'ratio',
  tick: "datum.value == 0 ? '0' : format(datum.value * 100, '~g') + '%'",
};
export const UNIT_BYTES: Unit = {
  suffix: 'bytes',
  tick:
    "datum.value == 0 ? '0' : datum.value >= 1e9 ? format(datum.value / 1e9, ',~g') + ' GB' : datum.value >= 1e6 ? format(datum.value / 1e6, '~g') + ' MB' : " +
    "datum.value >= 1e3 ? format(datum.value / 1e3, '~g') + ' kB' : format(datum.value, '~g') + ' B'",
};
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

/** Values of a sweep above its zero that are further apart would stand on top of each other on a linear axis. */
const SWEEP_WIDE = 50;

/** An x channel over the values of a sweep that holds zero: linear, or logarithmic from its smallest value above zero on. */
function linearX(field: string, title: string, values: readonly number[]): JsonObject {
  const ticks = [...new Set(values)].sort((a, b) => a - b);
  const last = ticks.at(-1) ?? 1;
  const first = ticks[0] ?? 0;
  const above = ticks.find((value) => value > 0) ?? last;
  const isWide = first >= 0 && last > SWEEP_WIDE * above;
  const air = (last - first) * 0.03;
  return {
    field,
    type: 'quantitative',
    title: isWide ? `${title} (log scale above zero)` : title,
    scale: isWide
      ? { type: 'symlog', constant: above, domain: [-above / 5, last * 1.2], nice: false, zero: false }
      : { type: 'linear', domain: [first - air, last + air], nice: false, zero: false },
    axis: {
      ...(ticks.length <= TICKS_MAX || isWide ? { values: ticks } : { tickCount: TICKS_MAX }),
      labelExpr: UNIT_COUNT.tick,
      grid: false,
      labelOverlap: 'greedy',
      labelSeparation: 8,
      labelFlush: false,
    },
  };
}

/** An x channel over the values of a sweep: logarithmic, or as above where zero is among them. */
export function sweepX(field: string, title: string, values: readonly number[]): JsonObject {
  return values.some((value) => value <= 0) ? linearX(field, title, values) : logX(field, title, values);
}

/** How a quantity that may be zero or wide is drawn: the scale and axis of a channel, what its title must say, and its lowest value. */
export interface ValueScale {
  readonly scale: JsonObject;
  readonly axis: JsonObject;
  /** Behind the title of the axis: ` (log scale)`, or nothing. */
  readonly note: string;
  /** Where an interval that reaches below the scale is cut off. */
  readonly floor: number;
}

/** Panels that share a linear scale may differ this much in their largest values before one of them is a line on the ground. */
const PANELS_APART = 10;

/**
 * For values of which some may be zero: linear from zero; where the panels' largest values (`peaks`) are far apart, logarithmic
 * from the smallest value up and linear below it, so that zero has a place of its own.
 */
export function scaleFromZero(values: readonly number[], peaks: readonly number[], unit: Unit): ValueScale {
  const positive = values.filter((value) => value > 0);
  const highest = Math.max(0, ...positive);
  const ranked = peaks.filter((peak) => peak > 0);
  const top = highest === 0 ? 1 : highest * 1.08;
  if (ranked.length < 2 || Math.max(...ranked) < PANELS_APART * Math.min(...ranked)) {
    return {
      scale: { type: 'linear', domain: [0, top], nice: false, zero: true },
      axis: { tickCount: 5, labelExpr: unit.tick, labelOverlap: 'greedy' },
      note: '',
      floor: 0,
    };
  }
  const constant = decadeBelow(Math.min(...positive));
  const ticks = [0, ...logTicks([constant * 0.99, highest * 1.3])];
  return {
    scale: { type: 'symlog', constant, domain: [0, highest * 1.3], nice: false, zero: true },
    axis: { values: ticks, labelExpr: unit.tick, labelOverlap: 'greedy' },
    note: ' (log scale above zero)',
    floor: 0,
  };
}

/** Values that differ by more need a log scale; by less, an axis that does not begin at zero. */
const WIDE = 20;
const NARROW = 1.5;

/** The scale of values along x: from zero, logarithmic where they are wide apart, around them where they are close together. */
export function valueScale(values: readonly number[], unit: Unit, fromZero: boolean): ValueScale {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const ticks = { labelExpr: unit.tick, labelOverlap: 'greedy', labelFlush: false } as const;
  if (!fromZero && low > 0 && high / low > WIDE) {
    const domain = logDomain(values, 1.5);
    return {
      scale: { type: 'log', domain, nice: false },
      axis: { ...ticks, values: logTicks(domain) },
      note: ' (log scale)',
      floor: domain[0],
    };
  }
  if (!fromZero && low > 0 && high / low < NARROW) {
    const air = (high - low) * 0.12;
    return {
      scale: { type: 'linear', domain: [low - air, high + air], nice: false, zero: false },
      axis: { ...ticks, tickCount: 5 },
      note: ' (not from zero)',
      floor: low - air,
    };
  }
  return {
    scale: { type: 'linear', domain: [0, high === 0 ? 1 : high * 1.08], nice: false, zero: true },
    axis: { ...ticks, tickCount: 5 },
    note: '',
    floor: 0,
  };
}

/** The largest power of ten that is not above a positive `value`. */
function decadeBelow(value: number): number {
  let decade = 1e-9;
  for (let exponent = -9; exponent <= 15; exponent++) {
    const power = Number(`1e${exponent}`);
    if (power <= value) decade = power;
  }
  return decade;
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
