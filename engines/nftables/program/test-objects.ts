/** For tests: Service ports and configurations with defaults, and the golden cases' API objects turned into them. */
import { CURRENT_KUBE_PROXY } from '../../../model/kube-proxy.ts';
import { NO_EXTRAS, READY_ELSEWHERE } from '../../../model/service-config.ts';
import { canonicalCidr, canonicalIp, compareBytes, familyOf, familyOfCidr } from '../../../model/ip-text.ts';
import type { EndpointConfig, IpFamily, ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import { hostPort } from '../../../model/service-config.ts';

export const TEST_CONFIG: ProxyConfig = {
  ipFamily: 'IPv4',
  nodeName: 'test-node',
  nodeIp: '192.168.0.2',
  zone: '',
  localDetector: { kind: 'cidr', cidr: '10.0.0.0/8' },
  masqueradeAll: false,
  masqueradeMark: '0x4000',
  masqueradeRandomFully: true,
  localhostNodePorts: true,
  nodePortAddresses: [],
  interfaceAddresses: ['127.0.0.1', '::1', '192.168.0.2', '192.168.1.2', '2001:db8::1'],
  nfacct: { ctStateInvalid: false, localhostNodePorts: false },
  conntrackTcpLiberal: false,
  serviceCidrs: ['172.30.0.0/16'],
  ipvsScheduler: 'rr',
  strictArp: false,
  excludeCidrs: [],
  largeClusterEndpoints: 1000,
  syncPeriodSeconds: 30,
  kubeProxy: CURRENT_KUBE_PROXY,
};

export function testEndpoint(address: string, port: number, more: Partial<EndpointConfig> = {}): EndpointConfig {
  return {
    address,
    port,
    ...READY_ELSEWHERE,
    ...more,
  };
}

/** `ns1/svc1:p80` at 172.30.0.41:80 with two endpoints, of which 10.180.0.1 is local. */
export function testServicePort(more: Partial<ServicePortConfig> = {}): ServicePortConfig {
  return {
    namespace: 'ns1',
    name: 'svc1',
    portName: 'p80',
    protocol: 'tcp',
    clusterIp: '172.30.0.41',
    port: 80,
    nodePort: 0,
    ...NO_EXTRAS,
    endpoints: [testEndpoint('10.180.0.1', 80, { isLocal: true }), testEndpoint('10.180.2.1', 80)],
    ...more,
  };
}

export interface GoldenProxy {
  readonly ipFamily: IpFamily;
  readonly nodeName: string;
  readonly nodeIP: string;
  readonly detectLocalCIDR: string;
  readonly masqueradeAll: boolean;
  readonly masqueradeMark: string;
  readonly nodePortAddresses: readonly string[];
  readonly interfaceAddresses: readonly string[];
  readonly serviceCIDRs: readonly string[];
}

export interface GoldenObject {
  readonly kind: string;
  readonly metadata: { readonly namespace: string; readonly name: string; readonly labels?: Record<string, string> };
  readonly spec?: GoldenServiceSpec;
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { ip?: string; ipMode?: string }[] } };
  readonly ports?: readonly { readonly name?: string; readonly protocol: string; readonly port: number }[];
  readonly endpoints?: readonly GoldenEndpoint[];
}

interface GoldenServiceSpec {
  readonly type: string;
  readonly clusterIP: string;
  readonly ports: readonly { name?: string; protocol: string; port: number; nodePort?: number }[];
  readonly externalIPs?: readonly string[];
  readonly externalTrafficPolicy?: string;
  readonly internalTrafficPolicy?: string;
  readonly loadBalancerSourceRanges?: readonly string[];
  readonly healthCheckNodePort?: number;
  readonly sessionAffinity?: string;
  readonly sessionAffinityConfig?: { readonly clientIP: { readonly timeoutSeconds: number } };
}

interface GoldenEndpoint {
  readonly addresses: readonly string[];
  readonly nodeName?: string;
  readonly conditions?: { readonly ready?: boolean; readonly serving?: boolean; readonly terminating?: boolean };
}

export function goldenConfig(proxy: GoldenProxy): ProxyConfig {
  return {
    ...TEST_CONFIG,
    ipFamily: proxy.ipFamily,
    nodeName: proxy.nodeName,
    nodeIp: proxy.nodeIP,
    localDetector: proxy.detectLocalCIDR === '' ? { kind: 'none' } : { kind: 'cidr', cidr: proxy.detectLocalCIDR },
    masqueradeAll: proxy.masqueradeAll,
    masqueradeMark: proxy.masqueradeMark,
    nodePortAddresses: proxy.nodePortAddresses,
    interfaceAddresses: proxy.interfaceAddresses,
    serviceCidrs: proxy.serviceCIDRs,
  };
}

/** One entry a Service port, in the objects' order. */
export function goldenServicePorts(objects: readonly GoldenObject[], proxy: GoldenProxy): ServicePortConfig[] {
  return objects.flatMap((service) => {
    const spec = service.spec;
    if (spec === undefined) return [];
    const slices = objects.filter(
      ({ kind, metadata }) =>
        kind === 'EndpointSlice' &&
        metadata.namespace === service.metadata.namespace &&
        metadata.labels?.['kubernetes.io/service-name'] === service.metadata.name,
    );
    return spec.ports.map((port) => goldenServicePort(service, spec, port, slices, proxy));
  });
}

function goldenServicePort(
  service: GoldenObject,
  spec: GoldenServiceSpec,
  port: GoldenServiceSpec['ports'][number],
  slices: readonly GoldenObject[],
  proxy: GoldenProxy,
): ServicePortConfig {
  const ips = (list: readonly string[]): string[] =>
    list.map((ip) => canonicalIp(ip) ?? '').filter((ip) => familyOf(ip) === proxy.ipFamily);
  const ranges = (spec.loadBalancerSourceRanges ?? []).map((range) => canonicalCidr(range.trim()) ?? '');
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  const externalIps = ips(spec.externalIPs ?? []);
  const outside = spec.type !== 'ClusterIP' || externalIps.length > 0;
  const protocol = port.protocol.toLowerCase();
  return testServicePort({
    namespace: service.metadata.namespace,
    name: service.metadata.name,
    portName: port.name ?? '',
    protocol: protocol === 'udp' || protocol === 'sctp' ? protocol : 'tcp',
    clusterIp: spec.clusterIP,
    port: port.port,
    nodePort: port.nodePort ?? 0,
    externalIps,
    loadBalancerVips: ips(ingress.filter((entry) => entry.ipMode !== 'Proxy').map((entry) => entry.ip ?? '')),
    loadBalancerSourceRanges: ranges.filter((range) => familyOfCidr(range) === proxy.ipFamily),
    externalPolicyLocal: spec.externalTrafficPolicy === 'Local' && outside,
    internalPolicyLocal: spec.internalTrafficPolicy === 'Local',
    affinitySeconds:
      spec.sessionAffinity === 'ClientIP' ? (spec.sessionAffinityConfig?.clientIP.timeoutSeconds ?? 10800) : 0,
    endpoints: goldenEndpoints(port, slices, proxy),
  });
}

function goldenEndpoints(
  port: { readonly name?: string; readonly protocol: string },
  slices: readonly GoldenObject[],
  proxy: GoldenProxy,
): EndpointConfig[] {
  const found: EndpointConfig[] = [];
  for (const slice of slices) {
    const match = slice.ports?.find(({ name, protocol }) => name === port.name && protocol === port.protocol);
    if (match === undefined) continue;
    for (const { addresses, nodeName, conditions } of slice.endpoints ?? []) {
      const ready = conditions?.ready ?? true;
      const state = { ready, serving: conditions?.serving ?? true, terminating: conditions?.terminating ?? false };
      found.push(testEndpoint(addresses[0], match.port, { isLocal: nodeName === proxy.nodeName, ...state }));
    }
  }
  return found.sort((a, b) => compareBytes(hostPort(a.address, a.port), hostPort(b.address, b.port)));
}
