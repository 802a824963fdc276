/** The columns of observations.csv, known before the first trial runs so that the file can grow row by row. */
import { COUNTER_NAMES } from '../model/counters.ts';
import { OBSERVATION_COLUMNS, type Cell, type Observation } from '../model/observation.ts';
import type { CostUnit } from '../model/profile.ts';
import { INSTRUCTION_COLUMNS, OVER_BARE_COLUMNS, rangeColumns } from './cost-columns.ts';
import type { AxisValues } from './sweep-plan.ts';
import { FAILURE_KINDS } from './trial-meter.ts';

/**
 * What change does to clients and to the control plane, in the order of the columns:
 * - `programming_latency_p90_ms`, `programming_latency_max_ms`: beside p50 and p99, from a pod's change to this node's rules;
 * - `probe_detections`: how often a pod that nobody deletes was called not ready; `probe_detection_*_ms`: from its check's beginning to
 *   fail (or its process to listen no more) to its kubelet's word; null without any;
 * - `availability_ratio`: 1 - (failed + waiting) / connections; `connection_attempts`: with retries more than connections;
 * - `refused_connections` and `timed_out_connections`: failed ones, by whether a reset or an ICMP error came or nothing at all (they
 *   add up to `failed_connections`, those without a free port or an address apart); `waiting_connections`: no answer yet at the trial's end (null
 *   where clients do not wait);
 * - `reset_connections` and `silent_connections`: cut ones, by whether the pod (or userspace mode's process) sent a reset or was gone
 *   (they add up to `broken_connections`; a UDP flow that meets no process is silent, once, and goes on);
 * - `removed_pod_connections`: went on to an endpoint after this node's rules had let go of it;
 * - `stale_packets`: of clients, sent to an endpoint whose pod was not ready; `retransmitted_syns`: null where clients do not wait;
 * - `first_byte_delay_*_ms`: from a connection's first SYN to the SYN that was answered, retries included; null as above;
 * - `load_*_ratio`: largest number of connections of an endpoint over the mean, standard deviation over the mean, over the endpoints
 *   that the rules led to throughout; null where no service port has two of them;
 * - `load_packets_*_ratio`: the same of the packets that these connections were to have, so that a long connection weighs more;
 * - `sync_cpu_s`, `sync_operations`, `restore_lines`, `restore_bytes`: over all syncs, the first included; operations are what is asked of the kernel
 *   one by one (netlink, ipset, addresses, nftables, iptables commands, conntrack), lines what iptables-restore was fed, bytes theirs (iptables mode alone);
 * - `kube_proxy_memory_bytes`: what kube-proxy's own process holds, by its service ports and endpoints;
 * - `failed_syncs`: changed no rule, and are in `sync_cpu_s` by the time that they took and nowhere else; `rules_behind_s`: how long in all
 *   this node's rules lacked some change that its kube-proxy had been sent (waiting, syncing and failing syncs alike);
 * - `endpoint_slice_events`: watch events, one a write and node.
 * - `programming_latency_over_nodes_*`: of every change on every node of the cluster; `..._last_node_*`: of a change, until the last node
 *   has it (changes that all nodes have by the end); `..._slowest_node_p99_ms`: the largest p99 of a node. The other columns of
 *   programming latency, and those of syncs, are of the observed nodes (syncs: mean of them).
 */
const CHANGE_METRICS = [
  'programming_latency_p90_ms',
  'programming_latency_max_ms',
  'probe_detections',
  'probe_detection_mean_ms',
  'probe_detection_max_ms',
  'availability_ratio',
  'connection_attempts',
  'refused_connections',
  'timed_out_connections',
  'waiting_connections',
  'reset_connections',
  'silent_connections',
  'removed_pod_connections',
  'stale_packets',
  'retransmitted_syns',
  'first_byte_delay_mean_ms',
  'first_byte_delay_p99_ms',
  'load_max_over_mean_ratio',
  'load_variation_ratio',
  'load_packets_max_over_mean_ratio',
  'load_packets_variation_ratio',
  'sync_cpu_s',
  'sync_operations',
  'restore_lines',
  'restore_bytes',
  'kube_proxy_memory_bytes',
  'failed_syncs',
  'rules_behind_s',
  'endpoint_slice_events',
  'programming_latency_over_nodes_p50_ms',
  'programming_latency_over_nodes_p90_ms',
  'programming_latency_over_nodes_p99_ms',
  'programming_latency_last_node_p50_ms',
  'programming_latency_last_node_p99_ms',
  'programming_latency_slowest_node_p99_ms',
] as const;

/**
 * Look-ups of names, null without `traffic.dns`, as is `failed_connections_not_resolved`:
 * - `dns_queries`: datagrams with a question each, a mean of `dns_queries_per_connection_mean` over the connections whose client asked;
 * - `dns_nxdomain_answers`: how many of them learned that there is no such name; `dns_timeouts`: attempts that were waited out;
 * - `dns_stale_answers`: look-ups of headless Services that gave the address of a pod which did not listen, or was gone;
 * - `dns_delay_*_ms`: from the beginning of a look-up to its end, with an address or without.
 */
const DNS_METRICS = [
  'dns_queries',
  'dns_queries_per_connection_mean',
  'dns_nxdomain_answers',
  'dns_timeouts',
  'dns_stale_answers',
  'dns_delay_mean_ms',
  'dns_delay_p99_ms',
] as const;

/**
 * Metrics that every experiment has beside OBSERVATION_COLUMNS. `endpoint_slice_writes`: creates, updates and deletes of EndpointSlices,
 * or of Endpoints objects where the experiment asks for those; `endpoint_slice_bytes`: what the API server sends to all nodes together in
 * the watch events of these writes, protobuf, before HTTP/2 and TLS.
 *
 * `cost_*_low_ns` and `cost_*_high_ns`: how far the kernel's own figure may be from the modelled one beside it, by the profile's range
 * (costs/range.ts). They are not metrics: more replications do not bring them closer, so summary.csv has no interval of them, but
 * `range_low` and `range_high` beside the interval of the cost itself. `cost_basis`: `measured`, `derived` (time from counted
 * instructions) or `estimated` (no measurement has it).
 */
const OWN_METRICS = [
  'first_packets',
  'rules_scanned_max',
  'rules_evaluated_per_established_packet_mean',
  'service_chain_entries_per_established_packet_mean',
  ...OVER_BARE_COLUMNS,
  ...rangeColumns('ns'),
  ...FAILURE_KINDS.map((kind) => `failed_connections_${kind}`),
  'stale_connections',
  'broken_connections',
  'returning_connections',
  'returning_connections_same_endpoint',
  'syncs',
  'endpoint_slice_writes',
  'endpoint_slice_bytes',
  ...CHANGE_METRICS,
  'nodes',
  ...DNS_METRICS,
  'path_measured',
  'cost_basis',
  ...COUNTER_NAMES.map((name) => `${name}_total`),
  'failure_reason',
];

/** Percentiles of a request's latency, as they stand in its columns. */
export const LATENCY_PERCENTILES = ['01', '10', '25', '50', '75', '90', '95', '99'] as const;

/**
 * What clients see, in experiments whose profile has a rig section, and in no others (costs/client-view.ts):
 * - `request_latency_*_ms`: a request with a connection of its own; `keep_alive_latency_*_ms`: one on an open connection; both at the
 *   load of the trial, and null where that is more than the rig can bear;
 * - `requests_per_second_saturated`, `keep_alive_...`: how many of each the rig can bear;
 * - `client_node_cpu_cores`: of the client's node at the load of the trial, with the syncs that come without any change;
 * - `kube_proxy_bytes_per_service`: memory of kube-proxy's process for a service port with its endpoints.
 */
const RIG_METRICS = [
  'request_latency_mean_ms',
  ...LATENCY_PERCENTILES.map((percent) => `request_latency_p${percent}_ms`),
  'keep_alive_latency_mean_ms',
  ...LATENCY_PERCENTILES.map((percent) => `keep_alive_latency_p${percent}_ms`),
  'requests_per_second_saturated',
  'keep_alive_requests_per_second_saturated',
  'client_node_cpu_cores',
  'kube_proxy_bytes_per_service',
];

/** Columns that identify a row, describe its world, or say how far a cost may be off; every other numeric column is a metric. */
const IDENTITY = new Set([
  'experiment',
  'engine',
  'profile',
  'services',
  'endpoints_per_service',
  'rules',
  'replication',
  'seed',
  'status',
  'digest',
  'nodes',
  'path_measured',
  'cost_basis',
  'failure_reason',
  ...rangeColumns('ns'),
  ...rangeColumns('instructions'),
]);

/** Axes other than `services` and `endpoints_per_service`, in the scenario's order. */
export function ownAxes(values: AxisValues): string[] {
  return Object.keys(values).filter((name) => name !== 'services' && name !== 'endpoints_per_service');
}

/** What an experiment's profiles have that columns depend on. */
export interface ProfileColumns {
  /** With instructions the columns in nanoseconds are empty, and others stand beside them. */
  readonly units: readonly CostUnit[];
  /** Whether the profile of some trial has a rig section. */
  readonly hasRig: boolean;
}

export function observationColumns(
  axisNames: readonly string[],
  { units, hasRig }: ProfileColumns = { units: ['ns'], hasRig: false },
): string[] {
  const instructions = units.includes('instructions') ? [...INSTRUCTION_COLUMNS, ...rangeColumns('instructions')] : [];
  return [...OBSERVATION_COLUMNS, ...axisNames, ...instructions, ...OWN_METRICS, ...(hasRig ? RIG_METRICS : [])];
}

export function metricColumns(axisNames: readonly string[], hasRig = false): string[] {
  return observationColumns(axisNames, { units: ['ns', 'instructions'], hasRig }).filter(
    (name) => !IDENTITY.has(name) && !axisNames.includes(name),
  );
}

/** The observation with every column present, in the columns' order. */
export function completeRow(observation: Observation, columns: readonly string[]): Observation {
  const row: Record<string, Cell> = {};
  for (const column of columns) row[column] = observation[column] ?? null;
  for (const column of Object.keys(observation)) {
    if (!(column in row)) throw new Error(`Column "${column}" is not declared in runner/columns.ts`);
  }
  return row;
}
