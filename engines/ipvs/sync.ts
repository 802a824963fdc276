/**
 * One sync of kube-proxy in IPVS mode (pkg/proxy/ipvs/proxier.go syncProxyRules, syncService, syncEndpoint,
 * cleanLegacyService; graceful_termination.go). There is no partial mode: every sync visits everything.
 */
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { NO_SYNC_WORK } from '../../model/sync-report.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import { NS_PER_S } from '../../model/time.ts';
import type { SimTime } from '../../model/time.ts';
import { shuffle } from '../../sim/rng.ts';
import type { RandomStream } from '../../sim/rng.ts';
import type { ConntrackTable } from '../conntrack/table.ts';
import { endpointKey, keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import { UsableEndpoints } from './endpoints.ts';
import type { IpSets } from './ipsets.ts';
import type { RealServers } from './real-servers.ts';
import { buildRules, CHAINS } from './rules.ts';
import type { Rule, RuleOptions } from './rules.ts';
import type { Scheduler } from './schedulers/scheduler.ts';
import { NONE } from './service-table.ts';
import type { ServiceTable } from './service-table.ts';

/** rsCheckDeleteInterval: how often the termination list is looked at. */
const TERMINATION_CHECK_NS = 60 * NS_PER_S;
/** Beyond the rules: two table headers, two COMMITs, 5 chain lines of nat and 6 of filter. */
const RESTORE_FRAME_LINES = 15;

export class Syncer {
  /** The rules in the kernel after the latest sync. */
  rules: readonly Rule[] = [];

  readonly #services: ServiceTable;
  readonly #servers: RealServers;
  readonly #scheduler: Scheduler;
  readonly #sets: IpSets;
  readonly #conntrack: ConntrackTable;
  readonly #nodeAddresses: readonly number[];
  readonly #ruleOptions: RuleOptions;
  readonly #serviceOrder: RandomStream;
  readonly #usable = new UsableEndpoints();
  readonly #nodeName: string;
  /** What kube-proxy knows, by id. */
  readonly #state = new Map<number, ServicePort>();
  /** Real servers of weight 0 that wait for their connections to end. */
  #terminating: number[] = [];
  #nextCheck: SimTime = Infinity;
  #syncs = 0;
  #netlinkRequests = 0;
  #virtualServersWanted = 0;
  /** Slots of a list by endpoint key, for one syncEndpoint at a time. */
  readonly #present = new Map<number, number>();

  constructor(
    node: NodeSpec,
    ruleOptions: RuleOptions,
    servers: RealServers,
    scheduler: Scheduler,
    sets: IpSets,
    conntrack: ConntrackTable,
    serviceOrder: RandomStream,
  ) {
    this.#services = servers.services;
    this.#servers = servers;
    this.#scheduler = scheduler;
    this.#sets = sets;
    this.#conntrack = conntrack;
    this.#nodeName = node.name;
    this.#nodeAddresses = node.addresses;
    this.#ruleOptions = ruleOptions;
    this.#serviceOrder = serviceOrder;
  }

  clearState(): void {
    this.#state.clear();
  }

  upsert(servicePort: ServicePort): void {
    this.#state.set(servicePort.id, servicePort);
  }

  /** The service port that had the id, if it was known. */
  removeId(id: number): ServicePort | undefined {
    const known = this.#state.get(id);
    this.#state.delete(id);
    return known;
  }

  /** Instant of the next check of the termination list; Infinity while it is empty. */
  get nextCheck(): SimTime {
    return this.#terminating.length === 0 ? Infinity : this.#nextCheck;
  }

  /** The engine has been told of `now`: the next check is the first multiple of 60 s after it. */
  advanceClock(now: SimTime): void {
    this.#nextCheck = (Math.floor(now / TERMINATION_CHECK_NS) + 1) * TERMINATION_CHECK_NS;
  }

  /** graceful_termination.go tryDeleteRs: deletes the listed real servers that have no connection left. */
  checkTerminating(): void {
    const { active, inactive } = this.#servers;
    this.#terminating = this.#terminating.filter((server) => {
      if (active[server] + inactive[server] !== 0) return true;
      this.#deleteServer(server);
      return false;
    });
    this.#nextCheck += TERMINATION_CHECK_NS;
  }

  sync(cleansUdp: boolean, now: SimTime): SyncReport {
    this.#syncs++;
    this.#netlinkRequests = 0;
    this.#virtualServersWanted = 0;
    this.#sets.begin();
    for (const servicePort of this.#inServiceOrder()) this.#syncServicePort(servicePort);
    this.#deleteUnwanted();
    this.#services.finish();
    this.#sets.finish();
    this.rules = buildRules(this.#ruleOptions, this.#sets);
    const conntrackDeletes = cleansUdp ? this.#deleteStaleUdp(now) : 0;
    const jumps = this.rules.filter((rule) => CHAINS[rule.chain]?.builtIn === true).length;
    return {
      ...NO_SYNC_WORK,
      kind: 'full',
      servicePorts: this.#state.size,
      changedServicePorts: this.#state.size,
      rules: this.rules.length + this.#services.size + this.#servers.size,
      tableRules: this.rules.length,
      restoreLines: RESTORE_FRAME_LINES + this.rules.length - jumps,
      netlinkRequests: this.#netlinkRequests,
      netlinkReads: 2 * this.#virtualServersWanted + 1,
      ipsetChanges: this.#sets.changes,
      addressChanges: this.#sets.addressChanges,
      addressesBound: this.#sets.ipvsIpsSize,
      conntrackDeletes,
    };
  }

  #inServiceOrder(): ServicePort[] {
    const ids = Uint32Array.from(this.#state.keys()).sort((a, b) => a - b);
    shuffle(ids, this.#serviceOrder);
    const ordered: ServicePort[] = [];
    for (const id of ids) ordered.push(this.#state.get(id) as ServicePort);
    return ordered;
  }

  #syncServicePort(servicePort: ServicePort): void {
    const { protocol, clusterIp, port, nodePort } = servicePort;
    const usable = this.#usable;
    usable.choose(servicePort.endpoints);
    for (const endpoint of usable.distinct(servicePort.endpoints)) {
      if (endpoint.nodeName === this.#nodeName) this.#sets.addLocalEndpoint(protocol, endpoint.address, endpoint.port);
    }
    this.#sets.addClusterIp(protocol, clusterIp, port);
    this.#syncVirtualServer(servicePort, clusterIp, port);
    if (nodePort === 0) return;
    this.#sets.addNodePort(protocol, nodePort);
    for (const address of this.#nodeAddresses) this.#syncVirtualServer(servicePort, address, nodePort);
  }

  /** syncService, then syncEndpoint. */
  #syncVirtualServer(servicePort: ServicePort, address: number, port: number): void {
    const services = this.#services;
    let service = services.lookup(servicePort.protocol, address, port);
    if (service === NONE) {
      service = services.add(servicePort.protocol, address, port, servicePort.id);
      this.#scheduler.serviceAdded?.(service);
      this.#netlinkRequests++;
    }
    services.servicePortId[service] = servicePort.id;
    services.wantedBy[service] = this.#syncs;
    this.#virtualServersWanted++;
    if (!this.#isUnchanged(service)) this.#syncEndpoints(service);
  }

  /** Whether the list is just what is wanted, in its order: the usual case of a resync. */
  #isUnchanged(service: number): boolean {
    const usable = this.#usable;
    if (this.#services.serverCount[service] !== usable.count) return false;
    const { address, port, next, terminating } = this.#servers;
    let at = this.#services.firstServer[service];
    for (let i = 0; i < usable.count; i++) {
      const key = endpointKey(address[at], port[at]);
      if (key !== usable.keys[i] || terminating[at] === 1) return false;
      at = next[at];
    }
    return true;
  }

  #syncEndpoints(service: number): void {
    const servers = this.#servers;
    const { keys, count } = this.#usable;
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
        this.#terminating = this.#terminating.filter((other) => other !== server);
        this.#netlinkRequests++;
        this.#deleteServer(server);
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
    if (this.#services.protocol[service] !== PROTOCOL_TCP || connections === 0) {
      this.#deleteServer(server);
      return;
    }
    servers.setWeight(server, 0);
    servers.terminating[server] = 1;
    this.#terminating.push(server);
    this.#scheduler.listChanged?.(service);
  }

  #deleteServer(server: number): void {
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
    for (let service = 0; service < services.slotLimit; service++) {
      if (services.protocol[service] === 0 || services.wantedBy[service] === this.#syncs) continue;
      for (let at = services.firstServer[service]; at !== NONE; at = services.firstServer[service]) {
        this.#deleteServer(at);
      }
      this.#scheduler.serviceRemoved?.(service);
      services.remove(service);
      this.#netlinkRequests++;
      deleted++;
    }
    if (deleted > 0) this.#terminating = this.#terminating.filter((server) => this.#servers.terminating[server] === 1);
  }

  /** pkg/proxy/conntrack CleanStaleEntries, the reconciling version. */
  #deleteStaleUdp(now: SimTime): number {
    const services = this.#services;
    const serving = new Map<number, Set<number>>();
    return this.#conntrack.deleteStaleUdp(now, (dstAddress, dstPort, endpointAddress) => {
      const service = services.lookup(PROTOCOL_UDP, dstAddress, dstPort);
      if (service === NONE) return false;
      const id = services.servicePortId[service];
      let addresses = serving.get(id);
      if (addresses === undefined) {
        addresses = this.#usable.servingAddresses(this.#state.get(id) as ServicePort);
        serving.set(id, addresses);
      }
      return addresses.size > 0 && !addresses.has(endpointAddress);
    });
  }
}
