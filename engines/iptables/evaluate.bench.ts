/** Host time of the two evaluators, a packet: first packets of flows, and packets of established flows. */
import type { BenchSize, EvaluatorBenchRow } from '../packet-bench.ts';
import { BENCH_ENDPOINTS, BENCH_ROWS, benchPackets, podFlows } from '../packet-bench.ts';
import { syntheticServices, syntheticWorld } from '../synthetic.ts';
import { createIptablesEngine } from './engine.ts';

const SERVICES = { smoke: [100, 1_000], full: [100, 1_000, 10_000, 20_000] } as const;

export async function benchIptables(size: BenchSize): Promise<EvaluatorBenchRow[]> {
  const rows: EvaluatorBenchRow[] = [];
  for (const services of SERVICES[size]) {
    for (const evaluator of ['literal', 'indexed'] as const) {
      for (const name of BENCH_ROWS) {
        const engine = createIptablesEngine(syntheticWorld({ evaluator }));
        engine.sync({ servicePorts: syntheticServices(services, BENCH_ENDPOINTS) }, 0);
        const time = await benchPackets({ name, engine, flow: podFlows(services), size });
        rows.push({ name, services, evaluator, ...time });
      }
    }
  }
  return rows;
}
