/** `chainwalk bench`: host time of the engines and of the event queue on this machine, each with a digest of its answer. */
import { benchIptables } from '../../engines/iptables/evaluate.bench.ts';
import { benchIpvs } from '../../engines/ipvs/evaluate.bench.ts';
import { benchNftables } from '../../engines/nftables/evaluate.bench.ts';
import { InputError } from '../../scenarios/errors.ts';
import { benchEventQueue } from '../../sim/event-queue.bench.ts';
import { benchTrial } from '../trial.bench.ts';

interface BenchFlags {
  readonly suite: string;
  readonly size: string;
}

type Size = 'smoke' | 'full';
type Rows = readonly object[];

const SUITES: Readonly<Record<string, (size: Size) => Promise<Rows>>> = {
  events: async (size) => await benchEventQueue(size),
  iptables: async (size) => await benchIptables(size),
  ipvs: async (size) => await benchIpvs(size),
  nftables: async (size) => await benchNftables(size),
  trial: (size) => Promise.resolve(benchTrial(size)),
};

export async function benchCommand(flags: BenchFlags): Promise<void> {
  const { size, suite } = flags;
  if (size !== 'smoke' && size !== 'full')
    throw new InputError(`--size "${size}" is not known. Expected smoke or full`);
  const names = suite === 'all' ? Object.keys(SUITES) : [suite];
  for (const name of names) {
    const run = SUITES[name];
    if (run === undefined) {
      throw new InputError(`--suite "${name}" is not known. Expected all, ${Object.keys(SUITES).join(', ')}`);
    }
    const rows = await run(size);
    process.stdout.write(`${name}\n`);
    for (const row of rows) process.stdout.write(`  ${formatRow(row)}\n`);
  }
}

function formatRow(row: object): string {
  return Object.entries(row)
    .map(([key, value]) => `${key}=${typeof value === 'number' ? Number(value.toPrecision(4)) : String(value)}`)
    .join('  ');
}
