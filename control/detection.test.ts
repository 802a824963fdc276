/** How long a failing pod is not noticed: phase + (failureThreshold - 1) x period + response time, through the whole control plane. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ChurnEvent, FailureMode, PodBehaviour } from '../model/churn.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import type { Probe } from '../model/workload.ts';
import { Rng } from '../sim/rng.ts';
import { constantly, probeOf, worldOf } from './test-world.ts';
import type { World, WorldOptions } from './test-world.ts';

const fault = (mode: FailureMode, atNs: number, changes: Partial<ChurnEvent> = {}): ChurnEvent =>
  ({
    kind: 'probe_failure', at: atNs, deployment: 0, pod: 0, probe: 'readiness', mode, durationNs: 500 * NS_PER_S, ...changes,
  }) as ChurnEvent; // prettier-ignore

function detections(options: WorldOptions, until_s = 400): readonly number[] {
  const world: World = worldOf(options);
  world.simulation.runUntil(until_s * NS_PER_S);
  return world.plane.probeDetections;
}

/** From `at` to the next probe of the first pod, whose ticks begin at a phase that only its name and the seed decide. */
function phaseNs(seed: number, periodNs: number, at: number): number {
  const stream = new Rng(seed).sub('control').sub('kubelet').stream('probe-phase/readiness/default/web-old-0');
  const first = Math.floor(stream.nextFloat() * periodNs);
  return (((first - at) % periodNs) + periodNs) % periodNs;
}

/** What the response takes, as a share of the timeout; of those kinds that see the fault. */
const RESPONSES: readonly [Probe['kind'], FailureMode, number][] = [
  ['httpGet', 'error', 0],
  ['httpGet', 'refuse', 0],
  ['httpGet', 'hang', 1],
  ['tcpSocket', 'refuse', 0],
  ['exec', 'error', 0],
  ['exec', 'hang', 1],
  ['grpc', 'error', 0],
  ['grpc', 'refuse', 1],
  ['grpc', 'hang', 1],
];

describe('the time to detect a failed probe', () => {
  it('is phase + (failureThreshold - 1) x period + response time, to the nanosecond', () => {
    const plan = fc.record({
      seed: fc.nat(100_000),
      atNs: fc.integer({ min: 10 * NS_PER_S, max: 40 * NS_PER_S }),
      response: fc.constantFrom(...RESPONSES),
      periodSeconds: fc.integer({ min: 1, max: 10 }),
      failureThreshold: fc.integer({ min: 1, max: 5 }),
      slack: fc.integer({ min: 0, max: 9 }),
    });
    fc.assert(
      fc.property(plan, ({ seed, atNs, response: [kind, mode, share], periodSeconds, failureThreshold, slack }) => {
        const timeoutSeconds = Math.max(1, periodSeconds - slack);
        const readinessProbe = probeOf({ kind, periodSeconds, timeoutSeconds, failureThreshold });
        const found = detections({ seed, churn: [fault(mode, atNs)], deployment: { readinessProbe } }, 120);
        const phase = phaseNs(seed, periodSeconds * NS_PER_S, atNs);
        expect(found).toEqual([phase + ((failureThreshold - 1) * periodSeconds + share * timeoutSeconds) * NS_PER_S]);
      }),
      { seed: 5, numRuns: 300 },
    );
  });

  it.each([
    ['error', 4, 6],
    ['refuse', 4, 6],
    ['hang', 5, 7],
  ] as const)('%s: %i to %i s with the probe of scenarios/clusters, over the whole range', (mode, from, to) => {
    const readinessProbe = probeOf({ periodSeconds: 2, timeoutSeconds: 1, failureThreshold: 3 });
    const waits = Array.from({ length: 200 }, (_, seed) => {
      const [wait] = detections({ seed, churn: [fault(mode, 10 * NS_PER_S)], deployment: { readinessProbe } }, 20);
      return wait / NS_PER_S;
    });
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(from);
    expect(Math.max(...waits)).toBeLessThan(to);
    expect(Math.min(...waits)).toBeLessThan(from + 0.1);
    expect(Math.max(...waits)).toBeGreaterThan(to - 0.1);
    expect(waits.reduce((sum, wait) => sum + wait, 0) / waits.length).toBeCloseTo((from + to) / 2, 0);
  });

  it('is taken of each of a flapping check, from the beginning of its own failure', () => {
    const periodNs = 20 * NS_PER_S;
    const churn = [
      fault('error', 10 * NS_PER_S, {
        kind: 'probe_flapping', durationNs: 60 * NS_PER_S, periodNs, failingNs: 10 * NS_PER_S,
      }),
    ]; // prettier-ignore
    const readinessProbe = probeOf({ periodSeconds: 1, failureThreshold: 2 });
    const found = detections({ seed: 3, churn, deployment: { readinessProbe } });
    const wait = phaseNs(3, NS_PER_S, 10 * NS_PER_S) + NS_PER_S;
    expect(found).toEqual([wait, wait, wait]);
  });

  it('is taken of flapping by chance, too', () => {
    const behaviours: PodBehaviour[] = [
      {
        deployment: 0,
        warmUpMode: 'error',
        flapping: { probe: 'readiness', mode: 'error', periodSeconds: constantly(20), failingRatio: 0.5 },
      },
    ];
    const readinessProbe = probeOf({ periodSeconds: 1, failureThreshold: 2 });
    const found = detections({ behaviours, deployment: { readinessProbe } });
    expect(found.length).toBeGreaterThanOrEqual(3 * 19);
    expect(Math.min(...found)).toBeGreaterThanOrEqual(NS_PER_S);
    expect(Math.max(...found)).toBeLessThan(2 * NS_PER_S);
  });

  it('is not taken where the failure ends first, or the pod is deleted', () => {
    const readinessProbe = probeOf({ periodSeconds: 2, failureThreshold: 3 });
    const short = fault('error', 10 * NS_PER_S, { durationNs: 3 * NS_PER_S });
    expect(detections({ churn: [short], deployment: { readinessProbe } })).toEqual([]);
    const shrink: ChurnEvent = { kind: 'scale', at: 10 * NS_PER_S, deployment: 0, replicas: 0 };
    const failing = fault('error', 10 * NS_PER_S);
    const deployment = { readinessProbe, preStopSleepSeconds: 20 };
    expect(detections({ churn: [failing, shrink], deployment })).toEqual([]);
  });
});

describe('the time to detect that a process is gone', () => {
  it('is none after a crash, since the kubelet sees its container end', () => {
    const crash: ChurnEvent = { kind: 'crash', at: 10 * NS_PER_S, deployment: 0, pod: 0 };
    expect(detections({ churn: [crash] })).toEqual([0]);
    expect(detections({ churn: [crash], withoutReadinessProbe: true })).toEqual([0]);
  });

  it('counts from SIGTERM where a liveness probe has asked for it', () => {
    const churn = [fault('error', 10 * NS_PER_S, { probe: 'liveness', durationNs: NS_PER_S })];
    const livenessProbe = probeOf({ periodSeconds: 1, failureThreshold: 1 });
    // The process listens no more for the 100 ms until its container has ended; its readiness probe comes too seldom to see it.
    const readinessProbe = probeOf({ periodSeconds: 100 });
    expect(detections({ churn, deployment: { livenessProbe, readinessProbe } })).toEqual([100 * NS_PER_MS]);
    // It takes 9 s to end; meanwhile nobody listens on the probe's port.
    const behaviours: PodBehaviour[] = [{ deployment: 0, warmUpMode: 'error', shutdownSeconds: constantly(9) }];
    const often = probeOf({ periodSeconds: 2, failureThreshold: 2 });
    const world = worldOf({ churn, behaviours, deployment: { livenessProbe, readinessProbe: often } });
    world.simulation.runUntil(100 * NS_PER_S);
    expect(world.plane.probeDetections).toEqual([world.timeOf('pod_not_ready') - world.timeOf('process_stopped')]);
    expect(world.plane.probeDetections[0]).toBeGreaterThanOrEqual(2 * NS_PER_S);
    expect(world.plane.probeDetections[0]).toBeLessThan(4 * NS_PER_S);
  });
});
