/** The observation of a trial: one row of observations.csv from what its meters and its control plane have counted. */
import type { ControlPlane } from '../control/control-plane.ts';
import type { CostModel } from '../costs/cost-model.ts';
import type { Cell, Observation } from '../model/observation.ts';
import { ORIGIN_EXTERNAL, ORIGIN_HOST, ORIGIN_POD } from '../model/packet.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import type { BuiltCluster } from '../scenarios/cluster-builder.ts';
import type { PointSpec } from '../scenarios/spec.ts';
import { clientPolicy } from './client-policy.ts';
import { rangeMetrics } from './cost-columns.ts';
import { quantileSorted, sortAscending } from './statistics.ts';
import type { Trial } from './sweep-plan.ts';
import { syncMetrics } from './sync-log.ts';
import type { SyncLog } from './sync-log.ts';
import type { TrialMeter } from './trial-meter.ts';

export interface Measured {
  /** Over all observed nodes. */
  readonly meter: TrialMeter;
  /** One for each observed node. */
  readonly syncs: readonly SyncLog[];
  readonly control: ControlPlane;
  readonly costs: CostModel;
}

/** Every column but those that only some trials have. */
export function observe(trial: Trial, cluster: BuiltCluster, { meter, syncs, control, costs }: Measured): Observation {
  const { point } = trial;
  const { traffic } = point;
  const latencies = syncs.flatMap((_, node) => control.latencies(node));
  const latenciesMs = sortAscending(Float64Array.from(latencies, (ns) => ns / NS_PER_MS));
  const latency = (q: number): Cell =>
    latenciesMs.length === 0 ? null : quantileSorted(latenciesMs, latenciesMs.length, q);
  const fromOutside = traffic.nodePortRatio + traffic.loadBalancerRatio + traffic.externalIpRatio;
  const origins = [
    ...(traffic.hostClientRatio > 0 ? [ORIGIN_HOST] : []),
    ...(fromOutside > 0 ? [ORIGIN_EXTERNAL] : []),
    ...(traffic.hostClientRatio + fromOutside < 1 ? [ORIGIN_POD] : []),
  ];
  const metrics = meter.metrics(clientPolicy(traffic) !== undefined, point.profile.unit);
  return {
    experiment: trial.experiment,
    engine: trial.engine,
    profile: point.profile.name,
    ...clusterColumns(cluster, point),
    rules: syncs[0].first.rules,
    replication: trial.replication,
    seed: trial.seed,
    status: 'ok',
    ...syncMetrics(syncs),
    programming_latency_p50_ms: latency(0.5),
    programming_latency_p90_ms: latency(0.9),
    programming_latency_p99_ms: latency(0.99),
    programming_latency_max_ms: latency(1),
    ...detectionColumns(control.probeDetections),
    digest: meter.digest(),
    ...axisColumns(trial),
    ...metrics,
    ...rangeMetrics(point.profile, costs.context, metrics),
    ...(traffic.dns === undefined ? { failed_connections_not_resolved: null } : {}),
    endpoint_slice_writes: control.endpointSliceWrites,
    endpoint_slice_bytes: control.endpointSliceBytes,
    endpoint_slice_events: control.endpointSliceEvents,
    ...nodeColumns(control),
    rules_behind_s: meanOf(syncs.map((_, node) => control.behindNs(node))) / NS_PER_S,
    path_measured: origins.every((origin) => costs.pathMeasured(origin)),
  };
}

/** How the same changes came to the rules of all nodes, the observed ones among them. */
function nodeColumns(control: ControlPlane): Record<string, Cell> {
  const over = control.latenciesOverNodes();
  const ms = (ns: number | undefined): Cell => (ns === undefined ? null : ns / NS_PER_MS);
  return {
    nodes: over.nodes,
    programming_latency_over_nodes_p50_ms: ms(over.quantileNs(0.5)),
    programming_latency_over_nodes_p90_ms: ms(over.quantileNs(0.9)),
    programming_latency_over_nodes_p99_ms: ms(over.quantileNs(0.99)),
    programming_latency_last_node_p50_ms: ms(over.lastNodeQuantileNs(0.5)),
    programming_latency_last_node_p99_ms: ms(over.lastNodeQuantileNs(0.99)),
    programming_latency_slowest_node_p99_ms: ms(over.slowestNodeP99Ns),
  };
}

/** `detections`: for each pod that was called not ready, how long its check had been failing, ns. */
export function detectionColumns(detections: readonly number[]): Record<string, Cell> {
  const n = detections.length;
  const sum = detections.reduce((total, ns) => total + ns, 0);
  const most = detections.reduce((longest, ns) => Math.max(longest, ns), 0);
  return {
    probe_detections: n,
    probe_detection_mean_ms: n === 0 ? null : sum / n / NS_PER_MS,
    probe_detection_max_ms: n === 0 ? null : most / NS_PER_MS,
  };
}

/** `services` and `endpoints_per_service` as the cluster has them, also where they are not swept. */
function clusterColumns(cluster: BuiltCluster, point: PointSpec): Record<string, Cell> {
  if (point.cluster.kind === 'synthetic') {
    return { services: point.cluster.services, endpoints_per_service: point.cluster.endpointsPerService };
  }
  const ports = cluster.state.servicePorts;
  const services = new Set(ports.map((svc) => `${svc.namespace}/${svc.name}`)).size;
  const endpoints = ports.reduce((sum, svc) => sum + svc.endpoints.length, 0);
  return { services, endpoints_per_service: ports.length === 0 ? 0 : endpoints / ports.length };
}

/** Axes other than the two that have columns of their own. */
export function axisColumns(trial: Trial): Record<string, Cell> {
  const columns: Record<string, Cell> = {};
  for (const [name, value] of Object.entries(trial.values)) {
    if (name !== 'services' && name !== 'endpoints_per_service') columns[name] = value;
  }
  return columns;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
