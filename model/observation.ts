/** One row a trial: the columns that every observations.csv has, then an experiment's own parameters and metrics. */

export type Cell = string | number | boolean | null;

/** Column name to value; null prints as an empty cell. Column order is that of OBSERVATION_COLUMNS, then insertion order. */
export type Observation = Readonly<Record<string, Cell>>;

/**
 * What stands behind a modelled cost: measurements of the mode in that unit; or of it in instructions, which a factor turns into time; or
 * no measurement, but the algorithm of a scheduler or a rough figure.
 */
export const COST_BASES = ['measured', 'derived', 'estimated'] as const;
export type CostBasis = (typeof COST_BASES)[number];

export const OBSERVATION_COLUMNS = [
  'experiment',
  'engine',
  'profile',
  'services',
  'endpoints_per_service',
  'rules',
  'replication',
  'seed',
  'status',
  'packets',
  'connections',
  'failed_connections',
  'rules_evaluated_per_first_packet_mean',
  'service_chain_entries_per_first_packet_mean',
  'cost_per_packet_mean_ns',
  'cost_first_packet_mean_ns',
  'cost_first_packet_p50_ns',
  'cost_first_packet_p99_ns',
  'cost_established_packet_mean_ns',
  'sync_full_ms',
  'sync_incremental_mean_ms',
  'programming_latency_p50_ms',
  'programming_latency_p99_ms',
  'digest',
] as const;

/** One row of timeline.csv: the state at `time_s`, and events counted since the row before. */
export interface TimelineRow {
  readonly engine: string;
  readonly replication: number;
  /** The observed node whose rules and connections the row is about; empty in a file that an older version wrote. */
  readonly node: string;
  readonly service: string;
  readonly time_s: number;
  readonly ready_endpoints: number;
  readonly installed_endpoints: number;
  /** Installed endpoints behind which a process listens; the others fail a connection. */
  readonly serving_endpoints: number;
  readonly connections: number;
  /** New connections that got no answer or a refusal. */
  readonly failed_connections: number;
  /** New connections that reached a pod that was not ready. */
  readonly stale_connections: number;
  /** Connections that were established, then or earlier, and whose pod stopped; never counted as failed. */
  readonly broken_connections: number;
  /** Human-readable event at this instant (`sync`, `pod alpaca-prod-1 not ready`), or empty. */
  readonly event: string;
}
