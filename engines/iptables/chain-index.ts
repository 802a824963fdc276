/** Finds the first rule for a destination in a chain that grows with services, and how many rules stand before it. */

/** One hash of (protocol, address, port) to a slot and its place (1 = first) in a chain of the service rules. */
export class ChainIndex {
  /** Stride 4: address, protocol << 16 | port, slot, place. An unused cell has place 0. */
  #cells = new Int32Array(64);
  #mask = 15;
  /** Rules in the chain. */
  length = 0;

  /** Empties the index for up to `count` rules. */
  reset(count: number): void {
    let size = 16;
    while (size < count * 2) size *= 2;
    if (size * 4 > this.#cells.length) this.#cells = new Int32Array(size * 4);
    else this.#cells.fill(0);
    this.#mask = this.#cells.length / 4 - 1;
    this.length = 0;
  }

  /** Appends a rule to the chain. A second rule for one destination is behind the first and never reached. */
  append(protocol: number, address: number, port: number, slot: number): void {
    this.length++;
    const cell = this.#cell(protocol, address, port);
    const cells = this.#cells;
    if (cells[cell + 3] !== 0) return;
    cells[cell] = address | 0;
    cells[cell + 1] = (protocol << 16) | port;
    cells[cell + 2] = slot;
    cells[cell + 3] = this.length;
  }

  /** Handle of the first rule for this destination, or -1. */
  find(protocol: number, address: number, port: number): number {
    const cell = this.#cell(protocol, address, port);
    return this.#cells[cell + 3] === 0 ? -1 : cell;
  }

  slot(handle: number): number {
    return this.#cells[handle + 2];
  }
  /** Rules visited up to and including this one. */
  place(handle: number): number {
    return this.#cells[handle + 3];
  }

  #cell(protocol: number, address: number, port: number): number {
    const cells = this.#cells;
    const second = (protocol << 16) | port;
    const first = address | 0;
    let h = Math.imul(first, 0x9e3779b1) ^ Math.imul(second, 0x85ebca77);
    h ^= h >>> 15;
    h = Math.imul(h, 0x2c1b3c6d);
    let cell = ((h ^ (h >>> 13)) & this.#mask) * 4;
    while (cells[cell + 3] !== 0 && (cells[cell] !== first || cells[cell + 1] !== second)) {
      cell = (cell + 4) & (cells.length - 1);
    }
    return cell;
  }
}
