/** Host time of the data path, a packet: first packets of flows with and without session affinity, and packets of established flows. */
import type { BenchSize, PacketBenchRow } from '../packet-bench.ts';
import { BENCH_ENDPOINTS, benchPackets, podFlows } from '../packet-bench.ts';
import { syntheticServices, syntheticWorld } from '../synthetic.ts';
import { createNftablesEngine } from './engine.ts';

const NAMES = ['new flows', 'new flows with affinity', 'established flows'] as const;
const SERVICES = { smoke: [100, 1_000], full: [100, 1_000, 10_000, 20_000] } as const;
const AFFINITY_SECONDS = 10_800;

export async function benchNftables(size: BenchSize): Promise<PacketBenchRow<(typeof NAMES)[number]>[]> {
  const rows: PacketBenchRow<(typeof NAMES)[number]>[] = [];
  for (const services of SERVICES[size]) {
    for (const name of NAMES) {
      const engine = createNftablesEngine(syntheticWorld());
      const extras = name === 'new flows with affinity' ? { affinitySeconds: AFFINITY_SECONDS } : undefined;
      engine.sync({ servicePorts: syntheticServices(services, BENCH_ENDPOINTS, extras) }, 0);
      const time = await benchPackets({ name, engine, flow: podFlows(services), size });
      rows.push({ name, services, ...time });
    }
  }
  return rows;
}
