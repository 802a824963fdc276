import { describe, expect, it } from 'vitest';
import type { SummaryRow } from '../reports/csv.ts';
import { ruleReadings } from './findings-rules.ts';

const SERVICES = [1, 100, 600, 1000, 5000];

function rows(metric: string, mean: (services: number) => number, engine = 'iptables'): SummaryRow[] {
  return SERVICES.map((services) => ({
    experiment: 'x',
    engine,
    profile: 'p',
    services,
    endpoints_per_service: 2,
    rules: 24 + 8 * services,
    axes: {},
    metric,
    replications: 1,
    mean: mean(services),
    stddev: null,
    ci95_low: null,
    ci95_high: null,
  }));
}

const summary = [
  ...rows('cost_first_packet_mean_ns', (n) => 3000 + 4 * n),
  ...rows('cost_established_packet_mean_ns', () => 1500),
  ...rows('sync_full_ms', (n) => n / 5),
];

describe('ruleReadings', () => {
  it('says what each reading of "5,000 rules" costs', () => {
    expect(ruleReadings(summary, ['iptables'])).toEqual([
      {
        id: 'rule-readings',
        text:
          '"5,000 rules" read as 4,824 rules in all (600 services): in iptables mode a first packet costs 5.4 µs, 2.4 µs more than at 1, an ' +
          'established packet no more, a full sync takes 120 ms. "5,000 rules" read as 5,000 services (40,024 rules in all): in iptables mode ' +
          'a first packet costs 23.0 µs, 20.0 µs more than at 1, an established packet no more, a full sync takes 1.0 s.',
      },
    ]);
  });

  it('says nothing where no size is near, or iptables mode is not asked', () => {
    expect(ruleReadings(summary, ['ipvs'])).toEqual([]);
    const few = summary.filter((row) => (row.services ?? 0) <= 100);
    expect(ruleReadings(few, ['iptables'])).toEqual([]);
  });
});
