/**
 * The schedulers that walk the whole list for the least loaded real server: lc (ip_vs_lc.c), wlc (ip_vs_wlc.c),
 * sed (ip_vs_sed.c), nq (ip_vs_nq.c). Loads are compared by cross-multiplication; ties keep the earlier one.
 */
import type { RealServers } from '../real-servers.ts';
import { NONE } from '../service-table.ts';
import { Scheduler } from './scheduler.ts';

/** wlc's pick, also used by lblc and lblcr: least overhead / weight over the list. It always looks at the whole list. */
export function weightedLeastConnection(servers: RealServers, first: number): number {
  const { next, weight } = servers;
  let least = NONE;
  let leastOverhead = 0;
  for (let at = first; at !== NONE; at = next[at]) {
    const own = weight[at];
    if (own <= 0) continue;
    const overhead = servers.overhead(at);
    if (least === NONE || leastOverhead * own > overhead * weight[least]) {
      least = at;
      leastOverhead = overhead;
    }
  }
  return least;
}

export class WeightedLeastConnection extends Scheduler {
  override schedule(service: number): number {
    this.examined = this.services.serverCount[service];
    return weightedLeastConnection(this.servers, this.services.firstServer[service]);
  }
}

export class LeastConnection extends Scheduler {
  override schedule(service: number): number {
    const servers = this.servers;
    const { next, weight } = servers;
    let least = NONE;
    let leastOverhead = 0;
    for (let at = this.services.firstServer[service]; at !== NONE; at = next[at]) {
      if (weight[at] === 0) continue;
      const overhead = servers.overhead(at);
      if (least === NONE || overhead < leastOverhead) {
        least = at;
        leastOverhead = overhead;
      }
    }
    this.examined = this.services.serverCount[service];
    return least;
  }
}

/** The expected delay of sed and nq: active connections with the new one, inactive ones left out. */
export class ShortestExpectedDelay extends Scheduler {
  /** nq: take the first idle real server at once. */
  readonly #takeIdle: boolean;

  constructor(servers: RealServers, takeIdle: boolean) {
    super(servers);
    this.#takeIdle = takeIdle;
  }

  override schedule(service: number): number {
    const { next, weight, active } = this.servers;
    let examined = 0;
    let least = NONE;
    let leastDelay = 0;
    for (let at = this.services.firstServer[service]; at !== NONE; at = next[at]) {
      examined++;
      const own = weight[at];
      if (own === 0) continue;
      const delay = active[at] + 1;
      if (this.#takeIdle && delay === 1) {
        least = at;
        break;
      }
      if (least === NONE || leastDelay * own > delay * weight[least]) {
        least = at;
        leastDelay = delay;
      }
    }
    this.examined = examined;
    return least;
  }
}
