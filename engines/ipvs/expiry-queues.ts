/**
 * Time-outs of the records of a table. A record waits in the queue of its time-out, and times never decrease, so each queue is in order
 * of expiry: refreshing a record and finding the next to expire are O(1), whatever their number.
 */
import type { SimTime } from '../../model/time.ts';
import * as tables from './service-table.ts';

/* A module's own constants are part of the compiled code; V8 loads an imported one anew at each use. */
const { NONE } = tables;

/** Indices of `clock`. */
export const NOW = 0;
export const EARLIEST = 1;

/* Words of a record that belong to its queue: the neighbours, then the expiry as a float64, which stands at slot / 2 + EXPIRES. */
const LATER = 12;
const EARLIER = 13;
const EXPIRES = 7;

export class ExpiryQueues {
  /**
   * The time now, and an instant before which nothing expires (a refreshed slot may leave it too early, never too late). In an array:
   * a number too large for a small integer is boxed anew when a call passes it on.
   */
  readonly clock = Float64Array.of(0, Infinity);
  #timeouts = new Float64Array(0);
  #heads = new Int32Array(0);
  #tails = new Int32Array(0);
  #words: Int32Array;
  #floats: Float64Array;

  /** `words`: the records, of 16 words each; a slot is the place of a record's first word. */
  constructor(words: Int32Array<ArrayBuffer>) {
    this.#words = words;
    this.#floats = new Float64Array(words.buffer);
  }

  /** A new queue, for slots with this time-out: its number. Queues are numbered from 0. */
  open(timeoutNs: number): number {
    this.#timeouts = Float64Array.from([...this.#timeouts, timeoutNs]);
    this.#heads = Int32Array.from([...this.#heads, NONE]);
    this.#tails = Int32Array.from([...this.#tails, NONE]);
    return this.#timeouts.length - 1;
  }

  /** The records have moved. */
  moveTo(words: Int32Array<ArrayBuffer>): void {
    this.#words = words;
    this.#floats = new Float64Array(words.buffer);
  }

  /** The slot that expires next of those in `queue`, or -1. */
  head(queue: number): number {
    return this.#heads[queue];
  }

  /** The slot that expires next of those in its queue, or -1. */
  after(slot: number): number {
    return this.#words[slot + LATER];
  }

  expiry(slot: number): SimTime {
    return this.#floats[(slot >> 1) + EXPIRES];
  }

  /** Whether the slot's time has come. */
  hasExpired(slot: number): boolean {
    return this.#floats[(slot >> 1) + EXPIRES] <= this.clock[NOW];
  }

  /** The slot, in no queue now, expires when its queue's time-out has passed. */
  put(slot: number, queue: number): void {
    const clock = this.clock;
    const words = this.#words;
    const floats = this.#floats;
    const expires = clock[NOW] + this.#timeouts[queue];
    floats[(slot >> 1) + EXPIRES] = expires;
    if (expires < clock[EARLIEST]) clock[EARLIEST] = expires;
    // Times do not decrease, so the loop does not run; it keeps the order right if a caller breaks that promise.
    let before = this.#tails[queue];
    while (before !== NONE && floats[(before >> 1) + EXPIRES] > expires) before = words[before + EARLIER];
    const after = before === NONE ? this.#heads[queue] : words[before + LATER];
    words[slot + EARLIER] = before;
    words[slot + LATER] = after;
    if (before === NONE) this.#heads[queue] = slot;
    else words[before + LATER] = slot;
    if (after === NONE) this.#tails[queue] = slot;
    else words[after + EARLIER] = slot;
  }

  take(slot: number, queue: number): void {
    const words = this.#words;
    const before = words[slot + EARLIER];
    const after = words[slot + LATER];
    if (before === NONE) this.#heads[queue] = after;
    else words[before + LATER] = after;
    if (after === NONE) this.#tails[queue] = before;
    else words[after + EARLIER] = before;
  }

  /** The slot's queue changes at the very time that its time-out in the old one ran out. */
  putAfterExpiry(slot: number, queue: number): void {
    const clock = this.clock;
    const now = clock[NOW];
    clock[NOW] = this.#floats[(slot >> 1) + EXPIRES];
    this.put(slot, queue);
    clock[NOW] = now;
  }

  /** The queue whose head has expired first, the lowest number among equals; -1 when nothing has, and EARLIEST is right then. */
  due(): number {
    let due = NONE;
    let earliest = Infinity;
    for (let queue = 0; queue < this.#timeouts.length; queue++) {
      const head = this.#heads[queue];
      if (head === NONE) continue;
      const expires = this.#floats[(head >> 1) + EXPIRES];
      if (expires >= earliest) continue;
      earliest = expires;
      due = queue;
    }
    if (earliest <= this.clock[NOW]) return due;
    this.clock[EARLIEST] = earliest;
    return NONE;
  }
}
