/**
 * mh: net/netfilter/ipvs/ip_vs_mh.c, Maglev hashing. kube-proxy sets FlagSourceHash (0x10, IP_VS_SVC_F_SCHED2, which is
 * mh-port) with this scheduler (pkg/proxy/ipvs/proxier.go), so the source port is part of the key; there is no fallback.
 */
import { hsiphash1u32 } from '../hashes.ts';
import { NONE } from '../service-table.ts';
import { Scheduler } from './scheduler.ts';
import { greatestCommonDivisor } from './weighted-round-robin.ts';

/** IP_VS_MH_TAB_SIZE with CONFIG_IP_VS_MH_TAB_INDEX 12, and IP_VS_MH_TAB_BITS. */
export const MAGLEV_TABLE_SIZE = 4093;
const TABLE_BITS = 6;
/** generate_hash_secret. */
const KEY_1 = 2654435761;
const KEY_2 = 2654446892;

/** ip_vs_mh_hashkey with offset 0: the port and the address are added, modulo 2^32. */
function hashKey(address: number, port: number, key: number): number {
  return hsiphash1u32((address + port) | 0, key);
}

/**
 * The look-up table of a virtual server is built when its first connection after a change is scheduled, not at the
 * change: the answers are the same, and a cluster of 20,000 virtual servers holds tables only for those with traffic.
 * Tables are the one thing that the data path allocates, once a virtual server.
 */
export class Maglev extends Scheduler {
  /** By virtual server: table of real server slots; absent until built. */
  readonly #tables: (Int32Array | undefined)[] = [];
  /** By virtual server: 1 when the list has changed since the table was built. */
  #isStale = new Uint8Array(64);
  #populatedCount = 0;

  override serviceAdded(service: number): void {
    while (this.#tables.length <= service) this.#tables.push(undefined);
    if (service >= this.#isStale.length) {
      const grown = new Uint8Array(this.services.capacity);
      grown.set(this.#isStale);
      this.#isStale = grown;
    }
    this.#isStale[service] = 1;
  }

  override serviceRemoved(service: number): void {
    this.#tables[service] = undefined;
  }

  override listChanged(service: number): void {
    this.#isStale[service] = 1;
  }

  override schedule(service: number, srcAddress: number, srcPort: number): number {
    this.examined = 1;
    let table = this.#tables[service];
    if (table === undefined || this.#isStale[service] === 1) {
      table = table ?? new Int32Array(MAGLEV_TABLE_SIZE);
      this.#tables[service] = table;
      this.#populate(service, table);
      this.#isStale[service] = 0;
    }
    const server = table[hashKey(srcAddress, srcPort, KEY_1) % MAGLEV_TABLE_SIZE];
    return server !== NONE && this.servers.weight[server] > 0 ? server : NONE;
  }

  /** How often each real server stands in the table of `service`, for tests: slot to count. */
  tableCounts(service: number): Map<number, number> {
    const counts = new Map<number, number>();
    for (const server of this.#tables[service] ?? []) counts.set(server, (counts.get(server) ?? 0) + 1);
    return counts;
  }

  /** How many tables have been built, for tests. */
  get populatedCount(): number {
    return this.#populatedCount;
  }

  /** ip_vs_mh_permutate and ip_vs_mh_populate: in turns, each real server takes the next free place of its permutation. */
  #populate(service: number, table: Int32Array): void {
    const { next, address, port, lastWeight } = this.servers;
    this.#populatedCount++;
    table.fill(NONE);
    let divisor = 0;
    let maximum = 0;
    const list: number[] = [];
    for (let at = this.services.firstServer[service]; at !== NONE; at = next[at]) {
      list.push(at);
      const own = lastWeight[at];
      if (own <= 0) continue;
      divisor = divisor === 0 ? own : greatestCommonDivisor(own, divisor);
      if (own > maximum) maximum = own;
    }
    if (divisor === 0) return;
    const shift = Math.max(0, 32 - Math.clz32(Math.floor(maximum / divisor)) - TABLE_BITS);
    const place = list.map((at) => hashKey(address[at], port[at], KEY_1) % MAGLEV_TABLE_SIZE);
    const skip = list.map((at) => (hashKey(address[at], port[at], KEY_2) % (MAGLEV_TABLE_SIZE - 1)) + 1);
    const turns = list.map((at) => {
      const own = lastWeight[at];
      const shifted = Math.floor(own / divisor) >> shift;
      return shifted !== 0 ? shifted : own !== 0 ? 1 : 0;
    });
    let filled = 0;
    for (;;) {
      for (let k = 0; k < list.length; k++) {
        for (let turn = 0; turn < turns[k]; turn++) {
          let at = place[k];
          while (table[at] !== NONE) {
            at += skip[k];
            if (at >= MAGLEV_TABLE_SIZE) at -= MAGLEV_TABLE_SIZE;
          }
          place[k] = at;
          table[at] = list[k];
          if (++filled === MAGLEV_TABLE_SIZE) return;
        }
      }
    }
  }
}
