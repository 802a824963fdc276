/**
 * Real servers of all virtual servers: parallel typed arrays, linked into one list a virtual server (kernel struct
 * ip_vs_dest on svc->destinations, ip_vs_ctl.c ip_vs_add_dest, __ip_vs_unlink_dest). A deleted real server stays in the
 * trash while connections (or a scheduler's cache) still hold it; adding it again brings it back
 * (ip_vs_trash_get_dest), with its connections and their counts.
 */
import { grownInt32, grownUint16, grownUint32, grownUint8 } from './grow.ts';
import { NONE } from './service-table.ts';
import type { ServiceTable } from './service-table.ts';

const FREE = 0;
const LIVE = 1;
const DELETED = 2;
const TRASH_BUCKETS = 256;

function trashBucket(address: number, port: number): number {
  return (address ^ (address >>> 8) ^ port) & (TRASH_BUCKETS - 1);
}

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

  /** Its virtual server's key, which outlives the virtual server. */
  #virtualAddress = new Uint32Array(64);
  #virtualPort = new Uint16Array(64);
  #protocol = new Uint8Array(64);
  /** The trash: doubly linked chains by address and port. */
  readonly #trash = new Int32Array(TRASH_BUCKETS).fill(NONE);
  #trashSize = 0;
  #status = new Uint8Array(64);
  #holders = new Int32Array(64);
  #used = 0;
  #free = NONE;

  constructor(services: ServiceTable) {
    this.services = services;
  }

  /** New real servers go to the tail of the list. */
  append(service: number, address: number, port: number, weight: number): number {
    let slot = this.#trashSize === 0 ? NONE : this.#takeFromTrash(service, address, port);
    if (slot === NONE) slot = this.#newSlot(service, address, port);
    this.weight[slot] = weight;
    this.lastWeight[slot] = weight;
    this.service[slot] = service;
    this.terminating[slot] = 0;
    this.#status[slot] = LIVE;
    const { firstServer, lastServer, serverCount } = this.services;
    const tail = lastServer[service];
    this.next[slot] = NONE;
    this.previous[slot] = tail;
    if (tail === NONE) firstServer[service] = slot;
    else this.next[tail] = slot;
    lastServer[service] = slot;
    serverCount[service]++;
    this.size++;
    return slot;
  }

  /** Takes the server out of its list. Its slot lives on while something holds it. */
  remove(slot: number): void {
    if (this.#status[slot] !== LIVE) throw new Error(`Real server ${slot} is not live`);
    const service = this.service[slot];
    const { firstServer, lastServer, serverCount } = this.services;
    const before = this.previous[slot];
    const after = this.next[slot];
    if (before === NONE) firstServer[service] = after;
    else this.next[before] = after;
    if (after === NONE) lastServer[service] = before;
    else this.previous[after] = before;
    serverCount[service]--;
    this.#status[slot] = DELETED;
    this.size--;
    if (this.#holders[slot] === 0) this.#release(slot);
    else this.#intoTrash(slot);
  }

  setWeight(slot: number, weight: number): void {
    this.weight[slot] = weight;
    if (weight !== 0) this.lastWeight[slot] = weight;
  }

  isLive(slot: number): boolean {
    return this.#status[slot] === LIVE;
  }

  hold(slot: number): void {
    this.#holders[slot]++;
  }

  drop(slot: number): void {
    const holders = this.#holders[slot] - 1;
    this.#holders[slot] = holders;
    if (holders === 0 && this.#status[slot] === DELETED) {
      this.#outOfTrash(slot);
      this.#release(slot);
    }
  }

  /** include/net/ip_vs.h ip_vs_dest_conn_overhead. */
  overhead(slot: number): number {
    return this.active[slot] * 256 + this.inactive[slot];
  }

  #newSlot(service: number, address: number, port: number): number {
    let slot = this.#free;
    if (slot !== NONE) this.#free = this.next[slot];
    else {
      if (this.#used === this.capacity) this.#grow();
      slot = this.#used++;
    }
    const services = this.services;
    this.address[slot] = address;
    this.port[slot] = port;
    this.active[slot] = 0;
    this.inactive[slot] = 0;
    this.#holders[slot] = 0;
    this.#virtualAddress[slot] = services.address[service];
    this.#virtualPort[slot] = services.port[service];
    this.#protocol[slot] = services.protocol[service];
    return slot;
  }

  #intoTrash(slot: number): void {
    const bucket = trashBucket(this.address[slot], this.port[slot]);
    const head = this.#trash[bucket];
    this.next[slot] = head;
    this.previous[slot] = NONE;
    if (head !== NONE) this.previous[head] = slot;
    this.#trash[bucket] = slot;
    this.#trashSize++;
  }

  #outOfTrash(slot: number): void {
    const before = this.previous[slot];
    const after = this.next[slot];
    if (after !== NONE) this.previous[after] = before;
    if (before !== NONE) this.next[before] = after;
    else this.#trash[trashBucket(this.address[slot], this.port[slot])] = after;
    this.#trashSize--;
  }

  #takeFromTrash(service: number, address: number, port: number): number {
    const services = this.services;
    let slot = this.#trash[trashBucket(address, port)];
    while (
      slot !== NONE &&
      !(
        this.address[slot] === address &&
        this.port[slot] === port &&
        this.#virtualAddress[slot] === services.address[service] &&
        this.#virtualPort[slot] === services.port[service] &&
        this.#protocol[slot] === services.protocol[service]
      )
    ) {
      slot = this.next[slot];
    }
    if (slot !== NONE) this.#outOfTrash(slot);
    return slot;
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
    this.#virtualAddress = grownUint32(this.#virtualAddress, capacity);
    this.#virtualPort = grownUint16(this.#virtualPort, capacity);
    this.#protocol = grownUint8(this.#protocol, capacity);
    this.#status = grownUint8(this.#status, capacity);
    this.#holders = grownInt32(this.#holders, capacity);
  }
}
