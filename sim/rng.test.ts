import { describe, expect, it } from 'vitest';
import { chiSquaredScore } from './chi-squared.ts';
import { RandomStream, Rng, shuffle } from './rng.ts';

function take(stream: RandomStream, count: number): number[] {
  return Array.from({ length: count }, () => stream.nextUint32());
}

/** Scores of 400,000 draws from `cells` equally likely cells. */
function uniformScore(cells: number, draw: () => number): number {
  const draws = 400_000;
  const counts = new Float64Array(cells);
  for (let i = 0; i < draws; i++) counts[draw()]++;
  return chiSquaredScore(counts, new Float64Array(cells).fill(draws / cells));
}

describe('RandomStream', () => {
  it('is xoshiro128** 1.1', () => {
    // The numbers of the authors' C program from the state 1, 2, 3, 4.
    expect(take(new RandomStream(1, 2, 3, 4), 10)).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ]);
  });

  it.each([
    ['upper bits', (stream: RandomStream) => stream.nextUint32() >>> 24],
    ['lower bits', (stream: RandomStream) => stream.nextUint32() & 255],
    ['floats', (stream: RandomStream) => Math.floor(stream.nextFloat() * 256)],
    ['the last bits of floats', (stream: RandomStream) => (stream.nextFloat() * 9007199254740992) % 256],
    ['pairs of neighbours', (stream: RandomStream) => (stream.nextUint32() >>> 28) * 16 + (stream.nextUint32() >>> 28)],
    ['below(7) pairs', (stream: RandomStream) => stream.below(7) * 7 + stream.below(7)],
    ['below(1000)', (stream: RandomStream) => stream.below(1000)],
  ])('is uniform: %s', (name, draw) => {
    const cells = name.startsWith('below(7)') ? 49 : name.startsWith('below') ? 1000 : 256;
    for (const seed of [1, 2, 3]) {
      const stream = new Rng(seed).stream('test');
      expect(Math.abs(uniformScore(cells, () => draw(stream)))).toBeLessThan(3.5);
    }
  });

  it('is unbiased where 2^32 mod bound is large', () => {
    // Without rejection the lower half of 3 * 2^30 would be twice as likely as the rest.
    const bound = 3221225472;
    const stream = new Rng(1).stream('bias');
    const score = uniformScore(3, () => Math.floor(stream.below(bound) / 1073741824));
    expect(Math.abs(score)).toBeLessThan(3.5);
  });

  it('covers the whole range of below(2^32), and refuses other bounds', () => {
    const stream = new Rng(1).stream('x');
    const twin = new Rng(1).stream('x');
    for (let i = 0; i < 100; i++) expect(stream.below(4294967296)).toBe(twin.nextUint32());
    expect(stream.below(1)).toBe(0);
    for (const bound of [0, -1, NaN, 4294967297]) expect(() => stream.below(bound)).toThrow(`got ${bound}`);
  });

  it('gives floats in [0, 1) with 53 bits', () => {
    expect(new RandomStream(0, 0, 0, 1).nextFloat()).toBe(0);
    const stream = new Rng(4).stream('float');
    let low = 1;
    let high = 0;
    for (let i = 0; i < 100_000; i++) {
      const u = stream.nextFloat();
      if (u < low) low = u;
      if (u > high) high = u;
      if (!Number.isInteger(u * 9007199254740992)) expect.fail(`${u} is off the grid`);
    }
    expect(low).toBeGreaterThanOrEqual(0);
    expect(low).toBeLessThan(1e-4);
    expect(high).toBeLessThan(1);
    expect(high).toBeGreaterThan(1 - 1e-4);
  });
});

describe('Rng', () => {
  it('has known answers', () => {
    expect(take(new Rng(1).stream('traffic/checkout'), 4)).toEqual([1129797702, 895118586, 2412573869, 4019606437]);
    expect(take(new Rng(9007199254740991).stream('service-order'), 4)).toEqual([
      2970732166, 4120393733, 110158506, 3029269637,
    ]);
    expect(take(new Rng(0).stream(''), 4)).toEqual([2008098257, 1633923244, 194217796, 2961834814]);
  });

  it('gives a stream by seed and name alone, whatever was made or drawn before', () => {
    const alone = take(new Rng(42).stream('churn'), 20);
    const rng = new Rng(42);
    const other = rng.stream('traffic');
    take(other, 1000);
    const late = rng.stream('churn');
    take(rng.stream('cluster'), 7);
    const interleaved = alone.map(() => {
      other.nextUint32();
      return late.nextUint32();
    });
    expect(interleaved).toEqual(alone);
    expect(take(rng.stream('churn'), 20)).toEqual(alone);
  });

  it('names by path: sub is a prefix', () => {
    const rng = new Rng(7);
    expect(take(rng.sub('traffic').stream('checkout'), 8)).toEqual(take(rng.stream('traffic/checkout'), 8));
    expect(take(rng.sub('a').sub('b').stream('c'), 8)).toEqual(take(rng.stream('a/b/c'), 8));
  });

  it('separates every seed and name', () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 100; seed++) {
      for (const high of [0, 4294967296]) {
        const rng = new Rng(seed + high);
        for (let k = 0; k < 100; k++) seen.add(take(rng.stream(`service-${k}`), 2).join(' '));
      }
    }
    expect(seen.size).toBe(20_000);
  });

  it('gives streams of neighbouring names and seeds that do not correlate', () => {
    // Half of all bits differ between the first words of neighbours; 400,000 comparisons have a deviation of 0.0008.
    for (const neighbour of [
      (k: number): [RandomStream, RandomStream] => [new Rng(k).stream('s'), new Rng(k + 1).stream('s')],
      (k: number): [RandomStream, RandomStream] => [new Rng(5).stream(`s${k}`), new Rng(5).stream(`s${k + 1}`)],
      (k: number): [RandomStream, RandomStream] => [new Rng(5).stream(`${k}/pod`), new Rng(5).stream(`${k + 1}/pod`)],
    ]) {
      let different = 0;
      let bits = 0;
      for (let k = 0; k < 12_500; k++) {
        const [one, two] = neighbour(k);
        for (let word = one.nextUint32() ^ two.nextUint32(); word !== 0; word &= word - 1) different++;
        bits += 32;
      }
      expect(Math.abs(different / bits - 0.5)).toBeLessThan(0.0035);
    }
  });

  it.each([-1, 0.5, NaN, 9007199254740992])('refuses the seed %s', (seed) => {
    expect(() => new Rng(seed)).toThrow(`got ${seed}`);
  });
});

describe('shuffle', () => {
  it('makes each of the 24 orders of 4 elements equally likely', () => {
    const stream = new Rng(3).stream('shuffle');
    const counts = new Map<string, number>();
    for (let i = 0; i < 48_000; i++) {
      const values = [0, 1, 2, 3];
      shuffle(values, stream);
      const key = values.join('');
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    const score = chiSquaredScore([...counts.values()], new Float64Array(24).fill(2000));
    expect(Math.abs(score)).toBeLessThan(3.5);
  });

  it('calls below once an element, from the end, and treats typed arrays alike', () => {
    const stream = new Rng(3).stream('order');
    const values = Uint32Array.from({ length: 50 }, (_, i) => i);
    shuffle(values, stream);
    const list = Array.from({ length: 50 }, (_, i) => i);
    const twin = new Rng(3).stream('order');
    for (let i = 49; i > 0; i--) {
      const j = twin.below(i + 1);
      [list[i], list[j]] = [list[j], list[i]];
    }
    expect([...values]).toEqual(list);
    expect(stream.nextUint32()).toBe(twin.nextUint32());
  });

  it('leaves nothing to do for none or one', () => {
    const stream = new Rng(3).stream('order');
    const one = [5];
    shuffle([], stream);
    shuffle(one, stream);
    expect(one).toEqual([5]);
    expect(stream.nextUint32()).toBe(new Rng(3).stream('order').nextUint32());
  });
});
