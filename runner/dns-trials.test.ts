/** Whole trials with look-ups: every engine, CoreDNS under change, headless Services, and trials without. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { EngineName } from '../engines/engine.ts';
import { FIRST_HEADLESS_ID } from '../model/workload.ts';
import { HEAD, load } from '../scenarios/load-fixtures.ts';
import { completeRow, observationColumns } from './columns.ts';
import { EventLog } from './event-log.ts';
import { planSweep } from './sweep-plan.ts';
import { runTrial } from './trial.ts';

const read = (name: string): string => readFileSync(new URL(`../scenarios/clusters/${name}`, import.meta.url), 'utf8');
const files = { 'seed.yaml': read('alpaca-bandicoot.yaml'), 'dns.yaml': read('alpaca-dns.yaml') };
const engines = ['iptables', 'ipvs', 'nftables'] as const;

interface Question {
  readonly engine?: EngineName;
  readonly dns?: string;
  readonly target?: string;
  readonly traffic?: string;
  readonly others?: string;
}

function trialOf({
  engine = 'iptables',
  dns = 'dns: {}',
  target = 'alpaca-service',
  traffic = '',
  others = '',
}: Question) {
  const version = engine === 'userspace' ? 'kubeProxy: v1.25\n' : '';
  const text = `${HEAD}engines: [${engine}]\n${version}seed: 5\ncluster: { manifests: [seed.yaml, dns.yaml] }\ntraffic: { connections: 400, connections_per_s: 100, packets_per_connection: 4, popularity: { one: ${target} }, ${traffic} ${dns} }\n${others}`;
  return planSweep(load(text, {}, files)).trials[0];
}
const observe = (question: Question) => runTrial(trialOf(question)).observation;

describe.each([...engines, 'userspace'] as const)('%s', (engine) => {
  it('carries the queries as the packets that they are', () => {
    const plain = observe({ engine, dns: '' });
    const named = observe({ engine });
    expect(named).toMatchObject({
      connections: 400,
      failed_connections: 0,
      dns_queries: 800,
      dns_queries_per_connection_mean: 2,
      dns_nxdomain_answers: 0,
      dns_timeouts: 0,
      dns_stale_answers: 0,
    });
    // A query and its answer, twice, beside four packets; A and AAAA are one flow.
    expect(named['packets']).toBe(Number(plain['packets']) + 4 * 400);
    if (engine !== 'userspace') expect(named['first_packets']).toBe(Number(plain['first_packets']) + 400);
    expect(named['dns_delay_mean_ms']).toBeGreaterThan(0.2);
    expect(named['dns_delay_mean_ms']).toBeLessThan(1);
    expect(observe({ engine, dns: 'dns: { name: external }' })).toMatchObject({
      failed_connections: 0,
      dns_queries: 3200,
      dns_nxdomain_answers: 2400,
    });
  });

  it('lets packets to pods of a headless Service pass as they are', () => {
    const headless = observe({ engine, target: 'alpaca-headless' });
    expect(headless).toMatchObject({ connections: 400, failed_connections: 0, dns_queries: 800, dns_stale_answers: 0 });
    expect(headless['rules']).toBe(observe({ engine, dns: '' })['rules']);
  });
});

describe.each(engines)('%s: a restart of CoreDNS', (engine) => {
  const restart = (stop: number) => `churn:
  - rolling_update: { deployment: coredns, at_s: 1 }
  - pods: { deployment: coredns, on_sigterm: lame_duck, shutdown_s: ${stop} }
duration_s: 30
`;
  const traffic = 'client_pods: 4,';

  it('costs look-ups without a lame duck mode, and none with', () => {
    const abrupt = observe({ engine, traffic, others: restart(0).replace('at_s: 1', 'at_s: 0.5') });
    const lame = observe({ engine, traffic, others: restart(5) });
    expect(Number(abrupt['dns_timeouts']) + Number(abrupt['failed_connections_not_resolved'])).toBeGreaterThan(0);
    expect(lame).toMatchObject({ dns_timeouts: 0, failed_connections: 0, dns_queries: 800 });
    expect(abrupt['failed_connections']).toBe(abrupt['failed_connections_not_resolved']);
  });
});

describe('a restart of the pods behind a headless Service', () => {
  const others = 'churn: [{ rolling_update: { deployment: alpaca-prod, at_s: 1 } }]\nduration_s: 60\n';
  const stale = (dns: string) => Number(observe({ target: 'alpaca-headless', dns, others })['dns_stale_answers']);

  it('leads clients to pods that are gone, longer where answers are kept', () => {
    const fresh = stale('dns: {}');
    const kept = stale('dns: { cache: client, ttl_s: 30 }');
    expect(kept).toBeGreaterThan(fresh + 20);
    const observation = observe({ target: 'alpaca-headless', dns: 'dns: { cache: client, ttl_s: 30 }', others });
    expect(observation['failed_connections']).toBe(observation['dns_stale_answers']);
  });

  it('writes slices that no kube-proxy gets', () => {
    const log = new EventLog();
    const { observation } = runTrial(trialOf({ target: 'alpaca-headless', others }), log);
    const writes = Number(observation['endpoint_slice_writes']);
    // Two Services select the same pods; three nodes get the events of one.
    expect(Number(observation['endpoint_slice_events'])).toBeLessThan(3 * writes);
    expect(Number(observation['endpoint_slice_events'])).toBeGreaterThan(writes);
    expect(log.text()).toContain('default/alpaca-headless  10.244.');
    expect(log.text()).not.toContain(String(FIRST_HEADLESS_ID));
  });
});

describe('clients that do not ask', () => {
  it('are processes of the node, and hosts outside', () => {
    expect(observe({ traffic: 'host_client_ratio: 1,' })).toMatchObject({
      dns_queries: 0,
      dns_queries_per_connection_mean: null,
      dns_delay_mean_ms: null,
      failed_connections: 0,
    });
    // They have no address of a headless Service.
    expect(observe({ target: 'alpaca-headless', traffic: 'host_client_ratio: 1,' })).toMatchObject({
      failed_connections_not_resolved: 400,
      packets: 0,
    });
  });

  it('leave the columns empty', () => {
    const row = completeRow(observe({ dns: '' }), observationColumns([]));
    for (const column of observationColumns([]).filter((name) => name.startsWith('dns_')))
      expect(row[column]).toBeNull();
    expect(observationColumns([]).filter((name) => name.startsWith('dns_'))).toHaveLength(7);
    expect(row['failed_connections_not_resolved']).toBeNull();
  });
});

it('is the same each time, and meets the same connections whatever the engine and the names', () => {
  const question = { others: 'churn: [{ rolling_update: { deployment: coredns, at_s: 1 } }]\nduration_s: 30\n' };
  expect(observe(question)).toEqual(observe(question));
  // Connections come when they come; only their addresses are looked up.
  const established = (dns: string, engine: EngineName) => observe({ dns, engine })['first_packets'];
  expect(established('dns: { cache: node, ttl_s: 3600 }', 'ipvs')).toBe(
    established('dns: { cache: node, ttl_s: 3600 }', 'nftables'),
  );
});
