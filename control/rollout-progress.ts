/** Whether a rollout gets on: progressDeadlineSeconds of a Deployment [pkg/controller/deployment/progress.go, deployment_util.go DeploymentTimedOut]. */
import { NS_PER_S } from '../model/time.ts';
import type { EventHandle } from '../sim/event-queue.ts';
import type { Simulation } from '../sim/simulation.ts';
import { PRIORITY_CONTROLLER } from './priorities.ts';

/** What the Deployment's status counts; terminating pods are no replicas. */
export interface RolloutCounts {
  readonly updated: number;
  readonly old: number;
  readonly ready: number;
  readonly available: number;
}

/** The controller looks a second after the deadline, as times in the API have whole seconds [requeueStuckDeployment]. */
const LOOK_LATER_NS = NS_PER_S;

export class RolloutProgress {
  readonly #simulation: Simulation;
  readonly #deadlineSeconds: number;
  readonly #onExceeded: () => void;
  #counts: RolloutCounts | undefined;
  #look: EventHandle | undefined;

  constructor(simulation: Simulation, deadlineSeconds: number, onExceeded: () => void) {
    this.#simulation = simulation;
    this.#deadlineSeconds = deadlineSeconds;
    this.#onExceeded = onExceeded;
  }

  /** A rollout begins: the making of the new ReplicaSet is progress. */
  begin(counts: RolloutCounts): void {
    this.#counts = counts;
    this.#wait();
  }

  /** More new, ready or available pods, or fewer old ones, are progress [DeploymentProgressing]; it also ends a state of failure. */
  observe(counts: RolloutCounts): void {
    const before = this.#counts;
    if (before === undefined) return;
    this.#counts = counts;
    const isProgress =
      counts.updated > before.updated ||
      counts.old < before.old ||
      counts.ready > before.ready ||
      counts.available > before.available;
    if (isProgress) this.#wait();
  }

  /** The rollout is complete. */
  end(): void {
    this.#counts = undefined;
    if (this.#look !== undefined) this.#simulation.cancel(this.#look);
  }

  #wait(): void {
    if (this.#look !== undefined) this.#simulation.cancel(this.#look);
    const at = this.#simulation.now + this.#deadlineSeconds * NS_PER_S + LOOK_LATER_NS;
    this.#look = this.#simulation.at(at, PRIORITY_CONTROLLER, this.#onExceeded);
  }
}
