/** The kube-proxies in closed form against real ones: the same writes, delays, phases and lengths of syncs give the same latencies. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Endpoint, ServicePort } from '../model/cluster.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import { exponential } from '../sim/distributions.ts';
import { Rng } from '../sim/rng.ts';
import { Simulation } from '../sim/simulation.ts';
import { DelayLine } from './api-fanout.ts';
import type { SliceWrite } from './endpoint-slices.ts';
import { OtherProxies } from './other-proxies.ts';
import type { SyncLength } from './other-proxies.ts';
import { PRIORITY_WATCH } from './priorities.ts';
import { Proxier } from './proxier.ts';
import type { ProxierTiming } from './proxier.ts';
import { SliceCache } from './slice-cache.ts';

const SERVICES = 5;
const NODES = ['near', 'far', 'farther'];
const END = 60 * NS_PER_S;

function portOf(id: number): ServicePort {
  const endpoints: Endpoint[] = [];
  const name = `svc-${id}`;
  return { id, namespace: 'default', name, portName: '', protocol: PROTOCOL_TCP, clusterIp: id, port: 80, nodePort: 0, endpoints }; // prettier-ignore
}

const state = { servicePorts: Array.from({ length: SERVICES }, (_, id) => portOf(id)) };

/** Slice k feeds service k; `ready` tells whether its one endpoint is. */
function writeOf(service: number, ready: boolean, trigger: SimTime): SliceWrite {
  return {
    sliceId: service,
    servicePortIds: [service],
    ports: PORTS[service],
    endpoints: [{ address: 99, nodeName: 'near', ready, serving: ready, terminating: false, changedAt: trigger }],
    triggers: [trigger],
  };
}
const PORTS = state.servicePorts.map(({ id }) => [{ servicePortId: id, targetPort: 8080 }]);

interface Scene {
  readonly timing: ProxierTiming;
  /** Time of each write, and the service that it is about: each write of a service turns its endpoint's readiness. */
  readonly writes: readonly { readonly at: SimTime; readonly service: number }[];
  readonly fullMs: number;
  readonly partialMs: number;
  readonly phases: readonly SimTime[];
}

const scene: fc.Arbitrary<Scene> = fc
  .record({
    syncRunner: fc.constantFrom('from-completion', 'token-bucket'),
    minSyncPeriodMs: fc.constantFrom(0, 1, 500, 1000, 7000),
    // An interval that no minimum comes near, and one that is often met.
    intervals: fc.constantFrom(1.5, 30, 4000),
    gaps: fc.array(fc.record({ gapMs: fc.integer({ min: 0, max: 4000 }), service: fc.nat(SERVICES - 1) }), { maxLength: 40 }), // prettier-ignore
    fullMs: fc.constantFrom(0, 40, 3000),
    partialMs: fc.constantFrom(0, 3, 900),
    phases: fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 3, maxLength: 3 }),
  })
  .map(({ syncRunner, minSyncPeriodMs, intervals, gaps, fullMs, partialMs, phases }) => {
    const minSyncPeriodNs = minSyncPeriodMs * NS_PER_MS;
    const maxIntervalNs = Math.max(intervals * NS_PER_S, minSyncPeriodNs);
    let at = 0;
    return {
      timing: { syncRunner, minSyncPeriodNs, syncPeriodNs: 30 * NS_PER_S, maxIntervalNs },
      // Odd nanoseconds, so that no two things fall on one instant by roundness.
      writes: gaps.map(({ gapMs, service }) => ({ at: (at += gapMs * NS_PER_MS + 7), service })),
      fullMs,
      partialMs,
      phases: phases.map((phase) => Math.floor(phase * maxIntervalNs)),
    };
  });

const WATCH = exponential(0.2);

/** [change, latency] of each node, by real kube-proxies and by those in closed form. */
function both({ timing, writes, fullMs, partialMs, phases }: Scene): { real: number[][]; closed: number[][] } {
  const rng = new Rng(3);
  const syncNs: SyncLength = (kind, changed) => (kind === 'full' ? fullMs : partialMs + changed) * NS_PER_MS;
  const simulation = new Simulation();
  const cache = SliceCache.of(state, [], () => true);
  const others = new OtherProxies({
    nodes: NODES,
    cache: cache.copy(),
    timing,
    watch: WATCH,
    syncNs,
    watchStream: (node) => rng.stream(node),
    phaseNs: (node) => phases[NODES.indexOf(node)],
  });
  const proxiers = NODES.map(
    (nodeName, i) =>
      new Proxier({
        simulation,
        nodeName,
        timing,
        cache: cache.copy(),
        phaseNs: phases[i],
        sync: {
          begin: ({ kind, delta }) => syncNs(kind, kind === 'full' ? 0 : delta.upserted.length),
          commit: () => undefined,
        },
        emit: () => undefined,
      }),
  );
  const lines = NODES.map((node) => new DelayLine(simulation, WATCH, rng.stream(node), PRIORITY_WATCH));
  for (const proxier of proxiers) proxier.start();
  const ready = new Array<boolean>(SERVICES).fill(false);
  for (const { at, service } of writes) {
    ready[service] = !ready[service];
    const write = writeOf(service, ready[service], at - 5);
    simulation.at(at, 0, () => {
      lines.forEach((line, i) => line.send(() => proxiers[i].receive(write)));
      others.receive(at, write);
    });
  }
  simulation.runUntil(END);
  return {
    real: proxiers.map((proxier) => [...proxier.latencies]),
    closed: NODES.map((node) => {
      const latencies: number[] = [];
      others.replay(node, END, (change, latencyNs) => {
        expect(change).toBe(latencies.length);
        latencies.push(latencyNs);
      });
      return latencies;
    }),
  };
}

describe('OtherProxies', () => {
  it('have the latencies of real kube-proxies, whatever comes when', () => {
    let samples = 0;
    fc.assert(
      fc.property(scene, (each) => {
        const { real, closed } = both(each);
        expect(closed).toEqual(real);
        samples += real.flat().length;
      }),
      { numRuns: 400, seed: 11 },
    );
    expect(samples).toBeGreaterThan(5_000);
  });

  it('are told a change at once where the process carries the traffic', () => {
    const timing: ProxierTiming = {
      syncRunner: 'from-completion', minSyncPeriodNs: NS_PER_S, syncPeriodNs: NS_PER_S, maxIntervalNs: 30 * NS_PER_S, carriesTraffic: true,
    }; // prettier-ignore
    const writes = [1, 1.1, 1.2, 9].map((s, service) => ({ at: s * NS_PER_S, service }));
    const { real, closed } = both({ timing, writes, fullMs: 9, partialMs: 9, phases: [NS_PER_S, NS_PER_S, NS_PER_S] });
    expect(real.map((each) => each.length)).toEqual([4, 4, 4]);
    expect(closed).toEqual(real);
  });

  it('pass over what a kube-proxy passes over: a slice that says what it said before', () => {
    const cache = SliceCache.of(state, [writeOf(0, true, 0)], () => true);
    const timing: ProxierTiming = { syncRunner: 'from-completion', minSyncPeriodNs: 0, syncPeriodNs: NS_PER_S, maxIntervalNs: 1e15 }; // prettier-ignore
    const others = new OtherProxies({
      nodes: ['far'],
      cache,
      timing,
      watch: { mean: 0, next: () => 0 },
      syncNs: () => NS_PER_MS,
      watchStream: (node) => new Rng(1).stream(node),
      phaseNs: () => 5e14,
    });
    others.receive(NS_PER_S, writeOf(0, true, 12));
    others.receive(2 * NS_PER_S, writeOf(0, false, 2 * NS_PER_S));
    const taken: number[][] = [];
    others.replay('far', END, (change, ns) => taken.push([change, ns]));
    expect(taken).toEqual([[0, NS_PER_MS]]);
  });
});
