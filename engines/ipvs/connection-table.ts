/**
 * IPVS connections (net/netfilter/ipvs/ip_vs_conn.c): 2^bits buckets by the client's address and port, new connections
 * at the head. Records of one cache line with a free list; the table doubles when it is full, so that a steady number of
 * connections allocates nothing. A slot is the place of a record's first word. Addresses may be given signed or unsigned.
 *
 * The templates of session affinity stand among them: a client address, port 0, a virtual server and the real server that the
 * client's next connections get. What happens in the table happens at the time of the latest `expireUntil`.
 */
import type { PacketBatch } from '../../model/packet.ts';
import * as timeModel from '../../model/time.ts';
import type { SimTime } from '../../model/time.ts';
import * as queues from './expiry-queues.ts';
import { ExpiryQueues } from './expiry-queues.ts';
import * as memory from './grow.ts';
import { fieldOf, grownInt32 } from './grow.ts';
import { jhash3words } from './hashes.ts';
import type { RealServers } from './real-servers.ts';
import * as tables from './service-table.ts';
import * as states from './tcp-states.ts';
import { firstState, isTcpState, nextTcpState } from './tcp-states.ts';

/* A module's own constants are part of the compiled code; V8 loads an imported one anew at each use. */
const { NS_PER_S } = timeModel;
const { EARLIEST, NOW } = queues;
const { FIRST_RECORD } = memory;
const { NONE } = tables;
const { STATE_IS_ACTIVE, STATE_TEMPLATE, STATE_TIMEOUTS_NS, TOWARDS_SERVER } = states;

/** The distinct timeouts of connections, and the queue of each state. Those of templates follow. */
const STATE_QUEUES = [...new Set(STATE_TIMEOUTS_NS)];
const QUEUE_OF_STATE = Uint8Array.from(STATE_TIMEOUTS_NS, (timeout) => STATE_QUEUES.indexOf(timeout));

const INITIAL_CONNECTIONS = 1024;
/* Words of a record; 12 to 15 are its queue's (expiry-queues.ts). */
const STRIDE = 16;
const CLIENT_ADDRESS = 0;
/** The client's port << 16 | the virtual port. */
const PORTS = 1;
const VIRTUAL_ADDRESS = 2;
/** The protocol; of a template with the flag TEMPLATE, so that no look-up of a connection finds it. */
const KIND = 3;
const STATE = 4;
const SERVER_ADDRESS = 5;
const SERVER_PORT = 6;
/** A template has no use for the server's port: its queue stands there. */
const TEMPLATE_QUEUE = 6;
/** Slot of the real server in RealServers, which the connection or template holds. */
const SERVER = 7;
const SERVICE_PORT_ID = 8;
const NEXT = 9;
const PREVIOUS = 10;
/** Of a connection its template or NONE; of a template how many connections it controls. */
const CONTROL = 11;

const TEMPLATE = 256;
/** The virtual port of a template that is no longer valid (ip_vs_check_template). */
const INVALID_PORT = 0xffff;
/** Until the next look at a template that still controls connections (ip_vs_conn_expire expire_later). */
const CONTROLLING_TIMEOUT_S = 60;

export class ConnectionTable {
  /** Entries passed in the bucket by the latest look-up, the one found included. */
  entriesPassed = 0;
  /** Live connections. */
  size = 0;
  /** Of no use, but for making `prepare` read. */
  read = 0;

  readonly #servers: RealServers;
  readonly #mask: number;
  readonly #seed: number;
  readonly #heads: Int32Array;
  #words = new Int32Array(INITIAL_CONNECTIONS * STRIDE);
  /** By slot. */
  state = fieldOf(this.#words, STATE);
  readonly #queues = new ExpiryQueues(this.#words);
  /** Queue by seconds. */
  readonly #queueOfSeconds = new Map<number, number>();
  #templates = 0;
  #used = FIRST_RECORD;
  #free = NONE;
  /** Time and the earliest expiry, at NOW and EARLIEST. */
  readonly clock = this.#queues.clock;

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
    return this.clock[NOW];
  }

  bucket(address: number, port: number, protocol: number): number {
    return jhash3words(address, port, protocol, this.#seed) & this.#mask;
  }

  /** ip_vs_conn_out_get: the connection that a packet from its real server to its client belongs to. */
  findReply(protocol: number, srcAddress: number, srcPort: number, dstAddress: number, dstPort: number): number {
    const bucket = this.bucket(dstAddress, dstPort, protocol);
    return this.findReplyIn(bucket, protocol, srcAddress, srcPort, dstAddress, dstPort);
  }

  /** `findReply` for whom knows the bucket of the packet's destination. */
  findReplyIn(
    bucket: number,
    protocol: number,
    srcAddress: number,
    srcPort: number,
    dstAddress: number,
    dstPort: number,
  ): number {
    const words = this.#words;
    const client = dstAddress | 0;
    const server = srcAddress | 0;
    let passed = 0;
    let slot = this.#heads[bucket];
    while (slot !== NONE) {
      passed++;
      if (
        words[slot + CLIENT_ADDRESS] === client &&
        words[slot + SERVER_PORT] === srcPort &&
        words[slot + PORTS] >>> 16 === dstPort &&
        words[slot + SERVER_ADDRESS] === server &&
        words[slot + KIND] === protocol
      ) {
        break;
      }
      slot = words[slot + NEXT];
    }
    this.entriesPassed = passed;
    return slot;
  }

  /** ip_vs_conn_in_get: the connection that a packet from a client to a virtual server belongs to. */
  findRequest(protocol: number, srcAddress: number, srcPort: number, dstAddress: number, dstPort: number): number {
    const bucket = this.bucket(srcAddress, srcPort, protocol);
    return this.findRequestIn(bucket, protocol, srcAddress, srcPort, dstAddress, dstPort);
  }

  /** `findRequest` for whom knows the bucket of the packet's source. */
  findRequestIn(
    bucket: number,
    protocol: number,
    srcAddress: number,
    srcPort: number,
    dstAddress: number,
    dstPort: number,
  ): number {
    return this.#find(bucket, srcAddress | 0, srcPort, dstAddress | 0, dstPort, protocol);
  }

  /** ip_vs_ct_in_get: the client's template for a virtual server. */
  findTemplate(protocol: number, clientAddress: number, virtualAddress: number, virtualPort: number): number {
    const bucket = this.bucket(clientAddress, 0, protocol);
    return this.#find(bucket, clientAddress | 0, 0, virtualAddress | 0, virtualPort, protocol | TEMPLATE);
  }

  /**
   * The buckets of the sources and the destinations of packets that come next. Reads what the look-ups and the expiry of connections until
   * then will read: a loop of its own, so that several packets wait for memory together.
   */
  prepare(packets: PacketBatch, ofSources: Int32Array, ofDestinations: Int32Array): void {
    const { length, protocol, srcAddress, srcPort, dstAddress, dstPort } = packets;
    const words = this.#words;
    const heads = this.#heads;
    let read = 0;
    for (let i = 0; i < length; i++) {
      const source = this.bucket(srcAddress[i], srcPort[i], protocol[i]);
      const destination = this.bucket(dstAddress[i], dstPort[i], protocol[i]);
      ofSources[i] = source;
      ofDestinations[i] = destination;
      if (heads[source] !== NONE) read ^= words[heads[source]];
      if (heads[destination] !== NONE) read ^= words[heads[destination]];
    }
    const { inactive } = this.#servers;
    const queues = this.#queues;
    const last = packets.time[length - 1];
    for (let queue = 0; queue < STATE_QUEUES.length; queue++) {
      let slot = queues.head(queue);
      for (let i = 0; i < length && slot !== NONE && queues.expiry(slot) <= last; i++, slot = queues.after(slot)) {
        read ^= inactive[words[slot + SERVER]];
      }
    }
    this.read = read;
  }

  #find(
    bucket: number,
    client: number,
    clientPort: number,
    virtual: number,
    virtualPort: number,
    kind: number,
  ): number {
    const words = this.#words;
    const ports = (clientPort << 16) | virtualPort;
    let passed = 0;
    let slot = this.#heads[bucket];
    while (slot !== NONE) {
      passed++;
      if (
        words[slot + CLIENT_ADDRESS] === client &&
        words[slot + PORTS] === ports &&
        words[slot + VIRTUAL_ADDRESS] === virtual &&
        words[slot + KIND] === kind
      ) {
        break;
      }
      slot = words[slot + NEXT];
    }
    this.entriesPassed = passed;
    return slot;
  }

  /**
   * ip_vs_conn_new: in state NONE (UDP, SCTP: their one state), moved at once by its first packet's flags. Its server counts it as
   * inactive or active. `template`: the one that controls it (ip_vs_control_add), or NONE. `bucket`: the client's, if the caller knows it.
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
    bucket = this.bucket(clientAddress, clientPort, protocol),
  ): number {
    let slot = this.#free;
    if (slot !== NONE) this.#free = this.#words[slot + NEXT];
    else {
      if (this.#used + STRIDE > this.#words.length) this.#grow();
      slot = this.#used;
      this.#used += STRIDE;
    }
    const words = this.#words;
    const servers = this.#servers;
    words[slot + CLIENT_ADDRESS] = clientAddress;
    words[slot + PORTS] = (clientPort << 16) | virtualPort;
    words[slot + VIRTUAL_ADDRESS] = virtualAddress;
    words[slot + KIND] = protocol;
    words[slot + SERVER_ADDRESS] = servers.address[server];
    words[slot + SERVER_PORT] = servers.port[server];
    words[slot + SERVER] = server;
    words[slot + SERVICE_PORT_ID] = servicePortId;
    words[slot + CONTROL] = template;
    if (template !== NONE) words[template + CONTROL]++;
    let state = firstState(protocol);
    if (isTcpState(state)) state = nextTcpState(state, TOWARDS_SERVER, tcpFlags);
    words[slot + STATE] = state;
    servers.hold(server);
    if (STATE_IS_ACTIVE[state] === 1) servers.active[server]++;
    else servers.inactive[server]++;
    this.#link(slot, bucket);
    this.#queues.put(slot, QUEUE_OF_STATE[state]);
    this.size++;
    return slot;
  }

  virtualAddress(slot: number): number {
    return this.#words[slot + VIRTUAL_ADDRESS];
  }
  virtualPort(slot: number): number {
    return this.#words[slot + PORTS] & 0xffff;
  }
  serverAddress(slot: number): number {
    return this.#words[slot + SERVER_ADDRESS];
  }
  serverPort(slot: number): number {
    return this.#words[slot + SERVER_PORT];
  }
  /** Slot of the real server in RealServers, which the connection or template holds. */
  server(slot: number): number {
    return this.#words[slot + SERVER];
  }
  servicePortId(slot: number): number {
    return this.#words[slot + SERVICE_PORT_ID];
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
    const words = this.#words;
    this.#queues.take(slot, QUEUE_OF_STATE[words[slot + STATE]]);
    // Its server does not count it (ip_vs_bind_dest).
    this.#servers.inactive[server]--;
    words[slot + KIND] = protocol | TEMPLATE;
    words[slot + STATE] = STATE_TEMPLATE;
    words[slot + CONTROL] = 0;
    const queue = this.#queueOf(timeoutSeconds);
    words[slot + TEMPLATE_QUEUE] = queue;
    this.#queues.put(slot, queue);
    this.#templates++;
    return slot;
  }

  /** ip_vs_conn_put: a connection was made from the template, which counts its time-out anew. */
  renewTemplate(slot: number): void {
    const queue = this.#words[slot + TEMPLATE_QUEUE];
    this.#queues.take(slot, queue);
    this.#queues.put(slot, queue);
  }

  /** ip_vs_check_template: hashed anew under a port that nobody asks for, it stays until its time-out. */
  invalidateTemplate(slot: number): void {
    if (this.virtualPort(slot) === INVALID_PORT) return;
    const bucket = this.#bucketOf(slot);
    this.#unlink(slot);
    this.#words[slot + PORTS] = INVALID_PORT;
    this.#link(slot, bucket);
  }

  /** A packet of the connection: moves the TCP state and sets the timeout anew (ip_vs_set_state, ip_vs_conn_put). */
  packet(slot: number, direction: number, tcpFlags: number): void {
    const words = this.#words;
    const old = words[slot + STATE];
    this.#queues.take(slot, QUEUE_OF_STATE[old]);
    let state = old;
    if (isTcpState(old)) {
      state = nextTcpState(old, direction, tcpFlags);
      if (state !== old) {
        words[slot + STATE] = state;
        const change = STATE_IS_ACTIVE[state] - STATE_IS_ACTIVE[old];
        if (change !== 0) {
          const { active, inactive } = this.#servers;
          const server = words[slot + SERVER];
          active[server] += change;
          inactive[server] -= change;
        }
      }
    }
    this.#queues.put(slot, QUEUE_OF_STATE[state]);
  }

  /** Of a connection: was it made from a template? */
  isControlled(slot: number): boolean {
    return this.#words[slot + CONTROL] !== NONE;
  }

  /** Takes the connection out of its bucket, its real server's counts and its template's control. */
  remove(slot: number): void {
    const words = this.#words;
    const state = words[slot + STATE];
    this.#queues.take(slot, QUEUE_OF_STATE[state]);
    const server = words[slot + SERVER];
    const servers = this.#servers;
    const counts = STATE_IS_ACTIVE[state] === 1 ? servers.active : servers.inactive;
    counts[server]--;
    const template = words[slot + CONTROL];
    if (template !== NONE) words[template + CONTROL]--;
    this.#release(slot);
  }

  /** It is `now`: removes every connection and template whose timeout has run out. Times never decrease. */
  expireUntil(now: SimTime): void {
    const { clock } = this;
    clock[NOW] = now;
    if (now >= clock[EARLIEST]) this.expireDue();
  }

  /** As `expireUntil`, for whom has set the clock: a time is boxed when a call passes it on. */
  expireDue(): void {
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
      if (this.#words[slot + STATE] === STATE_TEMPLATE) this.#expireTemplate(slot);
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
    const words = this.#words;
    queues.take(slot, words[slot + TEMPLATE_QUEUE]);
    if (words[slot + CONTROL] > 0) {
      const later = this.#queueOf(CONTROLLING_TIMEOUT_S);
      words[slot + TEMPLATE_QUEUE] = later;
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

  #bucketOf(slot: number): number {
    const words = this.#words;
    return this.bucket(words[slot + CLIENT_ADDRESS], words[slot + PORTS] >>> 16, words[slot + KIND] & ~TEMPLATE);
  }

  #link(slot: number, bucket: number): void {
    const words = this.#words;
    const head = this.#heads[bucket];
    words[slot + NEXT] = head;
    words[slot + PREVIOUS] = NONE;
    if (head !== NONE) words[head + PREVIOUS] = slot;
    this.#heads[bucket] = slot;
  }

  #unlink(slot: number): void {
    const words = this.#words;
    const before = words[slot + PREVIOUS];
    const after = words[slot + NEXT];
    if (after !== NONE) words[after + PREVIOUS] = before;
    if (before !== NONE) words[before + NEXT] = after;
    else this.#heads[this.#bucketOf(slot)] = after;
  }

  #release(slot: number): void {
    this.#unlink(slot);
    const words = this.#words;
    this.#servers.drop(words[slot + SERVER]);
    words[slot + NEXT] = this.#free;
    this.#free = slot;
    this.size--;
  }

  #grow(): void {
    this.#words = grownInt32(this.#words, this.#words.length * 2);
    this.state = fieldOf(this.#words, STATE);
    this.#queues.moveTo(this.#words);
  }
}
