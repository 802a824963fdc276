/** Runs events in the order of time. Knows nothing of networks: an event is a handler and a number, or a closure. */
import { assert } from './assert.ts';
import { EventQueue } from './event-queue.ts';
import type { EventHandle } from './event-queue.ts';

/** Simulated time: an integer number of nanoseconds, below 2^53. The same as the model's SimTime, since sim imports nothing. */
export type SimTime = number;

/** Names a handler made known by `on`. */
export type EventKind = number;

const NO_CALLBACK = (): void => undefined;

/**
 * Events are ordered by (time, priority, order of scheduling); the smaller priority comes first. A handler may schedule
 * events for the present instant: one of smaller priority than its own still runs next, as the order holds for the
 * events that wait, not for those that have run.
 */
export class Simulation {
  #now: SimTime = 0;
  #running = false;
  readonly #queue = new EventQueue();
  readonly #handlers: ((payload: number) => void)[] = [];
  /** Closures of `at`, and the free places among them. */
  readonly #callbacks: (() => void)[] = [];
  readonly #freeCallbacks: number[] = [];
  readonly #callbackKind: EventKind;
  /** Called just before each closure event runs: whoever holds work back in batches settles it here. */
  beforeCallback: (() => void) | undefined = undefined;

  constructor() {
    this.#callbackKind = this.on((index) => {
      const callback = this.#callbacks[index];
      this.#releaseCallback(index);
      this.beforeCallback?.();
      callback();
    });
  }

  get now(): SimTime {
    return this.#now;
  }

  /** Number of events that wait. */
  get pending(): number {
    return this.#queue.size;
  }

  /** Makes a handler known; the packet path schedules by the number returned and allocates nothing. */
  on(handler: (payload: number) => void): EventKind {
    return this.#handlers.push(handler) - 1;
  }

  /** Runs the handler of `kind` with `payload` at time `at`. Throws when that is in the past or not an integer. */
  schedule(at: SimTime, priority: number, kind: EventKind, payload = 0): EventHandle {
    if (!(at >= this.#now)) assert(false, `event at ${at} ns is before now, ${this.#now} ns`);
    if (!Number.isSafeInteger(at)) assert(false, `event at ${at} ns: time must be an integer below 2^53`);
    if (!(kind >= 0 && kind < this.#handlers.length)) assert(false, `event kind ${kind} has no handler`);
    return this.#queue.push(at, priority, kind, payload);
  }

  /** As `schedule`, `delay` from now, of an event that is never taken back: no handle, and no object for a delay below 2^31 ns. */
  after(delay: SimTime, priority: number, kind: EventKind, payload = 0): void {
    if (!(delay >= 0)) assert(false, `event ${delay} ns before now, ${this.#now} ns`);
    const at = this.#now + delay;
    if (!Number.isSafeInteger(at)) assert(false, `event at ${at} ns: time must be an integer below 2^53`);
    if (!(kind >= 0 && kind < this.#handlers.length)) assert(false, `event kind ${kind} has no handler`);
    this.#queue.push(at, priority, kind, payload);
  }

  /** Runs a closure at `time`: for the control plane, where clarity matters more than an allocation. */
  at(time: SimTime, priority: number, callback: () => void): EventHandle {
    const free = this.#freeCallbacks.pop();
    const index = free ?? this.#callbacks.length;
    this.#callbacks[index] = callback;
    try {
      return this.schedule(time, priority, this.#callbackKind, index);
    } catch (error) {
      this.#releaseCallback(index);
      throw error;
    }
  }

  /** Takes an event back; false when it has run or was cancelled before. */
  cancel(handle: EventHandle): boolean {
    if (this.#queue.kindOf(handle) === this.#callbackKind) this.#releaseCallback(this.#queue.payloadOf(handle));
    return this.#queue.cancel(handle);
  }

  /** The time of the next event, Infinity when there is none. */
  nextTime(): number {
    return this.#queue.peekTime();
  }

  /** Moves to the next event and runs it; false when there is none. */
  step(): boolean {
    const queue = this.#queue;
    if (!queue.pop()) return false;
    this.#now = queue.time;
    this.#handlers[queue.kind](queue.payload);
    return true;
  }

  /** Runs every event with a time <= `time`, those that they schedule included; then it is `time`. */
  runUntil(time: SimTime): void {
    assert(time >= this.#now, `cannot run until ${time} ns: now is ${this.#now} ns`);
    assert(Number.isSafeInteger(time), `cannot run until ${time} ns: time must be an integer below 2^53`);
    this.#run(time);
    this.#now = time;
  }

  /** Runs until no event is left; `now` is then the time of the last one. */
  runToEnd(): void {
    this.#run(Infinity);
  }

  #run(last: number): void {
    // A run inside a handler would move the clock past events of the outer run.
    assert(!this.#running, 'a handler may not run the simulation');
    this.#running = true;
    try {
      const queue = this.#queue;
      while (queue.size > 0 && queue.peekTime() <= last) this.step();
    } finally {
      this.#running = false;
    }
  }

  #releaseCallback(index: number): void {
    this.#callbacks[index] = NO_CALLBACK;
    this.#freeCallbacks.push(index);
  }
}
