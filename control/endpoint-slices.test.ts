import { describe, expect, it } from 'vitest';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import { NS_PER_S } from '../model/time.ts';
import type { ServiceBinding, WorkloadPlan } from '../model/workload.ts';
import type { Distribution } from '../sim/distributions.ts';
import { Rng } from '../sim/rng.ts';
import { Simulation } from '../sim/simulation.ts';
import { ApiFanout } from './api-fanout.ts';
import { DEFAULT_ENDPOINTS_API, EndpointSliceController } from './endpoint-slices.ts';
import type { EndpointsApi, SliceWrite } from './endpoint-slices.ts';
import { PodRecord, PodStore } from './pod-store.ts';
import { PRIORITY_CONTROLLER } from './priorities.ts';
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

function rigOf(plan: WorkloadPlan = planOf(deploymentOf({ replicas: 0 })), api: Partial<EndpointsApi> = {}): Rig {
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
    api: { ...DEFAULT_ENDPOINTS_API, ...api },
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

/** A Service over one Deployment for each of the port numbers. */
function planOfPorts(...targetPorts: number[]): WorkloadPlan {
  const base = planOf(deploymentOf({ replicas: 0 }));
  return {
    ...base,
    deployments: targetPorts.map((_, i) => deploymentOf({ name: `web-${i}` })),
    bindings: targetPorts.map((targetPort, deployment) => ({
      servicePortId: WEB,
      deployment,
      targetPort,
      protocol: PROTOCOL_TCP,
    })),
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
    const rig = rigOf(planOfPorts(8080, 8080, 9090));
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

describe('max-endpoints-per-slice', () => {
  it('is the size of slices', () => {
    const rig = rigOf(undefined, { maxEndpointsPerSlice: 7 });
    const pods = Array.from({ length: 16 }, (_, i) => rig.add(i + 1));
    expect(rig.change(...pods).map((write) => write.endpoints.length)).toEqual([7, 7, 2]);
  });
});

describe('slices that have lost endpoints', () => {
  it('stay part full: nothing is moved, and new endpoints go to one of them', () => {
    const rig = rigOf(undefined, { maxEndpointsPerSlice: 10 });
    const pods = Array.from({ length: 30 }, (_, i) => rig.add(i + 1));
    rig.change(...pods);
    const gone = pods.filter((_, i) => i % 10 >= 4);
    for (const pod of gone) rig.store.remove(pod);
    const lengths = (writes: readonly SliceWrite[]): number[][] =>
      writes.map((write) => [write.sliceId, write.endpoints.length]);
    expect(lengths(rig.change(...gone))).toEqual([
      [0, 4],
      [1, 4],
      [2, 4],
    ]);
    expect(lengths(rig.change(rig.add(101), rig.add(102)))).toEqual([[0, 6]]);
    // Seven fit into no slice but a new one, though there is room for sixteen.
    expect(lengths(rig.change(...Array.from({ length: 7 }, (_, i) => rig.add(201 + i))))).toEqual([[3, 7]]);
  });
});

describe('endpoint-updates-batch-period', () => {
  it('runs from the first change, whatever comes after it', () => {
    const rig = rigOf(undefined, { batchNs: 3 * NS_PER_S });
    const changeAt = (seconds: number): void => {
      rig.simulation.at(seconds * NS_PER_S, PRIORITY_CONTROLLER, () => rig.controller.podChanged(rig.add(seconds)));
    };
    [10, 11, 13, 15].forEach(changeAt);
    const writesBy = (seconds: number): number => (rig.simulation.runUntil(seconds * NS_PER_S), rig.writes.length);
    // The controller's delay of 1 s comes on top: at 14 s it takes three pods, at 19 s the last one.
    expect([13.9, 14.1, 18.9, 19.1].map(writesBy)).toEqual([0, 1, 1, 2]);
    expect(rig.writes.map((write) => write.endpoints.length)).toEqual([3, 4]);
    expect(rig.draws()).toBe(2);
  });
});

describe('Endpoints objects', () => {
  const objects = (plan?: WorkloadPlan): Rig => rigOf(plan, { kind: 'endpoints' });
  const shown = (writes: readonly SliceWrite[]): number[][] =>
    writes.map((write) => write.endpoints.map((endpoint) => endpoint.address));

  it('hold ready and other pods, of which kube-proxy gets the ready ones, and no pod that is being deleted', () => {
    const rig = objects();
    rig.controller.initialSlices();
    const [one, two] = [rig.add(1), rig.add(2)];
    two.status = { ...two.status, ready: false };
    expect(shown(rig.change(one, two))).toEqual([[1]]);
    expect(rig.controller.readyEndpoints(WEB)).toBe(1);
    expect(rig.writes[0].endpoints[0]).toMatchObject({ ready: true, serving: true, terminating: false });
    one.deletedAt = rig.simulation.now;
    expect(shown(rig.change(one))).toEqual([[]]);
    // Nothing is left to be said of its end.
    rig.store.remove(one);
    expect(rig.change(one)).toEqual([]);
    expect(rig.controller.writes).toBe(2);
  });

  it('have a trigger for each pod that becomes ready, stops being so or is deleted', () => {
    const rig = objects();
    rig.controller.initialSlices();
    const [one, two, three] = [rig.add(1), rig.add(2), rig.add(3)];
    three.status = { ...three.status, ready: false };
    for (const [i, pod] of [one, two, three].entries()) pod.status = { ...pod.status, readyChangedAt: 5 + i };
    expect(rig.change(one, two, three)[0].triggers).toEqual([5, 6]);
    one.deletedAt = rig.simulation.now;
    two.status = { ...two.status, ready: false, readyChangedAt: rig.simulation.now + 1 };
    three.deletedAt = rig.simulation.now;
    expect(rig.change(one, two, three)[0].triggers).toEqual([one.deletedAt, two.status.readyChangedAt]);
  });

  it('hold pods that are being deleted, as ready ones, where the Service publishes what is not ready', () => {
    const base = planOf(deploymentOf({ replicas: 0 }));
    const rig = objects({
      ...base,
      bindings: base.bindings.map((each) => ({ ...each, publishNotReadyAddresses: true })),
    });
    rig.controller.initialSlices();
    const pod = rig.add(1);
    pod.status = { ...pod.status, ready: false };
    expect(shown(rig.change(pod))).toEqual([[1]]);
    pod.deletedAt = rig.simulation.now;
    expect(rig.change(pod)).toEqual([]);
  });

  it('are one object, written once, for all port numbers', () => {
    const rig = objects(planOfPorts(8080, 9090));
    rig.controller.initialSlices();
    const writes = rig.change(rig.add(1, 0), rig.add(2, 1));
    expect(writes.map((write) => [write.ports[0].targetPort, write.endpoints[0].address])).toEqual([
      [8080, 1],
      [9090, 2],
    ]);
    expect(rig.controller.writes).toBe(1);
  });

  it('are sent beyond a thousand addresses when those that stay or the time in the annotation change', () => {
    const rig = objects();
    rig.controller.initialSlices();
    const all = Array.from({ length: 1005 }, (_, i) => rig.add(i + 1));
    // By their texts 0.0.3.95 to 0.0.3.99 are the last ones of all, so they are left out.
    const [hidden, last] = [all[0x0362 - 1], all[0x0363 - 1]];
    const sent = (...pods: PodRecord[]): number => {
      const before = rig.controller.writes;
      rig.change(...pods);
      return rig.controller.writes - before;
    };
    expect(sent(...all)).toBe(1);
    expect(rig.controller.readyEndpoints(WEB)).toBe(1000);
    expect(rig.writes[0].endpoints.some((endpoint) => endpoint.address === last.address)).toBe(false);
    // The annotation goes, as no pod's readiness has changed; then there is nothing to say.
    last.deletedAt = rig.simulation.now;
    expect(sent(last)).toBe(1);
    rig.store.remove(last);
    expect(sent(last)).toBe(0);
    hidden.status = { ...hidden.status, ready: false, readyChangedAt: rig.simulation.now };
    expect(sent(hidden)).toBe(1);
    expect(rig.writes[0].triggers).toEqual([]);
  });
});
