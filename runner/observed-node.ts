/** One node whose rules and traffic are modelled: its engine, what kube-proxy's syncs cost, and the clients that live on it. */
import { costContext } from '../costs/context.ts';
import { CostModel } from '../costs/cost-model.ts';
import type { ControlPlane, ObservedNode as ObservedByControl } from '../control/control-plane.ts';
import type { SyncPort } from '../control/proxier.ts';
import type { ProcessEnd } from '../control/shutdown.ts';
import type { Engine } from '../engines/engine.ts';
import { reachableEndpoints } from '../engines/proxy/endpoints.ts';
import { unsupported } from '../engines/unsupported.ts';
import type { Endpoint, NodeSpec, ServicePort } from '../model/cluster.ts';
import { Counters } from '../model/counters.ts';
import { ORIGIN_EXTERNAL, PacketBatch, TCP_SYN } from '../model/packet.ts';
import type { SyncReport } from '../model/sync-report.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import { VerdictBatch } from '../model/verdict.ts';
import type { BuiltCluster } from '../scenarios/cluster-builder.ts';
import type { TrafficSpec } from '../scenarios/spec.ts';
import { planTraffic, toDistribution, trafficTargets } from '../scenarios/traffic.ts';
import { assert } from '../sim/assert.ts';
import { pow } from '../sim/math.ts';
import type { Rng } from '../sim/rng.ts';
import type { Simulation } from '../sim/simulation.ts';
import { clientPolicy } from './client-policy.ts';
import type { DnsMeter } from './dns-meter.ts';
import { engineFactory, engineOptions, observedNode } from './engine-setup.ts';
import { InstalledEndpoints } from './installed-endpoints.ts';
import type { Trial } from './sweep-plan.ts';
import { SyncLog } from './sync-log.ts';
import type { Timeline } from './timeline.ts';
import { TrafficDriver, type TrafficDriverOptions } from './traffic-driver.ts';
import { trialDns, type TrialDns } from './trial-dns.ts';
import { TrialMeter } from './trial-meter.ts';

export interface ObservedNodeOptions {
  readonly trial: Trial;
  /** The cluster as this node sees it. */
  readonly view: BuiltCluster;
  /** Traffic of this node alone. */
  readonly traffic: TrafficSpec;
  readonly simulation: Simulation;
  readonly rng: Rng;
  readonly rngOfEngine: Rng;
  readonly answers: (address: number) => boolean;
}

/** An address of a pod on a node that no experiment has, and the last octet of one here that no pod has. */
const OTHER_POD = 0x0af4ff05;
const POD_OF_NOBODY = 253;

/** Called for each new connection that reaches a process. */
export type OnEndpoint = NonNullable<TrafficDriverOptions['onEndpoint']>;

export class ObservedNode {
  readonly name: string;
  readonly meter = new TrialMeter();
  readonly syncs: SyncLog;
  readonly installed: InstalledEndpoints;
  readonly #options: ObservedNodeOptions;
  readonly #node: NodeSpec;
  readonly #engine: Engine;
  #driver: TrafficDriver | undefined;
  #dns: TrialDns | undefined;
  #costs: CostModel | undefined;

  constructor(options: ObservedNodeOptions) {
    const { trial, view, rngOfEngine, answers } = options;
    this.#options = options;
    this.name = view.node.name;
    const node = observedNode(view.node, trial.point.proxy);
    this.#node = node;
    this.#engine = engineFactory(trial.engine)({
      node,
      options: engineOptions(trial.point.proxy, trial.engine, node),
      rng: rngOfEngine,
      answers,
    });
    const missing = unsupported(this.#engine.supports, view.state.servicePorts);
    if (missing.length > 0) throw new Error(`The engine of ${trial.engine} mode does not model ${missing.join(', ')}`);
    this.syncs = new SyncLog(trial.point, trial.engine, endpointCount(view));
    this.installed = new InstalledEndpoints((svc) => this.#reachable(svc));
  }

  /** What the control plane needs to know of this node. */
  get ofControl(): ObservedByControl {
    return { name: this.name, sync: this.#syncPort(), reachable: (svc) => this.#reachable(svc) };
  }

  /** The cost model; it exists once the first sync has installed rules, which is before any packet. */
  get costs(): CostModel {
    assert(this.#costs !== undefined, 'Packets come after the first sync');
    return this.#costs;
  }

  /**
   * The cost of a first packet that comes from another node for a pod of this one: it is for no Service, and in iptables mode walks
   * KUBE-SERVICES to its end, as all packets do that a server's node gets. To be asked at the end of a trial.
   */
  podPacketCost(): number {
    const { simulation, view } = this.#options;
    const packets = new PacketBatch(1);
    const verdicts = new VerdictBatch(1);
    const work = new Counters(1);
    packets.length = 1;
    packets.time[0] = simulation.now;
    packets.srcAddress[0] = OTHER_POD;
    packets.dstAddress[0] = (view.podBlock.address | POD_OF_NOBODY) >>> 0;
    packets.srcPort[0] = 50_000;
    packets.dstPort[0] = 8080;
    packets.protocol[0] = PROTOCOL_TCP;
    packets.tcpFlags[0] = TCP_SYN;
    packets.origin[0] = ORIGIN_EXTERNAL;
    this.#engine.process(packets, verdicts, work);
    const out = new Float64Array(1);
    // All walks there have this length.
    const { profile, context } = this.costs;
    new CostModel(profile, { ...context, sameServiceProbability: 1 }).costs(packets, verdicts, work, out);
    return out[0];
  }

  /** What look-ups of names took; undefined where there are none. */
  get dnsMeter(): DnsMeter | undefined {
    return this.#dns?.meter;
  }

  /** Takes over what another node's clients saw. */
  absorb(other: ObservedNode): void {
    this.meter.absorb(other.meter);
    if (other.dnsMeter !== undefined) this.dnsMeter?.absorb(other.dnsMeter);
  }

  /** Starts the traffic. */
  start(control: ControlPlane, timeline: Timeline | undefined, onEndpoint: OnEndpoint): void {
    const { view, traffic, simulation, rng } = this.#options;
    const engine = this.#engine;
    const costs = (): CostModel => this.costs;
    const settle = (): void => this.flush();
    if (traffic.dns !== undefined) {
      const { meter } = this;
      this.#dns = trialDns({
        spec: traffic.dns,
        simulation,
        rng,
        cluster: view,
        control,
        engine,
        costs,
        meter,
        settle,
      });
    }
    this.#driver = new TrafficDriver({
      simulation,
      engine,
      costs,
      source: planTraffic(traffic, view, rng),
      pods: control,
      meter: this.meter,
      policy: clientPolicy(traffic),
      clientPorts: traffic.clientPorts,
      lookUp: this.#dns?.lookUp,
      isRemoved: (id, address, port) => this.installed.isRemoved(id, address, port),
      onEndpoint,
      onOutcome: (id, outcome) => timeline?.count(id, outcome),
    });
    this.#driver.start();
  }

  get finished(): boolean {
    return this.#driver?.finished === true;
  }

  /** Verdicts are read against the pods as they are at the packet's time: waiting packets are settled before anything changes. */
  flush(): void {
    this.#driver?.flush();
  }

  /** The process of a pod is no more. */
  processEnded(address: number, how: ProcessEnd): void {
    this.#driver?.processEnded(address, how);
  }

  /** What the engine does by itself up to now. */
  settle(): void {
    this.flush();
    this.#engine.advance(this.#options.simulation.now);
  }

  #syncPort(): SyncPort {
    const { simulation } = this.#options;
    const engine = this.#engine;
    return {
      begin: (request) => this.syncs.begin(request),
      commit: (request) => {
        this.flush();
        const full = request.kind === 'full';
        const report = full ? engine.sync(request.state, simulation.now) : engine.apply(request.delta, simulation.now);
        this.syncs.record(report, full);
        this.installed.commit(request);
        this.#costs ??= this.#costModel(report);
      },
      fail: (_, durationNs) => this.syncs.fail(durationNs),
      interrupt: () => {
        this.flush();
        engine.interrupt?.(simulation.now);
      },
    };
  }

  #reachable(svc: ServicePort): readonly Endpoint[] {
    return reachableEndpoints(svc, this.#node);
  }

  /** The cost model for the rules of the first sync and the traffic of this node. */
  #costModel(report: SyncReport): CostModel {
    const { trial, view, traffic } = this.#options;
    const { profile, proxy } = trial.point;
    const lifetimeSeconds =
      toDistribution(traffic.packetsPerConnection).mean * toDistribution(traffic.packetGapSeconds).mean;
    const concurrent = Math.ceil(traffic.connectionsPerSecond * lifetimeSeconds);
    const context = costContext(trial.engine, report, {
      sameServiceProbability: sameServiceProbability(traffic, view),
      concurrentFlows: Math.max(1, Math.min(traffic.connections, concurrent)),
      ipvsScheduler: proxy.ipvsScheduler,
      payloadBytes: traffic.payloadBytes,
      iptablesBackend: proxy.iptablesBackend,
      rulesPerService: proxy.kubeProxy.masqueradeRules === 'dispatch' ? 2 : 1,
      otherMemoryBytes: profile.unit === 'ns' ? (profile.rig?.otherMemoryBytes.value ?? 0) : 0,
    });
    return new CostModel(profile, context);
  }
}

export function endpointCount({ state }: BuiltCluster): number {
  return state.servicePorts.reduce((sum, svc) => sum + svc.endpoints.length, 0);
}

/** Chance that two connections go to the same service: the sum of the squared shares of traffic. */
export function sameServiceProbability(traffic: TrafficSpec, cluster: BuiltCluster): number {
  const n = trafficTargets(traffic, cluster).length;
  if (traffic.popularity.kind !== 'zipf') return 1 / Math.max(1, n);
  let sum = 0;
  let squares = 0;
  for (let rank = 1; rank <= n; rank++) {
    const share = pow(rank, -traffic.popularity.exponent);
    sum += share;
    squares += share * share;
  }
  return squares / (sum * sum);
}

/** The traffic of the `index`-th of several nodes: the connections and their rate are shared out evenly. */
export function trafficOf(traffic: TrafficSpec, index: number, nodes: number): TrafficSpec {
  if (nodes === 1) return traffic;
  const connections = Math.floor(traffic.connections / nodes) + (index < traffic.connections % nodes ? 1 : 0);
  return { ...traffic, connections, connectionsPerSecond: traffic.connectionsPerSecond / nodes };
}
