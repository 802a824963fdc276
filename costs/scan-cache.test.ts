import { describe, expect, it } from 'vitest';
import type { CacheCosts } from '../model/profile.ts';
import { missShare, ScanCache } from './scan-cache.ts';
import { committedProfile } from './test-data.ts';

const quantity = (value: number) => ({ value, low: value, high: value, source: 'test' });
const committed = committedProfile().cache;
/** A cache of 100 bytes that is exactly least-recently-used: all hits up to 100 bytes, all misses beyond. */
const sharp: CacheCosts = {
  l2Bytes: quantity(100),
  kneeStartRatio: quantity(1),
  kneeEndRatio: quantity(1.000001),
  lastLevelBytes: quantity(1000),
};

/** Misses of walks of a random length over a list kept in order of last use: the literal thing that ScanCache has in closed form. */
function simulatedMisses(rules: number, capacity: number, walks: number, otherMemory = 0): number {
  let recent: number[] = [];
  let state = 12345;
  let misses = 0;
  for (let k = 0; k < walks; k++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const length = 1 + Math.floor((state / 2 ** 32) * rules);
    for (let r = 0; r < length; r++) {
      const at = recent.indexOf(r);
      if (at < 0 || at >= capacity) misses++;
      if (at >= 0) recent.splice(at, 1);
      recent.unshift(r);
    }
    // Memory that nobody comes back to: negative numbers.
    for (let m = 0; m < otherMemory; m++) recent.unshift(-1 - m - k * otherMemory);
    recent = recent.slice(0, rules + capacity);
  }
  return misses / walks;
}

describe('missShare', () => {
  it('is 0 below the knee, 1 above it and grows in between', () => {
    expect(missShare(committed, 0)).toBe(0);
    expect(missShare(committed, committed.kneeStartRatio.value)).toBe(0);
    expect(missShare(committed, committed.kneeEndRatio.value)).toBe(1);
    expect(missShare(committed, 100)).toBe(1);
    let last = 0;
    for (let ratio = 0.5; ratio < 2; ratio += 0.01) {
      const share = missShare(committed, ratio);
      expect(share).toBeGreaterThanOrEqual(last);
      last = share;
    }
  });
});

describe('ScanCache', () => {
  it.each([
    [110, 100],
    [150, 100],
    [300, 100],
  ])('agrees with a simulated least-recently-used cache: %i rules, room for %i', (rules, capacity) => {
    const use = { rules, touchedBytes: 1, sameServiceProbability: 0, otherMemoryBytes: 0 };
    const cache = new ScanCache(sharp, use);
    let sum = 0;
    for (let length = 1; length <= rules; length++) sum += cache.misses(length);
    const simulated = simulatedMisses(rules, capacity, 3000);
    // 3,000 walks leave some 3% of noise, and the closed form treats rules as a continuum.
    expect(sum / rules / simulated).toBeGreaterThan(0.93);
    expect(sum / rules / simulated).toBeLessThan(1.07);
  });

  it.each([
    [90, 100, 15],
    [60, 100, 50],
    [150, 100, 30],
  ])('and where each packet brings memory along: %i rules, room for %i, %i others', (rules, capacity, others) => {
    const use = { rules, touchedBytes: 1, sameServiceProbability: 0, otherMemoryBytes: others };
    const cache = new ScanCache(sharp, use);
    let sum = 0;
    for (let length = 1; length <= rules; length++) sum += cache.misses(length);
    const simulated = simulatedMisses(rules, capacity, 3000, others);
    expect(sum / rules / simulated).toBeGreaterThan(0.9);
    expect(sum / rules / simulated).toBeLessThan(1.1);
  });

  it('with one service is all or nothing: its own walk decides', () => {
    const use = { rules: 300, touchedBytes: 1, sameServiceProbability: 1, otherMemoryBytes: 0 };
    const cache = new ScanCache(sharp, use);
    expect(cache.misses(99)).toBe(0);
    expect(cache.misses(150)).toBeCloseTo(150, 6);
    expect(cache.misses(300)).toBeCloseTo(300, 6);
  });

  it('grows with the walk and with other memory, and never exceeds the walk', () => {
    for (const sameServiceProbability of [0, 0.03, 0.5, 1]) {
      for (const otherMemoryBytes of [0, 1e6, 8e6]) {
        const use = { rules: 12_000, touchedBytes: 230, sameServiceProbability, otherMemoryBytes };
        const cache = new ScanCache(committed, use);
        let last = 0;
        for (let rules = 0; rules <= 13_000; rules += 97) {
          const misses = cache.misses(rules);
          expect(misses).toBeGreaterThanOrEqual(last - 1e-9);
          expect(misses).toBeLessThanOrEqual(rules + 1e-6);
          last = misses;
        }
      }
    }
    const misses = (otherMemoryBytes: number) =>
      new ScanCache(committed, { rules: 5000, touchedBytes: 230, sameServiceProbability: 0, otherMemoryBytes }).misses(
        4000,
      );
    expect(misses(0)).toBe(0);
    expect(misses(1e6)).toBeGreaterThan(0);
    expect(misses(8e6)).toBeCloseTo(4000, 6);
  });

  it('has nothing to miss where there are no services', () => {
    const use = { rules: 0, touchedBytes: 230, sameServiceProbability: 1, otherMemoryBytes: 0 };
    const cache = new ScanCache(committed, use);
    expect(cache.misses(0)).toBe(0);
    expect(cache.misses(1)).toBe(0);
  });
});
