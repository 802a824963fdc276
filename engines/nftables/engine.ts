/** The nftables engine: kube-proxy's table, connection tracking, and the hooks that a packet passes on one node (engines/README.md, section 9). */
import type { ClusterDelta, ClusterState, ServicePort } from '../../model/cluster.ts';
import type { Counters } from '../../model/counters.ts';
import { COUNTER_STRIDE, NAT_SETUPS } from '../../model/counters.ts';
import type { PacketBatch } from '../../model/packet.ts';
import { ORIGIN_HOST, ORIGIN_POD } from '../../model/packet.ts';
import type { ProxyConfig } from '../../model/service-config.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import type { SimTime } from '../../model/time.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_ENDPOINT,
  OUTCOME_REPLY,
  REASON_CONNTRACK_FULL,
  REASON_INVALID,
  REASON_NONE,
  REASON_PORT_CLASH,
} from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { StaleFlows } from '../conntrack/stale-flows.ts';
import {
  CT_ESTABLISHED,
  CT_FULL,
  CT_INVALID,
  CT_NEW,
  ConntrackTable,
  FLOW_DNAT,
  FLOW_MASQUERADED,
} from '../conntrack/table.ts';
import type { Engine, EngineFactory, EngineManifest, World } from '../engine.ts';
import { proxyConfig } from '../proxy/configs.ts';
import { ServiceTable } from './compile.ts';
import { dumpTable } from './dump.ts';
import { FilterWalk } from './filter-walk.ts';
import { NatWalk } from './nat-walk.ts';
import type { NodeFacts } from './node-facts.ts';
import { isLocal, nodeFacts } from './node-facts.ts';
import { PacketWalk } from './packet-walk.ts';
import { SyncCounter } from './report.ts';

const NFTABLES_MANIFEST: EngineManifest = {
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

/** Streams used: `numgen`, `source-port`. The kernel's own structure is indexed, so both evaluators are this one. */
export const createNftablesEngine: EngineFactory = (world) => new NftablesEngine(world);

class NftablesEngine implements Engine {
  readonly name = 'nftables';
  readonly supports = NFTABLES_MANIFEST;
  readonly #world: World;
  readonly #config: ProxyConfig;
  readonly #facts: NodeFacts;
  readonly #table: ServiceTable;
  readonly #filter: FilterWalk;
  readonly #nat: NatWalk;
  readonly #conntrack: ConntrackTable;
  readonly #staleFlows: StaleFlows;
  readonly #counter: SyncCounter;
  readonly #walk = new PacketWalk();
  readonly #portStream: RandomStream;
  readonly #masqueradeAddress: number;
  #synced = false;

  constructor(world: World) {
    const { node, options, rng } = world;
    if (node.addresses.length === 0) throw new Error(`Node "${node.name}" has no address`);
    this.#world = world;
    this.#config = proxyConfig(node, options);
    this.#facts = nodeFacts(node, options);
    this.#masqueradeAddress = node.addresses[0] | 0;
    this.#table = new ServiceTable(node, this.#facts);
    this.#filter = new FilterWalk(this.#facts, this.#table);
    this.#nat = new NatWalk(this.#facts, this.#table, rng.stream('numgen'));
    this.#conntrack = new ConntrackTable({ maxEntries: options.conntrackMax });
    this.#staleFlows = new StaleFlows(options.kubeProxy.conntrackCleanup, node.name);
    this.#counter = new SyncCounter(this.#table, this.#config);
    this.#portStream = rng.stream('source-port');
  }

  sync(state: ClusterState, now: SimTime): SyncReport {
    const wanted = new Set<number>();
    for (const { id } of state.servicePorts) {
      if (wanted.has(id)) throw new Error(`Two service ports have the id ${id}`);
      wanted.add(id);
    }
    const removedIds = [...this.#table.ids()].filter((id) => !wanted.has(id));
    this.#synced = true;
    return this.#sync('full', state.servicePorts, removedIds, now);
  }

  apply(delta: ClusterDelta, now: SimTime): SyncReport {
    if (!this.#synced) throw new Error('The first call of an engine must be sync');
    const upserted = new Map(delta.upserted.map((svc) => [svc.id, svc] as const));
    return this.#sync('partial', [...upserted.values()], delta.removedIds, now);
  }

  advance(): void {
    // Stale chains go with the next sync; expired entries and affinity elements are absent without any work.
  }

  nextTimer(): SimTime {
    return Infinity;
  }

  dump(form: 'kernel' | 'restore'): string {
    return dumpTable(form, this.#table, this.#world.node, this.#config);
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
      else if (status === CT_FULL) refuse(verdicts, i, REASON_CONNTRACK_FULL);
      else this.#laterPacket(packets, i, status !== CT_ESTABLISHED, verdicts, rows, row);
    }
  }

  /** The packet that creates an entry: nat is walked for it and for no other of its flow. */
  #firstPacket(packets: PacketBatch, i: number, verdicts: VerdictBatch, rows: Uint32Array, row: number): void {
    const walk = this.#enter(packets, i);
    const { chains } = this.#facts;
    const fromHost = packets.origin[i] === ORIGIN_HOST;
    walk.isNew = true;
    verdicts.first[i] = 1;
    let outcome = this.#filter.run(fromHost ? chains.outputPreDnat : chains.preroutingPreDnat, walk, rows, row);
    let delivered = false;
    if (outcome === OUTCOME_ACCEPT) {
      this.#table.affinity.clock[0] = packets.time[i];
      this.#nat.destination(walk, rows, row);
      if (walk.translated) {
        rows[row + NAT_SETUPS]++;
        verdicts.dstAddress[i] = walk.dst;
        verdicts.dstPort[i] = walk.dstPort;
      }
      delivered = !fromHost && isLocal(this.#facts.addresses, walk.dst);
      const behind = fromHost ? chains.outputPostDnat : delivered ? chains.input : chains.forward;
      outcome = this.#filter.run(behind, walk, rows, row);
    }
    verdicts.outcome[i] = outcome;
    verdicts.servicePortId[i] = walk.servicePortId;
    if (outcome === OUTCOME_ACCEPT) this.#confirm(walk, delivered, packets.srcPort[i], verdicts, i, rows, row);
    else verdicts.reason[i] = walk.reason;
  }

  /** POSTROUTING, unless the packet is delivered here, and the new entry. */
  #confirm(
    walk: PacketWalk,
    delivered: boolean,
    ownPort: number,
    verdicts: VerdictBatch,
    i: number,
    rows: Uint32Array,
    row: number,
  ): void {
    const conntrack = this.#conntrack;
    let flags = walk.translated ? FLOW_DNAT : 0;
    let source = walk.src;
    let sourcePort = ownPort;
    if (delivered) {
      if (!conntrack.isInverseFree(walk.dst, walk.dstPort)) {
        refuse(verdicts, i, REASON_PORT_CLASH);
        return;
      }
    } else {
      const masquerades = this.#nat.source(walk, rows, row);
      if (masquerades) {
        source = this.#masqueradeAddress;
        flags |= FLOW_MASQUERADED;
      }
      // `masquerade fully-random`: kube-proxy writes no other in this mode.
      if (!conntrack.chooseSource(source, walk.dst, walk.dstPort, this.#portStream, rows, row, masquerades)) {
        refuse(verdicts, i, REASON_PORT_CLASH);
        return;
      }
      if (masquerades || conntrack.chosenPort !== sourcePort) rows[row + NAT_SETUPS]++;
      sourcePort = conntrack.chosenPort;
      verdicts.masqueraded[i] = masquerades ? 1 : 0;
      verdicts.srcAddress[i] = source;
      verdicts.srcPort[i] = sourcePort;
    }
    if (walk.translated) verdicts.outcome[i] = OUTCOME_ENDPOINT;
    conntrack.confirm(walk.dst, walk.dstPort, source, sourcePort, flags, walk.servicePortId, rows, row);
  }

  /** A packet of a known flow: the filter chains, and the stored translation between them. */
  #laterPacket(
    packets: PacketBatch,
    i: number,
    isNew: boolean,
    verdicts: VerdictBatch,
    rows: Uint32Array,
    row: number,
  ): void {
    const conntrack = this.#conntrack;
    const { chains, addresses } = this.#facts;
    const entry = conntrack.entry;
    const flags = conntrack.flags(entry);
    const walk = this.#enter(packets, i);
    const fromHost = packets.origin[i] === ORIGIN_HOST;
    walk.isNew = isNew;
    walk.servicePortId = conntrack.servicePortId(entry);
    verdicts.masqueraded[i] = (flags & FLOW_MASQUERADED) === 0 ? 0 : 1;
    let outcome = this.#filter.run(fromHost ? chains.outputPreDnat : chains.preroutingPreDnat, walk, rows, row);
    let delivered = false;
    if (outcome === OUTCOME_ACCEPT) {
      if (conntrack.isReply) {
        walk.dst = conntrack.originalSrcAddress(entry) | 0;
        walk.dstPort = conntrack.originalSrcPort(entry);
      } else {
        walk.dst = conntrack.endpointAddress(entry) | 0;
        walk.dstPort = conntrack.endpointPort(entry);
      }
      verdicts.dstAddress[i] = walk.dst;
      verdicts.dstPort[i] = walk.dstPort;
      delivered = !fromHost && isLocal(addresses, walk.dst);
      const behind = fromHost ? chains.outputPostDnat : delivered ? chains.input : chains.forward;
      outcome = this.#filter.run(behind, walk, rows, row);
    }
    verdicts.servicePortId[i] = walk.servicePortId;
    if (outcome !== OUTCOME_ACCEPT) {
      verdicts.outcome[i] = outcome;
      verdicts.reason[i] = walk.reason;
    } else if (conntrack.isReply) {
      verdicts.srcAddress[i] = conntrack.originalDstAddress(entry);
      verdicts.srcPort[i] = conntrack.originalDstPort(entry);
      verdicts.outcome[i] = (flags & (FLOW_DNAT | FLOW_MASQUERADED)) === 0 ? OUTCOME_ACCEPT : OUTCOME_REPLY;
    } else {
      if (!delivered) {
        verdicts.srcAddress[i] = conntrack.translatedAddress(entry);
        verdicts.srcPort[i] = conntrack.translatedPort(entry);
      }
      verdicts.outcome[i] = (flags & FLOW_DNAT) === 0 ? OUTCOME_ACCEPT : OUTCOME_ENDPOINT;
    }
  }

  /** No rule refuses what conntrack calls INVALID: all of them ask for `ct state new`. */
  #invalidPacket(packets: PacketBatch, i: number, verdicts: VerdictBatch, rows: Uint32Array, row: number): void {
    const walk = this.#enter(packets, i);
    const { chains, addresses } = this.#facts;
    const fromHost = packets.origin[i] === ORIGIN_HOST;
    this.#filter.run(fromHost ? chains.outputPreDnat : chains.preroutingPreDnat, walk, rows, row);
    const delivered = isLocal(addresses, walk.dst);
    this.#filter.run(fromHost ? chains.outputPostDnat : delivered ? chains.input : chains.forward, walk, rows, row);
    verdicts.outcome[i] = OUTCOME_ACCEPT;
    verdicts.reason[i] = REASON_INVALID;
  }

  #enter(packets: PacketBatch, i: number): PacketWalk {
    const walk = this.#walk;
    walk.protocol = packets.protocol[i];
    walk.src = packets.srcAddress[i] | 0;
    walk.dst = packets.dstAddress[i] | 0;
    walk.dstPort = packets.dstPort[i];
    walk.isNew = false;
    walk.fromPodInterface = packets.origin[i] === ORIGIN_POD;
    walk.marked = false;
    walk.translated = false;
    walk.servicePortId = -1;
    return walk;
  }

  #sync(
    kind: SyncReport['kind'],
    upserted: readonly ServicePort[],
    removedIds: readonly number[],
    now: SimTime,
  ): SyncReport {
    const table = this.#table;
    const deletedChains = table.staleChains.deleteAged(now);
    for (const id of removedIds) {
      const svc = table.servicePort(id);
      if (svc !== undefined) this.#staleFlows.note(svc, undefined);
    }
    for (const svc of upserted) this.#staleFlows.note(table.servicePort(svc.id), svc);
    const operations = table.change(upserted, removedIds, kind === 'full');
    return this.#counter.report({
      kind,
      changedServicePorts: upserted.length,
      deletedChains,
      operations,
      flushedChains: table.staleChains.flush(now),
      conntrackDeletes: this.#staleFlows.clean(this.#conntrack, now, kind === 'full'),
    });
  }
}

function refuse(verdicts: VerdictBatch, i: number, reason: number): void {
  verdicts.outcome[i] = OUTCOME_DROP;
  verdicts.reason[i] = reason;
}
