/** Host time of an engine, a packet: what the benchmarks of the engines share. Measures when it is called, never when it is imported. */
import { Bench } from 'tinybench';
import { Counters } from '../model/counters.ts';
import { ORIGIN_POD, PacketBatch, TCP_ACK, TCP_SYN } from '../model/packet.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import { NS_PER_S } from '../model/time.ts';
import type { VerdictField } from '../model/verdict.ts';
import { VerdictBatch } from '../model/verdict.ts';
import { Digest } from '../sim/digest.ts';
import { Rng } from '../sim/rng.ts';
import type { Engine } from './engine.ts';
import { CLUSTER_IP_BASE } from './synthetic.ts';

export type BenchSize = 'smoke' | 'full';

/** Endpoints of each service. */
export const BENCH_ENDPOINTS = 10;
/** What every engine is asked; an engine may have rows of its own beside them. */
export const BENCH_ROWS = ['new flows', 'established flows'] as const;

export interface PacketTime {
  /** Median over runs of one batch. */
  readonly nsPerPacket: number;
  /** Of the verdicts and counters of one batch on a fresh engine. */
  readonly digest: string;
}

export interface PacketBenchRow<Name extends string = (typeof BENCH_ROWS)[number]> extends PacketTime {
  readonly name: Name;
  readonly services: number;
}

/** Its digest is equal for both evaluators. */
export interface EvaluatorBenchRow extends PacketBenchRow {
  readonly evaluator: 'literal' | 'indexed';
}

/** From a pod to port 80 of a service, in TCP. */
interface BenchFlow {
  readonly srcAddress: number;
  readonly srcPort: number;
  readonly dstAddress: number;
}

export interface PacketBench {
  /** An established flow has been answered, and its later packets are measured; of other flows the first packets are. */
  readonly name: string;
  /** Fresh, and has its services. */
  readonly engine: Engine;
  /** Flow i, each asked for once and in order. */
  readonly flow: (i: number) => BenchFlow;
  /** What the digest takes of a verdict: `DIGESTED` unless given. */
  readonly digested?: readonly VerdictField[];
  readonly size: BenchSize;
}

const TIME_MS = { smoke: 20, full: 400 } as const;
const BATCH = 256;
const DIGESTED = ['outcome', 'reason', 'srcAddress', 'srcPort', 'dstAddress', 'dstPort', 'servicePortId'] as const;
/** Longer than an unanswered flow lives anywhere (conntrack's syn_sent: 120 s), so that the next run's packets open new flows. */
const BETWEEN_NEW_FLOWS_NS = 200 * NS_PER_S;

export async function benchPackets({
  name,
  engine,
  flow,
  digested = DIGESTED,
  size,
}: PacketBench): Promise<PacketTime> {
  const packets = synPackets(flow);
  const verdicts = new VerdictBatch(BATCH);
  const work = new Counters(BATCH);
  const isEstablished = name === 'established flows';
  engine.process(packets, verdicts, work);
  if (isEstablished) establish(engine, packets, verdicts, work);
  const digest = digestOf(verdicts, work, digested);
  const later = isEstablished ? NS_PER_S : BETWEEN_NEW_FLOWS_NS;
  const time = TIME_MS[size];
  const bench = new Bench({
    time,
    iterations: 4,
    warmupTime: Math.max(40, time / 4),
    warmupIterations: 2,
    throws: true,
  });
  bench.add(name, () => engine.process(packets, verdicts, work), {
    beforeEach: () => {
      for (let i = 0; i < BATCH; i++) packets.time[i] += later;
    },
  });
  await bench.run();
  const result = bench.tasks[0].result;
  if (result.state !== 'completed') throw new Error(`The benchmark "${name}" ended as ${result.state}`);
  return { nsPerPacket: (result.latency.p50 * 1e6) / BATCH, digest };
}

/** Each from a pod of its own to a random one of so many synthetic services. */
export function podFlows(services: number): PacketBench['flow'] {
  const stream = new Rng(1).stream('bench/packets');
  return (i) => ({
    srcAddress: 0x0ac80000 + i,
    srcPort: 32_768 + i,
    dstAddress: CLUSTER_IP_BASE + stream.below(services),
  });
}

function synPackets(flow: PacketBench['flow']): PacketBatch {
  const packets = new PacketBatch(BATCH);
  packets.length = BATCH;
  for (let i = 0; i < BATCH; i++) {
    const { srcAddress, srcPort, dstAddress } = flow(i);
    packets.time[i] = NS_PER_S;
    packets.protocol[i] = PROTOCOL_TCP;
    packets.tcpFlags[i] = TCP_SYN;
    packets.origin[i] = ORIGIN_POD;
    packets.srcAddress[i] = srcAddress;
    packets.srcPort[i] = srcPort;
    packets.dstAddress[i] = dstAddress;
    packets.dstPort[i] = 80;
  }
  return packets;
}

/** Answers each SYN and turns the batch into the ACKs of the original direction, which it sends once. */
function establish(engine: Engine, packets: PacketBatch, verdicts: VerdictBatch, work: Counters): void {
  const replies = new PacketBatch(BATCH);
  replies.length = BATCH;
  for (let i = 0; i < BATCH; i++) {
    replies.time[i] = packets.time[i];
    replies.protocol[i] = PROTOCOL_TCP;
    replies.tcpFlags[i] = TCP_SYN | TCP_ACK;
    replies.origin[i] = ORIGIN_POD;
    replies.srcAddress[i] = verdicts.dstAddress[i];
    replies.srcPort[i] = verdicts.dstPort[i];
    replies.dstAddress[i] = verdicts.srcAddress[i];
    replies.dstPort[i] = verdicts.srcPort[i];
    packets.tcpFlags[i] = TCP_ACK;
  }
  engine.process(replies, verdicts, work);
  engine.process(packets, verdicts, work);
}

function digestOf(verdicts: VerdictBatch, work: Counters, fields: readonly VerdictField[]): string {
  const digest = new Digest();
  for (let i = 0; i < BATCH; i++) {
    for (const field of fields) digest.word(verdicts[field][i]);
  }
  for (const value of work.rows) digest.word(value);
  return digest.hex();
}
