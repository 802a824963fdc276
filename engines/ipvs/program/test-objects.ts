/** For tests: Service ports and configurations with defaults, and the golden cases' API objects turned into them. */
import { CURRENT_KUBE_PROXY } from '../../../model/kube-proxy.ts';
import { NO_EXTRAS, READY_ELSEWHERE } from '../../../model/service-config.ts';
import { canonicalCidr, canonicalIp, compareBytes, familyOf } from '../../../model/ip-text.ts';
import type { EndpointConfig, IpFamily, ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import { hostPort } from '../../../model/service-config.ts';
import type { Protocol } from './ipvs-table.ts';

export const TEST_CONFIG: ProxyConfig = {
  ipFamily: 'IPv4',
  nodeName: 'n1',
  nodeIp: '192.168.0.2',
  zone: '',
  localDetector: { kind: 'none' },
  masqueradeAll: false,
  masqueradeMark: '0x4000',
  masqueradeRandomFully: false,
  localhostNodePorts: true,
  nodePortAddresses: [],
  interfaceAddresses: ['127.0.0.1', '::1', '192.168.0.2', 'fe80::1', '2001:db8::2'],
  nfacct: { ctStateInvalid: false, localhostNodePorts: false },
  conntrackTcpLiberal: false,
  serviceCidrs: [],
  ipvsScheduler: 'rr',
  strictArp: false,
  excludeCidrs: [],
  largeClusterEndpoints: 1000,
  syncPeriodSeconds: 30,
  kubeProxy: CURRENT_KUBE_PROXY,
};

export function testEndpoint(address: string, change: Partial<EndpointConfig> = {}): EndpointConfig {
  return {
    address,
    port: 8080,
    ...READY_ELSEWHERE,
    ...change,
  };
}

/** `ns1/svc1` at 172.30.0.1:80 with two endpoints on port 8080, of which 10.1.0.1 is local. */
export function testService(change: Partial<ServicePortConfig> = {}): ServicePortConfig {
  return {
    namespace: 'ns1',
    name: 'svc1',
    portName: '',
    protocol: 'tcp',
    clusterIp: '172.30.0.1',
    port: 80,
    nodePort: 0,
    ...NO_EXTRAS,
    endpoints: [testEndpoint('10.1.0.1', { isLocal: true }), testEndpoint('10.1.1.1')],
    ...change,
  };
}

export function changeAt(nowSeconds: number): { full: boolean; changed: ReadonlySet<string>; nowSeconds: number } {
  return { full: false, changed: new Set(), nowSeconds };
}

export interface GoldenProxy {
  readonly ipFamily: IpFamily;
  readonly nodeName: string;
  readonly nodeIP: string | null;
  readonly scheduler: string;
  readonly detectLocalCIDR: string;
  readonly masqueradeAll: boolean;
  readonly strictARP: boolean;
  readonly excludeCIDRs: readonly string[];
  readonly nodeAddresses: readonly string[];
  readonly nodePortAddresses: readonly string[];
}

interface GoldenPort {
  readonly name: string;
  readonly protocol: string;
  readonly port?: number;
  readonly nodePort?: number;
}

export interface GoldenObject {
  readonly kind: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly metadata?: { readonly namespace: string; readonly name: string; readonly labels?: Record<string, string> };
  readonly spec?: {
    readonly type: string;
    readonly clusterIP: string;
    readonly ports: readonly GoldenPort[];
    readonly externalIPs?: readonly string[];
    readonly externalTrafficPolicy?: string;
    readonly internalTrafficPolicy?: string;
    readonly healthCheckNodePort?: number;
  };
  readonly status?: { readonly loadBalancer: { readonly ingress: readonly { readonly ip: string }[] } };
  readonly ports?: readonly GoldenPort[];
  readonly endpoints?: readonly {
    readonly addresses: readonly string[];
    readonly nodeName?: string;
    readonly conditions?: { readonly ready?: boolean; readonly serving?: boolean; readonly terminating?: boolean };
  }[];
}

export function goldenConfig(proxy: GoldenProxy): ProxyConfig {
  return {
    ...TEST_CONFIG,
    ipFamily: proxy.ipFamily,
    nodeName: proxy.nodeName,
    nodeIp: proxy.nodeIP ?? '',
    ipvsScheduler: proxy.scheduler,
    localDetector: proxy.detectLocalCIDR === '' ? { kind: 'none' } : { kind: 'cidr', cidr: proxy.detectLocalCIDR },
    masqueradeAll: proxy.masqueradeAll,
    strictArp: proxy.strictARP,
    excludeCidrs: proxy.excludeCIDRs,
    interfaceAddresses: proxy.nodeAddresses.map((address) => canonicalIp(address) ?? address),
    nodePortAddresses: proxy.nodePortAddresses.map((cidr) => canonicalCidr(cidr) ?? cidr),
  };
}

export function goldenServices(objects: readonly GoldenObject[], proxy: GoldenProxy): ServicePortConfig[] {
  return objects.flatMap((object) => {
    const { kind, metadata, spec } = object;
    if (kind !== 'Service' || metadata === undefined || spec === undefined) return [];
    if (familyOf(spec.clusterIP) !== proxy.ipFamily) return [];
    return spec.ports.map((port) => ({
      ...testService(),
      ...metadata,
      portName: port.name,
      protocol: port.protocol.toLowerCase() as Protocol,
      clusterIp: canonicalIp(spec.clusterIP) ?? '',
      port: port.port ?? 0,
      nodePort: port.nodePort ?? 0,
      externalIps: spec.externalIPs ?? [],
      loadBalancerVips: (object.status?.loadBalancer.ingress ?? []).map(({ ip }) => ip),
      externalPolicyLocal: spec.externalTrafficPolicy === 'Local' && spec.type !== 'ClusterIP',
      internalPolicyLocal: spec.internalTrafficPolicy === 'Local',
      healthCheckNodePort: spec.externalTrafficPolicy === 'Local' ? (spec.healthCheckNodePort ?? 0) : 0,
      endpoints: goldenEndpoints(objects, metadata, port, proxy),
    }));
  });
}

function goldenEndpoints(
  objects: readonly GoldenObject[],
  service: { readonly namespace: string; readonly name: string },
  port: GoldenPort,
  proxy: GoldenProxy,
): EndpointConfig[] {
  const endpoints = objects.flatMap(({ kind, metadata, ports, endpoints: found = [] }) => {
    if (kind !== 'EndpointSlice' || metadata?.namespace !== service.namespace) return [];
    if (metadata.labels?.['kubernetes.io/service-name'] !== service.name) return [];
    const target = ports?.find((other) => other.name === port.name && other.protocol === port.protocol);
    if (target === undefined) return [];
    return found.map(({ addresses, nodeName, conditions }) =>
      testEndpoint(canonicalIp(addresses[0]) ?? '', {
        port: target.port ?? 0,
        isLocal: nodeName === proxy.nodeName,
        ready: conditions?.ready ?? true,
        serving: conditions?.serving ?? true,
        terminating: conditions?.terminating ?? false,
      }),
    );
  });
  return endpoints
    .filter(({ address }) => familyOf(address) === proxy.ipFamily)
    .sort((a, b) => compareBytes(hostPort(a.address, a.port), hostPort(b.address, b.port)));
}
