/** What one change of endpoints costs the API server: writes, watch events, bytes, with EndpointSlices and with Endpoints objects. */
import { describe, expect, it } from 'vitest';
import type { ChurnEvent } from '../model/churn.ts';
import { NS_PER_S } from '../model/time.ts';
import type { EndpointsApi } from './endpoint-slices.ts';
import { endpointAddressBytes, endpointsEventBytes, sliceEndpointBytes, sliceEventBytes } from './object-size.ts';
import { between, FIRST_FREE, FIRST_POD, probeOf, WEB, worldOf } from './test-world.ts';
import type { World } from './test-world.ts';

const OWNER = { namespace: 'default', name: 'web' };
const PORTS = [{ name: '', protocol: 'tcp', port: 8080 }] as const;

function scaleTo(replicas: number, seconds: number): ChurnEvent {
  return { kind: 'scale', at: seconds * NS_PER_S, deployment: 0, replicas };
}

const failOnce: ChurnEvent = {
  kind: 'probe_failure',
  at: 10 * NS_PER_S,
  deployment: 0,
  pod: 7,
  probe: 'readiness',
  mode: 'error',
  durationNs: 1000 * NS_PER_S,
};

function countsOf({ plane }: World): number[] {
  return [plane.endpointSliceWrites, plane.endpointSliceEvents, plane.endpointSliceBytes];
}

/** A pod of the start of `worldOf`. */
function podOf(i: number) {
  return { address: FIRST_POD + i, namespace: 'default', podName: `web-old-${i}`, nodeName: `node-${(i % 2) + 1}` };
}

function sum(count: number, bytesOf: (i: number) => number): number {
  return Array.from({ length: count }, (_, i) => bytesOf(i)).reduce((total, each) => total + each, 0);
}

describe('one readiness flip', () => {
  const flipped = (endpointsApi: Partial<EndpointsApi> = {}): World => {
    const world = worldOf({ deployment: { replicas: 250 }, churn: [failOnce], nodes: 5000, endpointsApi });
    world.simulation.runUntil(100 * NS_PER_S);
    return world;
  };

  it('rewrites the one slice that holds it, for every node', () => {
    const endpointBytes = sum(100, (i) => sliceEndpointBytes(podOf(i), 'a', undefined));
    const bytes = sliceEventBytes('MODIFIED', OWNER, { ports: PORTS, endpointBytes, hasTriggerTime: true });
    expect(countsOf(flipped())).toEqual([1, 5000, 5000 * bytes]);
    expect(bytes).toBeGreaterThan(10_000);
    expect(bytes).toBeLessThan(12_500);
  });

  it('rewrites no other slice when slices are smaller or larger', () => {
    for (const maxEndpointsPerSlice of [1, 10, 1000]) {
      const held = Math.min(maxEndpointsPerSlice, 250);
      const first = held === 250 ? 0 : 7 - (7 % held);
      const endpointBytes = sum(held, (i) => sliceEndpointBytes(podOf(first + i), 'a', undefined));
      const bytes = sliceEventBytes('MODIFIED', OWNER, { ports: PORTS, endpointBytes, hasTriggerTime: true });
      expect(countsOf(flipped({ maxEndpointsPerSlice }))).toEqual([1, 5000, 5000 * bytes]);
    }
  });

  it('rewrites the whole Endpoints object', () => {
    const world = flipped({ kind: 'endpoints' });
    const subsets = [{ ports: PORTS, addressBytes: sum(250, (i) => endpointAddressBytes(podOf(i))) }];
    const bytes = endpointsEventBytes(OWNER, { subsets, hasTriggerTime: true, isTruncated: false });
    expect(countsOf(world)).toEqual([1, 5000, 5000 * bytes]);
    expect([world.plane.readyEndpoints(WEB), world.plane.installedEndpoints(WEB)]).toEqual([249, 249]);
  });
});

describe('20,000 endpoints that come at once, on 5,000 nodes', () => {
  const created = (endpointsApi: Partial<EndpointsApi> = {}): World => {
    const churn = [scaleTo(20_000, 1)];
    const world = worldOf({
      deployment: { replicas: 0 },
      withoutReadinessProbe: true,
      churn,
      nodes: 5000,
      endpointsApi,
    });
    world.simulation.runUntil(20 * NS_PER_S);
    return world;
  };
  /** New pods have names of that length, addresses in a row and nodes in turn. */
  const newPod = (i: number) => ({
    address: FIRST_FREE + i,
    namespace: 'default',
    podName: 'web-0123456789-01234',
    nodeName: `node-${(i % 5000) + 1}`,
  });

  // KEP-752 has 1 million events and 10 GB, from an estimate of 100 bytes an endpoint.
  it('are 200 writes, a million events and 12.8 GB in slices of 100', () => {
    const world = created();
    // The empty slice that a Service without endpoints has becomes the first one.
    const bytes = sum(200, (slice) => {
      const endpointBytes = sum(100, (i) => sliceEndpointBytes(newPod(100 * slice + i), 'a', undefined));
      const type = slice === 0 ? 'MODIFIED' : 'ADDED';
      return sliceEventBytes(type, OWNER, { ports: PORTS, endpointBytes, hasTriggerTime: true });
    });
    expect(countsOf(world)).toEqual([200, 1_000_000, 5000 * bytes]);
    expect((5000 * bytes) / 1e9).toBeCloseTo(12.8, 1);
    expect(world.plane.installedEndpoints(WEB)).toBe(20_000);
  });

  // KEP-752: 1 write and 10 GB.
  it('are one write, an event a node and 11 GB in an Endpoints object', () => {
    const world = created({ kind: 'endpoints', truncation: false });
    const subsets = [{ ports: PORTS, addressBytes: sum(20_000, (i) => endpointAddressBytes(newPod(i))) }];
    const bytes = endpointsEventBytes(OWNER, { subsets, hasTriggerTime: true, isTruncated: false });
    expect(countsOf(world)).toEqual([1, 5000, 5000 * bytes]);
    expect((5000 * bytes) / 1e9).toBeCloseTo(11, 1);
    expect(world.plane.installedEndpoints(WEB)).toBe(20_000);
  });

  it('are a thousand in a truncated one', () => {
    const world = created({ kind: 'endpoints' });
    const [writes, events, bytes] = countsOf(world);
    expect([writes, events]).toEqual([1, 5000]);
    expect(bytes / 1e9).toBeCloseTo(0.55, 2);
    expect([world.plane.readyEndpoints(WEB), world.plane.installedEndpoints(WEB)]).toEqual([1000, 1000]);
  });
});

describe('pods that become ready one after the other', () => {
  const scaled = (endpointsApi: Partial<EndpointsApi>): World => {
    const churn = [scaleTo(40, 1)];
    const podStart = between(1, 4);
    const world = worldOf({ deployment: { replicas: 0 }, withoutReadinessProbe: true, churn, podStart, endpointsApi });
    world.simulation.runUntil(20 * NS_PER_S);
    return world;
  };

  it('are written many times, or once in a batch', () => {
    const batched = scaled({ batchNs: 5 * NS_PER_S });
    const single = scaled({});
    expect(batched.plane.endpointSliceWrites).toBe(1);
    expect(single.plane.endpointSliceWrites).toBeGreaterThan(20);
    // The batch period begins with the first change that the controller hears of.
    const delay = batched.timeOf('endpoints_changed') - single.timeOf('endpoints_changed');
    expect(delay).toBe(5 * NS_PER_S);
    expect(batched.plane.installedEndpoints(WEB)).toBe(40);
  });

  it('make as many Endpoints objects as slices, each with all of them', () => {
    const [slices, objects] = [scaled({}), scaled({ kind: 'endpoints' })];
    expect(objects.plane.endpointSliceWrites).toBe(slices.plane.endpointSliceWrites);
  });
});

describe('an Endpoints object', () => {
  it('lets a pod go when it is deleted, while a slice shows it as serving', () => {
    const installed = (kind: EndpointsApi['kind']): number[] => {
      const deployment = { preStopSleepSeconds: 20 };
      const world = worldOf({ deployment, churn: [scaleTo(0, 10)], endpointsApi: { kind } });
      return [9, 12, 40].map((seconds) => {
        world.simulation.runUntil(seconds * NS_PER_S);
        return world.plane.installedEndpoints(WEB);
      });
    };
    expect(installed('slices')).toEqual([3, 3, 0]);
    expect(installed('endpoints')).toEqual([3, 0, 0]);
  });

  it('is sent for a pod that is not ready, and kube-proxy does nothing', () => {
    const deployment = { readinessProbe: probeOf({ periodSeconds: 1, initialDelaySeconds: 5 }) };
    const world = worldOf({ deployment, churn: [scaleTo(4, 10)], endpointsApi: { kind: 'endpoints' } });
    world.simulation.runUntil(14 * NS_PER_S);
    expect([world.plane.endpointSliceWrites, world.begun.length, world.plane.installedEndpoints(WEB)]).toEqual([
      1, 1, 3,
    ]);
    world.simulation.runUntil(30 * NS_PER_S);
    expect([world.plane.endpointSliceWrites, world.begun.length, world.plane.installedEndpoints(WEB)]).toEqual([
      2, 2, 4,
    ]);
  });
});
