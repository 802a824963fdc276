/**
 * Time-outs of the slots of a table. A slot waits in the queue of its time-out, and times never decrease, so each queue is in order of
 * expiry: refreshing a slot and finding the next to expire are O(1), whatever the number of slots.
 */
import type { SimTime } from '../../model/time.ts';
import { grownFloat64, grownInt32 } from './grow.ts';
import { NONE } from './service-table.ts';

/** Indices of `clock`. */
export const NOW = 0;
export const EARLIEST = 1;

export class ExpiryQueues {
  /**
   * The time now, and an instant before which nothing expires (a refreshed slot may leave it too early, never too late). In an array:
   * a number too large for a small integer is boxed anew when a call passes it on.
   */
  readonly clock = Float64Array.of(0, Infinity);
  #timeouts = new Float64Array(0);
  #heads = new Int32Array(0);
  #tails = new Int32Array(0);
  #expires: Float64Array;
  #next: Int32Array;
  #previous: Int32Array;

  constructor(capacity: number) {
    this.#expires = new Float64Array(capacity);
    this.#next = new Int32Array(capacity);
    this.#previous = new Int32Array(capacity);
  }

  /** A new queue, for slots with this time-out: its number. Queues are numbered from 0. */
  open(timeoutNs: number): number {
    this.#timeouts = Float64Array.from([...this.#timeouts, timeoutNs]);
    this.#heads = Int32Array.from([...this.#heads, NONE]);
    this.#tails = Int32Array.from([...this.#tails, NONE]);
    return this.#timeouts.length - 1;
  }

  grow(capacity: number): void {
    this.#expires = grownFloat64(this.#expires, capacity);
    this.#next = grownInt32(this.#next, capacity);
    this.#previous = grownInt32(this.#previous, capacity);
  }

  /** The slot that expires next of those in `queue`, or -1. */
  head(queue: number): number {
    return this.#heads[queue];
  }

  expiry(slot: number): SimTime {
    return this.#expires[slot];
  }

  /** Whether the slot's time has come. */
  hasExpired(slot: number): boolean {
    return this.#expires[slot] <= this.clock[NOW];
  }

  /** The slot, in no queue now, expires when its queue's time-out has passed. */
  put(slot: number, queue: number): void {
    const clock = this.clock;
    const expires = clock[NOW] + this.#timeouts[queue];
    this.#expires[slot] = expires;
    if (expires < clock[EARLIEST]) clock[EARLIEST] = expires;
    // Times do not decrease, so the loop does not run; it keeps the order right if a caller breaks that promise.
    let before = this.#tails[queue];
    while (before !== NONE && this.#expires[before] > expires) before = this.#previous[before];
    const after = before === NONE ? this.#heads[queue] : this.#next[before];
    this.#previous[slot] = before;
    this.#next[slot] = after;
    if (before === NONE) this.#heads[queue] = slot;
    else this.#next[before] = slot;
    if (after === NONE) this.#tails[queue] = slot;
    else this.#previous[after] = slot;
  }

  take(slot: number, queue: number): void {
    const before = this.#previous[slot];
    const after = this.#next[slot];
    if (before === NONE) this.#heads[queue] = after;
    else this.#next[before] = after;
    if (after === NONE) this.#tails[queue] = before;
    else this.#previous[after] = before;
  }

  /** The slot's queue changes at the very time that its time-out in the old one ran out. */
  putAfterExpiry(slot: number, queue: number): void {
    const clock = this.clock;
    const now = clock[NOW];
    clock[NOW] = this.#expires[slot];
    this.put(slot, queue);
    clock[NOW] = now;
  }

  /** The queue whose head has expired first, the lowest number among equals; -1 when nothing has, and EARLIEST is right then. */
  due(): number {
    let due = NONE;
    let earliest = Infinity;
    for (let queue = 0; queue < this.#timeouts.length; queue++) {
      const head = this.#heads[queue];
      if (head === NONE || this.#expires[head] >= earliest) continue;
      earliest = this.#expires[head];
      due = queue;
    }
    if (earliest <= this.clock[NOW]) return due;
    this.clock[EARLIEST] = earliest;
    return NONE;
  }
}
