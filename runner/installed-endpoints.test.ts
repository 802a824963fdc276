import { describe, expect, it } from 'vitest';
import type { SyncRequest } from '../control/proxier.ts';
import type { Endpoint, ServicePort } from '../model/cluster.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import { InstalledEndpoints } from './installed-endpoints.ts';

const key = (address: number): number => address * 65_536 + 80;

function port(id: number, ...addresses: number[]): ServicePort {
  const endpoints: Endpoint[] = addresses.map((address) => ({
    address,
    port: 80,
    nodeName: 'node-1',
    ready: true,
    serving: true,
    terminating: false,
  }));
  const names = { namespace: 'default', name: `svc-${id}`, portName: '' };
  return { id, ...names, protocol: PROTOCOL_TCP, clusterIp: id, port: 80, nodePort: 0, endpoints };
}

function request(
  kind: 'full' | 'partial',
  state: readonly ServicePort[],
  changed: readonly ServicePort[] = [],
): SyncRequest {
  return { kind, state: { servicePorts: state }, delta: { upserted: changed, removedIds: [] } };
}

describe('InstalledEndpoints', () => {
  it('knows who has left the rules, and who never did', () => {
    const installed = new InstalledEndpoints((svc) => svc.endpoints);
    const [one, two] = [port(1, 10, 11, 12), port(2, 20)];
    installed.commit(request('full', [one, two]));
    expect(installed.isRemoved(1, 11, 80)).toBe(false);
    expect(installed.steadyEndpoints(1)).toEqual(new Set([10, 11, 12].map(key)));

    const next = port(1, 10, 12, 13);
    installed.commit(request('partial', [next, two], [next]));
    expect(installed.isRemoved(1, 11, 80)).toBe(true);
    expect(installed.isRemoved(2, 11, 80)).toBe(false);
    expect(installed.isRemoved(1, 13, 80)).toBe(false);

    // The endpoint comes back by a full sync: it is no longer removed, and was not there throughout.
    installed.commit(request('full', [port(1, 10, 11, 13), two]));
    expect(installed.isRemoved(1, 11, 80)).toBe(false);
    expect(installed.isRemoved(1, 12, 80)).toBe(true);
    expect(installed.steadyEndpoints(1)).toEqual(new Set([key(10)]));
    expect(installed.steadyEndpoints(2)).toEqual(new Set([key(20)]));
  });

  it('takes the endpoints that traffic can reach, not those that are listed', () => {
    const installed = new InstalledEndpoints((svc) => svc.endpoints.slice(0, 1));
    installed.commit(request('full', [port(1, 10, 11)]));
    expect(installed.steadyEndpoints(1)).toEqual(new Set([key(10)]));
    const next = port(1, 11, 10);
    installed.commit(request('partial', [next], [next]));
    expect(installed.isRemoved(1, 10, 80)).toBe(true);
    expect(installed.isRemoved(1, 11, 80)).toBe(false);
  });

  it('forgets a service port that goes', () => {
    const installed = new InstalledEndpoints((svc) => svc.endpoints);
    installed.commit(request('full', [port(1, 10)]));
    installed.commit({ kind: 'partial', state: { servicePorts: [] }, delta: { upserted: [], removedIds: [1] } });
    expect(installed.isRemoved(1, 10, 80)).toBe(true);
    expect(installed.steadyEndpoints(1).size).toBe(0);
  });
});
