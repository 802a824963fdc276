/** Rollouts in a whole control plane: Recreate, the progress deadline, slow start, and the limits of a rolling update. */
import { describe, expect, it } from 'vitest';
import type { ChurnEvent } from '../model/churn.ts';
import { NS_PER_S } from '../model/time.ts';
import { constantly, probeOf, WEB, worldOf } from './test-world.ts';
import type { World, WorldOptions } from './test-world.ts';

const ROLLOUT: ChurnEvent = { kind: 'rolling_update', at: 10 * NS_PER_S, deployment: 0 };
const scaleTo = (replicas: number, seconds: number): ChurnEvent => ({
  kind: 'scale',
  at: seconds * NS_PER_S,
  deployment: 0,
  replicas,
});
const timesOf = (world: World, kind: World['events'][number]['kind']): number[] =>
  world.events.filter((event) => event.kind === kind).map((event) => event.at / NS_PER_S);
const ended = (seconds: number, options: WorldOptions): World => {
  const world = worldOf(options);
  world.simulation.runUntil(seconds * NS_PER_S);
  return world;
};

describe('strategy Recreate', () => {
  const deployment = { strategy: 'Recreate', preStopSleepSeconds: 5 } as const;

  it('makes the new pods when the last old one has ended', () => {
    const world = ended(60, { churn: [ROLLOUT], deployment });
    expect(timesOf(world, 'pod_terminating')).toEqual([10, 10, 10]);
    // Watch 10 ms, preStop 5 s, exit 100 ms; the status takes another 10 ms.
    expect(timesOf(world, 'pod_gone')).toEqual([15.11, 15.11, 15.11]);
    expect(timesOf(world, 'pod_created')).toEqual([15.12, 15.12, 15.12]);
    expect(timesOf(world, 'pod_ready')).toEqual([17.12, 17.12, 17.12]);
    expect(timesOf(world, 'rollout_finished')).toEqual([17.13]);
    expect(world.plane.installedEndpoints(WEB)).toBe(3);
  });

  it('leaves nobody in between', () => {
    const world = worldOf({ churn: [ROLLOUT], deployment });
    world.simulation.runUntil(16 * NS_PER_S);
    expect(world.plane.podCounts(0)).toEqual({ available: 0, total: 3 });
    expect(world.plane.readyEndpoints(WEB)).toBe(0);
  });

  it('scales in the midst of a rollout to what is asked for last', () => {
    const world = ended(60, { churn: [ROLLOUT, scaleTo(5, 12)], deployment });
    expect(world.plane.podCounts(0)).toEqual({ available: 5, total: 5 });
    expect(timesOf(world, 'rollout_finished')).toHaveLength(1);
  });

  it('of a second rollout during the first ends with pods of the second', () => {
    const second: ChurnEvent = { ...ROLLOUT, at: 12 * NS_PER_S };
    const world = ended(60, { churn: [ROLLOUT, second], deployment });
    expect(timesOf(world, 'pod_created')).toEqual([15.12, 15.12, 15.12]);
    expect(world.plane.podCounts(0)).toEqual({ available: 3, total: 3 });
  });
});

describe('progressDeadlineSeconds', () => {
  const never = { readinessProbe: probeOf({ initialDelaySeconds: 10_000 }), progressDeadlineSeconds: 60 };

  it('is exceeded a second after it when no pod gets ready, once', () => {
    const world = ended(1000, { churn: [ROLLOUT], deployment: never });
    // The last progress is the pod that was made at 10 s.
    expect(timesOf(world, 'progress_deadline_exceeded')).toEqual([71]);
    expect(world.plane.progressDeadlinesExceeded).toBe(1);
  });

  it('begins anew with each progress', () => {
    // Each of three pods takes 40 s: in all more than the deadline, none alone.
    const deployment = { progressDeadlineSeconds: 60 };
    const world = ended(1000, { churn: [ROLLOUT], deployment, podStart: constantly(40) });
    expect(timesOf(world, 'rollout_finished')[0]).toBeGreaterThan(130);
    expect(world.plane.progressDeadlinesExceeded).toBe(0);
    const slower = ended(1000, { churn: [ROLLOUT], deployment, podStart: constantly(62) });
    // The rollout goes on all the same.
    expect(slower.plane.progressDeadlinesExceeded).toBe(3);
    expect(timesOf(slower, 'rollout_finished')).toHaveLength(1);
  });

  it('means nothing outside a rollout', () => {
    const world = ended(1000, { churn: [scaleTo(6, 10)], deployment: never });
    expect(world.plane.progressDeadlinesExceeded).toBe(0);
  });
});

describe('slow start of a ReplicaSet', () => {
  it('makes 1, 2, 4, .. pods at a time, one API call each', () => {
    const world = ended(60, { churn: [scaleTo(13, 10)], apiCall: constantly(0.5) });
    const [first, second, third, fourth] = [10.5, 11, 11.5, 12];
    expect(timesOf(world, 'pod_created')).toEqual([
      first,
      ...Array.from({ length: 2 }, () => second),
      ...Array.from({ length: 4 }, () => third),
      ...Array.from({ length: 3 }, () => fourth),
    ]);
  });

  it('ends with what is asked for last, also when that is less', () => {
    const world = ended(60, { churn: [scaleTo(13, 10), scaleTo(5, 10.7)], apiCall: constantly(0.5) });
    // The batches under way are made; then what is too much goes.
    expect(timesOf(world, 'pod_created')).toHaveLength(10);
    expect(timesOf(world, 'pod_terminating')).toEqual(Array.from({ length: 8 }, () => 12));
    expect(world.plane.podCounts(0)).toEqual({ available: 5, total: 5 });
  });

  it('makes at most 500 in one go', () => {
    const world = ended(60, { churn: [scaleTo(1103, 10)], deployment: { replicas: 3 }, apiCall: constantly(0.1) });
    // 500 pods are 9 batches (1 + 2 + .. + 128 + 245), twice; the last 100 are 7 (1 + .. + 32 + 37).
    const created = timesOf(world, 'pod_created');
    expect(created).toHaveLength(1100);
    expect(created[499]).toBeCloseTo(10.9, 9);
    expect(created[500]).toBeCloseTo(11, 9);
    expect(created[1099]).toBeCloseTo(10 + 0.9 + 0.9 + 0.7, 9);
  });
});

describe('a rollout of 10 replicas at 25 % / 25 %', () => {
  it('has never fewer than 8 available nor more than 13 pods, and comes to both', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const world = worldOf({ seed, churn: [ROLLOUT], deployment: { replicas: 10, minReadySeconds: seed - 1 } });
      let [fewest, most] = [Infinity, 0];
      while (world.simulation.nextTime() < 200 * NS_PER_S) {
        world.simulation.step();
        const { available, total } = world.plane.podCounts(0);
        fewest = Math.min(fewest, available);
        most = Math.max(most, total);
      }
      expect([fewest, most]).toEqual([8, 13]);
      expect(timesOf(world, 'rollout_finished')).toHaveLength(1);
    }
  });
});
