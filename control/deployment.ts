/**
 * The Deployment controller: rollouts and scaling, one step a reconcile [pkg/controller/deployment]. Its own API calls take
 * no simulated time; what it waits for is pods that become available or, under strategy Recreate, old ones that end.
 */
import { NS_PER_S } from '../model/time.ts';
import type { Deployment, WorkloadPlan } from '../model/workload.ts';
import { assert } from '../sim/assert.ts';
import type { Rng } from '../sim/rng.ts';
import type { Simulation } from '../sim/simulation.ts';
import type { EmitWorkloadEvent } from './control-event.ts';
import type { PodRecord, PodStore } from './pod-store.ts';
import { PRIORITY_CONTROLLER } from './priorities.ts';
import { isAvailable, randomName } from './replica-set-controller.ts';
import type { ReplicaSet, ReplicaSetController, SetOwner } from './replica-set-controller.ts';
import { nextRecreateStep, nextRolloutStep, resolveFenceposts, scaledReplicas } from './rolling-update.ts';
import { RolloutProgress } from './rollout-progress.ts';
import type { RolloutCounts } from './rollout-progress.ts';

export interface DeploymentControllerOptions {
  readonly simulation: Simulation;
  readonly rng: Rng;
  readonly workload: WorkloadPlan;
  readonly store: PodStore;
  readonly replicaSets: ReplicaSetController;
  readonly emit: EmitWorkloadEvent;
}

interface DeploymentState extends SetOwner {
  replicas: number;
  /** Oldest first; the last has the current template. */
  readonly sets: ReplicaSet[];
  readonly progress: RolloutProgress;
  isRollingOut: boolean;
  reconcilePlanned: boolean;
}

export class DeploymentController {
  readonly #options: DeploymentControllerOptions;
  readonly #simulation: Simulation;
  readonly #rng: Rng;
  readonly #states: DeploymentState[];
  #deadlinesExceeded = 0;

  constructor(options: DeploymentControllerOptions) {
    this.#options = options;
    this.#simulation = options.simulation;
    this.#rng = options.rng;
    const { deployments, pods } = options.workload;
    const running = new Int32Array(deployments.length);
    for (const pod of pods) running[pod.deployment]++;
    this.#states = deployments.map((spec, index) => this.#initialState(spec, index, running[index]));
  }

  /** How often a rollout was called failed for want of progress. */
  get deadlinesExceeded(): number {
    return this.#deadlinesExceeded;
  }

  /** Pods that ran before the trial, in the order of the plan. They are in the store afterwards. */
  adoptPods(): PodRecord[] {
    return this.#options.workload.pods.map((pod) => this.#options.replicaSets.adopt(pod, this.#state(pod.deployment)));
  }

  /** `kubectl rollout restart`: a new template, hence a new ReplicaSet. */
  rollOut(deployment: number): void {
    const state = this.#state(deployment);
    state.sets.push({
      revision: state.sets.length + 1,
      hash: randomName(state.stream, 10),
      replicas: 0,
      isBusy: false,
      ...sizing(state),
    });
    state.isRollingOut = true;
    state.progress.begin(this.#countsOf(state));
    this.#planReconcile(state);
  }

  scale(deployment: number, replicas: number): void {
    const state = this.#state(deployment);
    state.replicas = replicas;
    this.#planReconcile(state);
  }

  /** The API server has news of a pod. */
  podChanged(pod: PodRecord): void {
    const state = this.#state(pod.deployment);
    this.#planReconcile(state);
    if (pod.status.ready && state.spec.minReadySeconds > 0 && pod.deletedAt === undefined) {
      const availableAt = pod.status.readyChangedAt + state.spec.minReadySeconds * NS_PER_S;
      if (availableAt > this.#simulation.now) {
        this.#simulation.at(availableAt, PRIORITY_CONTROLLER, () => this.#planReconcile(state));
      }
    }
  }

  /** Pods of a Deployment that are available and not being deleted, and all that are not being deleted. */
  counts(deployment: number): { readonly available: number; readonly total: number } {
    const pods = this.#options.store.ofDeployment(deployment).filter((pod) => pod.deletedAt === undefined);
    const state = this.#state(deployment);
    return { available: this.#countAvailable(state, pods), total: pods.length };
  }

  #initialState(spec: Deployment, index: number, running: number): DeploymentState {
    const stream = this.#rng.stream(`${spec.namespace}/${spec.name}`);
    const state: DeploymentState = {
      index,
      spec,
      stream,
      replicas: spec.replicas,
      sets: [],
      progress: new RolloutProgress(this.#simulation, spec.progressDeadlineSeconds, () => {
        this.#deadlinesExceeded++;
        const text = `rollout of deployment ${spec.name} has exceeded its progress deadline`;
        this.#options.emit('progress_deadline_exceeded', text, index);
      }),
      isRollingOut: false,
      reconcilePlanned: false,
    };
    const hash = randomName(stream, 10);
    state.sets.push({ revision: 1, hash, replicas: running, isBusy: false, ...sizing(state) });
    return state;
  }

  #planReconcile(state: DeploymentState): void {
    if (state.reconcilePlanned) return;
    state.reconcilePlanned = true;
    this.#simulation.at(this.#simulation.now, PRIORITY_CONTROLLER, () => {
      state.reconcilePlanned = false;
      this.#reconcile(state);
    });
  }

  /** Does one thing, and plans the next look when it did something [deployment_controller.go syncDeployment]. */
  #reconcile(state: DeploymentState): void {
    // A set whose pods were taken away makes new ones, whatever the Deployment does.
    for (const set of state.sets) this.#options.replicaSets.sync(state, set);
    if (state.isRollingOut) state.progress.observe(this.#countsOf(state));
    const isScaling = state.sets.some((set) => set.replicas > 0 && set.desiredReplicas !== state.replicas);
    const sizes = isScaling ? this.#scalingStep(state) : this.#rolloutStep(state);
    if (sizes !== undefined) {
      sizes.forEach((replicas, i) => this.#resize(state, state.sets[i], replicas));
      this.#planReconcile(state);
      return;
    }
    if (state.isRollingOut && this.#isComplete(state)) {
      state.isRollingOut = false;
      state.progress.end();
      this.#options.emit('rollout_finished', `rollout of deployment ${state.spec.name} finished`, state.index);
    }
  }

  #scalingStep(state: DeploymentState): number[] | undefined {
    const { surge } = fenceposts(state);
    const views = state.sets.map((set) => ({ ...set, available: this.#availableOf(state, set) }));
    const sizes = scaledReplicas(views, state.replicas, surge);
    const isChanged = sizes.some((replicas, i) => replicas !== state.sets[i].replicas);
    for (const set of state.sets) Object.assign(set, sizing(state));
    return isChanged ? sizes : undefined;
  }

  #rolloutStep(state: DeploymentState): number[] | undefined {
    if (state.spec.strategy === 'Recreate') return this.#recreateStep(state);
    const { surge, unavailable } = fenceposts(state);
    const views = state.sets.map((set) => ({ replicas: set.replicas, available: this.#availableOf(state, set) }));
    const step = nextRolloutStep({
      desired: state.replicas,
      maxSurge: surge,
      maxUnavailable: unavailable,
      newSet: views[views.length - 1],
      oldSets: views.slice(0, -1),
    });
    return step === undefined ? undefined : [...step.oldReplicas, step.newReplicas];
  }

  #recreateStep(state: DeploymentState): number[] | undefined {
    const newest = state.sets[state.sets.length - 1];
    const pods = this.#options.store.ofDeployment(state.index);
    const step = nextRecreateStep({
      desired: state.replicas,
      newReplicas: newest.replicas,
      oldReplicas: state.sets.slice(0, -1).map((set) => set.replicas),
      oldPodsRemain: pods.some((pod) => pod.revision !== newest.revision),
    });
    return step === undefined ? undefined : [...step.oldReplicas, step.newReplicas];
  }

  #resize(state: DeploymentState, set: ReplicaSet, replicas: number): void {
    set.replicas = replicas;
    Object.assign(set, sizing(state));
    this.#options.replicaSets.sync(state, set);
  }

  #availableOf(state: DeploymentState, set: ReplicaSet): number {
    return this.#countAvailable(state, this.#options.replicaSets.podsOf(state, set));
  }

  #countAvailable(state: DeploymentState, pods: readonly PodRecord[]): number {
    const minReadyNs = state.spec.minReadySeconds * NS_PER_S;
    return pods.filter((pod) => isAvailable(pod, minReadyNs, this.#simulation.now)).length;
  }

  /** [deployment/sync.go calculateStatus] */
  #countsOf(state: DeploymentState): RolloutCounts {
    const { revision } = state.sets[state.sets.length - 1];
    const pods = this.#options.store.ofDeployment(state.index).filter((pod) => pod.deletedAt === undefined);
    const updated = pods.filter((pod) => pod.revision === revision).length;
    const ready = pods.filter((pod) => pod.status.ready).length;
    return { updated, old: pods.length - updated, ready, available: this.#countAvailable(state, pods) };
  }

  /** [deployment_util.go DeploymentComplete] */
  #isComplete(state: DeploymentState): boolean {
    const newest = state.sets[state.sets.length - 1];
    const others = state.sets.slice(0, -1);
    return this.#availableOf(state, newest) === state.replicas && others.every((set) => set.replicas === 0);
  }

  #state(deployment: number): DeploymentState {
    const state = this.#states[deployment];
    assert(state !== undefined, `there is no Deployment number ${deployment}`);
    return state;
  }
}

function fenceposts(state: DeploymentState): { surge: number; unavailable: number } {
  return resolveFenceposts(state.spec.maxSurge, state.spec.maxUnavailable, state.replicas);
}

function sizing(state: DeploymentState): { desiredReplicas: number; maxReplicas: number } {
  return { desiredReplicas: state.replicas, maxReplicas: state.replicas + fenceposts(state).surge };
}
