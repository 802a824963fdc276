/** The runner of kube-proxy's new generation, v1.34 and later [pkg/proxy/runner/bounded_frequency_runner.go Loop]. */
import type { SimTime } from '../model/time.ts';
import { assert } from '../sim/assert.ts';
import type { EventHandle } from '../sim/event-queue.ts';
import { PRIORITY_PROXIER_SYNC } from './priorities.ts';
import type { SyncRunner, SyncRunnerOptions } from './sync-runner.ts';

/**
 * After each run the runner rests for the minimum interval; requests of that time, or of the run itself, are one request,
 * served when the rest is over. There is no burst.
 */
export class CompletionRunner implements SyncRunner {
  readonly #options: SyncRunnerOptions;
  #state: 'running' | 'resting' | 'ready' = 'running';
  #requested = false;
  #startPlanned = false;
  #interval: EventHandle | undefined;

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

  completed(at: SimTime = this.#options.simulation.now): void {
    assert(this.#state === 'running', 'a sync is completed that was not begun');
    const { simulation, minIntervalNs, maxIntervalNs } = this.#options;
    this.#state = 'resting';
    simulation.at(Math.max(simulation.now, at + minIntervalNs), PRIORITY_PROXIER_SYNC, () => {
      this.#state = 'ready';
      if (this.#requested) this.#start('requested');
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

  #start(reason: 'requested' | 'interval'): void {
    this.#state = 'running';
    this.#requested = false;
    if (this.#interval !== undefined) this.#options.simulation.cancel(this.#interval);
    this.#interval = undefined;
    this.#options.run(reason);
  }
}
