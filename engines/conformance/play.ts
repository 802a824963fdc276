/** Sends the packets of random programs to an engine, one a call: replies answer what an engine let through. */
import { Counters } from '../../model/counters.ts';
import { ORIGIN_EXTERNAL, ORIGIN_HOST, ORIGIN_POD, PacketBatch } from '../../model/packet.ts';
import type { VerdictField } from '../../model/verdict.ts';
import { OUTCOME_DROP, OUTCOME_REJECT, VERDICT_FIELDS, VerdictBatch } from '../../model/verdict.ts';
import type { Engine } from '../engine.ts';
import { POD_CIDR } from './generate-cluster.ts';
import type { PacketStep } from './program.ts';

/** A packet with the addresses that the step names. */
export type LonePacket = Omit<PacketStep, 'kind' | 'isReply'>;
export type Verdict = Readonly<Record<VerdictField, number>>;

function load(batch: PacketBatch, packet: LonePacket): void {
  batch.length = 1;
  batch.time[0] = packet.at;
  batch.srcAddress[0] = packet.srcAddress;
  batch.srcPort[0] = packet.srcPort;
  batch.dstAddress[0] = packet.dstAddress;
  batch.dstPort[0] = packet.dstPort;
  batch.protocol[0] = packet.protocol;
  batch.tcpFlags[0] = packet.flags;
  batch.origin[0] = packet.origin;
}

/** Packets for which nothing has to be remembered. */
export class Sender {
  readonly #packets = new PacketBatch(1);
  readonly #verdicts = new VerdictBatch(1);
  readonly work = new Counters(1);

  /** Its counters are `work` until the next call. */
  send(engine: Engine, packet: LonePacket): Verdict {
    load(this.#packets, packet);
    engine.process(this.#packets, this.#verdicts, this.work);
    return Object.fromEntries(VERDICT_FIELDS.map((field) => [field, this.#verdicts[field][0]])) as Verdict;
  }
}

/** The packets of a program, replies among them: remembers where an answer comes from and goes to. */
export class Dialogue {
  /** After `load`: the packet as an engine gets it. */
  readonly packets = new PacketBatch(1);
  readonly #nodeAddresses: readonly number[];
  /** Addresses of a delivered packet to those that its answer carries. */
  readonly #answers = new Map<string, readonly [number, number, number, number]>();

  constructor(nodeAddresses: readonly number[]) {
    this.#nodeAddresses = nodeAddresses;
  }

  /** False for a reply to what was never delivered. */
  load(step: PacketStep): boolean {
    const { packets } = this;
    const answer = step.isReply ? this.#answers.get(keyOf(step)) : undefined;
    if (step.isReply && answer === undefined) return false;
    load(packets, step);
    packets.direction[0] = step.isReply ? 1 : 0;
    if (answer === undefined) return true;
    [packets.srcAddress[0], packets.srcPort[0], packets.dstAddress[0], packets.dstPort[0]] = answer;
    packets.origin[0] = this.#originOf(answer[0]);
    return true;
  }

  /** What an engine made of the packet of this step. */
  remember(step: PacketStep, { outcome, srcAddress, srcPort, dstAddress, dstPort }: VerdictBatch): void {
    if (step.isReply || outcome[0] === OUTCOME_DROP || outcome[0] === OUTCOME_REJECT) return;
    this.#answers.set(keyOf(step), [dstAddress[0], dstPort[0], srcAddress[0], srcPort[0]]);
  }

  /** Where a reply comes from, by its source address. */
  #originOf(address: number): number {
    if (this.#nodeAddresses.includes(address) || address >>> 24 === 0x7f) return ORIGIN_HOST;
    return (address & POD_CIDR.mask) >>> 0 === POD_CIDR.address ? ORIGIN_POD : ORIGIN_EXTERNAL;
  }
}

function keyOf({ protocol, srcAddress, srcPort, dstAddress, dstPort }: PacketStep): string {
  return `${protocol} ${srcAddress}:${srcPort} ${dstAddress}:${dstPort}`;
}

/** Plays a program on one engine, for property tests. */
export class Player {
  readonly #dialogue: Dialogue;
  readonly #verdicts = new VerdictBatch(1);
  readonly #work = new Counters(1);

  constructor(nodeAddresses: readonly number[]) {
    this.#dialogue = new Dialogue(nodeAddresses);
  }

  /** Verdict and counters as one line; empty for a reply to what was never delivered. */
  send(engine: Engine, step: PacketStep): string {
    const verdicts = this.#verdicts;
    if (!this.#dialogue.load(step)) return '';
    engine.process(this.#dialogue.packets, verdicts, this.#work);
    this.#dialogue.remember(step, verdicts);
    return `${VERDICT_FIELDS.map((field) => verdicts[field][0]).join(' ')} | ${this.#work.rows.join(' ')}`;
  }
}
