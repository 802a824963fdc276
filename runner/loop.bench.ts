/**
 * Host time of the whole packet loop: events, traffic, the iptables engine, connection tracking, counters. bench/loop.c and
 * bench/loop_simpy.py are the same program.
 */
import { createIptablesEngine } from '../engines/iptables/engine.ts';
import { CLUSTER_IP_BASE, syntheticServices, syntheticWorld } from '../engines/synthetic.ts';
import { COUNTER_STRIDE, Counters, RULES_EVALUATED, RULE_BYTES } from '../model/counters.ts';
import { ORIGIN_EXTERNAL, ORIGIN_POD, PacketBatch } from '../model/packet.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import { NS_PER_S } from '../model/time.ts';
import { VerdictBatch } from '../model/verdict.ts';
import type { Contender } from '../sim/contender.ts';
import { mixed } from '../sim/contender.ts';
import { exponential } from '../sim/distributions.ts';
import { Rng } from '../sim/rng.ts';
import { Simulation } from '../sim/simulation.ts';
import { tcpFlags } from './connection-packets.ts';

export interface LoopJob {
  readonly services: number;
  readonly endpoints: number;
  /** Connections open at a time; one that ends is followed by a new one to another service. */
  readonly flows: number;
  /** Packets of a connection. */
  readonly connection: number;
  /** Packets of a round. */
  readonly packets: number;
}

const BATCH = 256;
const GAPS = 1024;
/** A connection of 20 packets then takes as long as it stays in TIME_WAIT: the table holds twice as many as are open. */
const MEAN_GAP_NS = 6 * NS_PER_S;
const CLIENT_BASE = 0x0ac80000;
const FIRST_PORT = 32_768;
const PORTS = 28_000;

/** Nanoseconds between two packets of a connection, taken in turn. */
export function loopGaps(): Float64Array {
  const stream = new Rng(1).stream('bench/gaps');
  const distribution = exponential(MEAN_GAP_NS);
  return Float64Array.from({ length: GAPS }, () => Math.floor(distribution.next(stream)) + 1);
}

/** Words of a flow's record. */
const FLOW_WORDS = 8;
const NEXT = 0;
const PORT = 1;
const VIP = 2;
const ENDPOINT = 3;
const ENDPOINT_PORT = 4;
const TRANSLATED = 5;
const TRANSLATED_PORT = 6;
/** 1 while its first packet waits in the batch for its verdict. */
const OPENS = 7;

export function loopContender(name: string, job: LoopJob): Contender {
  const loop = new Loop(job);
  return { name, round: () => loop.round(), checksum: () => loop.checksum() };
}

class Loop {
  readonly #job: LoopJob;
  readonly #simulation = new Simulation();
  readonly #engine = createIptablesEngine(syntheticWorld({ conntrackMax: 10_000_000 }));
  readonly #packets = new PacketBatch(BATCH);
  readonly #verdicts = new VerdictBatch(BATCH);
  readonly #work = new Counters(BATCH);
  readonly #flowOf = new Int32Array(BATCH);
  readonly #opens = new Uint8Array(BATCH);
  readonly #flows: Int32Array;
  readonly #gaps = loopGaps();
  readonly #flags: Uint8Array;
  readonly #traffic = new Rng(1).stream('bench/loop');
  readonly #sums = new Float64Array(COUNTER_STRIDE);
  readonly #kind: number;
  #gap = 0;
  #sum = 0;
  #left = 0;

  constructor(job: LoopJob) {
    this.#job = job;
    this.#engine.sync({ servicePorts: syntheticServices(job.services, job.endpoints) }, 0);
    this.#packets.protocol.fill(PROTOCOL_TCP);
    this.#flags = Uint8Array.from({ length: job.connection }, (_, number) => tcpFlags(number, job.connection));
    this.#flows = new Int32Array(job.flows * FLOW_WORDS);
    this.#kind = this.#simulation.on((flow) => this.#onPacket(flow));
    for (let flow = 0; flow < job.flows; flow++) {
      this.#flows[flow * FLOW_WORDS + PORT] = FIRST_PORT;
      this.#flows[flow * FLOW_WORDS + VIP] = CLUSTER_IP_BASE + this.#traffic.below(job.services);
      this.#schedule(flow);
    }
  }

  round(): void {
    this.#left = this.#job.packets;
    while (this.#left > 0) this.#simulation.step();
    this.#flush();
  }

  checksum(): number {
    let sum = this.#sum;
    for (let c = 0; c < COUNTER_STRIDE; c++) sum = mixed(sum, (this.#sums[c] % 4294967296) | 0);
    return sum;
  }

  #schedule(flow: number): void {
    this.#simulation.schedule(this.#simulation.now + this.#gaps[this.#gap], 0, this.#kind, flow);
    this.#gap = (this.#gap + 1) & (GAPS - 1);
  }

  #onPacket(flow: number): void {
    const words = this.#flows;
    const at = flow * FLOW_WORDS;
    // Where a reply comes from is in the verdict of the first packet.
    if (words[at + OPENS] === 1) this.#flush();
    const packets = this.#packets;
    const i = packets.length++;
    const number = words[at + NEXT];
    const opens = number === 0 ? 1 : 0;
    packets.time[i] = this.#simulation.now;
    packets.tcpFlags[i] = this.#flags[number];
    if ((number & 1) === 0) {
      packets.origin[i] = ORIGIN_POD;
      packets.srcAddress[i] = CLIENT_BASE + flow;
      packets.srcPort[i] = words[at + PORT];
      packets.dstAddress[i] = words[at + VIP];
      packets.dstPort[i] = 80;
    } else {
      packets.origin[i] = ORIGIN_EXTERNAL;
      packets.srcAddress[i] = words[at + ENDPOINT];
      packets.srcPort[i] = words[at + ENDPOINT_PORT];
      packets.dstAddress[i] = words[at + TRANSLATED];
      packets.dstPort[i] = words[at + TRANSLATED_PORT];
    }
    words[at + OPENS] = opens;
    this.#flowOf[i] = flow;
    this.#opens[i] = opens;
    if (number + 1 < this.#job.connection) words[at + NEXT] = number + 1;
    else {
      const port = words[at + PORT] + 1;
      words[at + NEXT] = 0;
      words[at + PORT] = port < FIRST_PORT + PORTS ? port : FIRST_PORT;
      words[at + VIP] = CLUSTER_IP_BASE + this.#traffic.below(this.#job.services);
    }
    this.#schedule(flow);
    this.#left--;
    if (packets.length === BATCH) this.#flush();
  }

  #flush(): void {
    const { length } = this.#packets;
    const verdicts = this.#verdicts;
    this.#engine.process(this.#packets, verdicts, this.#work);
    this.#packets.length = 0;
    const { rows } = this.#work;
    const { srcAddress, srcPort, dstAddress, dstPort, outcome } = verdicts;
    const opens = this.#opens;
    let sum = this.#sum;
    for (let i = 0; i < length; i++) {
      const row = i * COUNTER_STRIDE;
      const counted = Math.imul(rows[row + RULES_EVALUATED], 31) + rows[row + RULE_BYTES];
      sum = mixed(sum, dstAddress[i] ^ ((dstPort[i] << 16) | srcPort[i]) ^ srcAddress[i] ^ counted ^ outcome[i]);
      if (opens[i] === 1) {
        const words = this.#flows;
        const at = this.#flowOf[i] * FLOW_WORDS;
        words[at + ENDPOINT] = dstAddress[i];
        words[at + ENDPOINT_PORT] = dstPort[i];
        words[at + TRANSLATED] = srcAddress[i];
        words[at + TRANSLATED_PORT] = srcPort[i];
        words[at + OPENS] = 0;
      }
    }
    this.#sum = sum;
    this.#work.addTo(this.#sums, length);
  }
}
