import { describe, expect, it } from 'vitest';
import { NS_PER_S } from '../model/time.ts';
import { worldOf } from './test-world.ts';

describe('pod churn', () => {
  it('deletes pods at the asked rate, and the ReplicaSet makes up for them', () => {
    const world = worldOf({
      deployment: { replicas: 20 },
      withoutReadinessProbe: true,
      churn: [{ kind: 'pod_churn', at: 10 * NS_PER_S, perSecond: 2, durationNs: 100 * NS_PER_S }],
    });
    world.simulation.runUntil(300 * NS_PER_S);
    const deleted = world.events.filter(({ kind }) => kind === 'pod_terminating').map(({ at }) => at / NS_PER_S);
    // 200 are expected; Poisson, so within four standard deviations.
    expect(deleted.length).toBeGreaterThan(200 - 4 * Math.sqrt(200));
    expect(deleted.length).toBeLessThan(200 + 4 * Math.sqrt(200));
    expect([Math.min(...deleted) >= 10, Math.max(...deleted) <= 110]).toEqual([true, true]);
    expect(world.plane.podCounts(0)).toEqual({ available: 20, total: 20 });
    // Terminating, gone, and a new one that is ready: a new pod is ready by itself, without a probe.
    expect(world.plane.readyEndpoints(7)).toBe(20);
    expect(new Set(world.events.filter(({ kind }) => kind === 'pod_gone').map(({ text }) => text)).size).toBe(deleted.length); // prettier-ignore
  });

  it('finds nobody to delete while no pod runs', () => {
    const world = worldOf({
      deployment: { replicas: 1 },
      withoutReadinessProbe: true,
      churn: [
        { kind: 'scale', at: NS_PER_S, deployment: 0, replicas: 0 },
        { kind: 'pod_churn', at: 5 * NS_PER_S, perSecond: 10, durationNs: undefined },
      ],
    });
    world.simulation.runUntil(60 * NS_PER_S);
    expect(world.events.filter(({ kind }) => kind === 'pod_terminating')).toHaveLength(1);
  });
});
