/** The kernel's hash functions that IPVS uses, on unsigned 32-bit words. */

const JHASH_INITVAL = 0xdeadbeef;

/** include/linux/jhash.h jhash_3words: the connection table's hash. */
export function jhash3words(first: number, second: number, third: number, initval: number): number {
  const seed = (initval + JHASH_INITVAL + (3 << 2)) | 0;
  let a = (first + seed) | 0;
  let b = (second + seed) | 0;
  let c = (third + seed) | 0;
  c = ((c ^ b) - ((b << 14) | (b >>> 18))) | 0;
  a = ((a ^ c) - ((c << 11) | (c >>> 21))) | 0;
  b = ((b ^ a) - ((a << 25) | (a >>> 7))) | 0;
  c = ((c ^ b) - ((b << 16) | (b >>> 16))) | 0;
  a = ((a ^ c) - ((c << 4) | (c >>> 28))) | 0;
  b = ((b ^ a) - ((a << 14) | (a >>> 18))) | 0;
  c = ((c ^ b) - ((b << 24) | (b >>> 8))) | 0;
  return c >>> 0;
}

/** include/linux/hash.h hash_32: the top `bits` of the 32-bit product with the golden ratio. */
export function hash32(value: number, bits: number): number {
  return Math.imul(value, 0x61c88647) >>> (32 - bits);
}

/**
 * lib/siphash.c hsiphash of one 32-bit word. On a 64-bit kernel hsiphash is SipHash-1-3 cut to its low 32 bits; both
 * halves of the 128-bit key are `key` (ip_vs_mh.c generate_hash_secret), an unsigned 32-bit value.
 * 64-bit words are pairs of 32-bit halves here, so that no BigInt is made in the data path.
 */
export function hsiphash1u32(word: number, key: number): number {
  const k = key | 0;
  // High halves of the four initial constants stay as they are: the key fits in the low half.
  let v0h = 0x736f6d65;
  let v0l = 0x70736575 ^ k;
  let v1h = 0x646f7261;
  let v1l = 0x6e646f6d ^ k;
  let v2h = 0x6c796765;
  let v2l = 0x6e657261 ^ k;
  let v3h = 0x74656462;
  let v3l = 0x79746573 ^ k;
  const bh = 4 << 24;
  const bl = word | 0;
  v3h ^= bh;
  v3l ^= bl;
  for (let round = 0; round < 4; round++) {
    let low = (v0l >>> 0) + (v1l >>> 0);
    v0h = (v0h + v1h + (low > 0xffffffff ? 1 : 0)) | 0;
    v0l = low | 0;
    let high = v1h;
    v1h = ((v1h << 13) | (v1l >>> 19)) ^ v0h;
    v1l = ((v1l << 13) | (high >>> 19)) ^ v0l;
    high = v0h;
    v0h = v0l;
    v0l = high;

    low = (v2l >>> 0) + (v3l >>> 0);
    v2h = (v2h + v3h + (low > 0xffffffff ? 1 : 0)) | 0;
    v2l = low | 0;
    high = v3h;
    v3h = ((v3h << 16) | (v3l >>> 16)) ^ v2h;
    v3l = ((v3l << 16) | (high >>> 16)) ^ v2l;

    low = (v0l >>> 0) + (v3l >>> 0);
    v0h = (v0h + v3h + (low > 0xffffffff ? 1 : 0)) | 0;
    v0l = low | 0;
    high = v3h;
    v3h = ((v3h << 21) | (v3l >>> 11)) ^ v0h;
    v3l = ((v3l << 21) | (high >>> 11)) ^ v0l;

    low = (v2l >>> 0) + (v1l >>> 0);
    v2h = (v2h + v1h + (low > 0xffffffff ? 1 : 0)) | 0;
    v2l = low | 0;
    high = v1h;
    v1h = ((v1h << 17) | (v1l >>> 15)) ^ v2h;
    v1l = ((v1l << 17) | (high >>> 15)) ^ v2l;
    high = v2h;
    v2h = v2l;
    v2l = high;

    if (round === 0) {
      // One compression round for the word, then three rounds of finalisation.
      v0h ^= bh;
      v0l ^= bl;
      v2l ^= 0xff;
    }
  }
  return (v0l ^ v1l ^ v2l ^ v3l) >>> 0;
}
