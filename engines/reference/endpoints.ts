/** Which endpoints of a service port are used, in which order, and in which order services are visited (README 1 and 2). */
import { formatIpv4 } from '../../model/address.ts';
import type { ClusterDelta, ClusterState, Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { shuffle } from '../../sim/rng.ts';
import type { RandomStream } from '../../sim/rng.ts';
import type { Party } from './packet.ts';

export function partyText(party: { readonly address: number; readonly port: number }): string {
  return `${formatIpv4(party.address)}:${party.port}`;
}

/** All endpoints with the duplicates of one `ip:port` collapsed to the first. */
export function distinctEndpoints(svc: ServicePort): Endpoint[] {
  const seen = new Set<string>();
  const distinct: Endpoint[] = [];
  for (const endpoint of svc.endpoints) {
    const text = partyText(endpoint);
    if (seen.has(text)) continue;
    seen.add(text);
    distinct.push(endpoint);
  }
  return distinct;
}

/** Ready endpoints, else all serving and terminating ones; in byte order of `ip:port` [CategorizeEndpoints, byEndpoint]. */
export function usableEndpoints(svc: ServicePort): Endpoint[] {
  const all = distinctEndpoints(svc);
  let usable = all.filter((endpoint) => endpoint.ready);
  if (usable.length === 0) usable = all.filter((endpoint) => endpoint.serving && endpoint.terminating);
  return usable.sort((a, b) => (partyText(a) < partyText(b) ? -1 : 1));
}

/** `clusterIp:port`, then `A:nodePort` for each node address A. */
export function originalDestinations(svc: ServicePort, node: NodeSpec): Party[] {
  const destinations: Party[] = [{ address: svc.clusterIp, port: svc.port }];
  if (svc.nodePort > 0) {
    for (const address of node.addresses) destinations.push({ address, port: svc.nodePort });
  }
  return destinations;
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
      if (this.#byId.get(id)?.protocol === 17) udp = true;
      this.#byId.delete(id);
    }
    for (const svc of delta.upserted) {
      if (svc.protocol === 17) udp = true;
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
