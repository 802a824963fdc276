/**
 * One sync of kube-proxy in IPVS mode (pkg/proxy/ipvs/proxier.go syncProxyRules, syncService, syncEndpoint,
 * cleanLegacyService; graceful_termination.go). There is no partial mode: every sync visits everything, and its report counts that. Where
 * nothing but endpoints on other nodes has changed, the visits that would find nothing to do are left out here: in a large cluster nearly
 * all of them.
 */
import type { Cidr } from '../../model/address.ts';
import { cidrContains } from '../../model/address.ts';
import type { Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import { NO_SYNC_WORK } from '../../model/sync-report.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import { shuffle } from '../../sim/rng.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { endpointKey, keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import { ChosenEndpoints } from './endpoints.ts';
import type { EndpointList } from './endpoints.ts';
import type { GracefulTermination } from './graceful-termination.ts';
import { FIRST_RECORD } from './grow.ts';
import * as sets from './ipsets.ts';
import type { IpSets } from './ipsets.ts';
import { isLoopback } from './literal-walk.ts';
import type { BlockedVip } from './literal-walk.ts';
import type { RealServers } from './real-servers.ts';
import { buildRules, countOwnRules } from './rules.ts';
import type { Rule, RuleOptions } from './rules.ts';
import type { Scheduler } from './schedulers/scheduler.ts';
import { NONE, SERVICE_STRIDE } from './service-table.ts';
import type { ServiceTable } from './service-table.ts';

/** Beyond the rules: two table headers, two COMMITs, 5 chain lines of nat and 6 of filter. */
const RESTORE_FRAME_LINES = 15;

/** What the sync works on. */
export interface SyncParts {
  readonly node: NodeSpec;
  readonly nodePortAddresses: readonly Cidr[];
  readonly ruleOptions: RuleOptions;
  readonly servers: RealServers;
  readonly scheduler: Scheduler;
  readonly sets: IpSets;
  readonly termination: GracefulTermination;
  readonly serviceOrder: RandomStream;
}

export class Syncer {
  /** The rules in the kernel after the latest sync, and what those of KUBE-IPVS-OUT-FILTER are for. */
  rules: readonly Rule[] = [];
  blockedVips: BlockedVip[] = [];

  readonly #services: ServiceTable;
  readonly #servers: RealServers;
  readonly #scheduler: Scheduler;
  readonly #sets: IpSets;
  readonly #termination: GracefulTermination;
  readonly #nodeName: string;
  readonly #nodeAddresses: readonly number[];
  /** The node's addresses that take node-port traffic. */
  readonly #nodePortAddresses: readonly number[];
  readonly #ruleOptions: RuleOptions;
  readonly #serviceOrder: RandomStream;
  readonly #chosen: ChosenEndpoints;
  /** What kube-proxy knows, by id. */
  readonly #state = new Map<number, ServicePort>();
  #syncs = 0;
  #netlinkRequests = 0;
  #virtualServersWanted = 0;
  /** Calls of syncService at the latest whole visit: more than virtual servers where two service ports want the same one. */
  #virtualServerVisits = 0;
  /** Something has changed that only a visit of everything can tell the effects of. */
  #mustVisitAll = true;
  /** Service ports of which nothing but endpoints on other nodes has changed since the latest sync. */
  readonly #changedIds = new Set<number>();
  /** Ids of all service ports, ascending; undefined when they have changed. */
  #sortedIds: Uint32Array | undefined;
  /** Slots of a list by endpoint key, for one syncEndpoint at a time. */
  readonly #present = new Map<number, number>();
  /** Of the service port in hand. */
  #protocol = 0;
  readonly #addOwnEndpoint = (address: number, port: number): void => {
    if (port !== 0) this.#sets.addLocalEndpoint(this.#protocol, address, port);
  };

  constructor(parts: SyncParts) {
    const { name, addresses } = parts.node;
    this.#nodeName = name;
    this.#services = parts.servers.services;
    this.#servers = parts.servers;
    this.#scheduler = parts.scheduler;
    this.#sets = parts.sets;
    this.#termination = parts.termination;
    this.#nodeAddresses = addresses;
    this.#nodePortAddresses = nodePortAddressesOf(addresses, parts.nodePortAddresses);
    this.#ruleOptions = parts.ruleOptions;
    this.#serviceOrder = parts.serviceOrder;
    this.#chosen = new ChosenEndpoints(parts.node);
  }

  /** What kube-proxy knows, by id. */
  get servicePorts(): ReadonlyMap<number, ServicePort> {
    return this.#state;
  }

  upsert(servicePort: ServicePort): void {
    const before = this.#state.get(servicePort.id);
    if (before === servicePort) return;
    this.#state.set(servicePort.id, servicePort);
    if (before === undefined) this.#sortedIds = undefined;
    if (before !== undefined && isElsewhere(before, servicePort, this.#nodeName)) this.#changedIds.add(servicePort.id);
    else this.#mustVisitAll = true;
  }

  remove(id: number): void {
    this.#state.delete(id);
    this.#chosen.forget(id);
    this.#sortedIds = undefined;
    this.#mustVisitAll = true;
  }

  /** `conntrackDeletes` is left to the caller. */
  sync(): SyncReport {
    this.#netlinkRequests = 0;
    if (this.#mustVisitAll || this.#dependsOnOrder) this.#visitAll();
    else this.#visitChanged();
    this.#mustVisitAll = false;
    this.#changedIds.clear();
    return this.#report();
  }

  /** A virtual server of two service ports has the endpoints of the one that is visited last, and rules of KUBE-IPVS-OUT-FILTER stand in order. */
  get #dependsOnOrder(): boolean {
    return this.#virtualServerVisits > this.#virtualServersWanted || this.blockedVips.length > 1;
  }

  #visitAll(): void {
    this.#syncs++;
    this.#virtualServersWanted = 0;
    this.#virtualServerVisits = 0;
    this.blockedVips = [];
    this.#sets.begin();
    for (const id of this.#inServiceOrder()) this.#syncServicePort(this.#state.get(id) as ServicePort);
    this.#deleteUnwanted();
    this.#services.finish();
    this.#sets.finish();
    this.rules = buildRules(this.#ruleOptions, this.#sets, this.blockedVips.length);
  }

  /** What a whole visit would do: addresses, sets and rules are as they were, and so are the real servers of all other service ports. */
  #visitChanged(): void {
    const visits = this.#virtualServerVisits;
    // In the order of a whole visit, which takes the same chance.
    for (const id of this.#inServiceOrder()) {
      if (this.#changedIds.has(id)) this.#syncVirtualServers(this.#state.get(id) as ServicePort);
    }
    this.#virtualServerVisits = visits;
    this.#sets.keep();
  }

  #report(): SyncReport {
    return {
      ...NO_SYNC_WORK,
      kind: 'full',
      servicePorts: this.#state.size,
      changedServicePorts: this.#state.size,
      rules: this.rules.length + this.#services.size + this.#servers.size,
      tableRules: this.rules.length,
      restoreLines: RESTORE_FRAME_LINES + countOwnRules(this.rules),
      netlinkRequests: this.#netlinkRequests,
      netlinkReads: 2 * this.#virtualServersWanted + 1,
      ipsetChanges: this.#sets.changes,
      addressChanges: this.#sets.addressChanges,
      addressesBound: this.#sets.boundAddresses,
    };
  }

  #inServiceOrder(): Uint32Array {
    this.#sortedIds ??= Uint32Array.from(this.#state.keys()).sort((a, b) => a - b);
    const ids = this.#sortedIds.slice();
    shuffle(ids, this.#serviceOrder);
    return ids;
  }

  #syncServicePort(servicePort: ServicePort): void {
    const { protocol, clusterIp, port, nodePort, extras } = servicePort;
    const ipSets = this.#sets;
    this.#protocol = protocol;
    this.#chosen.choose(servicePort);
    this.#chosen.forEachOwn(this.#addOwnEndpoint);
    ipSets.addDestination(sets.SET_CLUSTER_IP, protocol, clusterIp, port);
    ipSets.addBoundAddress(clusterIp);
    this.#syncVirtualServer(servicePort, clusterIp, port, extras?.internalPolicyLocal ?? false);
    if (extras !== undefined) this.#syncOutsideAddresses(servicePort);
    const { externalPolicyLocal, healthCheckNodePort } = extras ?? NO_SERVICE_EXTRAS;
    if (nodePort !== 0) {
      // Without an address for node ports kube-proxy leaves the rest of this service port out, the health check's port too.
      if (this.#nodePortAddresses.length === 0) return;
      ipSets.addNodePort(protocol, nodePort, externalPolicyLocal, this.#nodePortAddresses);
      for (const address of this.#nodePortAddresses) {
        this.#syncVirtualServer(servicePort, address, nodePort, externalPolicyLocal);
      }
    }
    if (healthCheckNodePort !== 0) ipSets.addHealthCheckNodePort(healthCheckNodePort);
  }

  /** The virtual servers of a service port alone. */
  #syncVirtualServers(servicePort: ServicePort): void {
    const { clusterIp, port, nodePort, extras } = servicePort;
    const { internalPolicyLocal, externalPolicyLocal, externalIps, loadBalancerVips } = extras ?? NO_SERVICE_EXTRAS;
    this.#chosen.choose(servicePort);
    this.#syncVirtualServer(servicePort, clusterIp, port, internalPolicyLocal);
    for (const address of externalIps) this.#syncVirtualServer(servicePort, address, port, externalPolicyLocal);
    for (const address of loadBalancerVips) this.#syncVirtualServer(servicePort, address, port, externalPolicyLocal);
    if (nodePort === 0) return;
    for (const address of this.#nodePortAddresses) {
      this.#syncVirtualServer(servicePort, address, nodePort, externalPolicyLocal);
    }
  }

  /** External IPs and load balancers' addresses. */
  #syncOutsideAddresses(servicePort: ServicePort): void {
    const { protocol, port } = servicePort;
    const { externalIps, loadBalancerVips, externalPolicyLocal } = servicePort.extras ?? NO_SERVICE_EXTRAS;
    const ipSets = this.#sets;
    for (const address of externalIps) {
      const set = externalPolicyLocal ? sets.SET_EXTERNAL_IP_LOCAL : sets.SET_EXTERNAL_IP;
      ipSets.addDestination(set, protocol, address, port);
      this.#syncOutsideAddress(servicePort, address);
    }
    for (const address of loadBalancerVips) {
      ipSets.addDestination(sets.SET_LOAD_BALANCER, protocol, address, port);
      if (externalPolicyLocal) ipSets.addDestination(sets.SET_LOAD_BALANCER_LOCAL, protocol, address, port);
      this.#addSourceRanges(servicePort, address);
      this.#syncOutsideAddress(servicePort, address);
    }
  }

  /** Bound to kube-ipvs0 unless the node has the address already. */
  #syncOutsideAddress(servicePort: ServicePort, address: number): void {
    if (!this.#nodeAddresses.includes(address)) this.#sets.addBoundAddress(address);
    const { externalPolicyLocal } = servicePort.extras ?? NO_SERVICE_EXTRAS;
    this.#syncVirtualServer(servicePort, address, servicePort.port, externalPolicyLocal);
  }

  #addSourceRanges({ id, protocol, port, extras }: ServicePort, address: number): void {
    const ranges = extras?.loadBalancerSourceRanges ?? [];
    if (ranges.length === 0) return;
    const ipSets = this.#sets;
    const nodeIp = this.#nodeAddresses[0];
    ipSets.addDestination(sets.SET_LOAD_BALANCER_FW, protocol, address, port);
    for (const range of ranges) ipSets.addSourceRange(protocol, address, port, range);
    if (ranges.some((range) => cidrContains(range, nodeIp))) ipSets.addSourceIp(protocol, address, port);
    else this.blockedVips.push({ address, protocol, port, servicePortId: id });
  }

  /** syncService, then syncEndpoint. */
  #syncVirtualServer(servicePort: ServicePort, address: number, port: number, onlyLocal: boolean): void {
    const services = this.#services;
    const affinitySeconds = servicePort.extras?.affinitySeconds ?? 0;
    let service = services.lookup(servicePort.protocol, address, port);
    if (service === NONE) {
      service = services.add(servicePort.protocol, address, port, servicePort.id, affinitySeconds);
      this.#scheduler.serviceAdded?.(service);
      this.#netlinkRequests++;
    } else if (services.affinitySeconds[service] !== affinitySeconds) {
      services.affinitySeconds[service] = affinitySeconds;
      this.#netlinkRequests++;
    }
    services.servicePortId[service] = servicePort.id;
    this.#virtualServerVisits++;
    if (services.wantedBy[service] !== this.#syncs) this.#virtualServersWanted++;
    services.wantedBy[service] = this.#syncs;
    const wanted = this.#chosen.wanted(onlyLocal);
    if (!this.#isUnchanged(service, wanted)) this.#syncEndpoints(service, wanted);
  }

  /** Whether the list is just what is wanted, in its order: the usual case of a resync. */
  #isUnchanged(service: number, wanted: EndpointList): boolean {
    if (this.#services.serverCount[service] !== wanted.count) return false;
    const { address, port, next, terminating } = this.#servers;
    let at = this.#services.firstServer[service];
    for (let i = 0; i < wanted.count; i++) {
      const key = endpointKey(address[at], port[at]);
      if (key !== wanted.keys[i] || terminating[at] === 1) return false;
      at = next[at];
    }
    return true;
  }

  #syncEndpoints(service: number, { keys, count }: EndpointList): void {
    const servers = this.#servers;
    const present = this.#present;
    present.clear();
    for (let at = this.#services.firstServer[service]; at !== NONE; at = servers.next[at]) {
      present.set(endpointKey(servers.address[at], servers.port[at]), at);
    }
    const wasEmpty = present.size === 0;
    for (let i = 0; i < count; i++) {
      const key = keys[i];
      const server = wasEmpty ? undefined : present.get(key);
      if (server !== undefined) {
        present.delete(key);
        if (servers.terminating[server] === 0) continue;
        // An endpoint that comes back: kube-proxy deletes what is left of it and adds it anew.
        this.#termination.remove(server);
        this.#netlinkRequests++;
        this.deleteServer(server);
      }
      servers.append(service, keyAddress(key), keyPort(key), 1);
      this.#scheduler.listChanged?.(service);
      this.#netlinkRequests++;
    }
    if (wasEmpty) return;
    for (const server of present.values()) {
      if (servers.terminating[server] === 0) this.#gracefullyDelete(service, server);
    }
  }

  /** graceful_termination.go GracefulDeleteRS. */
  #gracefullyDelete(service: number, server: number): void {
    const servers = this.#servers;
    this.#netlinkRequests++;
    const connections = servers.active[server] + servers.inactive[server];
    if (this.#services.protocolOf(service) !== PROTOCOL_TCP || connections === 0) {
      this.deleteServer(server);
      return;
    }
    servers.setWeight(server, 0);
    this.#termination.add(server);
    this.#scheduler.listChanged?.(service);
  }

  /** Takes a real server out of its list. */
  deleteServer(server: number): void {
    const service = this.#servers.service[server];
    this.#scheduler.serverRemoved?.(service, server);
    this.#servers.remove(server);
    this.#servers.terminating[server] = 0;
    this.#scheduler.listChanged?.(service);
  }

  /** cleanLegacyService: one request takes a virtual server and its real servers away. */
  #deleteUnwanted(): void {
    const services = this.#services;
    let deleted = 0;
    for (let service = FIRST_RECORD; service < services.slotLimit; service += SERVICE_STRIDE) {
      if (!services.isUsed(service) || services.wantedBy[service] === this.#syncs) continue;
      for (let at = services.firstServer[service]; at !== NONE; at = services.firstServer[service]) {
        this.deleteServer(at);
      }
      this.#scheduler.serviceRemoved?.(service);
      services.remove(service);
      this.#netlinkRequests++;
      deleted++;
    }
    if (deleted > 0) this.#termination.removeDeleted();
  }
}

/** The addresses that get a virtual server for each node port: all, or those in `blocks`, if there are any; never loopback. */
function nodePortAddressesOf(addresses: readonly number[], blocks: readonly Cidr[]): readonly number[] {
  return addresses.filter(
    (address) => !isLoopback(address) && (blocks.length === 0 || blocks.some((block) => cidrContains(block, address))),
  );
}

/** Whether two states of a service port differ in endpoints alone, and in none of this node's addresses among them. */
function isElsewhere(before: ServicePort, after: ServicePort, nodeName: string): boolean {
  return (
    before.protocol === after.protocol &&
    before.clusterIp === after.clusterIp &&
    before.port === after.port &&
    before.nodePort === after.nodePort &&
    before.extras === after.extras &&
    sameOwnEndpoints(before.endpoints, after.endpoints, nodeName)
  );
}

/** Whatever their conditions: LOOP-BACK has them all. */
function sameOwnEndpoints(before: readonly Endpoint[], after: readonly Endpoint[], nodeName: string): boolean {
  let i = 0;
  for (const endpoint of after) {
    if (endpoint.nodeName !== nodeName) continue;
    while (i < before.length && before[i].nodeName !== nodeName) i++;
    if (i === before.length || before[i].address !== endpoint.address || before[i].port !== endpoint.port) return false;
    i++;
  }
  while (i < before.length && before[i].nodeName !== nodeName) i++;
  return i === before.length;
}
