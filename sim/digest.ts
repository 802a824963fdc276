/** A running fingerprint of a stream of numbers: equal streams have equal digests on every machine. Not for security. */

const FLOAT = new Float64Array(1);
const WORDS = new Uint32Array(FLOAT.buffer);
const HIGH = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0;

/**
 * Two 32-bit lanes in the manner of MurmurHash3 (Appleby): each word is mixed by multiplication and rotation for each
 * lane apart, and each lane takes in the other, so that the state is one of 64 bits and a word maps states one to one.
 * Order counts, and so does length. About ten integer operations a lane and word; no allocation.
 */
export class Digest {
  #a = 0x3c6ef372;
  #b = 0x510e527f;
  #words = 0;

  /** Takes the low 32 bits of an integer: -1 and 4294967295 are the same word. */
  word(value: number): void {
    let k = Math.imul(value, 0xcc9e2d51);
    k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
    let a = this.#a ^ k;
    a = ((a << 13) | (a >>> 19)) + this.#b;
    a = (Math.imul(a, 5) + 0x561ccd1b) | 0;
    k = Math.imul(value, 0xab0e9789);
    k = Math.imul((k << 17) | (k >>> 15), 0x38b34ae5);
    let b = this.#b ^ k;
    b = ((b << 17) | (b >>> 15)) + a;
    this.#b = (Math.imul(b, 5) + 0x0bcaa747) | 0;
    this.#a = a;
    this.#words = (this.#words + 1) | 0;
  }

  /** Takes values[0 .. count-1], as `word` of each; the state stays in registers. */
  words(values: Int32Array, count: number): void {
    let a = this.#a;
    let b = this.#b;
    for (let i = 0; i < count; i++) {
      const value = values[i];
      let k = Math.imul(value, 0xcc9e2d51);
      k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
      a ^= k;
      a = (((a << 13) | (a >>> 19)) + b) | 0;
      a = (Math.imul(a, 5) + 0x561ccd1b) | 0;
      k = Math.imul(value, 0xab0e9789);
      k = Math.imul((k << 17) | (k >>> 15), 0x38b34ae5);
      b ^= k;
      b = (((b << 17) | (b >>> 15)) + a) | 0;
      b = (Math.imul(b, 5) + 0x0bcaa747) | 0;
    }
    this.#a = a;
    this.#b = b;
    this.#words = (this.#words + count) | 0;
  }

  /** Takes the 64 bits of a float. All NaN are one, and -0 is 0. */
  float(value: number): void {
    FLOAT[0] = value === value ? value + 0 : NaN;
    // The bits of NaN are left to the engine.
    this.word(value === value ? WORDS[1 - HIGH] : 0);
    this.word(value === value ? WORDS[HIGH] : 0x7ff80000);
  }

  /** Takes a text's length and its UTF-16 units, so that ('ab', 'c') and ('a', 'bc') differ. */
  text(s: string): void {
    this.word(s.length);
    for (let i = 0; i < s.length; i++) this.word(s.charCodeAt(i));
  }

  /** 16 hexadecimal characters. The stream may go on afterwards. */
  hex(): string {
    let a = this.#a ^ this.#words;
    let b = this.#b ^ this.#words;
    a = (a + b) | 0;
    b = (b + a) | 0;
    a = mixed(a);
    b = mixed(b);
    a = (a + b) | 0;
    b = (b + a) | 0;
    return hex32(a) + hex32(b);
  }
}

/** MurmurHash3's finaliser: every bit of the input reaches every bit of the output. */
function mixed(value: number): number {
  let h = value ^ (value >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function hex32(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}
