/** Which endpoints of a service port kube-proxy uses (kube-proxy pkg/proxy/topology.go CategorizeEndpoints). */
import type { EndpointConfig } from '../../model/service-config.ts';

/** What the choice looks at of an endpoint, and of a service port. */
type Choosable = Pick<EndpointConfig, 'isLocal' | 'ready' | 'serving' | 'terminating' | 'zoneHints' | 'nodeHints'>;
interface Exposure {
  readonly nodePort: number;
  readonly loadBalancerVips: readonly unknown[];
  readonly externalIps: readonly unknown[];
  readonly internalPolicyLocal: boolean;
  readonly externalPolicyLocal: boolean;
}

/** All lists keep the order of `svc.endpoints`. */
export interface EndpointCategories<E = EndpointConfig> {
  /** For traffic under the Cluster policy. */
  readonly cluster: readonly E[];
  /** For traffic under a Local policy; empty where no policy of the service is Local. */
  readonly local: readonly E[];
  /** Every endpoint that some traffic can reach from here. */
  readonly reachable: readonly E[];
  /** Whether there is a usable endpoint anywhere: tells REJECT (none) from DROP (none here). */
  readonly hasAny: boolean;
}

type TopologyMode = 'node' | 'zone' | 'none';

/** Reached from outside the cluster: through a node port, a load balancer's address or an external IP. */
export function externallyAccessible(svc: Exposure): boolean {
  return svc.nodePort !== 0 || svc.loadBalancerVips.length > 0 || svc.externalIps.length > 0;
}

/** Some traffic may go to endpoints on any node. */
function usesClusterEndpoints(svc: Exposure): boolean {
  return !svc.internalPolicyLocal || externallyAccessible(svc);
}

/** Some traffic may go to endpoints on this node alone. */
function usesLocalEndpoints(svc: Exposure): boolean {
  return svc.internalPolicyLocal || (svc.externalPolicyLocal && externallyAccessible(svc));
}

/** `zone` is the node's topology.kubernetes.io/zone label, empty when it has none. */
export function categorizeEndpoints<E extends Choosable>(
  svc: Exposure & { readonly endpoints: readonly E[] },
  zone: string,
  nodeName: string,
): EndpointCategories<E> {
  const all = svc.endpoints;
  let topology: TopologyMode = 'none';
  let cluster: readonly E[] = [];
  if (usesClusterEndpoints(svc)) {
    topology = topologyMode(all, zone, nodeName);
    cluster = all.filter((endpoint) => endpoint.ready && isHinted(endpoint, topology, zone, nodeName));
    // Endpoints that shut down are better than none; hints no longer matter then.
    if (cluster.length === 0) cluster = all.filter(isServingTerminating);
  }
  if (!usesLocalEndpoints(svc)) {
    return { cluster, local: [], reachable: cluster, hasAny: cluster.length > 0 };
  }
  const hasAny = all.some((endpoint) => endpoint.ready || isServingTerminating(endpoint));
  const localReady = all.filter((endpoint) => endpoint.isLocal && endpoint.ready);
  const local =
    localReady.length > 0 ? localReady : all.filter((endpoint) => endpoint.isLocal && isServingTerminating(endpoint));
  if (!usesClusterEndpoints(svc)) return { cluster, local, reachable: local, hasAny };
  const reached = new Set([...cluster, ...local]);
  return { cluster, local, reachable: all.filter((endpoint) => reached.has(endpoint)), hasAny };
}

function isServingTerminating(endpoint: Choosable): boolean {
  return endpoint.serving && endpoint.terminating;
}

/** Hints count only when every ready endpoint carries one and one at least names this place; node hints go before zone hints. */
function topologyMode(endpoints: readonly Choosable[], zone: string, nodeName: string): TopologyMode {
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  const usable = (hints: (endpoint: Choosable) => readonly string[], place: string): boolean =>
    place !== '' &&
    ready.every((endpoint) => hints(endpoint).length > 0) &&
    ready.some((endpoint) => hints(endpoint).includes(place));
  if (usable((endpoint) => endpoint.nodeHints, nodeName)) return 'node';
  if (usable((endpoint) => endpoint.zoneHints, zone)) return 'zone';
  return 'none';
}

function isHinted(endpoint: Choosable, mode: TopologyMode, zone: string, nodeName: string): boolean {
  if (mode === 'node') return endpoint.nodeHints.includes(nodeName);
  if (mode === 'zone') return endpoint.zoneHints.includes(zone);
  return true;
}
