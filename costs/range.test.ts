/** The range of a modelled cost, on profiles of round numbers. */
import { describe, expect, it } from 'vitest';
import type { CostProfile, Quantity } from '../model/profile.ts';
import { costBasis, costRange, statedRanges } from './range.ts';

const q = (value: number, low = value, high = value): Quantity => ({ value, low, high, source: `source of ${value}` });
const use = (engine: 'iptables' | 'ipvs' | 'nftables' | 'userspace', more: object = {}) => ({
  engine,
  iptablesBackend: 'legacy' as const,
  ipvsScheduler: 'rr',
  ...more,
});

const INSTRUCTIONS = {
  unit: 'instructions',
  packet: { bareFirst: q(8000), bareEstablished: q(6000) },
  ipvs: { schedulers: { rr: { estimated: false }, lblc: { estimated: true } } },
  range: { iptables: q(0.01), iptablesNft: q(0.02), nftables: q(0.03), userspace: q(0.9), ipvs: q(0.05) },
} as unknown as CostProfile;

const NANOSECONDS = {
  unit: 'ns',
  packet: { bareFirst: q(1000), bareEstablished: q(900) },
  range: { iptables: q(0.1), iptablesNft: q(0.2), nftables: q(0.15), userspace: q(0.9), ipvs: q(0.05) },
  ipvsBridge: {
    from: INSTRUCTIONS,
    firstNsPerInstruction: q(0.2, 0.15, 0.25),
    establishedNsPerInstruction: q(0.1, 0.08, 0.12),
  },
} as unknown as CostProfile;

describe('costRange', () => {
  it('is the validated ratio of the cost, of the tables that hold the rules', () => {
    expect(costRange(NANOSECONDS, use('iptables'), true, 5000)).toEqual({ low: 4500, high: 5500 });
    expect(costRange(NANOSECONDS, use('iptables', { iptablesBackend: 'nft' }), true, 5000)).toEqual({
      low: 4000,
      high: 6000,
    });
    expect(costRange(NANOSECONDS, use('nftables'), false, 1000)).toEqual({ low: 850, high: 1150 });
    expect(costRange(INSTRUCTIONS, use('ipvs'), true, 20_000)).toEqual({ low: 19_000, high: 21_000 });
  });

  it('of IPVS in nanoseconds has the factor above the bare packet alone, and the instructions as a whole', () => {
    // 3,000 ns are 8,000 + 2,000 / 0.2 = 18,000 instructions, 17,100 to 18,900 of them.
    const { low, high } = costRange(NANOSECONDS, use('ipvs'), true, 3000);
    expect(low).toBeCloseTo(1000 + 9100 * 0.15, 9);
    expect(high).toBeCloseTo(1000 + 10_900 * 0.25, 9);
    // 1,500 ns of a later packet are 6,000 + 600 / 0.1 = 12,000 instructions.
    const later = costRange(NANOSECONDS, use('ipvs'), false, 1500);
    expect(later.low).toBeCloseTo(900 + (11_400 - 6000) * 0.08, 9);
    expect(later.high).toBeCloseTo(900 + (12_600 - 6000) * 0.12, 9);
  });

  it('is never below the bare packet in IPVS mode, nor below zero', () => {
    expect(costRange(NANOSECONDS, use('ipvs'), true, 1000).low).toBe(1000);
    const far = { ...NANOSECONDS, range: { ...NANOSECONDS.range, userspace: q(1.5) } };
    expect(costRange(far, use('userspace'), true, 100)).toEqual({ low: 0, high: 250 });
  });

  it('of a mean is the mean of the ranges', () => {
    const [a, b] = [2000, 8000].map((cost) => costRange(NANOSECONDS, use('ipvs'), true, cost));
    const mean = costRange(NANOSECONDS, use('ipvs'), true, 5000);
    expect(mean.low).toBeCloseTo((a.low + b.low) / 2, 9);
    expect(mean.high).toBeCloseTo((a.high + b.high) / 2, 9);
  });
});

describe('costBasis', () => {
  it('is what was measured in the unit, what is derived from another, or an estimate', () => {
    expect(costBasis(NANOSECONDS, use('iptables'))).toBe('measured');
    expect(costBasis(NANOSECONDS, use('ipvs'))).toBe('derived');
    expect(costBasis(INSTRUCTIONS, use('ipvs'))).toBe('measured');
    for (const ipvsScheduler of ['lblc', 'unknown']) {
      expect(costBasis(INSTRUCTIONS, use('ipvs', { ipvsScheduler }))).toBe('estimated');
      expect(costBasis(NANOSECONDS, use('ipvs', { ipvsScheduler }))).toBe('estimated');
    }
    expect(costBasis(NANOSECONDS, use('userspace'))).toBe('estimated');
  });
});

describe('statedRanges', () => {
  it('has a line for each engine and part, with signs and sources', () => {
    const lines = statedRanges(NANOSECONDS);
    expect(lines.map(({ engine, part }) => `${engine} ${part}`.trim())).toEqual([
      'iptables iptables-legacy',
      'iptables iptables-nft',
      'nftables',
      'ipvs instructions that time is made of',
      'ipvs time of a first packet above the bare one',
      'ipvs time of a later packet above the bare one',
      'userspace',
    ]);
    expect(lines[0]).toMatchObject({ low_ratio: -0.1, high_ratio: 0.1, source: 'source of 0.1' });
    expect(lines[4].low_ratio).toBeCloseTo(-0.25, 12);
    expect(lines[4].high_ratio).toBeCloseTo(0.25, 12);
    expect(statedRanges(INSTRUCTIONS).map(({ engine }) => engine)).toEqual([
      'iptables',
      'iptables',
      'nftables',
      'ipvs',
    ]);
  });
});
