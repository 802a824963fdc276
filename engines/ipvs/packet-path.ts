/**
 * One packet through the node in IPVS mode: conntrack, the hooks in their order, IPVS, the verdict. The order of hooks
 * is that of net/netfilter's priorities; engines/README.md sections 3, 4, 6 and 7 say what each step decides.
 */
import { NAT_SETUPS } from '../../model/counters.ts';
import type { PacketBatch } from '../../model/packet.ts';
import { ORIGIN_HOST } from '../../model/packet.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_ENDPOINT,
  OUTCOME_REJECT,
  OUTCOME_REPLY,
  REASON_INVALID,
  REASON_NONE,
  REASON_NO_ENDPOINTS,
  REASON_PORT_CLASH,
  REASON_SERVER_UNAVAILABLE,
  REASON_UNUSED_VIP_PORT,
} from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { CT_ESTABLISHED, CT_INVALID, CT_NEW, FLOW_IPVS, FLOW_MASQUERADED } from '../conntrack/table.ts';
import type { ConntrackTable } from '../conntrack/table.ts';
import type { ConnectionTable } from './connection-table.ts';
import { IPVS_NO_SERVER, IPVS_PASS, IPVS_REQUEST } from './forwarding.ts';
import type { Forwarding } from './forwarding.ts';
import { CTSTATE_ESTABLISHED, CTSTATE_INVALID, CTSTATE_NEW } from './rule-walk.ts';
import type { RuleWalk } from './rule-walk.ts';
import { NONE } from './service-table.ts';

export class PacketPath {
  readonly #walk: RuleWalk;
  readonly #forwarding: Forwarding;
  readonly #connections: ConnectionTable;
  readonly #conntrack: ConntrackTable;
  readonly #sourcePorts: RandomStream;
  /** The node's first address, which MASQUERADE takes. */
  readonly #masqueradeAddress: number;
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
  ) {
    this.#walk = walk;
    this.#forwarding = forwarding;
    this.#connections = connections;
    this.#conntrack = conntrack;
    this.#sourcePorts = sourcePorts;
    this.#masqueradeAddress = masqueradeAddress;
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
    const walk = this.#walk;
    walk.countInto(rows, row);
    walk.isMarked = false;
    walk.protocol = packets.protocol[i];
    walk.srcAddress = this.#srcAddress;
    walk.dstAddress = this.#dstAddress;
    walk.dstPort = this.#dstPort;
    walk.ctstate =
      status === CT_INVALID ? CTSTATE_INVALID : status === CT_ESTABLISHED ? CTSTATE_ESTABLISHED : CTSTATE_NEW;
    if (status === CT_INVALID) this.#reason = REASON_INVALID;

    const isReply = conntrack.entry >= 0 && conntrack.isReply;
    if (isReply) this.#reply(packets, i);
    else {
      if (conntrack.entry >= 0) this.#ofEntry();
      this.#request(packets, i, status === CT_NEW);
    }
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
    this.#ofEntry();
    this.#dstAddress = conntrack.originalSrcAddress(entry);
    this.#dstPort = conntrack.originalSrcPort(entry);
    walk.dstAddress = this.#dstAddress;
    walk.dstPort = this.#dstPort;
    let slot: number;
    if (packets.origin[i] === ORIGIN_HOST) {
      slot = this.#replyLookup(packets, i);
      walk.filterOutput();
    } else if (walk.isLocal(this.#dstAddress)) {
      walk.filterInput();
      slot = this.#replyLookup(packets, i);
    } else {
      walk.filterForward();
      slot = this.#replyLookup(packets, i);
    }
    const flags = conntrack.flags(entry);
    if ((flags & FLOW_IPVS) === 0 && slot !== NONE) {
      this.#outcome = OUTCOME_REPLY;
      this.#fromVirtual(slot);
      return;
    }
    if ((flags & (FLOW_IPVS | FLOW_MASQUERADED)) !== 0) this.#outcome = OUTCOME_REPLY;
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
      packets.time[i],
      this.#rows,
      this.#row,
    );
  }

  /** The packet's source becomes the virtual address and port of the connection that it is a reply of. */
  #fromVirtual(slot: number): void {
    this.#srcAddress = this.#connections.virtualAddress[slot];
    this.#srcPort = this.#connections.virtualPort[slot];
    this.#servicePortId = this.#connections.servicePortId[slot];
  }

  /** Original direction, a new flow, or INVALID. */
  #request(packets: PacketBatch, i: number, isFirst: boolean): void {
    const walk = this.#walk;
    if (isFirst) walk.natDestination();
    let goesOn: boolean;
    let isLocalDelivery = false;
    if (packets.origin[i] === ORIGIN_HOST) {
      goesOn = this.#hooks(packets, i);
      if (goesOn) walk.filterOutput();
    } else if (walk.isLocal(this.#dstAddress)) {
      if (walk.filterInput()) {
        this.#outcome = OUTCOME_REJECT;
        this.#reason = REASON_UNUSED_VIP_PORT;
        return;
      }
      goesOn = this.#hooks(packets, i);
      // Translated requests leave the node again through LOCAL_OUT and POSTROUTING.
      if (goesOn && this.#outcome === OUTCOME_ENDPOINT) walk.filterOutput();
      else isLocalDelivery = true;
    } else {
      walk.filterForward();
      goesOn = true;
      const slot = this.#replyLookup(packets, i);
      if (slot !== NONE) this.#isReplyOf(slot);
    }
    if (!goesOn) return;
    if (isFirst) this.#leaveFirst(packets, i, isLocalDelivery);
    else if (!isLocalDelivery) this.#leaveLater();
  }

  /** LOCAL_IN and LOCAL_OUT: reply look-up, then request; false when the packet ends here. */
  #hooks(packets: PacketBatch, i: number): boolean {
    const slot = this.#replyLookup(packets, i);
    if (slot !== NONE) {
      this.#isReplyOf(slot);
      return true;
    }
    const forwarding = this.#forwarding;
    const verdict = forwarding.request(
      packets.protocol[i],
      this.#srcAddress,
      this.#srcPort,
      this.#dstAddress,
      this.#dstPort,
      packets.tcpFlags[i],
      packets.time[i],
      this.#rows,
      this.#row,
    );
    if (verdict === IPVS_PASS) return true;
    this.#servicePortId = forwarding.servicePortId;
    if (verdict === IPVS_REQUEST) {
      this.#outcome = OUTCOME_ENDPOINT;
      this.#reason = REASON_NONE;
      this.#dstAddress = this.#connections.serverAddress[forwarding.connection];
      this.#dstPort = this.#connections.serverPort[forwarding.connection];
      return true;
    }
    const noServer = verdict === IPVS_NO_SERVER;
    this.#outcome = noServer ? OUTCOME_REJECT : OUTCOME_DROP;
    this.#reason = noServer ? REASON_NO_ENDPOINTS : REASON_SERVER_UNAVAILABLE;
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
    const walk = this.#walk;
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
      walk.srcAddress = this.#srcAddress;
      walk.dstAddress = this.#dstAddress;
      walk.dstPort = this.#dstPort;
      masquerades = walk.natPostrouting();
      if (masquerades) sourceAddress = this.#masqueradeAddress;
      const isFree = conntrack.chooseSource(
        sourceAddress,
        this.#dstAddress,
        this.#dstPort,
        this.#sourcePorts,
        this.#rows,
        this.#row,
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
