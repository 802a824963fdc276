/** The control plane of a cluster as some of its nodes see it: wires Deployments, kubelets, EndpointSlices and kube-proxy together and replays a churn plan. */
import type { ChurnEvent, ChurnPlan } from '../model/churn.ts';
import type { ClusterState } from '../model/cluster.ts';
import type { SimTime } from '../model/time.ts';
import type { WorkloadPlan } from '../model/workload.ts';
import { constant } from '../sim/distributions.ts';
import type { RandomStream, Rng } from '../sim/rng.ts';
import type { Simulation } from '../sim/simulation.ts';
import { ApiFanout } from './api-fanout.ts';
import type { DelayLine, Propagation } from './api-fanout.ts';
import type { ControlEvent, EmitEvent, EmitWorkloadEvent } from './control-event.ts';
import { DeploymentController } from './deployment.ts';
import { DnsWatch } from './dns-watch.ts';
import type { DnsEndpoint } from './dns-zone.ts';
import { EndpointSliceController, isHeadless } from './endpoint-slices.ts';
import type { EndpointsApi, SliceWrite } from './endpoint-slices.ts';
import { Kubelet } from './kubelet.ts';
import { latenciesOverNodes } from './latencies.ts';
import type { LatenciesOverNodes } from './latencies.ts';
import { NodeController } from './node-controller.ts';
import { NodePool } from './node-pool.ts';
import { OtherProxies } from './other-proxies.ts';
import type { SyncLength } from './other-proxies.ts';
import { PodChurn } from './pod-churn.ts';
import { PodStore } from './pod-store.ts';
import type { PodRecord } from './pod-store.ts';
import { PRIORITY_CHURN } from './priorities.ts';
import { Proxier } from './proxier.ts';
import type { ProxierTiming, Reachable, SyncPort } from './proxier.ts';
import { ReplicaSetController } from './replica-set-controller.ts';
import { SliceCache } from './slice-cache.ts';
import type { ProcessEnd } from './shutdown.ts';

export interface ControlPlaneOptions {
  /** At time 0, not running. */
  readonly simulation: Simulation;
  readonly rng: Rng;
  /** Absent: EndpointSlices, with kube-controller-manager's defaults. */
  readonly endpointsApi?: EndpointsApi;
  /** The cluster at the start. Endpoints with the address of a pod of the plan follow that pod, all others stay as they are. */
  readonly state: ClusterState;
  readonly workload: WorkloadPlan;
  readonly churn: ChurnPlan;
  /** Nodes whose kube-proxy and rules are modelled, at least one; the first is the one that `proxy_restart` is about. */
  readonly observed: readonly ObservedNode[];
  /** How long a sync takes on the nodes that nobody observes; absent: only observed nodes are in the statistics over nodes. */
  readonly otherSyncNs?: SyncLength;
  readonly proxier: ProxierTiming;
  readonly propagation: Propagation;
  /** CoreDNS watches, too: `dnsEndpoints` answers. */
  readonly withDns?: boolean;
  readonly onEvent?: (event: ControlEvent) => void;
  /** The process of the pod at this address is no more; its connections were closed by its kernel, or are lost with its machine. */
  readonly onProcessEnd?: (address: number, how: ProcessEnd) => void;
}

export interface ObservedNode {
  readonly name: string;
  readonly sync: SyncPort;
  /** Absent: all usable endpoints, as of service ports without Local policies and hints. */
  readonly reachable?: Reachable;
  /** From the beginning to the first sync that nobody asks for; absent: drawn for the node. */
  readonly phaseNs?: SimTime;
}

/**
 * What a new connection meets at an address. serving: a process listens; not_listening: the pod is there and nobody
 * listens, though its process may still serve older connections (it is refused); gone: no such pod (no answer).
 */
export type PodCondition = 'serving' | 'not_listening' | 'gone';

export class ControlPlane {
  readonly #simulation: Simulation;
  readonly #workload: WorkloadPlan;
  readonly #churn: ChurnPlan;
  readonly #store: PodStore;
  readonly #fanout: ApiFanout;
  readonly #kubelet: Kubelet;
  readonly #rng: Rng;
  readonly #replicaSets: ReplicaSetController;
  #podChurns = 0;
  readonly #deployments: DeploymentController;
  readonly #nodes: NodeController;
  readonly #slices: EndpointSliceController;
  /** One for each observed node. */
  readonly #proxiers: readonly Proxier[];
  readonly #others: OtherProxies | undefined;
  readonly #watches: readonly DelayLine[];
  readonly #dnsWatch: DnsWatch | undefined;
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
    const portsOf = workload.deployments.map((): number[] => []);
    for (const { deployment, servicePortId } of workload.bindings) portsOf[deployment].push(servicePortId);
    for (const ids of portsOf) ids.sort((a, b) => a - b);
    const emitOfWorkload: EmitWorkloadEvent = (kind, text, deployment) => emit(kind, text, portsOf[deployment]);
    this.#emit = emitOfWorkload;
    this.#simulation = simulation;
    this.#rng = rng;
    this.#workload = workload;
    this.#churn = options.churn;
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
      onProcessEnd: (address, how) => options.onProcessEnd?.(address, how),
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
    this.#replicaSets = replicaSets;
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
      ...(options.endpointsApi === undefined ? {} : { api: options.endpointsApi }),
      fanout: this.#fanout,
      workload,
      servicePorts: [...state.servicePorts, ...(workload.headlessPorts ?? [])],
      store: this.#store,
      emit,
      onWrite: (write) => this.#send(write),
    });
    for (const pod of this.#deployments.adoptPods()) this.#kubelet.adopt(pod);
    for (const port of state.servicePorts) {
      const fixed = port.endpoints.filter((endpoint) => this.#store.atAddress(endpoint.address) === undefined);
      this.#fixedReady.set(port.id, fixed.filter((endpoint) => endpoint.ready).length);
    }
    const isPod = (address: number): boolean => this.#store.atAddress(address) !== undefined;
    const initialSlices = this.#slices.initialSlices();
    if (options.withDns === true) {
      const ports = [...state.servicePorts, ...(workload.headlessPorts ?? [])];
      this.#dnsWatch = new DnsWatch(ports, initialSlices, isPod);
    }
    const ofProxies = initialSlices.filter((write) => !isHeadless(write));
    const cache = SliceCache.of(state, ofProxies, isPod);
    const phases = rng.sub('sync-phase');
    const { maxIntervalNs } = options.proxier;
    this.#proxiers = options.observed.map(
      ({ name, phaseNs, ...node }) =>
        new Proxier({
          simulation,
          nodeName: name,
          timing: options.proxier,
          cache: cache.copy(),
          phaseNs: phaseNs ?? drawPhaseNs(phases.stream(name), maxIntervalNs),
          emit,
          ...node,
        }),
    );
    this.#watches = options.observed.map(({ name }, i) => this.#fanout.watchOf(i === 0 ? undefined : name));
    if (options.otherSyncNs !== undefined) {
      const observed = new Set(options.observed.map(({ name }) => name));
      this.#others = new OtherProxies({
        nodes: workload.nodes.map(({ name }) => name).filter((name) => !observed.has(name)),
        cache: cache.copy(),
        timing: options.proxier,
        watch: options.propagation.watch,
        syncNs: options.otherSyncNs,
        watchStream: (name) => this.#fanout.watchStream(name),
        phaseNs: (name) => drawPhaseNs(phases.stream(name), maxIntervalNs),
      });
    }
  }

  /** Plans the churn and does the first full sync, whose rules hold from time 0 on. */
  start(): void {
    for (const event of this.#churn.events) {
      this.#simulation.at(event.at, PRIORITY_CHURN, () => this.#replay(event));
    }
    for (const proxier of this.#proxiers) proxier.start();
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

  /** Endpoints that the rules in the kernel of an observed node lead to now. */
  installedEndpoints(servicePortId: number, node = 0): number {
    return this.#proxiers[node].installedEndpoints(servicePortId);
  }

  /** Those of them whose process listens: a connection to any other fails. */
  servingEndpoints(servicePortId: number, node = 0): number {
    return this.#proxiers[node].servingEndpoints(servicePortId, (address) => this.podCondition(address) === 'serving');
  }

  /** Pods of a Deployment that are not being deleted, and how many of them the API server counts as available. */
  podCounts(deployment: number): { readonly available: number; readonly total: number } {
    return this.#deployments.counts(deployment);
  }

  /**
   * Network programming latency of each endpoint that became ready or stopped being so, ns, in order of commit: from the
   * pod's readiness change or deletion to the end of the sync that holds it (SIG Scalability's SLI, on one node).
   */
  latencies(node = 0): readonly number[] {
    return this.#proxiers[node].latencies;
  }

  /** The same over all nodes of the cluster; to be asked once, at the end. */
  latenciesOverNodes(): LatenciesOverNodes {
    const observed = this.#proxiers.map((proxier) => proxier.latencies);
    return latenciesOverNodes(observed, this.#others, this.#simulation.now);
  }

  /** Of each pod that was called not ready and is not being deleted: from its check beginning to fail to its kubelet's word, ns. */
  get probeDetections(): readonly number[] {
    return this.#kubelet.detections;
  }

  /** Creates, updates and deletes of EndpointSlices, or of Endpoints objects. */
  get endpointSliceWrites(): number {
    return this.#slices.writes;
  }

  /** What the API server sends in watch events of these writes to all nodes together. */
  get endpointSliceBytes(): number {
    return this.#slices.bytesPerWatcher * this.#workload.nodes.length;
  }

  /** Watch events that these writes cause: each goes to the kube-proxy of every node, but those of headless Services to none. */
  get endpointSliceEvents(): number {
    return this.#slices.writesToProxies * this.#workload.nodes.length;
  }

  /** Syncs begun on an observed node, the first one included. */
  syncs(node = 0): number {
    return this.#proxiers[node].syncs;
  }

  /** Syncs of an observed node that took their time and changed no rule. */
  failedSyncs(node = 0): number {
    return this.#proxiers[node].failedSyncs;
  }

  /** How long an observed node's rules have lacked some change that had come to it, ns. */
  behindNs(node = 0): number {
    return this.#proxiers[node].behindNs;
  }

  /** EndpointSlice events that went along with a sync that was asked for already, on an observed node. */
  coalescedChanges(node = 0): number {
    return this.#proxiers[node].coalescedChanges;
  }

  /** How often a rollout was called failed because it had made no progress for progressDeadlineSeconds. */
  get progressDeadlinesExceeded(): number {
    return this.#deployments.deadlinesExceeded;
  }

  /** How long the first sync of an observed node would have taken, ns; nobody waits for it. */
  initialSyncNs(node = 0): number {
    return this.#proxiers[node].initialSyncNs;
  }

  /** kube-proxy's informer leaves out what has the label service.kubernetes.io/headless [cmd/kube-proxy/app/server.go]. */
  #send(write: SliceWrite): void {
    if (!isHeadless(write)) {
      this.#proxiers.forEach((proxier, i) => this.#watches[i].send(() => proxier.receive(write)));
      this.#others?.receive(this.#simulation.now, write);
    }
    const watch = this.#dnsWatch;
    if (watch !== undefined) this.#fanout.sendToDns(() => watch.receive(write));
  }

  /** Ready endpoints of a service port as CoreDNS has them. */
  dnsEndpoints(servicePortId: number): readonly DnsEndpoint[] {
    return this.#dnsWatch?.endpointsOf(servicePortId) ?? [];
  }

  #podChanged(pod: PodRecord): void {
    if (pod.status.finished) this.#store.remove(pod);
    this.#deployments.podChanged(pod);
    this.#slices.podChanged(pod);
  }

  #replay(event: ChurnEvent): void {
    switch (event.kind) {
      case 'proxy_restart':
        return this.#proxiers[0].restart(event.downNs);
      case 'sync_failure':
        for (const proxier of this.#proxiers) {
          if (event.node === undefined || event.node === proxier.nodeName) {
            proxier.failSyncs(event.at + event.durationNs);
          }
        }
        return;
      case 'pod_churn':
        return this.#replayPodChurn(event);
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

  #replayPodChurn({ perSecond, durationNs }: Extract<ChurnEvent, { kind: 'pod_churn' }>): void {
    const { now } = this.#simulation;
    const churn = new PodChurn({
      simulation: this.#simulation,
      stream: this.#rng.stream(`pod-churn/${this.#podChurns++}`),
      workload: this.#workload,
      store: this.#store,
      perSecond,
      until: durationNs === undefined ? Infinity : now + durationNs,
      onDelete: (pod) => this.#replicaSets.delete(pod),
    });
    churn.start();
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

  #replayOfPod(event: ChurnOfPod): void {
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

/** Each kube-proxy started at a time of its own. */
function drawPhaseNs(stream: RandomStream, maxIntervalNs: SimTime): SimTime {
  return Math.floor(stream.nextFloat() * maxIntervalNs);
}

type ChurnOfPod = Extract<ChurnEvent, { kind: 'probe_failure' | 'probe_flapping' | 'crash' }>;

function isRunning(pod: PodRecord): boolean {
  return pod.container === 'running' && pod.deletedAt === undefined;
}
