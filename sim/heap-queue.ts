/**
 * The future event list: a 4-ary heap over typed arrays with a total order, so that a run is one sequence of events and
 * no other. Smallest time first, then smallest priority, then first in, first out.
 */
import { assert } from './assert.ts';

/** Names one pushed event. A handle whose event has gone is stale and harmless: it never names another event. 0 is no event's. */
export type EventHandle = number;

const ARITY_SHIFT = 2;
const ARITY = 1 << ARITY_SHIFT;
/** A handle is generation * 2^26 + slot, below 2^53. */
const SLOT_LIMIT = 67108864;
const LAST_GENERATION = 134217727;
const NO_SLOT = -1;

/**
 * push, pop and cancel take O(log n), peekTime and size O(1). Memory is allocated only when the arrays double.
 *
 * The heap holds (time, slot) pairs in two parallel arrays: comparing times touches no other memory, and only equal times
 * look up priority and sequence by slot. A slot keeps an event's other fields and its place in the heap, which is what makes
 * a cancelled event leave at once: the size is true, and timers that are set again and again leave nothing behind.
 */
export class HeapQueue {
  /** Fields of the event that `pop` returned last. */
  time = 0;
  priority = 0;
  kind = 0;
  payload = 0;

  #size = 0;
  #slots = 0;
  #freeSlot = NO_SLOT;
  #nextSequence = 0;
  #capacity: number;
  readonly #lastGeneration: number;

  /** Indexed by place in the heap; the children of place p are 4p + 1 .. 4p + 4. */
  #heapTime: Float64Array;
  #heapSlot: Int32Array;
  /** Indexed by slot. `#place` is the place in the heap, or the next free slot while the slot is free. */
  #place: Int32Array;
  #generation: Int32Array;
  #priority: Int32Array;
  #sequence: Float64Array;
  #kind: Int32Array;
  #payload: Float64Array;

  /**
   * `capacity` is the number of events that fit before the arrays double for the first time. A slot serves `lastGeneration`
   * events and is then given up; only a test needs another number.
   */
  constructor(capacity = 1024, lastGeneration = LAST_GENERATION) {
    assert(Number.isInteger(capacity) && capacity >= 1, `capacity must be a positive integer, got ${capacity}`);
    this.#lastGeneration = lastGeneration;
    this.#capacity = capacity;
    this.#heapTime = new Float64Array(capacity);
    this.#heapSlot = new Int32Array(capacity);
    this.#place = new Int32Array(capacity);
    this.#generation = new Int32Array(capacity);
    this.#priority = new Int32Array(capacity);
    this.#sequence = new Float64Array(capacity);
    this.#kind = new Int32Array(capacity);
    this.#payload = new Float64Array(capacity);
  }

  get size(): number {
    return this.#size;
  }

  /** `time` is any number but NaN; `priority` and `kind` are 32-bit integers; `payload` is any number. */
  push(time: number, priority: number, kind: number, payload: number): EventHandle {
    if (time !== time) assert(false, 'the time of an event is NaN');
    if ((priority | 0) !== priority) assert(false, `priority must be a 32-bit integer, got ${priority}`);
    let slot = this.#freeSlot;
    if (slot === NO_SLOT) {
      if (this.#slots === this.#capacity) this.#grow();
      slot = this.#slots++;
      this.#generation[slot] = 1;
    } else {
      this.#freeSlot = this.#place[slot];
    }
    const sequence = this.#nextSequence++;
    this.#priority[slot] = priority;
    this.#sequence[slot] = sequence;
    this.#kind[slot] = kind;
    this.#payload[slot] = payload;
    this.#siftUp(this.#size++, time, slot);
    return this.#generation[slot] * SLOT_LIMIT + slot;
  }

  /** Takes the event out of the queue; false when it has been popped or cancelled before. */
  cancel(handle: EventHandle): boolean {
    const slot = this.#slotOf(handle);
    if (slot === NO_SLOT) return false;
    this.#remove(this.#place[slot]);
    this.#release(slot);
    return true;
  }

  /** The kind of a queued event, or -1 for a stale handle. */
  kindOf(handle: EventHandle): number {
    const slot = this.#slotOf(handle);
    return slot === NO_SLOT ? -1 : this.#kind[slot];
  }

  /** The payload of a queued event, or NaN for a stale handle. */
  payloadOf(handle: EventHandle): number {
    const slot = this.#slotOf(handle);
    return slot === NO_SLOT ? NaN : this.#payload[slot];
  }

  /** The time of the next event, Infinity when there is none. */
  peekTime(): number {
    return this.#size === 0 ? Infinity : this.#heapTime[0];
  }

  /** Takes the next event out and puts it in the fields `time, priority, kind, payload`; false when the queue is empty. */
  pop(): boolean {
    if (this.#size === 0) return false;
    const slot = this.#heapSlot[0];
    this.time = this.#heapTime[0];
    this.priority = this.#priority[slot];
    this.kind = this.#kind[slot];
    this.payload = this.#payload[slot];
    const last = --this.#size;
    if (last > 0) this.#siftDown(0, this.#heapTime[last], this.#heapSlot[last]);
    this.#release(slot);
    return true;
  }

  #slotOf(handle: EventHandle): number {
    const generation = Math.floor(handle / SLOT_LIMIT);
    const slot = handle - generation * SLOT_LIMIT;
    // Generations start at 1 and grow as a slot is freed, so neither 0 nor a stale handle can match.
    return slot < this.#slots && this.#generation[slot] === generation ? slot : NO_SLOT;
  }

  #release(slot: number): void {
    // A slot whose generations are used up is left out for good: a handle must never come to life again.
    if (this.#generation[slot]++ >= this.#lastGeneration) return;
    this.#place[slot] = this.#freeSlot;
    this.#freeSlot = slot;
  }

  #remove(place: number): void {
    const last = --this.#size;
    if (place === last) return;
    const time = this.#heapTime[last];
    const slot = this.#heapSlot[last];
    // The last event may belong above or below the hole; siftUp leaves it there if not above, and siftDown then goes on.
    if (place > 0 && this.#before(time, slot, (place - 1) >> ARITY_SHIFT)) this.#siftUp(place, time, slot);
    else this.#siftDown(place, time, slot);
  }

  /** Whether (time, slot) comes before the event at `place`. Sequences differ, so the order is total. */
  #before(time: number, slot: number, place: number): boolean {
    const otherTime = this.#heapTime[place];
    if (time !== otherTime) return time < otherTime;
    return this.#firstOfEqualTimes(slot, this.#heapSlot[place]);
  }

  #firstOfEqualTimes(slot: number, other: number): boolean {
    const priority = this.#priority[slot];
    const otherPriority = this.#priority[other];
    if (priority !== otherPriority) return priority < otherPriority;
    return this.#sequence[slot] < this.#sequence[other];
  }

  #siftUp(from: number, time: number, slot: number): void {
    const heapTime = this.#heapTime;
    const heapSlot = this.#heapSlot;
    const placeOf = this.#place;
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> ARITY_SHIFT;
      const parentTime = heapTime[parent];
      if (time > parentTime) break;
      const parentSlot = heapSlot[parent];
      if (time === parentTime && !this.#firstOfEqualTimes(slot, parentSlot)) break;
      heapTime[place] = parentTime;
      heapSlot[place] = parentSlot;
      placeOf[parentSlot] = place;
      place = parent;
    }
    heapTime[place] = time;
    heapSlot[place] = slot;
    placeOf[slot] = place;
  }

  #siftDown(from: number, time: number, slot: number): void {
    const heapTime = this.#heapTime;
    const heapSlot = this.#heapSlot;
    const placeOf = this.#place;
    const size = this.#size;
    let place = from;
    for (;;) {
      const first = (place << ARITY_SHIFT) + 1;
      if (first >= size) break;
      const end = first + ARITY < size ? first + ARITY : size;
      let best = first;
      let bestTime = heapTime[first];
      for (let child = first + 1; child < end; child++) {
        const childTime = heapTime[child];
        if (childTime > bestTime) continue;
        if (childTime === bestTime && !this.#firstOfEqualTimes(heapSlot[child], heapSlot[best])) continue;
        best = child;
        bestTime = childTime;
      }
      const bestSlot = heapSlot[best];
      if (time < bestTime || (time === bestTime && this.#firstOfEqualTimes(slot, bestSlot))) break;
      heapTime[place] = bestTime;
      heapSlot[place] = bestSlot;
      placeOf[bestSlot] = place;
      place = best;
    }
    heapTime[place] = time;
    heapSlot[place] = slot;
    placeOf[slot] = place;
  }

  #grow(): void {
    const capacity = this.#capacity * 2;
    assert(capacity <= SLOT_LIMIT, `more than ${this.#capacity} events at once`);
    this.#heapTime = grownFloat64(this.#heapTime, capacity);
    this.#heapSlot = grownInt32(this.#heapSlot, capacity);
    this.#place = grownInt32(this.#place, capacity);
    this.#generation = grownInt32(this.#generation, capacity);
    this.#priority = grownInt32(this.#priority, capacity);
    this.#sequence = grownFloat64(this.#sequence, capacity);
    this.#kind = grownInt32(this.#kind, capacity);
    this.#payload = grownFloat64(this.#payload, capacity);
    this.#capacity = capacity;
  }
}

function grownFloat64(old: Float64Array, length: number): Float64Array {
  const grown = new Float64Array(length);
  grown.set(old);
  return grown;
}

function grownInt32(old: Int32Array, length: number): Int32Array {
  const grown = new Int32Array(length);
  grown.set(old);
  return grown;
}
