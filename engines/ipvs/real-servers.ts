/**
 * Real servers of all virtual servers: parallel typed arrays, linked into one list a virtual server (kernel struct
 * ip_vs_dest on svc->destinations, ip_vs_ctl.c ip_vs_add_dest, __ip_vs_unlink_dest). A deleted real server stays in the
 * trash while connections (or a scheduler's cache) still hold it; adding it again brings it back
 * (ip_vs_trash_get_dest), with its connections and their counts.
 */
import * as memory from './grow.ts';
import { fieldOf, grownInt32 } from './grow.ts';
import * as tables from './service-table.ts';
import type { ServiceTable } from './service-table.ts';

/* A module's own constants are part of the compiled code; V8 loads an imported one anew at each use. */
const { FIRST_RECORD } = memory;
const { NONE } = tables;

const FREE = 0;
const LIVE = 1;
const DELETED = 2;
const TRASH_BUCKETS = 256;

function trashBucket(address: number, port: number): number {
  return (address ^ (address >>> 8) ^ port) & (TRASH_BUCKETS - 1);
}

/**
 * Words of a real server, eight that packets touch and eight that they do not: half a cache line each. A slot is the place of the
 * server's first word, so that each field is a view of the same memory, shifted by its place in the record.
 */
const STRIDE = 8;
const INITIAL_SERVERS = 64;

export class RealServers {
  readonly services: ServiceTable;
  /** Slots are below this. */
  capacity = INITIAL_SERVERS * STRIDE;
  /** Live real servers. */
  size = 0;
  #hot = new Int32Array(INITIAL_SERVERS * STRIDE);
  #cold = new Int32Array(INITIAL_SERVERS * STRIDE);

  address = fieldOf(this.#hot, 0);
  port = fieldOf(this.#hot, 1);
  weight = fieldOf(this.#hot, 2);
  active = fieldOf(this.#hot, 3);
  inactive = fieldOf(this.#hot, 4);
  next = fieldOf(this.#hot, 5);
  #holders = fieldOf(this.#hot, 6);
  #status = fieldOf(this.#hot, 7);

  /** The latest weight that was not 0 (kernel dest->last_weight). */
  lastWeight = fieldOf(this.#cold, 0);
  previous = fieldOf(this.#cold, 1);
  /** Slot of its virtual server. */
  service = fieldOf(this.#cold, 2);
  /** 1 while kube-proxy waits for its connections to end (graceful_termination.go). */
  terminating = fieldOf(this.#cold, 3);
  /** Its virtual server's key, which outlives the virtual server. */
  #virtualAddress = fieldOf(this.#cold, 4);
  #virtualPort = fieldOf(this.#cold, 5);
  #protocol = fieldOf(this.#cold, 6);

  /** The trash: doubly linked chains by address and port. */
  readonly #trash = new Int32Array(TRASH_BUCKETS).fill(NONE);
  #trashSize = 0;
  #used = FIRST_RECORD;
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
      if (this.#used + STRIDE > this.capacity) this.#grow();
      slot = this.#used;
      this.#used += STRIDE;
    }
    const services = this.services;
    this.address[slot] = address;
    this.port[slot] = port;
    this.active[slot] = 0;
    this.inactive[slot] = 0;
    this.#holders[slot] = 0;
    this.#virtualAddress[slot] = services.address[service];
    this.#virtualPort[slot] = services.portOf(service);
    this.#protocol[slot] = services.protocolOf(service);
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
        this.address[slot] === (address | 0) &&
        this.port[slot] === port &&
        this.#virtualAddress[slot] === services.address[service] &&
        this.#virtualPort[slot] === services.portOf(service) &&
        this.#protocol[slot] === services.protocolOf(service)
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
    const hot = grownInt32(this.#hot, this.capacity);
    const cold = grownInt32(this.#cold, this.capacity);
    this.#hot = hot;
    this.#cold = cold;
    this.address = fieldOf(hot, 0);
    this.port = fieldOf(hot, 1);
    this.weight = fieldOf(hot, 2);
    this.active = fieldOf(hot, 3);
    this.inactive = fieldOf(hot, 4);
    this.next = fieldOf(hot, 5);
    this.#holders = fieldOf(hot, 6);
    this.#status = fieldOf(hot, 7);
    this.lastWeight = fieldOf(cold, 0);
    this.previous = fieldOf(cold, 1);
    this.service = fieldOf(cold, 2);
    this.terminating = fieldOf(cold, 3);
    this.#virtualAddress = fieldOf(cold, 4);
    this.#virtualPort = fieldOf(cold, 5);
    this.#protocol = fieldOf(cold, 6);
  }
}
