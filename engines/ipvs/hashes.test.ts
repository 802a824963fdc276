/** The kernel's hashes against slow versions on BigInt, which are checked by published vectors. */
import { describe, expect, it } from 'vitest';
import { Rng } from '../../sim/rng.ts';
import { hash32, hsiphash1u32, jhash3words } from './hashes.ts';

const MASK64 = (1n << 64n) - 1n;

function rotate(x: bigint, bits: bigint): bigint {
  return ((x << bits) | (x >> (64n - bits))) & MASK64;
}

/** SipHash-c-d of Aumasson and Bernstein over whole bytes. */
function sipHash(c: number, d: number, k0: bigint, k1: bigint, bytes: readonly number[]): bigint {
  let v0 = 0x736f6d6570736575n ^ k0;
  let v1 = 0x646f72616e646f6dn ^ k1;
  let v2 = 0x6c7967656e657261n ^ k0;
  let v3 = 0x7465646279746573n ^ k1;
  const round = (): void => {
    v0 = (v0 + v1) & MASK64;
    v1 = rotate(v1, 13n) ^ v0;
    v0 = rotate(v0, 32n);
    v2 = (v2 + v3) & MASK64;
    v3 = rotate(v3, 16n) ^ v2;
    v0 = (v0 + v3) & MASK64;
    v3 = rotate(v3, 21n) ^ v0;
    v2 = (v2 + v1) & MASK64;
    v1 = rotate(v1, 17n) ^ v2;
    v2 = rotate(v2, 32n);
  };
  const padded = [...bytes];
  while (padded.length % 8 !== 7) padded.push(0);
  padded.push(bytes.length & 255);
  for (let at = 0; at < padded.length; at += 8) {
    let m = 0n;
    for (let k = 7; k >= 0; k--) m = (m << 8n) | BigInt(padded[at + k]);
    v3 ^= m;
    for (let k = 0; k < c; k++) round();
    v0 ^= m;
  }
  v2 ^= 0xffn;
  for (let k = 0; k < d; k++) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

describe('hsiphash1u32', () => {
  it('has a reference that gives the vectors of the SipHash paper', () => {
    const k0 = 0x0706050403020100n;
    const k1 = 0x0f0e0d0c0b0a0908n;
    const bytes = Array.from({ length: 15 }, (_, k) => k);
    expect(sipHash(2, 4, k0, k1, bytes)).toBe(0xa129ca6149be45e5n);
    expect(sipHash(2, 4, k0, k1, [])).toBe(0x726fdb47dd0e0e31n);
  });

  it('is the low half of SipHash-1-3 over four bytes', () => {
    const random = new Rng(3).stream('words');
    for (const key of [2654435761, 2654446892, 0, 0xffffffff]) {
      for (let k = 0; k < 200; k++) {
        const word = random.nextUint32();
        const bytes = [word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24];
        const expected = Number(sipHash(1, 3, BigInt(key), BigInt(key), bytes) & 0xffffffffn);
        expect(hsiphash1u32(word, key)).toBe(expected);
      }
    }
  });
});

describe('jhash3words', () => {
  it('is __jhash_final of the three words', () => {
    const u = (x: number): number => x >>> 0;
    const rol = (x: number, bits: number): number => u((x << bits) | (x >>> (32 - bits)));
    const slow = (first: number, second: number, third: number, rnd: number): number => {
      const seed = u(rnd + 0xdeadbeef + 12);
      const v = { a: u(first + seed), b: u(second + seed), c: u(third + seed) };
      // (to, from, bits): to ^= from; to -= rol(from, bits).
      const steps: ['a' | 'b' | 'c', 'a' | 'b' | 'c', number][] = [
        ['c', 'b', 14],
        ['a', 'c', 11],
        ['b', 'a', 25],
        ['c', 'b', 16],
        ['a', 'c', 4],
        ['b', 'a', 14],
        ['c', 'b', 24],
      ];
      for (const [to, from, bits] of steps) v[to] = u(u(v[to] ^ v[from]) - rol(v[from], bits));
      return v.c;
    };
    const random = new Rng(4).stream('words');
    for (let k = 0; k < 300; k++) {
      const words = [random.nextUint32(), random.nextUint32(), random.nextUint32(), random.nextUint32()] as const;
      expect(jhash3words(...words)).toBe(slow(...words));
    }
  });
});

describe('hash32', () => {
  it('takes the top bits of the product', () => {
    expect(hash32(1, 8)).toBe(0x61);
    expect(hash32(2, 8)).toBe(0xc3);
    expect(hash32(0, 10)).toBe(0);
    expect(hash32(0xffffffff, 8)).toBe(0x9e);
  });
});
