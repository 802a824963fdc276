/**
 * rr: net/netfilter/ipvs/ip_vs_rr.c ip_vs_rr_schedule, ip_vs_rr_del_dest. The virtual server's word of the scheduler is the real server
 * used last, or NONE for the list's head.
 */
import { NONE } from '../service-table.ts';
import { Scheduler } from './scheduler.ts';

export class RoundRobin extends Scheduler {
  override serviceAdded(service: number): void {
    this.services.schedulerWord[service] = NONE;
  }

  override serverRemoved(service: number, server: number): void {
    const last = this.services.schedulerWord;
    if (last[service] === server) last[service] = this.servers.previous[server];
  }

  override schedule(service: number): number {
    const { next, weight } = this.servers;
    const last = this.services.schedulerWord[service];
    let examined = 0;
    // First pass: from the element after `last` to the end; second pass (unless `last` is the head): up to `last`.
    let server = last === NONE ? this.services.firstServer[service] : next[last];
    for (let pass = 0; pass < 2; pass++) {
      while (server !== NONE) {
        examined++;
        if (weight[server] > 0) {
          this.services.schedulerWord[service] = server;
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
