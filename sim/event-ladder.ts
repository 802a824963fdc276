/**
 * The ladder above the bottom heap of the event queue: far events in rungs of buckets, unsorted, near ones as a sorted run.
 * After Tang, Goh and Thng, Ladder Queue (ACM TOMACS 15, 2005), with other buckets, another bottom and a total order.
 */
import { EventChains } from './event-chains.ts';
import type { EventHeap } from './event-heap.ts';
import type { EventSlots } from './event-slots.ts';

/** A rung has at most 2^10 buckets: their last chunks fit the cache and its address buffers. */
const MAX_BUCKETS = 1024;
const MAX_RUNGS = 8;
/** The chain of all that comes after the rungs. */
const TOP = MAX_RUNGS * MAX_BUCKETS;
const EVENTS_PER_BUCKET = 4;
/** A bucket of at most so many events is sorted by insertion. */
const INSERTION_LIMIT = 16;
/** One of at most so many is sorted by its place in the bucket's span, provided that no place has more than INSERTION_LIMIT. */
const RUN_LIMIT = 2048;
const PLACES_PER_EVENT = 2;
const PURGE_FLOOR = 256;

/**
 * Events after `#end` wait in the top. Each rung spreads the events of one bucket of the rung above over buckets of its own; bucket
 * floor((time - start) / width), computed as (time - start) * inverse and held within 0 .. last, is the one function by which events are
 * placed and found again. It never falls as time grows, so equal times share a bucket, and no rounding can let two
 * events pass each other. Buckets below `next` have gone to the rung below or to the bottom. The bottom is the run, sorted from its end, and the
 * heap, which has what is pushed into the run's time; the first of both is the next event.
 *
 * A cancelled event leaves the heap at once; elsewhere its entry stays, dead, until it reaches the run or dead entries
 * outnumber the living ones.
 */
export class EventLadder {
  /** Entries as those of EventChains, the next event last; the last one is never dead. */
  runSize = 0;
  runFloats = new Float64Array(0);
  runWords = new Int32Array(0);
  /** The heap is spread over a new rung when it has so many events. */
  heapLimit = 0;
  /** Dead entries of top, rungs and run. */
  dead = 0;

  #heapBase = 0;
  #end = Infinity;
  #rungs = 0;
  /** Four floats a rung: start, inverse of a bucket's width, next bucket (NaN after the last: nothing compares with it), last bucket. */
  readonly #rung = new Float64Array(4 * MAX_RUNGS);
  readonly #chains = new EventChains(TOP + 1);
  readonly #counts = new Int32Array(PLACES_PER_EVENT * RUN_LIMIT + 1);
  readonly #places = new Int32Array(RUN_LIMIT);
  declare private readonly events: EventSlots;
  declare private readonly heap: EventHeap;

  constructor(events: EventSlots, heap: EventHeap, heapLimit: number) {
    this.events = events;
    this.heap = heap;
    this.heapLimit = heapLimit;
    this.#heapBase = heapLimit;
    this.#reserveRun(RUN_LIMIT);
  }

  /** Takes an event unless it belongs to the bottom. */
  put(time: number, slot: number, generation: number): boolean {
    if (time > this.#end) {
      this.#chains.append(8192, time, slot, generation);
      return true;
    }
    const rung = this.#rung;
    const end = this.#rungs << 2;
    for (let r = 0; r < end; r += 4) {
      const x = (time - rung[r]) * rung[r + 1];
      if (x >= rung[r + 2]) {
        const last = rung[r + 3];
        this.#chains.append((r << 8) + ((x < last ? x : last) | 0), time, slot, generation);
        return true;
      }
    }
    return false;
  }

  /** Drops dead entries from the end of the run. */
  trimRun(): void {
    const { runWords } = this;
    const { words } = this.events;
    let n = this.runSize;
    while (n > 0 && words[(runWords[4 * n - 2] << 3) + 6] !== runWords[4 * n - 1]) {
      n--;
      this.dead--;
    }
    this.runSize = n;
  }

  /** Fills the empty bottom. There must be an event somewhere. */
  refill(): void {
    const { tails } = this.#chains;
    const rung = this.#rung;
    while (this.runSize === 0 && this.heap.size === 0) {
      this.heapLimit = this.#heapBase;
      const r = this.#rungs - 1;
      if (r < 0) {
        this.#takeTop();
        continue;
      }
      const base = r * MAX_BUCKETS;
      const last = rung[4 * r + 3];
      const bucket = this.#nextBucket(r, rung[4 * r + 2]);
      if (!(bucket <= last)) {
        this.#rungs = r;
        continue;
      }
      const end = tails[base + bucket];
      tails[base + bucket] = -1;
      rung[4 * r + 2] = bucket === last ? NaN : bucket + 1;
      const count = this.#chains.count(end);
      if (count <= RUN_LIMIT && this.#sortRun(end, count, rung[4 * r], rung[4 * r + 1], bucket)) continue;
      // Where nothing comes after this bucket the new rung takes the place of the old one.
      if (this.#nextBucket(r, bucket + 1) > last) this.#rungs = r;
      this.#spread(end, count);
    }
  }

  /** The first bucket of rung r that is not empty, from `bucket` on, or one after the last. */
  #nextBucket(r: number, bucket: number): number {
    const { tails } = this.#chains;
    const base = r * MAX_BUCKETS;
    const last = this.#rung[4 * r + 3];
    let next = bucket;
    while (next <= last && tails[base + next] === -1) next++;
    return next;
  }

  #takeTop(): void {
    const end = this.#chains.take(TOP);
    const count = this.#chains.count(end);
    this.#end = Infinity;
    if (count <= this.#heapBase >> 1) this.#moveToHeap(end);
    else this.#spread(end, count);
  }

  /** Spreads a chain over a new rung; to the run or the heap where its times are all the same or too near each other. */
  #spread(end: number, count: number): void {
    const chains = this.#chains;
    const { floats, link } = chains;
    let min = Infinity;
    let max = -Infinity;
    let infinite = false;
    for (let chunk = end >> 3, entry = end; chunk !== -1; chunk = link[chunk], entry = (chunk << 3) + 7) {
      for (const first = chunk << 3; entry >= first; entry--) {
        const time = floats[entry << 1];
        if (time - time !== 0) infinite = true;
        else {
          if (time < min) min = time;
          if (time > max) max = time;
        }
      }
    }
    if (min === max && !infinite && this.#moveToRun(end, count)) {
      if (this.#rungs === 0 && this.#end === Infinity) this.#end = max;
      return;
    }
    if (!this.#newRung(min, max, count)) {
      this.#moveToHeap(end);
      return;
    }
    const base = (this.#rungs - 1) * MAX_BUCKETS;
    // From the oldest chunk on, so that equal times stay in the order of pushes, and sorting them is no work.
    for (let chunk = chains.reverse(end), next; chunk !== -1; chunk = next) {
      next = chains.link[chunk];
      const stop = next === -1 ? end : (chunk << 3) + 7;
      for (let entry = chunk << 3; entry <= stop; entry++) {
        const time = chains.floats[entry << 1];
        chains.appendCopy(time > this.#end ? TOP : base + this.#bucketOf(time), time, chains.floats[(entry << 1) + 1]);
      }
      chains.freeChunk(chunk);
    }
  }

  /** The bucket of a time in the last rung. */
  #bucketOf(time: number): number {
    const rung = this.#rung;
    const r = (this.#rungs - 1) << 2;
    const x = (time - rung[r]) * rung[r + 1];
    const last = rung[r + 3];
    return x < last ? (x > 0 ? x | 0 : 0) : last | 0;
  }

  /** Makes a rung for `count` events from `min` to `max`; false where these span no buckets, or rungs are used up. */
  #newRung(min: number, max: number, count: number): boolean {
    const r = this.#rungs;
    if (r === MAX_RUNGS) return false;
    const buckets = Math.min(Math.max(Math.ceil(count / EVENTS_PER_BUCKET), 4), MAX_BUCKETS);
    const inverse = (buckets - 1) / (max - min);
    if (!(inverse > 0 && inverse < Infinity)) return false;
    this.#rung[4 * r] = min;
    this.#rung[4 * r + 1] = inverse;
    this.#rung[4 * r + 2] = 0;
    this.#rung[4 * r + 3] = buckets - 1;
    this.#rungs = r + 1;
    if (r === 0 && this.#end === Infinity) this.#end = max;
    return true;
  }

  /**
   * Sorts a bucket into the run: a counting sort by place, where a place is a part of the bucket's span, and then insertion, for which
   * little is left to do. False when too many events share a place.
   */
  #sortRun(end: number, count: number, start: number, inverse: number, bucket: number): boolean {
    const { floats, words, link } = this.#chains;
    const { runFloats } = this;
    const slotWords = this.events.words;
    if (count <= INSERTION_LIMIT) {
      let n = 0;
      for (let chunk = end >> 3, entry = end; chunk !== -1; chunk = link[chunk], entry = (chunk << 3) + 7) {
        for (const first = chunk << 3; entry >= first; entry--) {
          if (slotWords[(words[(entry << 2) + 2] << 3) + 6] !== words[(entry << 2) + 3]) continue;
          runFloats[n << 1] = floats[entry << 1];
          runFloats[(n << 1) + 1] = floats[(entry << 1) + 1];
          n++;
        }
      }
      this.#finishRun(end, count, n);
      return true;
    }
    const counts = this.#counts;
    const places = this.#places;
    const most = 2 * count;
    counts.fill(0, 0, most + 1);
    let k = 0;
    let n = 0;
    for (let chunk = end >> 3, entry = end; chunk !== -1; chunk = link[chunk], entry = (chunk << 3) + 7) {
      for (const first = chunk << 3; entry >= first; entry--) {
        let place = -1;
        // The first look at the slot, many independent ones in a row: its cache line will be there when the event is popped.
        if (slotWords[(words[(entry << 2) + 2] << 3) + 6] === words[(entry << 2) + 3]) {
          const x = ((floats[entry << 1] - start) * inverse - bucket) * most;
          place = x > 0 ? (x < most ? most - (x | 0) : 0) : most;
          counts[place]++;
          n++;
        }
        places[k++] = place;
      }
    }
    let sum = 0;
    for (let place = 0; place <= most; place++) {
      const here = counts[place];
      if (here > 16) return false;
      counts[place] = sum;
      sum += here;
    }
    k = 0;
    for (let chunk = end >> 3, entry = end; chunk !== -1; chunk = link[chunk], entry = (chunk << 3) + 7) {
      for (const first = chunk << 3; entry >= first; entry--) {
        const place = places[k++];
        if (place < 0) continue;
        const to = counts[place]++ << 1;
        runFloats[to] = floats[entry << 1];
        runFloats[to + 1] = floats[(entry << 1) + 1];
      }
    }
    this.#finishRun(end, count, n);
    return true;
  }

  /** Ends the filling of the run from a chain: sorts what is nearly sorted. */
  #finishRun(end: number, count: number, n: number): void {
    const { runFloats, runWords, events } = this;
    for (let i = 1; i < n; i++) {
      const time = runFloats[i << 1];
      if (time < runFloats[(i << 1) - 2]) continue;
      const event = runFloats[(i << 1) + 1];
      const slot = runWords[(i << 2) + 2];
      let p = i;
      while (p > 0) {
        const other = runFloats[(p << 1) - 2];
        if (other > time || (other === time && events.first(slot, runWords[(p << 2) - 2]))) break;
        runFloats[p << 1] = other;
        runFloats[(p << 1) + 1] = runFloats[(p << 1) - 1];
        p--;
      }
      runFloats[p << 1] = time;
      runFloats[(p << 1) + 1] = event;
    }
    this.#chains.free(end);
    this.dead -= count - n;
    this.runSize = n;
  }

  /** Makes a chain of equal times the run if it is in order. */
  #moveToRun(end: number, count: number): boolean {
    this.#reserveRun(count);
    const { floats, words, link } = this.#chains;
    const { runFloats, runWords, events } = this;
    let n = 0;
    for (let chunk = end >> 3, entry = end; chunk !== -1; chunk = link[chunk], entry = (chunk << 3) + 7) {
      for (const first = chunk << 3; entry >= first; entry--) {
        const slot = words[(entry << 2) + 2];
        if (events.words[(slot << 3) + 6] !== words[(entry << 2) + 3]) continue;
        if (n > 0 && !events.first(slot, runWords[(n << 2) - 2])) return false;
        runFloats[n << 1] = floats[entry << 1];
        runFloats[(n << 1) + 1] = floats[(entry << 1) + 1];
        n++;
      }
    }
    this.#chains.free(end);
    this.dead -= count - n;
    this.runSize = n;
    return true;
  }

  #moveToHeap(end: number): void {
    const { floats, words, link } = this.#chains;
    const { heap, events } = this;
    for (let chunk = end >> 3, entry = end; chunk !== -1; chunk = link[chunk], entry = (chunk << 3) + 7) {
      for (const first = chunk << 3; entry >= first; entry--) {
        const slot = words[(entry << 2) + 2];
        if (events.words[(slot << 3) + 6] !== words[(entry << 2) + 3]) this.dead--;
        else heap.push(floats[entry << 1], slot);
      }
    }
    this.#chains.free(end);
    this.heapLimit = Math.max(this.heapLimit, 2 * heap.size);
  }

  /** Spreads a heap that has grown, and the run, over a new rung. False where it must stay: all its times are the same, say. */
  spreadBottom(): boolean {
    const { heap, runFloats, runSize, runWords } = this;
    const { size, times, slots } = heap;
    this.heapLimit = 2 * size;
    let min = Infinity;
    let max = -Infinity;
    let infinite = false;
    for (let i = -runSize; i < size; i++) {
      const time = i < 0 ? runFloats[(-1 - i) << 1] : times[i];
      if (time - time !== 0) infinite = true;
      else {
        if (time < min) min = time;
        if (time > max) max = time;
      }
    }
    if (!this.#newRung(min, max, size + runSize)) {
      if (min !== max || infinite) return false;
      // Only the top may take what comes after the bottom.
      if (this.#end === Infinity) this.#end = max;
      if (runSize === 0) this.heapToRun();
      return true;
    }
    const base = (this.#rungs - 1) * MAX_BUCKETS;
    for (let i = -runSize; i < size; i++) {
      const time = i < 0 ? runFloats[(-1 - i) << 1] : times[i];
      const slot = i < 0 ? runWords[((-1 - i) << 2) + 2] : slots[i];
      const generation = i < 0 ? runWords[((-1 - i) << 2) + 3] : heap.generation(i);
      this.#chains.append(time > this.#end ? TOP : base + this.#bucketOf(time), time, slot, generation);
    }
    heap.clear();
    this.runSize = 0;
    // At once, since what comes before the rung's start goes to the bottom and must meet the first bucket there.
    this.refill();
    return true;
  }

  /** Makes a large heap of equal times, in which events stand in their order, the run. The run must be empty. */
  heapToRun(): void {
    const { heap, events } = this;
    const { size, slots, times } = heap;
    if (size < this.#heapBase) return;
    for (let i = 1; i < size; i++) if (times[i] !== times[0] || !events.first(slots[i - 1], slots[i])) return;
    this.#reserveRun(size);
    const { runFloats, runWords } = this;
    for (let i = 0, to = size - 1; i < size; i++, to--) {
      runFloats[to << 1] = times[i];
      runWords[(to << 2) + 2] = slots[i];
      runWords[(to << 2) + 3] = heap.generation(i);
    }
    heap.clear();
    this.runSize = size;
    this.heapLimit = this.#heapBase;
  }

  /** Takes dead entries out once they outnumber the `living` ones. */
  purge(living: number): void {
    if (this.dead <= living + PURGE_FLOOR) return;
    const { runFloats, runWords } = this;
    const { words } = this.events;
    let n = 0;
    for (let i = 0; i < this.runSize; i++) {
      if (words[(runWords[4 * i + 2] << 3) + 6] !== runWords[4 * i + 3]) continue;
      runFloats[2 * n] = runFloats[2 * i];
      runFloats[2 * n + 1] = runFloats[2 * i + 1];
      n++;
    }
    this.runSize = n;
    for (let r = 0; r < this.#rungs; r++) {
      for (let b = 0; b <= this.#rung[4 * r + 3]; b++) this.#purgeChain(r * MAX_BUCKETS + b);
    }
    this.#purgeChain(TOP);
    this.dead = 0;
  }

  #purgeChain(chain: number): void {
    const chains = this.#chains;
    const { words } = this.events;
    const end = chains.take(chain);
    if (end === -1) return;
    for (let chunk = chains.reverse(end), next; chunk !== -1; chunk = next) {
      next = chains.link[chunk];
      const stop = next === -1 ? end : (chunk << 3) + 7;
      for (let entry = chunk << 3; entry <= stop; entry++) {
        if (words[(chains.words[(entry << 2) + 2] << 3) + 6] !== chains.words[(entry << 2) + 3]) continue;
        chains.appendCopy(chain, chains.floats[entry << 1], chains.floats[(entry << 1) + 1]);
      }
      chains.freeChunk(chunk);
    }
  }

  #reserveRun(size: number): void {
    if (2 * size <= this.runFloats.length) return;
    let length = 64;
    while (length < size) length *= 2;
    const buffer = new ArrayBuffer(length * 16);
    this.runFloats = new Float64Array(buffer);
    this.runWords = new Int32Array(buffer);
  }
}
