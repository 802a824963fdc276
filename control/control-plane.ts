/** The control plane of a cluster as one node sees it: wires Deployments, kubelets, EndpointSlices and kube-proxy together and replays a churn plan. */
import type { ChurnEvent, ChurnPlan } from '../model/churn.ts';
import type { ClusterState } from '../model/cluster.ts';
import type { WorkloadPlan } from '../model/workload.ts';
import { constant } from '../sim/distributions.ts';
import type { Rng } from '../sim/rng.ts';
import type { Simulation } from '../sim/simulation.ts';
import { ApiFanout } from './api-fanout.ts';
import type { Propagation } from './api-fanout.ts';
import type { ControlEvent, EmitEvent, EmitWorkloadEvent } from './control-event.ts';
import { DeploymentController } from './deployment.ts';
import { EndpointSliceController } from './endpoint-slices.ts';
import { Kubelet } from './kubelet.ts';
import { NodeController } from './node-controller.ts';
import { NodePool } from './node-pool.ts';
import { PodStore } from './pod-store.ts';
import type { PodRecord } from './pod-store.ts';
import { PRIORITY_CHURN } from './priorities.ts';
import { Proxier } from './proxier.ts';
import type { ProxierTiming, Reachable, SyncPort } from './proxier.ts';
import { ReplicaSetController } from './replica-set-controller.ts';

export interface ControlPlaneOptions {
  /** At time 0, not running. */
  readonly simulation: Simulation;
  readonly rng: Rng;
  /** The cluster at the start. Endpoints with the address of a pod of the plan follow that pod, all others stay as they are. */
  readonly state: ClusterState;
  readonly workload: WorkloadPlan;
  readonly churn: ChurnPlan;
  /** The observed node, in the words of the timeline. */
  readonly nodeName: string;
  readonly proxier: ProxierTiming;
  readonly propagation: Propagation;
  readonly sync: SyncPort;
  /** Absent: all usable endpoints, as of service ports without Local policies and hints. */
  readonly reachable?: Reachable;
  readonly onEvent?: (event: ControlEvent) => void;
}

/**
 * What a packet meets at an address. serving: a process listens; not_listening: the pod is there, its process is not
 * (a connection is refused); gone: no such pod (no answer).
 */
export type PodCondition = 'serving' | 'not_listening' | 'gone';

export class ControlPlane {
  readonly #simulation: Simulation;
  readonly #workload: WorkloadPlan;
  readonly #churn: ChurnPlan;
  readonly #nodeName: string;
  readonly #store: PodStore;
  readonly #fanout: ApiFanout;
  readonly #kubelet: Kubelet;
  readonly #deployments: DeploymentController;
  readonly #nodes: NodeController;
  readonly #slices: EndpointSliceController;
  readonly #proxier: Proxier;
  /** Ready endpoints of service ports that no Deployment is bound to, and endpoints of others that no pod stands behind. */
  readonly #fixedReady = new Map<number, number>();
  readonly #emit: EmitWorkloadEvent;

  constructor(options: ControlPlaneOptions) {
    const { simulation, workload, state } = options;
    const rng = options.rng.sub('control');
    const emit: EmitEvent = (kind, text, servicePortIds) =>
      options.onEvent?.({
        at: simulation.now,
        kind,
        text,
        ...(servicePortIds === undefined ? {} : { servicePortIds }),
      });
    const portsOf = workload.deployments.map((_, deployment) =>
      workload.bindings
        .filter((binding) => binding.deployment === deployment)
        .map((binding) => binding.servicePortId)
        .sort((a, b) => a - b),
    );
    const emitOfWorkload: EmitWorkloadEvent = (kind, text, deployment) => emit(kind, text, portsOf[deployment]);
    this.#emit = emitOfWorkload;
    this.#simulation = simulation;
    this.#workload = workload;
    this.#churn = options.churn;
    this.#nodeName = options.nodeName;
    this.#store = new PodStore(workload.deployments.length);
    this.#fanout = new ApiFanout(simulation, rng, options.propagation);
    this.#kubelet = new Kubelet({
      simulation,
      rng,
      fanout: this.#fanout,
      podStart: options.propagation.podStart,
      deployments: workload.deployments,
      behaviours: options.churn.behaviours ?? [],
      emit: emitOfWorkload,
      onStatus: (pod) => this.#podChanged(pod),
    });
    const pool = new NodePool(workload.nodes);
    const rngOfDeployments = rng.sub('deployment');
    const replicaSets = new ReplicaSetController({
      simulation,
      rng: rngOfDeployments,
      workload,
      store: this.#store,
      pool,
      apiCall: options.propagation.apiCall ?? constant(0),
      emit: emitOfWorkload,
      onCreate: (pod) => {
        this.#kubelet.create(pod);
        this.#deployments.podChanged(pod);
      },
      onDelete: (pod) => {
        this.#fanout.sendDeletion(pod, () => this.#kubelet.terminate(pod));
        this.#podChanged(pod);
      },
    });
    this.#deployments = new DeploymentController({
      simulation,
      rng: rngOfDeployments,
      workload,
      store: this.#store,
      replicaSets,
      emit: emitOfWorkload,
    });
    this.#nodes = new NodeController({
      simulation,
      rng,
      store: this.#store,
      pool,
      kubelet: this.#kubelet,
      replicaSets,
      emit,
      emitOfWorkload,
      onPodChanged: (pod) => this.#podChanged(pod),
    });
    this.#slices = new EndpointSliceController({
      fanout: this.#fanout,
      workload,
      servicePorts: state.servicePorts,
      store: this.#store,
      emit,
      onWrite: (write) => this.#fanout.sendToNode(() => this.#proxier.receive(write)),
    });
    for (const pod of this.#deployments.adoptPods()) this.#kubelet.adopt(pod);
    for (const port of state.servicePorts) {
      const fixed = port.endpoints.filter((endpoint) => this.#store.atAddress(endpoint.address) === undefined);
      this.#fixedReady.set(port.id, fixed.filter((endpoint) => endpoint.ready).length);
    }
    this.#proxier = new Proxier({
      simulation,
      nodeName: options.nodeName,
      timing: options.proxier,
      state,
      initialSlices: this.#slices.initialSlices(),
      isPod: (address) => this.#store.atAddress(address) !== undefined,
      sync: options.sync,
      emit,
      ...(options.reachable === undefined ? {} : { reachable: options.reachable }),
    });
  }

  /** Plans the churn and does the first full sync, whose rules hold from time 0 on. */
  start(): void {
    for (const event of this.#churn.events) {
      this.#simulation.at(event.at, PRIORITY_CHURN, () => this.#replay(event));
    }
    this.#proxier.start();
  }

  /** An address that never was a pod's of a Deployment serves forever. */
  podCondition(address: number): PodCondition {
    const pod = this.#store.atAddress(address);
    if (pod === undefined || pod.listening) return 'serving';
    return pod.hasSandbox && pod.container !== 'ended' ? 'not_listening' : 'gone';
  }

  /** The pod's Ready condition as its kubelet has it, before it has reached the API server. */
  isReady(address: number): boolean {
    const pod = this.#store.atAddress(address);
    return pod === undefined || pod.ready;
  }

  /** Ready endpoints of a service port in the API server's EndpointSlices now. */
  readyEndpoints(servicePortId: number): number {
    return (this.#slices.readyEndpoints(servicePortId) ?? 0) + (this.#fixedReady.get(servicePortId) ?? 0);
  }

  /** Those of them that are pods of Deployments, as the API server shows them. */
  readyAddresses(servicePortId: number): { readonly address: number; readonly port: number }[] {
    return this.#slices.readyAddresses(servicePortId);
  }

  /** Endpoints that the rules in the observed node's kernel lead to now. */
  installedEndpoints(servicePortId: number): number {
    return this.#proxier.installedEndpoints(servicePortId);
  }

  /** Those of them whose process listens: a connection to any other fails. */
  servingEndpoints(servicePortId: number): number {
    return this.#proxier.servingEndpoints(servicePortId, (address) => this.podCondition(address) === 'serving');
  }

  /** Pods of a Deployment that are not being deleted, and how many of them the API server counts as available. */
  podCounts(deployment: number): { readonly available: number; readonly total: number } {
    return this.#deployments.counts(deployment);
  }

  /**
   * Network programming latency of each endpoint that became ready or stopped being so, ns, in order of commit: from the
   * pod's readiness change or deletion to the end of the sync that holds it (SIG Scalability's SLI, on one node).
   */
  get latencies(): readonly number[] {
    return this.#proxier.latencies;
  }

  /** Creates, updates and deletes of EndpointSlices. */
  get endpointSliceWrites(): number {
    return this.#slices.writes;
  }

  /** Watch events that these writes cause: each goes to the kube-proxy of every node. */
  get endpointSliceEvents(): number {
    return this.#slices.writes * this.#workload.nodes.length;
  }

  /** Syncs begun, the first one included. */
  get syncs(): number {
    return this.#proxier.syncs;
  }

  /** Syncs that took their time and changed no rule. */
  get failedSyncs(): number {
    return this.#proxier.failedSyncs;
  }

  /** How long the observed node's rules have lacked some change that had come to it, ns. */
  get behindNs(): number {
    return this.#proxier.behindNs;
  }

  /** EndpointSlice events that went along with a sync that was asked for already. */
  get coalescedChanges(): number {
    return this.#proxier.coalescedChanges;
  }

  /** How often a rollout was called failed because it had made no progress for progressDeadlineSeconds. */
  get progressDeadlinesExceeded(): number {
    return this.#deployments.deadlinesExceeded;
  }

  /** How long the first sync would have taken, ns; nobody waits for it. */
  get initialSyncNs(): number {
    return this.#proxier.initialSyncNs;
  }

  #podChanged(pod: PodRecord): void {
    if (pod.status.finished) this.#store.remove(pod);
    this.#deployments.podChanged(pod);
    this.#slices.podChanged(pod);
  }

  #replay(event: ChurnEvent): void {
    switch (event.kind) {
      case 'proxy_restart':
        return this.#proxier.restart(event.downNs);
      case 'sync_failure':
        if (event.node === undefined || event.node === this.#nodeName) {
          this.#proxier.failSyncs(event.at + event.durationNs);
        }
        return;
      case 'node_drain':
        return this.#nodes.drain(event);
      case 'node_failure':
        return this.#nodes.fail(event);
      case 'rolling_update':
      case 'scale':
        return this.#replayOfDeployment(event);
      case 'probe_failure':
      case 'probe_flapping':
      case 'crash':
        return this.#replayOfPod(event);
    }
  }

  #replayOfDeployment(event: Extract<ChurnEvent, { kind: 'rolling_update' | 'scale' }>): void {
    const { deployment } = event;
    const { name } = this.#workload.deployments[deployment];
    if (event.kind === 'rolling_update') {
      this.#emit('rollout_started', `rollout of deployment ${name} started`, deployment);
      this.#deployments.rollOut(deployment);
    } else {
      this.#emit('scaled', `deployment ${name} scaled to ${event.replicas}`, deployment);
      this.#deployments.scale(deployment, event.replicas);
    }
  }

  #replayOfPod(event: PodChurn): void {
    // A plan may name a pod that a scale-down has taken away before: then nothing happens.
    const pod = this.#store.ofDeployment(event.deployment).filter(isRunning)[event.pod];
    if (pod === undefined) return;
    if (event.kind === 'crash') {
      this.#kubelet.crash(pod);
      return;
    }
    const { deployment, probe, mode, at, durationNs } = event;
    const what = probe === 'all' ? `probes of pod ${pod.name}` : `${probe} probe of pod ${pod.name}`;
    const flaps = event.kind === 'probe_flapping';
    if (flaps) this.#emit('probe_flapping', `${what} begins to flap`, deployment);
    else this.#emit('probe_failing', `${what} begins to fail`, deployment);
    const { periodNs, failingNs } = flaps ? event : { periodNs: durationNs, failingNs: durationNs };
    const flapping = flaps ? { flapping: { periodNs, failingNs } } : {};
    this.#kubelet.addFault(pod, { probe, mode, from: at, until: at + durationNs, ...flapping });
    this.#simulation.at(at + durationNs, PRIORITY_CHURN, () => {
      this.#emit('probe_answering', `${what} answers again`, deployment);
    });
  }
}

type PodChurn = Extract<ChurnEvent, { kind: 'probe_failure' | 'probe_flapping' | 'crash' }>;

function isRunning(pod: PodRecord): boolean {
  return pod.container === 'running' && pod.deletedAt === undefined;
}
