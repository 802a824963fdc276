/** The event queue as one plain heap: what the ladder queue is compared with, in order and in time. */
import { assert } from './assert.ts';
import { EventHeap } from './event-heap.ts';
import { EventSlots, LAST_GENERATION } from './event-slots.ts';
import type { EventHandle } from './event-slots.ts';

/** push, pop and cancel take O(log n). The methods of EventQueue that order events. */
export class HeapQueue {
  time = 0;
  priority = 0;
  kind = 0;
  payload = 0;
  declare private readonly events: EventSlots;
  declare private readonly heap: EventHeap;

  constructor(capacity = 1024) {
    this.events = new EventSlots(capacity, LAST_GENERATION);
    this.heap = new EventHeap(this.events);
  }

  get size(): number {
    return this.heap.size;
  }

  push(time: number, priority: number, kind: number, payload: number): EventHandle {
    if (time !== time) assert(false, 'the time of an event is NaN');
    const slot = this.events.take(priority, kind, payload);
    this.heap.push(time, slot);
    return this.events.handleOf(slot);
  }

  cancel(handle: EventHandle): boolean {
    const slot = this.events.slotOf(handle);
    if (slot === -1) return false;
    this.heap.remove(this.events.words[(slot << 3) + 7]);
    this.events.release(slot);
    return true;
  }

  pop(): boolean {
    const heap = this.heap;
    if (heap.size === 0) return false;
    const slot = heap.slots[0];
    const { floats, words } = this.events;
    this.time = heap.times[0];
    this.priority = words[(slot << 3) + 4];
    this.kind = words[(slot << 3) + 5];
    this.payload = floats[slot << 2];
    heap.pop();
    this.events.release(slot);
    return true;
  }
}
