/** How pods behave in a whole control plane: startup probes, slow starts, warm-up, crashes, flapping; times known by hand. */
import { describe, expect, it } from 'vitest';
import type { ChurnEvent, PodBehaviour } from '../model/churn.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import type { Deployment } from '../model/workload.ts';
import { RESTART_DELAY_NS } from './restart-back-off.ts';
import { constantly, FIRST_FREE, FIRST_POD, probeOf, WEB, worldOf } from './test-world.ts';
import type { World } from './test-world.ts';

const DELAY = 10 * NS_PER_MS;
const grow: ChurnEvent = { kind: 'scale', at: 5 * NS_PER_S, deployment: 0, replicas: 4 };
const behaviourOf = (changes: Partial<PodBehaviour>): PodBehaviour[] => [
  { deployment: 0, warmUpMode: 'error', ...changes },
];
const timesOf = (world: World, kind: World['events'][number]['kind']): number[] =>
  world.events.filter((event) => event.kind === kind).map((event) => event.at / NS_PER_S);
const ended = (seconds: number, world: World): World => {
  world.simulation.runUntil(seconds * NS_PER_S);
  return world;
};

describe('a startup probe', () => {
  const startupProbe = probeOf({ periodSeconds: 2, failureThreshold: 5 });
  const livenessProbe = probeOf({ periodSeconds: 1, failureThreshold: 1 });
  const deployment = { startupProbe, livenessProbe, readinessProbe: probeOf({ periodSeconds: 30 }) };

  it('keeps liveness from killing a process that starts slowly, and sets readiness free at once', () => {
    const behaviours = behaviourOf({ startSeconds: constantly(5) });
    const world = ended(60, worldOf({ churn: [grow], deployment, behaviours }));
    // Created at 5 s, running at 7 s, listening at 12 s; the probe's ticker, which began with the pod, ticks at 13 s.
    expect(timesOf(world, 'container_started')).toEqual([13]);
    expect(timesOf(world, 'pod_ready')).toEqual([13]);
    expect(timesOf(world, 'process_stopped')).toEqual([]);
    const without = { livenessProbe, readinessProbe: deployment.readinessProbe };
    const killed = ended(60, worldOf({ churn: [grow], deployment: without, behaviours }));
    // The liveness probe of the instant of the start finds nobody listening.
    expect(timesOf(killed, 'process_stopped')[0]).toBe(7);
  });

  it('makes the pod ready without a readiness probe', () => {
    const world = ended(60, worldOf({ churn: [grow], deployment, withoutReadinessProbe: true }));
    expect(timesOf(world, 'pod_ready')).toEqual([7]);
  });

  it('kills a process that does not start in time, and begins anew with the next', () => {
    const behaviours = behaviourOf({ startSeconds: constantly(100) });
    const world = ended(40, worldOf({ churn: [grow], deployment, behaviours }));
    // Probes at 7, 9, 11, 13 and 15 s; exit after 100 ms, restart a second later; then 17 .. 25 s and 10 s of back-off.
    expect(timesOf(world, 'process_stopped')).toEqual([15, 25]);
    expect(timesOf(world, 'container_restarted')).toEqual([16.1, 35.1]);
    expect(timesOf(world, 'pod_ready')).toEqual([]);
  });

  it('does not run again once it has succeeded', () => {
    const fault: ChurnEvent = {
      kind: 'probe_failure', at: 20 * NS_PER_S, deployment: 0, pod: 3, probe: 'startup', mode: 'error', durationNs: 60 * NS_PER_S,
    }; // prettier-ignore
    const world = ended(100, worldOf({ churn: [grow, fault], deployment }));
    expect(timesOf(world, 'process_stopped')).toEqual([]);
  });
});

describe('start-up time and warm-up', () => {
  it('a process listens after its start, and is ready at the next probe after its warm-up', () => {
    const behaviours = behaviourOf({ startSeconds: constantly(3), warmUpSeconds: constantly(4) });
    const deployment = { readinessProbe: probeOf({ periodSeconds: 2 }) };
    const world = worldOf({ churn: [grow], deployment, behaviours });
    world.simulation.runUntil(9.9 * NS_PER_S);
    expect(world.plane.podCondition(FIRST_FREE)).toBe('not_listening');
    world.simulation.runUntil(10 * NS_PER_S);
    expect(world.plane.podCondition(FIRST_FREE)).toBe('serving');
    ended(60, world);
    // Listens at 10 s, warm at 14 s; probes at 5, 7, .. s.
    expect(timesOf(world, 'pod_ready')).toEqual([15]);
    expect(world.plane.podCounts(0)).toEqual({ available: 4, total: 4 });
  });
});

describe('a crash', () => {
  const crash = (seconds: number): ChurnEvent => ({ kind: 'crash', at: seconds * NS_PER_S, deployment: 0, pod: 0 });

  it('takes the pod out at once and brings it back a second later', () => {
    const world = worldOf({ churn: [crash(10)] });
    world.simulation.runUntil(10 * NS_PER_S + 3 * DELAY);
    expect(world.plane.podCondition(FIRST_POD)).toBe('not_listening');
    expect(world.plane.readyEndpoints(WEB)).toBe(2);
    ended(60, world);
    expect(timesOf(world, 'process_crashed')).toEqual([10]);
    expect(timesOf(world, 'pod_not_ready')).toEqual([10]);
    expect(timesOf(world, 'pod_ready')).toEqual([10 + RESTART_DELAY_NS / NS_PER_S]);
    expect(world.plane.installedEndpoints(WEB)).toBe(3);
  });

  it('ends a pod that is being deleted, whatever its preStop hook still has to do', () => {
    const gone: ChurnEvent = { kind: 'scale', at: 5 * NS_PER_S, deployment: 0, replicas: 0 };
    const deployment = { preStopSleepSeconds: 20 };
    // A pod that is deleted is no running one, so the crash is drawn, not scripted: 8 s from the trial's beginning.
    const behaviours = behaviourOf({ crashSeconds: constantly(8) });
    const world = ended(60, worldOf({ churn: [gone], deployment, behaviours }));
    expect(timesOf(world, 'pod_gone')).toEqual([8, 8, 8]);
    expect(timesOf(world, 'process_stopped')).toEqual([]);
  });

  it('again and again waits 1, 10, 20, .. 300 s', () => {
    const behaviours = behaviourOf({ crashSeconds: constantly(5) });
    const world = ended(2000, worldOf({ deployment: { replicas: 1 }, behaviours }));
    const crashes = timesOf(world, 'process_crashed');
    const restarts = timesOf(world, 'container_restarted');
    expect(restarts.slice(0, 9).map((at, i) => at - crashes[i])).toEqual([1, 10, 20, 40, 80, 160, 300, 300, 300]);
    expect(crashes.slice(0, 3)).toEqual([5, 11, 26]);
  });

  it('of a pod that is not there does nothing', () => {
    const world = ended(20, worldOf({ churn: [{ ...crash(10), pod: 7 } as ChurnEvent] }));
    expect(timesOf(world, 'process_crashed')).toEqual([]);
  });
});

describe('a lame duck, which serves on after SIGTERM', () => {
  const goneAfter = (seconds: number, deployment: Partial<Deployment> = {}): string => {
    const shrink: ChurnEvent = { kind: 'scale', at: 10 * NS_PER_S, deployment: 0, replicas: 0 };
    const behaviours = behaviourOf({ onSigterm: 'lame_duck', shutdownSeconds: constantly(seconds) });
    const world = ended(100, worldOf({ deployment: { replicas: 1, ...deployment }, churn: [shrink], behaviours }));
    // It listens to its end.
    expect(timesOf(world, 'process_stopped')).toEqual([]);
    // The deletion has reached the kubelet 10 ms later.
    return (timesOf(world, 'pod_gone')[0] - 10.01).toFixed(2);
  };

  it('ends that much later, after its preStop hook', () => {
    expect([goneAfter(0), goneAfter(5), goneAfter(5, { preStopSleepSeconds: 3 })]).toEqual(['0.00', '5.00', '8.00']);
  });

  it('is killed at the end of the grace period', () => {
    expect([goneAfter(60), goneAfter(5, { terminationGracePeriodSeconds: 0 })]).toEqual(['30.00', '0.00']);
  });
});

describe('flapping', () => {
  it('by a script takes the pod out and in with its period', () => {
    const churn: ChurnEvent[] = [
      {
        kind: 'probe_flapping', at: 10 * NS_PER_S, deployment: 0, pod: 0, probe: 'readiness', mode: 'error',
        durationNs: 60 * NS_PER_S, periodNs: 20 * NS_PER_S, failingNs: 10 * NS_PER_S,
      },
    ]; // prettier-ignore
    const deployment = { readinessProbe: probeOf({ periodSeconds: 1, failureThreshold: 2 }) };
    const world = ended(100, worldOf({ churn, deployment }));
    const left = timesOf(world, 'pod_not_ready');
    const back = timesOf(world, 'pod_ready');
    expect([left.length, back.length]).toEqual([3, 3]);
    left.forEach((at, i) => {
      // phase + (2 - 1) x 1 s after 10, 30 and 50 s; back at the first probe after 20, 40 and 60 s.
      expect(at - 10 - 20 * i).toBeGreaterThanOrEqual(1);
      expect(at - 10 - 20 * i).toBeLessThan(2);
      expect(back[i] - at).toBeCloseTo(9, 6);
    });
    expect(world.plane.endpointSliceWrites).toBe(6);
  });

  it('too short for the failure threshold is not seen', () => {
    const flapping = { probe: 'readiness', mode: 'error', periodSeconds: constantly(10), failingRatio: 0.2 } as const;
    const seen = (failureThreshold: number): number => {
      const deployment = { readinessProbe: probeOf({ periodSeconds: 1, failureThreshold }) };
      return timesOf(ended(100, worldOf({ deployment, behaviours: behaviourOf({ flapping }) })), 'pod_not_ready')
        .length;
    };
    // Two of ten probes fail, so two in a row.
    expect(seen(3)).toBe(0);
    expect(seen(2)).toBeGreaterThanOrEqual(27);
  });
});

describe('a Service that publishes addresses that are not ready', () => {
  it('keeps failing and terminating pods, and takes new ones before they are ready', () => {
    const fail: ChurnEvent = {
      kind: 'probe_failure', at: 6 * NS_PER_S, deployment: 0, pod: 0, probe: 'readiness', mode: 'error', durationNs: 99 * NS_PER_S,
    }; // prettier-ignore
    const shrink: ChurnEvent = { kind: 'scale', at: 60 * NS_PER_S, deployment: 0, replicas: 2 };
    const deployment = {
      preStopSleepSeconds: 10,
      readinessProbe: probeOf({ periodSeconds: 1, initialDelaySeconds: 20 }),
    };
    for (const publishNotReadyAddresses of [true, false]) {
      const world = worldOf({ churn: [grow, fail, shrink], deployment, publishNotReadyAddresses });
      const ready = (seconds: number): number => {
        world.simulation.runUntil(seconds * NS_PER_S);
        return world.plane.readyEndpoints(WEB);
      };
      // At 9 s one pod fails and the new one is not ready yet; at 65 s two pods are in their preStop sleep; then they are gone.
      const seen = [ready(4), ready(9.5), ready(40), ready(65), ready(80)];
      expect(seen).toEqual(publishNotReadyAddresses ? [3, 4, 4, 4, 2] : [3, 2, 3, 2, 2]);
    }
  });
});
