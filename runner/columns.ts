/** The columns of observations.csv, known before the first trial runs so that the file can grow row by row. */
import { COUNTER_NAMES } from '../model/counters.ts';
import { OBSERVATION_COLUMNS, type Cell, type Observation } from '../model/observation.ts';
import type { AxisValues } from './sweep-plan.ts';
import { FAILURE_KINDS } from './trial-meter.ts';

/** Metrics that every experiment has beside OBSERVATION_COLUMNS. */
const OWN_METRICS = [
  'first_packets',
  'rules_scanned_max',
  'rules_evaluated_per_established_packet_mean',
  'service_chain_entries_per_established_packet_mean',
  'cost_over_bare_first_packet_mean_ns',
  'cost_over_bare_per_packet_mean_ns',
  ...FAILURE_KINDS.map((kind) => `failed_connections_${kind}`),
  'stale_connections',
  'broken_connections',
  'returning_connections',
  'returning_connections_same_endpoint',
  'syncs',
  'endpoint_slice_writes',
  'path_measured',
  ...COUNTER_NAMES.map((name) => `${name}_total`),
  'failure_reason',
];

/** Columns that identify a row or describe its world; every other numeric column is a metric. */
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
  'path_measured',
  'failure_reason',
]);

/** Axes other than `services` and `endpoints_per_service`, in the scenario's order. */
export function ownAxes(values: AxisValues): string[] {
  return Object.keys(values).filter((name) => name !== 'services' && name !== 'endpoints_per_service');
}

export function observationColumns(axisNames: readonly string[]): string[] {
  return [...OBSERVATION_COLUMNS, ...axisNames, ...OWN_METRICS];
}

export function metricColumns(axisNames: readonly string[]): string[] {
  return observationColumns(axisNames).filter((name) => !IDENTITY.has(name) && !axisNames.includes(name));
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
