/** A hash table from three unsigned 32-bit words to a word of flags: open addressing in typed arrays. */

const INITIAL_PLACES = 64;
/* Words of a place; its flags are 0 while it is free. Side by side, so that a look-up touches one cache line. */
const STRIDE = 4;
const SECOND = 1;
const THIRD = 2;
const FLAGS = 3;

/** Keys with no flag set are not in the table. */
export class FlagTable {
  /** Keys in the table. */
  size = 0;
  #words = new Int32Array(INITIAL_PLACES * STRIDE);
  /** Turns a hash, in words, into the first word of a place. */
  #mask = (INITIAL_PLACES - 1) * STRIDE;

  /** The key's flags, 0 when it is not there. */
  get(first: number, second: number, third: number): number {
    const words = this.#words;
    const mask = this.#mask;
    const one = first | 0;
    const two = second | 0;
    const three = third | 0;
    let at = wordsHash(one, two, three) & mask;
    for (;;) {
      const flags = words[at + FLAGS];
      if (flags === 0 || (words[at] === one && words[at + SECOND] === two && words[at + THIRD] === three)) return flags;
      at = (at + STRIDE) & mask;
    }
  }

  /** Sets a flag of the key; true when it was not set. */
  add(first: number, second: number, third: number, flag: number): boolean {
    if (this.size * 2 * STRIDE >= this.#words.length) this.#grow();
    const words = this.#words;
    const mask = this.#mask;
    const one = first | 0;
    const two = second | 0;
    const three = third | 0;
    let at = wordsHash(one, two, three) & mask;
    while (words[at + FLAGS] !== 0) {
      if (words[at] === one && words[at + SECOND] === two && words[at + THIRD] === three) {
        const isNew = (words[at + FLAGS] & flag) === 0;
        words[at + FLAGS] |= flag;
        return isNew;
      }
      at = (at + STRIDE) & mask;
    }
    words[at] = one;
    words[at + SECOND] = two;
    words[at + THIRD] = three;
    words[at + FLAGS] = flag;
    this.size++;
    return true;
  }

  clear(): void {
    this.#words.fill(0);
    this.size = 0;
  }

  /** Flags that are set here, and how many of them `other` has, too, of those in `comparable`: [all, common]. */
  countFlags(other: FlagTable, comparable = 0xff): [number, number] {
    let all = 0;
    let common = 0;
    const words = this.#words;
    const isCompared = other.size > 0;
    for (let at = 0; at < words.length; at += STRIDE) {
      const flags = words[at + FLAGS];
      if (flags === 0) continue;
      all += POPULATION[flags];
      if (!isCompared) continue;
      const theirs = other.get(words[at], words[at + SECOND], words[at + THIRD]);
      common += POPULATION[flags & theirs & comparable];
    }
    return [all, common];
  }

  #grow(): void {
    const old = this.#words;
    this.#words = new Int32Array(old.length * 2);
    this.#mask = old.length * 2 - STRIDE;
    this.size = 0;
    for (let at = 0; at < old.length; at += STRIDE) {
      if (old[at + FLAGS] !== 0) this.add(old[at], old[at + SECOND], old[at + THIRD], old[at + FLAGS]);
    }
  }
}

/** Set bits of a byte. */
const POPULATION = Uint8Array.from({ length: 256 }, (_, byte) => {
  let bits = 0;
  for (let rest = byte; rest > 0; rest >>= 1) bits += rest & 1;
  return bits;
});

/** Spreads a key over the table's words; any mix does, it is never seen outside. */
function wordsHash(first: number, second: number, third: number): number {
  const mixed = Math.imul(Math.imul(first ^ (third << 1), 0x9e3779b1) ^ second, 0x85ebca6b);
  return mixed ^ (mixed >>> 13);
}
