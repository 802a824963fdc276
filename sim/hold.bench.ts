/** Host time of the event queue under the hold model (Jones 1986): so many events are pending, and each hold takes the next one and sets it again. */
import type { Contender } from './contender.ts';
import { mixed } from './contender.ts';
import { exponential, pareto } from './distributions.ts';
import { EventQueue } from './event-queue.ts';
import { HeapQueue } from './heap-queue.ts';
import type { HoldJob } from './hold-peers.bench.ts';
import type { RandomStream } from './rng.ts';
import { Rng } from './rng.ts';

const INCREMENTS = 8192;
/** Multiples of this, with first times 1 apart, are never equal among fewer events than it. */
const NO_TIES = 1_048_576;

/** Increments of an event's time, in ns. The first is that of the peers: no two times are equal. */
const DRAWS: Readonly<Record<string, (stream: RandomStream, i: number) => number>> = {
  exponential: (stream) => NO_TIES * Math.floor(exponential(1e5).next(stream)),
  uniform: (stream) => stream.below(2_000_000),
  triangular: (stream) => stream.below(1_000_000) + stream.below(1_000_000),
  constant: () => 1_000_000,
  ticks: (stream) => 1_000 * stream.below(5),
  ties: () => 0,
  bimodal: (stream) => (stream.below(10) > 0 ? 1_000 + stream.below(100) : 60_000_000_000),
  'half zero': (stream) => (stream.below(2) === 0 ? 0 : stream.below(1_000_000)),
  Pareto: (stream) => Math.floor(pareto(1_000, 1).next(stream)),
  'decreasing bursts': (_stream, i) => 64_000 - 1_000 * (i % 64),
  'packets beside timers': (stream) => (stream.below(10) > 0 ? 1_000 : 60_000_000_000),
  camel: (stream) => (stream.below(2) === 0 ? 100_000 : 10_000_000) + stream.below(1_000),
};

export const INCREMENT_DISTRIBUTIONS: readonly string[] = Object.keys(DRAWS);

export function holdIncrements(distribution: string): Float64Array {
  const stream = new Rng(1).stream(`bench/hold-${distribution}`);
  return Float64Array.from({ length: INCREMENTS }, (_, i) => DRAWS[distribution](stream, i));
}

type Queue = Pick<EventQueue, 'push' | 'pop' | 'time' | 'payload'>;

/** Ours, and the plain heap that it is held against. */
export function holdContenders(job: HoldJob): [chainwalk: Contender, heap: Contender] {
  return [hold('chainwalk', new EventQueue(job.pending), job), hold('plain heap', new HeapQueue(job.pending), job)];
}

function hold(name: string, queue: Queue, { increments, pending, holds, spread }: HoldJob): Contender {
  let cursor = 0;
  let sum = 0;
  const next = (): number => {
    const increment = increments[cursor];
    cursor = (cursor + 1) & (INCREMENTS - 1);
    return increment;
  };
  for (let i = 0; i < pending; i++) queue.push(next() + spread * i, 0, 0, i);
  return {
    name,
    round: () => {
      for (let i = 0; i < holds; i++) {
        queue.pop();
        const { payload } = queue;
        sum = mixed(sum, payload);
        queue.push(queue.time + next(), 0, 0, payload);
      }
    },
    checksum: () => sum,
  };
}
