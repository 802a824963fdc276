/**
 * log, exp and pow of our own. ECMAScript leaves the last bits of Math.log and its kin to each engine; these use only
 * + - * /, Math.floor, Math.fround and the bits of a float64, all of which are exact by specification, so that results
 * are equal on every engine. Errors stay below 0.6 units in the last place for log and exp and below 1 for pow.
 */

const FLOAT = new Float64Array(1);
const WORDS = new Uint32Array(FLOAT.buffer);
/** Which of the two words holds sign and exponent: 1 on little-endian machines. */
const HIGH = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0;

/** 2^k for k = -1074 .. 1023. A product with one of these is faster than writing the exponent's bits and reading them back. */
const LEAST_POWER = -1074;
const POWERS_OF_TWO = new Float64Array(1023 - LEAST_POWER + 1);
for (let i = 0, power = 5e-324; i < POWERS_OF_TWO.length; i++, power *= 2) POWERS_OF_TWO[i] = power;

const TWO_53 = 9007199254740992;
const TWO_54 = 18014398509481984;

/** 2^20 less the upper 20 fraction bits of sqrt(2). */
const CARRY_AT_SQRT2 = 0x95f62;
const INVERSE_LN2 = 1.4426950408889634;
/** ln 2 in two parts. The first has 40 bits, so that its product with an exponent (11 bits) is exact. */
const LN2_HIGH = 0.6931471805601177;
const LN2_LOW = -1.7239444525614835e-13;

const TWO_THIRDS_HIGH = Math.fround(2 / 3);
/** 2/3 - TWO_THIRDS_HIGH: exactly a third of 2 - 3 * TWO_THIRDS_HIGH, which needs 26 bits. */
const TWO_THIRDS_LOW = (2 - 3 * TWO_THIRDS_HIGH) / 3;

/** Beyond these, exp rounds to Infinity and to 0. */
const EXP_OVERFLOW = 709.782712893384;
const EXP_UNDERFLOW = -745.1332191019412;

/** The two parts of the last logarithm: an array, since a module's variable would box each float. */
const LOG = new Float64Array(2);

/** Natural logarithm. NaN below 0, -Infinity at 0. */
export function log(x: number): number {
  if (!(x > 0)) return x === 0 ? -Infinity : NaN;
  if (x === Infinity) return Infinity;
  logParts(x);
  return LOG[0];
}

/** e to the x. Infinity above 709.78, 0 below -745.13, subnormal results rounded once. */
export function exp(x: number): number {
  return expSum(x, 0);
}

/** x to the y with the special cases of ECMAScript's Number::exponentiate (pow(1, Infinity) is NaN). */
export function pow(x: number, y: number): number {
  if (y === 0) return 1;
  if (x !== x || y !== y) return NaN;
  const size = x < 0 ? -x : x;
  if (y === Infinity || y === -Infinity) {
    if (size === 1) return NaN;
    return size > 1 === y > 0 ? Infinity : 0;
  }
  const negative = x < 0 || (x === 0 && 1 / x < 0);
  const negate = negative && isOddInteger(y);
  if (size === 0 || size === Infinity) {
    const result = (size === 0) === y > 0 ? 0 : Infinity;
    return negate ? -result : result;
  }
  if (negative && Math.floor(y) !== y) return NaN;
  const result = size === 1 ? 1 : positivePow(size, y);
  return negate ? -result : result;
}

function isOddInteger(y: number): boolean {
  return Math.floor(y) === y && y < TWO_53 && y > -TWO_53 && y % 2 !== 0;
}

/**
 * exp(y log x) for finite x > 0, x not 1, and finite y. The error of an exponent is one of the result, times up to 745,
 * so logarithm and product are carried in two parts each.
 */
function positivePow(x: number, y: number): number {
  logParts(x);
  const high = LOG[0];
  const product = y * high;
  if (product > 710) return Infinity;
  if (product < -746) return 0;
  // Here |y| < 2^63, as |log x| > 2^-54. Halves of at most 29 bits have exact products (Dekker).
  const yTop = Math.fround(y);
  const yRest = y - yTop;
  const logTop = Math.fround(high);
  const logRest = high - logTop;
  const lost = yTop * logTop - product + yTop * logRest + yRest * logTop + yRest * logRest;
  return expSum(product, lost + y * LOG[1]);
}

/**
 * Puts log(x), 0 < x < Infinity, in LOG as a sum of two parts, the first rounded to nearest.
 * x = 2^e m with sqrt(1/2) <= m < sqrt(2); log(m) = 2 atanh(s) = 2 (s + s^3/3 + s^5/5 ...), s = (m - 1) / (m + 1), |s| < 0.172.
 * Each part with "top" in its name is rounded to 24 bits by fround, so that products of two are exact.
 */
function logParts(x: number): void {
  let e = 0;
  let normal = x;
  FLOAT[0] = x;
  let bits = WORDS[HIGH];
  if (bits < 0x00100000) {
    // Subnormal: the exponent field is zero until scaled.
    normal = x * TWO_54;
    FLOAT[0] = normal;
    bits = WORDS[HIGH];
    e = -54;
  }
  // From the upper fraction bits of sqrt(2) on, the sum carries into the exponent.
  const shift = ((bits + CARRY_AT_SQRT2) >>> 20) - 1023;
  e += shift;
  const f = normal * POWERS_OF_TWO[-shift - LEAST_POWER] - 1;

  const t = f + 2;
  const tTop = Math.fround(t);
  const tRest = f - (tTop - 2);
  const inverse = 1 / t;
  const sTop = Math.fround(f * inverse);
  const sRest = (f - sTop * tTop - sTop * tRest) * inverse;
  const s = sTop + sRest;

  // 2/3 s^3 in two parts.
  const z = s * s;
  const squareExact = sTop * sTop;
  const squareTop = Math.fround(squareExact);
  const cubeExact = sTop * squareTop;
  const cubeTop = Math.fround(cubeExact);
  const cubeRest = cubeExact - cubeTop + sTop * (squareExact - squareTop) + sRest * (squareExact + s * sTop + z);
  const thirdTop = cubeTop * TWO_THIRDS_HIGH;
  const thirdRest = cubeRest * TWO_THIRDS_HIGH + (cubeTop + cubeRest) * TWO_THIRDS_LOW;

  // 2 s^5/5 + 2 s^7/7 + ... ; the first term left out is below 2^-70 s.
  let tail = 2 / 25;
  tail = tail * z + 2 / 23;
  tail = tail * z + 2 / 21;
  tail = tail * z + 2 / 19;
  tail = tail * z + 2 / 17;
  tail = tail * z + 2 / 15;
  tail = tail * z + 2 / 13;
  tail = tail * z + 2 / 11;
  tail = tail * z + 2 / 9;
  tail = tail * z + 2 / 7;
  tail = tail * z + 2 / 5;
  tail *= s * z * z;

  // Largest first: what a sum loses is the smaller addend less what arrived.
  const exponentPart = e * LN2_HIGH;
  const twoS = 2 * sTop;
  const sum = exponentPart + twoS;
  const lost = twoS - (sum - exponentPart);
  const high = sum + thirdTop;
  const rest = thirdTop - (high - sum) + lost + (e * LN2_LOW + (2 * sRest + (thirdRest + tail)));
  const result = high + rest;
  LOG[0] = result;
  LOG[1] = rest - (result - high);
}

/**
 * exp(x + small), |small| below an ulp or so of x. x = k ln 2 + r with |r| < 0.347, and exp(r) by its Taylor series to r^14.
 * 1 + r is carried in two parts, so that the only rounding of weight is the last addition.
 */
function expSum(x: number, small: number): number {
  if (x !== x) return NaN;
  if (x > EXP_OVERFLOW) return Infinity;
  if (x < EXP_UNDERFLOW) return 0;
  const k = Math.floor(x * INVERSE_LN2 + 0.5);
  const high = x - k * LN2_HIGH;
  const low = small - k * LN2_LOW;
  const r = high + low;
  const rLost = low - (r - high);

  let series = 1 / 87178291200;
  series = series * r + 1 / 6227020800;
  series = series * r + 1 / 479001600;
  series = series * r + 1 / 39916800;
  series = series * r + 1 / 3628800;
  series = series * r + 1 / 362880;
  series = series * r + 1 / 40320;
  series = series * r + 1 / 5040;
  series = series * r + 1 / 720;
  series = series * r + 1 / 120;
  series = series * r + 1 / 24;
  series = series * r + 1 / 6;
  series = series * r + 1 / 2;
  const onePlus = 1 + r;
  const onePlusLost = r - (onePlus - 1);
  return scale(onePlus + (onePlusLost + (rLost * onePlus + series * (r * r))), k);
}

/** value * 2^k for value near 1 and -1080 < k <= 1024, with a single rounding. */
function scale(value: number, k: number): number {
  if (k > 1023) return value * 2 * POWERS_OF_TWO[1023 - LEAST_POWER];
  if (k < -1022) return (value * POWERS_OF_TWO[k + 54 - LEAST_POWER]) / TWO_54;
  return value * POWERS_OF_TWO[k - LEAST_POWER];
}
