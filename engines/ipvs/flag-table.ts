/** A hash table from three unsigned 32-bit words to a word of flags: open addressing in typed arrays. */

const INITIAL_CAPACITY = 64;

/** Keys with no flag set are not in the table. */
export class FlagTable {
  /** Keys in the table. */
  size = 0;
  #first = new Uint32Array(INITIAL_CAPACITY);
  #second = new Uint32Array(INITIAL_CAPACITY);
  #third = new Uint32Array(INITIAL_CAPACITY);
  /** 0 = the place is free. */
  #flags = new Uint8Array(INITIAL_CAPACITY);

  /** The key's flags, 0 when it is not there. */
  get(first: number, second: number, third: number): number {
    const flags = this.#flags;
    const mask = flags.length - 1;
    let at = wordsHash(first, second, third) & mask;
    while (flags[at] !== 0) {
      if (this.#first[at] === first && this.#second[at] === second && this.#third[at] === third) return flags[at];
      at = (at + 1) & mask;
    }
    return 0;
  }

  /** Sets a flag of the key; true when it was not set. */
  add(first: number, second: number, third: number, flag: number): boolean {
    if (this.size * 2 >= this.#flags.length) this.#grow();
    const flags = this.#flags;
    const mask = flags.length - 1;
    let at = wordsHash(first, second, third) & mask;
    while (flags[at] !== 0) {
      if (this.#first[at] === first && this.#second[at] === second && this.#third[at] === third) {
        const isNew = (flags[at] & flag) === 0;
        flags[at] |= flag;
        return isNew;
      }
      at = (at + 1) & mask;
    }
    this.#first[at] = first;
    this.#second[at] = second;
    this.#third[at] = third;
    flags[at] = flag;
    this.size++;
    return true;
  }

  clear(): void {
    this.#flags.fill(0);
    this.size = 0;
  }

  /** Flags that are set here, and how many of them `other` has, too, of those in `comparable`: [all, common]. */
  countFlags(other: FlagTable, comparable = 0xff): [number, number] {
    let all = 0;
    let common = 0;
    const flags = this.#flags;
    const isCompared = other.size > 0;
    for (let at = 0; at < flags.length; at++) {
      if (flags[at] === 0) continue;
      all += POPULATION[flags[at]];
      if (!isCompared) continue;
      const theirs = other.get(this.#first[at], this.#second[at], this.#third[at]);
      common += POPULATION[flags[at] & theirs & comparable];
    }
    return [all, common];
  }

  #grow(): void {
    const first = this.#first;
    const second = this.#second;
    const third = this.#third;
    const flags = this.#flags;
    const capacity = flags.length * 2;
    this.#first = new Uint32Array(capacity);
    this.#second = new Uint32Array(capacity);
    this.#third = new Uint32Array(capacity);
    this.#flags = new Uint8Array(capacity);
    this.size = 0;
    for (let at = 0; at < flags.length; at++) {
      if (flags[at] !== 0) this.add(first[at], second[at], third[at], flags[at]);
    }
  }
}

/** Set bits of a byte. */
const POPULATION = Uint8Array.from({ length: 256 }, (_, byte) => {
  let bits = 0;
  for (let rest = byte; rest > 0; rest >>= 1) bits += rest & 1;
  return bits;
});

/** Spreads a key over the table; any mix does, it is never seen outside. */
function wordsHash(first: number, second: number, third: number): number {
  const mixed = Math.imul(Math.imul(first ^ (third << 1), 0x9e3779b1) ^ second, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}
