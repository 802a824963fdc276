/** The values of a sweep's axis: a list, one value, or a range written as text. */
import { InputError, quote } from './errors.ts';
import { AXIS_LIMIT } from './schema.ts';
import { pow } from '../sim/math.ts';

export type AxisValue = number | string | boolean;

const RANGE = /^(-?\d+(?:\.\d+)?(?:e\d+)?)\.\.(-?\d+(?:\.\d+)?(?:e\d+)?)(?::(log10x|lin)(\d+))?$/;
const FORMS =
  'expected a..b, a..b:log10xN (N points a decade) or a..b:linN (N points in all), such as "1..50000:log10x3"';

/** True for text that is meant as a range. */
function looksLikeRange(text: string): boolean {
  return text.includes('..');
}

/**
 * Expands one axis. `a..b` = every integer; `a..b:log10xN` = N points a decade from a, `a..b:linN` = N points evenly
 * spread, both with a and b themselves. Between integers points are rounded to integers and equal ones fall together.
 */
export function axisValues(written: AxisValue | readonly AxisValue[], name: string): AxisValue[] {
  if (typeof written === 'string' && looksLikeRange(written)) return rangeValues(written, name);
  const values = Array.isArray(written) ? [...(written as readonly AxisValue[])] : [written as AxisValue];
  const expanded: AxisValue[] = [];
  for (const value of values) {
    if (typeof value === 'string' && looksLikeRange(value)) expanded.push(...rangeValues(value, name));
    else expanded.push(value);
  }
  const seen = new Set<AxisValue>();
  for (const value of expanded) {
    if (seen.has(value)) throw new InputError(`The sweep of "${name}" holds the value ${quote(value)} twice.`);
    seen.add(value);
  }
  checkCount(expanded.length, name, quote(written));
  return expanded;
}

function rangeValues(text: string, name: string): number[] {
  const match = RANGE.exec(text.trim());
  const from = Number(match?.[1]);
  const to = Number(match?.[2]);
  if (match === null || !Number.isFinite(from) || !Number.isFinite(to)) {
    throw new InputError(`The range ${quote(text)} of "${name}" is not understood; ${FORMS}.`);
  }
  if (from > to)
    throw new InputError(`The range ${quote(text)} of "${name}" runs backwards; write the smaller end first.`);
  const points = match[4] === undefined ? undefined : Number(match[4]);
  if (match[3] === undefined) return everyInteger(from, to, text, name);
  if (points === undefined || points < 1 || points > AXIS_LIMIT) {
    throw new InputError(
      `The range ${quote(text)} of "${name}" must have 1 to ${AXIS_LIMIT} points, got ${points ?? 0}.`,
    );
  }
  return match[3] === 'lin' ? linear(from, to, points, text, name) : logarithmic(from, to, points, text, name);
}

function everyInteger(from: number, to: number, text: string, name: string): number[] {
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to)) {
    throw new InputError(
      `The range ${quote(text)} of "${name}" counts integers; its ends must be integers. For others use a..b:linN.`,
    );
  }
  checkCount(to - from + 1, name, quote(text));
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

function linear(from: number, to: number, points: number, text: string, name: string): number[] {
  if (points === 1 && from !== to) {
    throw new InputError(`The range ${quote(text)} of "${name}" needs at least 2 points to hold both its ends.`);
  }
  const values: number[] = [];
  for (let i = 0; i < points; i++) values.push(points === 1 ? from : from + ((to - from) * i) / (points - 1));
  return tidy(values, from, to);
}

function logarithmic(from: number, to: number, perDecade: number, text: string, name: string): number[] {
  if (from <= 0) throw new InputError(`The range ${quote(text)} of "${name}" is logarithmic; it must begin above 0.`);
  const values: number[] = [];
  let decade = from;
  for (let k = 0; ; k++) {
    if (k > 0 && k % perDecade === 0) decade *= 10;
    // Whole decades are products, so that 1, 10, 100 come out exactly.
    const value = k % perDecade === 0 ? decade : decade * pow(10, (k % perDecade) / perDecade);
    if (value >= to) break;
    values.push(value);
    checkCount(values.length, name, quote(text));
  }
  values.push(to);
  return tidy(values, from, to);
}

function tidy(values: readonly number[], from: number, to: number): number[] {
  const whole = Number.isInteger(from) && Number.isInteger(to);
  const rounded = values.map((value) => (whole ? Math.floor(value + 0.5) : Number(value.toPrecision(6))));
  return [...new Set(rounded)];
}

function checkCount(length: number, name: string, written: string): void {
  if (length > AXIS_LIMIT) {
    throw new InputError(
      `The sweep of "${name}" (${written}) makes more than ${AXIS_LIMIT} values; use a logarithmic range such as "1..50000:log10x3".`,
    );
  }
}
