/** The connection-tracking table that the engines share: typed arrays, two hash nodes an entry (net/netfilter/nf_conntrack_core.c). */
import { CONNTRACK_INSERTS, CONNTRACK_LOOKUPS, COUNTER_STRIDE, PORT_TRIES } from '../../model/counters.ts';
import type { PacketBatch } from '../../model/packet.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import type { SimTime } from '../../model/time.ts';
import { NS_PER_S } from '../../model/time.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import { OUTCOME_ACCEPT, OUTCOME_ENDPOINT, OUTCOME_REPLY, REASON_NONE } from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { ExpiryBounds } from './expiry-bounds.ts';
import {
  ROW_NONE,
  ROW_SYN,
  TCP_CLOSE,
  TCP_COLUMNS,
  TCP_IGNORED,
  TCP_INVALID,
  TCP_NEXT,
  TCP_NONE,
  TCP_REPLY_OFFSET,
  TCP_ROW_OF_FLAGS,
  TCP_TIMEOUT_NS,
  TCP_TIME_WAIT,
} from './tcp-states.ts';
import { AUX, DST, EXPIRY, META, NEXT, NODE, PORTS, SERVICE, SRC, STRIDE, hashTuple, nodeBase } from './layout.ts';

/** The packet belongs to no entry; one is pending until `confirm`, or is forgotten at the next `track`. */
export const CT_NEW = 0;
/** Original direction of an entry that has seen no reply: ctstate NEW, but nat is not walked again. */
export const CT_NEW_REPEAT = 1;
export const CT_ESTABLISHED = 2;
export const CT_INVALID = 3;
/** The packet belongs to no entry, and the table has no room for one more: it is dropped [__nf_conntrack_alloc]. */
export const CT_FULL = 4;
export type TrackStatus = 0 | 1 | 2 | 3 | 4;

/** Flags of a flow, given to `confirm`. */
export const FLOW_DNAT = 1;
export const FLOW_MASQUERADED = 2;
export const FLOW_IPVS = 4;
const SEEN_REPLY = 128;
/** In `runFlags` alone. */
export const FLOW_REPLY = 128;

/** Outcome of a known flow's packet that the filter table lets pass, by reply * 4 + (FLOW_DNAT | FLOW_MASQUERADED). */
const LATER_OUTCOMES = Uint8Array.of(
  OUTCOME_ACCEPT,
  OUTCOME_ENDPOINT,
  OUTCOME_ACCEPT,
  OUTCOME_ENDPOINT,
  OUTCOME_ACCEPT,
  OUTCOME_REPLY,
  OUTCOME_REPLY,
  OUTCOME_REPLY,
);

/**
 * Until a reply has been seen, and from then on: UDP (nf_conntrack_udp_timeout, nf_conntrack_udp_timeout_stream), then SCTP
 * (nf_conntrack_proto_sctp.c sctp_timeouts: COOKIE_WAIT, ESTABLISHED; its other states are not modelled).
 */
const DATAGRAM_TIMEOUT_NS = Float64Array.of(30 * NS_PER_S, 120 * NS_PER_S, 3 * NS_PER_S, 210 * NS_PER_S);

export interface ConntrackOptions {
  /** Entries to begin with, a power of two. */
  readonly capacity?: number;
  /** net.netfilter.nf_conntrack_max: most live entries. */
  readonly maxEntries?: number;
}

/**
 * Usage for each packet: `track`, and when that returns CT_NEW and the packet is let through: `chooseSource` if it
 * passes POSTROUTING, then `confirm`. Memory grows by doubling; expired entries are swept before it does.
 */
export class ConntrackTable {
  /** After `track`: the packet's entry, or -1. After `confirm`: the new entry. Valid until the next `track`. */
  entry = -1;
  /** After `track`: whether the packet goes in the reply direction of `entry`. */
  isReply = false;
  /** By packet of the last `trackRun`: FLOW_* of its flow, and FLOW_REPLY when it goes in the reply direction. */
  runFlags = new Uint8Array(0);
  /** After `chooseSource`: the source port that the packet leaves with. */
  chosenPort = 0;

  readonly #maxEntries: number;
  /** Watches the expiry of entries, from when the table was first found full. */
  #expiryBounds: ExpiryBounds | undefined;
  #capacity: number;
  #words: Int32Array;
  #floats: Float64Array;
  #heads: Int32Array;
  /** Stack of unused slots. */
  #free: Int32Array;
  #freeCount: number;
  // The packet of the last `track`.
  /** Its time. In an array: a number too large for a small integer is boxed anew when a call passes it on. */
  readonly #clock = new Float64Array(1);
  /** Of the batch that `lookAhead` saw. */
  #hashes = new Int32Array(0);
  /** What `lookAhead` read; kept so that the reads are not optimised away. */
  touched = 0;
  #src = 0;
  #dst = 0;
  #ports = 0;
  #protocol = 0;
  #state = 0;

  constructor({ capacity = 1024, maxEntries = Infinity }: ConntrackOptions = {}) {
    this.#maxEntries = maxEntries;
    this.#capacity = capacity;
    const buffer = new ArrayBuffer(capacity * STRIDE * 4);
    this.#words = new Int32Array(buffer);
    this.#floats = new Float64Array(buffer);
    this.#heads = new Int32Array(capacity * 2).fill(-1);
    this.#free = new Int32Array(capacity);
    this.#freeCount = 0;
    this.#freeFrom(0);
  }

  /** Slots allocated; for tests of memory. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Live entries at `now`; walks the table. */
  size(now: SimTime): number {
    let live = 0;
    for (let e = 0; e < this.#capacity; e++) if (this.#floats[e * 8 + EXPIRY] > now) live++;
    return live;
  }

  /**
   * For a whole batch, before its first `trackRun`: hashes every tuple and fetches what the look-ups will read, the memory of many
   * packets at once. Changes nothing.
   */
  lookAhead(packets: PacketBatch): void {
    const { length, srcAddress, dstAddress, srcPort, dstPort, protocol } = packets;
    if (this.#hashes.length < length) {
      this.#hashes = new Int32Array(packets.capacity);
      this.runFlags = new Uint8Array(packets.capacity);
    }
    const hashes = this.#hashes;
    const heads = this.#heads;
    const words = this.#words;
    const mask = heads.length - 1;
    // A node of -1 becomes the last one: nothing is asked, so that no fetch waits for another.
    const last = this.#capacity * 2 - 1;
    let touched = 0;
    for (let i = 0; i < length; i++) {
      const ports = (srcPort[i] << 16) | dstPort[i];
      const hash = hashTuple(srcAddress[i] | 0, dstAddress[i] | 0, ports, protocol[i]);
      hashes[i] = hash;
      touched ^= words[nodeBase(words[nodeBase(heads[hash & mask] & last) + NEXT] & last)];
    }
    this.touched = touched;
  }

  /**
   * As `track` for packets `from` and on, as far as each is one of an established TCP flow and nothing out of the ordinary: also fills
   * in its verdict, all but what the filter table may say. Returns the number of the first packet that is left to `track`, or the
   * length of the batch. `lookAhead` has seen the batch.
   */
  trackRun(packets: PacketBatch, from: number, verdicts: VerdictBatch, rows: Uint32Array): number {
    const { length, time, protocol, tcpFlags } = packets;
    // A full table watches what each packet does to the expiry: that is done one by one.
    if (this.#expiryBounds !== undefined) return from;
    const srcAddress = packets.srcAddress;
    const dstAddress = packets.dstAddress;
    const srcPort = packets.srcPort;
    const dstPort = packets.dstPort;
    const hashes = this.#hashes;
    const heads = this.#heads;
    const words = this.#words;
    const floats = this.#floats;
    const runFlags = this.runFlags;
    const mask = heads.length - 1;
    for (let i = from; i < length; i++) {
      const src = srcAddress[i] | 0;
      const dst = dstAddress[i] | 0;
      const ports = (srcPort[i] << 16) | dstPort[i];
      const flagsRow = TCP_ROW_OF_FLAGS[tcpFlags[i]];
      const now = time[i];
      let node = heads[hashes[i] & mask];
      while (node >= 0) {
        const at = nodeBase(node);
        if (words[at + DST] === dst && words[at + SRC] === src && words[at + PORTS] === ports) {
          // Any other protocol's entry, or one that has expired, is left to `track`, too.
          if (words[(node >> 1) * STRIDE + META] >>> 16 !== protocol[i]) node = -1;
          break;
        }
        node = words[at + NEXT];
      }
      if (node < 0 || protocol[i] !== PROTOCOL_TCP || flagsRow === ROW_SYN || flagsRow === ROW_NONE) return i;
      const entry = node >> 1;
      const base = entry * STRIDE;
      const reply = node & 1;
      const meta = words[base + META] | ((-reply & SEEN_REPLY) << 8);
      const next = TCP_NEXT[reply * TCP_REPLY_OFFSET + flagsRow * TCP_COLUMNS + (meta & 0xff)];
      if (next >= TCP_INVALID || (meta & (SEEN_REPLY << 8)) === 0 || !(floats[entry * 8 + EXPIRY] > now)) return i;
      words[base + META] = (meta & ~0xff) | next;
      floats[entry * 8 + EXPIRY] = now + TCP_TIMEOUT_NS[next];
      rows[i * COUNTER_STRIDE + CONNTRACK_LOOKUPS]++;
      // As it leaves: the other tuple, turned round.
      const other = base + (1 - reply) * NODE;
      verdicts.srcAddress[i] = words[other + DST];
      verdicts.dstAddress[i] = words[other + SRC];
      const otherPorts = words[other + PORTS];
      verdicts.srcPort[i] = otherPorts;
      verdicts.dstPort[i] = otherPorts >>> 16;
      verdicts.reason[i] = REASON_NONE;
      verdicts.first[i] = 0;
      verdicts.masqueraded[i] = (meta >>> 9) & 1;
      verdicts.servicePortId[i] = words[base + SERVICE];
      verdicts.outcome[i] = LATER_OUTCOMES[reply * 4 + ((meta >>> 8) & 3)];
      runFlags[i] = ((meta >>> 8) & ~SEEN_REPLY) | (reply * FLOW_REPLY);
    }
    return length;
  }

  /** Looks packet `i` up, moves its flow's state and expiry, and adds to the counters that start at rows[row]. */
  track(packets: PacketBatch, i: number, rows: Uint32Array, row: number): TrackStatus {
    const ports = (packets.srcPort[i] << 16) | packets.dstPort[i];
    const hash = hashTuple(packets.srcAddress[i] | 0, packets.dstAddress[i] | 0, ports, packets.protocol[i]);
    return this.#track(packets, i, hash, rows, row);
  }

  #track(packets: PacketBatch, i: number, hash: number, rows: Uint32Array, row: number): TrackStatus {
    this.#clock[0] = packets.time[i];
    const src = packets.srcAddress[i] | 0;
    const dst = packets.dstAddress[i] | 0;
    const ports = (packets.srcPort[i] << 16) | packets.dstPort[i];
    const protocol = packets.protocol[i];
    rows[row + CONNTRACK_LOOKUPS]++;
    this.entry = -1;
    this.isReply = false;
    const flagsRow = protocol === PROTOCOL_TCP ? TCP_ROW_OF_FLAGS[packets.tcpFlags[i]] : 0;
    const node = this.#findHashed(hash, src, dst, ports, protocol);
    if (node >= 0) {
      if (flagsRow === ROW_NONE) return CT_INVALID;
      const words = this.#words;
      const base = (node >> 1) * STRIDE;
      const state = words[base + META] & 0xff;
      const reopens =
        protocol === PROTOCOL_TCP && flagsRow === ROW_SYN && (state === TCP_TIME_WAIT || state === TCP_CLOSE);
      if (!reopens) return this.#advance(node, flagsRow, protocol);
      // tcp_packet deletes a closed connection that is opened again, and nf_conntrack_in starts over.
      this.deleteEntry(node >> 1);
    }
    // The kernel allocates the entry before it asks the protocol, so a packet that would be INVALID is dropped, too.
    if (this.#capacity - this.#freeCount >= this.#maxEntries && this.#isFull()) return CT_FULL;
    let state = TCP_NONE;
    if (protocol === PROTOCOL_TCP) {
      if (flagsRow === ROW_NONE) return CT_INVALID;
      state = TCP_NEXT[flagsRow * TCP_COLUMNS + TCP_NONE];
      if (state === TCP_INVALID) return CT_INVALID;
    }
    this.#src = src;
    this.#dst = dst;
    this.#ports = ports;
    this.#protocol = protocol;
    this.#state = state;
    return CT_NEW;
  }

  /**
   * For the packet that `track` found CT_NEW, at POSTROUTING: is the reply tuple (destination -> `sourceAddress`, own
   * source port) free? If not, searches a source port [get_unique_tuple, nf_nat_l4proto_unique_tuple]. `random`: searches at
   * once, as MASQUERADE --random-fully does. Sets `chosenPort`; false when no port is free.
   */
  chooseSource(
    sourceAddress: number,
    dstAddress: number,
    dstPort: number,
    stream: RandomStream,
    rows: Uint32Array,
    row: number,
    random = false,
  ): boolean {
    const protocol = this.#protocol;
    const src = sourceAddress | 0;
    const dst = dstAddress | 0;
    const high = dstPort << 16;
    const own = this.#ports >>> 16;
    this.chosenPort = own;
    if (!random) {
      rows[row + CONNTRACK_LOOKUPS]++;
      if (this.#find(dst, src, high | own, protocol) < 0) return true;
    }
    const min = own < 512 ? 1 : own < 1024 ? 600 : 1024;
    const size = own < 512 ? 511 : own < 1024 ? 424 : 64512;
    let attempts = size < 128 ? size : 128;
    for (;;) {
      let offset = stream.nextUint32() & 0xffff;
      for (let k = 0; k < attempts; k++, offset = (offset + 1) & 0xffff) {
        const port = min + (offset % size);
        rows[row + PORT_TRIES]++;
        rows[row + CONNTRACK_LOOKUPS]++;
        if (this.#find(dst, src, high | port, protocol) < 0) {
          this.chosenPort = port;
          return true;
        }
      }
      if (attempts >= size || attempts < 16) return false;
      attempts >>= 1;
    }
  }

  /** Whether a live entry has this tuple, in either direction, at the time of the last `track`; counts nothing. */
  isUsed(protocol: number, src: number, srcPort: number, dst: number, dstPort: number): boolean {
    return this.#find(src | 0, dst | 0, (srcPort << 16) | dstPort, protocol) >= 0;
  }

  /**
   * For the packet that `track` found CT_NEW and that a local process takes (INPUT): is the reply tuple, the plain
   * inverse with the destination after DNAT, free? Counts nothing: the clash shows only at confirm
   * [__nf_conntrack_confirm].
   */
  isInverseFree(dstAddress: number, dstPort: number): boolean {
    const ports = (dstPort << 16) | (this.#ports >>> 16);
    return this.#find(dstAddress | 0, this.#src, ports, this.#protocol) < 0;
  }

  /**
   * Creates the entry of the packet that `track` found CT_NEW. `dstAddress:dstPort` is its destination after DNAT,
   * `sourceAddress:sourcePort` its source as it leaves; `flags` of FLOW_*; `servicePortId` or -1. Sets `entry`.
   */
  confirm(
    dstAddress: number,
    dstPort: number,
    sourceAddress: number,
    sourcePort: number,
    flags: number,
    servicePortId: number,
    rows: Uint32Array,
    row: number,
  ): number {
    rows[row + CONNTRACK_INSERTS]++;
    if (this.#freeCount === 0) this.#makeRoom();
    const entry = this.#free[--this.#freeCount];
    const words = this.#words;
    const base = entry * STRIDE;
    words[base + SRC] = this.#src;
    words[base + DST] = this.#dst;
    words[base + PORTS] = this.#ports;
    words[base + NODE + SRC] = dstAddress | 0;
    words[base + NODE + DST] = sourceAddress | 0;
    words[base + NODE + PORTS] = (dstPort << 16) | sourcePort;
    words[base + META] = (this.#protocol << 16) | (flags << 8) | this.#state;
    words[base + SERVICE] = servicePortId;
    words[base + AUX] = -1;
    // Both timeouts come from an array: V8 boxes the choice between an array's element and a large constant.
    const timeout =
      this.#protocol === PROTOCOL_TCP ? TCP_TIMEOUT_NS[this.#state] : DATAGRAM_TIMEOUT_NS[datagramRow(this.#protocol)];
    this.#floats[entry * 8 + EXPIRY] = this.#clock[0] + timeout;
    this.#expiryBounds?.lower(entry, this.#floats[entry * 8 + EXPIRY]);
    this.#linkBoth(entry);
    this.entry = entry;
    return entry;
  }

  /** Packet `i` of the entry's flow as it leaves, the other tuple turned round, and its outcome if the filter table lets it pass. */
  translate(verdicts: VerdictBatch, i: number): void {
    const words = this.#words;
    const base = this.entry * STRIDE;
    const other = base + (this.isReply ? 0 : NODE);
    const ports = words[other + PORTS];
    verdicts.srcAddress[i] = words[other + DST];
    verdicts.dstAddress[i] = words[other + SRC];
    verdicts.srcPort[i] = ports;
    verdicts.dstPort[i] = ports >>> 16;
    verdicts.outcome[i] = LATER_OUTCOMES[(this.isReply ? 4 : 0) + ((words[base + META] >>> 8) & 3)];
  }

  /** Source of the entry's first packet. */
  originalSrcAddress(entry: number): number {
    return this.#words[entry * STRIDE + SRC] >>> 0;
  }
  originalSrcPort(entry: number): number {
    return this.#words[entry * STRIDE + PORTS] >>> 16;
  }
  /** Destination of the entry's first packet: for a Service's flow the virtual address. */
  originalDstAddress(entry: number): number {
    return this.#words[entry * STRIDE + DST] >>> 0;
  }
  originalDstPort(entry: number): number {
    return this.#words[entry * STRIDE + PORTS] & 0xffff;
  }
  /** Destination after DNAT, which is the source of a reply. */
  endpointAddress(entry: number): number {
    return this.#words[entry * STRIDE + NODE + SRC] >>> 0;
  }
  endpointPort(entry: number): number {
    return this.#words[entry * STRIDE + NODE + PORTS] >>> 16;
  }
  /** Source after masquerade, which is the destination of a reply. */
  translatedAddress(entry: number): number {
    return this.#words[entry * STRIDE + NODE + DST] >>> 0;
  }
  translatedPort(entry: number): number {
    return this.#words[entry * STRIDE + NODE + PORTS] & 0xffff;
  }
  protocol(entry: number): number {
    return this.#words[entry * STRIDE + META] >>> 16;
  }
  /** Index in TCP_STATES; 0 for UDP. */
  tcpState(entry: number): number {
    return this.#words[entry * STRIDE + META] & 0xff;
  }
  /** FLOW_* as given to `confirm`. */
  flags(entry: number): number {
    return (this.#words[entry * STRIDE + META] >>> 8) & 0x7f;
  }
  servicePortId(entry: number): number {
    return this.#words[entry * STRIDE + SERVICE];
  }
  /** A word for the engine's own use; -1 in a new entry. */
  aux(entry: number): number {
    return this.#words[entry * STRIDE + AUX];
  }
  setAux(entry: number, value: number): void {
    this.#words[entry * STRIDE + AUX] = value;
  }
  /** Instant at which the entry is absent unless a packet refreshes it. */
  expiry(entry: number): SimTime {
    return this.#floats[entry * 8 + EXPIRY];
  }

  /** Frees the entry; its slot is used again. */
  deleteEntry(entry: number): void {
    this.#unlink(entry * 2);
    this.#unlink(entry * 2 + 1);
    this.#floats[entry * 8 + EXPIRY] = 0;
    this.#free[this.#freeCount++] = entry;
  }

  /**
   * Deletes every live UDP entry for which `isStale(original destination address and port, endpoint address)` holds
   * (kube-proxy pkg/proxy/conntrack CleanStaleEntries); returns how many. Control plane: the callback may allocate.
   */
  deleteStaleUdp(
    now: SimTime,
    isStale: (dstAddress: number, dstPort: number, endpointAddress: number) => boolean,
  ): number {
    let deleted = 0;
    for (let e = 0; e < this.#capacity; e++) {
      if (this.#floats[e * 8 + EXPIRY] <= now || this.protocol(e) !== PROTOCOL_UDP) continue;
      if (!isStale(this.originalDstAddress(e), this.originalDstPort(e), this.endpointAddress(e))) continue;
      this.deleteEntry(e);
      deleted++;
    }
    return deleted;
  }

  /** A packet of a known flow: nf_conntrack_tcp_packet or nf_conntrack_udp_packet. */
  #advance(node: number, flagsRow: number, protocol: number): TrackStatus {
    const now = this.#clock[0];
    const words = this.#words;
    const entry = node >> 1;
    const base = entry * STRIDE;
    const reply = (node & 1) === 1;
    let meta = words[base + META];
    if (reply) meta |= SEEN_REPLY << 8;
    if (protocol === PROTOCOL_TCP) {
      const next = TCP_NEXT[(reply ? TCP_REPLY_OFFSET : 0) + flagsRow * TCP_COLUMNS + (meta & 0xff)];
      if (next === TCP_INVALID) return CT_INVALID;
      if (next !== TCP_IGNORED) {
        meta = (meta & ~0xff) | next;
        this.#floats[entry * 8 + EXPIRY] = now + TCP_TIMEOUT_NS[next];
        this.#expiryBounds?.lower(entry, this.#floats[entry * 8 + EXPIRY]);
      }
    }
    words[base + META] = meta;
    const seen = (meta & (SEEN_REPLY << 8)) !== 0;
    if (protocol !== PROTOCOL_TCP) {
      this.#floats[entry * 8 + EXPIRY] = now + DATAGRAM_TIMEOUT_NS[datagramRow(protocol) + (seen ? 1 : 0)];
    }
    this.entry = entry;
    this.isReply = reply;
    return seen ? CT_ESTABLISHED : CT_NEW_REPEAT;
  }

  /** Frees what has expired, as far as it must look, and says whether `maxEntries` are alive. */
  #isFull(): boolean {
    const now = this.#clock[0];
    this.#expiryBounds ??= new ExpiryBounds();
    this.#expiryBounds.sweep(now, this.#capacity, this.#floats, this.#deleteExpired);
    return this.#capacity - this.#freeCount >= this.#maxEntries;
  }

  readonly #deleteExpired = (entry: number): void => this.deleteEntry(entry);

  /** Node of a live entry with this tuple, or -1. */
  #find(src: number, dst: number, ports: number, protocol: number): number {
    return this.#findHashed(hashTuple(src, dst, ports, protocol), src, dst, ports, protocol);
  }

  #findHashed(hash: number, src: number, dst: number, ports: number, protocol: number): number {
    const now = this.#clock[0];
    const words = this.#words;
    const heads = this.#heads;
    let node = heads[hash & (heads.length - 1)];
    while (node >= 0) {
      const base = nodeBase(node);
      if (
        words[base + SRC] === src &&
        words[base + DST] === dst &&
        words[base + PORTS] === ports &&
        words[(node >> 1) * STRIDE + META] >>> 16 === protocol &&
        this.#floats[(node >> 1) * 8 + EXPIRY] > now
      ) {
        return node;
      }
      node = words[base + NEXT];
    }
    return -1;
  }

  #bucket(node: number): number {
    const words = this.#words;
    const base = nodeBase(node);
    const protocol = words[(node >> 1) * STRIDE + META] >>> 16;
    return hashTuple(words[base + SRC], words[base + DST], words[base + PORTS], protocol) & (this.#heads.length - 1);
  }

  /** The original tuple ends up in front: a flow whose two tuples are the same is met in its original direction. */
  #linkBoth(entry: number): void {
    this.#link(entry * 2 + 1);
    this.#link(entry * 2);
  }

  #link(node: number): void {
    const base = nodeBase(node);
    const bucket = this.#bucket(node);
    this.#words[base + NEXT] = this.#heads[bucket];
    this.#heads[bucket] = node;
  }

  #unlink(node: number): void {
    const words = this.#words;
    const base = nodeBase(node);
    const bucket = this.#bucket(node);
    let at = this.#heads[bucket];
    if (at === node) {
      this.#heads[bucket] = words[base + NEXT];
      return;
    }
    while (words[nodeBase(at) + NEXT] !== node) at = words[nodeBase(at) + NEXT];
    words[nodeBase(at) + NEXT] = words[base + NEXT];
  }

  /**
   * Sweeps what has expired; doubles when that frees less than half, so that many inserts share the cost of a sweep. The
   * hash chains are built anew, which is cheaper than taking each dead node out of its chain.
   */
  #makeRoom(): void {
    const now = this.#clock[0];
    for (let e = 0; e < this.#capacity; e++) {
      const base = e * 8 + EXPIRY;
      if (this.#floats[base] === 0 || this.#floats[base] > now) continue;
      this.#floats[base] = 0;
      this.#free[this.#freeCount++] = e;
    }
    const before = this.#capacity;
    if (this.#freeCount * 2 < before) this.#double();
    this.#heads.fill(-1);
    for (let e = 0; e < before; e++) if (this.#floats[e * 8 + EXPIRY] !== 0) this.#linkBoth(e);
  }

  #double(): void {
    const before = this.#capacity;
    this.#capacity = before * 2;
    const buffer = new ArrayBuffer(this.#capacity * STRIDE * 4);
    const words = new Int32Array(buffer);
    words.set(this.#words);
    this.#words = words;
    this.#floats = new Float64Array(buffer);
    const free = new Int32Array(this.#capacity);
    free.set(this.#free.subarray(0, this.#freeCount));
    this.#free = free;
    this.#heads = new Int32Array(this.#capacity * 2);
    this.#freeFrom(before);
  }

  #freeFrom(first: number): void {
    for (let e = this.#capacity - 1; e >= first; e--) this.#free[this.#freeCount++] = e;
  }
}

/** First of the protocol's two time-outs. */
function datagramRow(protocol: number): number {
  return protocol === PROTOCOL_SCTP ? 2 : 0;
}
