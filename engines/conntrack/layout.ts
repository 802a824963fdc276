/** Where the words of a connection-tracking entry stand, and the hash of a tuple. */

/**
 * An entry is 16 words of 32 bits: two nodes of (src, dst, ports, next node), the original tuple's first, then protocol, flags and TCP
 * state in one word, the service port id, and the expiry as a float64. These twelve words are what packets touch: they lie in one
 * cache line whether the memory begins on a line or, as an allocator's large blocks do, 16 bytes behind one. Then a word for the
 * engine, and three spares. Ports are packed as src << 16 | dst. Node 2 * entry is the original tuple, 2 * entry + 1 the reply tuple.
 */
export const STRIDE = 16;
export const NODE = 4;
export const SRC = 0;
export const DST = 1;
export const PORTS = 2;
export const NEXT = 3;
/** protocol << 16 | flags << 8 | state. */
export const META = 8;
export const SERVICE = 9;
/** Index of the expiry in the float64 view of the same memory: entry * 8 + 5. An unused slot has expiry 0. */
export const EXPIRY = 5;
export const AUX = 12;

export function nodeBase(node: number): number {
  return (node >> 1) * STRIDE + (node & 1) * NODE;
}

/** Any good mixing does: chains are not an observable of the model. */
export function hashTuple(src: number, dst: number, ports: number, protocol: number): number {
  let h = Math.imul(src, 0x9e3779b1) ^ Math.imul(dst, 0x85ebca77);
  h = Math.imul(h ^ (h >>> 15) ^ ports, 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 13) ^ protocol, 0x297a2d39);
  return h ^ (h >>> 16);
}
