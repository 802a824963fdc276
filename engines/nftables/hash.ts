/** The hash of this folder's open-addressing tables. */

/** Mixes two 32-bit words; the low bits are the better ones. */
export function hashWords(first: number, second: number): number {
  let h = Math.imul(first, 0x9e3779b1) ^ Math.imul(second, 0x85ebca77);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return h ^ (h >>> 13);
}
