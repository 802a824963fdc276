/** Slots by the ids of service ports, which are small integers: an array, and a map for ids that are not small. */

const DENSE_IDS = 1 << 22;

export class SlotOfId {
  /** By id: its slot + 1, 0 for none. */
  #dense = new Int32Array(1024);
  readonly #others = new Map<number, number>();

  /** -1: the id has none. */
  get(id: number): number {
    const dense = this.#dense;
    if (id >= 0 && id < dense.length) return dense[id] - 1;
    return this.#others.size === 0 ? -1 : (this.#others.get(id) ?? -1);
  }

  set(id: number, slot: number): void {
    if (id >= DENSE_IDS || id < 0) {
      this.#others.set(id, slot);
      return;
    }
    if (id >= this.#dense.length) {
      const larger = new Int32Array(Math.min(DENSE_IDS, id * 2));
      larger.set(this.#dense);
      this.#dense = larger;
    }
    this.#dense[id] = slot + 1;
  }

  delete(id: number): void {
    if (id >= 0 && id < this.#dense.length) this.#dense[id] = 0;
    else this.#others.delete(id);
  }
}
