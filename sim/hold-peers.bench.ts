/**
 * The hold model in queues and a simulator from npm: contenders beside our event queue. bench/hold_simpy.py and bench/hold_ns3.cc do the
 * same job: payload i = 0 .. pending - 1 is pushed at its increment + spread * i; a round pops so many times the earliest event, mixes its
 * payload into the checksum and pushes it again one increment later.
 */
import type { Contender } from './contender.ts';
import { mixed } from './contender.ts';

export interface HoldJob {
  /** Increments in whole nanoseconds, walked by one cursor for all events, round and round; its length is a power of two. */
  readonly increments: Float64Array;
  readonly pending: number;
  /** Holds a round. */
  readonly holds: number;
  /** 1: event i starts i later. With increments that are multiples of a power of two above `pending`, no two times are then ever equal. */
  readonly spread: 0 | 1;
}

class Increments {
  readonly #table: Float64Array;
  #cursor = 0;

  constructor(table: Float64Array) {
    this.#table = table;
  }

  next(): number {
    const increment = this.#table[this.#cursor];
    this.#cursor = (this.#cursor + 1) & (this.#table.length - 1);
    return increment;
  }
}

/**
 * flatqueue: an item and its time, in its typed arrays of fixed capacity, the faster of its two forms. Equal times come in no
 * order that it promises, so it can only agree where no two times are equal.
 */
export async function flatqueueHold(job: HoldJob): Promise<Contender> {
  const { pending, holds, spread } = job;
  const module = await imported('flatqueue', () => import('flatqueue'));
  if (typeof module === 'string') return absent('flatqueue', module);
  const queue = new module.default<number>(pending);
  const increments = new Increments(job.increments);
  for (let i = 0; i < pending; i++) queue.push(i, increments.next() + spread * i);
  let sum = 0;
  return {
    name: 'flatqueue',
    round() {
      let checksum = sum;
      for (let i = 0; i < holds; i++) {
        const time = queue.peekValue() as number;
        const payload = queue.pop() as number;
        checksum = mixed(checksum, payload);
        queue.push(payload, time + increments.next());
      }
      sum = checksum;
    },
    checksum: () => sum >>> 0,
  };
}

interface TimedEvent {
  time: number;
  sequence: number;
  readonly payload: number;
}

/** tinyqueue: objects in an array, compared by time and then by sequence, so that equal times come first in, first out. */
export async function tinyqueueHold(job: HoldJob): Promise<Contender> {
  const { pending, holds, spread } = job;
  const module = await imported('tinyqueue', () => import('tinyqueue'));
  if (typeof module === 'string') return absent('tinyqueue', module);
  const queue = new module.default<TimedEvent>([], (a, b) => a.time - b.time || a.sequence - b.sequence);
  const increments = new Increments(job.increments);
  let sequence = 0;
  for (let i = 0; i < pending; i++)
    queue.push({ time: increments.next() + spread * i, sequence: sequence++, payload: i });
  let sum = 0;
  return {
    name: 'tinyqueue',
    round() {
      let checksum = sum;
      for (let i = 0; i < holds; i++) {
        // The object goes in again: a new one for each event would only be slower.
        const event = queue.pop() as TimedEvent;
        checksum = mixed(checksum, event.payload);
        event.time += increments.next();
        event.sequence = sequence++;
        queue.push(event);
      }
      sum = checksum;
    },
    checksum: () => sum >>> 0,
  };
}

interface SimjsEntity {
  setTimer(delay: number): { done(callback: () => void): void };
}

interface Simjs {
  readonly Sim: new () => {
    /** Delivers `maxEvents` events and returns. */
    simulate(endTime: number, maxEvents: number): void;
    addEntity(kind: new (...args: never[]) => SimjsEntity, name: string, ...args: unknown[]): SimjsEntity;
  };
  readonly Entity: new (...args: unknown[]) => SimjsEntity;
}

/** simjs: an entity for each event, whose timer's callback sets it again. Its queue is ordered by time and then by sequence, as ours. */
export async function simjsHold(job: HoldJob): Promise<Contender> {
  const { pending, holds, spread } = job;
  const module = await imported('simjs', loadSimjs);
  if (typeof module === 'string') return absent('simjs', module);
  const { Sim, Entity } = module;
  const increments = new Increments(job.increments);
  let sum = 0;
  class Hold extends Entity {
    #payload = 0;
    readonly #next = (): void => {
      sum = mixed(sum, this.#payload);
      this.setTimer(increments.next()).done(this.#next);
    };

    start(payload: number): void {
      this.#payload = payload;
      this.setTimer(increments.next() + spread * payload).done(this.#next);
    }
  }
  const sim = new Sim();
  for (let i = 0; i < pending; i++) sim.addEntity(Hold, `hold ${i}`, i);
  return { name: 'simjs', round: () => sim.simulate(Infinity, holds), checksum: () => sum >>> 0 };
}

/** Its bundle asks for a browser's `window` and exports nothing. */
async function loadSimjs(): Promise<Simjs> {
  const place = globalThis as { window?: { Sim?: Simjs } };
  const before = place.window;
  const window: { Sim?: Simjs } = {};
  place.window = window;
  try {
    await import('simjs');
  } finally {
    if (before === undefined) delete place.window;
    else place.window = before;
  }
  // A second import finds the module loaded, and runs nothing.
  loadedSimjs ??= window.Sim;
  if (loadedSimjs === undefined) throw new Error('simjs has set no window.Sim');
  return loadedSimjs;
}

let loadedSimjs: Simjs | undefined;

/** The package, or how to get it where it is not installed. */
async function imported<T>(name: string, load: () => Promise<T>): Promise<T | string> {
  try {
    return await load();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error;
    return `the npm package ${name} is not installed: npm ci`;
  }
}

function absent(name: string, reason: string): Contender {
  const stop = (): never => {
    throw new Error(`${name} is absent: ${reason}`);
  };
  return { name, absent: reason, round: stop, checksum: stop };
}
