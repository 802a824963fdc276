/**
 * sh (net/netfilter/ipvs/ip_vs_sh.c, without its port and fallback flags) and dh (ip_vs_dh.c): 256 buckets filled by
 * walking the list again and again, indexed by hash_32 of the client's (sh) or the virtual server's (dh) address.
 * No table is stored: bucket b is the real server that the walk has reached after b steps, which the list tells.
 */
import type { RealServers } from '../real-servers.ts';
import { hash32 } from '../hashes.ts';
import { NONE } from '../service-table.ts';
import { Scheduler } from './scheduler.ts';

const TABLE_BITS = 8;

export class AddressHash extends Scheduler {
  readonly #bySource: boolean;

  constructor(servers: RealServers, bySource: boolean) {
    super(servers);
    this.#bySource = bySource;
  }

  override schedule(service: number, srcAddress: number, _srcPort: number, dstAddress: number): number {
    this.examined = 1;
    const bucket = hash32(this.#bySource ? srcAddress : dstAddress, TABLE_BITS);
    const server = this.#serverOfBucket(service, bucket);
    return server !== NONE && this.servers.weight[server] > 0 ? server : NONE;
  }

  #serverOfBucket(service: number, bucket: number): number {
    const { next } = this.servers;
    const first = this.services.firstServer[service];
    if (first === NONE) return NONE;
    let turn = 0;
    for (let at = first; at !== NONE; at = next[at]) turn += this.#buckets(at);
    let left = bucket % turn;
    let at = first;
    while (left >= this.#buckets(at)) {
      left -= this.#buckets(at);
      at = next[at];
    }
    return at;
  }

  /** Buckets in a row for one real server: sh gives `weight`, but one to a real server of weight 0; dh one to each. */
  #buckets(server: number): number {
    const weight = this.servers.weight[server];
    return this.#bySource && weight > 1 ? weight : 1;
  }
}
