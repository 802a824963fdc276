/** The lists of `-m recent`, by which session affinity remembers its clients: one for each KUBE-SEP chain (net/netfilter/xt_recent.c). */
import { RECENT_LISTS_PASSED, RECENT_TESTS } from '../../model/counters.ts';
import { NS_PER_S } from '../../model/time.ts';

/** Module option ip_list_tot: a list that holds so many addresses forgets the least recently seen for a new one. */
export const MAX_ADDRESSES = 100;

/** Words of an entry. `NEXT` leads through its bucket; OLDER and NEWER through its list, -1 at the ends. */
const LIST = 0;
const ADDRESS = 1;
const NEXT = 2;
const OLDER = 3;
const NEWER = 4;
const STRIDE = 5;

/**
 * A list lives as long as a rule refers to it. Handles are small integers and stay; a list's place among all lists, which the kernel
 * walks, is made anew at each commit. All entries are in one table, hashed by list and address, and each list's in order of time.
 */
export class RecentLists {
  readonly #handleOf = new Map<string, number>();
  /** By handle; empty text where the handle is free. */
  readonly #names: string[] = [];
  #references = new Int32Array(16);
  readonly #freeHandles: number[] = [];
  /** Lists that no commit has seen yet, and whether one may be gone. */
  #added: number[] = [];
  #dropped = false;
  /** Handles in the kernel's order, `count` of them. */
  #order = new Int32Array(16);
  /** Lists in the kernel. */
  count = 0;
  /** By handle: 1-based place in the kernel's list of lists, oldest and newest entry or -1, and entries held. */
  #place = new Int32Array(16);
  #oldest = new Int32Array(16);
  #newest = new Int32Array(16);
  #held = new Int32Array(16);

  #entries = new Int32Array(64 * STRIDE);
  #stamps = new Float64Array(64);
  #heads = new Int32Array(64).fill(-1);
  #free = -1;
  #unused = 0;

  /** A rule that refers to the list is written: the list comes into being with the first. */
  acquire(name: string): number {
    const known = this.#handleOf.get(name);
    if (known !== undefined) {
      this.#references[known]++;
      return known;
    }
    const handle = this.#freeHandles.pop() ?? this.#names.length;
    if (handle >= this.#place.length) this.#growLists();
    this.#handleOf.set(name, handle);
    this.#names[handle] = name;
    this.#references[handle] = 1;
    this.#oldest[handle] = -1;
    this.#newest[handle] = -1;
    this.#held[handle] = 0;
    this.#added.push(handle);
    return handle;
  }

  /** Such a rule is gone. */
  release(handle: number): void {
    if (--this.#references[handle] === 0) this.#dropped = true;
  }

  /**
   * The table is in the kernel: lists without rules go (recent_table_put), new ones stand behind the others in byte order of their
   * names, because their KUBE-SEP chains stand so in the table that iptables-legacy hands over.
   */
  commit(): void {
    if (this.#dropped) this.#closeRanks();
    const names: string[] = [];
    for (const handle of this.#added) {
      if (this.#references[handle] > 0) names.push(this.#names[handle]);
      else this.#forget(handle);
    }
    // Chain names are ASCII, of which the order of code units is that of bytes.
    names.sort((a, b) => (a < b ? -1 : 1));
    if (this.count + names.length > this.#order.length) {
      this.#order = grown(this.#order, (this.count + names.length) * 2);
    }
    for (const name of names) {
      const handle = this.#handleOf.get(name) as number;
      this.#order[this.count++] = handle;
      this.#place[handle] = this.count;
    }
    this.#added = [];
    this.#dropped = false;
  }

  /** Lists without rules leave the line. */
  #closeRanks(): void {
    const order = this.#order;
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      const handle = order[i];
      if (this.#references[handle] === 0) this.#forget(handle);
      else {
        order[kept++] = handle;
        this.#place[handle] = kept;
      }
    }
    this.count = kept;
  }

  /**
   * `--rcheck --seconds --reap` [recent_mt]: whether the list has seen the address within the time; then the list's oldest entry
   * goes if its time is over. A list that does not know the address is left as it is.
   */
  check(list: number, address: number, now: number, seconds: number, rows: Uint32Array, row: number): boolean {
    rows[row + RECENT_TESTS]++;
    rows[row + RECENT_LISTS_PASSED] += this.#place[list];
    const entry = this.#find(list, address);
    if (entry < 0) return false;
    const age = seconds * NS_PER_S;
    const matches = now - this.#stamps[entry] <= age;
    const oldest = this.#oldest[list];
    if (now - this.#stamps[oldest] > age) this.#remove(oldest);
    return matches;
  }

  /** `--set`: remembers the address as of now. Always matches. */
  set(list: number, address: number, now: number, rows: Uint32Array, row: number): void {
    rows[row + RECENT_TESTS]++;
    rows[row + RECENT_LISTS_PASSED] += this.#place[list];
    let entry = this.#find(list, address);
    if (entry >= 0) this.#unlink(entry);
    else {
      if (this.#held[list] >= MAX_ADDRESSES) this.#remove(this.#oldest[list]);
      entry = this.#insert(list, address);
    }
    this.#stamps[entry] = now;
    this.#append(entry);
  }

  #find(list: number, address: number): number {
    const entries = this.#entries;
    let entry = this.#heads[hash(list, address) & (this.#heads.length - 1)];
    while (entry >= 0) {
      const base = entry * STRIDE;
      if (entries[base + ADDRESS] === address && entries[base + LIST] === list) return entry;
      entry = entries[base + NEXT];
    }
    return -1;
  }

  #insert(list: number, address: number): number {
    if (this.#free < 0 && this.#unused === this.#stamps.length) this.#growEntries();
    const entry = this.#free >= 0 ? this.#free : this.#unused++;
    const base = entry * STRIDE;
    if (this.#free >= 0) this.#free = this.#entries[base + NEXT];
    this.#entries[base + LIST] = list;
    this.#entries[base + ADDRESS] = address;
    this.#hashIn(entry);
    this.#held[list]++;
    return entry;
  }

  #hashIn(entry: number): void {
    const base = entry * STRIDE;
    const bucket = hash(this.#entries[base + LIST], this.#entries[base + ADDRESS]) & (this.#heads.length - 1);
    this.#entries[base + NEXT] = this.#heads[bucket];
    this.#heads[bucket] = entry;
  }

  #remove(entry: number): void {
    const entries = this.#entries;
    const heads = this.#heads;
    const base = entry * STRIDE;
    const list = entries[base + LIST];
    this.#unlink(entry);
    const bucket = hash(list, entries[base + ADDRESS]) & (heads.length - 1);
    let at = heads[bucket];
    if (at === entry) heads[bucket] = entries[base + NEXT];
    else {
      while (entries[at * STRIDE + NEXT] !== entry) at = entries[at * STRIDE + NEXT];
      entries[at * STRIDE + NEXT] = entries[base + NEXT];
    }
    entries[base + LIST] = -1;
    entries[base + NEXT] = this.#free;
    this.#free = entry;
    this.#held[list]--;
  }

  /** Puts the entry at the recent end of its list. */
  #append(entry: number): void {
    const entries = this.#entries;
    const base = entry * STRIDE;
    const list = entries[base + LIST];
    const newest = this.#newest[list];
    entries[base + OLDER] = newest;
    entries[base + NEWER] = -1;
    if (newest < 0) this.#oldest[list] = entry;
    else entries[newest * STRIDE + NEWER] = entry;
    this.#newest[list] = entry;
  }

  #unlink(entry: number): void {
    const entries = this.#entries;
    const base = entry * STRIDE;
    const list = entries[base + LIST];
    const older = entries[base + OLDER];
    const newer = entries[base + NEWER];
    if (older < 0) this.#oldest[list] = newer;
    else entries[older * STRIDE + NEWER] = newer;
    if (newer < 0) this.#newest[list] = older;
    else entries[newer * STRIDE + OLDER] = older;
  }

  #forget(handle: number): void {
    while (this.#oldest[handle] >= 0) this.#remove(this.#oldest[handle]);
    this.#handleOf.delete(this.#names[handle]);
    this.#names[handle] = '';
    this.#freeHandles.push(handle);
  }

  #growLists(): void {
    const length = this.#place.length * 2;
    this.#references = grown(this.#references, length);
    this.#place = grown(this.#place, length);
    this.#oldest = grown(this.#oldest, length);
    this.#newest = grown(this.#newest, length);
    this.#held = grown(this.#held, length);
  }

  /** Called when every slot is in use, so that all of them are hashed anew. */
  #growEntries(): void {
    const length = this.#stamps.length * 2;
    this.#entries = grown(this.#entries, length * STRIDE);
    const stamps = new Float64Array(length);
    stamps.set(this.#stamps);
    this.#stamps = stamps;
    this.#heads = new Int32Array(length).fill(-1);
    for (let entry = 0; entry < this.#unused; entry++) this.#hashIn(entry);
  }
}

/** Handles and addresses are small or dense; multiplying spreads them. `address` is an integer that stands for one address. */
function hash(list: number, address: number): number {
  let h = Math.imul(list + 1, 0x9e3779b1) ^ Math.imul(address, 0x85ebca77);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return h ^ (h >>> 13);
}

function grown(array: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(length);
  larger.set(array);
  return larger;
}
