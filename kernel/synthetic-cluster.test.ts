import { describe, expect, it } from 'vitest';
import { canonicalCidr, canonicalIp } from '../model/ip-text.ts';
import type { EndpointConfig, ServicePortConfig } from '../model/service-config.ts';
import { laterCluster, syntheticCluster } from './synthetic-cluster.ts';

const KINDS: Readonly<Record<string, (svc: ServicePortConfig) => boolean>> = {
  tcp: (svc) => svc.protocol === 'tcp',
  udp: (svc) => svc.protocol === 'udp',
  sctp: (svc) => svc.protocol === 'sctp',
  'node port': (svc) => svc.nodePort !== 0,
  'external IP': (svc) => svc.externalIps.length > 0,
  'load balancer': (svc) => svc.loadBalancerVips.length > 0,
  'source ranges': (svc) => svc.loadBalancerVips.length > 0 && svc.loadBalancerSourceRanges.length > 0,
  'health-check node port': (svc) => svc.healthCheckNodePort !== 0,
  'external policy Local': (svc) => svc.externalPolicyLocal && svc.nodePort !== 0,
  'internal policy Local': (svc) => svc.internalPolicyLocal,
  affinity: (svc) => svc.affinitySeconds > 0 && svc.endpoints.length > 1,
  'no endpoints': (svc) => svc.endpoints.length === 0,
  'none local': (svc) => svc.externalPolicyLocal && svc.endpoints.length > 0 && !svc.endpoints.some(isLocal),
  terminating: (svc) => svc.endpoints.some(({ terminating, serving }) => terminating && serving),
  'all terminating': (svc) => svc.endpoints.length > 0 && svc.endpoints.every(({ ready }) => !ready),
  hints: (svc) => svc.endpoints.some(({ zoneHints }) => zoneHints.length > 0),
  'unnamed port': (svc) => svc.portName === '',
  'two ports': (svc) => svc.portName === 'more',
};

function isLocal(endpoint: EndpointConfig): boolean {
  return endpoint.isLocal;
}

describe.each(['IPv4', 'IPv6'] as const)('the synthetic cluster, %s', (family) => {
  const services = syntheticCluster(family, 1000);

  it('has the asked-for number of Services, the same at each call', () => {
    expect(new Set(services.map(({ namespace, name }) => `${namespace}/${name}`)).size).toBe(1000);
    expect(syntheticCluster(family, 1000)).toEqual(services);
  });

  it.each(Object.keys(KINDS))('has services of the kind: %s', (kind) => {
    expect(services.filter(KINDS[kind]).length).toBeGreaterThan(4);
  });

  it('has canonical addresses, and no VIP or node port twice', () => {
    const vips = services.flatMap((svc) =>
      [svc.clusterIp, ...svc.externalIps, ...svc.loadBalancerVips].map((ip) => ({
        ip,
        key: `${ip} ${svc.protocol} ${svc.port}`,
      })),
    );
    const endpoints = services.flatMap((svc) => svc.endpoints.map(({ address }) => address));
    for (const ip of [...vips.map(({ ip }) => ip), ...endpoints]) expect(canonicalIp(ip)).toBe(ip);
    for (const range of services.flatMap((svc) => svc.loadBalancerSourceRanges))
      expect(canonicalCidr(range)).toBe(range);
    expect(new Set(vips.map(({ key }) => key)).size).toBe(vips.length);
    const nodePorts = services.map(({ nodePort }) => nodePort).filter((port) => port !== 0);
    expect(new Set(nodePorts).size).toBe(nodePorts.length);
  });

  it('changes later, and says where', () => {
    const later = laterCluster(services, family);
    const text = (list: readonly ServicePortConfig[], name: string): string =>
      JSON.stringify(list.filter((svc) => `${svc.namespace}/${svc.name}` === name));
    const names = new Set([...services, ...later.services].map((svc) => `${svc.namespace}/${svc.name}`));
    const differ = [...names].filter((name) => text(services, name) !== text(later.services, name));
    for (const name of differ) expect(later.changed.has(name), name).toBe(true);
    expect(differ.length).toBeGreaterThan(20);
    expect(later.changed.size).toBeLessThan(150);
  });
});
