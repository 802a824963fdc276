/** The iptables engine: kube-proxy's nat and filter rules, connection tracking, and the hooks that a packet passes on one node. */
import type { ClusterDelta, ClusterState } from '../../model/cluster.ts';
import type { Counters } from '../../model/counters.ts';
import { COUNTER_STRIDE, NAT_SETUPS } from '../../model/counters.ts';
import type { PacketBatch } from '../../model/packet.ts';
import { ORIGIN_HOST, ORIGIN_POD } from '../../model/packet.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import type { SimTime } from '../../model/time.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_ENDPOINT,
  REASON_CONNTRACK_FULL,
  REASON_INVALID,
  REASON_NONE,
  REASON_PORT_CLASH,
} from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import type { Engine, EngineFactory, EngineManifest, World } from '../engine.ts';
import { StaleFlows } from '../conntrack/stale-flows.ts';
import {
  CT_ESTABLISHED,
  CT_INVALID,
  CT_NEW,
  CT_NEW_REPEAT,
  ConntrackTable,
  FLOW_DNAT,
  FLOW_MASQUERADED,
  FLOW_REPLY,
} from '../conntrack/table.ts';
import { ServiceTable } from './compile.ts';
import { dumpRules } from './dump.ts';
import { IndexedEvaluator } from './indexed.ts';
import { LiteralEvaluator } from './literal.ts';
import type { NodeFacts } from './node-facts.ts';
import { isLocal, nodeFacts } from './node-facts.ts';
import type { Evaluator } from './packet-walk.ts';
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
} from './packet-walk.ts';
import { SyncCounter } from './report.ts';

const IPTABLES_MANIFEST: EngineManifest = {
  protocols: ['tcp', 'udp', 'sctp'],
  serviceTypes: ['ClusterIP', 'NodePort', 'LoadBalancer'],
  externalIps: true,
  sessionAffinity: true,
  trafficPolicyLocal: true,
  sourceRanges: true,
  ipFamilies: ['IPv4'],
  schedulers: [],
  partialSync: true,
};

/** Streams used: `service-order`, `statistic`, `source-port`. */
export const createIptablesEngine: EngineFactory = (world) => new IptablesEngine(world);

class IptablesEngine implements Engine {
  readonly name = 'iptables';
  readonly supports = IPTABLES_MANIFEST;
  readonly #facts: NodeFacts;
  readonly #table: ServiceTable;
  readonly #evaluator: Evaluator;
  readonly #conntrack: ConntrackTable;
  readonly #staleFlows: StaleFlows;
  readonly #counter: SyncCounter;
  readonly #walk = new PacketWalk();
  readonly #orderStream: RandomStream;
  readonly #portStream: RandomStream;
  readonly #masqueradeAddress: number;
  #synced = false;

  constructor(world: World) {
    if (world.node.addresses.length === 0) throw new Error(`Node "${world.node.name}" has no address`);
    const { node, options, rng } = world;
    this.#facts = nodeFacts(node, options);
    this.#masqueradeAddress = node.addresses[0] | 0;
    this.#conntrack = new ConntrackTable({ maxEntries: options.conntrackMax });
    this.#staleFlows = new StaleFlows(options.kubeProxy.conntrackCleanup, node.name);
    this.#table = new ServiceTable(this.#facts, this.#staleFlows);
    this.#counter = new SyncCounter(this.#table);
    this.#orderStream = rng.stream('service-order');
    this.#portStream = rng.stream('source-port');
    const statistic = rng.stream('statistic');
    this.#evaluator =
      options.evaluator === 'literal'
        ? new LiteralEvaluator(statistic, this.#table)
        : new IndexedEvaluator(statistic, this.#table);
  }

  sync(state: ClusterState, now: SimTime): SyncReport {
    this.#table.replaceAll(state, this.#orderStream);
    this.#synced = true;
    this.#evaluator.update();
    const deletes = this.#staleFlows.clean(this.#conntrack, now, true);
    return this.#counter.report(now, 'full', [], deletes);
  }

  /** Without partial syncs kube-proxy writes everything at each. */
  apply(delta: ClusterDelta, now: SimTime): SyncReport {
    if (!this.#synced) throw new Error('The first call of an engine must be sync');
    const isPartial = this.#facts.options.kubeProxy.iptablesPartialSync;
    const written = this.#table.change(delta, isPartial, this.#orderStream);
    this.#evaluator.update(isPartial ? written : undefined);
    const deletes = this.#staleFlows.clean(this.#conntrack, now, false);
    return this.#counter.report(now, isPartial ? 'partial' : 'full', written, deletes);
  }

  advance(): void {
    // Expired connection-tracking entries are absent without any work.
  }

  nextTimer(): SimTime {
    return Infinity;
  }

  dump(form: 'kernel' | 'restore'): string {
    return dumpRules(form, this.#table);
  }

  process(packets: PacketBatch, verdicts: VerdictBatch, work: Counters): void {
    const rows = work.rows;
    const conntrack = this.#conntrack;
    rows.fill(0, 0, packets.length * COUNTER_STRIDE);
    conntrack.lookAhead(packets);
    for (let i = 0; i < packets.length; i++) {
      const established = conntrack.trackRun(packets, i, verdicts, rows);
      this.#filterRun(packets, i, established, verdicts, rows);
      i = established;
      if (i === packets.length) break;
      const row = i * COUNTER_STRIDE;
      const status = conntrack.track(packets, i, rows, row);
      if (status === CT_ESTABLISHED || status === CT_NEW_REPEAT) {
        this.#laterPacket(packets, i, status === CT_ESTABLISHED, verdicts, rows, row);
        continue;
      }
      verdicts.reason[i] = REASON_NONE;
      verdicts.first[i] = 0;
      verdicts.masqueraded[i] = 0;
      verdicts.servicePortId[i] = -1;
      verdicts.srcAddress[i] = packets.srcAddress[i];
      verdicts.srcPort[i] = packets.srcPort[i];
      verdicts.dstAddress[i] = packets.dstAddress[i];
      verdicts.dstPort[i] = packets.dstPort[i];
      if (status === CT_NEW) this.#firstPacket(packets, i, verdicts, rows, row);
      else if (status === CT_INVALID) this.#invalidPacket(packets, i, verdicts, rows, row);
      else drop(verdicts, i, REASON_CONNTRACK_FULL);
    }
  }

  /** The packet that creates an entry: nat is walked for it and for no other of its flow. */
  #firstPacket(packets: PacketBatch, i: number, verdicts: VerdictBatch, rows: Uint32Array, row: number): void {
    const walk = this.#enter(packets, i);
    const fromHost = packets.origin[i] === ORIGIN_HOST;
    verdicts.first[i] = 1;
    walk.clock[0] = packets.time[i];
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
        drop(verdicts, i, REASON_PORT_CLASH);
        return;
      }
    } else {
      if (this.#evaluator.natSource(walk, rows, row)) {
        source = this.#masqueradeAddress;
        flags |= FLOW_MASQUERADED;
      }
      const random = this.#facts.options.masqueradeRandomFully && (flags & FLOW_MASQUERADED) !== 0;
      if (!conntrack.chooseSource(source, walk.dst, walk.dstPort, this.#portStream, rows, row, random)) {
        drop(verdicts, i, REASON_PORT_CLASH);
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
    conntrack.translate(verdicts, i);
    verdicts.reason[i] = REASON_NONE;
    verdicts.first[i] = 0;
    verdicts.masqueraded[i] = (flags & FLOW_MASQUERADED) === 0 ? 0 : 1;
    verdicts.servicePortId[i] = conntrack.servicePortId(entry);
    const state = (established ? STATE_ESTABLISHED : STATE_NEW) | ((flags & FLOW_DNAT) === 0 ? 0 : STATE_DNAT);
    this.#filterLater(packets, i, state, reply, verdicts, rows, row);
  }

  /** The filter table for packets `from` .. `end - 1`, whose verdicts `trackRun` has filled in. */
  #filterRun(packets: PacketBatch, from: number, end: number, verdicts: VerdictBatch, rows: Uint32Array): void {
    const { origin } = packets;
    const { dstAddress } = verdicts;
    const { addresses } = this.#facts;
    const { runFlags } = this.#conntrack;
    const evaluator = this.#evaluator;
    for (let i = from; i < end; i++) {
      const row = i * COUNTER_STRIDE;
      if (
        origin[i] === ORIGIN_HOST ||
        isLocal(addresses, dstAddress[i] | 0) ||
        !evaluator.forwardsEstablished(rows, row)
      ) {
        const state = STATE_ESTABLISHED | ((runFlags[i] & FLOW_DNAT) === 0 ? 0 : STATE_DNAT);
        this.#filterLater(packets, i, state, (runFlags[i] & FLOW_REPLY) !== 0, verdicts, rows, row);
      }
    }
  }

  /** The filter table for a packet of a known flow, whose verdict is what it is if the packet passes. */
  #filterLater(
    packets: PacketBatch,
    i: number,
    state: number,
    reply: boolean,
    verdicts: VerdictBatch,
    rows: Uint32Array,
    row: number,
  ): void {
    const walk = this.#enter(packets, i);
    walk.dst = verdicts.dstAddress[i] | 0;
    walk.dstPort = verdicts.dstPort[i];
    walk.servicePortId = verdicts.servicePortId[i];
    walk.state = state;
    const hook = this.#hook(packets.origin[i] === ORIGIN_HOST, walk.dst);
    const outcome = this.#evaluator.filter(hook, walk, rows, row);
    // The source is translated behind the filter, and not at all for what a local process takes.
    if (outcome !== OUTCOME_ACCEPT || (!reply && hook === HOOK_INPUT)) {
      verdicts.srcAddress[i] = packets.srcAddress[i];
      verdicts.srcPort[i] = packets.srcPort[i];
    }
    verdicts.servicePortId[i] = walk.servicePortId;
    if (outcome === OUTCOME_ACCEPT) return;
    verdicts.outcome[i] = outcome;
    verdicts.reason[i] = walk.reason;
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
    walk.fromPod = packets.origin[i] === ORIGIN_POD;
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
}

function drop(verdicts: VerdictBatch, i: number, reason: number): void {
  verdicts.outcome[i] = OUTCOME_DROP;
  verdicts.reason[i] = reason;
}
