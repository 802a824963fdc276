/**
 * Named random streams. A stream depends on (seed, name) alone, never on the order in which streams are made or used,
 * so a new consumer does not shift another's numbers.
 */
import { assert } from './assert.ts';

/** xoshiro128** 1.1 (Blackman and Vigna, https://prng.di.unimi.it/xoshiro128starstar.c): 32-bit output, period 2^128 - 1. */
export class RandomStream {
  #s0: number;
  #s1: number;
  #s2: number;
  #s3: number;

  /** Four 32-bit words of state, not all zero. */
  constructor(s0: number, s1: number, s2: number, s3: number) {
    this.#s0 = s0 | 0;
    this.#s1 = s1 | 0;
    this.#s2 = s2 | 0;
    this.#s3 = s3 | 0;
  }

  /** Uniform in [0, 2^32). */
  nextUint32(): number {
    const s1 = this.#s1;
    const x = Math.imul(s1, 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9);
    const t = s1 << 9;
    this.#s2 ^= this.#s0;
    this.#s3 ^= s1;
    this.#s1 = s1 ^ this.#s2;
    this.#s0 ^= this.#s3;
    this.#s2 ^= t;
    const s3 = this.#s3;
    this.#s3 = (s3 << 11) | (s3 >>> 21);
    return result >>> 0;
  }

  /** Uniform in [0, 1) on a grid of 2^-53; consumes two words. */
  nextFloat(): number {
    const high = this.nextUint32() >>> 5;
    const low = this.nextUint32() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  /**
   * Uniform integer in [0, bound), 1 <= bound <= 2^32; unbiased: words in the incomplete last run of `bound` are drawn again.
   * A quotient that is floored is exact for whole numbers below 2^53 of this size, and many times as fast as % of two floats.
   */
  below(bound: number): number {
    if (!(bound >= 1 && bound <= 4294967296)) assert(false, `below needs a bound in [1, 2^32], got ${bound}`);
    for (;;) {
      const word = this.nextUint32();
      const run = Math.floor(word / bound) * bound;
      if (run + bound <= 4294967296) return word - run;
    }
  }
}

/** Fisher-Yates from the end: for i = n-1 .. 1 swaps element i with element below(i + 1). Exactly one `below` call an i. */
export function shuffle(values: Uint32Array | number[], stream: RandomStream): void {
  for (let i = values.length - 1; i > 0; i--) {
    const j = stream.below(i + 1);
    const held = values[i];
    values[i] = values[j];
    values[j] = held;
  }
}

/** A family of streams under one seed. `sub` makes a family of its own for a part of the model. */
export class Rng {
  readonly #seed: number;
  readonly #path: string;

  /** `seed` is an integer in [0, 2^53). */
  constructor(seed: number, path = '') {
    if (!Number.isSafeInteger(seed) || seed < 0) throw new Error(`Seed must be an integer in [0, 2^53), got ${seed}`);
    this.#seed = seed;
    this.#path = path;
  }

  /** The stream of that name. Two calls with one name give two streams that produce the same numbers. */
  stream(name: string): RandomStream {
    const state = hashName(this.#path + name, this.#seed);
    return new RandomStream(state[0], state[1], state[2], state[3]);
  }

  sub(name: string): Rng {
    return new Rng(this.#seed, `${this.#path}${name}/`);
  }
}

/** cyrb128-like hash: four accumulators over the UTF-16 units of the name, seeded, each finalised as in MurmurHash3 (fmix32). */
function hashName(name: string, seed: number): [number, number, number, number] {
  const low = seed >>> 0;
  const high = Math.floor(seed / 4294967296);
  let a = 0x9e3779b9 ^ low;
  let b = 0x243f6a88 ^ high;
  let c = 0xb7e15162 ^ Math.imul(low, 0x85ebca6b);
  let d = 0xdeadbeef ^ Math.imul(high + 1, 0xc2b2ae35);
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    a = b ^ Math.imul(a ^ unit, 597399067);
    b = c ^ Math.imul(b ^ unit, 2869860233);
    c = d ^ Math.imul(c ^ unit, 951274213);
    d = a ^ Math.imul(d ^ unit, 2716044179);
  }
  a = fmix32(a ^ name.length);
  b = fmix32(b ^ a);
  c = fmix32(c ^ b);
  d = fmix32(d ^ c);
  a = fmix32(a ^ d);
  // The all-zero state is the one fixed point of the generator.
  return (a | b | c | d) === 0 ? [1, 0, 0, 0] : [a, b, c, d];
}

function fmix32(value: number): number {
  let h = value;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  return h;
}
