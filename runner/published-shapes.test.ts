/** What the sources say of shapes, asked of the model: each statement fails where the number that it rests on is another one. */
import { describe, expect, it } from 'vitest';
import { withValues } from '../costs/fit/values.ts';
import type { Observation } from '../model/observation.ts';
import type { CostProfile } from '../model/profile.ts';
import { loadExperiment, scenariosFolder, type LoadedExperiment } from '../scenarios/load.ts';
import type { Trial } from './sweep-plan.ts';
import { runTrial } from './trial.ts';

const load = (name: string): LoadedExperiment => loadExperiment(`${scenariosFolder()}/experiments/${name}.yaml`);

function observe(
  experiment: LoadedExperiment,
  engine: string,
  at: Record<string, number | string>,
  change: (profile: CostProfile) => CostProfile = (profile) => profile,
): Observation {
  const point = experiment.resolvePoint({ 'traffic.connections': 1000, ...at });
  const trial: Trial = {
    index: 0,
    experiment: experiment.name,
    engine: engine as Trial['engine'],
    replication: 1,
    seed: experiment.seed,
    values: at,
    point: { ...point, profile: change(point.profile) },
  };
  return runTrial(trial).observation;
}

const value = (observation: Observation, metric: string): number => Number(observation[metric]);
const scaled = (path: string, to: number) => (profile: CostProfile) => withValues(profile, new Map([[path, to]]));

const EXPERIMENTS = ['published-2019', 'published-2025', 'saturated-requests'] as const;

describe('nftables is flat in services (blog 2025, KEP-3866)', () => {
  const blog = load('published-2025');
  const median = (services: number): number => value(observe(blog, 'nftables', { services }), 'request_latency_p50_ms');

  it('in its work', () => {
    const rules = [10, 1000, 30000].map((services) =>
      value(observe(blog, 'nftables', { services }), 'rules_evaluated_per_first_packet_mean'),
    );
    expect(new Set(rules).size).toBe(1);
  });

  it('and within what the chart can be read to, 2 us on either side, in its time', () => {
    expect(median(30000) - median(5000)).toBeLessThan(0.004);
    expect(median(5000) - median(10)).toBeLessThan(0.004);
    const iptables = (services: number): number =>
      value(observe(blog, 'iptables', { services }), 'request_latency_p50_ms');
    expect(iptables(5000) - iptables(10)).toBeGreaterThan(0.03);
  });
});

describe('nftables would not be flat', () => {
  it('on a machine whose last-level cache is a tenth', () => {
    const blog = load('published-2025');
    const median = (services: number): number =>
      value(
        observe(blog, 'nftables', { services }, scaled('cache.lastLevelBytes', 6_000_000)),
        'request_latency_p50_ms',
      );
    expect(median(30000) - median(10)).toBeGreaterThan(0.004);
  });
});

describe('a request on an open connection does not depend on services (Tigera 2019, TKE 2026)', () => {
  it.each(EXPERIMENTS)('in no mode: %s', (name) => {
    const experiment = load(name);
    for (const engine of experiment.engines) {
      const [few, many] = [10, 5000].map((services) => observe(experiment, engine, { services }));
      for (const metric of ['keep_alive_latency_mean_ms', 'keep_alive_requests_per_second_saturated']) {
        expect(value(many, metric) / value(few, metric)).toBeCloseTo(1, 2);
      }
    }
  });
});

describe("iptables' time for a first packet", () => {
  // One service loaded, walks of one length: as on the server's node of the saturated rig.
  const saturated = load('saturated-requests');
  const cpuNs = (services: number, change?: (profile: CostProfile) => CostProfile): number =>
    4e9 / value(observe(saturated, 'iptables', { services }, change), 'requests_per_second_saturated');
  const perRule = (from: number, to: number, change?: (profile: CostProfile) => CostProfile): number =>
    (cpuNs(to, change) - cpuNs(from, change)) / (to - from);

  it('grows by the same for each rule beyond one and a half times the knee', () => {
    // The knee of 1.1 MB is at some 4,600 rules of 240 bytes and over at 1.675 of it.
    const [near, far, farther] = [perRule(8000, 12000), perRule(12000, 20000), perRule(20000, 30000)];
    expect(far / near).toBeCloseTo(1, 2);
    expect(farther / far).toBeCloseTo(1, 2);
    // About 20 ns a rule out of cache, about 4 in it (published-measurements: three costs).
    expect(far).toBeGreaterThan(17);
    expect(far).toBeLessThan(25);
    const hot = perRule(100, 3000);
    expect(hot).toBeGreaterThan(3.5);
    expect(hot).toBeLessThan(4.6);
  });

  it('is not linear there where the cache is taken for ten times as large', () => {
    const large = scaled('cache.l2Bytes', 11_000_000);
    expect(perRule(12000, 20000, large)).toBeLessThan(6);
    expect(perRule(45000, 60000, large) / perRule(12000, 20000, large)).toBeGreaterThan(1.5);
  });

  it('is convex in the place of its service: percentiles rise faster and faster (blog 2025)', () => {
    const row = observe(load('published-2025'), 'iptables', { services: 5000, 'traffic.connections': 3000 });
    const [p50, p90, p99] = ['50', '90', '99'].map((p) => value(row, `request_latency_p${p}_ms`));
    const floor = value(observe(load('published-2025'), 'nftables', { services: 5000 }), 'request_latency_p50_ms');
    // A scan of one cost a rule would have p90 at 1.8 times the median's distance from the round trip.
    expect((p90 - floor) / (p50 - floor)).toBeGreaterThan(2.2);
    expect(p99).toBeGreaterThan(p90);
  });
});

describe('iptables and IPVS come apart at about 1,000 services (Tigera 2019)', () => {
  const tigera = load('published-2019');
  const VISIBLE = 0.05;
  const apart = (services: number, change?: (profile: CostProfile) => CostProfile): number =>
    value(observe(tigera, 'iptables', { services }, change), 'request_latency_mean_ms') /
      value(observe(tigera, 'ipvs', { services }, change), 'request_latency_mean_ms') -
    1;

  it('and not to be seen below', () => {
    expect(Math.abs(apart(10))).toBeLessThan(0.01);
    expect(Math.abs(apart(100))).toBeLessThan(0.02);
    expect(apart(300)).toBeLessThan(VISIBLE);
    expect(apart(2000)).toBeGreaterThan(VISIBLE);
    expect(apart(10000)).toBeGreaterThan(0.3);
  });

  it('elsewhere where a rule costs a tenth', () => {
    const cheap = (profile: CostProfile): CostProfile =>
      scaled('iptables.coldRule', 0)(scaled('iptables.serviceRule', 0.4)(profile));
    expect(apart(2000, cheap)).toBeLessThan(VISIBLE);
  });
});

describe('a node port', () => {
  it('is found behind every rule of KUBE-SERVICES (LPC 2019)', () => {
    const lpc = load('published-2019-nodeport');
    const scanned = (services: number): number =>
      value(observe(lpc, 'iptables', { services }), 'rules_evaluated_per_first_packet_mean');
    // Two rules a service there, and on average those of half the services in KUBE-NODEPORTS.
    expect((scanned(1000) - scanned(500)) / 500).toBeCloseTo(3, 0);
  });
});
