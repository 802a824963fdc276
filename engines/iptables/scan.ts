/**
 * The ip part of rules (net/ipv4/netfilter/ip_tables.c ip_packet_match) as two words a rule, and the search for the next rule of a
 * chain that a packet may match: where the literal walk spends its time. It reads every rule.
 */
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { assert } from '../../sim/assert.ts';
import { SCAN_MODULE } from './scan-module.ts';

/*
 * A rule's key: bit 0 the rule asks for no one destination, 1-16 destination port, 17-18 protocol, 19 the chain grows with services,
 * 20-23 kind (rule-arrays.ts), 24-30 size, 31 the rule asks for no port or no protocol. Its other word is the destination, and
 * belongs to the kind where there is none. A packet's key has bit 0, its port and its protocol. So what (rule ^ packet) & MASK leaves is 0
 * where port and protocol fit a rule for any destination, and negative where they need not fit; one less in MASK leaves bit 0 out.
 */
export const KEY_ANY_DST = 1;
export const KEY_SERVICE_CHAIN = 1 << 19;
export const KEY_ANY_PORT = 1 << 31;
export const KEY_PROTOCOL = 3 << 17;
const MASK = KEY_ANY_PORT | 0x7ffff;
const PORT_SHIFT = 1;
const PROTOCOL_SHIFT = 17;
const KIND_SHIFT = 20;
const SIZE_SHIFT = 24;
/** Every rule has at least an ipt_entry and a standard target, and sizes are multiples of 8. */
export const LEAST_BYTES = 152;
const SIZE_UNIT = 8;

/** By protocol number. A packet of 0 would match no rule that asks for a protocol. */
const PROTOCOL_CODES = new Uint8Array(256);
PROTOCOL_CODES[PROTOCOL_TCP] = 1;
PROTOCOL_CODES[PROTOCOL_UDP] = 2;
PROTOCOL_CODES[PROTOCOL_SCTP] = 3;

/** What a packet, or a rule that asks for both, has for its protocol and its destination port. */
export function portKey(protocol: number, port: number): number {
  return (PROTOCOL_CODES[protocol] << PROTOCOL_SHIFT) | (port << PORT_SHIFT);
}

export function protocolKey(protocol: number): number {
  return PROTOCOL_CODES[protocol] << PROTOCOL_SHIFT;
}

/** Kind and size of a rule as bits of its key. */
export function ruleKey(kind: number, bytes: number): number {
  const size = (bytes - LEAST_BYTES) / SIZE_UNIT;
  assert((size & 127) === size, `a rule of ${bytes} bytes has a place in the key`);
  return (kind << KIND_SHIFT) | (size << SIZE_SHIFT);
}

export function keyKind(key: number): number {
  return (key >>> KIND_SHIFT) & 15;
}

/** Size of a rule as `sum` of the scans adds it up. */
export function keySize(key: number): number {
  return (key >>> SIZE_SHIFT) & 127;
}

/** Size of rules in bytes from their number and the sum of their sizes. */
export function bytesOf(rules: number, size: number): number {
  return rules * LEAST_BYTES + size * SIZE_UNIT;
}

/** Whether the ip part of a rule may fit; of rules with a source or a block as destination it is not all. */
export function mayMatch(key: number, dst: number, packet: number, address: number): boolean {
  return ((key ^ packet) & (dst === address ? MASK - 1 : MASK)) < 1;
}

/**
 * The first of the rules `first` .. `end - 1` that a packet may match, or `end`; sum[0] is then the size of those before it. One rule
 * after the other: what the WebAssembly module does, and what stands in for it.
 */
export function scanScalar(
  dst: Int32Array,
  key: Int32Array,
  first: number,
  end: number,
  address: number,
  packet: number,
  sum: Int32Array,
): number {
  const last = (end - 8) | 0;
  let size = 0;
  let at = first | 0;
  for (;;) {
    // Eight rules a turn, and an index that V8 knows not to overflow: half the time of a plain loop.
    for (; at <= last; at = (at + 8) | 0) {
      const i = at & 0xfffffff;
      const k0 = key[i];
      const k1 = key[i + 1];
      const k2 = key[i + 2];
      const k3 = key[i + 3];
      const k4 = key[i + 4];
      const k5 = key[i + 5];
      const k6 = key[i + 6];
      const k7 = key[i + 7];
      if (((k0 | k1 | k2 | k3 | k4 | k5 | k6 | k7) & (KEY_ANY_PORT | KEY_ANY_DST)) !== 0) break;
      if (dst[i] === address || dst[i + 1] === address || dst[i + 2] === address || dst[i + 3] === address) break;
      if (dst[i + 4] === address || dst[i + 5] === address || dst[i + 6] === address || dst[i + 7] === address) break;
      size = (size + (k0 >> 24) + (k1 >> 24) + (k2 >> 24) + (k3 >> 24)) | 0;
      size = (size + (k4 >> 24) + (k5 >> 24) + (k6 >> 24) + (k7 >> 24)) | 0;
    }
    const few = at <= last ? at + 8 : end;
    for (; at < few; at = (at + 1) | 0) {
      const word = key[at];
      if (mayMatch(word, dst[at], packet, address)) break;
      size = (size + (word >> 24)) | 0;
    }
    if (at < few || at === end) break;
  }
  sum[0] = size;
  return at;
}

/** Of the JavaScript API of WebAssembly what is used here: the library of ES2023 has no types for it. */
export interface Memory {
  readonly buffer: ArrayBuffer;
}
interface WebAssemblyApi {
  validate(bytes: Uint8Array): boolean;
  readonly Memory: new (limits: { readonly initial: number }) => Memory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { readonly rules: { readonly memory: Memory } },
  ) => { readonly exports: { readonly scan: SimdScan } };
}
declare const WebAssembly: WebAssemblyApi | undefined;

/**
 * `dst`, `key`: where the first rule's words are, in bytes of the memory, `end`: where the last one's first word ends. Returns where the first
 * word of the rule is that it stops at. The memory's first word is then the sum of sizes.
 */
export type SimdScan = (dst: number, key: number, end: number, address: number, packet: number) => number;

const PAGE_BYTES = 65_536;
let module: object | undefined;

/** Whether this machine's WebAssembly has 128-bit vectors. */
export const HAS_SIMD = typeof WebAssembly !== 'undefined' && WebAssembly.validate(moduleBytes());

/** A memory of its own, and the scan of the rules in it. */
export function simdScan(bytes: number): { readonly memory: Memory; readonly scan: SimdScan } {
  assert(typeof WebAssembly !== 'undefined', 'asked for only where HAS_SIMD');
  module ??= new WebAssembly.Module(moduleBytes());
  // A new one in place of one that grows: growing would detach the arrays, and V8 checks for that everywhere once it has happened.
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE_BYTES) });
  return { memory, scan: new WebAssembly.Instance(module, { rules: { memory } }).exports.scan };
}

function moduleBytes(): Uint8Array {
  return Uint8Array.from(atob(SCAN_MODULE), (character) => character.charCodeAt(0));
}
