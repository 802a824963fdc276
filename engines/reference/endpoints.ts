/** Which endpoints of a service port are used, in which order, and in which order services are visited (README 1 and 2). */
import { formatIpv4 } from '../../model/address.ts';
import type {
  ClusterDelta,
  ClusterState,
  Endpoint,
  NodeSpec,
  ServiceExtras,
  ServicePort,
} from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { PROTOCOL_UDP } from '../../model/protocol.ts';
import { shuffle } from '../../sim/rng.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { mark } from './marks.ts';

export function partyText(party: { readonly address: number; readonly port: number }): string {
  return `${formatIpv4(party.address)}:${party.port}`;
}

export function extrasOf(svc: ServicePort): ServiceExtras {
  return svc.extras ?? NO_SERVICE_EXTRAS;
}

export function isLocalEndpoint(endpoint: Endpoint, node: NodeSpec): boolean {
  return endpoint.nodeName === node.name;
}

/** All endpoints; of one `ip:port` the first local one, else the first. In the order in which they were given. */
export function distinctEndpoints(svc: ServicePort, node: NodeSpec): Endpoint[] {
  const byText = new Map<string, Endpoint>();
  for (const endpoint of svc.endpoints) {
    const text = partyText(endpoint);
    const known = byText.get(text);
    if (known === undefined) byText.set(text, endpoint);
    else if (!isLocalEndpoint(known, node) && isLocalEndpoint(endpoint, node)) {
      mark('a local endpoint wins over its duplicate');
      byText.set(text, endpoint);
    }
  }
  return [...byText.values()];
}

/** The lists of kube-proxy, each in byte order of `ip:port` [CategorizeEndpoints, byEndpoint]. */
export interface EndpointLists {
  /** For traffic under the Cluster policy. */
  readonly cluster: readonly Endpoint[];
  /** For traffic under a Local policy. */
  readonly local: readonly Endpoint[];
  /** Both. */
  readonly reachable: readonly Endpoint[];
  /** Someone, somewhere, could be used. */
  readonly hasAny: boolean;
}

/** Reached from outside the cluster. */
export function isFromOutside(svc: ServicePort): boolean {
  const { externalIps, loadBalancerVips } = extrasOf(svc);
  return svc.nodePort > 0 || externalIps.length > 0 || loadBalancerVips.length > 0;
}

export function endpointLists(svc: ServicePort, node: NodeSpec): EndpointLists {
  const { internalPolicyLocal, externalPolicyLocal } = extrasOf(svc);
  const all = distinctEndpoints(svc, node).sort((a, b) => (partyText(a) < partyText(b) ? -1 : 1));
  const usesCluster = !internalPolicyLocal || isFromOutside(svc);
  const usesLocal = internalPolicyLocal || (externalPolicyLocal && isFromOutside(svc));

  let cluster: Endpoint[] = [];
  if (usesCluster) {
    cluster = hintedForHere(
      all.filter((endpoint) => endpoint.ready),
      node,
    );
    if (cluster.length === 0) cluster = terminating(all);
  }
  if (!usesLocal) return { cluster, local: [], reachable: cluster, hasAny: cluster.length > 0 };

  const here = all.filter((endpoint) => isLocalEndpoint(endpoint, node));
  let local = here.filter((endpoint) => endpoint.ready);
  if (local.length === 0) {
    local = terminating(here);
    if (local.length > 0) mark('terminating local endpoints used');
  }
  const reachable = all.filter((endpoint) => cluster.includes(endpoint) || local.includes(endpoint));
  if (reachable.length > cluster.length && cluster.length > 0) mark('local endpoints beside the cluster ones');
  return { cluster, local, reachable, hasAny: all.some((e) => e.ready || (e.serving && e.terminating)) };
}

/** Endpoints that shut down but still serve: better than none. */
function terminating(endpoints: readonly Endpoint[]): Endpoint[] {
  return endpoints.filter((endpoint) => endpoint.serving && endpoint.terminating);
}

/** The ready endpoints that the hints leave: those for this node, else for this zone, else all. */
function hintedForHere(ready: Endpoint[], node: NodeSpec): Endpoint[] {
  const nodesOf = (endpoint: Endpoint): readonly string[] => endpoint.hints?.nodes ?? [];
  const zonesOf = (endpoint: Endpoint): readonly string[] => endpoint.hints?.zones ?? [];
  if (ready.every((e) => nodesOf(e).length > 0) && ready.some((e) => nodesOf(e).includes(node.name))) {
    mark('hints for the node followed');
    return ready.filter((e) => nodesOf(e).includes(node.name));
  }
  const { zone } = node;
  if (zone === undefined) return ready;
  if (ready.every((e) => zonesOf(e).length > 0) && ready.some((e) => zonesOf(e).includes(zone))) {
    mark('hints for the zone followed');
    return ready.filter((e) => zonesOf(e).includes(zone));
  }
  return ready;
}

/** What a service port without policies and hints uses: ready endpoints, else all serving and terminating ones. */
export function usableEndpoints(svc: ServicePort, node: NodeSpec): readonly Endpoint[] {
  return endpointLists(svc, node).cluster;
}

/** Addresses that are the service port's alone: cluster IP, external IPs, load-balancer VIPs. */
export function virtualAddresses(svc: ServicePort): number[] {
  const { externalIps, loadBalancerVips } = extrasOf(svc);
  return [svc.clusterIp, ...externalIps, ...loadBalancerVips];
}

/** The service ports that kube-proxy knows, and the fresh random order in which each sync visits them. */
export class KnownServices {
  #byId = new Map<number, ServicePort>();
  readonly #orderStream: RandomStream;

  constructor(orderStream: RandomStream) {
    this.#orderStream = orderStream;
  }

  get size(): number {
    return this.#byId.size;
  }

  replace(state: ClusterState): void {
    this.#byId = new Map(state.servicePorts.map((svc) => [svc.id, svc]));
  }

  /** Says whether any UDP service port was upserted or removed. */
  change(delta: ClusterDelta): boolean {
    let udp = false;
    for (const id of delta.removedIds) {
      if (this.#byId.get(id)?.protocol === PROTOCOL_UDP) udp = true;
      this.#byId.delete(id);
    }
    for (const svc of delta.upserted) {
      if (svc.protocol === PROTOCOL_UDP) udp = true;
      this.#byId.set(svc.id, svc);
    }
    return udp;
  }

  inOrder(): ServicePort[] {
    const ids = [...this.#byId.keys()].sort((a, b) => a - b);
    shuffle(ids, this.#orderStream);
    return ids.map((id) => this.#byId.get(id) as ServicePort);
  }
}
