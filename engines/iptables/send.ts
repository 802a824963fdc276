/** One packet at a time, for tests. */
import { COUNTER_NAMES, Counters } from '../../model/counters.ts';
import { ORIGIN_POD, PacketBatch, TCP_SYN } from '../../model/packet.ts';
import type { Protocol } from '../../model/protocol.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import { VerdictBatch } from '../../model/verdict.ts';
import type { Engine } from '../engine.ts';

export const POD = 0x0a000001;

export interface Sent {
  readonly src?: number;
  readonly sport?: number;
  readonly dst: number;
  readonly dport: number;
  readonly origin?: number;
  readonly flags?: number;
  readonly protocol?: Protocol;
  readonly seconds?: number;
}

/** Sends one packet; returns its verdict and the counters that are not 0. */
export function send(engine: Engine, sent: Sent): { readonly verdict: Record<string, number>; readonly work: object } {
  const packets = new PacketBatch(1);
  const verdicts = new VerdictBatch(1);
  const work = new Counters(1);
  packets.length = 1;
  packets.time[0] = (sent.seconds ?? 0) * NS_PER_S;
  packets.srcAddress[0] = sent.src ?? POD;
  packets.srcPort[0] = sent.sport ?? 40_000;
  packets.dstAddress[0] = sent.dst;
  packets.dstPort[0] = sent.dport;
  packets.protocol[0] = sent.protocol ?? PROTOCOL_TCP;
  packets.tcpFlags[0] = sent.flags ?? TCP_SYN;
  packets.origin[0] = sent.origin ?? ORIGIN_POD;
  engine.process(packets, verdicts, work);
  const { outcome, reason, first, masqueraded, srcAddress, srcPort, dstAddress, dstPort, servicePortId } = verdicts;
  const arrays = { outcome, reason, first, masqueraded, srcAddress, srcPort, dstAddress, dstPort, servicePortId };
  const counted = COUNTER_NAMES.map((name, c) => [name, work.rows[c]] as const).filter(([, value]) => value > 0);
  return {
    verdict: Object.fromEntries(Object.entries(arrays).map(([name, values]) => [name, values[0]])),
    work: Object.fromEntries(counted),
  };
}
