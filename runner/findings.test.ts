/** Sentences of a sweep over all four modes, from made-up rows. */
import { describe, expect, it } from 'vitest';
import type { SummaryRow } from '../reports/csv.ts';
import { findingsOf } from './findings.ts';

const SIZES = [10, 100, 1000, 2000, 5000];

function rows(engine: string, metric: string, mean: (services: number) => number): SummaryRow[] {
  return SIZES.map((services) => ({
    experiment: 'x',
    engine,
    profile: 'p',
    services,
    endpoints_per_service: 2,
    rules: 8 * services,
    axes: {},
    metric,
    replications: 1,
    mean: mean(services),
    stddev: null,
    ci95_low: null,
    ci95_high: null,
  }));
}

const RULES = 'rules_evaluated_per_first_packet_mean';
const COST = 'cost_first_packet_mean_ns';
const SYNC = 'sync_full_ms';

const summary = [
  ...rows('iptables', RULES, (n) => 14 + n / 2),
  ...rows('iptables', COST, (n) => 3000 + 4 * n),
  ...rows('iptables', SYNC, (n) => n / 10),
  ...rows('ipvs', RULES, () => 15),
  ...rows('ipvs', COST, () => 3700),
  ...rows('ipvs', SYNC, (n) => n),
  ...rows('nftables', RULES, () => 17),
  ...rows('nftables', COST, (n) => 3090 + n / 4),
  ...rows('nftables', SYNC, (n) => (n * n) / 1000),
  ...rows('userspace', RULES, (n) => 20 + 2 * n),
  ...rows('userspace', COST, (n) => 50_000 + 8 * n),
  ...rows('userspace', SYNC, (n) => 5 * n),
];
const ENGINES = ['iptables', 'ipvs', 'nftables', 'userspace'];

function textOf(id: string, engines: readonly string[] = ENGINES, from: readonly SummaryRow[] = summary): string {
  const chosen = from.filter((row) => engines.includes(row.engine));
  return findingsOf(chosen, engines).find((finding) => finding.id === id)?.text ?? '';
}

describe('findings of four modes', () => {
  it('have an id each', () => {
    const ids = findingsOf(summary, ENGINES).map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('say where iptables crosses each other mode', () => {
    expect(textOf('first-packet-comparison')).toBe(
      'First packet at 5,000 services: iptables 23.0 µs, IPVS 3.7 µs (6.2 times). By the mean, from somewhere between ' +
        '100 and 1,000 services on, IPVS is the cheaper one.',
    );
    expect(textOf('first-packet-comparison-nftables')).toContain('nftables 4.3 µs (5.3 times)');
    expect(textOf('first-packet-comparison-nftables')).toContain('between 10 and 100 services on, nftables');
    expect(textOf('first-packet-comparison-userspace')).toContain(
      'userspace 90.0 µs (3.9 times as much). By the mean, userspace is never the cheaper one.',
    );
  });

  it('do not claim one crossing where there are two', () => {
    const back = summary.map((row) =>
      row.engine === 'ipvs' && row.metric === COST && row.services === 5000 ? { ...row, mean: 1e6 } : row,
    );
    expect(textOf('first-packet-comparison', ENGINES, back)).toContain('the two cross more than once');
  });

  it('say that nftables does the same work at every size, and what its cost does', () => {
    expect(textOf('flat-nftables')).toContain(
      'nftables: a first packet evaluates 17 rules at every size and costs 3.1 µs at 10 services, 4.3 µs at 5,000 (40 % more): ' +
        'the rules and map look-ups stay the same',
    );
    const flat = summary.map((row) => (row.metric === COST ? { ...row, mean: 3000 } : row));
    expect(textOf('flat-nftables', ENGINES, flat)).toContain('neither its work nor its cost depends on services');
    const growing = summary.map((row) => (row.engine === 'nftables' ? { ...row, mean: row.services ?? 0 } : row));
    expect(textOf('flat-nftables', ENGINES, growing)).toBe('');
  });

  it('say what the first sync of a large table takes in each mode', () => {
    expect(textOf('full-sync')).toBe(
      'A first full sync at 5,000 services takes iptables 500 ms, IPVS 5.0 s, nftables 25.0 s, userspace 25.0 s. ' +
        'With nftables it grows with services to the power of 2.0.',
    );
  });

  it('are about the engines of the sweep alone', () => {
    const ids = findingsOf(
      summary.filter((row) => row.engine === 'nftables'),
      ['nftables'],
    ).map(({ id }) => id);
    expect(ids).toContain('rules-exponent-nftables');
    expect(ids.filter((id) => /comparison|claim|bend|ipvs/.test(id))).toEqual([]);
    expect(textOf('full-sync', ['iptables', 'ipvs'])).toBe('');
  });
});
