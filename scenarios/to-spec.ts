/** From the checked YAML form (snake_case, seconds, shorthands) to the typed spec that the rest of the project reads. */
import { parseCidr, parseIpv4 } from '../model/address.ts';
import type { Cidr } from '../model/address.ts';
import type { KubeProxyBehaviour } from '../model/kube-proxy.ts';
import { quote } from './errors.ts';
import { toDns } from './to-dns.ts';
import { dotted } from './schema-issues.ts';
import { ENDPOINT_LIMIT } from './schema.ts';
import type { DistributionInput, ExperimentInput } from './schema.ts';
import type {
  DistributionSpec,
  LocalDetection,
  PropagationSpec,
  ProxySpec,
  SyntheticCluster,
  TrafficSpec,
} from './spec.ts';
import type { Path } from './source.ts';

/** Called with a mistake that zod cannot see; throws. */
export type Fail = (message: string, path: Path) => never;

/** The API server's default range 30000-32767 has this many node ports, for each protocol. */
const NODE_PORT_COUNT = 2768;

export function toDistribution(input: DistributionInput, path: Path, fail: Fail): DistributionSpec {
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

const TOPOLOGIES = { none: undefined, same_zone: 'PreferSameZone', same_node: 'PreferSameNode' } as const;

function toBlocks(texts: readonly string[], path: Path, fail: Fail): Cidr[] {
  return texts.map((text, i) => toBlock(text, [...path, i], fail));
}

function toBlock(text: string, path: Path, fail: Fail): Cidr {
  const block = parseCidr(text);
  if (block !== undefined) return block;
  const hint = parseIpv4(text) === undefined ? '' : ` Did you mean "${text}/32"?`;
  return fail(`"${dotted(path)}" must be an IPv4 block such as "10.0.0.0/8", got ${quote(text)}.${hint}`, path);
}

export function toSynthetic(
  input: NonNullable<ExperimentInput['cluster']['synthetic']>,
  observedNodes: number,
  fail: Fail,
): SyntheticCluster {
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
  // A LoadBalancer Service with externalTrafficPolicy Local has a health-check node port of TCP beside the others.
  const isLocal = input.external_traffic_policy === 'local';
  const healthChecks = isLocal ? Math.ceil(input.services * input.load_balancer_ratio) : 0;
  const ofTcp = healthChecks + (input.protocol === 'tcp' ? nodePorts : 0);
  if (ofTcp > NODE_PORT_COUNT) {
    fail(
      `${healthChecks} health-check node ports (load balancers under external_traffic_policy local) do not fit beside the node ports; the API server's range 30000-32767 has ${NODE_PORT_COUNT}.`,
      [...path, 'load_balancer_ratio'],
    );
  }
  return {
    kind: 'synthetic',
    services: input.services,
    endpointsPerService: input.endpoints_per_service,
    ports: input.ports,
    protocol: input.protocol,
    nodePortRatio: input.node_port_ratio,
    emptyRatio: input.empty_ratio,
    loadBalancerRatio: input.load_balancer_ratio,
    externalIpRatio: input.external_ip_ratio,
    sourceRanges: toBlocks(input.source_ranges, [...path, 'source_ranges'], fail),
    externalPolicyLocal: isLocal,
    internalPolicyLocal: input.internal_traffic_policy === 'local',
    affinitySeconds: input.session_affinity_s,
    trafficDistribution: TOPOLOGIES[input.topology],
    nodes: input.nodes,
    deployments: input.deployments,
    observedNodes,
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
  const shares = ['node_port_ratio', 'load_balancer_ratio', 'external_ip_ratio', 'host_client_ratio'] as const;
  const sum = shares.reduce((total, key) => total + input[key], 0);
  // Shares such as 0.1 are not exact in binary.
  if (sum > 1 + 1e-9) {
    const given = shares.filter((key) => input[key] > 0);
    const names = `${given.slice(0, -1).map(quote).join(', ')} and ${quote(given.at(-1))}`;
    fail(`${names} together must be at most 1, got ${sum}.`, [...path, given[0]]);
  }
  return {
    connections: input.connections,
    connectionsPerSecond: input.connections_per_s,
    packetsPerConnection: packets,
    packetGapSeconds: toDistribution(input.packet_gap_s, [...path, 'packet_gap_s'], fail),
    popularity: toPopularity(input.popularity),
    nodePortRatio: input.node_port_ratio,
    loadBalancerRatio: input.load_balancer_ratio,
    externalIpRatio: input.external_ip_ratio,
    externalClients: input.external_clients,
    hostClientRatio: input.host_client_ratio,
    clientPods: input.client_pods,
    onlyManifestServices: input.only_manifest_services,
    payloadBytes: input.payload_bytes,
    ...(input.client_kernel === undefined ? {} : { clientKernel: toKernelVersion(input.client_kernel) }),
    ...(input.connect_timeout_s === undefined ? {} : { connectTimeoutSeconds: input.connect_timeout_s }),
    retries: input.retries,
    retryBackoffSeconds: input.retry_backoff_s,
    ...(input.client_ports === undefined ? {} : { clientPorts: input.client_ports }),
    ...(input.dns === undefined
      ? {}
      : { dns: toDns(input.dns, (each, key) => toDistribution(each, [...path, 'dns', key], fail)) }),
  };
}

function toKernelVersion(text: string): [number, number] {
  const [major, minor] = text.split('.').map(Number);
  return [major, minor];
}

function toPopularity(input: ExperimentInput['traffic']['popularity']): TrafficSpec['popularity'] {
  if (input === 'uniform') return { kind: 'uniform' };
  if ('zipf' in input) return { kind: 'zipf', exponent: input.zipf };
  return { kind: 'one', service: String(input.one) };
}

export function toProxy(input: ExperimentInput['proxy'], kubeProxy: KubeProxyBehaviour, fail: Fail): ProxySpec {
  const { minimize_iptables_restore: iptablesPartialSync = kubeProxy.iptablesPartialSync } = input;
  return {
    kubeProxy: { ...kubeProxy, iptablesPartialSync },
    minSyncPeriodSeconds: input.min_sync_period_s,
    syncPeriodSeconds: input.sync_period_s,
    masqueradeAll: input.masquerade_all,
    largeClusterEndpoints: input.large_cluster_endpoints,
    ipvsScheduler: input.ipvs_scheduler,
    ipvsConnTabBits: input.ipvs_conn_tab_bits,
    iptablesBackend: input.iptables_backend,
    ipvsConnReuseMode: input.ipvs_conn_reuse_mode === 'default' ? undefined : input.ipvs_conn_reuse_mode,
    nodeKernel: toNodeKernel(input.node_kernel, fail),
    evaluator: input.evaluator,
    masqueradeRandomFully: input.masquerade_random_fully,
    localhostNodePorts: input.localhost_node_ports,
    nodePortAddresses: toNodePortAddresses(input.node_port_addresses, fail),
    nfacct: input.nfacct,
    conntrackTcpLiberal: input.conntrack_tcp_liberal,
    conntrackMax: input.conntrack_max,
    serviceCidrs: toBlocks(input.service_cidrs, ['proxy', 'service_cidrs'], fail),
    localDetection: toLocalDetection(input.detect_local, fail),
  };
}

/** conn_reuse_mode is there from 4.1 on. */
function toNodeKernel(text: string, fail: Fail): readonly [number, number] {
  const version = toKernelVersion(text);
  const [major, minor] = version;
  if (major < 4 || (major === 4 && minor < 1)) {
    fail(`"proxy.node_kernel" must be at least 4.1, got ${text}.`, ['proxy', 'node_kernel']);
  }
  return version;
}

function toNodePortAddresses(given: readonly string[] | undefined, fail: Fail): ProxySpec['nodePortAddresses'] {
  const path = ['proxy', 'node_port_addresses'];
  if (given?.includes('primary') !== true) return given === undefined ? undefined : toBlocks(given, path, fail);
  if (given.length > 1) fail('"proxy.node_port_addresses" must be "primary" alone, or blocks.', path);
  return 'primary';
}

function toLocalDetection(input: ExperimentInput['proxy']['detect_local'], fail: Fail): LocalDetection {
  if (input === 'cidr') return { kind: 'cluster' };
  if (input === 'none') return { kind: 'none' };
  if ('bridge' in input) return { kind: 'bridge', name: input.bridge };
  if ('prefix' in input) return { kind: 'prefix', name: input.prefix };
  return { kind: 'cidr', cidr: toBlock(input.cidr, ['proxy', 'detect_local', 'cidr'], fail) };
}

export function toPropagation(input: ExperimentInput['propagation'], fail: Fail): PropagationSpec {
  const path = ['propagation'];
  return {
    statusUpdateSeconds: toDistribution(input.status_update_s, [...path, 'status_update_s'], fail),
    endpointSliceSeconds: toDistribution(input.endpoint_slice_s, [...path, 'endpoint_slice_s'], fail),
    watchSeconds: toDistribution(input.watch_s, [...path, 'watch_s'], fail),
    podStartSeconds: toDistribution(input.pod_start_s, [...path, 'pod_start_s'], fail),
    apiCallSeconds: toDistribution(input.api_call_s, [...path, 'api_call_s'], fail),
    endpoints: {
      api: input.endpoints_api,
      truncation: input.endpoints_truncation,
      maxPerSlice: input.max_endpoints_per_slice,
      batchSeconds: input.endpoint_batch_s,
    },
  };
}
