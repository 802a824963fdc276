/**
 * Host time of the IPVS engine, a packet: new flows (rules, service look-up, scheduling) and packets of established
 * flows (connection look-up), for both evaluators.
 */
import { Rng } from '../../sim/rng.ts';
import type { BenchSize, EvaluatorBenchRow, PacketBench } from '../packet-bench.ts';
import { BENCH_ENDPOINTS, BENCH_ROWS, benchPackets } from '../packet-bench.ts';
import { ip, makeEngine, manyServicePorts } from './test-cluster.ts';

const SERVICES = { smoke: [100, 1000], full: [100, 1000, 5000, 20000] } as const;
const DIGESTED = ['outcome', 'dstAddress', 'dstPort'] as const;

export async function benchIpvs(size: BenchSize): Promise<EvaluatorBenchRow[]> {
  const rows: EvaluatorBenchRow[] = [];
  for (const services of SERVICES[size]) {
    const servicePorts = manyServicePorts(services, BENCH_ENDPOINTS);
    for (const evaluator of ['literal', 'indexed'] as const) {
      for (const name of BENCH_ROWS) {
        const engine = makeEngine({ evaluator });
        engine.sync({ servicePorts }, 0);
        const time = await benchPackets({ name, engine, flow: flowsTo(services), digested: DIGESTED, size });
        rows.push({ name, services, evaluator, ...time });
      }
    }
  }
  return rows;
}

/** From random pods, so that some of them have several, to random services. */
function flowsTo(services: number): PacketBench['flow'] {
  const random = new Rng(1).stream('bench');
  return (i) => {
    const dstAddress = ip('172.20.0.1') + random.below(services);
    return { srcAddress: ip('10.9.0.0') + random.below(256), srcPort: 20000 + i, dstAddress };
  };
}
