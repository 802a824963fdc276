/** twos: net/netfilter/ipvs/ip_vs_twos.c ip_vs_twos_schedule, the power of two random choices. */
import type { RandomStream } from '../../../sim/rng.ts';
import type { RealServers } from '../real-servers.ts';
import { NONE } from '../service-table.ts';
import { Scheduler } from './scheduler.ts';

export class TwoChoices extends Scheduler {
  readonly #stream: RandomStream;

  constructor(servers: RealServers, stream: RandomStream) {
    super(servers);
    this.#stream = stream;
  }

  override schedule(service: number): number {
    const servers = this.servers;
    const { next, weight } = servers;
    const first = this.services.firstServer[service];
    let total = 0;
    for (let at = first; at !== NONE; at = next[at]) {
      if (weight[at] > 0) total += weight[at];
    }
    let examined = this.services.serverCount[service];
    this.examined = examined;
    if (total === 0) return NONE;
    // 0 and `total` are both drawn, so the first real server has one chance more than its weight.
    let left1 = this.#stream.below(total + 1);
    let left2 = this.#stream.below(total + 1);
    let choice1 = NONE;
    let choice2 = NONE;
    for (let at = first; at !== NONE && (choice1 === NONE || choice2 === NONE); at = next[at]) {
      examined++;
      const own = weight[at];
      if (own <= 0) continue;
      left1 -= own;
      left2 -= own;
      if (left1 <= 0 && choice1 === NONE) choice1 = at;
      if (left2 <= 0 && choice2 === NONE) choice2 = at;
    }
    this.examined = examined;
    const load1 = servers.overhead(choice1) * weight[choice2];
    const load2 = servers.overhead(choice2) * weight[choice1];
    return load1 > load2 ? choice2 : choice1;
  }
}
