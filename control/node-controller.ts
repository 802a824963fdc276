/**
 * What happens to whole nodes: `kubectl drain`, and a kubelet that is not heard of any more
 * [kubectl/pkg/drain; pkg/controller/nodelifecycle/node_lifecycle_controller.go monitorNodeHealth; pkg/controller/tainteviction].
 */
import type { ChurnEvent } from '../model/churn.ts';
import { NS_PER_S } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import type { Rng } from '../sim/rng.ts';
import type { Simulation } from '../sim/simulation.ts';
import type { EmitEvent, EmitWorkloadEvent } from './control-event.ts';
import type { Kubelet } from './kubelet.ts';
import type { NodePool } from './node-pool.ts';
import type { PodRecord, PodStore } from './pod-store.ts';
import { PRIORITY_CHURN, PRIORITY_CONTROLLER } from './priorities.ts';
import type { ReplicaSetController } from './replica-set-controller.ts';

/** A kubelet renews its Lease a quarter of the lease's 40 s apart [pkg/kubelet/kubelet.go nodeLeaseRenewIntervalFraction]. */
const LEASE_RENEWAL_NS = 10 * NS_PER_S;
/** The controller looks at all nodes this often [nodelifecycle config NodeMonitorPeriod]. */
const MONITOR_PERIOD_NS = 5 * NS_PER_S;

type NodeDrain = Extract<ChurnEvent, { kind: 'node_drain' }>;
type NodeFailure = Extract<ChurnEvent, { kind: 'node_failure' }>;

export interface NodeControllerOptions {
  readonly simulation: Simulation;
  readonly rng: Rng;
  readonly store: PodStore;
  readonly pool: NodePool;
  readonly kubelet: Kubelet;
  readonly replicaSets: ReplicaSetController;
  readonly emit: EmitEvent;
  readonly emitOfWorkload: EmitWorkloadEvent;
  /** The API server has news of a pod. */
  readonly onPodChanged: (pod: PodRecord) => void;
}

export class NodeController {
  readonly #options: NodeControllerOptions;
  readonly #simulation: Simulation;
  readonly #rng: Rng;
  /** When each node that is not ready was called so: the age of its taint. */
  readonly #notReady = new Map<string, SimTime>();
  /** Failures so far of each node that has failed; the last one is the one that counts. */
  readonly #failures = new Map<string, number>();
  readonly #down = new Set<string>();

  constructor(options: NodeControllerOptions) {
    this.#options = options;
    this.#simulation = options.simulation;
    this.#rng = options.rng.sub('node');
  }

  /** Cordons the node and evicts its pods by name, whatever that leaves of a Deployment: there are no disruption budgets. */
  drain({ node, intervalNs, durationNs }: NodeDrain): void {
    const { pool, emit, replicaSets } = this.#options;
    const now = this.#simulation.now;
    pool.close(node, 'cordoned');
    emit('node_cordoned', `node ${node} cordoned`);
    this.#podsOn(node)
      .sort((a, b) => compareText(a.namespace, b.namespace) || compareText(a.name, b.name))
      .forEach((pod, i) => {
        this.#simulation.at(now + i * intervalNs, PRIORITY_CHURN, () => this.#evict(pod));
      });
    if (durationNs === undefined) return;
    this.#simulation.at(now + durationNs, PRIORITY_CHURN, () => {
      pool.open(node, 'cordoned');
      emit('node_open', `node ${node} uncordoned`);
      replicaSets.placePending();
    });
  }

  /** The kubelet falls silent, the node controller notices, pods are called not ready, and evicted when they have tolerated it for long enough. */
  fail(failure: NodeFailure): void {
    const { node, what, durationNs } = failure;
    const number = (this.#failures.get(node) ?? 0) + 1;
    this.#failures.set(node, number);
    this.#down.add(node);
    const how = what === 'machine' ? 'failed' : 'lost its kubelet';
    this.#options.emit('node_failed', `node ${node} ${how}`);
    this.#options.kubelet.nodeFailed(node, what === 'machine');
    const isStillDown = (): boolean => this.#down.has(node) && this.#failures.get(node) === number;
    this.#simulation.at(this.#noticedAt(failure), PRIORITY_CONTROLLER, () => {
      if (!isStillDown()) return;
      const isTainted = this.#notReady.has(node);
      this.#markNotReady(node);
      // A node that failed again before it was seen to be ready keeps its taint, and the time that has passed.
      if (!isTainted) this.#planEviction(node, failure.evictionNs);
    });
    if (durationNs === undefined) return;
    this.#simulation.at(this.#simulation.now + durationNs, PRIORITY_CHURN, () => {
      if (isStillDown()) this.#return(node);
    });
  }

  /** The taint goes with the first look that finds the node ready again. */
  #planEviction(node: string, evictionNs: SimTime): void {
    const since = this.#simulation.now;
    this.#simulation.at(since + evictionNs, PRIORITY_CONTROLLER, () => {
      if (this.#notReady.get(node) !== since) return;
      for (const pod of this.#podsOn(node)) this.#evict(pod);
    });
  }

  #return(node: string): void {
    const { emit, kubelet, pool, replicaSets } = this.#options;
    this.#down.delete(node);
    emit('node_returned', `node ${node} returned`);
    kubelet.nodeReturned(node);
    if (!this.#notReady.has(node)) return;
    this.#simulation.at(this.#nextLook(node, this.#simulation.now), PRIORITY_CONTROLLER, () => {
      if (this.#down.has(node) || !this.#notReady.delete(node)) return;
      pool.open(node, 'not_ready');
      emit('node_ready', `node ${node} ready`);
      replicaSets.placePending();
    });
  }

  /** The first look that finds the grace period over, counted from the look that saw the last renewal. */
  #noticedAt({ node, graceNs }: NodeFailure): SimTime {
    const now = this.#simulation.now;
    const phase = this.#phase('lease', node, LEASE_RENEWAL_NS);
    const lastRenewal = phase + Math.floor((now - phase) / LEASE_RENEWAL_NS) * LEASE_RENEWAL_NS;
    return this.#nextLook(node, Math.max(now, this.#nextLook(node, lastRenewal) + graceNs));
  }

  #nextLook(node: string, from: SimTime): SimTime {
    const phase = this.#phase('monitor', node, MONITOR_PERIOD_NS);
    return phase + Math.ceil((from - phase) / MONITOR_PERIOD_NS) * MONITOR_PERIOD_NS;
  }

  #phase(what: string, node: string, periodNs: SimTime): SimTime {
    return Math.floor(this.#rng.stream(`${what}/${node}`).nextFloat() * periodNs);
  }

  /** The Ready conditions of its pods are set in the API server, not by their kubelet [controller_utils.go MarkPodsNotReady]. */
  #markNotReady(node: string): void {
    const { emit, emitOfWorkload, pool, onPodChanged } = this.#options;
    if (!this.#notReady.has(node)) this.#notReady.set(node, this.#simulation.now);
    pool.close(node, 'not_ready');
    emit('node_not_ready', `node ${node} not ready`);
    for (const pod of this.#podsOn(node)) {
      if (!pod.status.ready) continue;
      pod.status = { ...pod.status, ready: false, readyChangedAt: this.#simulation.now };
      emitOfWorkload('pod_not_ready', `pod ${pod.name} not ready: its node is not`, pod.deployment);
      onPodChanged(pod);
    }
  }

  #evict(pod: PodRecord): void {
    if (pod.deletedAt !== undefined) return;
    this.#options.emitOfWorkload('pod_evicted', `pod ${pod.name} evicted from ${pod.nodeName}`, pod.deployment);
    this.#options.replicaSets.delete(pod);
  }

  #podsOn(node: string): PodRecord[] {
    return this.#options.store.all().filter((pod) => pod.nodeName === node);
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
