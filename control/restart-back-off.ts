/** How long the kubelet waits before it starts a container that has ended anew [pkg/kubelet/kuberuntime doBackOff, client-go flowcontrol/backoff.go]. */
import { NS_PER_S } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import { LONG_AGO } from './pod-store.ts';

/** From a container's end to its successor's start without back-off: the kubelet looks for dead containers each second [pkg/kubelet/kubelet.go genericPlegRelistPeriod]. */
export const RESTART_DELAY_NS = NS_PER_S;

/** None before the first restart, then 10 s, doubling up to 300 s [pkg/kubelet/kubelet.go backOffPeriod, MaxContainerBackOff]. */
const FIRST_NS = 10 * NS_PER_S;
const MAX_NS = 300 * NS_PER_S;

export class RestartBackOff {
  /** 0 = none yet. */
  #backOffNs: SimTime = 0;
  #setAt: SimTime = LONG_AGO;

  /** From the end of a container, which is now, to the start of the next. */
  delayNs(now: SimTime): SimTime {
    // A container that ran well for twice the longest back-off starts from the beginning [hasExpired].
    if (now - this.#setAt > 2 * MAX_NS) this.#backOffNs = 0;
    return Math.max(this.#backOffNs, RESTART_DELAY_NS);
  }

  /** The next container has been started. */
  restarted(now: SimTime): void {
    this.#backOffNs = this.#backOffNs === 0 ? FIRST_NS : Math.min(2 * this.#backOffNs, MAX_NS);
    this.#setAt = now;
  }
}
