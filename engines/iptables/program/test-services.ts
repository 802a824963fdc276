/** Test support: a node's configuration, service ports and endpoints with the values that a test does not care about filled in. */
import { CURRENT_KUBE_PROXY } from '../../../model/kube-proxy.ts';
import { NO_EXTRAS, READY_ELSEWHERE } from '../../../model/service-config.ts';
import type { EndpointConfig, ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import { hostPort } from '../../../model/service-config.ts';
import { compareBytes } from '../../../model/ip-text.ts';
import type { RandomStream } from '../../../sim/rng.ts';
import type { IptablesProgram } from './program.ts';
import { IptablesProgrammer } from './programmer.ts';

export const NODE_IP = '192.168.0.2';

export function testConfig(overrides: Partial<ProxyConfig> = {}): ProxyConfig {
  return {
    ipFamily: 'IPv4',
    nodeName: 'here',
    nodeIp: NODE_IP,
    zone: 'zone-a',
    localDetector: { kind: 'cidr', cidr: '10.0.0.0/8' },
    masqueradeAll: false,
    masqueradeMark: '0x00004000',
    masqueradeRandomFully: true,
    localhostNodePorts: true,
    nodePortAddresses: [],
    interfaceAddresses: ['127.0.0.1', '::1', NODE_IP, '192.168.1.2', '2001:db8::1'],
    nfacct: { ctStateInvalid: false, localhostNodePorts: false },
    conntrackTcpLiberal: false,
    serviceCidrs: [],
    ipvsScheduler: 'rr',
    strictArp: false,
    excludeCidrs: [],
    largeClusterEndpoints: 1000,
    syncPeriodSeconds: 30,
    kubeProxy: CURRENT_KUBE_PROXY,
    ...overrides,
  };
}

/** A ready endpoint on another node. */
export function remote(address: string, overrides: Partial<EndpointConfig> = {}): EndpointConfig {
  return {
    address,
    port: 8080,
    ...READY_ELSEWHERE,
    ...overrides,
  };
}

export function local(address: string, overrides: Partial<EndpointConfig> = {}): EndpointConfig {
  return remote(address, { isLocal: true, ...overrides });
}

export function servicePort(overrides: Partial<ServicePortConfig> = {}): ServicePortConfig {
  return {
    namespace: 'ns',
    name: 'web',
    portName: 'http',
    protocol: 'tcp',
    clusterIp: '172.30.0.1',
    port: 80,
    nodePort: 0,
    ...NO_EXTRAS,
    endpoints: [remote('10.1.0.1')],
    ...overrides,
  };
}

/** What a kube-proxy that has just started writes. */
export function firstSync(
  services: readonly ServicePortConfig[],
  overrides: Partial<ProxyConfig> = {},
): IptablesProgram {
  const programmer = new IptablesProgrammer(testConfig(overrides));
  return programmer.sync(services, { full: true, changed: new Set(), nowSeconds: 0 });
}

/** The text of a chain's rules without `-A CHAIN`; `undefined` when there is no such chain. */
export function chainRules(program: IptablesProgram, chain: string): string[] | undefined {
  const bare = chain.slice(chain.indexOf('/') + 1);
  return program.chains.get(chain)?.map((text) => text.slice(`-A ${bare} `.length));
}

/** Names, without the table's, of the nat chains of Services, by prefix `KUBE-SVC` and so on. */
export function chainsOf(program: IptablesProgram, prefix: string): string[] {
  const start = `nat/${prefix}-`;
  return [...program.rules.keys()].filter((chain) => chain.startsWith(start)).map((chain) => chain.slice(4));
}

/** A service port with every feature switched by chance; `index` keeps addresses and ports of different ones apart. */
export function randomServicePort(index: number, random: RandomStream): ServicePortConfig {
  const chance = (oneIn: number): boolean => random.below(oneIn) === 0;
  const loadBalancer = chance(3);
  const nodePort = chance(3) ? 30000 + index : 0;
  const externalIps = chance(4) ? [`198.51.100.${index}`] : [];
  const vips = loadBalancer ? [`203.0.113.${index}`] : [];
  const externalPolicyLocal = chance(2);
  const endpoints = Array.from({ length: random.below(5) }, (_, i) => {
    const ready = !chance(3);
    const terminating = !ready && chance(2);
    const address = `10.${random.below(3)}.${index}.${i + 1}`;
    return remote(address, { isLocal: chance(3), ready, serving: ready || chance(2), terminating });
  });
  const text = (endpoint: EndpointConfig): string => hostPort(endpoint.address, endpoint.port);
  endpoints.sort((a, b) => compareBytes(text(a), text(b)));
  return servicePort({
    namespace: `ns${index % 3}`,
    name: `svc${index}`,
    portName: chance(4) ? '' : 'http',
    protocol: (['tcp', 'udp', 'sctp'] as const)[random.below(3)],
    clusterIp: `172.30.0.${index}`,
    nodePort,
    externalIps,
    loadBalancerVips: vips,
    loadBalancerSourceRanges: chance(2) ? ['192.0.2.0/25', ...(chance(2) ? ['192.168.0.0/24'] : [])] : [],
    externalPolicyLocal,
    internalPolicyLocal: chance(4),
    affinitySeconds: chance(4) ? 600 : 0,
    healthCheckNodePort: loadBalancer && externalPolicyLocal ? 32000 + index : 0,
    endpoints,
  });
}
