import { describe, expect, it } from 'vitest';
import type { SummaryRow } from '../reports/csv.ts';
import { dnsFindings } from './findings-dns.ts';

const row = (metric: string, mean: number, engine = 'ipvs'): SummaryRow => ({ engine, metric, mean }) as SummaryRow;

describe('dnsFindings', () => {
  it('say what a look-up cost and how it failed', () => {
    const summary = [
      row('dns_queries_per_connection_mean', 8.012),
      row('dns_delay_mean_ms', 46.1),
      row('dns_delay_p99_ms', 5012.8),
      row('dns_timeouts', 6),
      row('failed_connections_not_resolved', 0.4),
    ];
    expect(dnsFindings(summary, 'ipvs')).toEqual([
      {
        id: 'dns-ipvs',
        text:
          'IPVS: a connection cost 8.01 DNS queries, and its look-up 46 ms on average (p99 5.0 s); ' +
          '6.0 attempts timed out, 0.4 connections got no address.',
      },
    ]);
    expect(dnsFindings(summary, 'iptables')).toEqual([]);
  });

  it('are silent without look-ups', () => {
    expect(dnsFindings([row('connections', 5)], 'ipvs')).toEqual([]);
  });
});
