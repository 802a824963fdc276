/** Finds the rules for a destination in a chain that grows with services, and how many rules and bytes stand before them. */

/** Set in a cell's second word when the rule asks for no one address. */
const ANY_ADDRESS = 1 << 24;

/**
 * A hash of (protocol, address, port) to the rules of one chain that such a packet may match, in their order. Rules of one key stand
 * one behind the other in the order in which the probes meet them.
 */
export class ChainIndex {
  /** Size of most rules of this chain. */
  readonly #bytes: number;
  /** Stride 4: address, protocol << 16 | port, value, place (1 = first). An unused cell has place 0. */
  #cells = new Int32Array(64);
  #mask = 15;
  /** By place: what the rules up to there have beyond `#bytes` each. Empty while all have that size. */
  #extra = new Int32Array(0);
  #capacity = 0;
  /** Rules in the chain. */
  length = 0;
  /** Whether some rule asks for no one address. */
  hasAny = false;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** Empties the index for up to `count` rules. */
  reset(count: number): void {
    let size = 16;
    while (size < count * 2) size *= 2;
    if (size * 4 > this.#cells.length) this.#cells = new Int32Array(size * 4);
    else this.#cells.fill(0);
    this.#mask = this.#cells.length / 4 - 1;
    if (this.#extra.length > 0) this.#extra = new Int32Array(0);
    this.#capacity = count;
    this.length = 0;
    this.hasAny = false;
  }

  /** Appends a rule for one destination. `value` is the owner's. */
  append(protocol: number, address: number, port: number, value: number, bytes: number): void {
    this.#append((protocol << 16) | port, address | 0, value, bytes);
  }

  /** Appends a rule for a port of whatever address, or of more than one. */
  appendAny(protocol: number, port: number, value: number, bytes: number): void {
    this.hasAny = true;
    this.#append(ANY_ADDRESS | (protocol << 16) | port, 0, value, bytes);
  }

  /** Appends a rule that no look-up finds. */
  appendHidden(bytes: number): void {
    this.length++;
    if (this.#extra.length > 0) this.#extra[this.length] = this.#extra[this.length - 1] + bytes - this.#bytes;
    else if (bytes !== this.#bytes) {
      this.#extra = new Int32Array(this.#capacity + 1);
      this.#extra[this.length] = bytes - this.#bytes;
    }
  }

  #append(second: number, first: number, value: number, bytes: number): void {
    this.appendHidden(bytes);
    const cells = this.#cells;
    let cell = this.#start(second, first);
    while (cells[cell + 3] !== 0) cell = (cell + 4) & (cells.length - 1);
    cells[cell] = first;
    cells[cell + 1] = second;
    cells[cell + 2] = value;
    cells[cell + 3] = this.length;
  }

  /** Handle of the first rule for this destination, or -1. */
  find(protocol: number, address: number, port: number): number {
    const second = (protocol << 16) | port;
    const first = address | 0;
    return this.#from(this.#start(second, first), second, first);
  }

  /** Likewise of the first rule for this port of any address. */
  findAny(protocol: number, port: number): number {
    if (!this.hasAny) return -1;
    const second = ANY_ADDRESS | (protocol << 16) | port;
    return this.#from(this.#start(second, 0), second, 0);
  }

  /** The next rule of the same key, or -1. */
  next(handle: number): number {
    const cells = this.#cells;
    return this.#from((handle + 4) & (cells.length - 1), cells[handle + 1], cells[handle]);
  }

  value(handle: number): number {
    return this.#cells[handle + 2];
  }
  /** Rules visited up to and including this one. */
  place(handle: number): number {
    return this.#cells[handle + 3];
  }

  /** Size of the first `place` rules. */
  bytesTo(place: number): number {
    return place * this.#bytes + (this.#extra.length === 0 ? 0 : this.#extra[place]);
  }

  #start(second: number, first: number): number {
    let h = Math.imul(first, 0x9e3779b1) ^ Math.imul(second, 0x85ebca77);
    h ^= h >>> 15;
    h = Math.imul(h, 0x2c1b3c6d);
    return ((h ^ (h >>> 13)) & this.#mask) * 4;
  }

  #from(start: number, second: number, first: number): number {
    const cells = this.#cells;
    let cell = start;
    while (cells[cell + 3] !== 0) {
      if (cells[cell] === first && cells[cell + 1] === second) return cell;
      cell = (cell + 4) & (cells.length - 1);
    }
    return -1;
  }
}
