/** One trial: builds the cluster, the engine and the control plane, plays the traffic, and returns one observation. */
import { ControlPlane } from '../control/control-plane.ts';
import { servicePortName } from '../model/cluster.ts';
import type { Observation, TimelineRow } from '../model/observation.ts';
import { NS_PER_S } from '../model/time.ts';
import { planChurn } from '../scenarios/churn.ts';
import { viewsOf, type BuiltCluster } from '../scenarios/cluster-builder.ts';
import type { PointSpec } from '../scenarios/spec.ts';
import { toDistribution, trafficTargets } from '../scenarios/traffic.ts';
import { Rng } from '../sim/rng.ts';
import { Simulation } from '../sim/simulation.ts';
import { AffinityMeter } from './affinity-meter.ts';
import { BalanceMeter } from './balance-meter.ts';
import { builtCluster } from './built-clusters.ts';
import { endpointsApi, proxierTiming } from './engine-setup.ts';
import type { EventLog } from './event-log.ts';
import { observe } from './observe.ts';
import { endpointCount, ObservedNode, trafficOf } from './observed-node.ts';
import { rigMetrics } from './rig-view.ts';
import type { Trial } from './sweep-plan.ts';
import { Timeline, type EndpointView } from './timeline.ts';

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
  const cluster = builtCluster(point.cluster, rng);
  const simulation = new Simulation();
  const nodes = observedNodes(
    trial,
    cluster,
    simulation,
    rng,
    (address) => control.podCondition(address) === 'serving',
  );
  const [first] = nodes;
  const control: ControlPlane = new ControlPlane({
    simulation,
    rng,
    endpointsApi: endpointsApi(point.propagation.endpoints),
    state: cluster.state,
    workload: cluster.workload,
    churn: planChurn(point.churn, cluster),
    observed: nodes.map((node) => node.ofControl),
    otherSyncNs: (kind, changedServicePorts) => first.syncs.lengthNs(kind, changedServicePorts),
    proxier: proxierTiming(point.proxy, trial.engine),
    propagation: {
      statusUpdate: toDistribution(point.propagation.statusUpdateSeconds),
      endpointSlice: toDistribution(point.propagation.endpointSliceSeconds),
      watch: toDistribution(point.propagation.watchSeconds),
      podStart: toDistribution(point.propagation.podStartSeconds),
      apiCall: toDistribution(point.propagation.apiCallSeconds),
    },
    withDns: point.traffic.dns !== undefined,
    onProcessEnd: (address, how) => {
      for (const node of nodes) node.processEnded(address, how);
    },
    onEvent: (event) => {
      log?.add(event);
      // The first sync is the state that the timeline begins with.
      if (event.at === 0) return;
      for (const timeline of timelines) timeline.sample(event.at, event.text, event.servicePortIds ?? followed.keys());
    },
  });

  const followed = followedServices(cluster, point);
  const timelines =
    point.timelineSeconds > 0
      ? nodes.map(({ name }, i) => new Timeline(followed, viewOf(control, i), trial.engine, trial.replication, name))
      : [];
  const balance = new BalanceMeter();
  const affinity = cluster.state.servicePorts.some((svc) => (svc.extras?.affinitySeconds ?? 0) > 0)
    ? new AffinityMeter()
    : undefined;
  simulation.beforeCallback = () => {
    for (const node of nodes) node.flush();
  };

  log?.attach(cluster, control);
  control.start();
  nodes.forEach((node, i) =>
    node.start(
      control,
      timelines[i],
      ({ clientAddress, servicePortId, endpointAddress, endpointPort, packets }, slot) => {
        balance.add(servicePortId[slot], endpointAddress[slot], endpointPort[slot], packets[slot]);
        affinity?.add(clientAddress[slot], servicePortId[slot], endpointAddress[slot], endpointPort[slot]);
      },
    ),
  );
  for (const timeline of timelines) {
    timeline.sample(0);
    sampleRegularly(simulation, timeline, point);
  }
  play(simulation, nodes, point);
  for (const node of nodes) node.settle();
  for (const timeline of timelines) timeline.sample(simulation.now);

  for (const node of nodes.slice(1)) first.absorb(node);
  return {
    index: trial.index,
    observation: {
      ...observe(trial, cluster, {
        meter: first.meter,
        syncs: nodes.map((node) => node.syncs),
        control,
        costs: first.costs,
      }),
      ...balance.metrics((id) => new Set(nodes.flatMap((node) => [...node.installed.steadyEndpoints(id)]))),
      ...affinity?.metrics(),
      ...first.dnsMeter?.metrics(),
      ...rigMetrics(trial, first, endpointCount(cluster)),
    },
    timeline: timelines.flatMap((timeline) => timeline.rows),
  };
}

/** Each with traffic, an engine and chance of its own; the streams of the first do not tell that there are others. */
function observedNodes(
  trial: Trial,
  cluster: BuiltCluster,
  simulation: Simulation,
  rng: Rng,
  answers: (address: number) => boolean,
): ObservedNode[] {
  const views = viewsOf(cluster);
  return views.map(
    (view, i) =>
      new ObservedNode({
        trial,
        view,
        traffic: trafficOf(trial.point.traffic, i, views.length),
        simulation,
        rng: i === 0 ? rng : rng.sub(`node/${view.node.name}`),
        rngOfEngine: rng.sub(i === 0 ? `engine-${trial.engine}` : `engine-${trial.engine}/${view.node.name}`),
        answers,
      }),
  );
}

/** Runs to the end of the trial: its duration, or the end of the last connection. */
function play(simulation: Simulation, nodes: readonly ObservedNode[], { durationSeconds }: PointSpec): void {
  if (durationSeconds > 0) {
    simulation.runUntil(durationSeconds * NS_PER_S);
    return;
  }
  while (!allFinished(nodes)) {
    if (simulation.nextTime() > LONGEST_TRIAL_NS) {
      throw new Error('The traffic did not end within 30 simulated days; give the experiment a duration_s');
    }
    simulation.step();
  }
}

function allFinished(nodes: readonly ObservedNode[]): boolean {
  for (let i = 0; i < nodes.length; i++) if (!nodes[i].finished) return false;
  return true;
}

/** The cluster's endpoints as the timeline of an observed node shows them. */
function viewOf(control: ControlPlane, node: number): EndpointView {
  return {
    readyEndpoints: (id) => control.readyEndpoints(id),
    installedEndpoints: (id) => control.installedEndpoints(id, node),
    servingEndpoints: (id) => control.servingEndpoints(id, node),
  };
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
