/** The runner of kube-proxy's old generation, up to v1.33 [pkg/util/async/bounded_frequency_runner.go Loop, tryRun, RetryAfter, doRetry]. */
import { assert } from '../sim/assert.ts';
import type { SimTime } from '../model/time.ts';
import type { EventHandle } from '../sim/event-queue.ts';
import { PRIORITY_PROXIER_SYNC } from './priorities.ts';
import type { RunReason, SyncRunner, SyncRunnerOptions } from './sync-runner.ts';

/** Every mode makes its runner with burstSyncs = 2. */
export const BURST = 2;

/**
 * Each run takes a token; there are at most two, and one comes back a minimum interval. So after a while of quiet two runs may follow
 * each other at once. Without a token a run waits until the minimum interval has passed since the last completion. A minimum
 * interval of 0 sets no limit. A run that failed brings the timer forward to the end of the retry interval; the end of the next run
 * sets it anew, whatever becomes of that.
 */
export class TokenBucketRunner implements SyncRunner {
  readonly #options: SyncRunnerOptions;
  /** Tokens in the bucket, each worth the minimum interval, as of #creditAt: exact in integers. */
  #creditNs: SimTime;
  #creditAt: SimTime;
  #lastRunNs = -Infinity;
  #running = true;
  #requested = false;
  #startPlanned = false;
  /** The only timer: the next run that is allowed when one waits for it, else the retry or the one that nobody asks for. */
  #timer: EventHandle | undefined;
  #waits = false;

  constructor(options: SyncRunnerOptions) {
    assert(options.maxIntervalNs >= options.minIntervalNs, 'the maximum interval is shorter than the minimum interval');
    this.#options = options;
    // kube-proxy does its first sync without the runner, so the bucket is full.
    this.#creditNs = BURST * options.minIntervalNs;
    this.#creditAt = options.simulation.now;
  }

  request(): boolean {
    if (this.#requested) return false;
    this.#requested = true;
    if (!this.#running && !this.#waits) this.#planStart();
    return true;
  }

  completed(at: SimTime = this.#options.simulation.now): void {
    this.#ended(at, this.#options.maxIntervalNs, 'interval');
  }

  failed(): void {
    const { simulation, maxIntervalNs, retryIntervalNs } = this.#options;
    if (retryIntervalNs < maxIntervalNs) this.#ended(simulation.now, retryIntervalNs, 'retry');
    else this.#ended(simulation.now, maxIntervalNs, 'interval');
  }

  #ended(at: SimTime, untilNextNs: SimTime, reason: RunReason): void {
    assert(this.#running, 'a sync is completed that was not begun');
    this.#running = false;
    this.#lastRunNs = at;
    this.#setTimer(at + untilNextNs, reason);
    if (this.#requested) this.#planStart();
  }

  /** At this instant, but after all changes that arrive in it. */
  #planStart(): void {
    if (this.#startPlanned) return;
    this.#startPlanned = true;
    const { simulation } = this.#options;
    simulation.at(simulation.now, PRIORITY_PROXIER_SYNC, () => {
      this.#startPlanned = false;
      if (!this.#running && this.#requested) this.#tryRun('requested');
    });
  }

  #tryRun(reason: RunReason): void {
    if (this.#takeToken()) {
      this.#running = true;
      this.#requested = false;
      this.#clearTimer();
      this.#options.run(reason);
      return;
    }
    const possible = this.#lastRunNs + this.#options.minIntervalNs;
    this.#setTimer(Math.max(possible, this.#options.simulation.now), reason);
    this.#waits = true;
  }

  #takeToken(): boolean {
    const { simulation, minIntervalNs } = this.#options;
    this.#creditNs = Math.min(BURST * minIntervalNs, this.#creditNs + simulation.now - this.#creditAt);
    this.#creditAt = simulation.now;
    if (this.#creditNs < minIntervalNs) return false;
    this.#creditNs -= minIntervalNs;
    return true;
  }

  #setTimer(at: SimTime, reason: RunReason): void {
    this.#clearTimer();
    this.#timer = this.#options.simulation.at(at, PRIORITY_PROXIER_SYNC, () => {
      this.#timer = undefined;
      this.#waits = false;
      this.#tryRun(reason);
    });
  }

  #clearTimer(): void {
    if (this.#timer !== undefined) this.#options.simulation.cancel(this.#timer);
    this.#timer = undefined;
    this.#waits = false;
  }
}
