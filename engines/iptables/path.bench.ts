/** Host time of the indexed path with connection tracking, a packet; bench/path.c is the same program. */
import { COUNTER_STRIDE, Counters, RULES_EVALUATED, RULE_BYTES } from '../../model/counters.ts';
import { ORIGIN_EXTERNAL, ORIGIN_POD, PacketBatch, TCP_ACK, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import { VerdictBatch } from '../../model/verdict.ts';
import type { Contender } from '../../sim/contender.ts';
import { mixed } from '../../sim/contender.ts';
import { Rng } from '../../sim/rng.ts';
import type { Engine } from '../engine.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import { CLUSTER_IP_BASE, syntheticServices, syntheticWorld } from '../synthetic.ts';
import { createIptablesEngine } from './engine.ts';
import { nodeFacts } from './node-facts.ts';
import { statisticThresholds } from './probability.ts';
import * as size from './sizes.ts';

export interface PathJob {
  /** New: each packet opens a flow, of which so many are alive. Established: data of so many flows, both ways in turn. */
  readonly kind: 'new' | 'established';
  readonly services: number;
  readonly endpoints: number;
  readonly flows: number;
  /** A multiple of the batch. */
  readonly packets: number;
}

const BATCH = 256;
const TURNS = 131_072;
const CLIENT_BASE = 0x0ac80000;
const FIRST_PORT = 32_768;

/** What bench/iptables.h is told of the world: numbers of services and endpoints, sizes of rules, thresholds. */
export function worldArguments(services: number, endpoints: number): string[] {
  const { node, options } = syntheticWorld();
  const commented = services * endpoints <= DEFAULT_ENGINE_OPTIONS.largeClusterEndpoints;
  const sizes = [
    size.PLAIN_BYTES,
    size.COMMENTED_BYTES,
    size.STATE_BYTES,
    size.MARK_ACCEPT_BYTES,
    size.MARK_RETURN_BYTES,
    size.MASQUERADE_BYTES,
    size.SERVICE_BYTES,
    size.LAST_BYTES,
    size.endpointJumpBytes(true, commented),
    size.endpointJumpBytes(false, commented),
    size.hairpinBytes(commented) + size.dnatBytes(commented),
    nodeFacts(node, options).invalidRuleBytes,
  ];
  const thresholds = statisticThresholds(endpoints).subarray(0, endpoints + 1);
  return [services, endpoints, ...sizes, ...thresholds].map(String);
}

export function pathContender(name: string, job: PathJob): Contender {
  const path = job.kind === 'new' ? new NewFlows(job) : new EstablishedFlows(job);
  return { name, round: () => path.round(), checksum: () => path.sum };
}

/** A batch that is filled packet by packet, and what is kept of its verdicts. */
class Path {
  sum = 0;
  protected readonly engine: Engine;
  protected readonly packets = new PacketBatch(BATCH);
  protected readonly verdicts = new VerdictBatch(BATCH);
  protected readonly work = new Counters(BATCH);
  protected readonly traffic = new Rng(1).stream('bench/path');
  protected readonly job: PathJob;

  constructor(job: PathJob) {
    this.job = job;
    this.engine = createIptablesEngine(syntheticWorld({ conntrackMax: 10_000_000 }));
    this.engine.sync({ servicePorts: syntheticServices(job.services, job.endpoints) }, 0);
    this.packets.length = BATCH;
    this.packets.protocol.fill(PROTOCOL_TCP);
  }

  protected finish(): void {
    const { verdicts, work } = this;
    this.engine.process(this.packets, verdicts, work);
    const { rows } = work;
    const { srcAddress, srcPort, dstAddress, dstPort, outcome } = verdicts;
    let sum = this.sum;
    for (let i = 0; i < BATCH; i++) {
      const row = i * COUNTER_STRIDE;
      const counted = Math.imul(rows[row + RULES_EVALUATED], 31) + rows[row + RULE_BYTES];
      const ports = (dstPort[i] << 16) | srcPort[i];
      sum = mixed(sum, dstAddress[i] ^ ports ^ srcAddress[i] ^ counted ^ outcome[i]);
    }
    this.sum = sum;
  }
}

class NewFlows extends Path {
  #opened = 0;
  #now = NS_PER_S;

  round(): void {
    const { time, srcAddress, srcPort, dstAddress, dstPort, tcpFlags, origin } = this.packets;
    const { services, flows, packets } = this.job;
    const step = Math.floor((120 * NS_PER_S) / flows);
    for (let done = 0; done < packets; done += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        const flow = this.#opened++;
        time[i] = this.#now;
        srcAddress[i] = CLIENT_BASE + (flow & 0xfffff);
        srcPort[i] = FIRST_PORT + (flow >> 20);
        dstAddress[i] = CLUSTER_IP_BASE + this.traffic.below(services);
        dstPort[i] = 80;
        tcpFlags[i] = TCP_SYN;
        origin[i] = ORIGIN_POD;
        this.#now += step;
      }
      this.finish();
    }
  }
}

/** Words of a flow: what a packet of it carries, forth and back. */
const FLOW_WORDS = 8;
const VIP = 0;
const ENDPOINT = 1;
const ENDPOINT_PORT = 2;
const TRANSLATED = 3;
const TRANSLATED_PORT = 4;

class EstablishedFlows extends Path {
  #now = NS_PER_S;
  #turn = 0;
  readonly #turns = new Int32Array(TURNS);
  readonly #flows: Int32Array;

  constructor(job: PathJob) {
    super(job);
    this.#flows = new Int32Array(job.flows * FLOW_WORDS);
    const words = this.#flows;
    const { packets, verdicts } = this;
    packets.length = 1;
    for (let flow = 0; flow < job.flows; flow++) {
      const at = flow * FLOW_WORDS;
      words[at + VIP] = CLUSTER_IP_BASE + this.traffic.below(job.services);
      this.#forth(0, flow, TCP_SYN);
      this.engine.process(packets, verdicts, this.work);
      words[at + ENDPOINT] = verdicts.dstAddress[0];
      words[at + ENDPOINT_PORT] = verdicts.dstPort[0];
      words[at + TRANSLATED] = verdicts.srcAddress[0];
      words[at + TRANSLATED_PORT] = verdicts.srcPort[0];
      this.#back(0, flow, TCP_SYN | TCP_ACK);
      this.engine.process(packets, verdicts, this.work);
      this.#forth(0, flow, TCP_ACK);
      this.engine.process(packets, verdicts, this.work);
    }
    for (let i = 0; i < TURNS; i++) this.#turns[i] = this.traffic.below(job.flows);
    packets.length = BATCH;
  }

  round(): void {
    for (let done = 0; done < this.job.packets; done += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        const turn = this.#turn;
        if ((turn & 1) === 1) this.#back(i, this.#turns[turn], TCP_ACK);
        else this.#forth(i, this.#turns[turn], TCP_ACK);
        this.#turn = (turn + 1) & (TURNS - 1);
        this.#now += 1000;
      }
      this.finish();
    }
  }

  #forth(i: number, flow: number, flags: number): void {
    const { packets } = this;
    packets.time[i] = this.#now;
    packets.srcAddress[i] = CLIENT_BASE + flow;
    packets.srcPort[i] = FIRST_PORT;
    packets.dstAddress[i] = this.#flows[flow * FLOW_WORDS + VIP];
    packets.dstPort[i] = 80;
    packets.tcpFlags[i] = flags;
    packets.origin[i] = ORIGIN_POD;
  }

  #back(i: number, flow: number, flags: number): void {
    const { packets } = this;
    const at = flow * FLOW_WORDS;
    packets.time[i] = this.#now;
    packets.srcAddress[i] = this.#flows[at + ENDPOINT];
    packets.srcPort[i] = this.#flows[at + ENDPOINT_PORT];
    packets.dstAddress[i] = this.#flows[at + TRANSLATED];
    packets.dstPort[i] = this.#flows[at + TRANSLATED_PORT];
    packets.tcpFlags[i] = flags;
    packets.origin[i] = ORIGIN_EXTERNAL;
  }
}
