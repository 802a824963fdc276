/** kube-proxy's clean-up of UDP flows whose server is gone, in both generations (README 3; pkg/proxy/conntrack/cleanup.go). */
import type { Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
import type { KubeProxyBehaviour } from '../../model/kube-proxy.ts';
import { PROTOCOL_UDP } from '../../model/protocol.ts';
import type { Entry, ReferenceConntrack } from './conntrack.ts';
import { distinctEndpoints, isLocalEndpoint, virtualAddresses } from './endpoints.ts';
import { mark } from './marks.ts';
import { sameParty } from './packet.ts';

/** Says of a flow that it is stale. */
type Filter = (entry: Entry) => boolean;

export class UdpCleanup {
  readonly #generation: KubeProxyBehaviour['conntrackCleanup'];
  readonly #node: NodeSpec;
  /** The UDP service ports as they were at the sync before. */
  #before = new Map<number, ServicePort>();

  constructor(generation: KubeProxyBehaviour['conntrackCleanup'], node: NodeSpec) {
    this.#generation = generation;
    this.#node = node;
  }

  /** After a sync over these services; `isDue`: it was a full one, or a UDP service port changed. Says how many flows it deleted. */
  clean(services: readonly ServicePort[], isDue: boolean, conntrack: ReferenceConntrack, now: number): number {
    const udp = services.filter((svc) => svc.protocol === PROTOCOL_UDP);
    const before = this.#before;
    this.#before = new Map(udp.map((svc) => [svc.id, svc]));
    let filters: Filter[];
    if (this.#generation === 'events') filters = this.#askedFor(before, this.#before);
    else if (isDue) filters = udp.flatMap((svc) => this.#unserved(svc));
    else return 0;
    let deleted = 0;
    for (const entry of conntrack.udpEntries(now)) {
      // Every filter is asked, so that the marks know of each.
      const hits = filters.filter((isStale) => isStale(entry)).length;
      if (hits === 0) continue;
      if (hits > 1) mark('stale udp flow found by two filters');
      mark('stale udp flow deleted');
      conntrack.delete(entry);
      deleted++;
    }
    return deleted;
  }

  /** reconcile: flows to the service port that go to nobody who serves. */
  #unserved(svc: ServicePort): Filter[] {
    const serving = distinctEndpoints(svc, this.#node).filter((endpoint) => endpoint.serving);
    if (serving.length === 0) return [];
    const isServed = (entry: Entry): boolean => serving.some((e) => e.address === entry.reply.src.address);
    const byAddress: Filter = ({ original: { dst } }) =>
      virtualAddresses(svc).includes(dst.address) && dst.port === svc.port;
    const byNodePort: Filter = ({ original: { dst } }) => svc.nodePort > 0 && dst.port === svc.nodePort;
    return [
      (entry) => byAddress(entry) && !isServed(entry) && found('reconcile: address and port'),
      (entry) => byNodePort(entry) && !isServed(entry) && found('reconcile: node port'),
    ];
  }

  /** events: what the changes since the last sync ask to be deleted. */
  #askedFor(before: ReadonlyMap<number, ServicePort>, after: ReadonlyMap<number, ServicePort>): Filter[] {
    const filters: Filter[] = [];
    for (const [id, old] of before) {
      if (!after.has(id)) filters.push(toAddress(old.clusterIp, 'events: service port removed'));
    }
    for (const [id, svc] of after) {
      const ready = this.#ready(svc);
      const old = before.get(id);
      const wasReady = old === undefined ? [] : this.#ready(old);
      if (ready.length > 0 && wasReady.length === 0) filters.push(...toService(svc, 'first endpoint'));
      for (const endpoint of wasReady) {
        const same = ready.find((other) => sameParty(other, endpoint));
        const moved = same !== undefined && this.#isLocal(same) !== this.#isLocal(endpoint);
        if (same !== undefined && !moved) continue;
        const isOfServer: Filter = (entry) => entry.reply.src.address === endpoint.address;
        for (const isOfService of toService(svc, moved ? 'endpoint moved' : 'endpoint gone')) {
          filters.push((entry) => isOfServer(entry) && isOfService(entry));
        }
      }
    }
    return filters;
  }

  #ready(svc: ServicePort): Endpoint[] {
    return distinctEndpoints(svc, this.#node).filter((endpoint) => endpoint.ready);
  }

  #isLocal(endpoint: Endpoint): boolean {
    return isLocalEndpoint(endpoint, this.#node);
  }
}

function found(why: string): true {
  mark(`stale udp flow, ${why}`);
  return true;
}

function toAddress(address: number, why: string): Filter {
  return (entry) => entry.original.dst.address === address && found(why);
}

/** Flows to the service port's addresses, whatever the port, and to its node port, whatever the address. */
function toService(svc: ServicePort, why: string): Filter[] {
  const filters = virtualAddresses(svc).map((address) => toAddress(address, `events: ${why}, address`));
  if (svc.nodePort > 0) {
    filters.push((entry) => entry.original.dst.port === svc.nodePort && found(`events: ${why}, node port`));
  }
  return filters;
}
