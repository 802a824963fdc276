/** One set or map of the table in typed arrays: looked up by the data plane, compared element by element by a sync (kube-proxy nftElementStorage). */
import { hashWords } from './hash.ts';

/** A cell that has never been used ends a search; one whose element was deleted does not. */
const CELL_UNUSED = 0;
const CELL_PRESENT = 1;
const CELL_DELETED = 2;

const ABSENT = -1;

/** One service port's wish for an element that others wish for, too. */
interface Claim {
  readonly id: number;
  readonly value: number;
}

/** An element whose comment may be that of another service port than the last that wants it: comments do not count when elements are compared. */
export interface KeptComment {
  readonly address: number;
  /** protocol << 16 | port. */
  readonly service: number;
  readonly comment: string;
}

/**
 * Keys are (address, protocol << 16 | port), either part 0 where the set or map has none. Values are integers from 0 on, the slot of
 * a service port with what the element does beside it. A sync claims and releases elements between `begin` and `finish`; an element
 * is there as long as somebody claims it.
 */
export class ElementMap {
  /** Elements present. */
  count = 0;
  readonly keptComments = new Map<string, KeptComment>();

  /** Bits of a value that a verdict's text shows; 0 for a set. */
  readonly #verdictMask: number;
  readonly #commented: boolean;
  /** Stride 4: address, service, value, CELL_*. */
  #cells = new Int32Array(64);
  #mask = 15;
  /** Cells that are not unused. */
  #used = 0;
  // Per cell, for the control plane alone.
  #claims = new Int32Array(16);
  /** Id of the service port whose value it is. */
  #owner = new Int32Array(16);
  /** Value at `begin`, or ABSENT; valid where #epochOf is the present one. */
  #before = new Int32Array(16);
  #epochOf = new Int32Array(16);
  #epoch = 0;
  /** Cells claimed or released since `begin`. */
  #touched: number[] = [];
  /** Elements that several want, with the claims in order of id. */
  readonly #contested = new Map<string, Claim[]>();

  constructor({ verdictMask, commented = false }: { readonly verdictMask: number; readonly commented?: boolean }) {
    this.#verdictMask = verdictMask;
    this.#commented = commented;
  }

  /** The value of an element, or -1. */
  find(address: number, service: number): number {
    const cells = this.#cells;
    const cell = this.#search(address, service) * 4;
    return cells[cell + 3] === CELL_PRESENT ? cells[cell + 2] : ABSENT;
  }

  begin(): void {
    this.#epoch++;
    this.#touched = [];
  }

  /** `id` of the service port that wants it: of several, the one with the highest id is visited last and stays. */
  claim(address: number, service: number, value: number, id: number): void {
    if ((this.#used + 1) * 2 > this.#mask) this.#rebuild();
    const cell = this.#search(address, service);
    const cells = this.#cells;
    const state = cells[cell * 4 + 3];
    if (state === CELL_UNUSED) {
      cells[cell * 4] = address;
      cells[cell * 4 + 1] = service;
      this.#claims[cell] = 0;
      this.#epochOf[cell] = 0;
      this.#used++;
    }
    this.#touch(cell);
    if (this.#claims[cell]++ > 0 && this.#verdictMask !== 0) {
      this.#contest(cell, { id, value });
      return;
    }
    if (state !== CELL_PRESENT) this.count++;
    cells[cell * 4 + 2] = value;
    cells[cell * 4 + 3] = CELL_PRESENT;
    this.#owner[cell] = id;
  }

  /** Takes back what `claim` was given. */
  release(address: number, service: number, value: number, id: number): void {
    const cell = this.#search(address, service);
    this.#touch(cell);
    if (--this.#claims[cell] === 0) {
      this.#cells[cell * 4 + 3] = CELL_DELETED;
      this.count--;
      return;
    }
    if (this.#verdictMask === 0) return;
    const key = keyText(address, service);
    const claims = this.#contested.get(key);
    if (claims === undefined) throw new Error(`Assertion failed: an element that several want has no list of them`);
    let at = placeOf(claims, id);
    while (claims[at].value !== value) at++;
    claims.splice(at, 1);
    this.#crown(cell, claims);
    if (claims.length === 1) this.#contested.delete(key);
  }

  /** Operations that make the elements of `begin` those of now. `commentOf` tells the comment of a slot's elements. */
  finish(commentOf: (slot: number) => string): number {
    let operations = 0;
    for (const [key, claims] of this.#contested) operations += this.#writeContested(key, claims, commentOf);
    const cells = this.#cells;
    for (const cell of this.#touched) {
      const address = cells[cell * 4];
      const service = cells[cell * 4 + 1];
      const before = this.#before[cell];
      const now = cells[cell * 4 + 3] === CELL_PRESENT ? cells[cell * 4 + 2] : ABSENT;
      if (this.#contested.size > 0 && this.#contested.has(keyText(address, service))) continue;
      const kept = before !== ABSENT && now !== ABSENT && this.#sameVerdict(before, now);
      if (!kept) operations += (before === ABSENT ? 0 : 1) + (now === ABSENT ? 0 : 1);
      if (this.#commented) this.#keepComment(address, service, before, now, kept, commentOf);
    }
    return operations;
  }

  /** Each claim in turn is compared with what the one before it left. */
  #writeContested(key: string, claims: readonly Claim[], commentOf: (slot: number) => string): number {
    const [address, service] = keyParts(key);
    const cell = this.#search(address, service);
    const textOf = (value: number): string => (this.#commented && value !== ABSENT ? commentOf(value >> 1) : '');
    let present = this.#epochOf[cell] === this.#epoch ? this.#before[cell] : this.#cells[cell * 4 + 2];
    let comment = this.keptComments.get(key)?.comment ?? textOf(present);
    let operations = 0;
    for (const { value } of claims) {
      if (present !== ABSENT && this.#sameVerdict(present, value)) continue;
      operations += present === ABSENT ? 1 : 2;
      present = value;
      comment = textOf(value);
    }
    if (this.#commented) this.keptComments.set(key, { address, service, comment });
    return operations;
  }

  #keepComment(
    address: number,
    service: number,
    before: number,
    now: number,
    kept: boolean,
    commentOf: (slot: number) => string,
  ): void {
    if (!kept) {
      if (this.keptComments.size > 0) this.keptComments.delete(keyText(address, service));
      return;
    }
    if (before === now && this.keptComments.size === 0) return;
    const key = keyText(address, service);
    const comment = this.keptComments.get(key)?.comment ?? commentOf(before >> 1);
    if (comment === commentOf(now >> 1)) this.keptComments.delete(key);
    else this.keptComments.set(key, { address, service, comment });
  }

  #sameVerdict(a: number, b: number): boolean {
    return ((a ^ b) & this.#verdictMask) === 0;
  }

  #touch(cell: number): void {
    if (this.#epochOf[cell] === this.#epoch) return;
    this.#epochOf[cell] = this.#epoch;
    this.#before[cell] = this.#cells[cell * 4 + 3] === CELL_PRESENT ? this.#cells[cell * 4 + 2] : ABSENT;
    this.#touched.push(cell);
  }

  #contest(cell: number, claim: Claim): void {
    const cells = this.#cells;
    const key = keyText(cells[cell * 4], cells[cell * 4 + 1]);
    let claims = this.#contested.get(key);
    if (claims === undefined) {
      claims = [{ id: this.#owner[cell], value: cells[cell * 4 + 2] }];
      this.#contested.set(key, claims);
    }
    // Behind the claims of its own service port, which keep their order.
    claims.splice(placeOf(claims, claim.id + 1), 0, claim);
    this.#crown(cell, claims);
  }

  #crown(cell: number, claims: readonly Claim[]): void {
    const last = claims[claims.length - 1];
    this.#cells[cell * 4 + 2] = last.value;
    this.#owner[cell] = last.id;
  }

  /** Index of the key's cell, or of the unused one where it belongs. */
  #search(address: number, service: number): number {
    const cells = this.#cells;
    const mask = this.#mask;
    let cell = hashWords(address, service) & mask;
    while (cells[cell * 4 + 3] !== CELL_UNUSED && (cells[cell * 4] !== address || cells[cell * 4 + 1] !== service)) {
      cell = (cell + 1) & mask;
    }
    return cell;
  }

  /** Makes room: deleted elements leave, unless the running sync has to remember them. */
  #rebuild(): void {
    const cells = this.#cells;
    const claims = this.#claims;
    const owner = this.#owner;
    const before = this.#before;
    const epochOf = this.#epochOf;
    const keeps = (cell: number): boolean => cells[cell * 4 + 3] === CELL_PRESENT || epochOf[cell] === this.#epoch;
    let kept = 0;
    for (let cell = 0; cell <= this.#mask; cell++) {
      if (cells[cell * 4 + 3] !== CELL_UNUSED && keeps(cell)) kept++;
    }
    let size = 16;
    while (size < (kept + 1) * 4) size *= 2;
    this.#mask = size - 1;
    this.#cells = new Int32Array(size * 4);
    this.#claims = new Int32Array(size);
    this.#owner = new Int32Array(size);
    this.#before = new Int32Array(size);
    this.#epochOf = new Int32Array(size);
    this.#used = kept;
    this.#touched = [];
    for (let cell = 0; cell < claims.length; cell++) {
      if (cells[cell * 4 + 3] === CELL_UNUSED || !keeps(cell)) continue;
      const to = this.#search(cells[cell * 4], cells[cell * 4 + 1]);
      for (let word = 0; word < 4; word++) this.#cells[to * 4 + word] = cells[cell * 4 + word];
      this.#claims[to] = claims[cell];
      this.#owner[to] = owner[cell];
      this.#before[to] = before[cell];
      this.#epochOf[to] = epochOf[cell];
      if (epochOf[cell] === this.#epoch) this.#touched.push(to);
    }
  }
}

/** Index of the first claim with this id or a higher one. */
function placeOf(claims: readonly Claim[], id: number): number {
  let low = 0;
  let high = claims.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (claims[middle].id < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

function keyText(address: number, service: number): string {
  return `${address} ${service}`;
}

function keyParts(key: string): readonly [number, number] {
  const blank = key.indexOf(' ');
  return [Number(key.slice(0, blank)), Number(key.slice(blank + 1))];
}
