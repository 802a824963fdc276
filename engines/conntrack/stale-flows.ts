/** kube-proxy's clean-up of UDP flows that would go on to a server that is gone (pkg/proxy/conntrack/cleanup.go). */
import type { Endpoint, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import type { KubeProxyBehaviour } from '../../model/kube-proxy.ts';
import { PROTOCOL_UDP } from '../../model/protocol.ts';
import type { SimTime } from '../../model/time.ts';
import type { ConntrackTable } from './table.ts';

interface Change {
  readonly before: ServicePort | undefined;
  readonly after: ServicePort | undefined;
}

/** Addresses of the endpoints that keep a flow alive. */
type Servers = ReadonlySet<number>;

/**
 * Both generations. `reconcile` compares every flow with what the service ports serve now; `events` deletes what the changes
 * since the last sync point at, and asks for less: an address without its port, a node port without its address.
 */
export class StaleFlows {
  readonly #generation: KubeProxyBehaviour['conntrackCleanup'];
  readonly #nodeName: string;
  /** reconcile: address and port of each original destination, and each node port, to the servers behind it. */
  readonly #serversOfAddress = new Map<number, Servers>();
  readonly #serversOfNodePort = new Map<number, Servers>();
  /** events: deletions asked for since the last clean-up. An address or a node port maps to the servers; undefined = all flows. */
  readonly #deadAddresses = new Map<number, Set<number> | undefined>();
  readonly #deadNodePorts = new Map<number, Set<number> | undefined>();
  /** Noted since the last clean-up. */
  #changes: Change[] = [];
  #touched = false;

  constructor(generation: KubeProxyBehaviour['conntrackCleanup'], nodeName: string) {
    this.#generation = generation;
    this.#nodeName = nodeName;
  }

  /** A service port as it was at the sync before and as it is now; `undefined` where it is not there. At least one is. */
  note(before: ServicePort | undefined, after: ServicePort | undefined): void {
    if ((after ?? before)?.protocol !== PROTOCOL_UDP) return;
    this.#touched = true;
    if (before !== after) this.#changes.push({ before, after });
  }

  /** Deletes the stale flows once the rules are in place, and says how many. `isFull`: after a full sync, changes or not. */
  clean(table: ConntrackTable, now: SimTime, isFull: boolean): number {
    if (!isFull && !this.#touched) return 0;
    const changes = this.#changes;
    this.#changes = [];
    this.#touched = false;
    if (this.#generation === 'reconcile') {
      // What one service port gives up another may have taken: all forget before any learns.
      for (const { before } of changes) if (before !== undefined) this.#forget(before);
      for (const { after } of changes) if (after !== undefined) this.#learn(after);
      return table.deleteStaleUdp(now, this.#isUnserved);
    }
    for (const { before, after } of changes) {
      if (after !== undefined) this.#compare(before, after);
      // Of a deleted Service kube-proxy remembers the cluster IP alone.
      else if (before !== undefined) this.#deadAddresses.set(before.clusterIp, undefined);
    }
    if (this.#deadAddresses.size + this.#deadNodePorts.size === 0) return 0;
    const deleted = table.deleteStaleUdp(now, this.#isAskedFor);
    this.#deadAddresses.clear();
    this.#deadNodePorts.clear();
    return deleted;
  }

  readonly #isUnserved = (dstAddress: number, dstPort: number, server: number): boolean => {
    const byAddress = this.#serversOfAddress.get(destinationKey(dstAddress, dstPort));
    if (byAddress !== undefined && !byAddress.has(server)) return true;
    const byNodePort = this.#serversOfNodePort.get(dstPort);
    return byNodePort !== undefined && !byNodePort.has(server);
  };

  readonly #isAskedFor = (dstAddress: number, dstPort: number, server: number): boolean =>
    isAmong(this.#deadAddresses, dstAddress, server) || isAmong(this.#deadNodePorts, dstPort, server);

  #learn(svc: ServicePort): void {
    const servers = new Set<number>();
    for (const endpoint of this.#distinct(svc)) if (endpoint.serving) servers.add(endpoint.address);
    // Flows of a service that nobody serves are left alone.
    if (servers.size === 0) return;
    for (const address of addressesOf(svc)) this.#serversOfAddress.set(destinationKey(address, svc.port), servers);
    if (svc.nodePort > 0) this.#serversOfNodePort.set(svc.nodePort, servers);
  }

  #forget(svc: ServicePort): void {
    for (const address of addressesOf(svc)) this.#serversOfAddress.delete(destinationKey(address, svc.port));
    if (svc.nodePort > 0) this.#serversOfNodePort.delete(svc.nodePort);
  }

  /** endpoints.go detectStaleConntrackEntries of v1.28 to v1.31. */
  #compare(before: ServicePort | undefined, after: ServicePort): void {
    const ready = this.#distinct(after).filter((endpoint) => endpoint.ready);
    const wasReady = before === undefined ? [] : this.#distinct(before).filter((endpoint) => endpoint.ready);
    if (ready.length > 0 && wasReady.length === 0) this.#ask(after, undefined);
    for (const old of wasReady) {
      const stays = ready.some(
        (endpoint) =>
          endpoint.address === old.address &&
          endpoint.port === old.port &&
          this.#isLocal(endpoint) === this.#isLocal(old),
      );
      if (!stays) this.#ask(after, old.address);
    }
  }

  /** Flows to any of the service port's destinations, of one server or of all. */
  #ask(svc: ServicePort, server: number | undefined): void {
    for (const address of addressesOf(svc)) addTo(this.#deadAddresses, address, server);
    if (svc.nodePort > 0) addTo(this.#deadNodePorts, svc.nodePort, server);
  }

  /** Of one `ip:port` the first local endpoint counts, else the first. */
  #distinct(svc: ServicePort): Endpoint[] {
    const byKey = new Map<number, Endpoint>();
    for (const endpoint of svc.endpoints) {
      const key = destinationKey(endpoint.address, endpoint.port);
      const known = byKey.get(key);
      if (known === undefined || (!this.#isLocal(known) && this.#isLocal(endpoint))) byKey.set(key, endpoint);
    }
    return [...byKey.values()];
  }

  #isLocal(endpoint: Endpoint): boolean {
    return endpoint.nodeName === this.#nodeName;
  }
}

function addressesOf(svc: ServicePort): readonly number[] {
  const { externalIps, loadBalancerVips } = svc.extras ?? NO_SERVICE_EXTRAS;
  return [svc.clusterIp, ...externalIps, ...loadBalancerVips];
}

function destinationKey(address: number, port: number): number {
  return (address >>> 0) * 65536 + port;
}

function addTo(dead: Map<number, Set<number> | undefined>, key: number, server: number | undefined): void {
  const servers = dead.get(key);
  if (server === undefined) dead.set(key, undefined);
  else if (servers !== undefined) servers.add(server);
  else if (!dead.has(key)) dead.set(key, new Set([server]));
}

function isAmong(dead: ReadonlyMap<number, ReadonlySet<number> | undefined>, key: number, server: number): boolean {
  if (!dead.has(key)) return false;
  const servers = dead.get(key);
  return servers === undefined || servers.has(server);
}
