/** Session affinity: the dynamic sets that remember which client went to which endpoint (net/netfilter/nft_dynset.c, nft_set_hash.c nft_rhash_update). */
import type { SimTime } from '../../model/time.ts';
import { hashWords } from './hash.ts';

const UNUSED = 0;

/**
 * All sets in one open-addressing table keyed by (set, source address). A set is a handle from 0 on. Elements that have expired, and
 * those of deleted sets, go when the table makes room; until then no look-up finds them.
 */
export class AffinitySets {
  /** Time of the packet that is walked. In an array, so that the number is not boxed on its way into a call. */
  readonly clock = new Float64Array(1);

  /** Stride 2: handle + 1, address. */
  #cells = new Int32Array(32);
  #expiry = new Float64Array(16);
  #mask = 15;
  /** Cells that are not unused. */
  #used = 0;
  /** Per handle; 0 for a deleted set. */
  #timeoutNs = new Float64Array(16);
  #handles = 0;
  /** Deleted sets whose elements may still be in the table, and handles that are free again. */
  #dead: number[] = [];
  #free: number[] = [];

  /** Makes an empty set. */
  create(timeoutNs: SimTime): number {
    const handle = this.#free.pop() ?? this.#handles++;
    if (handle >= this.#timeoutNs.length) {
      const grown = new Float64Array(this.#timeoutNs.length * 2);
      grown.set(this.#timeoutNs);
      this.#timeoutNs = grown;
    }
    this.#timeoutNs[handle] = timeoutNs;
    return handle;
  }

  /** `add set` of one that exists: its elements stay, with the expiry that they have. */
  setTimeoutNs(handle: number, timeoutNs: SimTime): void {
    this.#timeoutNs[handle] = timeoutNs;
  }

  delete(handle: number): void {
    this.#timeoutNs[handle] = 0;
    this.#dead.push(handle);
  }

  /** `ip saddr @affinity-x` at the time of `clock`. */
  holds(handle: number, address: number): boolean {
    const cell = this.#search(handle, address);
    return this.#cells[cell * 2] !== UNUSED && this.#expiry[cell] > this.clock[0];
  }

  /** `update @affinity-x { ip saddr }`: makes the element, or renews it. */
  update(handle: number, address: number): void {
    let cell = this.#search(handle, address);
    if (this.#cells[cell * 2] === UNUSED) {
      if ((this.#used + 1) * 2 > this.#mask) {
        this.#rebuild();
        cell = this.#search(handle, address);
      }
      this.#cells[cell * 2] = handle + 1;
      this.#cells[cell * 2 + 1] = address;
      this.#used++;
    }
    this.#expiry[cell] = this.clock[0] + this.#timeoutNs[handle];
  }

  /** Cells allocated; for tests of memory. */
  get capacity(): number {
    return this.#mask + 1;
  }

  #search(handle: number, address: number): number {
    const cells = this.#cells;
    const mask = this.#mask;
    const first = handle + 1;
    let cell = hashWords(address, first) & mask;
    while (cells[cell * 2] !== UNUSED && (cells[cell * 2] !== first || cells[cell * 2 + 1] !== address)) {
      cell = (cell + 1) & mask;
    }
    return cell;
  }

  #rebuild(): void {
    const cells = this.#cells;
    const expiry = this.#expiry;
    const lives = (cell: number): boolean =>
      cells[cell * 2] !== UNUSED && this.#timeoutNs[cells[cell * 2] - 1] > 0 && expiry[cell] > this.clock[0];
    let kept = 0;
    for (let cell = 0; cell < expiry.length; cell++) if (lives(cell)) kept++;
    let size = 16;
    while (size < (kept + 1) * 4) size *= 2;
    this.#mask = size - 1;
    this.#cells = new Int32Array(size * 2);
    this.#expiry = new Float64Array(size);
    this.#used = kept;
    for (let cell = 0; cell < expiry.length; cell++) {
      if (!lives(cell)) continue;
      const to = this.#search(cells[cell * 2] - 1, cells[cell * 2 + 1]);
      this.#cells[to * 2] = cells[cell * 2];
      this.#cells[to * 2 + 1] = cells[cell * 2 + 1];
      this.#expiry[to] = expiry[cell];
    }
    // No element names a deleted set any more.
    this.#free.push(...this.#dead);
    this.#dead = [];
  }
}
