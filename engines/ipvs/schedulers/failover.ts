/** fo (net/netfilter/ipvs/ip_vs_fo.c): the highest weight; ovf (ip_vs_ovf.c): the highest weight that is not full. */
import type { RealServers } from '../real-servers.ts';
import { NONE } from '../service-table.ts';
import { Scheduler } from './scheduler.ts';

export class Failover extends Scheduler {
  /** ovf: a real server with more active connections than its weight is passed over. */
  readonly #overflow: boolean;

  constructor(servers: RealServers, overflow: boolean) {
    super(servers);
    this.#overflow = overflow;
  }

  override schedule(service: number): number {
    const { next, weight, active } = this.servers;
    let best = NONE;
    let highest = 0;
    for (let at = this.services.firstServer[service]; at !== NONE; at = next[at]) {
      const own = weight[at];
      if (own <= highest || (this.#overflow && active[at] > own)) continue;
      best = at;
      highest = own;
    }
    this.examined = this.services.serverCount[service];
    return best;
  }
}
