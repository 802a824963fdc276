/** Memory of the tables here: longer copies of typed arrays, for tables double when they are full, and fields of records. */

/**
 * Where the first record of a table stands, in words. A long ArrayBuffer begins 16 bytes behind a page's start (the allocator's header),
 * so that records from here on do not straddle cache lines.
 */
export const FIRST_RECORD = 12;

/** The word at that place of every record in `words`: field[slot], when a slot is the place of a record's first word. */
export function fieldOf(words: Int32Array<ArrayBuffer>, place: number): Int32Array<ArrayBuffer> {
  return new Int32Array(words.buffer, place * 4);
}

export function grownInt32(old: Int32Array, capacity: number): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(capacity);
  grown.set(old);
  return grown;
}

export function grownUint8(old: Uint8Array, capacity: number): Uint8Array<ArrayBuffer> {
  const grown = new Uint8Array(capacity);
  grown.set(old);
  return grown;
}

export function grownFloat64(old: Float64Array, capacity: number): Float64Array<ArrayBuffer> {
  const grown = new Float64Array(capacity);
  grown.set(old);
  return grown;
}
