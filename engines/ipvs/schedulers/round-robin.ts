/**
 * rr: net/netfilter/ipvs/ip_vs_rr.c ip_vs_rr_schedule, ip_vs_rr_del_dest. The virtual server's word of the scheduler is the real server
 * used last, or NONE for the list's head.
 */
import * as tables from '../service-table.ts';
import { Scheduler } from './scheduler.ts';

/* A module's own constants are part of the compiled code; V8 loads an imported one anew at each use. */
const { NONE } = tables;

export class RoundRobin extends Scheduler {
  /** Of no use, but for making `touch` read. */
  touched = 0;

  override serviceAdded(service: number): void {
    this.services.schedulerWord[service] = NONE;
  }

  override serverRemoved(service: number, server: number): void {
    const last = this.services.schedulerWord;
    if (last[service] === server) last[service] = this.servers.previous[server];
  }

  override touch(services: Int32Array, length: number): void {
    const { firstServer, schedulerWord } = this.services;
    const { next, weight } = this.servers;
    let weights = 0;
    for (let i = 0; i < length; i++) {
      const service = services[i];
      if (service < 0) continue;
      const last = schedulerWord[service];
      const server = last === NONE ? firstServer[service] : next[last];
      if (server !== NONE) weights = (weights + weight[server]) | 0;
    }
    this.touched = weights;
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
