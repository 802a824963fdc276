import { describe, expect, it } from 'vitest';
import type { Quantity, RigCosts } from '../model/profile.ts';
import { latencyQuantile, meanLatency, requestCpu, saturatedPerSecond, sumQuantile, waiting } from './client-view.ts';

const q = (value: number): Quantity => ({ value, low: value, high: value, source: 'test' });
const RIG: RigCosts = {
  roundTripFloor: q(100),
  roundTripMedian: q(200),
  roundTripP99: q(900),
  connection: q(1000),
  requestCpu: q(50),
  connectionCpu: q(300),
  cores: q(4),
  concurrency: q(64),
  requestPackets: q(2),
  connectionPackets: q(5),
  serverWalks: q(1),
  otherMemoryBytes: q(0),
  syncTimeRatio: q(1),
};
const PACKETS = { first: Float64Array.of(10, 20, 30, 40), serverFirst: 70, established: 3 };
const ROUND_TRIP = Float64Array.of(100, 200, 300);

describe('latency', () => {
  it('of an open connection has no first packet in it', () => {
    expect(meanLatency(RIG, PACKETS, ROUND_TRIP, 'open')).toBe(200 + 2 * 3);
    const slower = { ...PACKETS, first: Float64Array.of(1e6), serverFirst: 1e6 };
    expect(meanLatency(RIG, slower, ROUND_TRIP, 'open')).toBe(206);
    expect(latencyQuantile(RIG, slower, ROUND_TRIP, 'open', 0.99)).toBeCloseTo(306, 6);
  });

  it('of a new one adds opening it, its first packet on both nodes and its other packets', () => {
    expect(meanLatency(RIG, PACKETS, ROUND_TRIP, 'new')).toBe(200 + 1000 + 25 + 70 + 7 * 3);
    const sameNode = { ...RIG, serverWalks: q(0) };
    expect(meanLatency(sameNode, PACKETS, ROUND_TRIP, 'new')).toBe(200 + 1000 + 25 + 7 * 3);
  });
});

describe('sumQuantile', () => {
  it('is that of all sums', () => {
    const a = Float64Array.of(0, 3, 7, 20);
    const b = Float64Array.of(1, 2, 50);
    const sums = [...a].flatMap((x) => [...b].map((y) => x + y)).sort((x, y) => x - y);
    sums.forEach((sum, i) => {
      expect(sumQuantile(a, b, (i + 0.5) / sums.length)).toBeCloseTo(sum, 9);
    });
  });
});

describe('saturation', () => {
  it('is the busiest node, which walks its rules for each connection', () => {
    const cpu = requestCpu(RIG, PACKETS, 'new');
    expect(cpu).toEqual({ client: 50 + 300 + 7 * 3 + 25, server: 50 + 300 + 7 * 3 + 70 });
    expect(saturatedPerSecond(RIG, cpu, 1)).toBeCloseTo(4e9 / 441, 3);
  });

  it('is what so many requests at one time can ask for, where that is less', () => {
    expect(saturatedPerSecond(RIG, requestCpu(RIG, PACKETS, 'new'), 1e6)).toBe(64e3);
  });
});

describe('waiting', () => {
  it("gives Erlang's C formula", () => {
    expect(waiting(0.5, 1, 1).probability).toBeCloseTo(0.5, 12);
    // Two servers, load 1: 1/3. Ten servers, load 8: 0.4092 (printed tables).
    expect(waiting(1, 1, 2).probability).toBeCloseTo(1 / 3, 12);
    expect(waiting(8, 1, 10).probability).toBeCloseTo(0.4092, 4);
    expect(waiting(8, 1, 10).meanOfWaiting).toBeCloseTo(0.5, 12);
  });

  it('never ends where more comes than can be served', () => {
    expect(waiting(2, 1, 2)).toEqual({ probability: 1, meanOfWaiting: Infinity });
    expect(waiting(0, 1, 2)).toEqual({ probability: 0, meanOfWaiting: 0 });
  });
});
