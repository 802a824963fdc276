/** A made-up cluster that has services of every kind and every mixture of features, the same at each call. */
import { CURRENT_KUBE_PROXY } from '../model/kube-proxy.ts';
import { compareBytes } from '../model/ip-text.ts';
import type { EndpointConfig, IpFamily, ProxyConfig, ServicePortConfig } from '../model/service-config.ts';
import { hostPort, portNameText } from '../model/service-config.ts';

/** Of the node whose kube-proxy this is. */
const NODE_IP: Readonly<Record<IpFamily, string>> = { IPv4: '192.168.0.2', IPv6: '2001:db8::2' };

export function syntheticConfig(family: IpFamily, overrides: Partial<ProxyConfig> = {}): ProxyConfig {
  return {
    ipFamily: family,
    nodeName: 'here',
    nodeIp: NODE_IP[family],
    zone: 'zone-a',
    localDetector: { kind: 'cidr', cidr: family === 'IPv4' ? '10.0.0.0/8' : 'fd00:10::/32' },
    masqueradeAll: false,
    masqueradeMark: '0x00004000',
    masqueradeRandomFully: true,
    localhostNodePorts: true,
    nodePortAddresses: [],
    interfaceAddresses: ['127.0.0.1', '::1', NODE_IP.IPv4, '192.168.1.2', NODE_IP.IPv6],
    // The counters are objects of their own that no namespace of ours has.
    nfacct: { ctStateInvalid: false, localhostNodePorts: false },
    conntrackTcpLiberal: false,
    serviceCidrs: ['172.30.0.0/16', 'fd00:30::/108'],
    ipvsScheduler: 'rr',
    strictArp: false,
    excludeCidrs: [],
    largeClusterEndpoints: 1_000_000,
    syncPeriodSeconds: 30,
    kubeProxy: CURRENT_KUBE_PROXY,
    ...overrides,
  };
}

/** `count` Services, every tenth with a second port, sorted by name. */
export function syntheticCluster(family: IpFamily, count: number): ServicePortConfig[] {
  return sortedByName(Array.from({ length: count }, (_, index) => syntheticService(family, index)).flat());
}

/** The same cluster some time later: Services that came, went, or have other endpoints or features, and the names of all of them. */
export function laterCluster(
  before: readonly ServicePortConfig[],
  family: IpFamily,
): { services: ServicePortConfig[]; changed: Set<string> } {
  const changed = new Set<string>();
  const services = before.flatMap((svc, at) => {
    const name = `${svc.namespace}/${svc.name}`;
    const isSingle =
      svc.portName !== 'more' && before.filter((other) => other.clusterIp === svc.clusterIp).length === 1;
    if (!isSingle || at % 40 > 3) return [svc];
    changed.add(name);
    if (at % 40 === 0) return [];
    if (at % 40 === 1) return [{ ...svc, endpoints: svc.endpoints.slice(1) }];
    if (at % 40 === 2) return [{ ...svc, affinitySeconds: svc.affinitySeconds === 0 ? 60 : 0 }];
    return [{ ...svc, externalPolicyLocal: !svc.externalPolicyLocal, healthCheckNodePort: 0 }];
  });
  const added = syntheticService(family, before.length + 7);
  for (const { namespace, name } of added) changed.add(`${namespace}/${name}`);
  return { services: sortedByName([...services, ...added]), changed };
}

function sortedByName(services: readonly ServicePortConfig[]): ServicePortConfig[] {
  return [...services].sort((a, b) => compareBytes(portNameText(a), portNameText(b)));
}

/** One in `oneIn`, decided by index and feature alone (xorshift and multiply over both). */
function chance(index: number, feature: number, oneIn: number): boolean {
  let bits = Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(feature + 1, 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 15), 0x2c1b3c6d);
  bits = Math.imul(bits ^ (bits >>> 12), 0x297a2d39);
  return ((bits ^ (bits >>> 15)) >>> 0) % oneIn === 0;
}

function syntheticService(family: IpFamily, index: number): ServicePortConfig[] {
  const loadBalancer = chance(index, 0, 3);
  const externalPolicyLocal = chance(index, 1, 2);
  const protocol = (['tcp', 'udp', 'tcp', 'sctp'] as const)[index % 4];
  const first: ServicePortConfig = {
    namespace: `ns${index % 17}`,
    name: `svc-${index}`,
    portName: chance(index, 2, 4) ? '' : 'http',
    protocol,
    clusterIp: address(family, 'cluster', index),
    port: 80,
    nodePort: loadBalancer || chance(index, 3, 3) ? 30000 + index : 0,
    externalIps: chance(index, 4, 4) ? [address(family, 'external', index)] : [],
    loadBalancerVips: loadBalancer ? [address(family, 'balancer', index)] : [],
    loadBalancerSourceRanges: chance(index, 5, 2) ? sourceRanges(family, index) : [],
    externalPolicyLocal,
    internalPolicyLocal: chance(index, 6, 4),
    affinitySeconds: chance(index, 7, 4) ? 10800 - (index % 3) * 3599 : 0,
    healthCheckNodePort: loadBalancer && externalPolicyLocal ? 33000 + index : 0,
    endpoints: syntheticEndpoints(family, index, 8080),
  };
  if (index % 10 !== 0) return [first];
  const endpoints = syntheticEndpoints(family, index, 9090);
  return [first, { ...first, portName: 'more', port: 443, nodePort: 0, healthCheckNodePort: 0, endpoints }];
}

function syntheticEndpoints(family: IpFamily, index: number, port: number): EndpointConfig[] {
  const hinted = chance(index, 8, 6);
  const endpoints = Array.from({ length: index % 7 }, (_, at): EndpointConfig => {
    const salt = 10 + at * 4;
    const ready = !chance(index, salt, 6);
    const terminating = !ready && chance(index, salt + 1, 2);
    return {
      address: endpointAddress(family, index, at),
      port,
      isLocal: chance(index, salt + 2, 3),
      ready,
      serving: ready || chance(index, salt + 3, 2),
      terminating,
      zoneHints: hinted ? [at % 2 === 0 ? 'zone-a' : 'zone-b'] : [],
      nodeHints: [],
    };
  });
  return endpoints.sort((a, b) => compareBytes(hostPort(a.address, a.port), hostPort(b.address, b.port)));
}

const NETWORKS = {
  cluster: { IPv4: '172.30', IPv6: 'fd00:30' },
  external: { IPv4: '198.18', IPv6: 'fd00:31' },
  balancer: { IPv4: '198.19', IPv6: 'fd00:32' },
} as const;

function address(family: IpFamily, network: keyof typeof NETWORKS, index: number): string {
  const prefix = NETWORKS[network][family];
  const host = index + 10;
  return family === 'IPv4' ? `${prefix}.${host >> 8}.${host & 255}` : `${prefix}::${host.toString(16)}`;
}

function endpointAddress(family: IpFamily, index: number, at: number): string {
  const host = index + 10;
  if (family === 'IPv4') return `10.${host >> 8}.${host & 255}.${at + 1}`;
  return `fd00:10:${host.toString(16)}::${(at + 1).toString(16)}`;
}

/** All hold the node but the last kind, and one kind holds every address. */
function sourceRanges(family: IpFamily, index: number): string[] {
  const [node, outside, single, all] =
    family === 'IPv4'
      ? ['192.168.0.0/24', '203.0.113.0/25', '203.0.113.200/32', '0.0.0.0/0']
      : ['2001:db8::/64', '2001:db8:1::/48', '2001:db8:2::7/128', '::/0'];
  return [[node], [node, outside, single], [all], [outside, node], [outside]][index % 5];
}
