/**
 * IPVS connections (net/netfilter/ipvs/ip_vs_conn.c): 2^bits buckets by the client's address and port, new connections
 * at the head. Slots of parallel typed arrays with a free list; the table doubles when it is full, so that a steady
 * number of connections allocates nothing.
 *
 * The templates of session affinity stand among them: a client address, port 0, a virtual server and the real server that the
 * client's next connections get. What happens in the table happens at the time of the latest `expireUntil`.
 */
import { NS_PER_S } from '../../model/time.ts';
import type { SimTime } from '../../model/time.ts';
import { EARLIEST, ExpiryQueues, NOW } from './expiry-queues.ts';
import { grownInt32, grownUint16, grownUint32, grownUint8 } from './grow.ts';
import { jhash3words } from './hashes.ts';
import type { RealServers } from './real-servers.ts';
import { NONE } from './service-table.ts';
import {
  firstState,
  isTcpState,
  nextTcpState,
  STATE_IS_ACTIVE,
  STATE_TEMPLATE,
  STATE_TIMEOUTS_NS,
  TOWARDS_SERVER,
} from './tcp-states.ts';

/** The distinct timeouts of connections, and the queue of each state. Those of templates follow. */
const STATE_QUEUES = [...new Set(STATE_TIMEOUTS_NS)];
const QUEUE_OF_STATE = Uint8Array.from(STATE_TIMEOUTS_NS, (timeout) => STATE_QUEUES.indexOf(timeout));

const INITIAL_CAPACITY = 1024;
/** The virtual and the server port of a template that is no longer valid (ip_vs_check_template). */
const INVALID_PORT = 0xffff;
/** Until the next look at a template that still controls connections (ip_vs_conn_expire expire_later). */
const CONTROLLING_TIMEOUT_S = 60;

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
  /** Slot of the real server in RealServers, which the connection or template holds. */
  server = new Int32Array(INITIAL_CAPACITY);
  servicePortId = new Int32Array(INITIAL_CAPACITY);

  readonly #servers: RealServers;
  readonly #mask: number;
  readonly #seed: number;
  readonly #heads: Int32Array;
  #next = new Int32Array(INITIAL_CAPACITY);
  #previous = new Int32Array(INITIAL_CAPACITY);
  /** Of a connection its template or NONE; of a template how many connections it controls. */
  #control = new Int32Array(INITIAL_CAPACITY);
  /** Of a template its queue. */
  #templateQueue = new Uint16Array(INITIAL_CAPACITY);
  readonly #queues = new ExpiryQueues(INITIAL_CAPACITY);
  /** Queue by seconds. */
  readonly #queueOfSeconds = new Map<number, number>();
  #templates = 0;
  #capacity = INITIAL_CAPACITY;
  #used = 0;
  #free = NONE;

  /** `bits`: conn_tab_bits; `seed`: ip_vs_conn_rnd. */
  constructor(servers: RealServers, bits: number, seed: number) {
    this.#servers = servers;
    this.#mask = (1 << bits) - 1;
    this.#seed = seed;
    this.#heads = new Int32Array(this.#mask + 1).fill(NONE);
    for (const timeout of STATE_QUEUES) this.#queues.open(timeout);
  }

  /** The time of the latest `expireUntil`. */
  get now(): SimTime {
    return this.#queues.clock[NOW];
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
        this.protocol[slot] === protocol &&
        this.state[slot] !== STATE_TEMPLATE
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
        this.protocol[slot] === protocol &&
        this.state[slot] !== STATE_TEMPLATE
      ) {
        break;
      }
      slot = next[slot];
    }
    this.entriesPassed = passed;
    return slot;
  }

  /** ip_vs_ct_in_get: the client's template for a virtual server. */
  findTemplate(protocol: number, clientAddress: number, virtualAddress: number, virtualPort: number): number {
    const next = this.#next;
    let passed = 0;
    let slot = this.#heads[this.bucket(clientAddress, 0, protocol)];
    while (slot !== NONE) {
      passed++;
      if (
        this.state[slot] === STATE_TEMPLATE &&
        this.clientAddress[slot] === clientAddress &&
        this.virtualAddress[slot] === virtualAddress &&
        this.virtualPort[slot] === virtualPort &&
        this.protocol[slot] === protocol
      ) {
        break;
      }
      slot = next[slot];
    }
    this.entriesPassed = passed;
    return slot;
  }

  /**
   * ip_vs_conn_new: in state NONE (UDP, SCTP: their one state), moved at once by its first packet's flags. Its server counts it as
   * inactive or active. `template`: the one that controls it (ip_vs_control_add), or NONE.
   */
  add(
    protocol: number,
    clientAddress: number,
    clientPort: number,
    virtualAddress: number,
    virtualPort: number,
    server: number,
    servicePortId: number,
    template: number,
    tcpFlags: number,
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
    this.#control[slot] = template;
    if (template !== NONE) this.#control[template]++;
    let state = firstState(protocol);
    if (isTcpState(state)) state = nextTcpState(state, TOWARDS_SERVER, tcpFlags);
    this.state[slot] = state;
    servers.hold(server);
    if (STATE_IS_ACTIVE[state] === 1) servers.active[server]++;
    else servers.inactive[server]++;
    this.#link(slot, this.bucket(clientAddress, clientPort, protocol));
    this.#queues.put(slot, QUEUE_OF_STATE[state]);
    this.size++;
    return slot;
  }

  /** ip_vs_conn_new with IP_VS_CONN_F_TEMPLATE; its time-out is set for good. */
  addTemplate(
    protocol: number,
    clientAddress: number,
    virtualAddress: number,
    virtualPort: number,
    server: number,
    servicePortId: number,
    timeoutSeconds: number,
  ): number {
    const id = servicePortId;
    const slot = this.add(protocol, clientAddress, 0, virtualAddress, virtualPort, server, id, NONE, 0);
    this.#queues.take(slot, QUEUE_OF_STATE[this.state[slot]]);
    // Its server does not count it (ip_vs_bind_dest).
    this.#servers.inactive[server]--;
    this.state[slot] = STATE_TEMPLATE;
    this.#control[slot] = 0;
    const queue = this.#queueOf(timeoutSeconds);
    this.#templateQueue[slot] = queue;
    this.#queues.put(slot, queue);
    this.#templates++;
    return slot;
  }

  /** ip_vs_conn_put: a connection was made from the template, which counts its time-out anew. */
  renewTemplate(slot: number): void {
    const queue = this.#templateQueue[slot];
    this.#queues.take(slot, queue);
    this.#queues.put(slot, queue);
  }

  /** ip_vs_check_template: hashed anew under a port that nobody asks for, it stays until its time-out. */
  invalidateTemplate(slot: number): void {
    if (this.virtualPort[slot] === INVALID_PORT) return;
    this.#unlink(slot);
    this.virtualPort[slot] = INVALID_PORT;
    this.serverPort[slot] = INVALID_PORT;
    this.#link(slot, this.bucket(this.clientAddress[slot], 0, this.protocol[slot]));
  }

  /** A packet of the connection: moves the TCP state and sets the timeout anew (ip_vs_set_state, ip_vs_conn_put). */
  packet(slot: number, direction: number, tcpFlags: number): void {
    const old = this.state[slot];
    this.#queues.take(slot, QUEUE_OF_STATE[old]);
    let state = old;
    if (isTcpState(old)) {
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
    this.#queues.put(slot, QUEUE_OF_STATE[state]);
  }

  /** Of a connection: was it made from a template? */
  isControlled(slot: number): boolean {
    return this.#control[slot] !== NONE;
  }

  /** Takes the connection out of its bucket, its real server's counts and its template's control. */
  remove(slot: number): void {
    const state = this.state[slot];
    this.#queues.take(slot, QUEUE_OF_STATE[state]);
    const server = this.server[slot];
    const servers = this.#servers;
    const counts = STATE_IS_ACTIVE[state] === 1 ? servers.active : servers.inactive;
    counts[server]--;
    const template = this.#control[slot];
    if (template !== NONE) this.#control[template]--;
    this.#release(slot);
  }

  /** It is `now`: removes every connection and template whose timeout has run out. Times never decrease. */
  expireUntil(now: SimTime): void {
    const { clock } = this.#queues;
    clock[NOW] = now;
    if (now >= clock[EARLIEST]) this.#expire();
  }

  #expire(): void {
    const queues = this.#queues;
    if (this.#templates === 0) {
      for (let queue = 0; queue < STATE_QUEUES.length; queue++) {
        for (let slot = queues.head(queue); slot !== NONE && queues.hasExpired(slot); slot = queues.head(queue)) {
          this.remove(slot);
        }
      }
    }
    // A template's fate depends on what it controls at that instant: in order of time, connections first.
    for (let queue = queues.due(); queue !== NONE; queue = queues.due()) {
      const slot = queues.head(queue);
      if (this.state[slot] === STATE_TEMPLATE) this.#expireTemplate(slot);
      else this.remove(slot);
    }
  }

  /** Instant at which the connection is gone unless a packet refreshes it. */
  expiry(slot: number): SimTime {
    return this.#queues.expiry(slot);
  }

  /** ip_vs_conn_expire: while it controls a connection it is looked at again in a minute, and that is its time-out from now on. */
  #expireTemplate(slot: number): void {
    const queues = this.#queues;
    const queue = this.#templateQueue[slot];
    queues.take(slot, queue);
    if (this.#control[slot] > 0) {
      const later = this.#queueOf(CONTROLLING_TIMEOUT_S);
      this.#templateQueue[slot] = later;
      queues.putAfterExpiry(slot, later);
      return;
    }
    this.#templates--;
    this.#release(slot);
  }

  /** The queue of templates with that time-out. */
  #queueOf(seconds: number): number {
    let queue = this.#queueOfSeconds.get(seconds);
    if (queue === undefined) {
      queue = this.#queues.open(seconds * NS_PER_S);
      this.#queueOfSeconds.set(seconds, queue);
    }
    return queue;
  }

  #link(slot: number, bucket: number): void {
    const head = this.#heads[bucket];
    this.#next[slot] = head;
    this.#previous[slot] = NONE;
    if (head !== NONE) this.#previous[head] = slot;
    this.#heads[bucket] = slot;
  }

  #unlink(slot: number): void {
    const before = this.#previous[slot];
    const after = this.#next[slot];
    if (after !== NONE) this.#previous[after] = before;
    if (before !== NONE) this.#next[before] = after;
    else this.#heads[this.bucket(this.clientAddress[slot], this.clientPort[slot], this.protocol[slot])] = after;
  }

  #release(slot: number): void {
    this.#unlink(slot);
    this.#servers.drop(this.server[slot]);
    this.#next[slot] = this.#free;
    this.#free = slot;
    this.size--;
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
    this.#control = grownInt32(this.#control, capacity);
    this.#templateQueue = grownUint16(this.#templateQueue, capacity);
    this.#queues.grow(capacity);
  }
}
