import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ChurnEvent } from '../model/churn.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import type { ServiceBinding } from '../model/workload.ts';
import { Rng } from '../sim/rng.ts';
import { Simulation } from '../sim/simulation.ts';
import { ControlPlane } from './control-plane.ts';
import { resolveFenceposts } from './rolling-update.ts';
import type { World } from './test-world.ts';
import { between, constantly, deploymentOf, FIRST_POD, planOf, probeOf, stateOf, WEB, worldOf } from './test-world.ts';

const SYNTHETIC = 9;
const ROLLOUT: ChurnEvent = { kind: 'rolling_update', at: 5 * NS_PER_S, deployment: 0 };

function scaleTo(replicas: number, seconds: number): ChurnEvent {
  return { kind: 'scale', at: seconds * NS_PER_S, deployment: 0, replicas };
}

function failReadiness(pod: number, seconds: number, durationSeconds: number): ChurnEvent {
  const durationNs = durationSeconds * NS_PER_S;
  return {
    kind: 'probe_failure',
    at: seconds * NS_PER_S,
    deployment: 0,
    pod,
    probe: 'readiness',
    mode: 'error',
    durationNs,
  };
}

function logOf(world: World): string[] {
  return world.events.map((event) => `${event.at} ${event.kind} ${event.text} ${(event.servicePortIds ?? []).join()}`);
}

describe('ControlPlane: start', () => {
  it('does one full sync at time 0 with the given state and does not wait for it', () => {
    const world = worldOf();
    expect(world.begun).toHaveLength(1);
    expect(world.begun[0].request.kind).toBe('full');
    expect(world.begun[0].request.delta).toEqual({ upserted: [], removedIds: [] });
    expect(world.committed[0].at).toBe(0);
    expect(world.plane.initialSyncNs()).toBe(20 * NS_PER_MS);
    expect(world.begun[0].request.state).toEqual(stateOf(planOf(deploymentOf())));
    expect([world.plane.readyEndpoints(WEB), world.plane.installedEndpoints(WEB)]).toEqual([3, 3]);
    world.simulation.runUntil(100 * NS_PER_S);
    expect(world.plane.syncs()).toBe(1);
    expect(world.plane.endpointSliceWrites).toBe(0);
  });

  it('keeps endpoints that are no pods ready forever', () => {
    const world = worldOf({ churn: [scaleTo(0, 1)] });
    world.simulation.runUntil(100 * NS_PER_S);
    expect([world.plane.readyEndpoints(SYNTHETIC), world.plane.installedEndpoints(SYNTHETIC)]).toEqual([1, 1]);
    expect(world.plane.podCondition(0x0a020001)).toBe('serving');
    expect(world.plane.isReady(0x0a020001)).toBe(true);
    expect([world.plane.readyEndpoints(WEB), world.plane.installedEndpoints(WEB)]).toEqual([0, 0]);
  });

  it('resyncs in full, with nothing changed, when nothing asked for a sync for the maximum interval', () => {
    const world = worldOf({ timing: { maxIntervalNs: 30 * NS_PER_S } });
    world.simulation.runUntil(100 * NS_PER_S);
    const resyncs = world.begun.slice(1);
    // The interval counts from the completion, and a sync takes 20 ms.
    expect(resyncs.map(({ at }) => at / NS_PER_S)).toEqual([30, 60.02, 90.04]);
    expect(resyncs.every(({ request }) => request.kind === 'full' && request.delta.upserted.length === 0)).toBe(true);
  });
});

describe('ControlPlane: propagation', () => {
  it('goes from the kubelet over the API server and the slices to the node, each after its delay', () => {
    const world = worldOf({
      churn: [failReadiness(0, 10, 100)],
      statusUpdate: constantly(0.1),
      endpointSlice: constantly(0.2),
      watch: constantly(0.4),
    });
    world.simulation.runUntil(60 * NS_PER_S);
    const left = world.timeOf('pod_not_ready');
    const after = (at: number): number => Math.round((at - left) / NS_PER_MS);
    expect(after(world.timeOf('endpoints_changed'))).toBe(300);
    expect(after(world.timeOf('sync_started', left))).toBe(700);
    expect(after(world.timeOf('sync_finished', left))).toBe(720);
    expect(world.plane.latencies().map((ns) => Math.round(ns / NS_PER_MS))).toEqual([720]);
    expect(world.plane.endpointSliceWrites).toBe(1);
    expect(world.plane.endpointSliceEvents).toBe(2);
    const { request } = world.committed[1];
    expect(request.kind).toBe('partial');
    expect(request.delta.upserted.map((port) => port.id)).toEqual([WEB]);
    expect(request.delta.upserted[0].endpoints.find((each) => each.address === FIRST_POD)).toEqual({
      address: FIRST_POD,
      port: 8080,
      nodeName: 'node-1',
      ready: false,
      serving: false,
      terminating: false,
    });
    expect(request.state.servicePorts[1]).toBe(world.committed[0].request.state.servicePorts[1]);
  });

  it('answers for the API server and for the kernel apart', () => {
    const world = worldOf({ churn: [failReadiness(0, 10, 100)], watch: constantly(2) });
    world.simulation.runUntil(60 * NS_PER_S);
    const changed = world.timeOf('endpoints_changed');
    const again = worldOf({ churn: [failReadiness(0, 10, 100)], watch: constantly(2) });
    again.simulation.runUntil(changed + NS_PER_S);
    expect([again.plane.readyEndpoints(WEB), again.plane.installedEndpoints(WEB)]).toEqual([2, 3]);
    again.simulation.runUntil(changed + 3 * NS_PER_S);
    expect([again.plane.readyEndpoints(WEB), again.plane.installedEndpoints(WEB)]).toEqual([2, 2]);
  });

  it('merges changes that come while a sync is not allowed', () => {
    const churn = [0, 1, 2, 3, 4, 5].map((pod) => failReadiness(pod, 10, 600));
    const slow = worldOf({
      churn,
      deployment: { replicas: 6 },
      timing: { syncRunner: 'from-completion', minSyncPeriodNs: 20 * NS_PER_S },
    });
    const fast = worldOf({ churn, deployment: { replicas: 6 }, timing: { minSyncPeriodNs: 0 } });
    for (const world of [slow, fast]) world.simulation.runUntil(100 * NS_PER_S);
    expect(fast.plane.syncs()).toBe(7);
    expect(slow.plane.syncs()).toBeLessThan(5);
    expect(slow.plane.syncs() - 1 + slow.plane.coalescedChanges()).toBe(6);
    expect(slow.plane.latencies()).toHaveLength(6);
    expect(slow.plane.installedEndpoints(WEB)).toBe(0);
    const gaps = slow.begun.slice(1).map(({ at }, i) => at - slow.committed[i].at);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(20 * NS_PER_S);
  });

  it('writes one slice for changes that fall on one instant', () => {
    const world = worldOf({ churn: [scaleTo(0, 5)], deployment: { replicas: 250 } });
    world.simulation.runUntil(5.05 * NS_PER_S);
    // 250 pods in three slices, all deleted at once.
    expect(world.plane.endpointSliceWrites).toBe(3);
    expect(world.begun).toHaveLength(2);
  });
});

describe('ControlPlane: termination race', () => {
  it('sends traffic to a process that listens no more until the sync, and a preStop sleep closes the window', () => {
    const bare = worldOf({ churn: [scaleTo(2, 5)] });
    bare.simulation.runUntil(60 * NS_PER_S);
    const programmed = bare.committed[1].at;
    expect(bare.timeOf('process_stopped')).toBeLessThan(programmed);
    const victim = planOf(deploymentOf()).pods.find((pod) => bare.plane.podCondition(pod.address) === 'gone');
    const address = victim?.address ?? 0;
    const again = worldOf({ churn: [scaleTo(2, 5)] });
    again.simulation.runUntil(bare.timeOf('process_stopped') + NS_PER_MS);
    expect(again.plane.podCondition(address)).toBe('not_listening');
    expect(again.plane.installedEndpoints(WEB)).toBe(3);

    const gentle = worldOf({ churn: [scaleTo(2, 5)], deployment: { preStopSleepSeconds: 5 } });
    gentle.simulation.runUntil(60 * NS_PER_S);
    expect(gentle.timeOf('process_stopped')).toBeGreaterThan(gentle.committed[1].at);
    expect(gentle.plane.latencies().slice(0, 1)).toEqual([40 * NS_PER_MS]);
  });

  it('falls back to terminating endpoints that still serve when no other is left', () => {
    const world = worldOf({ churn: [scaleTo(0, 5)], deployment: { preStopSleepSeconds: 10 } });
    world.simulation.runUntil(8 * NS_PER_S);
    expect([world.plane.readyEndpoints(WEB), world.plane.installedEndpoints(WEB)]).toEqual([0, 3]);
    world.simulation.runUntil(20 * NS_PER_S);
    expect(world.plane.installedEndpoints(WEB)).toBe(0);
    // Deletions count once; that the pods went at the end is no new latency.
    expect(world.plane.latencies()).toHaveLength(3);
  });
});

describe('ControlPlane: rolling update', () => {
  it('replaces all pods and says when it is done', () => {
    const world = worldOf({ churn: [ROLLOUT] });
    world.simulation.runUntil(60 * NS_PER_S);
    expect(world.events.filter((event) => event.kind === 'pod_created')).toHaveLength(3);
    expect(world.events.filter((event) => event.kind === 'pod_gone')).toHaveLength(3);
    expect(world.events.filter((event) => event.kind === 'rollout_finished')).toHaveLength(1);
    for (let i = 0; i < 3; i++) expect(world.plane.podCondition(FIRST_POD + i)).toBe('gone');
    expect([world.plane.readyEndpoints(WEB), world.plane.installedEndpoints(WEB)]).toEqual([3, 3]);
    // Three surges of one pod, each waiting for a start of 2 s and the status update.
    expect(world.timeOf('rollout_finished')).toBe(5 * NS_PER_S + 3 * (2 * NS_PER_S + 10 * NS_PER_MS));
  });

  it('waits minReadySeconds for each pod', () => {
    const world = worldOf({ churn: [ROLLOUT], deployment: { minReadySeconds: 7 } });
    world.simulation.runUntil(14 * NS_PER_S - 1);
    expect(world.plane.podCounts(0)).toEqual({ available: 3, total: 4 });
    world.simulation.runUntil(90 * NS_PER_S);
    expect(world.timeOf('rollout_finished')).toBe(5 * NS_PER_S + 3 * 9 * NS_PER_S);
  });

  it('starts no second pod while one does not get ready', () => {
    const deployment = { readinessProbe: probeOf({ initialDelaySeconds: 10000 }) };
    const world = worldOf({ churn: [ROLLOUT], deployment });
    world.simulation.runUntil(500 * NS_PER_S);
    expect(world.events.filter((event) => event.kind === 'pod_created')).toHaveLength(1);
    expect(world.plane.podCounts(0)).toEqual({ available: 3, total: 4 });
    expect(world.plane.readyEndpoints(WEB)).toBe(3);
  });

  it('keeps to the fenceposts at every event, whatever the parameters', () => {
    const limit = fc.record({ value: fc.integer({ min: 0, max: 60 }), percent: fc.boolean() });
    const parameters = fc.record({
      replicas: fc.integer({ min: 1, max: 12 }),
      maxSurge: limit,
      maxUnavailable: limit,
      minReadySeconds: fc.integer({ min: 0, max: 3 }),
      preStopSleepSeconds: fc.integer({ min: 0, max: 3 }),
      period: fc.integer({ min: 1, max: 4 }),
      seed: fc.integer({ min: 0, max: 1000 }),
    });
    fc.assert(
      fc.property(parameters, ({ seed, period, ...deployment }) => {
        const { surge, unavailable } = resolveFenceposts(
          deployment.maxSurge,
          deployment.maxUnavailable,
          deployment.replicas,
        );
        const world = worldOf({
          seed,
          churn: [ROLLOUT],
          deployment: { ...deployment, readinessProbe: probeOf({ periodSeconds: period, initialDelaySeconds: 1 }) },
          statusUpdate: between(0, 0.2),
          endpointSlice: between(0, 0.2),
          watch: between(0, 0.2),
          podStart: between(0.2, 5),
        });
        const end = 400 * NS_PER_S;
        while (world.simulation.nextTime() < end && Number.isNaN(world.timeOf('rollout_finished'))) {
          world.simulation.step();
          const { available, total } = world.plane.podCounts(0);
          expect(available).toBeGreaterThanOrEqual(deployment.replicas - unavailable);
          expect(total).toBeLessThanOrEqual(deployment.replicas + surge);
        }
        expect(world.timeOf('rollout_finished')).toBeLessThan(end);
        world.simulation.runUntil(end + 60 * NS_PER_S);
        expect(world.plane.readyEndpoints(WEB)).toBe(deployment.replicas);
        expect(world.plane.installedEndpoints(WEB)).toBe(deployment.replicas);
      }),
      { seed: 4, numRuns: 60 },
    );
  });

  it('scales in the midst of a rollout by shares and ends with the new size', () => {
    const deployment = { replicas: 10, readinessProbe: probeOf({ periodSeconds: 1 }) };
    const world = worldOf({ churn: [ROLLOUT, scaleTo(15, 6)], deployment, podStart: between(1, 4) });
    world.simulation.runUntil(5 * NS_PER_S);
    expect(world.plane.podCounts(0).total).toBe(13);
    world.simulation.runUntil(6 * NS_PER_S);
    // 15 and a surge of 4.
    expect(world.plane.podCounts(0).total).toBe(19);
    world.simulation.runUntil(100 * NS_PER_S);
    expect(world.plane.podCounts(0)).toEqual({ available: 15, total: 15 });
    expect(world.plane.installedEndpoints(WEB)).toBe(15);
  });

  it('scales to nothing and back', () => {
    const world = worldOf({ churn: [scaleTo(0, 5), scaleTo(2, 20)] });
    world.simulation.runUntil(15 * NS_PER_S);
    expect(world.plane.podCounts(0).total).toBe(0);
    world.simulation.runUntil(40 * NS_PER_S);
    expect(world.plane.podCounts(0)).toEqual({ available: 2, total: 2 });
    expect(world.plane.installedEndpoints(WEB)).toBe(2);
  });
});

describe('ControlPlane: several service ports', () => {
  it('packs the ports of a Service into one slice, and each other Service into its own', () => {
    const plan = planOf(deploymentOf());
    const base = stateOf(plan);
    const [web] = base.servicePorts;
    const metrics = {
      ...web,
      id: 8,
      portName: 'metrics',
      port: 90,
      endpoints: web.endpoints.map((each) => ({ ...each, port: 9090 })),
    };
    const other = { ...web, id: 10, name: 'other' };
    const bindings: ServiceBinding[] = [
      ...plan.bindings,
      { servicePortId: 8, deployment: 0, targetPort: 9090, protocol: PROTOCOL_TCP },
      { servicePortId: 10, deployment: 0, targetPort: 8080, protocol: PROTOCOL_TCP },
    ];
    const simulation = new Simulation();
    const deltas: number[][] = [];
    const plane = new ControlPlane({
      simulation,
      rng: new Rng(1),
      state: { servicePorts: [web, metrics, base.servicePorts[1], other] },
      workload: { ...plan, bindings },
      churn: { events: [failReadiness(1, 5, 100)] },
      observed: [
        {
          name: 'node-1',
          sync: { begin: () => 0, commit: ({ delta }) => void deltas.push(delta.upserted.map((port) => port.id)) },
        },
      ],
      proxier: {
        syncRunner: 'from-completion',
        minSyncPeriodNs: NS_PER_S,
        syncPeriodNs: NS_PER_S,
        maxIntervalNs: 3600 * NS_PER_S,
      },
      propagation: {
        statusUpdate: constantly(0),
        endpointSlice: constantly(0),
        watch: constantly(0),
        podStart: constantly(0),
      },
    });
    plane.start();
    simulation.runUntil(60 * NS_PER_S);
    expect(plane.endpointSliceWrites).toBe(2);
    expect(deltas).toEqual([[], [7, 8, 10]]);
    expect([7, 8, 10].map((id) => plane.installedEndpoints(id))).toEqual([2, 2, 2]);
    expect([7, 8, 10].map((id) => plane.readyEndpoints(id))).toEqual([2, 2, 2]);
    // One change of a pod in two Services: two endpoint changes, both programmed within the instant.
    expect(plane.latencies()).toEqual([0, 0]);
  });
});

describe('ControlPlane: determinism', () => {
  const options = {
    deployment: { replicas: 8, livenessProbe: probeOf({ periodSeconds: 3 }), preStopSleepSeconds: 1 },
    churn: [
      ROLLOUT,
      failReadiness(2, 8, 40),
      { ...failReadiness(1, 9, 40), probe: 'liveness', mode: 'hang' } as ChurnEvent,
      scaleTo(11, 30),
      scaleTo(4, 60),
    ],
    statusUpdate: between(0.001, 0.3),
    endpointSlice: between(0.001, 0.3),
    watch: between(0.001, 0.3),
    podStart: between(1, 6),
  };

  it('gives one log for one seed, and another for another', () => {
    const logs = [1, 1, 2].map((seed) => {
      const world = worldOf({ ...options, seed });
      world.simulation.runUntil(150 * NS_PER_S);
      return logOf(world);
    });
    expect(logs[0].length).toBeGreaterThan(60);
    expect(logs[1]).toEqual(logs[0]);
    expect(logs[2]).not.toEqual(logs[0]);
  });

  it('leaves the pods and slices alone whatever the engine takes for a sync', () => {
    const logs = [0, 3 * NS_PER_S].map((syncNs) => {
      const world = worldOf({ ...options, syncNs });
      world.simulation.runUntil(150 * NS_PER_S);
      return logOf(world).filter((line) => !line.includes(' sync_'));
    });
    expect(logs[1]).toEqual(logs[0]);
  });
});
