import { describe, expect, it } from 'vitest';
import { Digest } from './digest.ts';
import { exp, log, pow } from './math.ts';
import { RandomStream } from './rng.ts';

const FLOAT = new Float64Array(1);
const BITS = new BigInt64Array(FLOAT.buffer);

/** Distance in representable numbers; both of one sign. */
function ulps(a: number, b: number): number {
  if (Object.is(a, b) || a === b) return 0;
  FLOAT[0] = a;
  const first = BITS[0];
  FLOAT[0] = b;
  return Math.abs(Number(first - BITS[0]));
}

/** Every exponent a float64 has, subnormal ones included. */
function anyPositive(stream: RandomStream): number {
  BITS[0] = (BigInt(stream.nextUint32() & 0x7fffffff) << 32n) | BigInt(stream.nextUint32());
  return FLOAT[0] < Infinity ? FLOAT[0] : 1;
}

function worst(count: number, draw: () => number, ours: (x: number) => number, theirs: (x: number) => number): number {
  let most = 0;
  for (let i = 0; i < count; i++) {
    const x = draw();
    const distance = ulps(ours(x), theirs(x));
    // NaN must not pass as small.
    if (!(distance <= most)) most = distance;
  }
  return most;
}

describe('log', () => {
  it.each([
    ['all positive floats', (stream: RandomStream) => anyPositive(stream)],
    ['0.5 .. 2', (stream: RandomStream) => 0.5 + 1.5 * stream.nextFloat()],
    ['near 1', (stream: RandomStream) => 1 + (stream.nextFloat() - 0.5) * 1e-6],
    ['near the square root of 2', (stream: RandomStream) => Math.SQRT2 + (stream.nextFloat() - 0.5) * 1e-6],
    ['uniforms, as in an exponential draw', (stream: RandomStream) => 1 - stream.nextFloat()],
    ['subnormal', (stream: RandomStream) => stream.nextFloat() * 2.2e-308],
  ])('is within 2 units in the last place of Math.log: %s', (_, draw) => {
    const stream = new RandomStream(1, 2, 3, 4);
    expect(worst(100_000, () => draw(stream), log, Math.log)).toBeLessThanOrEqual(2);
  });

  it('has the special values of Math.log', () => {
    for (const x of [0, -0, -1, -Infinity, Infinity, NaN, 1, 5e-324, Number.MAX_VALUE, Number.MIN_VALUE]) {
      expect(log(x), `log(${x})`).toBe(Math.log(x));
    }
  });

  it('does not decrease', () => {
    let before = -Infinity;
    for (let i = 1; i <= 200_000; i++) {
      const value = log(i / 50_000);
      if (!(value >= before)) expect.fail(`log(${i / 50_000}) = ${value} is below ${before}`);
      before = value;
    }
  });
});

describe('exp', () => {
  it.each([
    ['all results', (stream: RandomStream) => (stream.nextFloat() - 0.5) * 1490],
    ['-2 .. 2', (stream: RandomStream) => (stream.nextFloat() - 0.5) * 4],
    ['near 0', (stream: RandomStream) => (stream.nextFloat() - 0.5) * 1e-7],
    ['subnormal results', (stream: RandomStream) => -708 - 38 * stream.nextFloat()],
    ['results near the largest float', (stream: RandomStream) => 709 + 0.78 * stream.nextFloat()],
  ])('is within 2 units in the last place of Math.exp: %s', (_, draw) => {
    const stream = new RandomStream(5, 6, 7, 8);
    expect(worst(100_000, () => draw(stream), exp, Math.exp)).toBeLessThanOrEqual(2);
  });

  it('has the special values of Math.exp', () => {
    const xs = [0, -0, 1e-300, 1e-17, Infinity, -Infinity, NaN, 709.782712893384, 709.7827128933841, 1e308, -1e308];
    for (const x of [...xs, -745.1332191019411, -745.1332191019412, -745.1332191019413, -746, 710]) {
      expect(exp(x), `exp(${x})`).toBe(Math.exp(x));
    }
  });

  it('undoes log to within what one rounding of the logarithm costs', () => {
    const stream = new RandomStream(9, 9, 9, 9);
    for (let i = 0; i < 50_000; i++) {
      const x = anyPositive(stream);
      expect(Math.abs(exp(log(x)) / x - 1)).toBeLessThanOrEqual(x < 1e-300 ? 1 : 1e-13);
    }
  });
});

describe('pow', () => {
  it('is exact for integers whose power fits in 53 bits', () => {
    for (let base = 1n; base < 300n; base++) {
      for (let exponent = 0n, exact = 1n; exact < 9007199254740992n && exponent < 60n; exponent++, exact *= base) {
        expect(pow(Number(base), Number(exponent))).toBe(Number(exact));
      }
    }
  });

  it('is within 1 unit in the last place of the rounded power, over all results', () => {
    const stream = new RandomStream(2, 7, 1, 8);
    let checked = 0;
    for (let i = 0; i < 3_000; i++) {
      const base = 1 + stream.below(999);
      const exponent = stream.below(100);
      const exact = BigInt(base) ** BigInt(exponent);
      // Number(BigInt) rounds to nearest.
      const rounded = Number(exact);
      if (rounded === Infinity) continue;
      checked++;
      expect(ulps(pow(base, exponent), rounded), `pow(${base}, ${exponent})`).toBeLessThanOrEqual(1);
    }
    expect(checked).toBeGreaterThan(2_500);
  });

  it('is within 2 units in the last place of Math.pow for fractions of zipf and pareto', () => {
    const stream = new RandomStream(3, 1, 4, 1);
    for (let i = 0; i < 50_000; i++) {
      const x = 1 + stream.below(200_000);
      const y = (stream.nextFloat() - 0.5) * 6;
      expect(ulps(pow(x, y), Math.pow(x, y)), `pow(${x}, ${y})`).toBeLessThanOrEqual(2);
    }
  });

  it('has the special values of Math.pow', () => {
    const values = [0, -0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, 1e300, -1e300, 5e-324, Infinity, -Infinity, NaN];
    const odd = [9007199254740991, -9007199254740991, 9007199254740992, 1e-300];
    for (const x of [...values, ...odd]) {
      for (const y of [...values, ...odd]) {
        const actual = pow(x, y);
        const expected = Math.pow(x, y);
        if (Object.is(actual, expected)) continue;
        expect(Math.abs(actual / expected - 1), `pow(${x}, ${y}) = ${actual}, not ${expected}`).toBeLessThan(1e-15);
      }
    }
  });
});

it('gives the same bits on every engine', () => {
  const stream = new RandomStream(1, 2, 3, 4);
  const digest = new Digest();
  for (let i = 0; i < 20_000; i++) {
    const x = anyPositive(stream);
    digest.float(log(x));
    digest.float(log(1 - stream.nextFloat()));
    digest.float(exp((stream.nextFloat() - 0.5) * 1490));
    digest.float(pow(stream.nextFloat() * 10, (stream.nextFloat() - 0.5) * 20));
  }
  expect(digest.hex()).toBe('a5b8f3b403c7f7d6');
});
