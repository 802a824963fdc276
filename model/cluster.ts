/**
 * What kube-proxy knows of a cluster: service ports and their endpoints, after Services and EndpointSlices were joined
 * (kube-proxy pkg/proxy/serviceport.go newBaseServiceInfo, endpointslicecache.go).
 */
import type { Cidr } from './address.ts';
import type { Protocol } from './protocol.ts';

/** One endpoint of one service port. Several service ports never share an Endpoint's rules, so each has its own. */
export interface Endpoint {
  readonly address: number;
  readonly port: number;
  readonly nodeName: string;
  /** Pod is Ready and not terminating, or the Service publishes not-ready addresses. */
  readonly ready: boolean;
  /** Pod is Ready, terminating or not. */
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Topology hints of the EndpointSlice; absent when there are none. */
  readonly hints?: EndpointHints;
  /** The label that DNS knows it by; absent: its address. Of given EndpointSlices alone. */
  readonly hostname?: string;
}

/** For which places an endpoint is meant. */
export interface EndpointHints {
  readonly zones: readonly string[];
  readonly nodes: readonly string[];
}

/**
 * What a service port has beside a cluster IP and a node port, after kube-proxy's own reading of the object (behaviour of
 * pkg/proxy/serviceport.go newBaseServiceInfo): policies only where they apply, addresses of the engine's family only.
 */
export interface ServiceExtras {
  readonly externalIps: readonly number[];
  /** Load-balancer ingress addresses that count. */
  readonly loadBalancerVips: readonly number[];
  readonly loadBalancerSourceRanges: readonly Cidr[];
  readonly externalPolicyLocal: boolean;
  readonly internalPolicyLocal: boolean;
  /** Time-out of session affinity ClientIP; 0 = none. */
  readonly affinitySeconds: number;
  /** 0 when there is none. */
  readonly healthCheckNodePort: number;
}

export const NO_SERVICE_EXTRAS: ServiceExtras = {
  externalIps: [],
  loadBalancerVips: [],
  loadBalancerSourceRanges: [],
  externalPolicyLocal: false,
  internalPolicyLocal: false,
  affinitySeconds: 0,
  healthCheckNodePort: 0,
};

/** One (namespace, name, port name, protocol) of a Service with a ClusterIP. */
export interface ServicePort {
  /** Small stable integer, unique in a cluster for its whole life; arrays are indexed by it. */
  readonly id: number;
  readonly namespace: string;
  readonly name: string;
  /** Empty for an unnamed port. */
  readonly portName: string;
  readonly protocol: Protocol;
  readonly clusterIp: number;
  readonly port: number;
  /** 0 when the service port has none. */
  readonly nodePort: number;
  /** Absent for a plain service port, as nearly all are. */
  readonly extras?: ServiceExtras;
  /** In any order, with any conditions; an engine chooses and orders what kube-proxy would. */
  readonly endpoints: readonly Endpoint[];
}

export interface ClusterState {
  /** In ascending order of id. */
  readonly servicePorts: readonly ServicePort[];
}

/** What changed since the last sync. A service port is replaced whole. */
export interface ClusterDelta {
  readonly upserted: readonly ServicePort[];
  readonly removedIds: readonly number[];
}

/** The node whose kube-proxy and kernel an engine models. */
export interface NodeSpec {
  readonly name: string;
  /** The node's own addresses, the primary one first; loopback is not listed. Masquerade uses the primary. */
  readonly addresses: readonly number[];
  /** The cluster's pod addresses (kube-proxy's `detectLocalMode: ClusterCIDR`); absent means no local detector. */
  readonly clusterCidr?: Cidr;
  /**
   * `detectLocalMode: BridgeInterface` or `InterfaceNamePrefix` instead: a packet of ORIGIN_POD came in by such an interface, and no
   * other packet did.
   */
  readonly podInterface?: { readonly kind: 'bridge' | 'prefix'; readonly name: string };
  /** The node's topology.kubernetes.io/zone label; absent when it has none. */
  readonly zone?: string;
}

/** `ns/name:port`, or `ns/name` when the port has no name (kube-proxy ServicePortName.String). */
export function servicePortName(svc: ServicePort): string {
  return svc.portName === '' ? `${svc.namespace}/${svc.name}` : `${svc.namespace}/${svc.name}:${svc.portName}`;
}
