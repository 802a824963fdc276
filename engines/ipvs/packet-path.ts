/**
 * One packet through the node in IPVS mode: conntrack, the hooks in their order, IPVS, the verdict. The order of hooks
 * is that of net/netfilter's priorities; engines/README.md sections 3, 4, 6 and 7 say what each step decides.
 */
import { NAT_SETUPS } from '../../model/counters.ts';
import type { PacketBatch } from '../../model/packet.ts';
import { ORIGIN_HOST, ORIGIN_POD } from '../../model/packet.ts';
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
  REASON_NO_ENDPOINTS,
  REASON_PORT_CLASH,
  REASON_PORT_REUSED,
  REASON_SERVER_UNAVAILABLE,
  REASON_SOURCE_RANGE,
  REASON_UNUSED_VIP_PORT,
} from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { CT_ESTABLISHED, CT_FULL, CT_INVALID, CT_NEW, FLOW_IPVS, FLOW_MASQUERADED } from '../conntrack/table.ts';
import type { ConntrackTable, TrackStatus } from '../conntrack/table.ts';
import type { ConnectionTable } from './connection-table.ts';
import { IPVS_SERVER_GONE, IPVS_PASS, IPVS_PORT_REUSED, IPVS_REQUEST } from './forwarding.ts';
import { TRACKED_NEW, TRACKED_OLD, UNTRACKED } from './forwarding.ts';
import type { Forwarding } from './forwarding.ts';
import { CTSTATE_ESTABLISHED, CTSTATE_INVALID, CTSTATE_NEW } from './literal-walk.ts';
import type { WalkedPacket } from './literal-walk.ts';
import type { RuleWalk } from './rule-walk.ts';
import { TARGET_DROP, TARGET_MASQUERADE, TARGET_MASQUERADE_HAIRPIN, TARGET_REJECT } from './rules.ts';
import { NONE } from './service-table.ts';

export class PacketPath {
  readonly #walk: RuleWalk;
  readonly #walked: WalkedPacket;
  readonly #forwarding: Forwarding;
  readonly #connections: ConnectionTable;
  readonly #conntrack: ConntrackTable;
  readonly #sourcePorts: RandomStream;
  /** The node's first address, which MASQUERADE takes. */
  readonly #masqueradeAddress: number;
  readonly #randomFully: boolean;
  #rows: Uint32Array = new Uint32Array(0);
  #row = 0;

  // The verdict of the packet in hand; written to the batch at the end.
  #outcome = OUTCOME_ACCEPT;
  #reason = REASON_NONE;
  #servicePortId = -1;
  #isMasqueraded = false;
  #srcAddress = 0;
  #srcPort = 0;
  #dstAddress = 0;
  #dstPort = 0;

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
    this.#walked = walk.packet;
    this.#forwarding = forwarding;
    this.#connections = connections;
    this.#conntrack = conntrack;
    this.#sourcePorts = sourcePorts;
    this.#masqueradeAddress = masqueradeAddress;
    this.#randomFully = randomFully;
  }

  /** Decides packet `i`. The counters at rows[row ...] are zero before and complete after. */
  process(packets: PacketBatch, i: number, verdicts: VerdictBatch, rows: Uint32Array, row: number): void {
    const conntrack = this.#conntrack;
    this.#rows = rows;
    this.#row = row;
    this.#outcome = OUTCOME_ACCEPT;
    this.#reason = REASON_NONE;
    this.#servicePortId = -1;
    this.#isMasqueraded = false;
    this.#srcAddress = packets.srcAddress[i];
    this.#srcPort = packets.srcPort[i];
    this.#dstAddress = packets.dstAddress[i];
    this.#dstPort = packets.dstPort[i];

    const status = conntrack.track(packets, i, rows, row);
    if (status === CT_FULL) {
      this.#outcome = OUTCOME_DROP;
      this.#reason = REASON_CONNTRACK_FULL;
    } else this.#pass(packets, i, status);
    verdicts.outcome[i] = this.#outcome;
    verdicts.reason[i] = this.#reason;
    verdicts.first[i] = status === CT_NEW ? 1 : 0;
    verdicts.masqueraded[i] = this.#isMasqueraded ? 1 : 0;
    verdicts.srcAddress[i] = this.#srcAddress;
    verdicts.srcPort[i] = this.#srcPort;
    verdicts.dstAddress[i] = this.#dstAddress;
    verdicts.dstPort[i] = this.#dstPort;
    verdicts.servicePortId[i] = this.#servicePortId;
  }

  /** Through the hooks. */
  #pass(packets: PacketBatch, i: number, status: TrackStatus): void {
    const conntrack = this.#conntrack;
    const walk = this.#walk;
    walk.begin(this.#rows, this.#row);
    const walked = this.#walked;
    walked.isMarked = false;
    walked.isOfIpvs = false;
    walked.isFromPod = packets.origin[i] === ORIGIN_POD;
    walked.protocol = packets.protocol[i];
    this.#showSource();
    this.#showDestination();
    walked.ctstate =
      status === CT_INVALID ? CTSTATE_INVALID : status === CT_ESTABLISHED ? CTSTATE_ESTABLISHED : CTSTATE_NEW;
    if (status === CT_INVALID) this.#reason = REASON_INVALID;
    if (conntrack.entry < 0) this.#request(packets, i, status === CT_NEW);
    else {
      this.#ofEntry();
      if (conntrack.isReply) this.#reply(packets, i);
      else this.#request(packets, i, false);
    }
  }

  /** The next hook sees the source as it is now. */
  #showSource(): void {
    const packet = this.#walked;
    packet.srcAddress = this.#srcAddress;
    packet.srcPort = this.#srcPort;
  }

  #showDestination(): void {
    const packet = this.#walked;
    packet.dstAddress = this.#dstAddress;
    packet.dstPort = this.#dstPort;
  }

  /** What every packet of a known flow carries, whatever happens to it. */
  #ofEntry(): void {
    const conntrack = this.#conntrack;
    this.#isMasqueraded = (conntrack.flags(conntrack.entry) & FLOW_MASQUERADED) !== 0;
    this.#servicePortId = conntrack.servicePortId(conntrack.entry);
  }

  /** conntrack's reply direction: the destination is the original client again before any hook sees the packet. */
  #reply(packets: PacketBatch, i: number): void {
    const conntrack = this.#conntrack;
    const entry = conntrack.entry;
    const walk = this.#walk;
    this.#dstAddress = conntrack.originalSrcAddress(entry);
    this.#dstPort = conntrack.originalSrcPort(entry);
    this.#showDestination();
    const fromHost = packets.origin[i] === ORIGIN_HOST;
    if (!fromHost && this.#isStopped(walk.isLocal(this.#dstAddress) ? walk.filterInput() : walk.filterForward()))
      return;
    const slot = this.#replyLookup(packets, i);
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
    this.#srcAddress = conntrack.originalDstAddress(entry);
    this.#srcPort = conntrack.originalDstPort(entry);
  }

  #replyLookup(packets: PacketBatch, i: number): number {
    return this.#forwarding.reply(
      packets.protocol[i],
      this.#srcAddress,
      this.#srcPort,
      this.#dstAddress,
      this.#dstPort,
      packets.tcpFlags[i],
      this.#rows,
      this.#row,
    );
  }

  /** The packet's source becomes the virtual address and port of the connection that it is a reply of. */
  #fromVirtual(slot: number): void {
    this.#srcAddress = this.#connections.virtualAddress[slot];
    this.#srcPort = this.#connections.virtualPort[slot];
    this.#servicePortId = this.#connections.servicePortId[slot];
    this.#walked.isOfIpvs = true;
  }

  /** What filter INPUT or FORWARD made of the packet: true when it ends there. */
  #isStopped(target: number): boolean {
    if (target === TARGET_REJECT) {
      this.#outcome = OUTCOME_REJECT;
      this.#reason = REASON_UNUSED_VIP_PORT;
      return true;
    }
    if (target !== TARGET_DROP) return false;
    this.#dropBySource(this.#forwarding.servicePortOf(this.#walked.protocol, this.#dstAddress, this.#dstPort));
    return true;
  }

  #dropBySource(servicePortId: number): void {
    this.#outcome = OUTCOME_DROP;
    this.#reason = REASON_SOURCE_RANGE;
    this.#servicePortId = servicePortId;
  }

  /** filter OUTPUT; false when the packet ends there. */
  #leavesByOutput(): boolean {
    if (this.#walk.looksAtOutput) {
      this.#showSource();
      this.#showDestination();
    }
    if (this.#walk.filterOutput() !== TARGET_DROP) return true;
    this.#dropBySource(this.#walked.servicePortId);
    return false;
  }

  /** Original direction, a new flow, or INVALID. */
  #request(packets: PacketBatch, i: number, isFirst: boolean): void {
    const walk = this.#walk;
    if (isFirst) walk.natDestination();
    let isLocalDelivery = false;
    if (packets.origin[i] === ORIGIN_HOST) {
      if (!this.#hooks(packets, i, isFirst) || !this.#leavesByOutput()) return;
    } else if (walk.isLocal(this.#dstAddress)) {
      if (this.#isStopped(walk.filterInput()) || !this.#hooks(packets, i, isFirst)) return;
      // Translated requests leave the node again through LOCAL_OUT and POSTROUTING.
      isLocalDelivery = this.#outcome !== OUTCOME_ENDPOINT;
      if (!isLocalDelivery && !this.#leavesByOutput()) return;
    } else {
      if (this.#isStopped(walk.filterForward())) return;
      const slot = this.#replyLookup(packets, i);
      if (slot !== NONE) this.#isReplyOf(slot);
    }
    if (isFirst) this.#leaveFirst(packets, i, isLocalDelivery);
    else if (!isLocalDelivery) this.#leaveLater();
  }

  /** LOCAL_IN and LOCAL_OUT: reply look-up, then request; false when the packet ends here. */
  #hooks(packets: PacketBatch, i: number, isFirst: boolean): boolean {
    const slot = this.#replyLookup(packets, i);
    if (slot !== NONE) {
      this.#isReplyOf(slot);
      return true;
    }
    const forwarding = this.#forwarding;
    const tracking = isFirst ? TRACKED_NEW : this.#conntrack.entry < 0 ? UNTRACKED : TRACKED_OLD;
    const verdict = forwarding.request(
      packets.protocol[i],
      this.#srcAddress,
      this.#srcPort,
      this.#dstAddress,
      this.#dstPort,
      packets.tcpFlags[i],
      tracking,
      this.#rows,
      this.#row,
    );
    if (verdict === IPVS_PASS) return true;
    this.#servicePortId = forwarding.servicePortId;
    if (verdict === IPVS_REQUEST) {
      this.#outcome = OUTCOME_ENDPOINT;
      this.#reason = REASON_NONE;
      this.#walked.isOfIpvs = true;
      this.#dstAddress = this.#connections.serverAddress[forwarding.connection];
      this.#dstPort = this.#connections.serverPort[forwarding.connection];
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
    if (conntrack.entry < 0 || this.#outcome === OUTCOME_REPLY) return;
    this.#srcAddress = conntrack.translatedAddress(conntrack.entry);
    this.#srcPort = conntrack.translatedPort(conntrack.entry);
  }

  /** The creating packet at POSTROUTING (or at local delivery), and its confirmation. */
  #leaveFirst(packets: PacketBatch, i: number, isLocalDelivery: boolean): void {
    const conntrack = this.#conntrack;
    const isReplyHit = this.#outcome === OUTCOME_REPLY;
    const ownAddress = packets.srcAddress[i];
    const ownPort = packets.srcPort[i];
    let sourceAddress = ownAddress;
    let sourcePort = ownPort;
    let masquerades = false;
    if (isLocalDelivery) {
      if (!conntrack.isInverseFree(this.#dstAddress, this.#dstPort)) {
        this.#clash(ownAddress, ownPort);
        return;
      }
    } else {
      this.#showSource();
      this.#showDestination();
      const target = this.#walk.natPostrouting();
      masquerades = target === TARGET_MASQUERADE || target === TARGET_MASQUERADE_HAIRPIN;
      if (masquerades) sourceAddress = this.#masqueradeAddress;
      const isFree = conntrack.chooseSource(
        sourceAddress,
        this.#dstAddress,
        this.#dstPort,
        this.#sourcePorts,
        this.#rows,
        this.#row,
        this.#randomFully && target === TARGET_MASQUERADE,
      );
      if (!isFree) {
        this.#clash(ownAddress, ownPort);
        return;
      }
      sourcePort = conntrack.chosenPort;
      if (masquerades || sourcePort !== ownPort) {
        this.#rows[this.#row + NAT_SETUPS]++;
      }
    }
    this.#isMasqueraded = masquerades;
    const flags = (masquerades ? FLOW_MASQUERADED : 0) | (this.#outcome === OUTCOME_ENDPOINT ? FLOW_IPVS : 0);
    conntrack.confirm(
      this.#dstAddress,
      this.#dstPort,
      sourceAddress,
      sourcePort,
      flags,
      this.#servicePortId,
      this.#rows,
      this.#row,
    );
    if (!isReplyHit) {
      this.#srcAddress = sourceAddress;
      this.#srcPort = sourcePort;
    }
  }

  /** No free tuple: the packet is dropped at confirm, with the source that it came with. */
  #clash(ownAddress: number, ownPort: number): void {
    this.#outcome = OUTCOME_DROP;
    this.#reason = REASON_PORT_CLASH;
    this.#srcAddress = ownAddress;
    this.#srcPort = ownPort;
  }
}
