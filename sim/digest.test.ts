import { describe, expect, it } from 'vitest';
import { Digest } from './digest.ts';
import { Rng } from './rng.ts';

function ofWords(...words: number[]): string {
  const digest = new Digest();
  for (const word of words) digest.word(word);
  return digest.hex();
}

function ofFloats(...floats: number[]): string {
  const digest = new Digest();
  for (const float of floats) digest.float(float);
  return digest.hex();
}

function ofTexts(...texts: string[]): string {
  const digest = new Digest();
  for (const text of texts) digest.text(text);
  return digest.hex();
}

describe('Digest', () => {
  it('has known answers', () => {
    expect(ofWords()).toBe('05571b0c60a2568b');
    expect(ofWords(0)).toBe('52ff56d9d4fb8097');
    expect(ofWords(1, 2, 3, 4, 5, 6)).toBe('5ff4f86daf5f833d');
    expect(ofWords(0xffffffff)).toBe('3578d761609f35bd');
    expect(ofFloats(0.1, -1e300, Infinity, NaN)).toBe('925a7e1d287dbaa1');
    expect(ofTexts('chainwalk', 'Καλημέρα')).toBe('7c5569a21f7abc1a');
  });

  it('is 16 hexadecimal characters, leading zeros kept', () => {
    for (let i = 0; i < 2000; i++) expect(ofWords(i)).toMatch(/^[0-9a-f]{16}$/);
  });

  it('tells order, length, leading zeros and the borders of texts', () => {
    expect(ofWords(1, 2)).not.toBe(ofWords(2, 1));
    expect(ofWords(0)).not.toBe(ofWords(0, 0));
    expect(ofWords(1)).not.toBe(ofWords(0, 1));
    expect(ofTexts('ab', 'c')).not.toBe(ofTexts('a', 'bc'));
    expect(ofTexts('')).not.toBe(ofTexts());
    expect(ofFloats(1)).not.toBe(ofFloats(1 + Number.EPSILON));
    expect(ofFloats(1)).not.toBe(ofFloats(-1));
  });

  it('takes what is equal as equal', () => {
    expect(ofWords(-1)).toBe(ofWords(0xffffffff));
    expect(ofFloats(0)).toBe(ofFloats(-0));
    const otherNaN = new Float64Array(new BigUint64Array([0xfff8_0000_0000_0001n]).buffer)[0];
    expect(ofFloats(otherNaN)).toBe(ofFloats(NaN));
  });

  it('goes on after hex', () => {
    const digest = new Digest();
    digest.word(1);
    digest.hex();
    digest.word(2);
    expect(digest.hex()).toBe(ofWords(1, 2));
  });

  it('gives distinct digests to all short streams of awkward words', () => {
    // Words of single high or low bits cancel in weak hashes.
    const words = [0, 1, 2, 3, 0x80000000, 0x40000000, 0xffffffff, 0x7fffffff, 0x10000, 0xffff];
    const seen = new Set<string>();
    let streams = 0;
    const extend = (prefix: number[]): void => {
      seen.add(ofWords(...prefix));
      streams++;
      if (prefix.length < 4) for (const word of words) extend([...prefix, word]);
    };
    extend([]);
    expect(seen.size).toBe(streams);
  });

  it('changes half of its bits for one bit of a word, wherever the word stands', () => {
    const stream = new Rng(1).stream('digest');
    for (let place = 0; place < 6; place++) {
      const changes = new Float64Array(64);
      const trials = 1000;
      for (let trial = 0; trial < trials; trial++) {
        const words = Array.from({ length: 6 }, () => stream.nextUint32());
        const before = BigInt(`0x${ofWords(...words)}`);
        words[place] ^= 1 << stream.below(32);
        const change = before ^ BigInt(`0x${ofWords(...words)}`);
        for (let bit = 0; bit < 64; bit++) changes[bit] += Number((change >> BigInt(bit)) & 1n);
      }
      // A fair bit changes 500 times, with a deviation of 16.
      for (const count of changes) expect(Math.abs(count - trials / 2)).toBeLessThan(75);
    }
  });
});
