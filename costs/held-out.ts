/** How well a profile predicts what it was not fitted to: fitted anew to a part of the rows, and asked for the rest. */
import type { CostProfile } from '../model/profile.ts';
import { fitProfile } from './fit/fit-profile.ts';
import { operationKey } from './cpu-seconds.ts';
import type { MeasuredRow } from './measured-row.ts';
import { validateProfile } from './validate.ts';
import type { Validation } from './validate.ts';

export interface HeldOut {
  readonly name: string;
  /** Rows that the numbers were fitted to, and rows that they were asked for. */
  readonly fitted: number;
  readonly tested: number;
  /** Numbers that the fitted part could not tell; they were taken from the profile. */
  readonly unidentified: readonly string[];
  readonly validation: Validation;
}

interface Split {
  readonly name: string;
  readonly isHeldOut: (rows: readonly MeasuredRow[]) => (row: MeasuredRow) => boolean;
}

/** Engines that have one row a mode: without it nothing is left to fit. */
const BASELINES = ['none', 'conntrack', 'conntrack+nat'];

const SPLITS: readonly Split[] = [
  { name: 'every third size', isHeldOut: everyThirdSize },
  { name: 'two rows of five, scattered', isHeldOut: scatteredRows },
];

/** One for each way to part the rows. `profile` supplies what no row can tell. */
export function heldOutValidations(profile: CostProfile, rows: readonly MeasuredRow[]): HeldOut[] {
  return SPLITS.map(({ name, isHeldOut }) => {
    const belongs = isHeldOut(rows);
    const isTested = (row: MeasuredRow): boolean => !BASELINES.includes(row.engine) && belongs(row);
    const seen = rows.filter((row) => !isTested(row));
    const unseen = rows.filter(isTested);
    const fit = fitProfile(profile, seen);
    return {
      name,
      fitted: seen.length,
      tested: unseen.length,
      unidentified: fit.unidentified.map(({ path }) => path),
      validation: validateProfile(fit.profile, unseen),
    };
  });
}

/** Sizes of an engine and mode, in order: the third, the sixth and so on, but for the largest. */
function everyThirdSize(rows: readonly MeasuredRow[]): (row: MeasuredRow) => boolean {
  const sizes = new Map<string, number[]>();
  for (const row of rows) {
    const own = sizes.get(groupOf(row)) ?? [];
    if (!own.includes(row.services)) own.push(row.services);
    sizes.set(groupOf(row), own);
  }
  for (const own of sizes.values()) own.sort((a, b) => a - b);
  return (row) => {
    const own = sizes.get(groupOf(row)) ?? [];
    const at = own.indexOf(row.services);
    return at % 3 === 2 && at < own.length - 1;
  };
}

/** Rows of an engine and mode by a hash of their place in the files; the seconds of one operation go together. */
function scatteredRows(rows: readonly MeasuredRow[]): (row: MeasuredRow) => boolean {
  const held = new Set<MeasuredRow | string>();
  const placed = new Set<string>();
  const seen = new Map<string, number>();
  for (const row of rows) {
    const key = row.mode === 'sync' ? operationKey(row) : row;
    if (typeof key === 'string') {
      if (placed.has(key)) continue;
      placed.add(key);
    }
    const at = seen.get(groupOf(row)) ?? 0;
    seen.set(groupOf(row), at + 1);
    if (Math.imul(at + 1, GOLDEN) >>> 0 < HELD_OUT_SHARE * TWO_TO_32) held.add(key);
  }
  return (row) => held.has(row.mode === 'sync' ? operationKey(row) : row);
}

/** 2^32 over the golden ratio: multiples of it fall evenly, and follow no pattern of the rows. */
const GOLDEN = 0x9e3779b1;
const HELD_OUT_SHARE = 0.4;
const TWO_TO_32 = 0x1_0000_0000;

function groupOf(row: MeasuredRow): string {
  return `${row.engine} ${row.mode} ${row.comments}`;
}
