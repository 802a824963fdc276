/** What the event queue knows of each event but its time: one record of 32 bytes, reached by handle. */
import { assert } from './assert.ts';

/** Names one pushed event. A handle whose event has gone is stale and harmless: it never names another event. 0 is no event's. */
export type EventHandle = number;

/** A handle is generation * 2^26 + slot, below 2^53. */
const SLOT_LIMIT = 67108864;
export const LAST_GENERATION = 134217727;
const RECORD_BYTES = 32;

/**
 * One buffer with two views, so that the event that comes next costs one cache line. Slot s has
 *
 *     floats[4 s]     payload            floats[4 s + 1]  sequence
 *     words[8 s + 4]  priority           words[8 s + 5]   kind
 *     words[8 s + 6]  generation         words[8 s + 7]   place in the heap, -1 outside; of a free slot the next free one
 *
 * The last slot given back is the next taken. Strides are written as literals here and in the heap: V8 does not fold a
 * module's constants, and a load, a check and an addition for each would double the work.
 */
export class EventSlots {
  floats = new Float64Array(0);
  words = new Int32Array(0);
  #used = 0;
  #free = -1;
  #nextSequence = 0;
  #capacity = 0;
  readonly #lastGeneration: number;

  constructor(capacity: number, lastGeneration: number) {
    assert(Number.isInteger(capacity) && capacity >= 1, `capacity must be a positive integer, got ${capacity}`);
    this.#capacity = capacity;
    this.#lastGeneration = lastGeneration;
    const buffer = new ArrayBuffer(capacity * RECORD_BYTES);
    this.floats = new Float64Array(buffer);
    this.words = new Int32Array(buffer);
  }

  /** A slot for the next event in sequence, in no heap. */
  take(priority: number, kind: number, payload: number): number {
    let slot = this.#free;
    if (slot === -1) slot = this.#newSlot();
    else this.#free = this.words[(slot << 3) + 7];
    const floats = this.floats;
    const words = this.words;
    floats[slot << 2] = payload;
    floats[(slot << 2) + 1] = this.#nextSequence++;
    words[(slot << 3) + 4] = priority;
    words[(slot << 3) + 5] = kind;
    words[(slot << 3) + 7] = -1;
    return slot;
  }

  release(slot: number): void {
    const words = this.words;
    // A slot whose generations are used up is left out for good: a handle must never come to life again.
    if (words[(slot << 3) + 6]++ >= this.#lastGeneration) return;
    words[(slot << 3) + 7] = this.#free;
    this.#free = slot;
  }

  handleOf(slot: number): EventHandle {
    return this.words[(slot << 3) + 6] * 67108864 + slot;
  }

  /** -1 for a stale handle. */
  slotOf(handle: EventHandle): number {
    const generation = Math.floor(handle / SLOT_LIMIT);
    const slot = handle - generation * SLOT_LIMIT;
    // Generations start at 1 and grow as a slot is freed, so neither 0 nor a stale handle can match.
    return slot < this.#used && this.words[(slot << 3) + 6] === generation ? slot : -1;
  }

  /** Which of two events of equal time comes first. Sequences differ, so the order is total. */
  first(slot: number, other: number): boolean {
    const words = this.words;
    const priority = words[(slot << 3) + 4];
    const otherPriority = words[(other << 3) + 4];
    if (priority !== otherPriority) return priority < otherPriority;
    return this.floats[(slot << 2) + 1] < this.floats[(other << 2) + 1];
  }

  #newSlot(): number {
    if (this.#used === this.#capacity) {
      const capacity = this.#capacity * 2;
      assert(capacity <= SLOT_LIMIT, `more than ${this.#capacity} events at once`);
      const buffer = new ArrayBuffer(capacity * RECORD_BYTES);
      const words = new Int32Array(buffer);
      words.set(this.words);
      this.floats = new Float64Array(buffer);
      this.words = words;
      this.#capacity = capacity;
    }
    const slot = this.#used++;
    this.words[(slot << 3) + 6] = 1;
    return slot;
  }
}
