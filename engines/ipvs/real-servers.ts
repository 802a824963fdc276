/**
 * Real servers of all virtual servers: parallel typed arrays, linked into one list a virtual server (kernel struct
 * ip_vs_dest on svc->destinations, ip_vs_ctl.c ip_vs_add_dest, __ip_vs_unlink_dest). A deleted real server keeps its
 * slot while connections (or a scheduler's cache) still point to it.
 */
import { grownInt32, grownUint16, grownUint32, grownUint8 } from './grow.ts';
import { NONE } from './service-table.ts';
import type { ServiceTable } from './service-table.ts';

const FREE = 0;
const LIVE = 1;
const DELETED = 2;

export class RealServers {
  readonly services: ServiceTable;
  capacity = 64;
  /** Live real servers. */
  size = 0;
  address = new Uint32Array(64);
  port = new Uint16Array(64);
  weight = new Int32Array(64);
  /** The latest weight that was not 0 (kernel dest->last_weight). */
  lastWeight = new Int32Array(64);
  active = new Int32Array(64);
  inactive = new Int32Array(64);
  next = new Int32Array(64);
  previous = new Int32Array(64);
  /** Slot of its virtual server. */
  service = new Int32Array(64);
  /** 1 while kube-proxy waits for its connections to end (graceful_termination.go). */
  terminating = new Uint8Array(64);

  #status = new Uint8Array(64);
  #holders = new Int32Array(64);
  #used = 0;
  #free = NONE;

  constructor(services: ServiceTable) {
    this.services = services;
  }

  /** New real servers go to the tail of the list. */
  append(service: number, address: number, port: number, weight: number): number {
    let slot = this.#free;
    if (slot !== NONE) this.#free = this.next[slot] as number;
    else {
      if (this.#used === this.capacity) this.#grow();
      slot = this.#used++;
    }
    this.address[slot] = address;
    this.port[slot] = port;
    this.weight[slot] = weight;
    this.lastWeight[slot] = weight;
    this.active[slot] = 0;
    this.inactive[slot] = 0;
    this.service[slot] = service;
    this.terminating[slot] = 0;
    this.#status[slot] = LIVE;
    this.#holders[slot] = 0;
    const { firstServer, lastServer, serverCount } = this.services;
    const tail = lastServer[service] as number;
    this.next[slot] = NONE;
    this.previous[slot] = tail;
    if (tail === NONE) firstServer[service] = slot;
    else this.next[tail] = slot;
    lastServer[service] = slot;
    serverCount[service] = (serverCount[service] as number) + 1;
    this.size++;
    return slot;
  }

  /** Takes the server out of its list. Its slot lives on while something holds it. */
  remove(slot: number): void {
    if (this.#status[slot] !== LIVE) throw new Error(`Real server ${slot} is not live`);
    const service = this.service[slot] as number;
    const { firstServer, lastServer, serverCount } = this.services;
    const before = this.previous[slot] as number;
    const after = this.next[slot] as number;
    if (before === NONE) firstServer[service] = after;
    else this.next[before] = after;
    if (after === NONE) lastServer[service] = before;
    else this.previous[after] = before;
    serverCount[service] = (serverCount[service] as number) - 1;
    this.#status[slot] = DELETED;
    this.size--;
    if (this.#holders[slot] === 0) this.#release(slot);
  }

  setWeight(slot: number, weight: number): void {
    this.weight[slot] = weight;
    if (weight !== 0) this.lastWeight[slot] = weight;
  }

  isLive(slot: number): boolean {
    return this.#status[slot] === LIVE;
  }

  hold(slot: number): void {
    this.#holders[slot] = (this.#holders[slot] as number) + 1;
  }

  drop(slot: number): void {
    const holders = (this.#holders[slot] as number) - 1;
    this.#holders[slot] = holders;
    if (holders === 0 && this.#status[slot] === DELETED) this.#release(slot);
  }

  /** include/net/ip_vs.h ip_vs_dest_conn_overhead. */
  overhead(slot: number): number {
    return (this.active[slot] as number) * 256 + (this.inactive[slot] as number);
  }

  #release(slot: number): void {
    this.#status[slot] = FREE;
    this.next[slot] = this.#free;
    this.#free = slot;
  }

  #grow(): void {
    this.capacity *= 2;
    const capacity = this.capacity;
    this.address = grownUint32(this.address, capacity);
    this.port = grownUint16(this.port, capacity);
    this.weight = grownInt32(this.weight, capacity);
    this.lastWeight = grownInt32(this.lastWeight, capacity);
    this.active = grownInt32(this.active, capacity);
    this.inactive = grownInt32(this.inactive, capacity);
    this.next = grownInt32(this.next, capacity);
    this.previous = grownInt32(this.previous, capacity);
    this.service = grownInt32(this.service, capacity);
    this.terminating = grownUint8(this.terminating, capacity);
    this.#status = grownUint8(this.#status, capacity);
    this.#holders = grownInt32(this.#holders, capacity);
  }
}
