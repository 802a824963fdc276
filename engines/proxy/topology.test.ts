import { NO_EXTRAS, READY_ELSEWHERE } from '../../model/service-config.ts';
import { describe, expect, it } from 'vitest';
import { categorizeEndpoints } from './topology.ts';
import type { EndpointConfig, ServicePortConfig } from '../../model/service-config.ts';

function endpoint(address: string, change: Partial<EndpointConfig> = {}): EndpointConfig {
  return {
    address,
    port: 80,
    ...READY_ELSEWHERE,
    ...change,
  };
}

function service(endpoints: EndpointConfig[], change: Partial<ServicePortConfig> = {}): ServicePortConfig {
  return {
    namespace: 'ns1',
    name: 'svc1',
    portName: '',
    protocol: 'tcp',
    clusterIp: '172.30.0.1',
    port: 80,
    nodePort: 0,
    ...NO_EXTRAS,
    endpoints,
    ...change,
  };
}

const stopping = { ready: false, serving: true, terminating: true };
const stopped = { ready: false, serving: false, terminating: true };

/** The lists by address, for the node `n1` in zone `a`. */
function choose(svc: ServicePortConfig, zone = 'a') {
  const { cluster, local, reachable, hasAny } = categorizeEndpoints(svc, zone, 'n1');
  const names = (list: readonly EndpointConfig[]): string => list.map((e) => e.address).join(' ');
  return { cluster: names(cluster), local: names(local), reachable: names(reachable), hasAny };
}

describe('categorizeEndpoints', () => {
  it('uses every ready endpoint under the Cluster policies', () => {
    const svc = service([endpoint('e1', { isLocal: true }), endpoint('e2'), endpoint('e3', stopping)]);
    expect(choose(svc)).toEqual({ cluster: 'e1 e2', local: '', reachable: 'e1 e2', hasAny: true });
  });

  it('falls back to terminating endpoints that serve, all or nothing', () => {
    const unready = endpoint('e0', { ready: false });
    const svc = service([unready, endpoint('e1', stopping), endpoint('e2', stopped)]);
    expect(choose(svc)).toEqual({ cluster: 'e1', local: '', reachable: 'e1', hasAny: true });
    expect(choose(service([unready, endpoint('e2', stopped)])).hasAny).toBe(false);
  });

  it('reaches local endpoints alone under internal Local without a way in from outside', () => {
    const remote = endpoint('e2');
    const svc = service([endpoint('e1', { isLocal: true }), remote], { internalPolicyLocal: true });
    expect(choose(svc)).toEqual({ cluster: '', local: 'e1', reachable: 'e1', hasAny: true });
    const none = service([remote], { internalPolicyLocal: true });
    expect(choose(none)).toEqual({ cluster: '', local: '', reachable: '', hasAny: true });
  });

  it('ignores external Local where nothing leads in from outside', () => {
    const svc = service([endpoint('e1', { isLocal: true }), endpoint('e2')], { externalPolicyLocal: true });
    expect(choose(svc)).toEqual({ cluster: 'e1 e2', local: '', reachable: 'e1 e2', hasAny: true });
  });

  it('keeps the order of the endpoints when local terminating ones join', () => {
    const endpoints = [endpoint('e1'), endpoint('e2', { ...stopping, isLocal: true }), endpoint('e3')];
    const svc = service(endpoints, { externalPolicyLocal: true, nodePort: 30000 });
    expect(choose(svc)).toEqual({ cluster: 'e1 e3', local: 'e2', reachable: 'e1 e2 e3', hasAny: true });
  });

  it('counts terminating remote endpoints as existing when local ones are wanted', () => {
    const svc = service([endpoint('e1', stopping)], { internalPolicyLocal: true });
    expect(choose(svc)).toEqual({ cluster: '', local: '', reachable: '', hasAny: true });
  });

  it('uses both lists when a node port goes with internal Local', () => {
    const svc = service([endpoint('e1'), endpoint('e2', { isLocal: true })], {
      internalPolicyLocal: true,
      nodePort: 30000,
    });
    expect(choose(svc)).toEqual({ cluster: 'e1 e2', local: 'e2', reachable: 'e1 e2', hasAny: true });
  });
});

describe('topology hints', () => {
  const inA = endpoint('e1', { zoneHints: ['a'] });
  const inB = endpoint('e2', { zoneHints: ['b'] });

  it('keep traffic in the zone', () => {
    expect(choose(service([inA, inB])).cluster).toBe('e1');
    expect(choose(service([inA, inB]), 'b').cluster).toBe('e2');
  });

  it('are ignored without a zone label, for a zone nobody names, and when a ready endpoint has none', () => {
    expect(choose(service([inA, inB]), '').cluster).toBe('e1 e2');
    expect(choose(service([inA, inB]), 'c').cluster).toBe('e1 e2');
    expect(choose(service([inA, inB, endpoint('e3')])).cluster).toBe('e1 e2 e3');
    expect(choose(service([inA, inB, endpoint('e3', stopping)])).cluster).toBe('e1');
  });

  it('do not apply to terminating endpoints', () => {
    const svc = service([endpoint('e1', { ...stopping, zoneHints: ['b'] })]);
    expect(choose(svc).cluster).toBe('e1');
  });

  it('do not narrow local endpoints, which then join the reachable ones', () => {
    const localInB = endpoint('e2', { zoneHints: ['b'], isLocal: true });
    const svc = service([inA, localInB], { externalPolicyLocal: true, nodePort: 30000 });
    expect(choose(svc)).toEqual({ cluster: 'e1', local: 'e2', reachable: 'e1 e2', hasAny: true });
  });

  it('prefer the node to the zone', () => {
    const here = endpoint('e1', { zoneHints: ['a'], nodeHints: ['n1'] });
    const there = endpoint('e2', { zoneHints: ['a'], nodeHints: ['n2'] });
    expect(choose(service([here, there])).cluster).toBe('e1');
    expect(choose(service([there])).cluster).toBe('e2');
    expect(choose(service([here, there, inA])).cluster).toBe('e1 e2 e1');
  });
});
