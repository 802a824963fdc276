/** Unsorted lists of queued events, many of them short and all of them growing: chunks of eight entries out of one pool. */

const CHUNK_SHIFT = 3;
const LEAST_CHUNKS = 16;
const ENTRY_BYTES = 16;

/**
 * Entry e is floats[2 e] the time, words[4 e + 2] the slot and words[4 e + 3] the slot's generation when the event was pushed: an
 * entry whose generation is no longer its slot's is dead, as the event was cancelled. An entry is copied as two floats: the
 * second one is the slot and the generation, and a generation below 2^28 makes no NaN whose bits could change on the way.
 *
 * Eight entries make a chunk. A chain is named by its last entry, `tails[chain]`, -1 when it is empty; `link` leads from each chunk
 * of it to the chunk filled before, and ends at -1.
 */
export class EventChains {
  floats = new Float64Array(0);
  words = new Int32Array(0);
  link = new Int32Array(LEAST_CHUNKS);
  tails = new Int32Array(0);
  #chunks = 0;
  #freeChunk = -1;

  constructor(chains: number) {
    const buffer = new ArrayBuffer((LEAST_CHUNKS << CHUNK_SHIFT) * ENTRY_BYTES);
    this.floats = new Float64Array(buffer);
    this.words = new Int32Array(buffer);
    this.tails = new Int32Array(chains).fill(-1);
  }

  append(chain: number, time: number, slot: number, generation: number): void {
    let entry = this.tails[chain];
    if ((entry & 7) === 7) entry = this.#newChunk(entry);
    else entry++;
    this.tails[chain] = entry;
    this.floats[entry << 1] = time;
    const words = this.words;
    words[(entry << 2) + 2] = slot;
    words[(entry << 2) + 3] = generation;
  }

  /** Appends a copy of an entry: its time, and its slot and generation as one float. */
  appendCopy(chain: number, time: number, event: number): void {
    let entry = this.tails[chain];
    if ((entry & 7) === 7) entry = this.#newChunk(entry);
    else entry++;
    this.tails[chain] = entry;
    const floats = this.floats;
    floats[entry << 1] = time;
    floats[(entry << 1) + 1] = event;
  }

  /** Empties a chain and gives its last entry, by which the chain can still be walked and then freed. */
  take(chain: number): number {
    const end = this.tails[chain];
    this.tails[chain] = -1;
    return end;
  }

  /** The number of entries, dead ones included, of a chain that is not empty. */
  count(end: number): number {
    const link = this.link;
    let count = (end & 7) + 1;
    for (let chunk = link[end >> 3]; chunk !== -1; chunk = link[chunk]) count += 8;
    return count;
  }

  /** Turns the links of a chain round and gives its first chunk. */
  reverse(end: number): number {
    const link = this.link;
    let previous = -1;
    for (let chunk = end >> 3; chunk !== -1;) {
      const next = link[chunk];
      link[chunk] = previous;
      previous = chunk;
      chunk = next;
    }
    return previous;
  }

  /** Gives the chunks of a chain back; its entries stay readable until the next append. */
  free(end: number): void {
    const link = this.link;
    const first = end >> 3;
    let chunk = first;
    while (link[chunk] !== -1) chunk = link[chunk];
    link[chunk] = this.#freeChunk;
    this.#freeChunk = first;
  }

  freeChunk(chunk: number): void {
    this.link[chunk] = this.#freeChunk;
    this.#freeChunk = chunk;
  }

  /** The first entry of a chunk that follows the one of `entry`. */
  #newChunk(entry: number): number {
    let chunk = this.#freeChunk;
    if (chunk === -1) {
      chunk = this.#chunks++;
      if (chunk === this.link.length) this.#grow();
    } else {
      this.#freeChunk = this.link[chunk];
    }
    this.link[chunk] = entry >> 3;
    return chunk << 3;
  }

  #grow(): void {
    const chunks = this.link.length * 2;
    const link = new Int32Array(chunks);
    link.set(this.link);
    const buffer = new ArrayBuffer((chunks << CHUNK_SHIFT) * ENTRY_BYTES);
    const words = new Int32Array(buffer);
    words.set(this.words);
    this.link = link;
    this.floats = new Float64Array(buffer);
    this.words = words;
  }
}
