/**
 * Host time of the event queue under the classic hold model (Jones 1986): a queue of constant size, each hold taking the
 * next event and pushing it again later.
 */
import { Bench } from 'tinybench';
import { Digest } from './digest.ts';
import { constant, empirical, exponential } from './distributions.ts';
import type { Distribution } from './distributions.ts';
import { EventQueue } from './event-queue.ts';
import { Rng } from './rng.ts';

/** One measured case: `size` events in the queue, the median time of a hold, and a digest of the order of events. */
export interface EventQueueRow {
  readonly name: string;
  readonly size: number;
  readonly nsPerHold: number;
  readonly digest: string;
}

interface HoldCase {
  readonly name: string;
  readonly increment: Distribution;
  /** Each hold also cancels an event elsewhere in the queue and sets it anew, as a timer that is put off. */
  readonly cancels: boolean;
}

const CASES: readonly HoldCase[] = [
  { name: 'exponential', increment: exponential(1e6), cancels: false },
  { name: 'packets beside timers', increment: empirical([1e3, 6e10], [0.9, 0.1]), cancels: false },
  { name: 'equal times', increment: constant(0), cancels: false },
  { name: 'timers put off', increment: exponential(1e6), cancels: true },
];

const SIZES = { smoke: [64, 4096], full: [64, 1024, 16384, 262144] } as const;
const HOLDS_PER_RUN = 1000;
/** A power of two. */
const INCREMENTS = 8192;

/** A queue filled to its size, and a function that does a number of holds. Increments are drawn beforehand: only the queue is timed. */
class HoldModel {
  readonly queue: EventQueue;
  readonly #increments = new Float64Array(INCREMENTS);
  readonly #handles: Float64Array;
  readonly #cancels: boolean;
  #next = 0;

  constructor(hold: HoldCase, size: number) {
    const stream = new Rng(1).stream(`bench/${hold.name}`);
    for (let i = 0; i < INCREMENTS; i++) this.#increments[i] = Math.floor(hold.increment.next(stream));
    this.queue = new EventQueue(size);
    this.#handles = new Float64Array(size);
    this.#cancels = hold.cancels;
    for (let i = 0; i < size; i++) this.#handles[i] = this.queue.push(this.#increment(), 0, 0, i);
  }

  run(holds: number): void {
    const queue = this.queue;
    const handles = this.#handles;
    for (let i = 0; i < holds; i++) {
      queue.pop();
      const event = queue.payload;
      handles[event] = queue.push(queue.time + this.#increment(), 0, 0, event);
      if (!this.#cancels) continue;
      const other = (event * 7 + i) % handles.length;
      queue.cancel(handles[other]);
      handles[other] = queue.push(queue.time + this.#increment(), 0, 0, other);
    }
  }

  #increment(): number {
    this.#next = (this.#next + 1) & (INCREMENTS - 1);
    return this.#increments[this.#next];
  }
}

/** `smoke` takes well under a second, `full` some ten seconds. The digests depend on neither machine nor time. */
export async function benchEventQueue(size: 'smoke' | 'full'): Promise<EventQueueRow[]> {
  const timing = size === 'smoke' ? { time: 10, warmupTime: 2 } : { time: 500, warmupTime: 100 };
  const rows: EventQueueRow[] = [];
  for (const hold of CASES) {
    for (const events of SIZES[size]) {
      const model = new HoldModel(hold, events);
      const bench = new Bench({ ...timing, throws: true });
      bench.add(hold.name, () => model.run(HOLDS_PER_RUN));
      const [task] = await bench.run();
      const { result } = task;
      if (result.state !== 'completed') throw new Error(`Benchmark "${hold.name}" ended as ${result.state}`);
      const nsPerHold = (result.latency.p50 * 1e6) / HOLDS_PER_RUN;
      rows.push({ name: hold.name, size: events, nsPerHold, digest: digestOfHolds(hold, events) });
    }
  }
  return rows;
}

/** The order in which a fresh model's events come, over a fixed number of holds. */
function digestOfHolds(hold: HoldCase, size: number): string {
  const model = new HoldModel(hold, size);
  const digest = new Digest();
  for (let i = 0; i < 5000; i++) {
    model.run(1);
    digest.float(model.queue.time);
    digest.word(model.queue.payload);
  }
  return digest.hex();
}
