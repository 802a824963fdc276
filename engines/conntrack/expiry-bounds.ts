/** Finds the entries of a full table that have expired without walking all of it for each packet. */
import { EXPIRY } from './layout.ts';

/** Entries a block. */
const BLOCK = 512;

/**
 * A lower bound of the expiry of each block of entries. An expiry that moves out leaves the bound as it is, one that moves in lowers
 * it; a sweep visits the blocks whose bound has passed and makes their bounds exact.
 */
export class ExpiryBounds {
  /** Blocks that no sweep has seen are due at once. */
  #bounds = new Float64Array(16);

  /** The entry's expiry is now `expiry`. */
  lower(entry: number, expiry: number): void {
    const block = (entry / BLOCK) | 0;
    if (expiry < this.#bounds[block]) this.#bounds[block] = expiry;
  }

  /** Calls `expired` for each entry below `capacity` whose expiry (0 = slot not in use) has come. `floats` as layout.ts has it. */
  sweep(now: number, capacity: number, floats: Float64Array, expired: (entry: number) => void): void {
    const blocks = Math.ceil(capacity / BLOCK);
    if (blocks > this.#bounds.length) {
      const grown = new Float64Array(blocks * 2);
      grown.set(this.#bounds);
      this.#bounds = grown;
    }
    const bounds = this.#bounds;
    for (let block = 0; block < blocks; block++) {
      if (bounds[block] > now) continue;
      let earliest = Infinity;
      const end = Math.min(capacity, (block + 1) * BLOCK);
      for (let entry = block * BLOCK; entry < end; entry++) {
        const expiry = floats[entry * 8 + EXPIRY];
        if (expiry === 0) continue;
        if (expiry <= now) expired(entry);
        else if (expiry < earliest) earliest = expiry;
      }
      bounds[block] = earliest;
    }
  }
}
