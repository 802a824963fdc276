/**
 * The userspace engine: rules that lead to kube-proxy's own process, and the process that copies between two connections
 * (engines/README.md, section 10).
 */
import type { ClusterDelta, ClusterState } from '../../model/cluster.ts';
import type { Counters } from '../../model/counters.ts';
import { COUNTER_STRIDE, NAT_SETUPS, USERSPACE_COPIES } from '../../model/counters.ts';
import type { PacketBatch } from '../../model/packet.ts';
import { ORIGIN_HOST, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { NO_SYNC_WORK } from '../../model/sync-report.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import type { SimTime } from '../../model/time.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_ENDPOINT,
  OUTCOME_REJECT,
  OUTCOME_REPLY,
  REASON_CONNTRACK_FULL,
  REASON_INVALID,
  REASON_NONE,
  REASON_NO_ANSWER,
  REASON_PORT_CLASH,
} from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { CT_ESTABLISHED, CT_FULL, CT_INVALID, CT_NEW, ConntrackTable, FLOW_DNAT } from '../conntrack/table.ts';
import type { Engine, EngineFactory, EngineManifest, World } from '../engine.ts';
import { Dialer } from './dialer.ts';
import { dumpPortals } from './dump.ts';
import { Hooks } from './hooks.ts';
import { Legs } from './legs.ts';
import type { Portal } from './portal-table.ts';
import { PortalTable } from './portal-table.ts';

const USERSPACE_MANIFEST: EngineManifest = {
  protocols: ['tcp', 'udp'],
  serviceTypes: ['ClusterIP', 'NodePort', 'LoadBalancer'],
  externalIps: true,
  sessionAffinity: true,
  trafficPolicyLocal: false,
  sourceRanges: false,
  ipFamilies: ['IPv4'],
  schedulers: [],
  partialSync: true,
};

/** Streams used: `service-order`, `endpoint-order`, `source-port`. */
export const createUserspaceEngine: EngineFactory = (world) => new UserspaceEngine(world);

class UserspaceEngine implements Engine {
  readonly name = 'userspace';
  readonly supports = USERSPACE_MANIFEST;
  readonly #world: World;
  readonly #conntrack: ConntrackTable;
  readonly #portals: PortalTable;
  readonly #hooks: Hooks;
  readonly #legs: Legs;
  readonly #dialer: Dialer;
  readonly #orderStream: RandomStream;
  readonly #portStream: RandomStream;
  readonly #nodeAddress: number;
  #synced = false;

  constructor(world: World) {
    const { node, options, rng } = world;
    if (node.addresses.length === 0) throw new Error(`Node "${node.name}" has no address`);
    this.#world = world;
    this.#nodeAddress = node.addresses[0];
    this.#conntrack = new ConntrackTable({ maxEntries: options.conntrackMax });
    this.#portals = new PortalTable(node, rng.stream('endpoint-order'));
    this.#hooks = new Hooks(this.#portals.chains, options.evaluator, node.addresses);
    this.#legs = new Legs(this.#conntrack);
    this.#orderStream = rng.stream('service-order');
    this.#portStream = rng.stream('source-port');
    this.#dialer = new Dialer({
      conntrack: this.#conntrack,
      hooks: this.#hooks,
      nodeAddress: this.#nodeAddress,
      answers: world.answers,
      portStream: this.#portStream,
    });
  }

  /** kube-proxy starts: every connection that an earlier process carried is gone. */
  sync(state: ClusterState): SyncReport {
    this.#legs.forgetAll();
    this.#portals.restart(state.servicePorts, this.#orderStream);
    this.#synced = true;
    return this.#report('full', this.#portals.count, 0);
  }

  apply(delta: ClusterDelta, now: SimTime): SyncReport {
    if (!this.#synced) throw new Error('The first call of an engine must be sync');
    const removed = this.#portals.change(delta).filter((svc) => svc.protocol === PROTOCOL_UDP);
    // unmergeService clears by address, whatever the port.
    const dead = new Set(removed.map((svc) => svc.clusterIp >>> 0));
    const deletes = dead.size === 0 ? 0 : this.#conntrack.deleteStaleUdp(now, (address) => dead.has(address));
    return this.#report('partial', new Set(delta.upserted.map((svc) => svc.id)).size, deletes);
  }

  interrupt(): void {
    this.#legs.forgetAll();
    this.#portals.clear();
  }

  advance(): void {
    // Expired connection-tracking entries and idle sockets are absent without any work.
  }

  nextTimer(): SimTime {
    return Infinity;
  }

  dump(form: 'kernel' | 'restore'): string {
    return dumpPortals(form, this.#portals.open, this.#world);
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
      const packet = this.#hooks.packet;
      packet.protocol = packets.protocol[i];
      packet.dst = packets.dstAddress[i] | 0;
      packet.dstPort = packets.dstPort[i];
      packet.isNew = status !== CT_ESTABLISHED && status !== CT_INVALID;
      if (status === CT_NEW) this.#firstPacket(packets, i, verdicts, rows, row);
      else if (status === CT_FULL) refuse(verdicts, i, OUTCOME_DROP, REASON_CONNTRACK_FULL);
      else if (status === CT_INVALID) {
        if (packets.origin[i] !== ORIGIN_HOST && this.#hooks.isLocal(packet.dst)) this.#hooks.filterInput(rows, row);
        refuse(verdicts, i, OUTCOME_ACCEPT, REASON_INVALID);
      } else this.#laterPacket(packets, i, verdicts, rows, row);
    }
  }

  #firstPacket(packets: PacketBatch, i: number, verdicts: VerdictBatch, rows: Uint32Array, row: number): void {
    const { packet } = this.#hooks;
    const fromHost = packets.origin[i] === ORIGIN_HOST;
    verdicts.first[i] = 1;
    const slot = this.#hooks.natDestination(fromHost, rows, row);
    const portal = slot < 0 ? undefined : this.#portals.portal(slot);
    if (portal !== undefined) {
      rows[row + NAT_SETUPS]++;
      packet.dst = this.#nodeAddress | 0;
      packet.dstPort = portal.proxyPort;
      verdicts.dstAddress[i] = this.#nodeAddress;
      verdicts.dstPort[i] = portal.proxyPort;
      verdicts.servicePortId[i] = portal.svc.id;
    }
    const entry = this.#confirm(packets, i, fromHost, portal, verdicts, rows, row);
    if (entry < 0) return;
    if (portal === undefined) {
      verdicts.outcome[i] = OUTCOME_ACCEPT;
      verdicts.srcPort[i] = this.#conntrack.translatedPort(entry);
      return;
    }
    const isTcp = packets.protocol[i] === PROTOCOL_TCP;
    if (isTcp && (packets.tcpFlags[i] & TCP_SYN) === 0) refuse(verdicts, i, OUTCOME_REJECT, REASON_NO_ANSWER);
    else if (this.#carryAnew(entry, portal, packets, i, verdicts, rows, row)) return;
    this.#conntrack.deleteEntry(entry);
  }

  /** Filter and source check of the packet that `track` found new, and its entry; -1 when it is dropped. */
  #confirm(
    packets: PacketBatch,
    i: number,
    fromHost: boolean,
    portal: Portal | undefined,
    verdicts: VerdictBatch,
    rows: Uint32Array,
    row: number,
  ): number {
    const conntrack = this.#conntrack;
    const { packet } = this.#hooks;
    const source = packets.srcAddress[i];
    let sourcePort = packets.srcPort[i];
    let isFree: boolean;
    if (!fromHost && this.#hooks.isLocal(packet.dst)) {
      this.#hooks.filterInput(rows, row);
      isFree = conntrack.isInverseFree(packet.dst, packet.dstPort);
    } else {
      isFree = conntrack.chooseSource(source, packet.dst, packet.dstPort, this.#portStream, rows, row);
      if (isFree && conntrack.chosenPort !== sourcePort) rows[row + NAT_SETUPS]++;
      sourcePort = conntrack.chosenPort;
    }
    if (!isFree) {
      refuse(verdicts, i, OUTCOME_DROP, REASON_PORT_CLASH);
      return -1;
    }
    const flags = portal === undefined ? 0 : FLOW_DNAT;
    return conntrack.confirm(
      packet.dst, packet.dstPort, source, sourcePort, flags, portal?.svc.id ?? -1, rows, row,
    ); // prettier-ignore
  }

  #laterPacket(packets: PacketBatch, i: number, verdicts: VerdictBatch, rows: Uint32Array, row: number): void {
    const conntrack = this.#conntrack;
    const { packet } = this.#hooks;
    const entry = conntrack.entry;
    const isReply = conntrack.isReply;
    const isPortal = (conntrack.flags(entry) & FLOW_DNAT) !== 0;
    const fromHost = packets.origin[i] === ORIGIN_HOST;
    packet.dst = (isReply ? conntrack.originalSrcAddress(entry) : conntrack.endpointAddress(entry)) | 0;
    packet.dstPort = isReply ? conntrack.originalSrcPort(entry) : conntrack.endpointPort(entry);
    const isInput = !fromHost && this.#hooks.isLocal(packet.dst);
    if (isInput) this.#hooks.filterInput(rows, row);
    verdicts.servicePortId[i] = conntrack.servicePortId(entry);
    verdicts.dstAddress[i] = packet.dst;
    verdicts.dstPort[i] = packet.dstPort;
    if (isPortal && !isReply) {
      this.#carry(entry, packets, i, verdicts, rows, row);
    } else if (isReply && this.#legs.isServerSide(entry)) {
      this.#answerClient(entry, packets, i, verdicts, rows, row);
    } else {
      verdicts.outcome[i] = isPortal ? OUTCOME_REPLY : OUTCOME_ACCEPT;
      if (isReply) {
        verdicts.srcAddress[i] = conntrack.originalDstAddress(entry);
        verdicts.srcPort[i] = conntrack.originalDstPort(entry);
      } else if (!isInput) {
        verdicts.srcAddress[i] = conntrack.translatedAddress(entry);
        verdicts.srcPort[i] = conntrack.translatedPort(entry);
      }
    }
  }

  /** A later packet of a client reaches the process. */
  #carry(leg1: number, packets: PacketBatch, i: number, verdicts: VerdictBatch, rows: Uint32Array, row: number): void {
    const conntrack = this.#conntrack;
    const now = packets.time[i];
    const leg2 = this.#legs.partner(leg1, now);
    if (packets.protocol[i] === PROTOCOL_TCP) {
      if (leg2 < 0) refuse(verdicts, i, OUTCOME_REJECT, REASON_NO_ANSWER);
      else this.#sendOn(leg2, packets, i, verdicts, rows, row);
      return;
    }
    const portal = this.#portals.ofProxyPort(PROTOCOL_UDP, conntrack.endpointPort(leg1));
    if (portal === undefined) refuse(verdicts, i, OUTCOME_REJECT, REASON_NO_ANSWER);
    else if (leg2 >= 0 && !this.#legs.isIdle(leg2, now)) this.#sendOn(leg2, packets, i, verdicts, rows, row);
    else this.#carryAnew(leg1, portal, packets, i, verdicts, rows, row);
  }

  #sendOn(leg2: number, packets: PacketBatch, i: number, verdicts: VerdictBatch, rows: Uint32Array, row: number): void {
    const now = packets.time[i];
    this.#legs.touch(leg2, now);
    this.#carried(leg2, packets, i, verdicts, rows, row);
    this.#dialer.send(leg2, packets.tcpFlags[i], now, rows, row);
  }

  /** Dials for the client of `leg1`; false, with the verdict set, when no endpoint took the connection. */
  #carryAnew(
    leg1: number,
    portal: Portal,
    packets: PacketBatch,
    i: number,
    verdicts: VerdictBatch,
    rows: Uint32Array,
    row: number,
  ): boolean {
    const now = packets.time[i];
    const leg2 = this.#dialer.dial(portal, packets.srcAddress[i], now, rows, row);
    if (leg2 < 0) {
      refuse(verdicts, i, OUTCOME_REJECT, this.#dialer.reason);
      return false;
    }
    this.#legs.join(leg1, leg2, now);
    this.#carried(leg2, packets, i, verdicts, rows, row);
    return true;
  }

  #carried(
    leg2: number,
    packets: PacketBatch,
    i: number,
    verdicts: VerdictBatch,
    rows: Uint32Array,
    row: number,
  ): void {
    const conntrack = this.#conntrack;
    verdicts.outcome[i] = OUTCOME_ENDPOINT;
    verdicts.masqueraded[i] = 1;
    verdicts.servicePortId[i] = conntrack.servicePortId(leg2);
    verdicts.srcAddress[i] = conntrack.translatedAddress(leg2);
    verdicts.srcPort[i] = conntrack.translatedPort(leg2);
    verdicts.dstAddress[i] = conntrack.endpointAddress(leg2);
    verdicts.dstPort[i] = conntrack.endpointPort(leg2);
    countCopy(packets, i, rows, row);
  }

  /** A packet of an endpoint reaches the process. */
  #answerClient(
    leg2: number,
    packets: PacketBatch,
    i: number,
    verdicts: VerdictBatch,
    rows: Uint32Array,
    row: number,
  ): void {
    const conntrack = this.#conntrack;
    const now = packets.time[i];
    const leg1 = this.#legs.partner(leg2, now);
    if (leg1 < 0 || (packets.protocol[i] === PROTOCOL_UDP && this.#isUdpClosed(leg1, leg2, now))) {
      refuse(verdicts, i, OUTCOME_REJECT, REASON_NO_ANSWER);
      return;
    }
    this.#legs.touch(leg2, now);
    verdicts.outcome[i] = OUTCOME_REPLY;
    verdicts.masqueraded[i] = 1;
    verdicts.servicePortId[i] = conntrack.servicePortId(leg2);
    verdicts.srcAddress[i] = conntrack.originalDstAddress(leg1);
    verdicts.srcPort[i] = conntrack.originalDstPort(leg1);
    verdicts.dstAddress[i] = conntrack.originalSrcAddress(leg1);
    verdicts.dstPort[i] = conntrack.originalSrcPort(leg1);
    countCopy(packets, i, rows, row);
    this.#dialer.answer(leg1, packets.tcpFlags[i], now, rows, row);
  }

  /** The socket of leg 2 is closed, or the one through which the process would answer the client. */
  #isUdpClosed(leg1: number, leg2: number, now: SimTime): boolean {
    if (this.#legs.isIdle(leg2, now)) return true;
    return this.#portals.ofProxyPort(PROTOCOL_UDP, this.#conntrack.endpointPort(leg1)) === undefined;
  }

  #report(kind: SyncReport['kind'], changed: number, conntrackDeletes: number): SyncReport {
    const { rules, commands, count } = this.#portals;
    return {
      ...NO_SYNC_WORK,
      kind,
      servicePorts: count,
      changedServicePorts: changed,
      rules,
      tableRules: rules,
      iptablesCommands: commands,
      conntrackDeletes,
    };
  }
}

function refuse(verdicts: VerdictBatch, i: number, outcome: number, reason: number): void {
  verdicts.outcome[i] = outcome;
  verdicts.reason[i] = reason;
}

/** The kernel makes and ends connections; the process copies what is in between. */
function countCopy(packets: PacketBatch, i: number, rows: Uint32Array, row: number): void {
  if (packets.protocol[i] === PROTOCOL_TCP && (packets.tcpFlags[i] & (TCP_SYN | TCP_RST)) !== 0) return;
  rows[row + USERSPACE_COPIES]++;
}
