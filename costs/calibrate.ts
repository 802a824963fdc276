/** A profile calibrated to measured rows: fitted numbers with their ranges and sources in place of a base profile's. */
import type { CostProfile, CostUnit, Quantity } from '../model/profile.ts';
import { fitProfile } from './fit/fit-profile.ts';
import type { FittedProfile, FittedValue } from './fit/fit-profile.ts';
import { withQuantities } from './fit/values.ts';
import type { MeasuredRow } from './measured-row.ts';

export interface Calibration<P extends CostProfile> extends FittedProfile<P> {
  /** `base` with the fitted quantities: rounded values, ranges of two standard errors, the files as their source. */
  readonly profile: P;
}

/** `files` is how the sources of fitted numbers name their rows. */
export function calibrate<P extends CostProfile>(base: P, rows: readonly MeasuredRow[], files: string): Calibration<P> {
  const fit = fitProfile(base, rows);
  const found = new Map(fit.values.map((value) => [value.path, value]));
  const profile = withQuantities(
    fit.profile,
    (path, quantity) => {
      const value = found.get(path);
      return value === undefined ? undefined : fittedQuantity(value, quantity, files, base.unit);
    },
    [...found.keys()],
  );
  return { ...fit, profile };
}

/**
 * How far two runs of the rig may be apart, as a share: a machine's fixed parts were 13% lower on another day; the guest's counts repeat to 0.1%.
 */
const REPEATABILITY = { ns: 0.13, instructions: 0.001 } as const;

/** Standard errors to either side that a range spans. */
const RANGE_ERRORS = 2;

function fittedQuantity(fitted: FittedValue, base: Quantity, files: string, unit: CostUnit): Quantity {
  const value = significant(fitted.value);
  const { standardError: error } = fitted;
  const where = `fit to ${files}: ${fitted.block}, ${fitted.rows} rows`;
  if (fitted.isExact) {
    const reach = REPEATABILITY[unit];
    return {
      value,
      low: significant(value * (1 - reach)),
      high: significant(value * (1 + reach)),
      source: `${where}, as many as it needs; range +-${100 * reach}%, by which two runs of the rig may differ`,
    };
  }
  if (error === 0) {
    // Searched, or at its bound: no standard error says how far it may be.
    const low = Math.min(base.low, value);
    return { value, low, high: Math.max(base.high, value), source: where };
  }
  const reach = RANGE_ERRORS * error;
  const low = significant(fitted.value < 0 ? fitted.value - reach : Math.max(0, fitted.value - reach));
  return {
    value,
    low: Math.min(low, value),
    high: Math.max(significant(fitted.value + reach), value),
    source: `${where}, standard error ${significant(error, 2)}`,
  };
}

/** Rounded to so many significant digits; the text of a decimal, so that the value is the one that its text says. */
export function significant(value: number, digits = 4): number {
  return value === 0 || !Number.isFinite(value) ? value : Number(value.toPrecision(digits));
}
