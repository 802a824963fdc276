/** Sums of one hook's walks: what the rules count and decide depends on a few questions, so that each set of answers is walked once. */
import * as counters from '../../model/counters.ts';

/* A module's own constants are part of the compiled code; V8 loads an imported one anew at each use. */
const { IPSET_TESTS, JUMPS, RULES_EVALUATED, RULES_MATCHED, RULE_BYTES } = counters;

const COUNTERS = [RULES_EVALUATED, RULES_MATCHED, JUMPS, RULE_BYTES, IPSET_TESTS] as const;
/** The counters in this order, then the target that ended the walk, then whether the packet is marked after it. */
const STRIDE = COUNTERS.length + 2;
const INITIAL_ROWS = 32;

export class HookMemo {
  /** By key: 1 + the row of its sums, 0 while it has none. */
  readonly #rowOfKey: Uint16Array;
  #sums = new Uint32Array(INITIAL_ROWS * STRIDE);
  #used = 0;
  /** Of the latest `add`. */
  target = 0;
  isMarked = false;

  /** Keys are 0 .. keys-1. */
  constructor(keys: number) {
    this.#rowOfKey = new Uint16Array(keys);
  }

  /** The rules have changed. */
  clear(): void {
    if (this.#used === 0) return;
    this.#rowOfKey.fill(0);
    this.#used = 0;
  }

  /** Adds the sums of a known key to rows[row + counter]; false when the key has to be walked and learnt. */
  add(key: number, rows: Uint32Array, row: number): boolean {
    const known = this.#rowOfKey[key];
    if (known === 0) return false;
    const sums = this.#sums;
    const at = (known - 1) * STRIDE;
    rows[row + RULES_EVALUATED] += sums[at];
    rows[row + RULES_MATCHED] += sums[at + 1];
    rows[row + JUMPS] += sums[at + 2];
    rows[row + RULE_BYTES] += sums[at + 3];
    rows[row + IPSET_TESTS] += sums[at + 4];
    this.target = sums[at + 5];
    this.isMarked = sums[at + 6] === 1;
    return true;
  }

  /** The sums of a walk, as `counted` has them at its first row. */
  learn(key: number, counted: Uint32Array, target: number, isMarked: boolean): void {
    if ((this.#used + 1) * STRIDE > this.#sums.length) {
      const grown = new Uint32Array(this.#sums.length * 2);
      grown.set(this.#sums);
      this.#sums = grown;
    }
    const at = this.#used++ * STRIDE;
    COUNTERS.forEach((counter, i) => (this.#sums[at + i] = counted[counter]));
    this.#sums[at + COUNTERS.length] = target;
    this.#sums[at + COUNTERS.length + 1] = isMarked ? 1 : 0;
    this.#rowOfKey[key] = this.#used;
  }
}
