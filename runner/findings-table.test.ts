import { expect, it } from 'vitest';
import type { SummaryRow } from '../reports/csv.ts';
import { findingsTable } from './findings-table.ts';

function row(engine: string, services: number, metric: string, mean: number): SummaryRow {
  return {
    experiment: 'x',
    engine,
    profile: 'p',
    services,
    endpoints_per_service: 1,
    rules: 1,
    axes: {},
    metric,
    replications: 1,
    mean,
    stddev: 0,
    ci95_low: null,
    ci95_high: null,
  };
}

it('shows the largest point of each engine, with units, and a dash where there is nothing', () => {
  const text = findingsTable([
    [
      row('iptables', 10, 'cost_first_packet_mean_ns', 3000),
      row('iptables', 1000, 'cost_first_packet_mean_ns', 176_400),
      row('ipvs', 1000, 'cost_first_packet_mean_ns', 3900),
      row('ipvs', 1000, 'sync_full_ms', 113_437),
    ],
  ]);
  const lines = text.split('\n');
  expect(lines).toHaveLength(3);
  expect(lines[1]).toMatch(/^x +iptables +1000 +- +176\.4 µs +- +- /);
  expect(lines[2]).toMatch(/^x +ipvs +1000 +- +3900 ns +- +113\.4 s /);
});

it('keeps to twelve lines whatever the number of engines', () => {
  const summary = [1, 2, 3, 4, 5, 6, 7].flatMap((endpoints) =>
    ['iptables', 'ipvs', 'nftables', 'userspace'].map((engine) => ({
      ...row(engine, 10, 'cost_first_packet_mean_ns', 3000),
      endpoints_per_service: endpoints,
    })),
  );
  expect(findingsTable([summary]).split('\n')).toHaveLength(1 + 12);
  expect(findingsTable([summary.filter((each) => each.engine.startsWith('ip'))]).split('\n')).toHaveLength(1 + 12);
});

it('shows instructions where a profile has no time', () => {
  const text = findingsTable([
    [row('iptables', 10, 'cost_first_packet_mean_instructions', 25_212.4), row('iptables', 10, 'sync_full_ms', 12)],
  ]);
  expect(text.split('\n')[1]).toMatch(/^x +iptables +10 +- +25212 instr\. +- +12\.0 ms /);
});
