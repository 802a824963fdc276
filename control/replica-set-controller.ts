/**
 * The ReplicaSet controller and the scheduler behind it: makes and deletes pods until a set has as many as it should
 * [pkg/controller/replicaset/replica_set.go manageReplicas].
 */
import type { SimTime } from '../model/time.ts';
import type { Deployment, WorkloadPlan } from '../model/workload.ts';
import type { Distribution } from '../sim/distributions.ts';
import type { RandomStream, Rng } from '../sim/rng.ts';
import type { Simulation } from '../sim/simulation.ts';
import { drawDelayNs } from './api-fanout.ts';
import type { EmitWorkloadEvent } from './control-event.ts';
import type { NodePool } from './node-pool.ts';
import { LONG_AGO, PodRecord } from './pod-store.ts';
import type { PodStore } from './pod-store.ts';
import { PRIORITY_CONTROLLER } from './priorities.ts';
import { BURST_REPLICAS, podsToDelete, slowStartBatches } from './replica-set.ts';

export interface ReplicaSet {
  /** 1 for the one that existed before the trial. */
  readonly revision: number;
  /** The pod-template-hash in the names of its pods. */
  readonly hash: string;
  replicas: number;
  /** Annotations of the last sizing: the Deployment's replicas, and those plus the surge. */
  desiredReplicas: number;
  maxReplicas: number;
  /** The controller is at work on it; what comes meanwhile waits. */
  isBusy: boolean;
}

/** The Deployment that a ReplicaSet belongs to. */
export interface SetOwner {
  readonly index: number;
  readonly spec: Deployment;
  readonly stream: RandomStream;
}

export interface ReplicaSetControllerOptions {
  readonly simulation: Simulation;
  readonly rng: Rng;
  readonly workload: WorkloadPlan;
  readonly store: PodStore;
  readonly pool: NodePool;
  /** How long the API server takes to make a pod; the pods of a batch are made side by side. */
  readonly apiCall: Distribution;
  readonly emit: EmitWorkloadEvent;
  /** The pod object has been created and has a node. */
  readonly onCreate: (pod: PodRecord) => void;
  /** The pod object has got its deletionTimestamp. */
  readonly onDelete: (pod: PodRecord) => void;
}

/** The alphabet of generated names [apimachinery util/rand alphanums]. */
const NAME_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';

export class ReplicaSetController {
  readonly #options: ReplicaSetControllerOptions;
  readonly #simulation: Simulation;
  readonly #rng: Rng;
  readonly #callStreams = new Map<string, RandomStream>();
  #pending: PodRecord[] = [];
  #nextAddress: number;

  constructor(options: ReplicaSetControllerOptions) {
    this.#options = options;
    this.#simulation = options.simulation;
    this.#rng = options.rng;
    this.#nextAddress = options.workload.firstFreePodAddress;
  }

  /** A pod that ran before the trial. It is in the store afterwards. */
  adopt(pod: WorkloadPlan['pods'][number], owner: SetOwner): PodRecord {
    const { namespace } = owner.spec;
    const uid = this.#uidOf(namespace, pod.name);
    const record = new PodRecord({ ...pod, namespace, revision: 1, uid, createdAt: LONG_AGO });
    this.#options.store.add(record);
    return record;
  }

  /** Pods of a set that nobody has deleted. */
  podsOf(owner: SetOwner, set: ReplicaSet): PodRecord[] {
    const pods = this.#options.store.ofDeployment(owner.index);
    return pods.filter((pod) => pod.revision === set.revision && pod.deletedAt === undefined);
  }

  /** Makes or deletes what is missing or too much. A set that is at work looks again when it has done. */
  sync(owner: SetOwner, set: ReplicaSet): void {
    if (set.isBusy) return;
    const pods = this.podsOf(owner, set);
    const missing = set.replicas - pods.length;
    if (missing > 0) {
      set.isBusy = true;
      this.#createBatches(owner, set, slowStartBatches(Math.min(missing, BURST_REPLICAS)));
    }
    if (missing >= 0) return;
    const related = this.#options.store.ofDeployment(owner.index).filter((pod) => pod.deletedAt === undefined);
    for (const pod of podsToDelete(pods, related, -missing, this.#simulation.now)) this.delete(pod);
  }

  /** `kubectl delete pod`, an eviction, or a set that has become smaller. */
  delete(pod: PodRecord): void {
    pod.deletedAt = this.#simulation.now;
    this.#options.emit('pod_terminating', `pod ${pod.name} terminating`, pod.deployment);
    const waiting = this.#pending.indexOf(pod);
    if (waiting >= 0) {
      // No kubelet knows of it, so nobody has to end it.
      this.#pending.splice(waiting, 1);
      pod.container = 'ended';
      pod.status = { ...pod.status, finished: true };
    }
    this.#options.onDelete(pod);
  }

  /** A node is open again: pods that none had taken go there. */
  placePending(): void {
    const waiting = this.#pending;
    this.#pending = [];
    for (const pod of waiting) this.#place(pod);
  }

  /** Each batch takes one API call; without time of its own all are made at once. */
  #createBatches(owner: SetOwner, set: ReplicaSet, batches: readonly number[]): void {
    for (let i = 0; i < batches.length; i++) {
      const create = (): void => {
        for (let made = 0; made < batches[i]; made++) this.#createPod(owner, set);
      };
      const callNs = drawDelayNs(this.#options.apiCall, this.#streamOf(owner, set));
      if (callNs === 0) {
        create();
        continue;
      }
      this.#simulation.at(this.#simulation.now + callNs, PRIORITY_CONTROLLER, () => {
        create();
        this.#createBatches(owner, set, batches.slice(i + 1));
      });
      return;
    }
    set.isBusy = false;
    this.sync(owner, set);
  }

  #createPod(owner: SetOwner, set: ReplicaSet): void {
    const { namespace, name: deployment } = owner.spec;
    const name = `${deployment}-${set.hash}-${randomName(owner.stream, 5)}`;
    const pod = new PodRecord({
      namespace,
      name,
      address: this.#nextAddress++,
      nodeName: '',
      deployment: owner.index,
      revision: set.revision,
      uid: this.#uidOf(namespace, name),
      createdAt: this.#simulation.now,
    });
    this.#options.store.add(pod);
    this.#place(pod);
  }

  #place(pod: PodRecord): void {
    const node = this.#options.pool.next();
    if (node === undefined) {
      if (pod.createdAt === this.#simulation.now) {
        this.#options.emit('pod_created', `pod ${pod.name} created, no node takes it`, pod.deployment);
      }
      this.#pending.push(pod);
      return;
    }
    pod.nodeName = node;
    const what = pod.createdAt === this.#simulation.now ? 'created' : 'placed';
    this.#options.emit('pod_created', `pod ${pod.name} ${what} on ${node}`, pod.deployment);
    this.#options.onCreate(pod);
  }

  #streamOf(owner: SetOwner, set: ReplicaSet): RandomStream {
    const name = `api-call/${owner.spec.namespace}/${owner.spec.name}/${set.revision}`;
    const known = this.#callStreams.get(name);
    if (known !== undefined) return known;
    const stream = this.#rng.stream(name);
    this.#callStreams.set(name, stream);
    return stream;
  }

  #uidOf(namespace: string, name: string): number {
    return this.#rng.stream(`uid/${namespace}/${name}`).nextUint32();
  }
}

/** A generated name, or a part of one. */
export function randomName(stream: RandomStream, length: number): string {
  let name = '';
  for (let i = 0; i < length; i++) name += NAME_LETTERS[stream.below(NAME_LETTERS.length)];
  return name;
}

/** Whether a pod has been ready for `minReadyNs` [pkg/api/v1/pod/util.go IsPodAvailable]. */
export function isAvailable(pod: PodRecord, minReadyNs: SimTime, now: SimTime): boolean {
  return pod.status.ready && pod.status.readyChangedAt + minReadyNs <= now;
}
