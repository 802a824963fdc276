/** kube-proxy's IPVS mode and the kernel's IPVS on one node, on typed arrays. engines/README.md says what is modelled. */
import { formatCidr } from '../../model/address.ts';
import type { ClusterDelta, ClusterState } from '../../model/cluster.ts';
import { COUNTER_STRIDE } from '../../model/counters.ts';
import type { Counters } from '../../model/counters.ts';
import type { PacketBatch } from '../../model/packet.ts';
import { PROTOCOL_UDP } from '../../model/protocol.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import type { SimTime } from '../../model/time.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import { ConntrackTable } from '../conntrack/table.ts';
import { IPVS_SCHEDULERS } from '../engine.ts';
import type { Engine, EngineFactory, EngineManifest, IpvsScheduler, World } from '../engine.ts';
import { ConnectionTable } from './connection-table.ts';
import { dumpEngine } from './dump.ts';
import { Forwarding } from './forwarding.ts';
import { IpSets } from './ipsets.ts';
import { PacketPath } from './packet-path.ts';
import { RealServers } from './real-servers.ts';
import { RuleWalk } from './rule-walk.ts';
import { createScheduler } from './schedulers/create.ts';
import { ServiceTable } from './service-table.ts';
import { Syncer } from './sync.ts';

const MANIFEST: EngineManifest = {
  protocols: ['tcp', 'udp'],
  serviceTypes: ['ClusterIP', 'NodePort'],
  externalIps: false,
  sessionAffinity: false,
  trafficPolicyLocal: false,
  ipFamilies: ['IPv4'],
  schedulers: IPVS_SCHEDULERS,
  partialSync: false,
};

class IpvsEngine implements Engine {
  readonly name = 'ipvs';
  readonly supports = MANIFEST;
  readonly #scheduler: IpvsScheduler;
  readonly #servers: RealServers;
  readonly #connections: ConnectionTable;
  readonly #sets = new IpSets();
  readonly #walk: RuleWalk;
  readonly #syncer: Syncer;
  readonly #path: PacketPath;
  #hasSynced = false;

  constructor({ node, options, rng }: World) {
    const masqueradeAddress = node.addresses[0];
    if (masqueradeAddress === undefined) throw new Error(`Node ${node.name} has no address`);
    const isLiteral = options.evaluator === 'literal';
    const conntrack = new ConntrackTable();
    const ruleOptions = {
      masqueradeAll: options.masqueradeAll,
      masqueradeBit: options.masqueradeBit,
      clusterCidr: node.clusterCidr,
      clusterCidrText: node.clusterCidr === undefined ? '' : formatCidr(node.clusterCidr),
    };
    this.#scheduler = options.ipvsScheduler;
    this.#servers = new RealServers(new ServiceTable());
    const seed = rng.stream('connection-hash').nextUint32();
    this.#connections = new ConnectionTable(this.#servers, options.ipvsConnTabBits, seed);
    const scheduler = createScheduler(options.ipvsScheduler, this.#servers, rng);
    this.#walk = new RuleWalk(ruleOptions, isLiteral, this.#sets, node.addresses);
    const serviceOrder = rng.stream('service-order');
    this.#syncer = new Syncer(node, ruleOptions, this.#servers, scheduler, this.#sets, conntrack, serviceOrder);
    const forwarding = new Forwarding(isLiteral, this.#servers, this.#connections, scheduler);
    this.#path = new PacketPath(
      this.#walk,
      forwarding,
      this.#connections,
      conntrack,
      rng.stream('source-port'),
      masqueradeAddress,
    );
  }

  sync(state: ClusterState, now: SimTime): SyncReport {
    this.advance(now);
    this.#syncer.clearState();
    for (const servicePort of state.servicePorts) this.#syncer.upsert(servicePort);
    this.#hasSynced = true;
    return this.#finishSync(true, now);
  }

  apply(delta: ClusterDelta, now: SimTime): SyncReport {
    if (!this.#hasSynced) throw new Error('The first call of an engine must be sync');
    this.advance(now);
    let touchesUdp = false;
    for (const id of delta.removedIds) {
      if (this.#syncer.removeId(id)?.protocol === PROTOCOL_UDP) touchesUdp = true;
    }
    for (const servicePort of delta.upserted) {
      this.#syncer.upsert(servicePort);
      if (servicePort.protocol === PROTOCOL_UDP) touchesUdp = true;
    }
    return this.#finishSync(touchesUdp, now);
  }

  advance(now: SimTime): void {
    // At one instant connections expire first, then the termination list is checked.
    while (this.#syncer.nextCheck <= now) {
      this.#connections.expireUntil(this.#syncer.nextCheck);
      this.#syncer.checkTerminating();
    }
    this.#connections.expireUntil(now);
    this.#syncer.advanceClock(now);
  }

  nextTimer(): SimTime {
    return this.#syncer.nextCheck;
  }

  process(packets: PacketBatch, verdicts: VerdictBatch, work: Counters): void {
    const { length, time } = packets;
    const rows = work.rows;
    rows.fill(0, 0, length * COUNTER_STRIDE);
    for (let i = 0; i < length; i++) {
      this.advance(time[i]);
      this.#path.process(packets, i, verdicts, rows, i * COUNTER_STRIDE);
    }
  }

  dump(form: 'kernel' | 'restore'): string {
    return dumpEngine(form, this.#servers, this.#scheduler, this.#sets, this.#syncer.rules);
  }

  #finishSync(cleansUdp: boolean, now: SimTime): SyncReport {
    const report = this.#syncer.sync(cleansUdp, now);
    this.#walk.load(this.#syncer.rules);
    return report;
  }
}

export const createIpvsEngine: EngineFactory = (world) => new IpvsEngine(world);
