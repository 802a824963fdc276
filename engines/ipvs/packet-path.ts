/**
 * One packet through the node in IPVS mode: conntrack, the hooks in their order, IPVS, the verdict. The order of hooks
 * is that of net/netfilter's priorities; engines/README.md sections 3, 4, 6 and 7 say what each step decides.
 */
import * as counters from '../../model/counters.ts';
import type { PacketBatch } from '../../model/packet.ts';
import * as packetModel from '../../model/packet.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import * as verdictModel from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import * as conntrackModel from '../conntrack/table.ts';
import type { ConntrackTable } from '../conntrack/table.ts';
import type { ConnectionTable } from './connection-table.ts';
import * as forwardingModel from './forwarding.ts';
import type { Forwarding } from './forwarding.ts';
import * as walkModel from './literal-walk.ts';
import type { WalkedPacket } from './literal-walk.ts';
import type { RuleWalk } from './rule-walk.ts';
import * as ruleModel from './rules.ts';
import * as tables from './service-table.ts';

/* A module's own constants are part of the compiled code; V8 loads an imported one anew at each use. */
const { NAT_SETUPS } = counters;
const { ORIGIN_HOST, ORIGIN_POD } = packetModel;
const {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_ENDPOINT,
  OUTCOME_REJECT,
  OUTCOME_REPLY,
  REASON_CONNTRACK_FULL,
  REASON_INVALID,
  REASON_NONE,
  REASON_NO_ENDPOINTS,
  REASON_PORT_CLASH,
  REASON_PORT_REUSED,
  REASON_SERVER_UNAVAILABLE,
  REASON_SOURCE_RANGE,
  REASON_UNUSED_VIP_PORT,
} = verdictModel;
const { CT_ESTABLISHED, CT_FULL, CT_INVALID, CT_NEW, FLOW_IPVS, FLOW_MASQUERADED } = conntrackModel;
const { IPVS_SERVER_GONE, IPVS_PASS, IPVS_PORT_REUSED, IPVS_REQUEST, TRACKED_NEW, TRACKED_OLD, UNTRACKED } =
  forwardingModel;
const { CTSTATE_ESTABLISHED, CTSTATE_INVALID, CTSTATE_NEW } = walkModel;
const { TARGET_DROP, TARGET_MASQUERADE, TARGET_MASQUERADE_HAIRPIN, TARGET_REJECT } = ruleModel;
const { NONE } = tables;

export class PacketPath {
  readonly #walk: RuleWalk;
  /** The packet in hand. */
  readonly #packet: WalkedPacket;
  readonly #forwarding: Forwarding;
  readonly #connections: ConnectionTable;
  readonly #conntrack: ConntrackTable;
  readonly #sourcePorts: RandomStream;
  /** The node's first address, which MASQUERADE takes. */
  readonly #masqueradeAddress: number;
  readonly #randomFully: boolean;

  // The verdict of the packet in hand but for its addresses and ports, which are the packet's; written to the batch at the end.
  #outcome = OUTCOME_ACCEPT;
  #reason = REASON_NONE;
  #servicePortId = -1;
  #isMasqueraded = false;

  constructor(
    walk: RuleWalk,
    forwarding: Forwarding,
    connections: ConnectionTable,
    conntrack: ConntrackTable,
    sourcePorts: RandomStream,
    masqueradeAddress: number,
    randomFully: boolean,
  ) {
    this.#walk = walk;
    this.#packet = walk.packet;
    this.#forwarding = forwarding;
    this.#connections = connections;
    this.#conntrack = conntrack;
    this.#sourcePorts = sourcePorts;
    this.#masqueradeAddress = masqueradeAddress | 0;
    this.#randomFully = randomFully;
  }

  /** Packets to come, which `process` decides one by one: looks up what no packet before them can change. */
  prepare(packets: PacketBatch): void {
    this.#walk.prepare(packets);
    this.#forwarding.prepare(packets);
  }

  /** Decides packet `i` of those that were prepared. The counters at rows[row ...] are zero before and complete after. */
  process(packets: PacketBatch, i: number, verdicts: VerdictBatch, rows: Uint32Array, row: number): void {
    const packet = this.#packet;
    packet.srcAddress = packets.srcAddress[i] | 0;
    packet.srcPort = packets.srcPort[i];
    packet.dstAddress = packets.dstAddress[i] | 0;
    packet.dstPort = packets.dstPort[i];
    packet.protocol = packets.protocol[i];
    packet.tcpFlags = packets.tcpFlags[i];
    const origin = packets.origin[i];
    packet.isFromPod = origin === ORIGIN_POD;
    packet.isMarked = false;
    packet.isOfIpvs = false;
    this.#outcome = OUTCOME_ACCEPT;
    this.#reason = REASON_NONE;
    this.#servicePortId = -1;
    this.#isMasqueraded = false;

    const conntrack = this.#conntrack;
    const status = conntrack.track(packets, i, rows, row);
    if (status === CT_FULL) {
      this.#outcome = OUTCOME_DROP;
      this.#reason = REASON_CONNTRACK_FULL;
    } else {
      this.#walk.begin(i, rows, row);
      this.#forwarding.begin(packet, i);
      packet.ctstate =
        status === CT_INVALID ? CTSTATE_INVALID : status === CT_ESTABLISHED ? CTSTATE_ESTABLISHED : CTSTATE_NEW;
      if (status === CT_INVALID) this.#reason = REASON_INVALID;
      const fromHost = origin === ORIGIN_HOST;
      const entry = conntrack.entry;
      if (entry < 0) this.#request(fromHost, status === CT_NEW, rows, row);
      else {
        // What every packet of a known flow carries, whatever happens to it.
        this.#isMasqueraded = (conntrack.flags(entry) & FLOW_MASQUERADED) !== 0;
        this.#servicePortId = conntrack.servicePortId(entry);
        if (conntrack.isReply) this.#reply(fromHost, entry, rows, row);
        else this.#request(fromHost, false, rows, row);
      }
    }
    verdicts.outcome[i] = this.#outcome;
    verdicts.reason[i] = this.#reason;
    verdicts.first[i] = status === CT_NEW ? 1 : 0;
    verdicts.masqueraded[i] = this.#isMasqueraded ? 1 : 0;
    verdicts.srcAddress[i] = packet.srcAddress;
    verdicts.srcPort[i] = packet.srcPort;
    verdicts.dstAddress[i] = packet.dstAddress;
    verdicts.dstPort[i] = packet.dstPort;
    verdicts.servicePortId[i] = this.#servicePortId;
  }

  /** conntrack's reply direction: the destination is the original client again before any hook sees the packet. */
  #reply(fromHost: boolean, entry: number, rows: Uint32Array, row: number): void {
    const conntrack = this.#conntrack;
    const packet = this.#packet;
    const walk = this.#walk;
    const clientAddress = conntrack.originalSrcAddress(entry) | 0;
    const clientPort = conntrack.originalSrcPort(entry);
    if (clientAddress !== packet.dstAddress || clientPort !== packet.dstPort) {
      packet.dstAddress = clientAddress;
      packet.dstPort = clientPort;
      walk.destinationChanged();
      this.#forwarding.destinationChanged(packet);
    }
    if (!fromHost && this.#isStopped(walk.isForNode() ? walk.filterInput() : walk.filterForward())) return;
    const slot = this.#forwarding.reply(packet, rows, row);
    const servicePortId = this.#servicePortId;
    if (fromHost) {
      if (slot !== NONE) this.#fromVirtual(slot);
      if (!this.#leavesByOutput()) return;
    }
    const flags = conntrack.flags(entry);
    if ((flags & FLOW_IPVS) === 0 && slot !== NONE) {
      this.#outcome = OUTCOME_REPLY;
      this.#fromVirtual(slot);
      return;
    }
    if ((flags & (FLOW_IPVS | FLOW_MASQUERADED)) !== 0) this.#outcome = OUTCOME_REPLY;
    this.#servicePortId = servicePortId;
    packet.srcAddress = conntrack.originalDstAddress(entry) | 0;
    packet.srcPort = conntrack.originalDstPort(entry);
  }

  /** The packet's source becomes the virtual address and port of the connection that it is a reply of. */
  #fromVirtual(slot: number): void {
    const packet = this.#packet;
    packet.srcAddress = this.#connections.virtualAddress(slot);
    packet.srcPort = this.#connections.virtualPort(slot);
    packet.isOfIpvs = true;
    this.#servicePortId = this.#connections.servicePortId(slot);
  }

  /** What filter INPUT or FORWARD made of the packet: true when it ends there. */
  #isStopped(target: number): boolean {
    if (target === TARGET_REJECT) {
      this.#outcome = OUTCOME_REJECT;
      this.#reason = REASON_UNUSED_VIP_PORT;
      return true;
    }
    if (target !== TARGET_DROP) return false;
    this.#dropBySource(this.#forwarding.servicePortOf(this.#packet));
    return true;
  }

  #dropBySource(servicePortId: number): void {
    this.#outcome = OUTCOME_DROP;
    this.#reason = REASON_SOURCE_RANGE;
    this.#servicePortId = servicePortId;
  }

  /** filter OUTPUT; false when the packet ends there. */
  #leavesByOutput(): boolean {
    if (this.#walk.filterOutput() !== TARGET_DROP) return true;
    this.#dropBySource(this.#packet.servicePortId);
    return false;
  }

  /** Original direction, a new flow, or INVALID. */
  #request(fromHost: boolean, isFirst: boolean, rows: Uint32Array, row: number): void {
    const walk = this.#walk;
    // The source that it came with.
    const ownAddress = this.#packet.srcAddress;
    const ownPort = this.#packet.srcPort;
    if (isFirst) walk.natDestination();
    let isLocalDelivery = false;
    if (fromHost) {
      if (!this.#hooks(isFirst, rows, row) || !this.#leavesByOutput()) return;
    } else if (walk.isForNode()) {
      if (this.#isStopped(walk.filterInput()) || !this.#hooks(isFirst, rows, row)) return;
      // Translated requests leave the node again through LOCAL_OUT and POSTROUTING.
      isLocalDelivery = this.#outcome !== OUTCOME_ENDPOINT;
      if (!isLocalDelivery && !this.#leavesByOutput()) return;
    } else {
      if (this.#isStopped(walk.filterForward())) return;
      const slot = this.#forwarding.reply(this.#packet, rows, row);
      if (slot !== NONE) this.#isReplyOf(slot);
    }
    if (isFirst) this.#leaveFirst(ownAddress, ownPort, isLocalDelivery, rows, row);
    else if (!isLocalDelivery) this.#leaveLater();
  }

  /** LOCAL_IN and LOCAL_OUT: reply look-up, then request; false when the packet ends here. */
  #hooks(isFirst: boolean, rows: Uint32Array, row: number): boolean {
    const forwarding = this.#forwarding;
    const packet = this.#packet;
    const slot = forwarding.reply(packet, rows, row);
    if (slot !== NONE) {
      this.#isReplyOf(slot);
      return true;
    }
    const tracking = isFirst ? TRACKED_NEW : this.#conntrack.entry < 0 ? UNTRACKED : TRACKED_OLD;
    const verdict = forwarding.request(packet, tracking, rows, row);
    if (verdict === IPVS_PASS) return true;
    this.#servicePortId = forwarding.servicePortId;
    if (verdict === IPVS_REQUEST) {
      this.#outcome = OUTCOME_ENDPOINT;
      this.#reason = REASON_NONE;
      packet.isOfIpvs = true;
      packet.dstAddress = this.#connections.serverAddress(forwarding.connection);
      packet.dstPort = this.#connections.serverPort(forwarding.connection);
      return true;
    }
    if (verdict === IPVS_PORT_REUSED || verdict === IPVS_SERVER_GONE) {
      this.#outcome = OUTCOME_DROP;
      this.#reason = verdict === IPVS_PORT_REUSED ? REASON_PORT_REUSED : REASON_SERVER_UNAVAILABLE;
      // ip_vs_conn_expire, ip_vs_conn_drop_conntrack
      if (tracking === TRACKED_OLD) this.#conntrack.deleteEntry(this.#conntrack.entry);
      return false;
    }
    this.#outcome = OUTCOME_REJECT;
    this.#reason = REASON_NO_ENDPOINTS;
    return false;
  }

  #isReplyOf(slot: number): void {
    this.#outcome = OUTCOME_REPLY;
    this.#reason = REASON_NONE;
    this.#fromVirtual(slot);
  }

  /** A later packet of a flow, or an INVALID one, at POSTROUTING: nat is not walked, the stored source applies. */
  #leaveLater(): void {
    const conntrack = this.#conntrack;
    const entry = conntrack.entry;
    if (entry < 0 || this.#outcome === OUTCOME_REPLY) return;
    this.#packet.srcAddress = conntrack.translatedAddress(entry) | 0;
    this.#packet.srcPort = conntrack.translatedPort(entry);
  }

  /** The creating packet at POSTROUTING (or at local delivery), and its confirmation. */
  #leaveFirst(ownAddress: number, ownPort: number, isLocalDelivery: boolean, rows: Uint32Array, row: number): void {
    const conntrack = this.#conntrack;
    const packet = this.#packet;
    const { dstAddress, dstPort } = packet;
    let sourceAddress = ownAddress;
    let sourcePort = ownPort;
    let masquerades = false;
    if (isLocalDelivery) {
      if (!conntrack.isInverseFree(dstAddress, dstPort)) {
        this.#clash(ownAddress, ownPort);
        return;
      }
    } else {
      const target = this.#walk.natPostrouting();
      masquerades = target === TARGET_MASQUERADE || target === TARGET_MASQUERADE_HAIRPIN;
      if (masquerades) sourceAddress = this.#masqueradeAddress;
      const searches = this.#randomFully && target === TARGET_MASQUERADE;
      if (!conntrack.chooseSource(sourceAddress, dstAddress, dstPort, this.#sourcePorts, rows, row, searches)) {
        this.#clash(ownAddress, ownPort);
        return;
      }
      sourcePort = conntrack.chosenPort;
      if (masquerades || sourcePort !== ownPort) rows[row + NAT_SETUPS]++;
    }
    this.#isMasqueraded = masquerades;
    const flags = (masquerades ? FLOW_MASQUERADED : 0) | (this.#outcome === OUTCOME_ENDPOINT ? FLOW_IPVS : 0);
    const id = this.#servicePortId;
    conntrack.confirm(dstAddress, dstPort, sourceAddress, sourcePort, flags, id, rows, row);
    if (this.#outcome !== OUTCOME_REPLY) {
      packet.srcAddress = sourceAddress;
      packet.srcPort = sourcePort;
    }
  }

  /** No free tuple: the packet is dropped at confirm, with the source that it came with. */
  #clash(ownAddress: number, ownPort: number): void {
    this.#outcome = OUTCOME_DROP;
    this.#reason = REASON_PORT_CLASH;
    this.#packet.srcAddress = ownAddress;
    this.#packet.srcPort = ownPort;
  }
}
