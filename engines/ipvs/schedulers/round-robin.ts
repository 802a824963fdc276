/** rr: net/netfilter/ipvs/ip_vs_rr.c ip_vs_rr_schedule, ip_vs_rr_del_dest. */
import { grownInt32 } from '../grow.ts';
import { NONE } from '../service-table.ts';
import { Scheduler } from './scheduler.ts';

export class RoundRobin extends Scheduler {
  /** The real server used last, or NONE for the list's head. */
  #last = new Int32Array(0);

  override serviceAdded(service: number): void {
    if (service >= this.#last.length) this.#last = grownInt32(this.#last, this.services.capacity);
    this.#last[service] = NONE;
  }

  override serverRemoved(service: number, server: number): void {
    if (this.#last[service] === server) this.#last[service] = this.servers.previous[server];
  }

  override schedule(service: number): number {
    const { next, weight } = this.servers;
    const last = this.#last[service];
    let examined = 0;
    // First pass: from the element after `last` to the end; second pass (unless `last` is the head): up to `last`.
    let server = last === NONE ? this.services.firstServer[service] : next[last];
    for (let pass = 0; pass < 2; pass++) {
      while (server !== NONE) {
        examined++;
        if (weight[server] > 0) {
          this.#last[service] = server;
          this.examined = examined;
          return server;
        }
        if (server === last) break;
        server = next[server];
      }
      if (server !== NONE || last === NONE) break;
      server = this.services.firstServer[service];
    }
    this.examined = examined;
    return NONE;
  }
}
