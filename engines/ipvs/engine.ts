/** kube-proxy's IPVS mode and the kernel's IPVS on one node, on typed arrays. engines/README.md says what is modelled. */
import type { ClusterDelta, ClusterState, NodeSpec, ServicePort } from '../../model/cluster.ts';
import * as counters from '../../model/counters.ts';
import type { Counters } from '../../model/counters.ts';
import type { PacketBatch } from '../../model/packet.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import type { SimTime } from '../../model/time.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import { StaleFlows } from '../conntrack/stale-flows.ts';
import { ConntrackTable } from '../conntrack/table.ts';
import * as engineModel from '../engine.ts';
import type { Engine, EngineFactory, EngineManifest, EngineOptions, World } from '../engine.ts';
import { ConnectionTable } from './connection-table.ts';
import { dumpEngine } from './dump.ts';
import * as queues from './expiry-queues.ts';
import { Forwarding, reusePolicy } from './forwarding.ts';
import { GracefulTermination } from './graceful-termination.ts';
import { IpSets } from './ipsets.ts';
import { PacketPath } from './packet-path.ts';
import { RealServers } from './real-servers.ts';
import { RuleWalk } from './rule-walk.ts';
import type { LocalDetector } from './rules.ts';
import { createScheduler } from './schedulers/create.ts';
import { ServiceTable } from './service-table.ts';
import { Syncer } from './sync.ts';

/* A module's own constants are part of the compiled code; V8 loads an imported one anew at each use. */
const { COUNTER_STRIDE } = counters;
const { IPVS_SCHEDULERS } = engineModel;
const { EARLIEST, NOW } = queues;

const MANIFEST: EngineManifest = {
  protocols: ['tcp', 'udp', 'sctp'],
  serviceTypes: ['ClusterIP', 'NodePort', 'LoadBalancer'],
  externalIps: true,
  sessionAffinity: true,
  trafficPolicyLocal: true,
  sourceRanges: true,
  ipFamilies: ['IPv4'],
  schedulers: IPVS_SCHEDULERS,
  partialSync: false,
};

class IpvsEngine implements Engine {
  readonly name = 'ipvs';
  readonly supports = MANIFEST;
  readonly #node: NodeSpec;
  readonly #options: EngineOptions;
  readonly #servers: RealServers;
  readonly #connections: ConnectionTable;
  readonly #conntrack: ConntrackTable;
  readonly #staleFlows: StaleFlows;
  readonly #termination: GracefulTermination;
  readonly #walk: RuleWalk;
  readonly #syncer: Syncer;
  readonly #path: PacketPath;
  #hasSynced = false;

  constructor({ node, options, rng }: World) {
    const masqueradeAddress = node.addresses[0];
    if (masqueradeAddress === undefined) throw new Error(`Node ${node.name} has no address`);
    this.#node = node;
    this.#options = options;
    const isLiteral = options.evaluator === 'literal';
    const { masqueradeAll, nodePortAddresses, masqueradeRandomFully } = options;
    const ruleOptions = { masqueradeAll, detector: detectorOf(node) };
    const sets = new IpSets();
    this.#conntrack = new ConntrackTable({ maxEntries: options.conntrackMax });
    this.#staleFlows = new StaleFlows(options.kubeProxy.conntrackCleanup, node.name);
    this.#servers = new RealServers(new ServiceTable());
    const servers = this.#servers;
    const seed = rng.stream('connection-hash').nextUint32();
    this.#connections = new ConnectionTable(servers, options.ipvsConnTabBits, seed);
    const scheduler = createScheduler(options.ipvsScheduler, servers, rng);
    const reuse = reusePolicy(options.ipvsConnReuseMode, options.kernel);
    const forwarding = new Forwarding(isLiteral, servers, this.#connections, scheduler, reuse);
    this.#walk = new RuleWalk(ruleOptions, isLiteral, sets, node.addresses, forwarding.isOfVirtualServer);
    this.#termination = new GracefulTermination(servers);
    this.#syncer = new Syncer({
      node,
      nodePortAddresses,
      ruleOptions,
      servers,
      scheduler,
      sets,
      termination: this.#termination,
      serviceOrder: rng.stream('service-order'),
    });
    this.#path = new PacketPath(
      this.#walk,
      forwarding,
      this.#connections,
      this.#conntrack,
      rng.stream('source-port'),
      masqueradeAddress,
      masqueradeRandomFully,
    );
  }

  sync(state: ClusterState, now: SimTime): SyncReport {
    this.advance(now);
    const known = this.#syncer.servicePorts;
    if (known.size > 0) {
      const wanted = new Set(state.servicePorts.map(({ id }) => id));
      for (const id of [...known.keys()]) if (!wanted.has(id)) this.#remove(id);
    }
    for (const servicePort of state.servicePorts) this.#upsert(servicePort);
    this.#hasSynced = true;
    return this.#finishSync(true, now);
  }

  apply(delta: ClusterDelta, now: SimTime): SyncReport {
    if (!this.#hasSynced) throw new Error('The first call of an engine must be sync');
    this.advance(now);
    for (const id of delta.removedIds) this.#remove(id);
    for (const servicePort of delta.upserted) this.#upsert(servicePort);
    return this.#finishSync(false, now);
  }

  advance(now: SimTime): void {
    // At one instant connections expire first, then the termination list is checked.
    while (this.#termination.nextCheck <= now) {
      this.#connections.expireUntil(this.#termination.nextCheck);
      this.#termination.check(this.#deleteServer);
    }
    this.#connections.expireUntil(now);
    this.#termination.advanceClock(now);
  }

  nextTimer(): SimTime {
    return this.#termination.nextCheck;
  }

  process(packets: PacketBatch, verdicts: VerdictBatch, work: Counters): void {
    const { length, time } = packets;
    if (length === 0) return;
    const rows = work.rows;
    const path = this.#path;
    const connections = this.#connections;
    const { clock } = connections;
    rows.fill(0, 0, length * COUNTER_STRIDE);
    path.prepare(packets);
    let check = this.#termination.nextCheck;
    for (let i = 0; i < length; i++) {
      const now = time[i];
      if (now >= check) {
        this.advance(now);
        check = this.#termination.nextCheck;
      } else {
        clock[NOW] = now;
        if (now >= clock[EARLIEST]) connections.expireDue();
      }
      path.process(packets, i, verdicts, rows, i * COUNTER_STRIDE);
    }
    this.#termination.advanceClock(time[length - 1]);
  }

  dump(form: 'kernel' | 'restore'): string {
    return dumpEngine(form, this.#servers, this.#syncer.servicePorts, this.#node, this.#options);
  }

  readonly #deleteServer = (server: number): void => this.#syncer.deleteServer(server);

  #upsert(servicePort: ServicePort): void {
    this.#staleFlows.note(this.#syncer.servicePorts.get(servicePort.id), servicePort);
    this.#syncer.upsert(servicePort);
  }

  #remove(id: number): void {
    const known = this.#syncer.servicePorts.get(id);
    if (known === undefined) return;
    this.#staleFlows.note(known, undefined);
    this.#syncer.remove(id);
  }

  #finishSync(isFull: boolean, now: SimTime): SyncReport {
    const report = this.#syncer.sync();
    this.#walk.load(this.#syncer.rules, this.#syncer.blockedVips);
    return { ...report, conntrackDeletes: this.#staleFlows.clean(this.#conntrack, now, isFull) };
  }
}

/** detectLocalMode: by interface where the node names one, else by the pods' block of addresses. */
function detectorOf({ podInterface, clusterCidr }: NodeSpec): LocalDetector {
  if (podInterface !== undefined) return { kind: 'interface' };
  return clusterCidr === undefined ? { kind: 'none' } : { kind: 'cidr', cidr: clusterCidr };
}

export const createIpvsEngine: EngineFactory = (world) => new IpvsEngine(world);
