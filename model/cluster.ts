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
}

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
}

/** `ns/name:port`, or `ns/name` when the port has no name (kube-proxy ServicePortName.String). */
export function servicePortName(svc: ServicePort): string {
  return svc.portName === '' ? `${svc.namespace}/${svc.name}` : `${svc.namespace}/${svc.name}:${svc.portName}`;
}
