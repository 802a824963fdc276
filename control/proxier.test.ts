import { describe, expect, it } from 'vitest';
import { NO_SERVICE_EXTRAS } from '../model/cluster.ts';
import type { ClusterState } from '../model/cluster.ts';
import { NS_PER_S } from '../model/time.ts';
import { Simulation } from '../sim/simulation.ts';
import type { SliceWrite } from './endpoint-slices.ts';
import { PRIORITY_WATCH } from './priorities.ts';
import { FULL_SYNC_PERIOD_NS, Proxier } from './proxier.ts';
import type { Reachable, SyncRequest } from './proxier.ts';
import { SliceCache } from './slice-cache.ts';
import type { SliceEndpoint } from './slice-packing.ts';
import type { SyncRunnerKind } from './sync-runner.ts';
import { deploymentOf, planOf, stateOf, WEB } from './test-world.ts';

const PORTS = [{ servicePortId: WEB, targetPort: 8080 }];

function endpointOf(address: number, changes: Partial<SliceEndpoint> = {}): SliceEndpoint {
  return { address, nodeName: 'node-1', ready: true, serving: true, terminating: false, changedAt: 0, ...changes };
}

function writeOf(endpoints: SliceEndpoint[], sliceId = 1, triggers: number[] = []): SliceWrite {
  return { sliceId, servicePortIds: [WEB], ports: endpoints.length > 0 ? PORTS : [], endpoints, triggers };
}

interface Rig {
  readonly simulation: Simulation;
  readonly proxier: Proxier;
  readonly requests: SyncRequest[];
  /** When rules took effect, and when the process stopped. */
  readonly commits: number[];
  readonly interrupts: number[];
  receive(at: number, write: SliceWrite): void;
}

/** Slice 1 holds the addresses 1 and 2; the service port `web` of the state has nothing else. */
function rigOf(
  durationNs = 0,
  state: ClusterState = stateOf(planOf(deploymentOf({ replicas: 0 }))),
  syncRunner: SyncRunnerKind = 'from-completion',
  reachable?: Reachable,
  carriesTraffic = false,
): Rig {
  const simulation = new Simulation();
  const requests: SyncRequest[] = [];
  const commits: number[] = [];
  const interrupts: number[] = [];
  const proxier = new Proxier({
    simulation,
    nodeName: 'node-1',
    timing: { syncRunner, minSyncPeriodNs: NS_PER_S, syncPeriodNs: NS_PER_S, maxIntervalNs: 1e15, carriesTraffic },
    cache: SliceCache.of(state, [writeOf([endpointOf(1), endpointOf(2)])], () => true),
    sync: {
      begin: (request) => {
        requests.push(request);
        return durationNs;
      },
      commit: () => commits.push(simulation.now),
      interrupt: () => interrupts.push(simulation.now),
    },
    emit: () => undefined,
    ...(reachable === undefined ? {} : { reachable }),
  });
  proxier.start();
  return {
    simulation,
    proxier,
    requests,
    commits,
    interrupts,
    receive: (at, write) => {
      simulation.at(at, PRIORITY_WATCH, () => proxier.receive(write));
    },
  };
}

describe('Proxier', () => {
  it('does not sync for what leaves a slice unchanged', () => {
    const rig = rigOf();
    rig.receive(2 * NS_PER_S, writeOf([endpointOf(1), endpointOf(2, { changedAt: 7 })]));
    rig.receive(2 * NS_PER_S, writeOf([], 5));
    rig.simulation.runUntil(10 * NS_PER_S);
    expect(rig.requests).toHaveLength(1);
  });

  it('syncs for each of the conditions, the node, hints and a new address', () => {
    const changes: Partial<SliceEndpoint>[] = [
      { ready: false },
      { serving: false },
      { terminating: true },
      { nodeName: 'node-2' },
      { address: 3 },
      { hints: { zones: ['b'], nodes: [] } },
    ];
    for (const change of changes) {
      const rig = rigOf();
      rig.receive(2 * NS_PER_S, writeOf([endpointOf(1), endpointOf(2, change)]));
      rig.simulation.runUntil(10 * NS_PER_S);
      expect(rig.requests).toHaveLength(2);
      expect(rig.requests[1].delta.upserted[0].endpoints[1]).toMatchObject({ ...change, port: 8080 });
    }
  });

  it('joins the slices of a service port, and drops a slice that was deleted', () => {
    const rig = rigOf();
    rig.receive(2 * NS_PER_S, writeOf([endpointOf(3)], 2));
    rig.receive(5 * NS_PER_S, writeOf([], 1));
    rig.simulation.runUntil(4 * NS_PER_S);
    expect(rig.proxier.installedEndpoints(WEB)).toBe(3);
    rig.simulation.runUntil(10 * NS_PER_S);
    expect(rig.proxier.installedEndpoints(WEB)).toBe(1);
    expect(rig.requests[2].state.servicePorts[0].endpoints.map((each) => each.address)).toEqual([3]);
  });

  it('counts one address in two slices once', () => {
    const rig = rigOf();
    rig.receive(2 * NS_PER_S, writeOf([endpointOf(2)], 2));
    rig.simulation.runUntil(10 * NS_PER_S);
    expect(rig.proxier.installedEndpoints(WEB)).toBe(2);
  });

  it('leaves what arrives during a sync to the next one', () => {
    const rig = rigOf(3 * NS_PER_S);
    rig.receive(2 * NS_PER_S, writeOf([endpointOf(1)], 1, [1.5 * NS_PER_S]));
    rig.receive(3 * NS_PER_S, writeOf([], 1, [2.5 * NS_PER_S]));
    rig.simulation.runUntil(4 * NS_PER_S);
    expect(rig.proxier.installedEndpoints(WEB)).toBe(2);
    rig.simulation.runUntil(5 * NS_PER_S);
    expect(rig.proxier.installedEndpoints(WEB)).toBe(1);
    rig.simulation.runUntil(20 * NS_PER_S);
    expect(rig.proxier.installedEndpoints(WEB)).toBe(0);
    // 2 s .. 5 s, a rest of 1 s, 6 s .. 9 s.
    expect(rig.proxier.latencies.map((ns) => ns / NS_PER_S)).toEqual([3.5, 6.5]);
    expect(rig.requests.map((request) => request.kind)).toEqual(['full', 'partial', 'partial']);
  });

  it('writes everything anew at the first sync after an hour', () => {
    const rig = rigOf();
    rig.receive(FULL_SYNC_PERIOD_NS - NS_PER_S, writeOf([endpointOf(1)]));
    rig.receive(FULL_SYNC_PERIOD_NS + NS_PER_S, writeOf([endpointOf(2)]));
    rig.receive(FULL_SYNC_PERIOD_NS + 5 * NS_PER_S, writeOf([endpointOf(1)]));
    rig.simulation.runUntil(FULL_SYNC_PERIOD_NS + 10 * NS_PER_S);
    expect(rig.requests.map((request) => request.kind)).toEqual(['full', 'partial', 'full', 'partial']);
    expect(rig.requests[2].delta.upserted).toHaveLength(1);
  });

  it('keeps what a service port has beside its endpoints', () => {
    const state = stateOf(planOf(deploymentOf({ replicas: 0 })));
    const [web, ...others] = state.servicePorts;
    const extras = { ...NO_SERVICE_EXTRAS, affinitySeconds: 60 };
    const rig = rigOf(0, { servicePorts: [{ ...web, extras }, ...others] });
    rig.receive(2 * NS_PER_S, writeOf([endpointOf(3)]));
    rig.simulation.runUntil(10 * NS_PER_S);
    expect(rig.requests.map((request) => request.state.servicePorts[0].extras)).toEqual([extras, extras]);
    expect(rig.requests[1].delta.upserted[0].extras).toEqual(extras);
  });

  it('counts as installed what the policies and hints of a service port let traffic reach', () => {
    const rig = rigOf(0, undefined, undefined, (port) => port.endpoints.filter((each) => each.nodeName === 'node-1'));
    expect(rig.proxier.installedEndpoints(WEB)).toBe(2);
    rig.receive(2 * NS_PER_S, writeOf([endpointOf(1), endpointOf(2, { nodeName: 'node-2' })]));
    rig.simulation.runUntil(10 * NS_PER_S);
    expect(rig.proxier.installedEndpoints(WEB)).toBe(1);
    expect(rig.proxier.servingEndpoints(WEB, (address) => address !== 1)).toBe(0);
  });

  it('runs in the way of its version: the old one has two tokens', () => {
    const times = (syncRunner: 'token-bucket' | 'from-completion') => {
      const rig = rigOf(0, undefined, syncRunner);
      [2, 2.1, 2.2].forEach((at, i) => rig.receive(at * NS_PER_S, writeOf([endpointOf(3 + i)])));
      rig.simulation.runUntil(2.15 * NS_PER_S);
      const early = rig.requests.length;
      rig.simulation.runUntil(10 * NS_PER_S);
      return [early, rig.requests.length];
    };
    // The first sync, then 2 s and 2.1 s, then 3.1 s; or 2 s, then 3 s.
    expect(times('token-bucket')).toEqual([3, 4]);
    expect(times('from-completion')).toEqual([2, 3]);
  });
});

describe('a restart of kube-proxy', () => {
  it('programs nothing while it is down, then everything in one full sync', () => {
    const rig = rigOf(NS_PER_S / 2);
    rig.simulation.at(10 * NS_PER_S, PRIORITY_WATCH, () => rig.proxier.restart(5 * NS_PER_S));
    rig.receive(11 * NS_PER_S, writeOf([endpointOf(1)], 1, [11 * NS_PER_S]));
    rig.simulation.runUntil(14.9 * NS_PER_S);
    expect([rig.requests.length, rig.proxier.installedEndpoints(WEB)]).toEqual([1, 2]);
    rig.simulation.runUntil(60 * NS_PER_S);
    expect(rig.requests.slice(1)).toMatchObject([{ kind: 'full', delta: { upserted: [{ id: WEB }] } }]);
    expect([rig.interrupts, rig.commits]).toEqual([[10 * NS_PER_S], [0, 15.5 * NS_PER_S]]);
    expect([rig.proxier.installedEndpoints(WEB), rig.proxier.latencies]).toEqual([1, [4.5 * NS_PER_S]]);
  });

  it('breaks a sync off, and the next process brings what that was to bring', () => {
    const rig = rigOf(2 * NS_PER_S);
    rig.receive(10 * NS_PER_S, writeOf([endpointOf(1)], 1, [9 * NS_PER_S]));
    rig.simulation.at(11 * NS_PER_S, PRIORITY_WATCH, () => rig.proxier.restart(NS_PER_S));
    rig.simulation.runUntil(60 * NS_PER_S);
    expect(rig.commits).toEqual([0, 14 * NS_PER_S]);
    expect(rig.proxier.latencies).toEqual([5 * NS_PER_S]);
    rig.receive(70 * NS_PER_S, writeOf([endpointOf(1), endpointOf(2)]));
    rig.simulation.runUntil(80 * NS_PER_S);
    expect(rig.commits).toHaveLength(3);
  });
});

describe('a process that carries the traffic', () => {
  it('takes endpoints over at once, and its periodic sync is no full one', () => {
    const rig = rigOf(NS_PER_S, undefined, 'from-completion', undefined, true);
    rig.receive(2 * NS_PER_S, writeOf([endpointOf(1)], 1, [NS_PER_S]));
    rig.receive(2.1 * NS_PER_S, writeOf([endpointOf(2)], 1, [2 * NS_PER_S]));
    rig.simulation.runUntil(10 * NS_PER_S);
    expect(rig.requests).toHaveLength(1);
    expect([rig.commits.slice(1), rig.proxier.latencies]).toEqual([
      [2 * NS_PER_S, 2.1 * NS_PER_S],
      [NS_PER_S, 0.1 * NS_PER_S],
    ]);
    rig.simulation.runUntil(1.1e15);
    expect(rig.requests.slice(1).map((request) => request.kind)).toEqual(['partial']);
  });
});
