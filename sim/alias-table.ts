/** Draws an index with given weights in constant time (Walker's alias method, tables built as Vose describes). */
import { assert } from './assert.ts';
import type { RandomStream } from './rng.ts';

/**
 * Each of the n columns holds at most two indices: its own, kept with probability `keep[i]`, and `alias[i]`. Weights are
 * finite, not negative, and not all zero; a zero weight is never drawn.
 */
export class AliasTable {
  readonly length: number;
  readonly #keep: Float64Array;
  readonly #alias: Int32Array;

  constructor(weights: ArrayLike<number>) {
    const n = weights.length;
    assert(n > 0, 'an alias table needs at least one weight');
    let total = 0;
    for (let i = 0; i < n; i++) {
      const weight = weights[i];
      if (!(weight >= 0 && weight < Infinity))
        assert(false, `weight ${i} must be finite and not negative, got ${weight}`);
      total += weight;
    }
    assert(total > 0 && total < Infinity, `weights must have a positive, finite sum, got ${total}`);
    this.length = n;
    this.#keep = new Float64Array(n).fill(1);
    this.#alias = new Int32Array(n);
    this.#fill(weights, total);
  }

  /**
   * An index in [0, length): one `below` and one `nextFloat` a draw, whatever the outcome. Without a branch on the outcome, which
   * no processor can predict.
   */
  draw(stream: RandomStream): number {
    const column = stream.below(this.length);
    const other = this.#alias[column];
    return other + (column - other) * +(stream.nextFloat() < this.#keep[column]);
  }

  /** Pairs a column that is below the average with one above, which gives what is missing and goes back to its heap. */
  #fill(weights: ArrayLike<number>, total: number): void {
    const n = this.length;
    const keep = this.#keep;
    const alias = this.#alias;
    const scaled = new Float64Array(n);
    // Small columns are stacked from the left and large ones from the right; together they are never more than n.
    const stack = new Int32Array(n);
    let small = 0;
    let large = n;
    let heaviest = 0;
    for (let i = 0; i < n; i++) {
      scaled[i] = (weights[i] / total) * n;
      if (weights[i] > weights[heaviest]) heaviest = i;
      if (scaled[i] < 1) stack[small++] = i;
      else stack[--large] = i;
    }
    while (small > 0 && large < n) {
      const low = stack[--small];
      const high = stack[large];
      keep[low] = scaled[low];
      alias[low] = high;
      scaled[high] -= 1 - scaled[low];
      if (scaled[high] >= 1) continue;
      large++;
      stack[small++] = high;
    }
    // What is left has weight 1 but for rounding, and keeps itself; a zero weight left over must not.
    while (small > 0) {
      const left = stack[--small];
      if (weights[left] > 0) continue;
      keep[left] = 0;
      alias[left] = heaviest;
    }
  }
}
