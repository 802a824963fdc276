/** For how long a node's rules have lacked some change that had come to the node. */
import type { SimTime } from '../model/time.ts';

export class BehindClock {
  #since: SimTime | undefined;
  #totalNs: SimTime = 0;

  /** A change has come. */
  changed(now: SimTime): void {
    this.#since ??= now;
  }

  /** Rules take effect; `isStill`: a change has come that they do not hold. */
  caughtUp(now: SimTime, isStill: boolean): void {
    this.#totalNs = this.totalNs(now);
    this.#since = isStill ? now : undefined;
  }

  totalNs(now: SimTime): SimTime {
    return this.#totalNs + (this.#since === undefined ? 0 : now - this.#since);
  }
}
