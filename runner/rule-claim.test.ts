/** "With 5,000 or more rules network performance may drop": the numbers of docs/published.md, by trials. */
import { expect, it } from 'vitest';
import type { Observation } from '../model/observation.ts';
import { loadExperiment, scenariosFolder } from '../scenarios/load.ts';
import { loadProfile } from '../scenarios/load-profile.ts';
import { costWords, count, duration, fixed } from './finding-words.ts';
import { docsBlock, markdownTable } from './generated-docs.ts';
import { runTrial } from './trial.ts';

const SIZES = [
  [1, 2],
  [156, 10],
  [625, 2],
  [5000, 2],
  [10000, 2],
  [15000, 2],
] as const;

function observe(name: string, at: Record<string, number | string>): Observation {
  const experiment = loadExperiment(`${scenariosFolder()}/experiments/${name}.yaml`);
  const point = experiment.resolvePoint(at);
  return runTrial({
    index: 0,
    experiment: name,
    engine: 'iptables',
    replication: 1,
    seed: experiment.seed,
    values: at,
    point,
  }).observation;
}

const value = (row: Observation, metric: string): number => Number(row[metric]);

it('is answered in docs/published.md (UPDATE_GOLDEN=1 refreshes it)', { timeout: 120_000 }, () => {
  const profile = 'linux-6.18-native';
  const found = SIZES.map(([services, endpoints]) => {
    const at = { services, endpoints_per_service: endpoints };
    return {
      services,
      endpoints,
      packets: observe('service-scaling', at),
      change: observe('add-service', { ...at, profile, 'churn.0.pod_churn.per_s': 0.5 }),
      request: observe('saturated-requests', at),
    };
  });
  const rows = found.map(({ services, endpoints, packets, change, request }) => [
    `${count(services)} × ${endpoints}`,
    count(value(packets, 'rules')),
    costWords(value(packets, 'cost_first_packet_mean_ns'), 'ns'),
    costWords(value(packets, 'cost_established_packet_mean_ns'), 'ns'),
    `${fixed(value(request, 'request_latency_mean_ms') * 1000, 0)} µs`,
    `${fixed(value(request, 'keep_alive_latency_mean_ms') * 1000, 0)} µs`,
    count(value(request, 'requests_per_second_saturated')),
    duration(value(packets, 'sync_full_ms')),
    duration(value(change, 'sync_incremental_mean_ms')),
  ]);
  const header = [
    'services × pods', 'rules in all', 'first packet', 'later packet', 'new request', 'kept-alive request',
    'new requests a second', 'full sync', 'sync of a change',
  ]; // prettier-ignore
  const text = markdownTable(header, rows);
  expect(docsBlock('published.md', 'claim', text)).toBe(text);

  const { cache, iptables } = loadProfile(profile);
  const hot = iptables.serviceRule.value;
  const knees = [256, 512, 1024, 2048].map((kib) => [
    `${kib} KiB`,
    count((kib * 1024 * cache.kneeStartRatio.value) / iptables.scanTouchedBytes.value),
    count((kib * 1024 * cache.kneeEndRatio.value) / iptables.scanTouchedBytes.value),
    `${fixed(hot, 1)} ns`,
    `${fixed(hot + iptables.coldRule.value, 1)} ns`,
  ]);
  const knee = markdownTable(
    ['L2 cache', 'bend begins at services', 'is over at', 'a rule before', 'a rule after'],
    knees,
  );
  expect(docsBlock('published.md', 'knee', knee)).toBe(knee);

  const [one, inAll, , services, ...beyond] = found;
  const first = ({ packets }: (typeof found)[number]): number => value(packets, 'cost_first_packet_mean_ns');
  // 5,000 rules in all: nothing that a client would see.
  expect(value(inAll.packets, 'rules')).toBeGreaterThan(5000);
  expect(first(inAll) - first(one)).toBeLessThan(2000);
  // 5,000 services: ten times as long a walk as the packet itself takes, still without a bend.
  const perRule = (from: (typeof found)[number], to: (typeof found)[number]): number =>
    (first(to) - first(from)) / ((to.services - from.services) / 2);
  expect(perRule(one, services)).toBeLessThan(6);
  expect(perRule(services, beyond[0])).toBeGreaterThan(5);
  expect(perRule(beyond[0], beyond[1])).toBeGreaterThan(15);
});
