/**
 * lblc (net/netfilter/ipvs/ip_vs_lblc.c) and lblcr (ip_vs_lblcr.c): a destination address keeps its real server (lblcr:
 * a set of them) until that one is overloaded while another has room. A virtual server has one destination address, so
 * its cache is one entry. Entries that nobody uses for 24 hours are collected by the kernel; that is not modelled.
 */
import type { SimTime } from '../../../model/time.ts';
import { NS_PER_S } from '../../../model/time.ts';
import { grownFloat64, grownInt32, grownUint8 } from '../grow.ts';
import type { RealServers } from '../real-servers.ts';
import { NONE } from '../service-table.ts';
import { weightedLeastConnection } from './least-connection.ts';
import { Scheduler } from './scheduler.ts';

/** DEFAULT_EXPIRATION: after this long without a change a set of several loses its most loaded member. */
const SET_EXPIRATION_NS = 24 * 60 * 60 * NS_PER_S;

/** More active connections than its weight, while another real server is less than half full. */
function isOverloaded(servers: RealServers, server: number, first: number): boolean {
  const { next, weight, active } = servers;
  if (active[server] <= weight[server]) return false;
  for (let at = first; at !== NONE; at = next[at]) {
    if (active[at] * 2 < weight[at]) return true;
  }
  return false;
}

export class Locality extends Scheduler {
  /** By virtual server: cached real server, or NONE without an entry. It is held: when it is added again it is usable again. */
  #cached = new Int32Array(0);

  override serviceAdded(service: number): void {
    if (service >= this.#cached.length) this.#cached = grownInt32(this.#cached, this.services.capacity);
    this.#cached[service] = NONE;
  }

  override serviceRemoved(service: number): void {
    const cached = this.#cached[service];
    if (cached !== NONE) this.servers.drop(cached);
    this.#cached[service] = NONE;
  }

  override schedule(service: number): number {
    const servers = this.servers;
    const first = this.services.firstServer[service];
    const cached = this.#cached[service];
    this.examined = 0;
    if (cached !== NONE) {
      this.examined = 1;
      const isUsable = servers.isLive(cached) && servers.weight[cached] > 0;
      if (isUsable && !isOverloaded(servers, cached, first)) return cached;
    }
    this.examined += this.services.serverCount[service];
    const server = weightedLeastConnection(servers, first);
    if (server !== NONE && server !== cached) {
      servers.hold(server);
      if (cached !== NONE) servers.drop(cached);
      this.#cached[service] = server;
    }
    return server;
  }
}

export class ReplicatedLocality extends Scheduler {
  override readonly readsClock = true;
  /** By virtual server: newest member of its set, its size (-1 without an entry), and when it last changed. */
  #newest = new Int32Array(0);
  #size = new Int32Array(0);
  #modified = new Float64Array(0);
  /** By real server: the next older member of the set, and whether it is a member. A member keeps its slot. */
  #older = new Int32Array(0);
  #isMember = new Uint8Array(0);

  override serviceAdded(service: number): void {
    if (service >= this.#newest.length) {
      const capacity = this.services.capacity;
      this.#newest = grownInt32(this.#newest, capacity);
      this.#size = grownInt32(this.#size, capacity);
      this.#modified = grownFloat64(this.#modified, capacity);
    }
    this.#newest[service] = NONE;
    this.#size[service] = -1;
  }

  override serviceRemoved(service: number): void {
    for (let at = this.#newest[service]; at !== NONE; at = this.#older[at]) {
      this.#isMember[at] = 0;
      this.servers.drop(at);
    }
    this.#newest[service] = NONE;
  }

  override listChanged(): void {
    if (this.#older.length >= this.servers.capacity) return;
    this.#older = grownInt32(this.#older, this.servers.capacity);
    this.#isMember = grownUint8(this.#isMember, this.servers.capacity);
  }

  override schedule(service: number, _srcAddress: number, _srcPort: number, _dstAddress: number, now: SimTime): number {
    const first = this.services.firstServer[service];
    const size = this.#size[service];
    this.examined = 0;
    if (size >= 0) {
      this.examined = size;
      const least = this.#leastLoaded(service);
      if (size > 1 && now > this.#modified[service] + SET_EXPIRATION_NS) this.#eraseMost(service, now);
      if (least !== NONE && !isOverloaded(this.servers, least, first)) return least;
    }
    this.examined += this.services.serverCount[service];
    const server = weightedLeastConnection(this.servers, first);
    if (server !== NONE && this.#isMember[server] !== 1) this.#insert(service, server, now);
    return server;
  }

  /** ip_vs_dest_set_insert: at the head. */
  #insert(service: number, server: number, now: SimTime): void {
    this.servers.hold(server);
    this.#isMember[server] = 1;
    this.#older[server] = this.#newest[service];
    this.#newest[service] = server;
    const size = this.#size[service];
    this.#size[service] = size < 0 ? 1 : size + 1;
    this.#modified[service] = now;
  }

  /** ip_vs_dest_set_min: among the members that are not deleted. */
  #leastLoaded(service: number): number {
    const servers = this.servers;
    const { weight } = servers;
    let least = NONE;
    let leastOverhead = 0;
    for (let at = this.#newest[service]; at !== NONE; at = this.#older[at]) {
      const own = weight[at];
      if (own <= 0 || !servers.isLive(at)) continue;
      const overhead = servers.overhead(at);
      if (least === NONE || leastOverhead * own > overhead * weight[least]) {
        least = at;
        leastOverhead = overhead;
      }
    }
    return least;
  }

  /** ip_vs_dest_set_max and ip_vs_dest_set_erase: among the members that are not deleted. */
  #eraseMost(service: number, now: SimTime): void {
    const servers = this.servers;
    const { weight } = servers;
    let most = NONE;
    let mostOverhead = 0;
    let beforeMost = NONE;
    let before = NONE;
    for (let at = this.#newest[service]; at !== NONE; at = this.#older[at]) {
      const own = weight[at];
      const overhead = servers.overhead(at);
      if (own > 0 && servers.isLive(at) && (most === NONE || mostOverhead * own < overhead * weight[most])) {
        most = at;
        mostOverhead = overhead;
        beforeMost = before;
      }
      before = at;
    }
    if (most === NONE) return;
    const older = this.#older[most];
    if (beforeMost === NONE) this.#newest[service] = older;
    else this.#older[beforeMost] = older;
    this.#isMember[most] = 0;
    this.#size[service]--;
    this.#modified[service] = now;
    servers.drop(most);
  }
}
