/** Rules of any kind in one flat array, as the kernel holds a table in one blob (ip_tables.c): the layout of a rule, and an array that grows. */

/** Words of a rule, 16 of 32 bits: one cache line. */
export const RULE_STRIDE = 16;
/** `-s` and `-d`, each with its mask in the word behind: a packet fits when (address & mask) === value; mask 0 fits all. */
export const W_SRC = 0;
export const W_DST = 2;
export const W_DST_MASK = 3;
/** 0 = any. */
export const W_PROTOCOL = 4;
/** MATCH_* bits. */
export const W_MATCHES = 5;
export const W_DPORT = 6;
/** STATE_* bits of `--ctstate`. */
export const W_STATES = 7;
/** Threshold of `-m statistic`. */
export const W_THRESHOLD = 8;
/** TARGET_*. */
export const W_TARGET = 9;
/** Jump: first rule and end of the chain. DNAT: address and port. DROP: reason. */
export const W_FIRST = 10;
export const W_END = 11;
/** Id of the service port that a DNAT, REJECT or DROP belongs to; -1: none. */
export const W_SERVICE = 12;
export const W_BYTES = 13;
/** 1 in the chains that grow with services. */
export const W_SERVICE_CHAIN = 14;
/** `-m recent` shares words with `-m statistic` and `--ctstate`, which stand in no rule with it: its list, and its time-out. */
export const W_LIST = 8;
export const W_SECONDS = 7;

export const MATCH_SRC_INVERTED = 1;
export const MATCH_DPORT = 2;
/** All bits from here on are looked at when addresses, protocol and port fit. */
export const MATCH_STATES = 4;
export const MATCH_STATES_INVERTED = 8;
export const MATCH_MARKED = 16;
export const MATCH_NOT_MARKED = 32;
export const MATCH_DST_LOCAL = 64;
export const MATCH_STATISTIC = 128;
export const MATCH_SRC_LOCAL = 256;
/** `! -d 127.0.0.0/8`, the only inverted destination. */
export const MATCH_NOT_LOOPBACK = 512;
/** `-i` of the local detector: the packet came from a pod. */
export const MATCH_FROM_POD = 1024;
export const MATCH_NOT_FROM_POD = 2048;
export const MATCH_RECENT_CHECK = 4096;
export const MATCH_RECENT_SET = 8192;

export const TARGET_JUMP = 0;
export const TARGET_ACCEPT = 1;
export const TARGET_DROP = 2;
export const TARGET_RETURN = 3;
export const TARGET_REJECT = 4;
export const TARGET_MARK = 5;
export const TARGET_UNMARK = 6;
export const TARGET_DNAT = 7;
export const TARGET_MASQUERADE = 8;
/** No target: the walk goes on. */
export const TARGET_NONE = 9;

/** Rules `first` .. `end - 1`. */
export interface Chain {
  readonly first: number;
  readonly end: number;
}

export class RuleWords {
  words = new Int32Array(64 * RULE_STRIDE);
  /** Rules in it; may be set back. */
  length = 0;

  /** Appends a rule that matches everything; returns its first word. */
  add(bytes: number, target: number): number {
    const base = this.length * RULE_STRIDE;
    if (base === this.words.length) this.#grow(base + RULE_STRIDE);
    this.words.fill(0, base, base + RULE_STRIDE);
    this.words[base + W_TARGET] = target;
    this.words[base + W_BYTES] = bytes;
    this.length++;
    return base;
  }

  addJump(bytes: number, chain: Chain): number {
    const base = this.add(bytes, TARGET_JUMP);
    this.words[base + W_FIRST] = chain.first;
    this.words[base + W_END] = chain.end;
    return base;
  }

  /** Appends copies of `count` rules; jumps among them lead to the copies, all others to where they led. Returns the first. */
  copy(from: RuleWords, first: number, count: number): number {
    const to = this.length;
    const end = (to + count) * RULE_STRIDE;
    if (end > this.words.length) this.#grow(end);
    const words = this.words;
    words.set(from.words.subarray(first * RULE_STRIDE, (first + count) * RULE_STRIDE), to * RULE_STRIDE);
    this.length += count;
    for (let base = to * RULE_STRIDE; base < end; base += RULE_STRIDE) {
      const target = words[base + W_FIRST];
      if (words[base + W_TARGET] !== TARGET_JUMP || target < first || target >= first + count) continue;
      words[base + W_FIRST] += to - first;
      words[base + W_END] += to - first;
    }
    return to;
  }

  #grow(needed: number): void {
    const larger = new Int32Array(Math.max(needed, this.words.length * 2));
    larger.set(this.words);
    this.words = larger;
  }
}
