/** Benchmarks without peers, from before there were any: host time of engines a packet, of the event queue and of whole trials. */
import { benchIptables } from '../../engines/iptables/evaluate.bench.ts';
import { benchIpvs } from '../../engines/ipvs/evaluate.bench.ts';
import { benchNftables } from '../../engines/nftables/evaluate.bench.ts';
import { benchEventQueue } from '../../sim/event-queue.bench.ts';
import { benchTrial } from '../trial.bench.ts';
import type { BenchSize } from './run-suite.ts';

type Rows = readonly object[];

const SUITES: Readonly<Record<string, (size: BenchSize) => Promise<Rows>>> = {
  events: async (size) => await benchEventQueue(size),
  'packets-iptables': async (size) => await benchIptables(size),
  'packets-ipvs': async (size) => await benchIpvs(size),
  'packets-nftables': async (size) => await benchNftables(size),
  trial: (size) => Promise.resolve(benchTrial(size)),
};

export function packetSuiteNames(): string[] {
  return Object.keys(SUITES);
}

/** A line a row: `name=value`, two blanks between. */
export async function runPacketSuite(name: string, size: BenchSize): Promise<string> {
  const rows = await SUITES[name](size);
  return `${name}\n${rows.map((row) => `  ${formatRow(row)}\n`).join('')}`;
}

function formatRow(row: object): string {
  return Object.entries(row)
    .map(([key, value]) => `${key}=${typeof value === 'number' ? Number(value.toPrecision(4)) : String(value)}`)
    .join('  ');
}
