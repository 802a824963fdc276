/**
 * Virtual servers in the kernel's hash of 256 buckets (net/netfilter/ipvs/ip_vs_ctl.c ip_vs_svc_hashkey, ip_vs_svc_hash,
 * __ip_vs_service_find). New ones go to the head of their bucket. A virtual server is a slot number; fields are
 * parallel typed arrays that double when full (only a sync adds virtual servers).
 */
import { grownInt32, grownUint16, grownUint32, grownUint8 } from './grow.ts';

const SERVICE_BUCKETS = 256;
/** "No slot": the end of a chain or a list, a failed look-up. */
export const NONE = -1;

export function serviceBucket(protocol: number, address: number, port: number): number {
  return (protocol ^ address ^ (port >>> 8) ^ port) & (SERVICE_BUCKETS - 1);
}

export class ServiceTable {
  capacity = 64;
  /** Virtual servers in the table. */
  size = 0;
  protocol = new Uint8Array(64);
  address = new Uint32Array(64);
  port = new Uint16Array(64);
  servicePortId = new Int32Array(64);
  /** Time-out of persistence in seconds (IP_VS_SVC_F_PERSISTENT); 0 without it. */
  affinitySeconds = new Uint32Array(64);
  /** Head, tail and length of the list of real servers; the links are in RealServers. */
  firstServer = new Int32Array(64);
  lastServer = new Int32Array(64);
  serverCount = new Int32Array(64);
  /** The sync that last wanted this virtual server. */
  wantedBy = new Uint32Array(64);
  /** Entries passed in the chain by the latest `find`, the one found included. */
  entriesPassed = 0;

  readonly #heads = new Int32Array(SERVICE_BUCKETS).fill(NONE);
  readonly #lengths = new Uint32Array(SERVICE_BUCKETS);
  #next = new Int32Array(64);
  #position = new Uint32Array(64);
  #used = 0;
  #free = NONE;
  #index = new Int32Array(128).fill(NONE);
  #finished = true;

  add(protocol: number, address: number, port: number, servicePortId: number, affinitySeconds = 0): number {
    let slot = this.#free;
    if (slot !== NONE) this.#free = this.#next[slot];
    else {
      if (this.#used === this.capacity) this.#grow();
      slot = this.#used++;
    }
    this.protocol[slot] = protocol;
    this.address[slot] = address;
    this.port[slot] = port;
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
    const bucket = serviceBucket(this.protocol[slot], this.address[slot], this.port[slot]);
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
    this.protocol[slot] = 0;
    this.size--;
    this.#finished = false;
  }

  /** Call after the last add or remove of a sync: computes the places in the chains that `findIndexed` reports. */
  finish(): void {
    if (this.#finished) return;
    this.#rebuildIndex();
    for (let bucket = 0; bucket < SERVICE_BUCKETS; bucket++) {
      let position = 0;
      for (let slot = this.#heads[bucket]; slot !== NONE; slot = this.#next[slot]) {
        position++;
        this.#position[slot] = position;
      }
    }
    this.#finished = true;
  }

  /** Walks the chain as the kernel does; sets `entriesPassed`. */
  findLiteral(protocol: number, address: number, port: number): number {
    const next = this.#next;
    let passed = 0;
    let slot = this.#heads[serviceBucket(protocol, address, port)];
    while (slot !== NONE) {
      passed++;
      if (this.address[slot] === address && this.port[slot] === port && this.protocol[slot] === protocol) break;
      slot = next[slot];
    }
    this.entriesPassed = passed;
    return slot;
  }

  /** The same answer and the same `entriesPassed` without the walk. Valid after `finish`. */
  findIndexed(protocol: number, address: number, port: number): number {
    const slot = this.lookup(protocol, address, port);
    this.entriesPassed = slot === NONE ? this.#lengths[serviceBucket(protocol, address, port)] : this.#position[slot];
    return slot;
  }

  /** By hash map; valid at any time (removed slots are skipped until `finish` cleans them out). */
  lookup(protocol: number, address: number, port: number): number {
    const index = this.#index;
    const mask = index.length - 1;
    let at = indexHash(protocol, address, port) & mask;
    for (let slot = index[at]; slot !== NONE; slot = index[at]) {
      if (this.address[slot] === address && this.port[slot] === port && this.protocol[slot] === protocol) return slot;
      at = (at + 1) & mask;
    }
    return NONE;
  }

  /** Slots are 0 .. slotLimit-1; those with protocol 0 are not in use. */
  get slotLimit(): number {
    return this.#used;
  }

  #insertIndex(slot: number): void {
    if ((this.#used + 1) * 2 > this.#index.length) {
      this.#index = new Int32Array(this.#index.length * 2).fill(NONE);
      this.#rebuildIndex();
      return;
    }
    const index = this.#index;
    const mask = index.length - 1;
    const address = this.address[slot];
    const port = this.port[slot];
    const protocol = this.protocol[slot];
    let at = indexHash(protocol, address, port) & mask;
    while (index[at] !== NONE && index[at] !== slot) at = (at + 1) & mask;
    index[at] = slot;
  }

  #rebuildIndex(): void {
    const index = this.#index.fill(NONE);
    const mask = index.length - 1;
    for (let slot = 0; slot < this.#used; slot++) {
      const protocol = this.protocol[slot];
      if (protocol === 0) continue;
      let at = indexHash(protocol, this.address[slot], this.port[slot]) & mask;
      while (index[at] !== NONE) at = (at + 1) & mask;
      index[at] = slot;
    }
  }

  #grow(): void {
    this.capacity *= 2;
    const capacity = this.capacity;
    this.protocol = grownUint8(this.protocol, capacity);
    this.address = grownUint32(this.address, capacity);
    this.port = grownUint16(this.port, capacity);
    this.servicePortId = grownInt32(this.servicePortId, capacity);
    this.affinitySeconds = grownUint32(this.affinitySeconds, capacity);
    this.firstServer = grownInt32(this.firstServer, capacity);
    this.lastServer = grownInt32(this.lastServer, capacity);
    this.serverCount = grownInt32(this.serverCount, capacity);
    this.wantedBy = grownUint32(this.wantedBy, capacity);
    this.#next = grownInt32(this.#next, capacity);
    this.#position = grownUint32(this.#position, capacity);
  }
}

/** Spreads the key over the index; any mix does, it is never seen outside. */
function indexHash(protocol: number, address: number, port: number): number {
  const mixed = Math.imul(address ^ Math.imul(port ^ (protocol << 16), 0x9e3779b1), 0x85ebca6b);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
