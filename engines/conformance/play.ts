/** Plays a random program on one engine, for property tests: replies answer what the engine itself let through. */
import { Counters } from '../../model/counters.ts';
import { ORIGIN_EXTERNAL, ORIGIN_HOST, ORIGIN_POD, PacketBatch } from '../../model/packet.ts';
import { OUTCOME_DROP, OUTCOME_REJECT, VerdictBatch } from '../../model/verdict.ts';
import type { PacketStep } from './program.ts';
import type { Engine } from '../engine.ts';

const VERDICT_FIELDS = [
  'outcome',
  'reason',
  'first',
  'masqueraded',
  'srcAddress',
  'srcPort',
  'dstAddress',
  'dstPort',
  'servicePortId',
] as const;

/** One packet a call; remembers what to answer. */
export class Player {
  readonly #packets = new PacketBatch(1);
  readonly #verdicts = new VerdictBatch(1);
  readonly #work = new Counters(1);
  readonly #answers = new Map<string, readonly [number, number, number, number]>();

  /** Verdict and counters as one line; empty for a reply to what was never delivered. */
  send(engine: Engine, step: PacketStep): string {
    const packets = this.#packets;
    const verdicts = this.#verdicts;
    const key = `${step.protocol} ${step.srcAddress}:${step.srcPort} ${step.dstAddress}:${step.dstPort}`;
    const answer = this.#answers.get(key);
    if (step.isReply && answer === undefined) return '';
    const own = [step.srcAddress, step.srcPort, step.dstAddress, step.dstPort] as const;
    const [srcAddress, srcPort, dstAddress, dstPort] = step.isReply ? (answer ?? own) : own;
    packets.length = 1;
    packets.time[0] = step.at;
    packets.srcAddress[0] = srcAddress;
    packets.srcPort[0] = srcPort;
    packets.dstAddress[0] = dstAddress;
    packets.dstPort[0] = dstPort;
    packets.protocol[0] = step.protocol;
    packets.tcpFlags[0] = step.flags;
    packets.origin[0] = step.isReply ? originOf(srcAddress) : step.origin;
    engine.process(packets, verdicts, this.#work);
    const outcome = verdicts.outcome[0];
    if (!step.isReply && outcome !== OUTCOME_DROP && outcome !== OUTCOME_REJECT) {
      this.#answers.set(key, [
        verdicts.dstAddress[0],
        verdicts.dstPort[0],
        verdicts.srcAddress[0],
        verdicts.srcPort[0],
      ]);
    }
    return `${VERDICT_FIELDS.map((field) => verdicts[field][0]).join(' ')} | ${this.#work.rows.join(' ')}`;
  }
}

/** Of the addresses of random programs: 10.244.0.0/16 are pods, 192.168.0.0/24 the node, 127.0.0.0/8 as well. */
function originOf(address: number): number {
  if (address >>> 16 === 0x0af4) return ORIGIN_POD;
  return address >>> 8 === 0xc0a800 || address >>> 24 === 127 ? ORIGIN_HOST : ORIGIN_EXTERNAL;
}
