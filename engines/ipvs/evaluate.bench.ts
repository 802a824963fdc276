/**
 * Host time of the IPVS engine, a packet: new flows (rules, service look-up, scheduling) and packets of established
 * flows (connection look-up), for both evaluators. Runs when called, not when imported.
 */
import { Bench } from 'tinybench';
import { Counters } from '../../model/counters.ts';
import { PacketBatch, TCP_ACK, TCP_SYN } from '../../model/packet.ts';
import { NS_PER_S } from '../../model/time.ts';
import { VerdictBatch } from '../../model/verdict.ts';
import { Digest } from '../../sim/digest.ts';
import { Rng } from '../../sim/rng.ts';
import type { Engine } from '../engine.ts';
import { fillPacket, ip, makeEngine, manyServicePorts } from './test-cluster.ts';

export interface IpvsBenchRow {
  readonly name: 'new flows' | 'established flows';
  readonly services: number;
  readonly evaluator: 'literal' | 'indexed';
  /** Median over batches. */
  readonly nsPerPacket: number;
  /** Of the verdicts and counters of the first batch: the evaluators must give the same. */
  readonly digest: string;
}

const SERVICES = { smoke: [100, 1000], full: [100, 1000, 5000, 20000] } as const;
const TIME_MS = { smoke: 20, full: 400 } as const;
const ENDPOINTS = 10;
const BATCH = 256;
/** Every connection of the batch before has expired (SYN_RECV lives for 60 s, conntrack's syn_sent for 120 s). */
const NEW_FLOWS_STEP_NS = 200 * NS_PER_S;
const ESTABLISHED_STEP_NS = NS_PER_S;

export async function benchIpvs(size: 'smoke' | 'full'): Promise<IpvsBenchRow[]> {
  const rows: IpvsBenchRow[] = [];
  for (const services of SERVICES[size]) {
    const servicePorts = manyServicePorts(services, ENDPOINTS);
    for (const evaluator of ['literal', 'indexed'] as const) {
      for (const name of ['new flows', 'established flows'] as const) {
        const engine = makeEngine({ evaluator });
        engine.sync({ servicePorts }, 0);
        rows.push({ name, services, evaluator, ...(await measure(engine, name, services, TIME_MS[size])) });
      }
    }
  }
  return rows;
}

async function measure(
  engine: Engine,
  name: IpvsBenchRow['name'],
  services: number,
  timeMs: number,
): Promise<{ nsPerPacket: number; digest: string }> {
  const packets = clientPackets(services);
  const verdicts = new VerdictBatch(BATCH);
  const work = new Counters(BATCH);
  engine.process(packets, verdicts, work);
  if (name === 'established flows') {
    engine.process(answers(packets, verdicts), new VerdictBatch(BATCH), work);
    packets.tcpFlags.fill(TCP_ACK);
    engine.process(packets, verdicts, work);
  }
  const digest = digestOf(verdicts, work);
  const step = name === 'new flows' ? NEW_FLOWS_STEP_NS : ESTABLISHED_STEP_NS;
  const bench = new Bench({
    time: timeMs,
    iterations: 4,
    warmupTime: Math.max(40, timeMs / 4),
    warmupIterations: 2,
    throws: true,
  });
  bench.add(name, () => engine.process(packets, verdicts, work), {
    beforeEach: () => {
      for (let i = 0; i < BATCH; i++) packets.time[i] = packets.time[i] + step;
    },
  });
  await bench.run();
  const result = bench.tasks[0]?.result;
  if (result?.state !== 'completed') throw new Error(`The benchmark "${name}" ended as ${result?.state ?? 'nothing'}`);
  return { nsPerPacket: (result.latency.p50 * 1e6) / BATCH, digest };
}

/** The SYNs of flows from pods to random services. */
function clientPackets(services: number): PacketBatch {
  const random = new Rng(1).stream('bench');
  const packets = new PacketBatch(BATCH);
  packets.length = BATCH;
  for (let i = 0; i < BATCH; i++) {
    const dst = ip('172.20.0.1') + random.below(services);
    const src = ip('10.9.0.0') + random.below(256);
    fillPacket(packets, i, { time: NS_PER_S, src, sport: 20000 + i, dst, dport: 80, flags: TCP_SYN });
  }
  return packets;
}

/** The SYN+ACKs of the endpoints that were chosen. */
function answers(packets: PacketBatch, verdicts: VerdictBatch): PacketBatch {
  const replies = new PacketBatch(BATCH);
  replies.length = BATCH;
  for (let i = 0; i < BATCH; i++) {
    fillPacket(replies, i, {
      time: packets.time[i],
      src: verdicts.dstAddress[i],
      sport: verdicts.dstPort[i],
      dst: verdicts.srcAddress[i],
      dport: verdicts.srcPort[i],
      flags: TCP_SYN | TCP_ACK,
    });
  }
  return replies;
}

function digestOf(verdicts: VerdictBatch, work: Counters): string {
  const digest = new Digest();
  for (let i = 0; i < BATCH; i++) {
    digest.word(verdicts.outcome[i]);
    digest.word(verdicts.dstAddress[i]);
    digest.word(verdicts.dstPort[i]);
  }
  for (const count of work.rows) digest.word(count);
  return digest.hex();
}
