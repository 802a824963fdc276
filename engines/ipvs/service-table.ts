/**
 * Virtual servers in the kernel's hash of 256 buckets (net/netfilter/ipvs/ip_vs_ctl.c ip_vs_svc_hashkey, ip_vs_svc_hash,
 * __ip_vs_service_find). New ones go to the head of their bucket. A virtual server is a slot: the place of its first word in records
 * that double when full (only a sync adds virtual servers).
 */
import type { PacketBatch } from '../../model/packet.ts';
import * as packetModel from '../../model/packet.ts';
import * as protocols from '../../model/protocol.ts';
import * as memory from './grow.ts';
import { fieldOf, grownInt32 } from './grow.ts';

/* A module's own constants are part of the compiled code; V8 loads an imported one anew at each use. */
const { TCP_SYN } = packetModel;
const { PROTOCOL_TCP } = protocols;
const { FIRST_RECORD } = memory;

const SERVICE_BUCKETS = 256;
/** "No slot": the end of a chain or a list, a failed look-up. */
export const NONE = -1;
/** Not looked up yet. */
export const UNKNOWN = -2;

export function serviceBucket(protocol: number, address: number, port: number): number {
  return (protocol ^ address ^ (port >>> 8) ^ port) & (SERVICE_BUCKETS - 1);
}

/** Words of a virtual server: eight that packets touch, half a cache line, and as many that they do not. */
export const SERVICE_STRIDE = 8;
const STRIDE = SERVICE_STRIDE;
const INITIAL_SERVICES = 64;

export class ServiceTable {
  /** Slots are below this. */
  capacity = INITIAL_SERVICES * STRIDE;
  /** Virtual servers in the table. */
  size = 0;
  #hot = new Int32Array(INITIAL_SERVICES * STRIDE);
  #cold = new Int32Array(INITIAL_SERVICES * STRIDE);

  address = fieldOf(this.#hot, 0);
  /** Protocol and port in one word, as `serviceWord` has it; 0 of a slot that is not in use. */
  #key = fieldOf(this.#hot, 1);
  servicePortId = fieldOf(this.#hot, 2);
  /** Time-out of persistence in seconds (IP_VS_SVC_F_PERSISTENT); 0 without it. */
  affinitySeconds = fieldOf(this.#hot, 3);
  /** Head, tail and length of the list of real servers; the links are in RealServers. */
  firstServer = fieldOf(this.#hot, 4);
  /** A word of the scheduler's own (svc->sched_data). */
  schedulerWord = fieldOf(this.#hot, 5);
  #position = fieldOf(this.#hot, 6);

  lastServer = fieldOf(this.#cold, 0);
  serverCount = fieldOf(this.#cold, 1);
  /** The sync that last wanted this virtual server. */
  wantedBy = fieldOf(this.#cold, 2);
  #next = fieldOf(this.#cold, 3);
  /** Entries passed in the chain by the latest `find`, the one found included. */
  entriesPassed = 0;

  readonly #heads = new Int32Array(SERVICE_BUCKETS).fill(NONE);
  readonly #lengths = new Uint32Array(SERVICE_BUCKETS);
  /** The chains one behind the other, in their order: address and key of each entry, and its slot. Made by `finish`. */
  #chains = new Int32Array(0);
  #slotsOfChains = new Int32Array(0);
  readonly #firstOfChain = new Int32Array(SERVICE_BUCKETS + 1);
  #used = FIRST_RECORD;
  #free = NONE;
  #index = new Int32Array(128).fill(NONE);
  #finished = true;

  add(protocol: number, address: number, port: number, servicePortId: number, affinitySeconds = 0): number {
    let slot = this.#free;
    if (slot !== NONE) this.#free = this.#next[slot];
    else {
      if (this.#used + STRIDE > this.capacity) this.#grow();
      slot = this.#used;
      this.#used += STRIDE;
    }
    this.address[slot] = address;
    this.#key[slot] = serviceWord(protocol, port);
    this.servicePortId[slot] = servicePortId;
    this.affinitySeconds[slot] = affinitySeconds;
    this.firstServer[slot] = NONE;
    this.lastServer[slot] = NONE;
    this.serverCount[slot] = 0;
    const bucket = serviceBucket(protocol, address, port);
    this.#next[slot] = this.#heads[bucket];
    this.#heads[bucket] = slot;
    this.#lengths[bucket]++;
    this.size++;
    this.#insertIndex(slot);
    this.#finished = false;
    return slot;
  }

  /** The virtual server must have no real server left. */
  remove(slot: number): void {
    if (this.serverCount[slot] !== 0) throw new Error(`Virtual server ${slot} still has real servers`);
    const bucket = serviceBucket(this.protocolOf(slot), this.address[slot], this.portOf(slot));
    let before = NONE;
    let at = this.#heads[bucket];
    while (at !== slot) {
      if (at === NONE) throw new Error(`Virtual server ${slot} is not in its bucket`);
      before = at;
      at = this.#next[at];
    }
    if (before === NONE) this.#heads[bucket] = this.#next[slot];
    else this.#next[before] = this.#next[slot];
    this.#lengths[bucket]--;
    this.#next[slot] = this.#free;
    this.#free = slot;
    this.#key[slot] = 0;
    this.size--;
    this.#finished = false;
  }

  /** Call after the last add or remove of a sync: lays the chains out for `findLiteral`, with the places in them that `findIndexed` reports. */
  finish(): void {
    if (this.#finished) return;
    this.#rebuildIndex();
    if (this.#slotsOfChains.length < this.size) {
      const services = this.capacity / STRIDE;
      this.#chains = new Int32Array(2 * services);
      this.#slotsOfChains = new Int32Array(services);
    }
    let at = 0;
    for (let bucket = 0; bucket < SERVICE_BUCKETS; bucket++) {
      const first = at;
      this.#firstOfChain[bucket] = first;
      for (let slot = this.#heads[bucket]; slot !== NONE; slot = this.#next[slot]) {
        this.#chains[2 * at] = this.address[slot];
        this.#chains[2 * at + 1] = this.#key[slot];
        this.#slotsOfChains[at] = slot;
        at++;
        this.#position[slot] = at - first;
      }
    }
    this.#firstOfChain[SERVICE_BUCKETS] = at;
    this.#finished = true;
  }

  /** Walks the chain as the kernel does; sets `entriesPassed`. Valid after `finish`. */
  findLiteral(protocol: number, address: number, port: number): number {
    const chains = this.#chains;
    const wanted = address | 0;
    const key = serviceWord(protocol, port);
    const bucket = serviceBucket(protocol, address, port);
    const first = this.#firstOfChain[bucket];
    const end = this.#firstOfChain[bucket + 1];
    for (let at = first; at < end; at++) {
      if (chains[2 * at] === wanted && chains[2 * at + 1] === key) {
        this.entriesPassed = at - first + 1;
        return this.#slotsOfChains[at];
      }
    }
    this.entriesPassed = end - first;
    return NONE;
  }

  /** The same answer and the same `entriesPassed` without the walk. Valid after `finish`. */
  findIndexed(protocol: number, address: number, port: number): number {
    const slot = this.lookup(protocol, address, port);
    this.entriesPassed = this.passedTo(slot, protocol, address, port);
    return slot;
  }

  /** Entries that a walk for the key passes, which `lookup` has found in that slot or not at all. Valid after `finish`. */
  passedTo(slot: number, protocol: number, address: number, port: number): number {
    return slot === NONE ? this.#lengths[serviceBucket(protocol, address, port)] : this.#position[slot];
  }

  /**
   * slots[i] becomes the virtual server of packet i's destination, or NONE; UNKNOWN where no look-up is likely: TCP asks for a SYN. A
   * loop of its own, so that the look-ups of several packets wait for memory together.
   */
  lookUpAll(packets: PacketBatch, slots: Int32Array): void {
    const { length, protocol, tcpFlags, dstAddress, dstPort } = packets;
    for (let i = 0; i < length; i++) {
      const opens = protocol[i] === PROTOCOL_TCP && (tcpFlags[i] & TCP_SYN) !== 0;
      slots[i] = opens ? this.lookup(PROTOCOL_TCP, dstAddress[i], dstPort[i]) : UNKNOWN;
    }
  }

  /** By hash map; valid at any time (removed slots are skipped until `finish` cleans them out). */
  lookup(protocol: number, address: number, port: number): number {
    const index = this.#index;
    const addresses = this.address;
    const keys = this.#key;
    const mask = index.length - 1;
    const wanted = address | 0;
    const key = serviceWord(protocol, port);
    let at = indexHash(wanted, key) & mask;
    for (let slot = index[at]; slot !== NONE; slot = index[at]) {
      if (addresses[slot] === wanted && keys[slot] === key) return slot;
      at = (at + 1) & mask;
    }
    return NONE;
  }

  /** Slots are FIRST_RECORD + a multiple of SERVICE_STRIDE, below this; not all of them are in use. */
  get slotLimit(): number {
    return this.#used;
  }

  isUsed(slot: number): boolean {
    return this.#key[slot] !== 0;
  }

  protocolOf(slot: number): number {
    return this.#key[slot] >>> 16;
  }

  portOf(slot: number): number {
    return this.#key[slot] & 0xffff;
  }

  #insertIndex(slot: number): void {
    if ((this.#used / STRIDE + 1) * 2 > this.#index.length) {
      this.#index = new Int32Array(this.#index.length * 2);
      this.#rebuildIndex();
      return;
    }
    const index = this.#index;
    const mask = index.length - 1;
    let at = indexHash(this.address[slot], this.#key[slot]) & mask;
    while (index[at] !== NONE && index[at] !== slot) at = (at + 1) & mask;
    index[at] = slot;
  }

  #rebuildIndex(): void {
    const index = this.#index.fill(NONE);
    const mask = index.length - 1;
    for (let slot = FIRST_RECORD; slot < this.#used; slot += STRIDE) {
      const key = this.#key[slot];
      if (key === 0) continue;
      let at = indexHash(this.address[slot], key) & mask;
      while (index[at] !== NONE) at = (at + 1) & mask;
      index[at] = slot;
    }
  }

  #grow(): void {
    this.capacity *= 2;
    const hot = grownInt32(this.#hot, this.capacity);
    const cold = grownInt32(this.#cold, this.capacity);
    this.#hot = hot;
    this.#cold = cold;
    this.address = fieldOf(hot, 0);
    this.#key = fieldOf(hot, 1);
    this.servicePortId = fieldOf(hot, 2);
    this.affinitySeconds = fieldOf(hot, 3);
    this.firstServer = fieldOf(hot, 4);
    this.schedulerWord = fieldOf(hot, 5);
    this.#position = fieldOf(hot, 6);
    this.lastServer = fieldOf(cold, 0);
    this.serverCount = fieldOf(cold, 1);
    this.wantedBy = fieldOf(cold, 2);
    this.#next = fieldOf(cold, 3);
  }
}

function serviceWord(protocol: number, port: number): number {
  return (protocol << 16) | port;
}

/** Spreads the key over the index; any mix does, it is never seen outside. */
function indexHash(address: number, key: number): number {
  const mixed = Math.imul(address ^ Math.imul(key, 0x9e3779b1), 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}
