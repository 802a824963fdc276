/** What look-ups of names cost: one sentence an engine, where connections began with look-ups. */
import type { SummaryRow } from '../reports/csv.ts';
import { duration, fixed, shown, type Finding } from './finding-words.ts';

export function dnsFindings(summary: readonly SummaryRow[], engine: string): Finding[] {
  const value = (metric: string): number | undefined =>
    summary.find((row) => row.engine === engine && row.metric === metric)?.mean ?? undefined;
  const queries = value('dns_queries_per_connection_mean');
  const mean = value('dns_delay_mean_ms');
  const p99 = value('dns_delay_p99_ms');
  if (queries === undefined || mean === undefined || p99 === undefined) return [];
  const text =
    `${shown(engine)}: a connection cost ${fixed(queries, 2)} DNS queries, and its look-up ${duration(mean)} on average ` +
    `(p99 ${duration(p99)}); ${fixed(value('dns_timeouts') ?? 0, 1)} attempts timed out, ` +
    `${fixed(value('failed_connections_not_resolved') ?? 0, 1)} connections got no address.`;
  return [{ id: `dns-${engine}`, text }];
}
