import { describe, expect, it } from 'vitest';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import { NS_PER_S } from '../model/time.ts';
import type { ServiceBinding, WorkloadPlan } from '../model/workload.ts';
import type { Distribution } from '../sim/distributions.ts';
import { Rng } from '../sim/rng.ts';
import { Simulation } from '../sim/simulation.ts';
import { ApiFanout } from './api-fanout.ts';
import { EndpointSliceController } from './endpoint-slices.ts';
import type { SliceWrite } from './endpoint-slices.ts';
import { PodRecord, PodStore } from './pod-store.ts';
import { constantly, deploymentOf, planOf, stateOf, WEB } from './test-world.ts';

interface Rig {
  readonly simulation: Simulation;
  readonly store: PodStore;
  readonly controller: EndpointSliceController;
  readonly writes: SliceWrite[];
  /** How often the controller's delay was drawn. */
  draws(): number;
  add(address: number, deployment?: number): PodRecord;
  /** Tells the controller and lets it do its work. */
  change(...pods: PodRecord[]): SliceWrite[];
}

function rigOf(plan: WorkloadPlan = planOf(deploymentOf({ replicas: 0 }))): Rig {
  const simulation = new Simulation();
  let draws = 0;
  const counted: Distribution = { mean: 1, next: () => ((draws += 1), 1) };
  const none = constantly(0);
  const propagation = { statusUpdate: none, endpointSlice: counted, watch: none, podStart: none };
  const store = new PodStore(plan.deployments.length);
  const writes: SliceWrite[] = [];
  const controller = new EndpointSliceController({
    fanout: new ApiFanout(simulation, new Rng(1), propagation),
    workload: plan,
    servicePorts: stateOf(planOf(deploymentOf())).servicePorts,
    store,
    emit: () => undefined,
    onWrite: (write) => writes.push(write),
  });
  return {
    simulation,
    store,
    controller,
    writes,
    draws: () => draws,
    add: (address, deployment = 0) => {
      const pod = new PodRecord({
        namespace: 'default',
        name: `pod-${address}`,
        address,
        nodeName: 'node-1',
        deployment,
        revision: 1,
        uid: address,
        createdAt: 0,
      });
      pod.status = { running: true, ready: true, readyChangedAt: 0, finished: false };
      store.add(pod);
      return pod;
    },
    change: (...pods) => {
      writes.length = 0;
      for (const pod of pods) controller.podChanged(pod);
      simulation.runUntil(simulation.now + 2 * NS_PER_S);
      return [...writes];
    },
  };
}

describe('EndpointSliceController', () => {
  it('keeps one empty slice for a Service without endpoints and fills it again', () => {
    const rig = rigOf();
    expect(rig.controller.initialSlices().map((write) => [write.sliceId, write.endpoints.length])).toEqual([[0, 0]]);
    const pod = rig.add(1);
    expect(rig.change(pod).map((write) => [write.sliceId, write.endpoints.length])).toEqual([[0, 1]]);
    rig.store.remove(pod);
    expect(rig.change(pod).map((write) => [write.sliceId, write.endpoints.length])).toEqual([[0, 0]]);
    expect(rig.controller.writes).toBe(2);
  });

  it('sets ready, serving and terminating from the Ready condition and the deletion', () => {
    const rig = rigOf();
    const conditions = (pod: PodRecord): (boolean | undefined)[] => {
      const [endpoint] = rig.change(pod)[0].endpoints;
      return [endpoint.ready, endpoint.serving, endpoint.terminating];
    };
    const pod = rig.add(1);
    expect(conditions(pod)).toEqual([true, true, false]);
    pod.deletedAt = rig.simulation.now;
    expect(conditions(pod)).toEqual([false, true, true]);
    pod.status = { ...pod.status, ready: false };
    expect(conditions(pod)).toEqual([false, false, true]);
    pod.status = { ...pod.status, finished: true };
    expect(rig.change(pod)[0].endpoints).toEqual([]);
  });

  it('gives a trigger for each endpoint whose ready changes, and for no other change', () => {
    const rig = rigOf();
    const [one, two] = [rig.add(1), rig.add(2)];
    one.status = { ...one.status, readyChangedAt: 5 };
    two.status = { ...two.status, ready: false, readyChangedAt: 6 };
    expect(rig.change(one, two)[0].triggers).toEqual([5]);
    two.deletedAt = rig.simulation.now;
    expect(rig.change(two)[0].triggers).toEqual([]);
    one.deletedAt = rig.simulation.now;
    expect(rig.change(one)[0].triggers).toEqual([one.deletedAt]);
    rig.store.remove(one);
    expect(rig.change(one)[0].triggers).toEqual([]);
  });

  it('looks at a Service once for all changes that come before it does', () => {
    const rig = rigOf();
    const pods = Array.from({ length: 120 }, (_, i) => rig.add(i + 1));
    expect(rig.change(...pods).map((write) => write.endpoints.length)).toEqual([100, 20]);
    expect(rig.draws()).toBe(1);
  });

  it('leaves out a pod that has no address yet', () => {
    const rig = rigOf();
    const pod = rig.add(1);
    pod.status = { ...pod.status, running: false, ready: false };
    rig.controller.initialSlices();
    expect(rig.change(pod)).toEqual([]);
  });

  it('puts pods with other port numbers into other slices', () => {
    const base = planOf(deploymentOf({ replicas: 0 }));
    const plan: WorkloadPlan = {
      ...base,
      deployments: [deploymentOf(), deploymentOf({ name: 'same' }), deploymentOf({ name: 'other' })],
      bindings: [8080, 8080, 9090].map((targetPort, deployment) => ({
        servicePortId: WEB,
        deployment,
        targetPort,
        protocol: PROTOCOL_TCP,
      })),
    };
    const rig = rigOf(plan);
    const writes = rig.change(rig.add(1, 0), rig.add(2, 1), rig.add(3, 2));
    expect(writes.map((write) => [write.ports[0].targetPort, write.endpoints.map((each) => each.address)])).toEqual([
      [8080, [1, 2]],
      [9090, [3]],
    ]);
    expect(rig.controller.readyEndpoints(WEB)).toBe(3);
    expect(rig.controller.readyEndpoints(999)).toBeUndefined();
  });

  it('refuses a binding to a service port that does not exist', () => {
    const base = planOf(deploymentOf({ replicas: 0 }));
    const binding: ServiceBinding = { servicePortId: 99, deployment: 0, targetPort: 1, protocol: PROTOCOL_TCP };
    expect(() => rigOf({ ...base, bindings: [binding] })).toThrow(/service port 99/);
  });

  it('hints a pod for its own zone and node, as the Service asks', () => {
    const base = planOf(deploymentOf({ replicas: 0 }));
    const [binding] = base.bindings;
    const hints = (trafficDistribution: ServiceBinding['trafficDistribution']) => {
      const rig = rigOf({
        ...base,
        bindings: [{ ...binding, ...(trafficDistribution === undefined ? {} : { trafficDistribution }) }],
      });
      return rig.change(rig.add(1))[0].endpoints[0].hints;
    };
    expect(hints(undefined)).toBeUndefined();
    expect(hints('PreferClose')).toEqual({ zones: ['a'], nodes: [] });
    expect(hints('PreferSameNode')).toEqual({ zones: ['a'], nodes: ['node-1'] });
  });
});
