/**
 * What kube-proxy knows of Services and endpoints for one IP family when it writes rules: text, as in the API objects, with
 * addresses re-printed canonically (kube-proxy pkg/proxy/serviceport.go newBaseServiceInfo, endpointslicecache.go).
 */
import type { KubeProxyBehaviour } from './kube-proxy.ts';

export type IpFamily = 'IPv4' | 'IPv6';

export interface EndpointConfig {
  /** Canonical text of the address, without brackets. */
  readonly address: string;
  readonly port: number;
  /** On the node whose kube-proxy this is. */
  readonly isLocal: boolean;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Topology hints of the EndpointSlice: zones and nodes for which this endpoint is meant. */
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
}

export interface ServicePortConfig {
  readonly namespace: string;
  readonly name: string;
  /** Empty for an unnamed port. */
  readonly portName: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly clusterIp: string;
  readonly port: number;
  /** 0 when there is none. */
  readonly nodePort: number;
  readonly externalIps: readonly string[];
  /** Load-balancer ingress addresses that count: with an `ip`, and ipMode not Proxy. */
  readonly loadBalancerVips: readonly string[];
  readonly loadBalancerSourceRanges: readonly string[];
  /** externalTrafficPolicy Local, where it applies (behaviour 1.1). */
  readonly externalPolicyLocal: boolean;
  readonly internalPolicyLocal: boolean;
  /** Session affinity ClientIP's timeout; 0 = no affinity. */
  readonly affinitySeconds: number;
  /** Kept only for type LoadBalancer with externalPolicyLocal; 0 otherwise. */
  readonly healthCheckNodePort: number;
  /** Duplicates removed, in kube-proxy's order: byte-wise on the text `ip:port` (IPv6 `[ip]:port`). */
  readonly endpoints: readonly EndpointConfig[];
}

/** How kube-proxy itself is configured, and what it finds on its node. */
export interface ProxyConfig {
  readonly ipFamily: IpFamily;
  readonly nodeName: string;
  /** The node's address of this family; empty when unknown. */
  readonly nodeIp: string;
  readonly zone: string;
  readonly localDetector:
    | { readonly kind: 'none' }
    | { readonly kind: 'cidr'; readonly cidr: string }
    | { readonly kind: 'bridge'; readonly name: string }
    | { readonly kind: 'prefix'; readonly name: string };
  readonly masqueradeAll: boolean;
  /** As printed in rules, e.g. `0x00004000` (tests of kube-proxy print `0x4000`). */
  readonly masqueradeMark: string;
  readonly masqueradeRandomFully: boolean;
  readonly localhostNodePorts: boolean;
  /** CIDRs; empty = every address of the node. */
  readonly nodePortAddresses: readonly string[];
  /** Addresses on the node's interfaces, loopback included, both families. */
  readonly interfaceAddresses: readonly string[];
  /** nfacct counters that exist on the node. */
  readonly nfacct: { readonly ctStateInvalid: boolean; readonly localhostNodePorts: boolean };
  readonly conntrackTcpLiberal: boolean;
  readonly serviceCidrs: readonly string[];
  readonly ipvsScheduler: string;
  readonly strictArp: boolean;
  readonly excludeCidrs: readonly string[];
  readonly largeClusterEndpoints: number;
  readonly syncPeriodSeconds: number;
  readonly kubeProxy: KubeProxyBehaviour;
}

/** `ns/name:port`, or `ns/name` when the port has no name (kube-proxy ServicePortName.String). */
export function portNameText(svc: ServicePortConfig): string {
  return svc.portName === '' ? `${svc.namespace}/${svc.name}` : `${svc.namespace}/${svc.name}:${svc.portName}`;
}

/** `ip:port`, IPv6 in brackets. */
export function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** What a service port has that uses none of the extras: spread into one. */
export const NO_EXTRAS = {
  externalIps: [],
  loadBalancerVips: [],
  loadBalancerSourceRanges: [],
  externalPolicyLocal: false,
  internalPolicyLocal: false,
  affinitySeconds: 0,
  healthCheckNodePort: 0,
} as const satisfies Partial<ServicePortConfig>;

/** An endpoint on another node that serves: spread into one. */
export const READY_ELSEWHERE = {
  isLocal: false,
  ready: true,
  serving: true,
  terminating: false,
  zoneHints: [],
  nodeHints: [],
} as const satisfies Partial<EndpointConfig>;
