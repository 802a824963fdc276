import { describe, expect, it } from 'vitest';
import type { Endpoint, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import { endpointCategories, reachableEndpoints } from './endpoints.ts';

const NODE = { name: 'node-a', addresses: [0xc0a80001], zone: 'a' };

function endpoint(address: number, change: Partial<Endpoint> = {}): Endpoint {
  return { address, port: 80, nodeName: 'node-b', ready: true, serving: true, terminating: false, ...change };
}

function service(endpoints: readonly Endpoint[], change: Partial<ServicePort> = {}): ServicePort {
  const names = { namespace: 'ns', name: 'svc', portName: '' };
  return { id: 0, ...names, protocol: PROTOCOL_TCP, clusterIp: 1, port: 80, nodePort: 30_000, endpoints, ...change };
}

const many = Array.from({ length: 40 }, (_, i) => endpoint(i));
const stopping = { ready: false, terminating: true };
const hinted = { hints: { zones: ['b'], nodes: [] } };

describe('reachableEndpoints', () => {
  it('is the very list of a plain service port', () => {
    const plain = service(many);
    expect(reachableEndpoints(plain, NODE)).toBe(plain.endpoints);
  });

  it.each([
    ['nothing to choose from', service(many)],
    ['an endpoint twice', service([endpoint(1), endpoint(2), endpoint(1, { nodeName: 'node-a' })])],
    ['an endpoint twice among many', service([...many, endpoint(7)])],
    ['two ports of one address', service([endpoint(1), endpoint(1, { port: 81 })])],
    ['one that terminates', service([endpoint(1), endpoint(2, stopping)])],
    ['terminating ones alone', service([endpoint(1, stopping), endpoint(2, stopping)])],
    ['hints of another zone', service([endpoint(1, hinted), endpoint(2, { hints: { zones: ['a'], nodes: [] } })])],
    [
      'a Local policy',
      service([endpoint(1), endpoint(2, { nodeName: 'node-a' })], {
        nodePort: 0,
        extras: { ...NO_SERVICE_EXTRAS, internalPolicyLocal: true },
      }),
    ],
  ])('has what kube-proxy reaches: %s', (_, svc) => {
    const keys = (list: readonly Endpoint[]): string[] =>
      list.map(({ address, port }) => `${address}:${port}`).sort((a, b) => (a < b ? -1 : 1));
    expect(keys(reachableEndpoints(svc, NODE))).toEqual(keys(endpointCategories(svc, NODE).reachable));
  });
});
