/** One trial: builds the cluster, the engine and the control plane, plays the traffic, and returns one observation. */
import { costContext } from '../costs/context.ts';
import { CostModel } from '../costs/cost-model.ts';
import { ControlPlane } from '../control/control-plane.ts';
import { reachableEndpoints } from '../engines/proxy/endpoints.ts';
import { servicePortName, type Endpoint, type ServicePort } from '../model/cluster.ts';
import type { Observation, TimelineRow } from '../model/observation.ts';
import type { SyncReport } from '../model/sync-report.ts';
import { NS_PER_S } from '../model/time.ts';
import { planChurn } from '../scenarios/churn.ts';
import { buildCluster, type BuiltCluster } from '../scenarios/cluster-builder.ts';
import type { PointSpec, TrafficSpec } from '../scenarios/spec.ts';
import { planTraffic, toDistribution, trafficTargets } from '../scenarios/traffic.ts';
import { assert } from '../sim/assert.ts';
import { pow } from '../sim/math.ts';
import { Rng } from '../sim/rng.ts';
import { Simulation } from '../sim/simulation.ts';
import { AffinityMeter } from './affinity-meter.ts';
import { BalanceMeter } from './balance-meter.ts';
import { clientPolicy } from './client-policy.ts';
import { engineFactory, engineOptions, observedNode, proxierTiming, unsupported } from './engine-setup.ts';
import type { EventLog } from './event-log.ts';
import { InstalledEndpoints } from './installed-endpoints.ts';
import { observe } from './observe.ts';
import type { Trial } from './sweep-plan.ts';
import { SyncLog } from './sync-log.ts';
import { Timeline } from './timeline.ts';
import { TrafficDriver } from './traffic-driver.ts';
import { TrialMeter } from './trial-meter.ts';

export interface TrialResult {
  readonly index: number;
  readonly observation: Observation;
  readonly timeline: readonly TimelineRow[];
}

/** Longest simulated time of a trial without `duration_s`, so that a stuck connection cannot run for ever. */
const LONGEST_TRIAL_NS = 30 * 86_400 * NS_PER_S;

/** `log` takes down what the control plane does. */
export function runTrial(trial: Trial, log?: EventLog): TrialResult {
  const { point } = trial;
  // The path holds neither the engine nor the point: every engine and setting meets the same world.
  const rng = new Rng(trial.seed).sub(`replication-${trial.replication}`);
  const cluster = buildCluster(point.cluster, rng);
  const node = observedNode(cluster.node, point.proxy);
  const engine = engineFactory(trial.engine)({
    node,
    options: engineOptions(point.proxy, trial.engine, node),
    rng: rng.sub(`engine-${trial.engine}`),
    answers: (address) => control.podCondition(address) === 'serving',
  });
  const missing = unsupported(engine.supports, cluster.state);
  if (missing.length > 0) throw new Error(`The engine of ${trial.engine} mode does not model ${missing.join(', ')}`);
  const simulation = new Simulation();
  const meter = new TrialMeter();
  const syncs = new SyncLog(point, trial.engine);
  let costs: CostModel | undefined;
  const requireCosts = (): CostModel => {
    assert(costs !== undefined, 'Packets come after the first sync');
    return costs;
  };

  const reachable = (svc: ServicePort): readonly Endpoint[] => reachableEndpoints(svc, node);
  const installed = new InstalledEndpoints(reachable);
  const balance = new BalanceMeter();
  const control: ControlPlane = new ControlPlane({
    simulation,
    rng,
    state: cluster.state,
    workload: cluster.workload,
    churn: planChurn(point.churn, cluster),
    nodeName: cluster.node.name,
    proxier: proxierTiming(point.proxy, trial.engine),
    propagation: {
      statusUpdate: toDistribution(point.propagation.statusUpdateSeconds),
      endpointSlice: toDistribution(point.propagation.endpointSliceSeconds),
      watch: toDistribution(point.propagation.watchSeconds),
      podStart: toDistribution(point.propagation.podStartSeconds),
      apiCall: toDistribution(point.propagation.apiCallSeconds),
    },
    sync: {
      begin: (request) => syncs.begin(request),
      commit: (request) => {
        driver.flush();
        const full = request.kind === 'full';
        const report = full ? engine.sync(request.state, simulation.now) : engine.apply(request.delta, simulation.now);
        syncs.record(report, full);
        installed.commit(request);
        costs ??= costModel(trial, cluster, report);
      },
      interrupt: () => {
        driver.flush();
        engine.interrupt?.(simulation.now);
      },
    },
    reachable,
    onEvent: (event) => {
      log?.add(event);
      // The first sync is the state that the timeline begins with.
      if (event.at > 0) timeline?.sample(event.at, event.text, event.servicePortIds ?? followed.keys());
    },
  });

  const affinity = cluster.state.servicePorts.some((svc) => (svc.extras?.affinitySeconds ?? 0) > 0)
    ? new AffinityMeter()
    : undefined;
  const followed = followedServices(cluster, point);
  const timeline =
    point.timelineSeconds > 0
      ? new Timeline(followed, control, trial.engine, trial.replication, cluster.node.name)
      : undefined;
  const driver: TrafficDriver = new TrafficDriver({
    simulation,
    engine,
    costs: requireCosts,
    source: planTraffic(point.traffic, cluster, rng),
    pods: control,
    meter,
    policy: clientPolicy(point.traffic),
    clientPorts: point.traffic.clientPorts,
    isRemoved: (id, address, port) => installed.isRemoved(id, address, port),
    onEndpoint: (client, id, address, port) => {
      balance.add(id, address, port);
      affinity?.add(client, id, address, port);
    },
    onOutcome: (id, outcome) => timeline?.count(id, outcome),
  });
  // Verdicts are read against the pods as they are at the packet's time: settle waiting packets before anything changes.
  simulation.beforeCallback = () => driver.flush();

  log?.attach(cluster, control);
  control.start();
  driver.start();
  timeline?.sample(0);
  if (timeline !== undefined) sampleRegularly(simulation, timeline, point);
  if (point.durationSeconds > 0) simulation.runUntil(point.durationSeconds * NS_PER_S);
  else {
    while (!driver.finished) {
      if (simulation.nextTime() > LONGEST_TRIAL_NS) {
        throw new Error('The traffic did not end within 30 simulated days; give the experiment a duration_s');
      }
      simulation.step();
    }
  }
  driver.flush();
  timeline?.sample(simulation.now);
  engine.advance(simulation.now);

  return {
    index: trial.index,
    observation: {
      ...observe(trial, cluster, { meter, syncs, control, costs: requireCosts() }),
      ...balance.metrics((id) => installed.steadyEndpoints(id)),
      ...affinity?.metrics(),
    },
    timeline: timeline?.rows ?? [],
  };
}

/** The cost model for the rules of the first sync and the traffic of this point. */
function costModel(trial: Trial, cluster: BuiltCluster, report: SyncReport): CostModel {
  const { traffic, profile, proxy } = trial.point;
  const lifetimeSeconds =
    toDistribution(traffic.packetsPerConnection).mean * toDistribution(traffic.packetGapSeconds).mean;
  const concurrent = Math.ceil(traffic.connectionsPerSecond * lifetimeSeconds);
  const context = costContext(trial.engine, report, {
    sameServiceProbability: sameServiceProbability(traffic, cluster),
    concurrentFlows: Math.max(1, Math.min(traffic.connections, concurrent)),
    ipvsScheduler: proxy.ipvsScheduler,
    payloadBytes: traffic.payloadBytes,
  });
  return new CostModel(profile, context);
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

/** The service ports of the timeline: the one that all traffic goes to, else those with a workload behind them. */
function followedServices(cluster: BuiltCluster, point: PointSpec): Map<number, string> {
  const { traffic } = point;
  const ports =
    traffic.popularity.kind === 'one'
      ? trafficTargets(traffic, cluster)
      : cluster.state.servicePorts.filter((svc) => cluster.workload.bindings.some((b) => b.servicePortId === svc.id));
  return new Map(ports.map((svc) => [svc.id, servicePortName(svc)]));
}

function sampleRegularly(simulation: Simulation, timeline: Timeline, point: PointSpec): void {
  const step = Math.round(point.timelineSeconds * NS_PER_S);
  const sample = (at: number): void => {
    simulation.at(at, PRIORITY_SAMPLE, () => {
      timeline.sample(at);
      sample(at + step);
    });
  };
  sample(step);
}

/** After everything else of the instant. */
const PRIORITY_SAMPLE = 1000;
