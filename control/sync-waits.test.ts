/** How long a change waits for kube-proxy, through the whole control plane: seldom changes, dense ones, and deletions. */
import { describe, expect, it } from 'vitest';
import type { ChurnEvent } from '../model/churn.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import { Rng } from '../sim/rng.ts';
import { probeOf, worldOf } from './test-world.ts';

/** Of status, slice and watch, 10 ms each. */
const DELAYS_S = 0.03;
const SYNC_S = 0.5;
const MIN_SYNC_S = 2;

const seconds = (ns: number): number => ns / NS_PER_S;
const fail = (pod: number, at_s: number, duration_s: number): ChurnEvent => ({
  kind: 'probe_failure',
  at: Math.round(at_s * NS_PER_S),
  deployment: 0,
  pod,
  probe: 'readiness',
  mode: 'error',
  durationNs: Math.round(duration_s * NS_PER_S),
});

function latencies(churn: ChurnEvent[], replicas: number, until_s: number, runner = 'from-completion' as const) {
  const world = worldOf({
    churn,
    deployment: { replicas, readinessProbe: probeOf({ periodSeconds: 1, failureThreshold: 1 }) },
    timing: { syncRunner: runner, minSyncPeriodNs: MIN_SYNC_S * NS_PER_S },
    syncNs: SYNC_S * NS_PER_S,
  });
  world.simulation.runUntil(until_s * NS_PER_S);
  return { world, waits: world.plane.latencies().map(seconds) };
}

describe('changes far rarer than minSyncPeriod', () => {
  it('are programmed after the sync time alone', () => {
    const { world, waits } = latencies(
      Array.from({ length: 20 }, (_, i) => fail(i % 5, 10 + 20 * i, 10)),
      5,
      500,
    );
    expect(waits).toHaveLength(40);
    for (const wait of waits) expect(wait).toBeCloseTo(DELAYS_S + SYNC_S, 9);
    expect(world.plane.coalescedChanges()).toBe(0);
  });
});

describe('dense changes', () => {
  it('wait on average half the cycle of minSyncPeriod and sync time', () => {
    const stream = new Rng(8).stream('changes');
    // Eight changes a second on average, each pod failing once for a while.
    const churn = Array.from({ length: 400 }, (_, pod) => fail(pod, 10 + 100 * stream.nextFloat(), 3));
    const { world, waits } = latencies(churn, 400, 200);
    expect(waits).toHaveLength(800);
    const cycle = MIN_SYNC_S + SYNC_S;
    const starts = world.begun.slice(1).map(({ at }) => seconds(at));
    // No cycle is without a change, so starts follow each other as closely as they may.
    const gaps = starts.slice(1, -2).map((at, i) => at - starts[i]);
    for (const gap of gaps) expect(gap).toBeCloseTo(cycle, 9);
    expect(gaps.length).toBeGreaterThan(35);
    const own = waits.map((wait) => wait - DELAYS_S - SYNC_S);
    // A change may go along with a slice that is about to be written, and save up to 10 ms.
    expect(Math.min(...own)).toBeGreaterThanOrEqual(-0.01);
    expect(Math.max(...own)).toBeLessThanOrEqual(cycle + 1e-9);
    const mean = own.reduce((sum, wait) => sum + wait, 0) / own.length;
    // Uniform over the cycle: its standard error is cycle / sqrt(12 x 800), here 0.03 s.
    expect(Math.abs(mean - cycle / 2)).toBeLessThan(0.08);
  });
});

describe('deleted endpoints', () => {
  const scaleTo = (replicas: number, at_s: number): ChurnEvent => ({
    kind: 'scale', at: Math.round(at_s * NS_PER_S), deployment: 0, replicas,
  }); // prettier-ignore
  const wait = (syncRunner: 'from-completion' | 'token-bucket', ...times: number[]): number[] => {
    const world = worldOf({
      churn: times.map((at, i) => scaleTo(times.length - i, at)),
      // Pods are gone, which is a change of its own, when all is over.
      deployment: { replicas: times.length + 1, preStopSleepSeconds: 300, terminationGracePeriodSeconds: 400 },
      timing: { syncRunner, minSyncPeriodNs: 10 * NS_PER_S },
      syncNs: 20 * NS_PER_MS,
    });
    world.simulation.runUntil(200 * NS_PER_S);
    return world.plane.latencies().map(seconds);
  };

  it('within minSyncPeriod wait for it; the first after a pause does not', () => {
    const [first, second, third, fourth] = wait('from-completion', 30, 31, 35, 80);
    // Slice and watch take 20 ms, the sync as long: 30.04 s. The next begins 10 s after that.
    expect(first).toBeCloseTo(0.04, 9);
    expect(second).toBeCloseTo(30.04 + 10 + 0.02 - 31, 9);
    expect(third).toBeCloseTo(30.04 + 10 + 0.02 - 35, 9);
    expect(fourth).toBeCloseTo(0.04, 9);
  });

  it('wait from the third on where the runner lets two follow each other', () => {
    const [first, second, third, fourth] = wait('token-bucket', 30, 31, 35, 80);
    expect(first).toBeCloseTo(0.04, 9);
    expect(second).toBeCloseTo(0.04, 9);
    // The last completion was at 31.04 s.
    expect(third).toBeCloseTo(31.04 + 10 + 0.02 - 35, 9);
    expect(fourth).toBeCloseTo(0.04, 9);
  });

  it('never wait longer than minSyncPeriod and the sync under way', () => {
    const stream = new Rng(3).stream('deletions');
    const times = Array.from({ length: 60 }, () => 20 + 120 * stream.nextFloat()).sort((a, b) => a - b);
    const waits = wait('from-completion', ...times);
    expect(waits).toHaveLength(60);
    expect(Math.max(...waits)).toBeLessThanOrEqual(0.02 + 0.02 + 10 + 0.02 + 1e-9);
    expect(Math.max(...waits)).toBeGreaterThan(9);
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(0.04 - 1e-9);
  });
});
