/**
 * The future event list: a ladder queue whose bottom is a heap, with a total order, so that a run is one sequence of events and
 * no other. Smallest time first, then smallest priority, then first in, first out.
 */
import { assert } from './assert.ts';
import { EventHeap } from './event-heap.ts';
import { EventLadder } from './event-ladder.ts';
import { EventSlots, LAST_GENERATION } from './event-slots.ts';
import type { EventHandle } from './event-slots.ts';

export type { EventHandle } from './event-slots.ts';

/** Up to so many events are a plain heap. */
const HEAP_LIMIT = 256;

/**
 * push, pop, cancel and peekTime take constant time where times are spread, O(log n) at worst, and allocate only when arrays double.
 * Cancelled timers leave nothing behind: the size is true, and entries of theirs are swept out before they outnumber the others.
 */
export class EventQueue {
  /** Fields of the event that `pop` returned last. */
  time = 0;
  priority = 0;
  kind = 0;
  payload = 0;

  #size = 0;
  declare private readonly events: EventSlots;
  declare private readonly heap: EventHeap;
  declare private readonly ladder: EventLadder;

  /**
   * `capacity` is the number of events that fit before the arrays double for the first time. A slot serves `lastGeneration`
   * events and is then given up; up to `heapLimit` events are a plain heap. Only a test needs other numbers for these two.
   */
  constructor(capacity = 1024, lastGeneration = LAST_GENERATION, heapLimit = HEAP_LIMIT) {
    this.events = new EventSlots(capacity, lastGeneration);
    this.heap = new EventHeap(this.events);
    this.ladder = new EventLadder(this.events, this.heap, heapLimit);
  }

  get size(): number {
    return this.#size;
  }

  /** `time` is any number but NaN; `priority` and `kind` are 32-bit integers; `payload` is any number. */
  push(time: number, priority: number, kind: number, payload: number): EventHandle {
    if (time !== time || (priority | 0) !== priority) refuse(time, priority);
    const { events, heap, ladder } = this;
    const slot = events.take(priority, kind, payload);
    const generation = events.words[(slot << 3) + 6];
    this.#size++;
    if (!ladder.put(time, slot, generation)) {
      if (heap.size < ladder.heapLimit || !ladder.spreadBottom() || !ladder.put(time, slot, generation)) {
        heap.push(time, slot);
      }
    }
    return generation * 67108864 + slot;
  }

  /** Takes the event out of the queue; false when it has been popped or cancelled before. */
  cancel(handle: EventHandle): boolean {
    const { events, heap, ladder } = this;
    const slot = events.slotOf(handle);
    if (slot === -1) return false;
    const place = events.words[(slot << 3) + 7];
    events.release(slot);
    this.#size--;
    if (place !== -1) {
      heap.remove(place);
    } else {
      ladder.dead++;
      ladder.trimRun();
      ladder.purge(this.#size - heap.size);
    }
    return true;
  }

  /** The kind of a queued event, or -1 for a stale handle. */
  kindOf(handle: EventHandle): number {
    const slot = this.events.slotOf(handle);
    return slot === -1 ? -1 : this.events.words[(slot << 3) + 5];
  }

  /** The payload of a queued event, or NaN for a stale handle. */
  payloadOf(handle: EventHandle): number {
    const slot = this.events.slotOf(handle);
    return slot === -1 ? NaN : this.events.floats[slot << 2];
  }

  /** The time of the next event, Infinity when there is none. */
  peekTime(): number {
    const { heap, ladder } = this;
    if (this.#size === 0) return Infinity;
    if (ladder.runSize === 0) {
      if (heap.size === 0) ladder.refill();
      if (ladder.runSize === 0) return heap.times[0];
    }
    const time = ladder.runFloats[2 * ladder.runSize - 2];
    // Beyond its end the heap's times are Infinity.
    return heap.times[0] < time ? heap.times[0] : time;
  }

  /** Takes the next event out and puts it in the fields `time, priority, kind, payload`; false when the queue is empty. */
  pop(): boolean {
    const { events, heap, ladder } = this;
    if (this.#size === 0) return false;
    if (ladder.runSize === 0 && heap.size === 0) ladder.refill();
    const last = ladder.runSize - 1;
    let slot;
    if (last >= 0 && (heap.size === 0 || this.#runIsFirst(last))) {
      slot = ladder.runWords[(last << 2) + 2];
      this.time = ladder.runFloats[last << 1];
      ladder.runSize = last;
      if (ladder.dead > 0) ladder.trimRun();
      if (last === 0 && heap.size >= HEAP_LIMIT) ladder.heapToRun();
    } else {
      slot = heap.slots[0];
      this.time = heap.times[0];
      heap.pop();
    }
    const words = events.words;
    this.payload = events.floats[slot << 2];
    this.priority = words[(slot << 3) + 4];
    this.kind = words[(slot << 3) + 5];
    events.release(slot);
    this.#size--;
    return true;
  }

  /** Whether the run's last entry comes before the heap's first event. */
  #runIsFirst(last: number): boolean {
    const { heap, ladder } = this;
    const time = ladder.runFloats[last << 1];
    const other = heap.times[0];
    return time < other || (time === other && this.events.first(ladder.runWords[(last << 2) + 2], heap.slots[0]));
  }
}

function refuse(time: number, priority: number): never {
  assert(time === time, 'the time of an event is NaN');
  assert(false, `priority must be a 32-bit integer, got ${priority}`);
}
