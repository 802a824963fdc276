/** One packet and one verdict as plain objects, and the loop that carries a typed batch over to them and back. */
import { COUNTER_STRIDE } from '../../model/counters.ts';
import type { Counters } from '../../model/counters.ts';
import { ORIGIN_HOST, ORIGIN_POD } from '../../model/packet.ts';
import type { PacketBatch } from '../../model/packet.ts';
import type { VerdictBatch } from '../../model/verdict.ts';

/** An address and a port. */
export interface Party {
  readonly address: number;
  readonly port: number;
}

export type ConntrackState = 'NEW' | 'ESTABLISHED' | 'INVALID';

/** What the hooks see and change: the kernel's sk_buff with its conntrack reference. */
export interface Packet {
  readonly time: number;
  readonly protocol: number;
  readonly flags: number;
  readonly fromHost: boolean;
  /** Came in by a pod's interface. */
  readonly fromPod: boolean;
  src: Party;
  dst: Party;
  /** The masquerade bit of the packet's mark. */
  marked: boolean;
  state: ConntrackState;
  /** ctstate DNAT: the flow's destination was translated by the nat table. */
  dnat: boolean;
}

export interface Verdict {
  outcome: number;
  reason: number;
  first: boolean;
  masqueraded: boolean;
  src: Party;
  dst: Party;
  servicePortId: number;
}

/** The counters of one packet, by the indices of model/counters.ts. */
export type Work = number[];

export function sameParty(a: Party, b: Party): boolean {
  return a.address === b.address && a.port === b.port;
}

/** The verdict of a packet that leaves as it is at this moment. */
export function verdictOf(packet: Packet, outcome: number, reason: number): Verdict {
  return { outcome, reason, first: false, masqueraded: false, src: packet.src, dst: packet.dst, servicePortId: -1 };
}

/** Calls `decide` for each packet of the batch in order and stores what it says. */
export function forEachPacket(
  packets: PacketBatch,
  verdicts: VerdictBatch,
  counters: Counters,
  decide: (packet: Packet, work: Work) => Verdict,
): void {
  for (let i = 0; i < packets.length; i++) {
    const packet: Packet = {
      time: packets.time[i],
      protocol: packets.protocol[i],
      flags: packets.tcpFlags[i],
      fromHost: packets.origin[i] === ORIGIN_HOST,
      fromPod: packets.origin[i] === ORIGIN_POD,
      src: { address: packets.srcAddress[i], port: packets.srcPort[i] },
      dst: { address: packets.dstAddress[i], port: packets.dstPort[i] },
      marked: false,
      state: 'NEW',
      dnat: false,
    };
    const work: Work = new Array<number>(COUNTER_STRIDE).fill(0);
    const verdict = decide(packet, work);
    counters.rows.set(work, i * COUNTER_STRIDE);
    verdicts.outcome[i] = verdict.outcome;
    verdicts.reason[i] = verdict.reason;
    verdicts.first[i] = verdict.first ? 1 : 0;
    verdicts.masqueraded[i] = verdict.masqueraded ? 1 : 0;
    verdicts.srcAddress[i] = verdict.src.address;
    verdicts.srcPort[i] = verdict.src.port;
    verdicts.dstAddress[i] = verdict.dst.address;
    verdicts.dstPort[i] = verdict.dst.port;
    verdicts.servicePortId[i] = verdict.servicePortId;
  }
}

/** Adds to one counter; array elements of a Work are always present. */
export function count(work: Work, counter: number, amount = 1): void {
  work[counter] = (work[counter] ?? 0) + amount;
}
