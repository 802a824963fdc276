/** The runner of kube-proxy's new generation, v1.34 and later [pkg/proxy/runner/bounded_frequency_runner.go Loop]. */
import type { SimTime } from '../model/time.ts';
import { assert } from '../sim/assert.ts';
import type { EventHandle } from '../sim/event-queue.ts';
import { PRIORITY_PROXIER_SYNC } from './priorities.ts';
import type { RunReason, SyncRunner, SyncRunnerOptions } from './sync-runner.ts';

/**
 * After each run the runner rests for the minimum interval; requests of that time, or of the run itself, are one request,
 * served when the rest is over. There is no burst. After a run that failed there is another when the retry interval is over; any
 * run before that, if it succeeds, stops the retry, and if it fails, counts from its own end.
 */
export class CompletionRunner implements SyncRunner {
  readonly #options: SyncRunnerOptions;
  #state: 'running' | 'resting' | 'ready' = 'running';
  #requested = false;
  #startPlanned = false;
  #interval: EventHandle | undefined;
  #retry: EventHandle | undefined;
  /** The retry interval has ended in a rest. */
  #retryDue = false;

  constructor(options: SyncRunnerOptions) {
    assert(options.maxIntervalNs >= options.minIntervalNs, 'the maximum interval is shorter than the minimum interval');
    this.#options = options;
  }

  request(): boolean {
    if (this.#requested) return false;
    this.#requested = true;
    if (this.#state === 'ready') this.#planStart();
    return true;
  }

  failed(): void {
    this.completed();
    const { simulation, retryIntervalNs } = this.#options;
    this.#retry = simulation.at(simulation.now + retryIntervalNs, PRIORITY_PROXIER_SYNC, () => {
      this.#retry = undefined;
      if (this.#state === 'ready') this.#start('retry');
      else this.#retryDue = true;
    });
  }

  completed(at: SimTime = this.#options.simulation.now): void {
    assert(this.#state === 'running', 'a sync is completed that was not begun');
    const { simulation, minIntervalNs, maxIntervalNs } = this.#options;
    this.#state = 'resting';
    simulation.at(Math.max(simulation.now, at + minIntervalNs), PRIORITY_PROXIER_SYNC, () => {
      this.#state = 'ready';
      if (this.#requested) this.#start('requested');
      else if (this.#retryDue) this.#start('retry');
    });
    this.#interval = simulation.at(at + maxIntervalNs, PRIORITY_PROXIER_SYNC, () => {
      this.#interval = undefined;
      if (this.#state === 'ready') this.#start('interval');
    });
  }

  /** At this instant, but after all changes that arrive in it. */
  #planStart(): void {
    if (this.#startPlanned) return;
    this.#startPlanned = true;
    const { simulation } = this.#options;
    simulation.at(simulation.now, PRIORITY_PROXIER_SYNC, () => {
      this.#startPlanned = false;
      if (this.#state === 'ready') this.#start('requested');
    });
  }

  #start(reason: RunReason): void {
    this.#state = 'running';
    this.#requested = false;
    this.#retryDue = false;
    for (const timer of [this.#interval, this.#retry]) {
      if (timer !== undefined) this.#options.simulation.cancel(timer);
    }
    this.#interval = undefined;
    this.#retry = undefined;
    this.#options.run(reason);
  }
}
