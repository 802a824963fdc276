/** The endpoints in use of all plain service ports, in one arena of typed arrays. */
import { endpointKey, keyAddress, keyPort } from '../proxy/endpoint-order.ts';

export class EndpointArena {
  /** By slot: the slot's endpoints are elements start .. start + count - 1. */
  start = new Uint32Array(16);
  count = new Uint32Array(16);
  /** Addresses as signed 32-bit integers. */
  address = new Int32Array(64);
  port = new Uint16Array(64);
  /** Most endpoints that a slot has had. */
  maxCount = 0;
  #end = 0;
  #garbage = 0;

  reserveSlots(size: number): void {
    const start = new Uint32Array(size);
    start.set(this.start);
    this.start = start;
    const count = new Uint32Array(size);
    count.set(this.count);
    this.count = count;
  }

  /** Whether the slot has the endpoints of these keys. */
  holds(slot: number, keys: Float64Array, count: number): boolean {
    if (count !== this.count[slot]) return false;
    const { address, port } = this;
    const start = this.start[slot];
    for (let i = 0; i < count; i++) {
      if (endpointKey(address[start + i], port[start + i]) !== keys[i]) return false;
    }
    return true;
  }

  /** `keys` are those of endpoint-order.ts. A slot that gets no more than it has keeps its place. */
  write(slot: number, keys: Float64Array, count: number): void {
    const before = this.count[slot];
    let start = this.start[slot];
    if (count > before) {
      this.#garbage += before;
      start = this.#end;
      this.#end += count;
      if (this.#end > this.port.length) this.#grow(this.#end);
    } else {
      this.#garbage += before - count;
    }
    const { address, port } = this;
    for (let i = 0; i < count; i++) {
      address[start + i] = keyAddress(keys[i]) | 0;
      port[start + i] = keyPort(keys[i]);
    }
    this.start[slot] = start;
    this.count[slot] = count;
    if (count > this.maxCount) this.maxCount = count;
  }

  clear(slot: number): void {
    this.#garbage += this.count[slot];
    this.count[slot] = 0;
  }

  /** Closes the gaps that rewritten slots have left. The first `used` of `slots` are those in use. */
  compact(slots: Uint32Array, used: number): void {
    if (this.#garbage < 1024 || this.#garbage * 2 < this.#end) return;
    const address = new Int32Array(this.address.length);
    const port = new Uint16Array(this.port.length);
    let end = 0;
    for (let i = 0; i < used; i++) {
      const slot = slots[i];
      const start = this.start[slot];
      const count = this.count[slot];
      address.set(this.address.subarray(start, start + count), end);
      port.set(this.port.subarray(start, start + count), end);
      this.start[slot] = end;
      end += count;
    }
    this.address = address;
    this.port = port;
    this.#end = end;
    this.#garbage = 0;
  }

  #grow(needed: number): void {
    const address = new Int32Array(needed * 2);
    address.set(this.address);
    this.address = address;
    const port = new Uint16Array(needed * 2);
    port.set(this.port);
    this.port = port;
  }
}
