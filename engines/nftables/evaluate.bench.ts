/** Host time of the data path, a packet: first packets of flows with and without session affinity, and packets of established flows. */
import { Bench } from 'tinybench';
import { Counters } from '../../model/counters.ts';
import { ORIGIN_POD, PacketBatch, TCP_ACK, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import { VerdictBatch } from '../../model/verdict.ts';
import { Digest } from '../../sim/digest.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { Rng } from '../../sim/rng.ts';
import type { Engine } from '../engine.ts';
import { createNftablesEngine } from './engine.ts';
import { CLUSTER_IP_BASE, syntheticServices, syntheticWorld } from './synthetic.ts';

export interface NftablesBenchRow {
  readonly name: 'new flows' | 'new flows with affinity' | 'established flows';
  readonly services: number;
  /** Median over runs of one batch. */
  readonly nsPerPacket: number;
  /** Of the verdicts and counters of one batch on a fresh engine. */
  readonly digest: string;
}

const NAMES = ['new flows', 'new flows with affinity', 'established flows'] as const;
const SIZES = { smoke: [100, 1_000], full: [100, 1_000, 10_000, 20_000] } as const;
const TIME_MS = { smoke: 20, full: 400 } as const;
const ENDPOINTS = 10;
const BATCH = 256;
const AFFINITY_SECONDS = 10_800;
/** Longer than syn_sent lives, so that the next run's packets open new flows. */
const BETWEEN_RUNS_NS = 200 * NS_PER_S;

/** Measures when it is called, never when it is imported. */
export async function benchNftables(size: 'smoke' | 'full'): Promise<NftablesBenchRow[]> {
  const rows: NftablesBenchRow[] = [];
  for (const services of SIZES[size]) {
    for (const name of NAMES) rows.push(await measure(name, services, TIME_MS[size]));
  }
  return rows;
}

async function measure(name: NftablesBenchRow['name'], services: number, timeMs: number): Promise<NftablesBenchRow> {
  const engine = createNftablesEngine(syntheticWorld());
  const extras = name === 'new flows with affinity' ? { affinitySeconds: AFFINITY_SECONDS } : undefined;
  engine.sync({ servicePorts: syntheticServices(services, ENDPOINTS, extras) }, 0);
  const packets = synPackets(services, new Rng(1).stream('bench/packets'));
  const verdicts = new VerdictBatch(BATCH);
  const work = new Counters(BATCH);
  engine.process(packets, verdicts, work);
  if (name === 'established flows') establish(engine, packets, verdicts, work);
  const digest = digestOf(verdicts, work);
  const later = name === 'established flows' ? NS_PER_S : BETWEEN_RUNS_NS;
  const bench = new Bench({
    time: timeMs,
    iterations: 4,
    warmupTime: Math.max(40, timeMs / 4),
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
  return { name, services, nsPerPacket: (result.latency.p50 * 1e6) / BATCH, digest };
}

/** The first packets of flows from pods to random services. */
function synPackets(services: number, stream: RandomStream): PacketBatch {
  const packets = new PacketBatch(BATCH);
  packets.length = BATCH;
  for (let i = 0; i < BATCH; i++) {
    packets.time[i] = NS_PER_S;
    packets.protocol[i] = PROTOCOL_TCP;
    packets.tcpFlags[i] = TCP_SYN;
    packets.origin[i] = ORIGIN_POD;
    packets.srcAddress[i] = 0x0ac80000 + i;
    packets.srcPort[i] = 32_768 + i;
    packets.dstAddress[i] = CLUSTER_IP_BASE + stream.below(services);
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

function digestOf(verdicts: VerdictBatch, work: Counters): string {
  const digest = new Digest();
  for (let i = 0; i < BATCH; i++) {
    digest.word(verdicts.outcome[i]);
    digest.word(verdicts.reason[i]);
    digest.word(verdicts.srcAddress[i]);
    digest.word(verdicts.srcPort[i]);
    digest.word(verdicts.dstAddress[i]);
    digest.word(verdicts.dstPort[i]);
    digest.word(verdicts.servicePortId[i]);
  }
  for (const value of work.rows) digest.word(value);
  return digest.hex();
}
