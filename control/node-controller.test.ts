/** Nodes that are drained and nodes that fail, in a whole control plane; times known by hand. */
import { describe, expect, it } from 'vitest';
import type { ChurnEvent } from '../model/churn.ts';
import { NS_PER_S } from '../model/time.ts';
import { FIRST_POD, probeOf, WEB, worldOf } from './test-world.ts';
import type { World, WorldOptions } from './test-world.ts';

type Drain = Extract<ChurnEvent, { kind: 'node_drain' }>;
type Failure = Extract<ChurnEvent, { kind: 'node_failure' }>;

const drainOf = (changes: Partial<Drain> = {}): Drain => ({
  kind: 'node_drain',
  at: 10 * NS_PER_S,
  node: 'node-2',
  intervalNs: 0,
  durationNs: undefined,
  ...changes,
});
const failureOf = (changes: Partial<Failure> = {}): Failure => ({
  kind: 'node_failure',
  at: 100 * NS_PER_S,
  node: 'node-2',
  what: 'machine',
  durationNs: undefined,
  graceNs: 40 * NS_PER_S,
  evictionNs: 300 * NS_PER_S,
  ...changes,
});

const timesOf = (world: World, kind: World['events'][number]['kind']): number[] =>
  world.events.filter((event) => event.kind === kind).map((event) => event.at / NS_PER_S);
const textsOf = (world: World, kind: World['events'][number]['kind']): string[] =>
  world.events.filter((event) => event.kind === kind).map((event) => event.text);
const ended = (seconds: number, options: WorldOptions): World => {
  const world = worldOf(options);
  world.simulation.runUntil(seconds * NS_PER_S);
  return world;
};
/** Pods are on node-1, node-2, node-1, node-2 ... */
const ON_NODE_2 = FIRST_POD + 1;

describe('kubectl drain', () => {
  const deployment = { replicas: 4, preStopSleepSeconds: 5 };

  it('evicts all pods of the node at once, whatever is left; new ones come up elsewhere', () => {
    const world = worldOf({ churn: [drainOf()], deployment });
    world.simulation.runUntil(11 * NS_PER_S);
    expect(timesOf(world, 'pod_evicted')).toEqual([10, 10]);
    expect(world.plane.podCounts(0)).toEqual({ available: 2, total: 4 });
    expect(world.plane.readyEndpoints(WEB)).toBe(2);
    // Their preStop hook runs: 10 ms after the eviction, for 5 s.
    expect(world.plane.podCondition(ON_NODE_2)).toBe('serving');
    world.simulation.runUntil(60 * NS_PER_S);
    expect(timesOf(world, 'process_stopped')).toEqual([15.01, 15.01]);
    expect(timesOf(world, 'pod_ready')).toEqual([12, 12]);
    expect(textsOf(world, 'pod_created').every((text) => text.endsWith('on node-1'))).toBe(true);
    expect(world.plane.installedEndpoints(WEB)).toBe(4);
  });

  it('evicts by name, one each interval', () => {
    const world = ended(60, { churn: [drainOf({ intervalNs: 7 * NS_PER_S })], deployment });
    expect(textsOf(world, 'pod_evicted')).toEqual([
      'pod web-old-1 evicted from node-2',
      'pod web-old-3 evicted from node-2',
    ]);
    expect(timesOf(world, 'pod_evicted')).toEqual([10, 17]);
  });

  it('leaves pods without a node when the last one is closed, until one is open again', () => {
    const churn = [drainOf({ node: 'node-1' }), drainOf({ at: 12 * NS_PER_S, durationNs: 50 * NS_PER_S })];
    const world = worldOf({ churn, deployment });
    world.simulation.runUntil(30 * NS_PER_S);
    // The two that moved to node-2 have been evicted again, too.
    expect(world.plane.podCounts(0)).toEqual({ available: 0, total: 4 });
    expect(world.plane.readyEndpoints(WEB)).toBe(0);
    world.simulation.runUntil(90 * NS_PER_S);
    expect(timesOf(world, 'node_open')).toEqual([62]);
    expect(timesOf(world, 'pod_ready').filter((at) => at > 30)).toEqual([64, 64, 64, 64]);
    expect(world.plane.installedEndpoints(WEB)).toBe(4);
  });

  it('a pod that waits for a node can be deleted', () => {
    const shrink: ChurnEvent = { kind: 'scale', at: 30 * NS_PER_S, deployment: 0, replicas: 1 };
    const world = ended(60, { churn: [drainOf({ node: 'node-1' }), drainOf(), shrink], deployment });
    expect(world.plane.podCounts(0)).toEqual({ available: 0, total: 1 });
  });
});

describe('a machine that fails', () => {
  it('is noticed 30 to 45 s later: pods not ready, five minutes later evicted', () => {
    const seen = new Set<number>();
    for (let seed = 1; seed <= 8; seed++) {
      const world = ended(500, { seed, churn: [failureOf()], deployment: { replicas: 4 } });
      const [noticed] = timesOf(world, 'node_not_ready');
      // Up to 10 s since the last renewal of the lease, up to 5 s until it was seen; 40 s from then on.
      expect(noticed).toBeGreaterThanOrEqual(130);
      expect(noticed).toBeLessThan(145);
      seen.add(noticed);
      expect(timesOf(world, 'pod_not_ready')).toEqual([noticed, noticed]);
      const later = (kind: 'pod_evicted' | 'pod_ready'): number[] =>
        timesOf(world, kind).map((at) => Math.round((at - noticed) * 1e6) / 1e6);
      expect(later('pod_evicted')).toEqual([300, 300]);
      expect(later('pod_ready')).toEqual([302, 302]);
      expect(textsOf(world, 'pod_created').every((text) => text.endsWith('on node-1'))).toBe(true);
      expect(world.plane.installedEndpoints(WEB)).toBe(4);
    }
    expect(seen.size).toBe(8);
  });

  it('takes its pods away at once, and the rules lead there until it is noticed', () => {
    const world = worldOf({ churn: [failureOf()], deployment: { replicas: 4 } });
    world.simulation.runUntil(100 * NS_PER_S);
    expect(world.plane.podCondition(ON_NODE_2)).toBe('gone');
    expect(world.plane.isReady(ON_NODE_2)).toBe(false);
    expect(world.plane.installedEndpoints(WEB)).toBe(4);
    expect(world.plane.servingEndpoints(WEB)).toBe(2);
    world.simulation.runUntil(150 * NS_PER_S);
    expect(world.plane.installedEndpoints(WEB)).toBe(2);
    expect(world.plane.podCounts(0)).toEqual({ available: 2, total: 4 });
  });

  it('that is back before anybody noticed starts its pods anew', () => {
    const deployment = { replicas: 4, livenessProbe: probeOf({ periodSeconds: 1 }) };
    const world = worldOf({ churn: [failureOf({ durationNs: 20 * NS_PER_S })], deployment });
    world.simulation.runUntil(120 * NS_PER_S);
    expect(world.plane.podCondition(ON_NODE_2)).toBe('gone');
    world.simulation.runUntil(500 * NS_PER_S);
    expect(timesOf(world, 'node_not_ready')).toEqual([]);
    expect(timesOf(world, 'pod_evicted')).toEqual([]);
    // Two seconds of start, and a readiness probe at once.
    expect(timesOf(world, 'pod_ready')).toEqual([122, 122]);
    expect(world.plane.installedEndpoints(WEB)).toBe(4);
  });

  it('that is back within the five minutes keeps its pods and takes new ones', () => {
    const grow: ChurnEvent = { kind: 'scale', at: 400 * NS_PER_S, deployment: 0, replicas: 6 };
    const churn = [failureOf({ durationNs: 200 * NS_PER_S }), grow];
    const world = ended(900, { churn, deployment: { replicas: 4 } });
    expect(timesOf(world, 'pod_evicted')).toEqual([]);
    const [ready] = timesOf(world, 'node_ready');
    expect(ready).toBeGreaterThanOrEqual(300);
    expect(ready).toBeLessThan(305);
    expect(textsOf(world, 'pod_created').map((text) => text.slice(-6))).toEqual(['node-1', 'node-2']);
    expect(world.plane.installedEndpoints(WEB)).toBe(6);
  });

  it('that is back later ends the pods that were evicted meanwhile', () => {
    const world = ended(1000, { churn: [failureOf({ durationNs: 800 * NS_PER_S })], deployment: { replicas: 4 } });
    expect(timesOf(world, 'pod_gone')).toEqual([900, 900]);
    expect(world.plane.podCounts(0)).toEqual({ available: 4, total: 4 });
  });

  it('that fails again before it was seen to be ready has its pods evicted as if it had never been back', () => {
    const again = failureOf({ at: 200 * NS_PER_S + 1, durationNs: 900 * NS_PER_S });
    const churn = [failureOf({ durationNs: 100 * NS_PER_S }), again];
    const world = ended(1200, { churn, deployment: { replicas: 4 } });
    const [first, second] = timesOf(world, 'node_not_ready');
    expect(second - first).toBeGreaterThan(80);
    const evicted = timesOf(world, 'pod_evicted');
    expect(evicted).toHaveLength(2);
    for (const at of evicted) expect(at - first).toBeCloseTo(300, 6);
    expect(timesOf(world, 'node_ready').every((at) => at >= 1100)).toBe(true);
  });

  it('that fails between SIGTERM and the end of a process ends the pod when it is back', () => {
    const shrink: ChurnEvent = { kind: 'scale', at: 99.95 * NS_PER_S, deployment: 0, replicas: 0 };
    const world = ended(500, {
      churn: [shrink, failureOf({ durationNs: 20 * NS_PER_S })],
      deployment: { replicas: 2 },
    });
    expect(timesOf(world, 'process_stopped')).toEqual([99.96, 99.96]);
    expect(timesOf(world, 'pod_gone')).toEqual([100.06, 120]);
    expect(world.plane.podCondition(ON_NODE_2)).toBe('gone');
  });

  it('holds a Recreate up: its pods end never', () => {
    const rollout: ChurnEvent = { kind: 'rolling_update', at: 200 * NS_PER_S, deployment: 0 };
    const deployment = { replicas: 4, strategy: 'Recreate' } as const;
    const world = ended(1000, { churn: [failureOf(), rollout], deployment });
    expect(world.plane.podCounts(0)).toEqual({ available: 0, total: 0 });
    expect(world.plane.progressDeadlinesExceeded).toBe(1);
  });
});

describe('a kubelet that fails', () => {
  it('leaves its pods serving while they are called not ready, and says so when it is back', () => {
    const churn = [failureOf({ what: 'kubelet', durationNs: 100 * NS_PER_S })];
    const world = worldOf({ churn, deployment: { replicas: 4 } });
    world.simulation.runUntil(160 * NS_PER_S);
    expect(world.plane.podCondition(ON_NODE_2)).toBe('serving');
    expect(world.plane.readyEndpoints(WEB)).toBe(2);
    world.simulation.runUntil(201 * NS_PER_S);
    expect(world.plane.readyEndpoints(WEB)).toBe(4);
    expect(timesOf(world, 'process_stopped')).toEqual([]);
  });

  it('neither probes nor ends pods meanwhile', () => {
    const fail: ChurnEvent = {
      kind: 'probe_failure', at: 101 * NS_PER_S, deployment: 0, pod: 1, probe: 'all', mode: 'error', durationNs: 500 * NS_PER_S,
    }; // prettier-ignore
    const shrink: ChurnEvent = { kind: 'scale', at: 102 * NS_PER_S, deployment: 0, replicas: 0 };
    const failure = failureOf({ what: 'kubelet', durationNs: 20 * NS_PER_S });
    const deployment = { replicas: 2, readinessProbe: probeOf({ periodSeconds: 1 }), preStopSleepSeconds: 3 };
    const world = worldOf({ churn: [failure, fail, shrink], deployment });
    world.simulation.runUntil(119 * NS_PER_S);
    expect(timesOf(world, 'pod_not_ready')).toEqual([]);
    expect(timesOf(world, 'process_stopped')).toEqual([105.01]);
    world.simulation.runUntil(200 * NS_PER_S);
    // The kubelet is back at 120 s and runs the preStop hook first.
    expect(timesOf(world, 'process_stopped')).toEqual([105.01, 123]);
    expect(world.plane.podCondition(ON_NODE_2)).toBe('gone');
  });

  it('that goes down in the midst of a preStop hook runs it again', () => {
    const shrink: ChurnEvent = { kind: 'scale', at: 98 * NS_PER_S, deployment: 0, replicas: 0 };
    const failure = failureOf({ what: 'kubelet', durationNs: 20 * NS_PER_S });
    const deployment = { replicas: 2, preStopSleepSeconds: 5 };
    const world = ended(200, { churn: [shrink, failure], deployment });
    expect(timesOf(world, 'process_stopped')).toEqual([103.01, 125]);
    expect(timesOf(world, 'pod_gone')).toEqual([103.11, 125.1]);
  });

  it('restarts what crashed meanwhile when it is back', () => {
    const crash: ChurnEvent = { kind: 'crash', at: 105 * NS_PER_S, deployment: 0, pod: 1 };
    const failure = failureOf({ what: 'kubelet', durationNs: 20 * NS_PER_S });
    const world = worldOf({ churn: [failure, crash], deployment: { replicas: 2 } });
    world.simulation.runUntil(119 * NS_PER_S);
    expect(world.plane.podCondition(ON_NODE_2)).toBe('not_listening');
    expect(world.plane.readyEndpoints(WEB)).toBe(2);
    world.simulation.runUntil(200 * NS_PER_S);
    expect(timesOf(world, 'pod_not_ready')).toEqual([120]);
    expect(timesOf(world, 'container_restarted')).toEqual([121]);
    expect(world.plane.podCondition(ON_NODE_2)).toBe('serving');
    expect(world.plane.installedEndpoints(WEB)).toBe(2);
  });
});
