/** wrr: net/netfilter/ipvs/ip_vs_wrr.c ip_vs_wrr_schedule, ip_vs_wrr_dest_changed. */
import { grownInt32 } from '../grow.ts';
import { NONE } from '../service-table.ts';
import { Scheduler } from './scheduler.ts';

/** "No element": distinct from NONE, which stands for the list's head. */
const NEVER = -2;

export function greatestCommonDivisor(a: number, b: number): number {
  let x = a;
  let y = b;
  while (y !== 0) {
    const rest = x % y;
    x = y;
    y = rest;
  }
  return x;
}

export class WeightedRoundRobin extends Scheduler {
  /** Real server used last (cl), or NONE for the list's head. */
  #current = new Int32Array(0);
  /** Weight that a server must have now (cw), the largest (mw), and the step down (di). */
  #currentWeight = new Int32Array(0);
  #maximum = new Int32Array(0);
  #step = new Int32Array(0);

  override serviceAdded(service: number): void {
    if (service >= this.#current.length) {
      const capacity = this.services.capacity;
      this.#current = grownInt32(this.#current, capacity);
      this.#currentWeight = grownInt32(this.#currentWeight, capacity);
      this.#maximum = grownInt32(this.#maximum, capacity);
      this.#step = grownInt32(this.#step, capacity);
    }
    this.#current[service] = NONE;
    this.#currentWeight[service] = 0;
    this.#maximum[service] = 0;
    this.#step[service] = 1;
  }

  override listChanged(service: number): void {
    const { next, weight } = this.servers;
    let divisor = 0;
    let maximum = 0;
    for (let at = this.services.firstServer[service]; at !== NONE; at = next[at]) {
      const own = weight[at];
      if (own <= 0) continue;
      divisor = divisor === 0 ? own : greatestCommonDivisor(own, divisor);
      if (own > maximum) maximum = own;
    }
    const step = divisor === 0 ? 1 : divisor;
    // Reduced by step - 1 so that the last pass asks for weight 1 and misses nobody.
    const top = maximum - (step - 1);
    const asked = this.#currentWeight[service];
    this.#current[service] = NONE;
    this.#step[service] = step;
    this.#maximum[service] = top;
    if (asked > top || asked === 0) this.#currentWeight[service] = top;
    else if (step > 1) this.#currentWeight[service] = Math.floor(asked / step) * step + 1;
  }

  override schedule(service: number): number {
    const { next, weight } = this.servers;
    const first = this.services.firstServer[service];
    const top = this.#maximum[service];
    const step = this.#step[service];
    this.examined = 0;
    if (top === 0) return NONE;
    const last = this.#current[service];
    let asked = this.#currentWeight[service];
    let examined = 0;
    let chosen = NONE;
    let stop = NEVER;
    let lastPass = false;
    let restarted = false;
    let at = last === NONE ? first : next[last];
    for (;;) {
      while (at !== NONE && weight[at] < asked && at !== stop) {
        examined++;
        at = next[at];
      }
      if (at !== NONE) {
        // Chosen, or the full turn ended at `stop` without a choice; the position moves in both cases.
        examined++;
        if (weight[at] >= asked) chosen = at;
        break;
      }
      asked -= step;
      if (asked <= 0) {
        asked = top;
        if (lastPass || last === NONE) break;
        restarted = true;
      }
      lastPass = asked <= step;
      if (lastPass && restarted && last !== NONE) stop = last;
      at = first;
    }
    this.#current[service] = at;
    this.#currentWeight[service] = asked;
    this.examined = examined;
    return chosen;
  }
}
