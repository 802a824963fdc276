/** Pods as the control plane knows them: the truth on the node, and the copy in the API server that lags behind it. */
import { assert } from '../sim/assert.ts';
import type { SimTime } from '../model/time.ts';

/** Start time and Ready transition of pods that ran before the trial: older than any delay that a probe can have. */
export const LONG_AGO: SimTime = -4e15;

/** What the API server holds of a pod's status, as its kubelet last sent it. */
export interface PodStatus {
  /** The pod has an address and its container has been started. */
  readonly running: boolean;
  readonly ready: boolean;
  /** lastTransitionTime of the Ready condition, with full resolution. */
  readonly readyChangedAt: SimTime;
  /** All containers have ended for good: phase Succeeded or Failed. */
  readonly finished: boolean;
}

/**
 * waiting: not started yet, or between two runs; running; stopping: the preStop hook runs, or the process works on
 * SIGTERM; ended: will not run again.
 */
export type ContainerState = 'waiting' | 'running' | 'stopping' | 'ended';

export class PodRecord {
  readonly namespace: string;
  readonly name: string;
  readonly address: number;
  /** Empty while no node takes it. */
  nodeName: string;
  /** Index into WorkloadPlan.deployments. */
  readonly deployment: number;
  /** Number of the ReplicaSet that owns it, from 1. */
  readonly revision: number;
  /** Stands for metadata.uid where Kubernetes breaks ties by it. */
  readonly uid: number;
  readonly createdAt: SimTime;

  container: ContainerState = 'waiting';
  /** The process accepts connections. */
  listening = false;
  /** Once true, the pod's network namespace exists until `container` is `ended`. */
  hasSandbox = false;
  startedAt: SimTime = LONG_AGO;
  restarts = 0;
  /** The Ready condition as the kubelet sees it. */
  ready = false;
  readyChangedAt: SimTime;

  /** deletionTimestamp minus the grace period; undefined while nobody has deleted the pod. */
  deletedAt: SimTime | undefined = undefined;
  status: PodStatus;

  constructor(identity: PodIdentity) {
    this.namespace = identity.namespace;
    this.name = identity.name;
    this.address = identity.address;
    this.nodeName = identity.nodeName;
    this.deployment = identity.deployment;
    this.revision = identity.revision;
    this.uid = identity.uid;
    this.createdAt = identity.createdAt;
    this.readyChangedAt = identity.createdAt;
    this.status = { running: false, ready: false, readyChangedAt: identity.createdAt, finished: false };
  }
}

export interface PodIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly address: number;
  readonly nodeName: string;
  readonly deployment: number;
  readonly revision: number;
  readonly uid: number;
  readonly createdAt: SimTime;
}

/** Pods of all Deployments, in order of creation. Finished pods leave the lists; their addresses stay known and are never given again. */
export class PodStore {
  readonly #byDeployment: PodRecord[][];
  readonly #byAddress = new Map<number, PodRecord>();

  constructor(deployments: number) {
    this.#byDeployment = Array.from({ length: deployments }, () => []);
  }

  add(pod: PodRecord): void {
    assert(!this.#byAddress.has(pod.address), `two pods have one address: ${pod.name} and another`);
    this.#byAddress.set(pod.address, pod);
    this.ofDeployment(pod.deployment).push(pod);
  }

  /** Takes a finished pod out of the lists of objects. */
  remove(pod: PodRecord): void {
    const pods = this.ofDeployment(pod.deployment);
    const index = pods.indexOf(pod);
    assert(index >= 0, `pod ${pod.name} is removed twice`);
    pods.splice(index, 1);
  }

  ofDeployment(deployment: number): PodRecord[] {
    const pods = this.#byDeployment[deployment];
    assert(pods !== undefined, `there is no Deployment number ${deployment}`);
    return pods;
  }

  /** By Deployment, and within one in order of creation. */
  all(): PodRecord[] {
    return this.#byDeployment.flat();
  }

  /** The pod that has or had this address; undefined when no Deployment's pod ever did. */
  atAddress(address: number): PodRecord | undefined {
    // Asked for every packet of a client; most trials have no Deployment.
    return this.#byAddress.size === 0 ? undefined : this.#byAddress.get(address);
  }
}
