/** Finds the rules for a destination in a chain that grows with services, and how many rules and bytes stand before them. */
import { assert } from '../../sim/assert.ts';

/** Set in a cell's second word when the rule asks for no one address. */
const ANY_ADDRESS = 1 << 24;

/** In a cell in place of its own place: the rule's value is a slot, and its place is the slot's. */
const PLACE_OF_SLOT = -1;

/**
 * A hash of (protocol, address, port) to the rules of one chain that such a packet may match, in their order. Rules of one key stand
 * one behind the other in the order in which the probes meet them. It is filled in one of two ways: all rules anew, appended in the
 * order of the chain; or, when no two have one key and all are service ports', by inserting and removing, and then `places` has the order.
 */
export class ChainIndex {
  /** Size of most rules of this chain. */
  readonly #bytes: number;
  /** Stride 4: address, protocol << 16 | port, value, place (1 = first) or PLACE_OF_SLOT. An unused cell has place 0. */
  #cells = new Int32Array(64);
  #mask = 15;
  #used = 0;
  /** By place: what the rules up to there have beyond `#bytes` each. Empty while all have that size. */
  #extra = new Int32Array(0);
  #capacity = 0;
  /** Rules in the chain. */
  length = 0;
  /** Whether some rule asks for no one address. */
  hasAny = false;
  /** By slot: places of rules that were inserted. The owner's. */
  places = new Int32Array(0);

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
    this.#used = 0;
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
    this.#used++;
  }

  /** Inserts a service port's rule of the usual size; `isAny`: for whatever address, which is then 0. False: its key is there already. */
  insert(protocol: number, address: number, port: number, isAny: boolean, slot: number): boolean {
    if ((this.#used + 1) * 2 > this.#mask + 1) this.#grow();
    const cells = this.#cells;
    const second = (isAny ? ANY_ADDRESS : 0) | (protocol << 16) | port;
    let cell = this.#start(second, address);
    while (cells[cell + 3] !== 0) {
      if (cells[cell] === address && cells[cell + 1] === second) return false;
      cell = (cell + 4) & (cells.length - 1);
    }
    cells[cell] = address;
    cells[cell + 1] = second;
    cells[cell + 2] = slot;
    cells[cell + 3] = PLACE_OF_SLOT;
    this.#used++;
    return true;
  }

  /** Removes a rule that was inserted: those that its cell kept from theirs move up. */
  remove(protocol: number, address: number, port: number, isAny: boolean): void {
    const cells = this.#cells;
    const wrap = cells.length - 1;
    const second = (isAny ? ANY_ADDRESS : 0) | (protocol << 16) | port;
    let hole = this.#from(this.#start(second, address), second, address);
    assert(hole >= 0, 'a rule that is removed was inserted');
    for (let cell = (hole + 4) & wrap; cells[cell + 3] !== 0; cell = (cell + 4) & wrap) {
      const wanted = this.#start(cells[cell + 1], cells[cell]);
      if (((cell - wanted) & wrap) < ((cell - hole) & wrap)) continue;
      cells.copyWithin(hole, cell, cell + 4);
      hole = cell;
    }
    cells[hole + 3] = 0;
    this.#used--;
  }

  #grow(): void {
    const cells = this.#cells;
    this.#cells = new Int32Array(cells.length * 2);
    this.#mask = this.#cells.length / 4 - 1;
    for (let from = 0; from < cells.length; from += 4) {
      if (cells[from + 3] === 0) continue;
      let cell = this.#start(cells[from + 1], cells[from]);
      while (this.#cells[cell + 3] !== 0) cell = (cell + 4) & (this.#cells.length - 1);
      for (let word = 0; word < 4; word++) this.#cells[cell + word] = cells[from + word];
    }
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
    const place = this.#cells[handle + 3];
    return place === PLACE_OF_SLOT ? this.places[this.#cells[handle + 2]] : place;
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
