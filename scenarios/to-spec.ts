/** From the checked YAML form (snake_case, seconds, shorthands) to the typed spec that the rest of the project reads. */
import { ENDPOINT_LIMIT } from './schema.ts';
import type { DistributionInput, ExperimentInput } from './schema.ts';
import type { ChurnSpec, DistributionSpec, PropagationSpec, ProxySpec, SyntheticCluster, TrafficSpec } from './spec.ts';
import type { Path } from './source.ts';

/** Called with a mistake that zod cannot see; throws. */
export type Fail = (message: string, path: Path) => never;

/** The API server's default range 30000-32767 has this many node ports, for each protocol. */
const NODE_PORT_COUNT = 2768;

function toDistribution(input: DistributionInput, path: Path, fail: Fail): DistributionSpec {
  if (typeof input === 'number') return { kind: 'constant', value: input };
  switch (input.distribution) {
    case 'constant':
      return { kind: 'constant', value: input.value };
    case 'exponential':
      return { kind: 'exponential', mean: input.mean };
    case 'lognormal':
      return { kind: 'lognormal', median: input.median, sigma: input.sigma };
    case 'pareto':
      return { kind: 'pareto', scale: input.scale, shape: input.shape };
    case 'empirical': {
      const weights = input.weights ?? input.values.map(() => 1);
      if (weights.length !== input.values.length) {
        fail(`"weights" must have one entry a value (${input.values.length}), got ${weights.length}.`, [
          ...path,
          'weights',
        ]);
      }
      if (!weights.some((weight) => weight > 0)) fail('"weights" must hold a weight above 0.', [...path, 'weights']);
      return { kind: 'empirical', values: input.values, weights };
    }
  }
}

export function toSynthetic(input: NonNullable<ExperimentInput['cluster']['synthetic']>, fail: Fail): SyntheticCluster {
  const path = ['cluster', 'synthetic'];
  const endpoints = input.services * input.endpoints_per_service;
  if (endpoints > ENDPOINT_LIMIT) {
    fail(
      `${input.services} services with ${input.endpoints_per_service} endpoints each make ${endpoints} endpoints; at most ${ENDPOINT_LIMIT} are modelled.`,
      [...path, 'services'],
    );
  }
  if (input.services * input.ports > ENDPOINT_LIMIT) {
    fail(
      `${input.services} services with ${input.ports} ports each make ${input.services * input.ports} service ports; at most ${ENDPOINT_LIMIT} are modelled.`,
      [...path, 'ports'],
    );
  }
  const nodePorts = Math.ceil(input.services * input.node_port_ratio) * input.ports;
  if (nodePorts > NODE_PORT_COUNT) {
    fail(`${nodePorts} node ports are asked for; the API server's range 30000-32767 has ${NODE_PORT_COUNT}.`, [
      ...path,
      'node_port_ratio',
    ]);
  }
  return {
    kind: 'synthetic',
    services: input.services,
    endpointsPerService: input.endpoints_per_service,
    ports: input.ports,
    protocol: input.protocol,
    nodePortRatio: input.node_port_ratio,
    emptyRatio: input.empty_ratio,
    nodes: input.nodes,
  };
}

export function toTraffic(input: ExperimentInput['traffic'], fail: Fail): TrafficSpec {
  const path = ['traffic'];
  const packets = toDistribution(input.packets_per_connection, [...path, 'packets_per_connection'], fail);
  if (packets.kind === 'constant' && packets.value < 1) {
    fail(`"traffic.packets_per_connection" must be at least 1, got ${packets.value}.`, [
      ...path,
      'packets_per_connection',
    ]);
  }
  if (input.node_port_ratio + input.host_client_ratio > 1) {
    fail(
      `"node_port_ratio" and "host_client_ratio" together must be at most 1, got ${input.node_port_ratio + input.host_client_ratio}.`,
      [...path, 'node_port_ratio'],
    );
  }
  return {
    connections: input.connections,
    connectionsPerSecond: input.connections_per_s,
    packetsPerConnection: packets,
    packetGapSeconds: toDistribution(input.packet_gap_s, [...path, 'packet_gap_s'], fail),
    popularity: toPopularity(input.popularity),
    nodePortRatio: input.node_port_ratio,
    hostClientRatio: input.host_client_ratio,
    clientPods: input.client_pods,
    onlyManifestServices: input.only_manifest_services,
  };
}

function toPopularity(input: ExperimentInput['traffic']['popularity']): TrafficSpec['popularity'] {
  if (input === 'uniform') return { kind: 'uniform' };
  if ('zipf' in input) return { kind: 'zipf', exponent: input.zipf };
  return { kind: 'one', service: String(input.one) };
}

export function toChurn(input: ExperimentInput['churn'], fail: Fail): ChurnSpec[] {
  return input.map((entry, i) => {
    const kinds = [entry.rolling_update, entry.probe_failure, entry.scale].filter((each) => each !== undefined);
    if (kinds.length !== 1) {
      fail(`An entry of "churn" must have exactly one of rolling_update, probe_failure, scale, got ${kinds.length}.`, [
        'churn',
        i,
      ]);
    }
    if (entry.rolling_update !== undefined) {
      return {
        kind: 'rolling_update',
        deployment: entry.rolling_update.deployment,
        atSeconds: entry.rolling_update.at_s,
      };
    }
    if (entry.scale !== undefined) {
      const { deployment, replicas, at_s } = entry.scale;
      return { kind: 'scale', deployment, replicas, atSeconds: at_s };
    }
    const failure = entry.probe_failure as NonNullable<typeof entry.probe_failure>;
    return {
      kind: 'probe_failure',
      deployment: failure.deployment,
      pod: failure.pod,
      probe: failure.probe,
      mode: failure.mode,
      atSeconds: failure.at_s,
      durationSeconds: failure.duration_s,
    };
  });
}

export function toProxy(input: ExperimentInput['proxy']): ProxySpec {
  return {
    minSyncPeriodSeconds: input.min_sync_period_s,
    syncPeriodSeconds: input.sync_period_s,
    masqueradeAll: input.masquerade_all,
    largeClusterEndpoints: input.large_cluster_endpoints,
    ipvsScheduler: input.ipvs_scheduler,
    ipvsConnTabBits: input.ipvs_conn_tab_bits,
    evaluator: input.evaluator,
  };
}

export function toPropagation(input: ExperimentInput['propagation'], fail: Fail): PropagationSpec {
  const path = ['propagation'];
  return {
    statusUpdateSeconds: toDistribution(input.status_update_s, [...path, 'status_update_s'], fail),
    endpointSliceSeconds: toDistribution(input.endpoint_slice_s, [...path, 'endpoint_slice_s'], fail),
    watchSeconds: toDistribution(input.watch_s, [...path, 'watch_s'], fail),
    podStartSeconds: toDistribution(input.pod_start_s, [...path, 'pod_start_s'], fail),
  };
}
