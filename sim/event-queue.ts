import { assert } from './assert.ts';

export type EventHandle = number;

const SLOT_LIMIT = 67108864;
const LAST_GENERATION = 134217727;
const NO_SLOT = -1;

const CHUNK_SHIFT = 3;
const CHUNK = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK - 1;
const EMPTY = -1;
const RUNG_SHIFT = 10;
const MAX_BUCKETS = 1 << RUNG_SHIFT;
const MAX_RUNGS = 8;
const TOP = MAX_RUNGS * MAX_BUCKETS;
const RUN_LIMIT = 2048;
const INSERTION_LIMIT = 24;
const PER_BUCKET = 4;
const HEAP_LIMIT = 256;
const PURGE_FLOOR = 256;

export class EventQueue {
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
  readonly #heapBase: number;

  /** slot records */
  #f64: Float64Array;
  #i32: Int32Array;

  /** bottom heap */
  #heapSize = 0;
  #heapLimit: number;
  #heapTime: Float64Array;
  #heapSlot: Int32Array;

  /** sorted run, descending */
  #runSize = 0;
  #runTime = new Float64Array(64);
  #runSlot = new Int32Array(64);
  #runGen = new Int32Array(64);

  /** chunks */
  #chunks = 0;
  #freeChunk = EMPTY;
  #link: Int32Array = new Int32Array(16);
  #poolF64: Float64Array<ArrayBuffer>;
  #poolI32: Int32Array;

  /** buckets: last entry of each */
  readonly #tail = new Int32Array(MAX_RUNGS * MAX_BUCKETS + 1).fill(EMPTY);
  #rungs = 0;
  /** start, inverse of a bucket's width, next bucket, last bucket */
  readonly #rung = new Float64Array(4 * MAX_RUNGS);
  #scratchTime = new Float64Array(64);
  #scratchSlot = new Int32Array(64);
  #scratchGen = new Int32Array(64);
  #scratchIndex = new Int32Array(64);
  readonly #counts = new Int32Array(RUN_LIMIT + 1);
  #ladderEnd = Infinity;
  #dead = 0;

  constructor(capacity = 1024, lastGeneration = LAST_GENERATION, heapLimit = HEAP_LIMIT) {
    assert(Number.isInteger(capacity) && capacity >= 1, `capacity must be a positive integer, got ${capacity}`);
    this.#lastGeneration = lastGeneration;
    this.#capacity = capacity;
    this.#heapBase = heapLimit;
    this.#heapLimit = heapLimit;
    const buffer = new ArrayBuffer(capacity * 32);
    this.#f64 = new Float64Array(buffer);
    this.#i32 = new Int32Array(buffer);
    this.#heapTime = new Float64Array(64);
    this.#heapSlot = new Int32Array(64);
    const pool = new ArrayBuffer(16 * CHUNK * 16);
    this.#poolF64 = new Float64Array(pool);
    this.#poolI32 = new Int32Array(pool);
  }

  get size(): number {
    return this.#size;
  }

  push(time: number, priority: number, kind: number, payload: number): EventHandle {
    if (time !== time) assert(false, 'the time of an event is NaN');
    if ((priority | 0) !== priority) assert(false, `priority must be a 32-bit integer, got ${priority}`);
    let slot = this.#freeSlot;
    if (slot === NO_SLOT) slot = this.#newSlot();
    else this.#freeSlot = this.#i32[(slot << 3) + 7];
    const f64 = this.#f64;
    const i32 = this.#i32;
    const record = slot << 3;
    f64[slot << 2] = payload;
    f64[(slot << 2) + 1] = this.#nextSequence++;
    i32[record + 4] = priority;
    i32[record + 5] = kind;
    i32[record + 7] = NO_SLOT;
    const generation = i32[record + 6];
    this.#size++;
    if (time <= this.#ladderEnd) {
      const rung = this.#rung;
      const end = this.#rungs << 2;
      let r = 0;
      for (; r < end; r += 4) {
        const x = (time - rung[r]) * rung[r + 1];
        if (x >= rung[r + 2]) {
          const last = rung[r + 3];
          this.#append((r << (RUNG_SHIFT - 2)) + ((x < last ? x : last) | 0), time, slot, generation);
          break;
        }
      }
      if (r === end) this.#pushBottom(time, slot);
    } else {
      this.#append(TOP, time, slot, generation);
    }
    return generation * SLOT_LIMIT + slot;
  }

  cancel(handle: EventHandle): boolean {
    const slot = this.#slotOf(handle);
    if (slot === NO_SLOT) return false;
    const place = this.#i32[(slot << 3) + 7];
    this.#size--;
    this.#release(slot);
    if (place >= 0) {
      this.#removeFromHeap(place);
    } else {
      this.#dead++;
      this.#trimRun();
      if (this.#dead > this.#size - this.#heapSize + PURGE_FLOOR) this.#purge();
    }
    return true;
  }

  kindOf(handle: EventHandle): number {
    const slot = this.#slotOf(handle);
    return slot === NO_SLOT ? -1 : this.#i32[(slot << 3) + 5];
  }

  payloadOf(handle: EventHandle): number {
    const slot = this.#slotOf(handle);
    return slot === NO_SLOT ? NaN : this.#f64[slot << 2];
  }

  peekTime(): number {
    if (this.#size === 0) return Infinity;
    if (this.#runSize === 0 && this.#heapSize === 0) this.#refill();
    const n = this.#runSize;
    if (n === 0) return this.#heapTime[0];
    const time = this.#runTime[n - 1];
    return this.#heapSize > 0 && this.#heapTime[0] < time ? this.#heapTime[0] : time;
  }

  pop(): boolean {
    if (this.#size === 0) return false;
    if (this.#runSize === 0 && this.#heapSize === 0) this.#refill();
    const n = this.#runSize;
    let slot;
    if (n > 0 && (this.#heapSize === 0 || this.#runFirst(n - 1))) {
      slot = this.#runSlot[n - 1];
      this.time = this.#runTime[n - 1];
      this.#runSize = n - 1;
      if (this.#dead > 0) this.#trimRun();
    } else {
      slot = this.#heapSlot[0];
      this.time = this.#heapTime[0];
      const last = --this.#heapSize;
      if (last > 0) this.#siftDown(0, this.#heapTime[last], this.#heapSlot[last]);
    }
    const i32 = this.#i32;
    const record = slot << 3;
    this.payload = this.#f64[slot << 2];
    this.priority = i32[record + 4];
    this.kind = i32[record + 5];
    this.#size--;
    this.#release(slot);
    return true;
  }

  #runFirst(n: number): boolean {
    const time = this.#runTime[n];
    const other = this.#heapTime[0];
    if (time !== other) return time < other;
    return this.#firstOfEqualTimes(this.#runSlot[n], this.#heapSlot[0]);
  }

  #slotOf(handle: EventHandle): number {
    const generation = Math.floor(handle / SLOT_LIMIT);
    const slot = handle - generation * SLOT_LIMIT;
    return slot < this.#slots && this.#i32[(slot << 3) + 6] === generation ? slot : NO_SLOT;
  }

  #release(slot: number): void {
    const i32 = this.#i32;
    const record = slot << 3;
    if (i32[record + 6]++ >= this.#lastGeneration) return;
    i32[record + 7] = this.#freeSlot;
    this.#freeSlot = slot;
  }

  #newSlot(): number {
    if (this.#slots === this.#capacity) this.#grow();
    const slot = this.#slots++;
    this.#i32[(slot << 3) + 6] = 1;
    return slot;
  }

  #firstOfEqualTimes(slot: number, other: number): boolean {
    const priority = this.#i32[(slot << 3) + 4];
    const otherPriority = this.#i32[(other << 3) + 4];
    if (priority !== otherPriority) return priority < otherPriority;
    return this.#f64[(slot << 2) + 1] < this.#f64[(other << 2) + 1];
  }

  // ---- ladder

  #append(bucket: number, time: number, slot: number, generation: number): void {
    let entry = this.#tail[bucket];
    if ((entry & CHUNK_MASK) === CHUNK_MASK) entry = this.#newChunk(entry);
    else entry++;
    this.#tail[bucket] = entry;
    this.#poolF64[entry << 1] = time;
    const pool = this.#poolI32;
    pool[(entry << 2) + 2] = slot;
    pool[(entry << 2) + 3] = generation;
  }

  #newChunk(entry: number): number {
    let chunk = this.#freeChunk;
    if (chunk === EMPTY) {
      chunk = this.#chunks++;
      if (chunk === this.#link.length) this.#growPool();
    } else {
      this.#freeChunk = this.#link[chunk];
    }
    this.#link[chunk] = entry >> CHUNK_SHIFT;
    return chunk << CHUNK_SHIFT;
  }

  #growPool(): void {
    const chunks = this.#link.length * 2;
    this.#link = grownInt32(this.#link, chunks);
    const buffer = new ArrayBuffer(chunks * CHUNK * 16);
    new Int32Array(buffer).set(this.#poolI32);
    this.#poolF64 = new Float64Array(buffer);
    this.#poolI32 = new Int32Array(buffer);
  }

  #countOf(end: number): number {
    let count = (end & CHUNK_MASK) + 1;
    const link = this.#link;
    for (let chunk = link[end >> CHUNK_SHIFT]; chunk !== EMPTY; chunk = link[chunk]) count += CHUNK;
    return count;
  }

  /** Fills the bottom from the ladder: as long as the size is not 0 there is something to fill it with. */
  #refill(): void {
    const tail = this.#tail;
    const rung = this.#rung;
    while (this.#runSize === 0 && this.#heapSize === 0) {
      this.#heapLimit = this.#heapBase;
      const r = this.#rungs - 1;
      if (r < 0) {
        this.#takeTop();
        continue;
      }
      const base = r << RUNG_SHIFT;
      const last = rung[(r << 2) + 3];
      let index = rung[(r << 2) + 2];
      while (index <= last && tail[base + index] === EMPTY) index++;
      if (index > last) {
        this.#rungs = r;
        continue;
      }
      const end = tail[base + index];
      tail[base + index] = EMPTY;
      rung[(r << 2) + 2] = index === last ? Infinity : index + 1;
      const count = this.#countOf(end);
      if (count <= INSERTION_LIMIT) {
        this.#fillRun(end);
      } else if (count > RUN_LIMIT || !this.#sortRun(end, count, rung[r << 2], rung[(r << 2) + 1], index)) {
        // Where nothing comes after this bucket the new rung takes the place of the old one.
        let later = index + 1;
        while (later <= last && tail[base + later] === EMPTY) later++;
        if (later > last) this.#rungs = r;
        this.#spread(end, count);
      }
    }
  }

  #takeTop(): void {
    const end = this.#tail[TOP];
    const count = this.#countOf(end);
    this.#tail[TOP] = EMPTY;
    this.#ladderEnd = Infinity;
    if (count <= this.#heapBase >> 1) this.#toHeap(end);
    else this.#spread(end, count);
  }

  /** Spreads a chain over a new rung, or to the bottom. */
  #spread(end: number, count: number): void {
    const f64 = this.#poolF64;
    const link = this.#link;
    let min = Infinity;
    let max = -Infinity;
    let infinite = 0;
    for (let e = end; ;) {
      const time = f64[e << 1];
      if (time - time === 0) {
        if (time < min) min = time;
        if (time > max) max = time;
      } else {
        infinite++;
      }
      if ((e & CHUNK_MASK) !== 0) {
        e--;
      } else {
        const chunk = link[e >> CHUNK_SHIFT];
        if (chunk === EMPTY) break;
        e = (chunk << CHUNK_SHIFT) + CHUNK_MASK;
      }
    }
    if (infinite === 0 && min === max && this.#tieRun(end, count)) {
      if (this.#rungs === 0 && this.#ladderEnd === Infinity) this.#ladderEnd = max;
      return;
    }
    if (!this.#newRung(min, max, count)) {
      this.#toHeap(end);
      return;
    }
    const r = this.#rungs - 1;
    const start = this.#rung[r << 2];
    const inverse = this.#rung[(r << 2) + 1];
    const last = this.#rung[(r << 2) + 3];
    const ladderEnd = this.#ladderEnd;
    const base = r << RUNG_SHIFT;
    // oldest first
    let chunk = this.#reverse(end);
    while (chunk !== EMPTY) {
      const next = this.#link[chunk];
      const first = chunk << CHUNK_SHIFT;
      const stop = next === EMPTY ? end : first + CHUNK_MASK;
      for (let e = first; e <= stop; e++) {
        const time = this.#poolF64[e << 1];
        const slot = this.#poolI32[(e << 2) + 2];
        const generation = this.#poolI32[(e << 2) + 3];
        const x = (time - start) * inverse;
        const bucket = time > ladderEnd ? TOP : base + (x < last ? (x > 0 ? x | 0 : 0) : last);
        this.#append(bucket, time, slot, generation);
      }
      this.#freeOne(chunk);
      chunk = next;
    }
  }

  #newRung(min: number, max: number, count: number): boolean {
    const r = this.#rungs;
    if (r === MAX_RUNGS) return false;
    let buckets = Math.ceil(count / PER_BUCKET);
    buckets = buckets < 4 ? 4 : buckets > MAX_BUCKETS ? MAX_BUCKETS : buckets;
    const inverse = (buckets - 1) / (max - min);
    if (!(inverse > 0 && inverse < Infinity)) return false;
    this.#rung[r << 2] = min;
    this.#rung[(r << 2) + 1] = inverse;
    this.#rung[(r << 2) + 2] = 0;
    this.#rung[(r << 2) + 3] = buckets - 1;
    this.#rungs = r + 1;
    if (r === 0 && this.#ladderEnd === Infinity) this.#ladderEnd = max;
    return true;
  }

  #reverse(end: number): number {
    const link = this.#link;
    let chunk = end >> CHUNK_SHIFT;
    let previous = EMPTY;
    while (chunk !== EMPTY) {
      const next = link[chunk];
      link[chunk] = previous;
      previous = chunk;
      chunk = next;
    }
    return previous;
  }

  #freeOne(chunk: number): void {
    this.#link[chunk] = this.#freeChunk;
    this.#freeChunk = chunk;
  }

  #freeChain(end: number): void {
    const link = this.#link;
    let chunk = end >> CHUNK_SHIFT;
    const first = chunk;
    while (link[chunk] !== EMPTY) chunk = link[chunk];
    link[chunk] = this.#freeChunk;
    this.#freeChunk = first;
  }

  /** Copies the living entries of a chain into the scratch arrays, newest first. */
  #gather(end: number, count: number): number {
    if (count > this.#scratchSlot.length) {
      let length = this.#scratchSlot.length;
      while (length < count) length *= 2;
      this.#scratchTime = new Float64Array(length);
      this.#scratchSlot = new Int32Array(length);
      this.#scratchGen = new Int32Array(length);
      this.#scratchIndex = new Int32Array(length);
      this.#runTime = new Float64Array(length);
      this.#runSlot = new Int32Array(length);
      this.#runGen = new Int32Array(length);
    }
    const scratchTime = this.#scratchTime;
    const scratchSlot = this.#scratchSlot;
    const scratchGen = this.#scratchGen;
    const f64 = this.#poolF64;
    const pool = this.#poolI32;
    const link = this.#link;
    const i32 = this.#i32;
    let n = 0;
    let chunk = end >> CHUNK_SHIFT;
    let e = end;
    while (chunk !== EMPTY) {
      const first = chunk << CHUNK_SHIFT;
      for (; e >= first; e--) {
        const slot = pool[(e << 2) + 2];
        const generation = pool[(e << 2) + 3];
        scratchTime[n] = f64[e << 1];
        scratchSlot[n] = slot;
        scratchGen[n] = generation;
        // A dead entry is written over by the next.
        if (i32[(slot << 3) + 6] === generation) n++;
      }
      chunk = link[chunk];
      e = (chunk << CHUNK_SHIFT) + CHUNK_MASK;
    }
    return n;
  }

  /** Sorts a bucket into the run: by the place in the bucket's span first, then by insertion. */
  #sortRun(end: number, count: number, start: number, inverse: number, index: number): boolean {
    const n = this.#gather(end, count);
    const counts = this.#counts;
    const time = this.#scratchTime;
    const place = this.#scratchIndex;
    counts.fill(0, 0, n + 1);
    for (let i = 0; i < n; i++) {
      const x = ((time[i] - start) * inverse - index) * n;
      // Later times first.
      const p = x > 0 ? (x < n ? n - (x | 0) : 0) : n;
      place[i] = p;
      counts[p]++;
    }
    let sum = 0;
    for (let p = 0; p <= n; p++) {
      const here = counts[p];
      if (here > INSERTION_LIMIT) return false;
      counts[p] = sum;
      sum += here;
    }
    const runTime = this.#runTime;
    const runSlot = this.#runSlot;
    const runGen = this.#runGen;
    const slot = this.#scratchSlot;
    const generation = this.#scratchGen;
    for (let i = 0; i < n; i++) {
      const to = counts[place[i]]++;
      runTime[to] = time[i];
      runSlot[to] = slot[i];
      runGen[to] = generation[i];
    }
    this.#insertionSort(n);
    this.#runSize = n;
    this.#dead -= count - n;
    this.#freeChain(end);
    return true;
  }

  #insertionSort(n: number): void {
    const runTime = this.#runTime;
    const runSlot = this.#runSlot;
    const runGen = this.#runGen;
    for (let i = 1; i < n; i++) {
      const time = runTime[i];
      if (time < runTime[i - 1]) continue;
      const slot = runSlot[i];
      const generation = runGen[i];
      let p = i;
      while (p > 0) {
        const other = runTime[p - 1];
        if (other > time) break;
        if (other === time && this.#firstOfEqualTimes(slot, runSlot[p - 1])) break;
        runTime[p] = other;
        runSlot[p] = runSlot[p - 1];
        runGen[p] = runGen[p - 1];
        p--;
      }
      runTime[p] = time;
      runSlot[p] = slot;
      runGen[p] = generation;
    }
  }

  /** Sorts a few events into the run. */
  #fillRun(end: number): void {
    const runTime = this.#runTime;
    const runSlot = this.#runSlot;
    const runGen = this.#runGen;
    const f64 = this.#poolF64;
    const pool = this.#poolI32;
    const i32 = this.#i32;
    let n = 0;
    let chunk = end >> CHUNK_SHIFT;
    let e = end;
    let dead = 0;
    while (chunk !== EMPTY) {
      const first = chunk << CHUNK_SHIFT;
      for (; e >= first; e--) {
        const slot = pool[(e << 2) + 2];
        const generation = pool[(e << 2) + 3];
        if (i32[(slot << 3) + 6] !== generation) {
          dead++;
          continue;
        }
        runTime[n] = f64[e << 1];
        runSlot[n] = slot;
        runGen[n++] = generation;
      }
      chunk = this.#link[chunk];
      e = (chunk << CHUNK_SHIFT) + CHUNK_MASK;
    }
    this.#freeChain(end);
    this.#insertionSort(n);
    this.#dead -= dead;
    this.#runSize = n;
  }

  /** A chain of equal times becomes the run if it is in order. */
  #tieRun(end: number, count: number): boolean {
    const n = this.#gather(end, count);
    const slot = this.#scratchSlot;
    for (let i = 1; i < n; i++) if (!this.#firstOfEqualTimes(slot[i], slot[i - 1])) return false;
    const runTime = this.#runTime;
    const runSlot = this.#runSlot;
    const runGen = this.#runGen;
    for (let i = 0; i < n; i++) {
      runTime[i] = this.#scratchTime[i];
      runSlot[i] = slot[i];
      runGen[i] = this.#scratchGen[i];
    }
    this.#runSize = n;
    this.#dead -= count - n;
    this.#freeChain(end);
    return true;
  }

  #toHeap(end: number): void {
    let chunk = end >> CHUNK_SHIFT;
    let e = end;
    while (chunk !== EMPTY) {
      const first = chunk << CHUNK_SHIFT;
      for (; e >= first; e--) {
        const slot = this.#poolI32[(e << 2) + 2];
        if (this.#i32[(slot << 3) + 6] !== this.#poolI32[(e << 2) + 3]) this.#dead--;
        else this.#heapPush(this.#poolF64[e << 1], slot);
      }
      chunk = this.#link[chunk];
      e = (chunk << CHUNK_SHIFT) + CHUNK_MASK;
    }
    this.#freeChain(end);
    if (this.#heapLimit < this.#heapSize * 2) this.#heapLimit = this.#heapSize * 2;
  }

  #trimRun(): void {
    let n = this.#runSize;
    while (n > 0 && this.#i32[(this.#runSlot[n - 1] << 3) + 6] !== this.#runGen[n - 1]) {
      n--;
      this.#dead--;
    }
    this.#runSize = n;
  }

  #purge(): void {
    let n = 0;
    for (let i = 0; i < this.#runSize; i++) {
      const slot = this.#runSlot[i];
      if (this.#i32[(slot << 3) + 6] !== this.#runGen[i]) continue;
      this.#runTime[n] = this.#runTime[i];
      this.#runSlot[n] = slot;
      this.#runGen[n++] = this.#runGen[i];
    }
    this.#runSize = n;
    for (let r = 0; r < this.#rungs; r++) {
      const base = r << RUNG_SHIFT;
      for (let b = 0; b <= this.#rung[(r << 2) + 3]; b++) this.#purgeBucket(base + b);
    }
    this.#purgeBucket(TOP);
    this.#dead = 0;
  }

  #purgeBucket(bucket: number): void {
    const end = this.#tail[bucket];
    if (end === EMPTY) return;
    this.#tail[bucket] = EMPTY;
    let chunk = this.#reverse(end);
    while (chunk !== EMPTY) {
      const next = this.#link[chunk];
      const first = chunk << CHUNK_SHIFT;
      const stop = next === EMPTY ? end : first + CHUNK_MASK;
      for (let e = first; e <= stop; e++) {
        const slot = this.#poolI32[(e << 2) + 2];
        const generation = this.#poolI32[(e << 2) + 3];
        if (this.#i32[(slot << 3) + 6] === generation) this.#append(bucket, this.#poolF64[e << 1], slot, generation);
      }
      this.#freeOne(chunk);
      chunk = next;
    }
  }

  // ---- bottom heap

  #pushBottom(time: number, slot: number): void {
    if (this.#heapSize >= this.#heapLimit) this.#spreadBottom();
    // The rung that may have been made just now takes it, or the heap.
    let bucket = -1;
    if (time > this.#ladderEnd) {
      bucket = TOP;
    } else if (this.#rungs > 0) {
      const r = this.#rungs - 1;
      const x = (time - this.#rung[r << 2]) * this.#rung[(r << 2) + 1];
      const last = this.#rung[(r << 2) + 3];
      if (x >= this.#rung[(r << 2) + 2]) bucket = (r << RUNG_SHIFT) + ((x < last ? x : last) | 0);
    }
    if (bucket >= 0) {
      this.#append(bucket, time, slot, this.#i32[(slot << 3) + 6]);
      return;
    }
    this.#heapPush(time, slot);
  }

  #heapPush(time: number, slot: number): void {
    if (this.#heapSize === this.#heapTime.length) {
      this.#heapTime = grownFloat64(this.#heapTime, this.#heapSize * 2);
      this.#heapSlot = grownInt32(this.#heapSlot, this.#heapSize * 2);
    }
    this.#siftUp(this.#heapSize++, time, slot);
  }

  #spreadBottom(): void {
    const heap = this.#heapSize;
    const run = this.#runSize;
    this.#heapLimit = 2 * heap;
    let min = Infinity;
    let max = -Infinity;
    for (let i = 0; i < heap; i++) {
      const time = this.#heapTime[i];
      if (time - time !== 0) continue;
      if (time < min) min = time;
      if (time > max) max = time;
    }
    for (let i = 0; i < run; i++) {
      const time = this.#runTime[i];
      if (time - time !== 0) continue;
      if (time < min) min = time;
      if (time > max) max = time;
    }
    if (!this.#newRung(min, max, heap + run)) return;
    this.#heapSize = 0;
    this.#runSize = 0;
    const r = this.#rungs - 1;
    const start = this.#rung[r << 2];
    const inverse = this.#rung[(r << 2) + 1];
    const last = this.#rung[(r << 2) + 3];
    const i32 = this.#i32;
    for (let i = -run; i < heap; i++) {
      const time = i < 0 ? this.#runTime[-1 - i] : this.#heapTime[i];
      const slot = i < 0 ? this.#runSlot[-1 - i] : this.#heapSlot[i];
      const generation = i < 0 ? this.#runGen[-1 - i] : i32[(slot << 3) + 6];
      if (i >= 0) i32[(slot << 3) + 7] = NO_SLOT;
      const x = (time - start) * inverse;
      const bucket = time > this.#ladderEnd ? TOP : (r << RUNG_SHIFT) + (x < last ? (x > 0 ? x | 0 : 0) : last);
      this.#append(bucket, time, slot, generation);
    }
  }

  #removeFromHeap(place: number): void {
    const last = --this.#heapSize;
    if (place === last) return;
    const time = this.#heapTime[last];
    const slot = this.#heapSlot[last];
    if (place > 0 && this.#before(time, slot, (place - 1) >> 2)) this.#siftUp(place, time, slot);
    else this.#siftDown(place, time, slot);
  }

  #before(time: number, slot: number, place: number): boolean {
    const otherTime = this.#heapTime[place];
    if (time !== otherTime) return time < otherTime;
    return this.#firstOfEqualTimes(slot, this.#heapSlot[place]);
  }

  #siftUp(from: number, time: number, slot: number): void {
    const heapTime = this.#heapTime;
    const heapSlot = this.#heapSlot;
    const i32 = this.#i32;
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 2;
      const parentTime = heapTime[parent];
      if (time > parentTime) break;
      const parentSlot = heapSlot[parent];
      if (time === parentTime && !this.#firstOfEqualTimes(slot, parentSlot)) break;
      heapTime[place] = parentTime;
      heapSlot[place] = parentSlot;
      i32[(parentSlot << 3) + 7] = place;
      place = parent;
    }
    heapTime[place] = time;
    heapSlot[place] = slot;
    i32[(slot << 3) + 7] = place;
  }

  #siftDown(from: number, time: number, slot: number): void {
    const heapTime = this.#heapTime;
    const heapSlot = this.#heapSlot;
    const i32 = this.#i32;
    const size = this.#heapSize;
    let place = from;
    for (;;) {
      const first = (place << 2) + 1;
      if (first >= size) break;
      const end = first + 4 < size ? first + 4 : size;
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
      i32[(bestSlot << 3) + 7] = place;
      place = best;
    }
    heapTime[place] = time;
    heapSlot[place] = slot;
    i32[(slot << 3) + 7] = place;
  }

  #grow(): void {
    const capacity = this.#capacity * 2;
    assert(capacity <= SLOT_LIMIT, `more than ${this.#capacity} events at once`);
    const buffer = new ArrayBuffer(capacity * 32);
    new Int32Array(buffer).set(this.#i32);
    this.#f64 = new Float64Array(buffer);
    this.#i32 = new Int32Array(buffer);
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
