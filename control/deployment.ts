/**
 * The Deployment controller and the ReplicaSets under it: rolling updates and scaling, one step a reconcile
 * [pkg/controller/deployment, pkg/controller/replicaset]. Their own API calls take no simulated time; what they wait for
 * is pods that become available.
 */
import { NS_PER_S } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import type { Deployment, WorkloadPlan } from '../model/workload.ts';
import { assert } from '../sim/assert.ts';
import type { RandomStream, Rng } from '../sim/rng.ts';
import type { Simulation } from '../sim/simulation.ts';
import type { EmitWorkloadEvent } from './control-event.ts';
import { LONG_AGO, PodRecord } from './pod-store.ts';
import type { PodStore } from './pod-store.ts';
import { PRIORITY_CONTROLLER } from './priorities.ts';
import { podsToDelete } from './replica-set.ts';
import { nextRolloutStep, resolveFenceposts, scaledReplicas } from './rolling-update.ts';

export interface DeploymentControllerOptions {
  readonly simulation: Simulation;
  readonly rng: Rng;
  readonly workload: WorkloadPlan;
  readonly store: PodStore;
  readonly emit: EmitWorkloadEvent;
  /** The pod object has been created. */
  readonly onCreate: (pod: PodRecord) => void;
  /** The pod object has got its deletionTimestamp. */
  readonly onDelete: (pod: PodRecord) => void;
}

interface ReplicaSet {
  /** 1 for the one that existed before the trial. */
  readonly revision: number;
  /** The pod-template-hash in the names of its pods. */
  readonly hash: string;
  replicas: number;
  /** Annotations of the last sizing: the Deployment's replicas, and those plus the surge. */
  desiredReplicas: number;
  maxReplicas: number;
}

interface DeploymentState {
  readonly index: number;
  readonly spec: Deployment;
  readonly stream: RandomStream;
  replicas: number;
  /** Oldest first; the last has the current template. */
  readonly sets: ReplicaSet[];
  isRollingOut: boolean;
  reconcilePlanned: boolean;
}

/** The alphabet of generated names [apimachinery util/rand alphanums]. */
const NAME_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';

export class DeploymentController {
  readonly #options: DeploymentControllerOptions;
  readonly #simulation: Simulation;
  readonly #rng: Rng;
  readonly #states: DeploymentState[];
  #nextAddress: number;
  #nextNode = 0;

  constructor(options: DeploymentControllerOptions) {
    this.#options = options;
    this.#simulation = options.simulation;
    this.#rng = options.rng.sub('deployment');
    this.#nextAddress = options.workload.firstFreePodAddress;
    this.#states = options.workload.deployments.map((spec, index) => this.#initialState(spec, index));
  }

  /** Pods that ran before the trial, in the order of the plan. They are in the store afterwards. */
  adoptPods(): PodRecord[] {
    return this.#options.workload.pods.map((pod) => {
      const state = this.#state(pod.deployment);
      const record = new PodRecord({
        ...pod,
        namespace: state.spec.namespace,
        revision: 1,
        uid: this.#uidOf(state, pod.name),
        createdAt: LONG_AGO,
      });
      this.#options.store.add(record);
      return record;
    });
  }

  /** `kubectl rollout restart`: a new template, hence a new ReplicaSet. */
  rollOut(deployment: number): void {
    const state = this.#state(deployment);
    state.sets.push({
      revision: state.sets.length + 1,
      hash: randomName(state.stream, 10),
      replicas: 0,
      ...sizing(state),
    });
    state.isRollingOut = true;
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
    return { available: pods.filter((pod) => this.#isAvailable(state, pod)).length, total: pods.length };
  }

  #initialState(spec: Deployment, index: number): DeploymentState {
    const running = this.#options.workload.pods.filter((pod) => pod.deployment === index).length;
    const stream = this.#rng.stream(`${spec.namespace}/${spec.name}`);
    const state: DeploymentState = {
      index,
      spec,
      stream,
      replicas: spec.replicas,
      sets: [],
      isRollingOut: false,
      reconcilePlanned: false,
    };
    state.sets.push({ revision: 1, hash: randomName(stream, 10), replicas: running, ...sizing(state) });
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
    const isScaling = state.sets.some((set) => set.replicas > 0 && set.desiredReplicas !== state.replicas);
    const sizes = isScaling ? this.#scalingStep(state) : this.#rolloutStep(state);
    if (sizes !== undefined) {
      sizes.forEach((replicas, i) => this.#resize(state, state.sets[i], replicas));
      this.#planReconcile(state);
      return;
    }
    if (state.isRollingOut && this.#isComplete(state)) {
      state.isRollingOut = false;
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

  /** [replica_set.go manageReplicas] */
  #resize(state: DeploymentState, set: ReplicaSet, replicas: number): void {
    set.replicas = replicas;
    Object.assign(set, sizing(state));
    const pods = this.#podsOf(state, set);
    for (let i = pods.length; i < replicas; i++) this.#createPod(state, set);
    if (pods.length <= replicas) return;
    const related = this.#options.store.ofDeployment(state.index).filter((pod) => pod.deletedAt === undefined);
    for (const pod of podsToDelete(pods, related, pods.length - replicas, this.#simulation.now)) {
      pod.deletedAt = this.#simulation.now;
      this.#options.emit('pod_terminating', `pod ${pod.name} terminating`, state.index);
      this.#options.onDelete(pod);
    }
  }

  /** The next free address, and the nodes in turn: a scheduler that only spreads. */
  #createPod(state: DeploymentState, set: ReplicaSet): void {
    const { nodes } = this.#options.workload;
    assert(nodes.length > 0, 'a cluster without nodes cannot start pods');
    const name = `${state.spec.name}-${set.hash}-${randomName(state.stream, 5)}`;
    const pod = new PodRecord({
      namespace: state.spec.namespace,
      name,
      address: this.#nextAddress++,
      nodeName: nodes[this.#nextNode++ % nodes.length].name,
      deployment: state.index,
      revision: set.revision,
      uid: this.#uidOf(state, name),
      createdAt: this.#simulation.now,
    });
    this.#options.store.add(pod);
    this.#options.emit('pod_created', `pod ${pod.name} created on ${pod.nodeName}`, state.index);
    this.#options.onCreate(pod);
  }

  #uidOf(state: DeploymentState, name: string): number {
    return this.#rng.stream(`uid/${state.spec.namespace}/${name}`).nextUint32();
  }

  #podsOf(state: DeploymentState, set: ReplicaSet): PodRecord[] {
    const pods = this.#options.store.ofDeployment(state.index);
    return pods.filter((pod) => pod.revision === set.revision && pod.deletedAt === undefined);
  }

  #availableOf(state: DeploymentState, set: ReplicaSet): number {
    return this.#podsOf(state, set).filter((pod) => this.#isAvailable(state, pod)).length;
  }

  /** [pkg/api/v1/pod/util.go IsPodAvailable] */
  #isAvailable(state: DeploymentState, pod: PodRecord): boolean {
    const minReadyNs: SimTime = state.spec.minReadySeconds * NS_PER_S;
    return pod.status.ready && pod.status.readyChangedAt + minReadyNs <= this.#simulation.now;
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

function randomName(stream: RandomStream, length: number): string {
  let name = '';
  for (let i = 0; i < length; i++) name += NAME_LETTERS[stream.below(NAME_LETTERS.length)];
  return name;
}
