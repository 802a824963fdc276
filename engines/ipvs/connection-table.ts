/**
 * IPVS connections (net/netfilter/ipvs/ip_vs_conn.c): 2^bits buckets by the client's address and port, new connections
 * at the head. Slots of parallel typed arrays with a free list; the table doubles when it is full, so that a steady
 * number of connections allocates nothing.
 *
 * Expiry: every timeout is a constant of the state and times never decrease, so the connections of one timeout, kept in
 * the order in which they were last refreshed, are in order of expiry. One such queue for each timeout value makes both
 * refreshing and finding the next to expire O(1).
 */
import type { SimTime } from '../../model/time.ts';
import { grownFloat64, grownInt32, grownUint16, grownUint32, grownUint8 } from './grow.ts';
import { jhash3words } from './hashes.ts';
import type { RealServers } from './real-servers.ts';
import { NONE } from './service-table.ts';
import { nextTcpState, STATE_IS_ACTIVE, STATE_NONE, STATE_TIMEOUTS_NS, STATE_UDP } from './tcp-states.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';

/** The distinct timeouts, and the queue of each state. */
const QUEUE_TIMEOUTS = [...new Set(STATE_TIMEOUTS_NS)];
const QUEUES = QUEUE_TIMEOUTS.length;
const QUEUE_OF_STATE = Uint8Array.from(STATE_TIMEOUTS_NS, (timeout) => QUEUE_TIMEOUTS.indexOf(timeout));

const INITIAL_CAPACITY = 1024;

export class ConnectionTable {
  /** Entries passed in the bucket by the latest look-up, the one found included. */
  entriesPassed = 0;
  /** Live connections. */
  size = 0;

  clientAddress = new Uint32Array(INITIAL_CAPACITY);
  clientPort = new Uint16Array(INITIAL_CAPACITY);
  virtualAddress = new Uint32Array(INITIAL_CAPACITY);
  virtualPort = new Uint16Array(INITIAL_CAPACITY);
  serverAddress = new Uint32Array(INITIAL_CAPACITY);
  serverPort = new Uint16Array(INITIAL_CAPACITY);
  protocol = new Uint8Array(INITIAL_CAPACITY);
  state = new Uint8Array(INITIAL_CAPACITY);
  /** Slot of the real server in RealServers, which the connection holds. */
  server = new Int32Array(INITIAL_CAPACITY);
  servicePortId = new Int32Array(INITIAL_CAPACITY);

  readonly #servers: RealServers;
  readonly #mask: number;
  readonly #seed: number;
  readonly #heads: Int32Array;
  #next = new Int32Array(INITIAL_CAPACITY);
  #previous = new Int32Array(INITIAL_CAPACITY);
  #expires = new Float64Array(INITIAL_CAPACITY);
  readonly #queueHead = new Int32Array(QUEUES).fill(NONE);
  readonly #queueTail = new Int32Array(QUEUES).fill(NONE);
  #queueNext = new Int32Array(INITIAL_CAPACITY);
  #queuePrevious = new Int32Array(INITIAL_CAPACITY);
  /** No connection expires before this instant; a refreshed connection may leave it too early, never too late. */
  #earliest = Infinity;
  #capacity = INITIAL_CAPACITY;
  #used = 0;
  #free = NONE;

  /** `bits`: conn_tab_bits; `seed`: ip_vs_conn_rnd. */
  constructor(servers: RealServers, bits: number, seed: number) {
    this.#servers = servers;
    this.#mask = (1 << bits) - 1;
    this.#seed = seed;
    this.#heads = new Int32Array(this.#mask + 1).fill(NONE);
  }

  bucket(address: number, port: number, protocol: number): number {
    return jhash3words(address, port, protocol, this.#seed) & this.#mask;
  }

  /** ip_vs_conn_out_get: the connection that a packet from its real server to its client belongs to. */
  findReply(protocol: number, srcAddress: number, srcPort: number, dstAddress: number, dstPort: number): number {
    const next = this.#next;
    let passed = 0;
    let slot = this.#heads[this.bucket(dstAddress, dstPort, protocol)];
    while (slot !== NONE) {
      passed++;
      if (
        this.clientPort[slot] === dstPort &&
        this.serverPort[slot] === srcPort &&
        this.clientAddress[slot] === dstAddress &&
        this.serverAddress[slot] === srcAddress &&
        this.protocol[slot] === protocol
      ) {
        break;
      }
      slot = next[slot];
    }
    this.entriesPassed = passed;
    return slot;
  }

  /** ip_vs_conn_in_get: the connection that a packet from a client to a virtual server belongs to. */
  findRequest(protocol: number, srcAddress: number, srcPort: number, dstAddress: number, dstPort: number): number {
    const next = this.#next;
    let passed = 0;
    let slot = this.#heads[this.bucket(srcAddress, srcPort, protocol)];
    while (slot !== NONE) {
      passed++;
      if (
        this.clientPort[slot] === srcPort &&
        this.virtualPort[slot] === dstPort &&
        this.clientAddress[slot] === srcAddress &&
        this.virtualAddress[slot] === dstAddress &&
        this.protocol[slot] === protocol
      ) {
        break;
      }
      slot = next[slot];
    }
    this.entriesPassed = passed;
    return slot;
  }

  /** ip_vs_conn_new: in state NONE (UDP: its one state), counted as inactive; the caller moves it by its first packet. */
  add(
    protocol: number,
    clientAddress: number,
    clientPort: number,
    virtualAddress: number,
    virtualPort: number,
    server: number,
    servicePortId: number,
    now: SimTime,
  ): number {
    let slot = this.#free;
    if (slot !== NONE) this.#free = this.#next[slot];
    else {
      if (this.#used === this.#capacity) this.#grow();
      slot = this.#used++;
    }
    const servers = this.#servers;
    this.protocol[slot] = protocol;
    this.clientAddress[slot] = clientAddress;
    this.clientPort[slot] = clientPort;
    this.virtualAddress[slot] = virtualAddress;
    this.virtualPort[slot] = virtualPort;
    this.serverAddress[slot] = servers.address[server];
    this.serverPort[slot] = servers.port[server];
    this.server[slot] = server;
    this.servicePortId[slot] = servicePortId;
    const state = protocol === PROTOCOL_TCP ? STATE_NONE : STATE_UDP;
    this.state[slot] = state;
    servers.hold(server);
    servers.inactive[server]++;
    const bucket = this.bucket(clientAddress, clientPort, protocol);
    const head = this.#heads[bucket];
    this.#next[slot] = head;
    this.#previous[slot] = NONE;
    if (head !== NONE) this.#previous[head] = slot;
    this.#heads[bucket] = slot;
    this.#enqueue(slot, state, now);
    this.size++;
    return slot;
  }

  /** A packet of the connection: moves the TCP state and sets the timeout anew (ip_vs_set_state, ip_vs_conn_put). */
  packet(slot: number, direction: number, tcpFlags: number, now: SimTime): void {
    const old = this.state[slot];
    this.#dequeue(slot, old);
    let state = old;
    if (old !== STATE_UDP) {
      state = nextTcpState(old, direction, tcpFlags);
      if (state !== old) {
        this.state[slot] = state;
        const change = STATE_IS_ACTIVE[state] - STATE_IS_ACTIVE[old];
        if (change !== 0) {
          const { active, inactive } = this.#servers;
          const server = this.server[slot];
          active[server] += change;
          inactive[server] -= change;
        }
      }
    }
    this.#enqueue(slot, state, now);
  }

  /** Takes the connection out of its bucket and its real server's counts. */
  remove(slot: number): void {
    const state = this.state[slot];
    this.#dequeue(slot, state);
    const before = this.#previous[slot];
    const after = this.#next[slot];
    if (after !== NONE) this.#previous[after] = before;
    if (before !== NONE) this.#next[before] = after;
    else {
      const protocol = this.protocol[slot];
      this.#heads[this.bucket(this.clientAddress[slot], this.clientPort[slot], protocol)] = after;
    }
    const server = this.server[slot];
    const servers = this.#servers;
    const counts = STATE_IS_ACTIVE[state] === 1 ? servers.active : servers.inactive;
    counts[server]--;
    servers.drop(server);
    this.#next[slot] = this.#free;
    this.#free = slot;
    this.size--;
  }

  /** Removes every connection whose timeout has run out at `now`. */
  expireUntil(now: SimTime): void {
    if (now < this.#earliest) return;
    let earliest = Infinity;
    for (let queue = 0; queue < QUEUES; queue++) {
      let slot = this.#queueHead[queue];
      while (slot !== NONE && this.#expires[slot] <= now) {
        this.remove(slot);
        slot = this.#queueHead[queue];
      }
      if (slot !== NONE && this.#expires[slot] < earliest) earliest = this.#expires[slot];
    }
    this.#earliest = earliest;
  }

  /** Instant at which the connection is gone unless a packet refreshes it. */
  expiry(slot: number): SimTime {
    return this.#expires[slot];
  }

  #enqueue(slot: number, state: number, now: SimTime): void {
    const queue = QUEUE_OF_STATE[state];
    const expires = now + STATE_TIMEOUTS_NS[state];
    this.#expires[slot] = expires;
    if (expires < this.#earliest) this.#earliest = expires;
    // Times do not decrease, so the loop does not run; it keeps the order right if a caller breaks that promise.
    let before = this.#queueTail[queue];
    while (before !== NONE && this.#expires[before] > expires) before = this.#queuePrevious[before];
    const after = before === NONE ? this.#queueHead[queue] : this.#queueNext[before];
    this.#queuePrevious[slot] = before;
    this.#queueNext[slot] = after;
    if (before === NONE) this.#queueHead[queue] = slot;
    else this.#queueNext[before] = slot;
    if (after === NONE) this.#queueTail[queue] = slot;
    else this.#queuePrevious[after] = slot;
  }

  #dequeue(slot: number, state: number): void {
    const queue = QUEUE_OF_STATE[state];
    const before = this.#queuePrevious[slot];
    const after = this.#queueNext[slot];
    if (before === NONE) this.#queueHead[queue] = after;
    else this.#queueNext[before] = after;
    if (after === NONE) this.#queueTail[queue] = before;
    else this.#queuePrevious[after] = before;
  }

  #grow(): void {
    this.#capacity *= 2;
    const capacity = this.#capacity;
    this.clientAddress = grownUint32(this.clientAddress, capacity);
    this.clientPort = grownUint16(this.clientPort, capacity);
    this.virtualAddress = grownUint32(this.virtualAddress, capacity);
    this.virtualPort = grownUint16(this.virtualPort, capacity);
    this.serverAddress = grownUint32(this.serverAddress, capacity);
    this.serverPort = grownUint16(this.serverPort, capacity);
    this.protocol = grownUint8(this.protocol, capacity);
    this.state = grownUint8(this.state, capacity);
    this.server = grownInt32(this.server, capacity);
    this.servicePortId = grownInt32(this.servicePortId, capacity);
    this.#next = grownInt32(this.#next, capacity);
    this.#previous = grownInt32(this.#previous, capacity);
    this.#expires = grownFloat64(this.#expires, capacity);
    this.#queueNext = grownInt32(this.#queueNext, capacity);
    this.#queuePrevious = grownInt32(this.#queuePrevious, capacity);
  }
}
