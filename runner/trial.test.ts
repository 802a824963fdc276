import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Observation } from '../model/observation.ts';
import { loadExperiment } from '../scenarios/load.ts';
import { attemptTrial } from './executor.ts';
import { projectRoot } from './host.ts';
import { sameServiceProbability } from './observed-node.ts';
import { planSweep, type Trial } from './sweep-plan.ts';
import { runTrial, type TrialResult } from './trial.ts';
import { tcpFlags } from './connection-packets.ts';
import { buildCluster } from '../scenarios/cluster-builder.ts';

function trials(name: string, ...set: string[]): readonly Trial[] {
  const file = join(projectRoot(), 'scenarios', 'experiments', `${name}.yaml`);
  return planSweep(loadExperiment(file, { set: ['replications=1', ...set] })).trials;
}

function run(name: string, engine: string, ...set: string[]): TrialResult {
  const trial = trials(name, ...set).find((t) => t.engine === engine);
  return runTrial(trial as Trial);
}

const number = (row: Observation, name: string): number => Number(row[name]);

describe('alpaca-probe-failure', () => {
  it.each(['iptables', 'ipvs'])(
    '%s: the endpoint leaves late, stale connections meet the gap, it comes back',
    (engine) => {
      const { observation, timeline } = run('alpaca-probe-failure', engine);
      const alpaca = timeline.filter((row) => row.service === 'default/alpaca-service');
      // /ready fails at 15 s; period 2 s, threshold 3: noticed after 4 to 6 s, then propagated.
      const left = alpaca.find((row) => row.ready_endpoints === 2);
      const uninstalled = alpaca.find((row) => row.time_s > 1 && row.installed_endpoints === 2);
      expect(left?.time_s).toBeGreaterThanOrEqual(19);
      expect(left?.time_s).toBeLessThan(21.5);
      expect(uninstalled?.time_s).toBeGreaterThan(left?.time_s as number);
      expect(alpaca.at(-1)).toMatchObject({ ready_endpoints: 3, installed_endpoints: 3 });
      // The pod goes on serving: nothing fails, but connections reach it between its failure and the rules.
      expect(number(observation, 'failed_connections')).toBe(0);
      expect(number(observation, 'stale_connections')).toBeGreaterThan(0);
      expect(number(observation, 'programming_latency_p50_ms')).toBeGreaterThan(5);
      const total = timeline.reduce((sum, row) => sum + row.stale_connections, 0);
      expect(total).toBe(number(observation, 'stale_connections'));
    },
  );

  it('a larger minSyncPeriod lets more connections meet the gap', () => {
    const quick = run('alpaca-rolling-update', 'iptables', 'proxy.min_sync_period_s=0').observation;
    const slow = run('alpaca-rolling-update', 'iptables', 'proxy.min_sync_period_s=10').observation;
    expect(number(slow, 'programming_latency_p99_ms')).toBeGreaterThan(number(quick, 'programming_latency_p99_ms'));
    expect(number(slow, 'failed_connections')).toBeGreaterThan(number(quick, 'failed_connections'));
    expect(number(slow, 'syncs')).toBeLessThan(number(quick, 'syncs'));
  });
});

describe('alpaca-rolling-update', () => {
  it.each(['iptables', 'ipvs'])('%s: connections fail in the gap, each for a reason', (engine) => {
    const { observation, timeline } = run('alpaca-rolling-update', engine);
    const reasons = ['rejected', 'dropped', 'refused', 'no_answer'].map((kind) =>
      number(observation, `failed_connections_${kind}`),
    );
    expect(reasons.reduce((sum, n) => sum + n, 0)).toBe(number(observation, 'failed_connections'));
    expect(number(observation, 'failed_connections_refused')).toBeGreaterThan(0);
    expect(timeline.map((row) => row.event).join('\n')).toMatch(/rollout of deployment alpaca-prod finished/);
    // All traffic goes to one Service: the timeline is its alone.
    expect(new Set(timeline.map((row) => row.service))).toEqual(new Set(['default/alpaca-service']));
    expect(timeline[0]).toMatchObject({ node: 'node-1', time_s: 0, ready_endpoints: 3, installed_endpoints: 3 });
  });
});

describe('trial', () => {
  it('meets the same connections under every engine', () => {
    const [iptables, ipvs] = trials('service-scaling', 'services=[50]').map((trial) => runTrial(trial).observation);
    for (const name of ['packets', 'connections', 'first_packets']) expect(iptables?.[name]).toBe(ipvs?.[name]);
  });

  it('gives back a failure as data', () => {
    const [trial] = trials('service-scaling', 'services=[5]');
    const broken = { ...trial, engine: 'nothing' as Trial['engine'] };
    const reply = attemptTrial(broken);
    expect(reply.status).toBe('failed');
    expect(reply.status === 'failed' && reply.reason).toMatch(/no engine of nothing mode; there are iptables, ipvs/);
  });

  it('knows the chance that two connections go to one service', () => {
    const [trial] = trials('service-scaling', 'services=[4]');
    const { point } = trial;
    const cluster = buildCluster(point.cluster);
    const traffic = point.traffic;
    expect(sameServiceProbability(traffic, cluster)).toBe(0.25);
    expect(sameServiceProbability({ ...traffic, popularity: { kind: 'one', service: '1' } }, cluster)).toBe(1);
    const zipf = sameServiceProbability({ ...traffic, popularity: { kind: 'zipf', exponent: 1 } }, cluster);
    // Shares 12/25, 6/25, 4/25, 3/25.
    expect(zipf).toBeCloseTo((144 + 36 + 16 + 9) / 625, 12);
  });

  it('sends SYN, SYN+ACK, ACK, and closes from both sides', () => {
    const names = (count: number): string[] =>
      Array.from({ length: count }, (_, i) => {
        const flags = tcpFlags(i, count);
        return [flags & 2 ? 'S' : '', flags & 1 ? 'F' : '', flags & 16 ? 'A' : ''].join('');
      });
    expect(names(1)).toEqual(['S']);
    expect(names(3)).toEqual(['S', 'SA', 'A']);
    expect(names(5)).toEqual(['S', 'SA', 'A', 'FA', 'FA']);
    expect(names(8)).toEqual(['S', 'SA', 'A', 'A', 'A', 'FA', 'FA', 'A']);
  });
});

describe('timeline', () => {
  it('adds up to the observation, also when the trial ends with its traffic', () => {
    const { observation, timeline } = run(
      'alpaca-rolling-update',
      'iptables',
      'duration_s=0',
      'traffic.connections=3000',
    );
    for (const name of ['connections', 'failed_connections', 'stale_connections', 'broken_connections'] as const) {
      const total = timeline.reduce((sum, row) => sum + row[name], 0);
      expect(total, name).toBe(number(observation, name));
    }
    expect(number(observation, 'broken_connections')).toBeGreaterThan(0);
  });
});
