/** A 4-ary heap of events by (time, priority, sequence), over typed arrays. */
import type { EventSlots } from './event-slots.ts';

const LEAST_LENGTH = 64;
/** Times after the last event are Infinity, at least as many as a parent has children. */
const PADDING = 4;

/**
 * The heap holds (time, slot) pairs in two parallel arrays: comparing times touches no other memory, and only equal times look
 * up priority and sequence by slot. The slot keeps its place in the heap, which is what makes a cancelled event leave at once.
 * The children of place p are 4p + 1 .. 4p + 4, and the least of them is found without a branch that depends on the times.
 */
export class EventHeap {
  size = 0;
  times = new Float64Array(LEAST_LENGTH + PADDING).fill(Infinity);
  slots = new Int32Array(LEAST_LENGTH + PADDING);
  declare private readonly events: EventSlots;

  constructor(events: EventSlots) {
    this.events = events;
  }

  push(time: number, slot: number): void {
    const place = this.size++;
    if (place === this.times.length - 4) this.#grow();
    this.#siftUp(place, time, slot);
  }

  /** Takes the first event out; the heap may not be empty. */
  pop(): void {
    this.#fill(0);
  }

  /** Takes the event at `place` out. */
  remove(place: number): void {
    this.#fill(place);
  }

  clear(): void {
    const { words } = this.events;
    for (let place = 0; place < this.size; place++) words[(this.slots[place] << 3) + 7] = -1;
    this.times.fill(Infinity, 0, this.size);
    this.size = 0;
  }

  generation(place: number): number {
    return this.events.words[(this.slots[place] << 3) + 6];
  }

  /** Puts the last event into a hole at `place`. */
  #fill(place: number): void {
    const last = --this.size;
    const time = this.times[last];
    const slot = this.slots[last];
    this.times[last] = Infinity;
    if (place === last) return;
    // The last event may belong above or below the hole.
    const parent = (place - 1) >> 2;
    if (place > 0 && this.#before(time, slot, parent)) this.#siftUp(place, time, slot);
    else this.#siftDown(place, time, slot);
  }

  #before(time: number, slot: number, place: number): boolean {
    const other = this.times[place];
    return time < other || (time === other && this.events.first(slot, this.slots[place]));
  }

  #siftUp(from: number, time: number, slot: number): void {
    const { times, slots } = this;
    const { words } = this.events;
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 2;
      const parentTime = times[parent];
      if (time > parentTime) break;
      const parentSlot = slots[parent];
      if (time === parentTime && !this.events.first(slot, parentSlot)) break;
      times[place] = parentTime;
      slots[place] = parentSlot;
      words[(parentSlot << 3) + 7] = place;
      place = parent;
    }
    times[place] = time;
    slots[place] = slot;
    words[(slot << 3) + 7] = place;
  }

  #siftDown(from: number, time: number, slot: number): void {
    const { times, slots, size } = this;
    const { words } = this.events;
    let place = from;
    for (let child = (place << 2) + 1; child < size; child = (place << 2) + 1) {
      const t0 = times[child];
      const t1 = times[child + 1];
      const t2 = times[child + 2];
      const t3 = times[child + 3];
      const left = child + (+(t1 < t0) & 1);
      const right = child + 2 + (+(t3 < t2) & 1);
      const leftTime = times[left];
      const rightTime = times[right];
      let least = left + (-(+(rightTime < leftTime) & 1) & (right - left));
      if (t0 === t1 || t2 === t3 || leftTime === rightTime) least = this.#firstOfFour(child);
      const leastTime = times[least];
      const leastSlot = slots[least];
      if (time < leastTime || (time === leastTime && this.events.first(slot, leastSlot))) break;
      times[place] = leastTime;
      slots[place] = leastSlot;
      words[(leastSlot << 3) + 7] = place;
      place = least;
    }
    times[place] = time;
    slots[place] = slot;
    words[(slot << 3) + 7] = place;
  }

  /** The first of up to four children, by the whole order. */
  #firstOfFour(child: number): number {
    const end = child + 4 < this.size ? child + 4 : this.size;
    let best = child;
    for (let other = child + 1; other < end; other++) {
      if (this.#before(this.times[other], this.slots[other], best)) best = other;
    }
    return best;
  }

  #grow(): void {
    const length = (this.times.length - PADDING) * 2 + PADDING;
    const times = new Float64Array(length).fill(Infinity);
    times.set(this.times);
    const slots = new Int32Array(length);
    slots.set(this.slots);
    this.times = times;
    this.slots = slots;
  }
}
