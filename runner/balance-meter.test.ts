import { describe, expect, it } from 'vitest';
import { BalanceMeter } from './balance-meter.ts';

const key = (address: number): number => address * 65_536 + 80;
const NONE = {
  load_max_over_mean_ratio: null,
  load_variation_ratio: null,
  load_packets_max_over_mean_ratio: null,
  load_packets_variation_ratio: null,
};

function balance(
  loads: Readonly<Record<number, readonly number[]>>,
  steady: Readonly<Record<number, readonly number[]>>,
) {
  const meter = new BalanceMeter();
  for (const [id, addresses] of Object.entries(loads)) for (const each of addresses) meter.add(Number(id), each, 80, 5);
  return meter.metrics((id) => new Set((steady[id] ?? []).map(key)));
}

describe('BalanceMeter', () => {
  it('counts endpoints that get nothing', () => {
    // Loads 4, 2 and 0: mean 2, variance (4 + 0 + 4) / 3.
    const found = balance({ 1: [10, 10, 10, 11, 10, 11] }, { 1: [10, 11, 12] });
    expect(found['load_max_over_mean_ratio']).toBe(2);
    expect(found['load_variation_ratio']).toBeCloseTo(Math.sqrt(8 / 3) / 2, 12);
  });

  it('is even where all get the same', () => {
    expect(balance({ 1: [10, 11, 12, 12, 11, 10] }, { 1: [10, 11, 12] })).toEqual({
      load_max_over_mean_ratio: 1,
      load_variation_ratio: 0,
      load_packets_max_over_mean_ratio: 1,
      load_packets_variation_ratio: 0,
    });
  });

  it('weighs connections by their packets beside', () => {
    const meter = new BalanceMeter();
    // Connections 2 and 2; packets 30 and 10 of service port 1, weight 40; 4 and 0 of service port 2, weight 4.
    meter.add(1, 10, 80, 10);
    meter.add(1, 10, 80, 20);
    meter.add(1, 11, 80, 4);
    meter.add(1, 11, 80, 6);
    meter.add(2, 20, 80, 4);
    const found = meter.metrics((id) => new Set((id === 1 ? [10, 11] : [20, 21]).map(key)));
    expect(found['load_max_over_mean_ratio']).toBeCloseTo((4 * 1 + 1 * 2) / 5, 12);
    expect(found['load_packets_max_over_mean_ratio']).toBeCloseTo((40 * 1.5 + 4 * 2) / 44, 12);
    expect(found['load_packets_variation_ratio']).toBeCloseTo((40 * 0.5 + 4 * 1) / 44, 12);
  });

  it('leaves out endpoints that came or left, and weights service ports by connections', () => {
    // Port 1: loads 3 and 1 (endpoint 12 left): 1.5 with weight 4. Port 2: loads 2 and 0: 2 with weight 2.
    const found = balance({ 1: [10, 10, 10, 11, 12, 12, 12], 2: [20, 20] }, { 1: [10, 11], 2: [20, 21] });
    expect(found['load_max_over_mean_ratio']).toBeCloseTo((4 * 1.5 + 2 * 2) / 6, 12);
    expect(found['load_variation_ratio']).toBeCloseTo((4 * 0.5 + 2 * 1) / 6, 12);
  });

  it('is null without two endpoints, and without a connection', () => {
    expect(balance({ 1: [10, 10] }, { 1: [10] })).toEqual(NONE);
    expect(balance({}, { 1: [10, 11] })).toEqual(NONE);
    expect(balance({ 1: [12] }, { 1: [10, 11] })).toEqual(NONE);
  });
});
