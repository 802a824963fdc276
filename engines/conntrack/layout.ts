/** Where the words of a connection-tracking entry stand, and the hash of a tuple. */

/**
 * An entry is 16 words of 32 bits, one cache line: two nodes of (src, dst, ports, protocol, next node), the original
 * tuple's first, then state and flags, service port id, a word for the engine, a spare, and the expiry as a float64.
 * Ports are packed as src << 16 | dst. Node 2 * entry is the original tuple, 2 * entry + 1 the reply tuple.
 */
export const STRIDE = 16;
export const NODE = 5;
export const SRC = 0;
export const DST = 1;
export const PORTS = 2;
export const PROTOCOL = 3;
export const NEXT = 4;
export const STATE = 10;
export const SERVICE = 11;
export const AUX = 12;
export const FLAGS = 13;
/** Index of the expiry in the float64 view of the same memory: entry * 8 + 7. An unused slot has expiry 0. */
export const EXPIRY = 7;

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
