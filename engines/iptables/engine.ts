/** The iptables engine: kube-proxy's nat and filter rules, connection tracking, and the hooks that a packet passes on one node. */
import type { ClusterDelta, ClusterState, ServicePort } from '../../model/cluster.ts';
import type { Counters } from '../../model/counters.ts';
import { COUNTER_STRIDE, NAT_SETUPS } from '../../model/counters.ts';
import type { PacketBatch } from '../../model/packet.ts';
import { ORIGIN_HOST } from '../../model/packet.ts';
import { PROTOCOL_UDP } from '../../model/protocol.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import type { SimTime } from '../../model/time.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_ENDPOINT,
  OUTCOME_REPLY,
  REASON_INVALID,
  REASON_NONE,
  REASON_PORT_CLASH,
} from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import type { Engine, EngineFactory, EngineManifest, EngineOptions, World } from '../engine.ts';
import { CT_ESTABLISHED, CT_INVALID, CT_NEW, ConntrackTable, FLOW_DNAT, FLOW_MASQUERADED } from '../conntrack/table.ts';
import { ServiceTable, touchesUdp } from './compile.ts';
import { dumpRules } from './dump.ts';
import { withoutDuplicates } from './endpoints.ts';
import { IndexedEvaluator } from './indexed.ts';
import { LiteralEvaluator } from './literal.ts';
import type { Evaluator, NodeFacts } from './packet-walk.ts';
import {
  HOOK_FORWARD,
  HOOK_INPUT,
  HOOK_OUTPUT,
  HOOK_PREROUTING,
  PacketWalk,
  STATE_DNAT,
  STATE_ESTABLISHED,
  STATE_INVALID,
  STATE_NEW,
  hasMasqueradeRule,
  isLocal,
  nodeFacts,
} from './packet-walk.ts';
import { SyncCounter } from './report.ts';

const IPTABLES_MANIFEST: EngineManifest = {
  protocols: ['tcp', 'udp'],
  serviceTypes: ['ClusterIP', 'NodePort'],
  externalIps: false,
  sessionAffinity: false,
  trafficPolicyLocal: false,
  ipFamilies: ['IPv4'],
  schedulers: [],
  partialSync: true,
};

/** Streams used: `service-order`, `statistic`, `source-port`. */
export const createIptablesEngine: EngineFactory = (world) => new IptablesEngine(world);

class IptablesEngine implements Engine {
  readonly name = 'iptables';
  readonly supports = IPTABLES_MANIFEST;
  readonly #world: World;
  readonly #options: EngineOptions;
  readonly #facts: NodeFacts;
  readonly #table: ServiceTable;
  readonly #evaluator: Evaluator;
  readonly #conntrack = new ConntrackTable();
  readonly #counter: SyncCounter;
  readonly #walk = new PacketWalk();
  readonly #orderStream: RandomStream;
  readonly #portStream: RandomStream;
  readonly #masqueradeAddress: number;
  #synced = false;

  constructor(world: World) {
    if (world.node.addresses.length === 0) throw new Error(`Node "${world.node.name}" has no address`);
    this.#world = world;
    this.#options = world.options;
    this.#facts = nodeFacts(world.node, world.options);
    this.#masqueradeAddress = world.node.addresses[0] | 0;
    this.#table = new ServiceTable(hasMasqueradeRule(this.#facts) ? 1 : 0);
    this.#counter = new SyncCounter(this.#table);
    this.#orderStream = world.rng.stream('service-order');
    this.#portStream = world.rng.stream('source-port');
    const statistic = world.rng.stream('statistic');
    this.#evaluator =
      world.options.evaluator === 'literal'
        ? new LiteralEvaluator(this.#facts, statistic, this.#table)
        : new IndexedEvaluator(this.#facts, statistic, this.#table);
  }

  sync(state: ClusterState, now: SimTime): SyncReport {
    this.#table.replaceAll(state, this.#options.largeClusterEndpoints, this.#orderStream);
    this.#synced = true;
    this.#evaluator.update();
    return this.#report(now, undefined, true);
  }

  apply(delta: ClusterDelta, now: SimTime): SyncReport {
    if (!this.#synced) throw new Error('The first call of an engine must be sync');
    const udp = touchesUdp(this.#table, delta);
    const changed = this.#table.change(delta, this.#options.largeClusterEndpoints, this.#orderStream);
    this.#evaluator.update(changed);
    return this.#report(now, changed, udp);
  }

  advance(): void {
    // Expired connection-tracking entries are absent without any work.
  }

  nextTimer(): SimTime {
    return Infinity;
  }

  dump(form: 'kernel' | 'restore'): string {
    return dumpRules(form, this.#table, this.#world.node, this.#options);
  }

  process(packets: PacketBatch, verdicts: VerdictBatch, work: Counters): void {
    const rows = work.rows;
    const conntrack = this.#conntrack;
    for (let i = 0; i < packets.length; i++) {
      const row = i * COUNTER_STRIDE;
      for (let c = row; c < row + COUNTER_STRIDE; c++) rows[c] = 0;
      verdicts.reason[i] = REASON_NONE;
      verdicts.first[i] = 0;
      verdicts.masqueraded[i] = 0;
      verdicts.servicePortId[i] = -1;
      verdicts.srcAddress[i] = packets.srcAddress[i];
      verdicts.srcPort[i] = packets.srcPort[i];
      verdicts.dstAddress[i] = packets.dstAddress[i];
      verdicts.dstPort[i] = packets.dstPort[i];
      const status = conntrack.track(packets, i, rows, row);
      if (status === CT_NEW) this.#firstPacket(packets, i, verdicts, rows, row);
      else if (status === CT_INVALID) this.#invalidPacket(packets, i, verdicts, rows, row);
      else this.#laterPacket(packets, i, status === CT_ESTABLISHED, verdicts, rows, row);
    }
  }

  /** The packet that creates an entry: nat is walked for it and for no other of its flow. */
  #firstPacket(packets: PacketBatch, i: number, verdicts: VerdictBatch, rows: Uint32Array, row: number): void {
    const walk = this.#enter(packets, i);
    const fromHost = packets.origin[i] === ORIGIN_HOST;
    verdicts.first[i] = 1;
    this.#evaluator.natDestination(fromHost ? HOOK_OUTPUT : HOOK_PREROUTING, walk, rows, row);
    walk.state = STATE_NEW;
    let flags = 0;
    if (walk.translated) {
      walk.state |= STATE_DNAT;
      flags = FLOW_DNAT;
      rows[row + NAT_SETUPS]++;
      verdicts.dstAddress[i] = walk.dst;
      verdicts.dstPort[i] = walk.dstPort;
    }
    const hook = this.#hook(fromHost, walk.dst);
    const outcome = this.#evaluator.filter(hook, walk, rows, row);
    verdicts.outcome[i] = outcome;
    verdicts.servicePortId[i] = walk.servicePortId;
    if (outcome !== OUTCOME_ACCEPT) {
      verdicts.reason[i] = walk.reason;
      return;
    }
    const conntrack = this.#conntrack;
    let source = walk.src;
    let sourcePort = packets.srcPort[i];
    if (hook === HOOK_INPUT) {
      if (!conntrack.isInverseFree(walk.dst, walk.dstPort)) {
        this.#clash(verdicts, i);
        return;
      }
    } else {
      if (this.#evaluator.natSource(walk, rows, row)) {
        source = this.#masqueradeAddress;
        flags |= FLOW_MASQUERADED;
      }
      if (!conntrack.chooseSource(source, walk.dst, walk.dstPort, this.#portStream, rows, row)) {
        this.#clash(verdicts, i);
        return;
      }
      if ((flags & FLOW_MASQUERADED) !== 0 || conntrack.chosenPort !== sourcePort) rows[row + NAT_SETUPS]++;
      sourcePort = conntrack.chosenPort;
      verdicts.masqueraded[i] = (flags & FLOW_MASQUERADED) === 0 ? 0 : 1;
      verdicts.srcAddress[i] = source;
      verdicts.srcPort[i] = sourcePort;
    }
    if (walk.translated) verdicts.outcome[i] = OUTCOME_ENDPOINT;
    conntrack.confirm(walk.dst, walk.dstPort, source, sourcePort, flags, walk.servicePortId, rows, row);
  }

  /** A packet of a known flow: the stored translation, and the filter table. */
  #laterPacket(
    packets: PacketBatch,
    i: number,
    established: boolean,
    verdicts: VerdictBatch,
    rows: Uint32Array,
    row: number,
  ): void {
    const conntrack = this.#conntrack;
    const entry = conntrack.entry;
    const flags = conntrack.flags(entry);
    const reply = conntrack.isReply;
    const walk = this.#enter(packets, i);
    if (reply) {
      walk.dst = conntrack.originalSrcAddress(entry) | 0;
      walk.dstPort = conntrack.originalSrcPort(entry);
    } else {
      walk.dst = conntrack.endpointAddress(entry) | 0;
      walk.dstPort = conntrack.endpointPort(entry);
    }
    walk.servicePortId = conntrack.servicePortId(entry);
    walk.state = (established ? STATE_ESTABLISHED : STATE_NEW) | ((flags & FLOW_DNAT) === 0 ? 0 : STATE_DNAT);
    const hook = this.#hook(packets.origin[i] === ORIGIN_HOST, walk.dst);
    const outcome = this.#evaluator.filter(hook, walk, rows, row);
    verdicts.masqueraded[i] = (flags & FLOW_MASQUERADED) === 0 ? 0 : 1;
    verdicts.servicePortId[i] = walk.servicePortId;
    verdicts.dstAddress[i] = walk.dst;
    verdicts.dstPort[i] = walk.dstPort;
    if (outcome !== OUTCOME_ACCEPT) {
      verdicts.outcome[i] = outcome;
      verdicts.reason[i] = walk.reason;
    } else if (reply) {
      verdicts.srcAddress[i] = conntrack.originalDstAddress(entry);
      verdicts.srcPort[i] = conntrack.originalDstPort(entry);
      verdicts.outcome[i] = (flags & (FLOW_DNAT | FLOW_MASQUERADED)) === 0 ? OUTCOME_ACCEPT : OUTCOME_REPLY;
    } else {
      if (hook !== HOOK_INPUT) {
        verdicts.srcAddress[i] = conntrack.translatedAddress(entry);
        verdicts.srcPort[i] = conntrack.translatedPort(entry);
      }
      verdicts.outcome[i] = (flags & FLOW_DNAT) === 0 ? OUTCOME_ACCEPT : OUTCOME_ENDPOINT;
    }
  }

  #invalidPacket(packets: PacketBatch, i: number, verdicts: VerdictBatch, rows: Uint32Array, row: number): void {
    const walk = this.#enter(packets, i);
    walk.state = STATE_INVALID;
    const hook = this.#hook(packets.origin[i] === ORIGIN_HOST, walk.dst);
    verdicts.outcome[i] = this.#evaluator.filter(hook, walk, rows, row);
    verdicts.reason[i] = REASON_INVALID;
  }

  #enter(packets: PacketBatch, i: number): PacketWalk {
    const walk = this.#walk;
    walk.protocol = packets.protocol[i];
    walk.src = packets.srcAddress[i] | 0;
    walk.dst = packets.dstAddress[i] | 0;
    walk.dstPort = packets.dstPort[i];
    walk.marked = false;
    walk.translated = false;
    walk.servicePortId = -1;
    return walk;
  }

  /** Where routing sends a packet after nat: engines/README.md, section 4. */
  #hook(fromHost: boolean, dst: number): number {
    if (fromHost) return HOOK_OUTPUT;
    return isLocal(this.#facts.addresses, dst) ? HOOK_INPUT : HOOK_FORWARD;
  }

  #clash(verdicts: VerdictBatch, i: number): void {
    verdicts.outcome[i] = OUTCOME_DROP;
    verdicts.reason[i] = REASON_PORT_CLASH;
  }

  #report(now: SimTime, changed: readonly number[] | undefined, cleansUdp: boolean): SyncReport {
    const large = this.#table.knownEndpoints > this.#options.largeClusterEndpoints;
    const deletes = cleansUdp ? this.#conntrack.deleteStaleUdp(now, this.#isStaleUdp) : 0;
    return this.#counter.report(now, large, changed, deletes);
  }

  /** Whether a UDP flow goes to an endpoint that its service port no longer has (kube-proxy pkg/proxy/conntrack). */
  readonly #isStaleUdp = (dstAddress: number, dstPort: number, endpointAddress: number): boolean => {
    const svc = this.#udpServicePort(dstAddress, dstPort);
    if (svc === undefined) return false;
    const serving = withoutDuplicates(svc.endpoints).filter((endpoint) => endpoint.serving);
    return serving.length > 0 && !serving.some((endpoint) => endpoint.address === endpointAddress);
  };

  #udpServicePort(address: number, port: number): ServicePort | undefined {
    const table = this.#table;
    for (const chain of [table.services, table.rejects]) {
      const rule = chain.find(PROTOCOL_UDP, address, port);
      if (rule >= 0) return table.servicePorts[chain.slot(rule)];
    }
    if (!this.#facts.addresses.includes(address | 0)) return undefined;
    for (const chain of [table.nodePorts, table.externalRejects]) {
      const rule = chain.find(PROTOCOL_UDP, 0, port);
      if (rule >= 0) return table.servicePorts[chain.slot(rule)];
    }
    return undefined;
  }
}
