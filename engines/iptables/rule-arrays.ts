/** The rules of the nat and filter tables as a struct of arrays, 16 bytes a rule, and the kinds of rules in them. */
import { MATCH_DPORT, W_BYTES, W_DPORT, W_DST_MASK, W_MATCHES, W_PROTOCOL } from './rule-words.ts';
import type { SimdScan } from './scan.ts';
import { HAS_SIMD, KEY_ANY_DST, KEY_ANY_PORT, portKey, ruleKey, scanScalar, simdScan } from './scan.ts';

/** Rules of any kind, their other words in a RuleWords: `arg` is the rule there. Those of special service ports have theirs in the table's, and `more` is how much later the rules of their chains stand here. */
export const KIND_FIXED = 0;
export const KIND_SPECIAL = 1;
/** To the `more` rules from `arg` on. */
export const KIND_JUMP = 2;
/** -m statistic with threshold `dst`; to the two rules from `arg` on. */
export const KIND_CHANCE = 3;
/** -s `dst` -j KUBE-MARK-MASQ */
export const KIND_HAIRPIN = 4;
/** DNAT to address `arg`, port `more`, of service port `dst`. */
export const KIND_DNAT = 5;
/** `! DETECTOR` -j KUBE-MARK-MASQ */
export const KIND_CLUSTER_MARK = 6;
/** REJECT, of service port `arg`; the second with addrtype --dst-type LOCAL. */
export const KIND_REJECT = 7;
export const KIND_REJECT_LOCAL = 8;
/** MARK --or-mark */
export const KIND_MARK = 9;

/** The key of a rule that stands as words. Where its destination is no one address the walk looks at it whenever the port fits. */
export function keyOfWords(words: Int32Array, base: number, kind: number): number {
  const protocol = words[base + W_PROTOCOL];
  const hasPort = protocol !== 0 && (words[base + W_MATCHES] & MATCH_DPORT) !== 0;
  const port = hasPort ? portKey(protocol, words[base + W_DPORT]) : KEY_ANY_PORT;
  return ruleKey(kind, words[base + W_BYTES]) | port | (words[base + W_DST_MASK] === -1 ? 0 : KEY_ANY_DST);
}

/** How chains are scanned, unless a test says otherwise: WebAssembly where there is room for so many rules and more; shorter chains in place, as a call costs more. */
export const SCANNING = { usesSimd: HAS_SIMD, fewestRules: 1024, shortChain: 32 };

const RULE_BYTES = 16;
/** Bytes in front of the rules in a WebAssembly memory: the sum of sizes, and up to a vector's boundary. */
const HEAD_BYTES = 16;

export class RuleArrays {
  /** By rule. What they mean depends on the kind; `dst` and `key` are those of scan.ts. */
  dst = new Int32Array(0);
  key = new Int32Array(0);
  arg = new Int32Array(0);
  more = new Int32Array(0);
  /** Element 0: size of the rules that the last scan passed. */
  sum = new Int32Array(1);
  #simd: SimdScan | undefined;

  get capacity(): number {
    return this.arg.length;
  }

  get bytes(): number {
    return RULE_BYTES * this.capacity;
  }

  /** Makes room for so many rules; those before `kept` stay. */
  reserve(needed: number, kept: number): void {
    if (needed <= this.capacity) return;
    const capacity = Math.ceil((needed + (needed >>> 4) + 64) / 4) * 4;
    const { dst, key, arg, more } = this;
    if (SCANNING.usesSimd && capacity > SCANNING.fewestRules) {
      const { memory, scan } = simdScan(HEAD_BYTES + 8 * capacity);
      this.#simd = scan;
      this.sum = new Int32Array(memory.buffer, 0, 1);
      this.dst = new Int32Array(memory.buffer, HEAD_BYTES, capacity);
      this.key = new Int32Array(memory.buffer, HEAD_BYTES + 4 * capacity, capacity);
    } else {
      this.#simd = undefined;
      this.sum = new Int32Array(1);
      this.dst = new Int32Array(capacity);
      this.key = new Int32Array(capacity);
    }
    this.arg = new Int32Array(capacity);
    this.more = new Int32Array(capacity);
    this.dst.set(dst.subarray(0, kept));
    this.key.set(key.subarray(0, kept));
    this.arg.set(arg.subarray(0, kept));
    this.more.set(more.subarray(0, kept));
  }

  /** The first of the rules `first` .. `end - 1` that the packet may match, or `end`; `sum` is the size of those before it. */
  scan(first: number, end: number, address: number, packet: number): number {
    const simd = this.#simd;
    if (simd === undefined) return scanScalar(this.dst, this.key, first, end, address, packet, this.sum);
    const at = HEAD_BYTES + 4 * first;
    return (simd(at, at + 4 * this.capacity, HEAD_BYTES + 4 * end, address, packet) - HEAD_BYTES) >> 2;
  }
}
