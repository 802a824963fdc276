/** Pods that are deleted at random times, as of a cluster in which something is always on the move. */
import type { SimTime } from '../model/time.ts';
import type { WorkloadPlan } from '../model/workload.ts';
import { exponential } from '../sim/distributions.ts';
import type { Distribution } from '../sim/distributions.ts';
import type { RandomStream } from '../sim/rng.ts';
import type { Simulation } from '../sim/simulation.ts';
import type { PodRecord, PodStore } from './pod-store.ts';
import { PRIORITY_CHURN } from './priorities.ts';

export interface PodChurnOptions {
  readonly simulation: Simulation;
  readonly stream: RandomStream;
  readonly workload: WorkloadPlan;
  readonly store: PodStore;
  readonly perSecond: number;
  /** The last instant at which a pod may be deleted; Infinity for no end. */
  readonly until: number;
  readonly onDelete: (pod: PodRecord) => void;
}

export class PodChurn {
  readonly #options: PodChurnOptions;
  readonly #gap: Distribution;
  /** Replicas of the Deployments up to each one, as the plan has them. */
  readonly #upTo: Float64Array;

  constructor(options: PodChurnOptions) {
    this.#options = options;
    this.#gap = exponential(1e9 / options.perSecond);
    let sum = 0;
    this.#upTo = Float64Array.from(options.workload.deployments, ({ replicas }) => (sum += replicas));
  }

  /** Plans the next deletion, which plans the one after it. */
  start(): void {
    const { simulation, stream, until } = this.#options;
    const at: SimTime = simulation.now + Math.floor(this.#gap.next(stream) + 0.5);
    if (at > until) return;
    simulation.at(at, PRIORITY_CHURN, () => {
      const pod = this.#draw();
      if (pod !== undefined) this.#options.onDelete(pod);
      this.start();
    });
  }

  /** A Deployment in proportion to its replicas, then one of its running pods; undefined when it has none just now. */
  #draw(): PodRecord | undefined {
    const { stream, store } = this.#options;
    const upTo = this.#upTo;
    const total = upTo.length === 0 ? 0 : upTo[upTo.length - 1];
    if (total === 0) return undefined;
    const drawn = stream.below(total);
    const choice = stream.nextFloat();
    let low = 0;
    for (let high = upTo.length - 1; low < high;) {
      const middle = (low + high) >>> 1;
      if (upTo[middle] > drawn) high = middle;
      else low = middle + 1;
    }
    const running = store.ofDeployment(low).filter((pod) => pod.container === 'running' && pod.deletedAt === undefined);
    return running[Math.floor(choice * running.length)];
  }
}
