/** Columns of a whole trial of a tiny cluster, whose every delay is a constant, so that they can be told beforehand. */
import { describe, expect, it } from 'vitest';
import { HEAD, load, MANIFEST } from '../scenarios/load-fixtures.ts';
import { completeRow, observationColumns } from './columns.ts';
import { detectionColumns } from './observe.ts';
import { planSweep } from './sweep-plan.ts';
import { runTrial, type TrialResult } from './trial.ts';

const DELAYS = `propagation: { status_update_s: 0.01, endpoint_slice_s: 0.02, watch_s: 0.005, pod_start_s: 1 }\n`;

function run(engine: string, churn: string, traffic: string, others = 'duration_s: 40\n', replicas = 3): TrialResult {
  const text = `${HEAD}cluster: { manifests: [web.yaml] }\nengines: [${engine}]\n${DELAYS}churn: [${churn}]\ntraffic: { ${traffic} }\n${others}`;
  const loaded = load(text, {}, { 'web.yaml': MANIFEST.replace('replicas: 2', `replicas: ${replicas}`) });
  const [trial] = planSweep(loaded).trials;
  return runTrial(trial);
}

const QUIET = 'connections: 300, connections_per_s: 10, packets_per_connection: 4';

describe('control plane columns', () => {
  it.each(['iptables', 'ipvs', 'nftables'])(
    '%s: a first change waits for delays and sync alone, the next for minSyncPeriod',
    (engine) => {
      const churn =
        'scale: { deployment: web, replicas: 2, at_s: 15 } }, { scale: { deployment: web, replicas: 1, at_s: 15.2 }';
      const { observation } = run(engine, `{ ${churn} }`, QUIET, 'duration_s: 40\nproxy: { min_sync_period_s: 10 }\n');
      const [p50, p90, p99] = [50, 90, 99].map((q) => Number(observation[`programming_latency_p${q}_ms`]));
      // Two latencies, a and b: quantile q lies at a + q (b - a).
      const span = (p99 - p50) / 0.49;
      expect(p90).toBeCloseTo(p50 + 0.4 * span, 6);
      // Delays of 20 and 5 ms, then the sync; the second change is written 10 s after the first.
      const a = p50 - 0.5 * span;
      expect(a).toBeGreaterThan(25);
      expect(a).toBeLessThan(25 + 20);
      expect(a + span).toBeGreaterThan(9_800);
      expect(a + span).toBeLessThan(9_900);
      expect(observation['programming_latency_max_ms']).toBeCloseTo(a + span, 6);
      // Each pod's end is written twice: as terminating and as gone; three nodes watch.
      expect(observation).toMatchObject({ endpoint_slice_writes: 4, endpoint_slice_events: 12 });
    },
  );

  it('counts nothing of change where nothing changes', () => {
    const { observation } = run('iptables', '', QUIET, '');
    expect(observation).toMatchObject({
      programming_latency_p90_ms: null,
      programming_latency_max_ms: null,
      probe_detections: 0,
      probe_detection_mean_ms: null,
      probe_detection_max_ms: null,
      availability_ratio: 1,
      connection_attempts: 300,
      endpoint_slice_events: 0,
      removed_pod_connections: 0,
      stale_packets: 0,
      syncs: 1,
      sync_operations: 0,
    });
    expect(observation['sync_cpu_s']).toBeCloseTo(Number(observation['sync_full_ms']) / 1000, 15);
    expect(observation['restore_lines']).toBeGreaterThan(10);
  });
});

describe('detection', () => {
  it('is the mean and the longest of what a failing check took to be believed', () => {
    expect(detectionColumns([4e9, 5.5e9, 0])).toEqual({
      probe_detections: 3,
      probe_detection_mean_ms: 9500 / 3,
      probe_detection_max_ms: 5500,
    });
  });

  it('is phase + 2 periods of 10 s for a port that refuses, and nothing for a crash', () => {
    const fail = (pod: number) =>
      `{ probe_failure: { deployment: web, pod: ${pod}, mode: refuse, at_s: 5, duration_s: 60 } }`;
    const of = (churn: string) => run('iptables', churn, QUIET).observation;
    const [first, second] = [0, 1].map((pod) => Number(of(fail(pod))['probe_detection_max_ms']));
    for (const ms of [first, second]) {
      expect(ms).toBeGreaterThanOrEqual(20_000);
      expect(ms).toBeLessThan(30_000);
    }
    const both = of(`${fail(0)}, ${fail(1)}`);
    expect(both).toMatchObject({ probe_detections: 2, probe_detection_max_ms: Math.max(first, second) });
    expect(both['probe_detection_mean_ms']).toBeCloseTo((first + second) / 2, 6);
    const crash = of('{ crash: { deployment: web, pod: 0, at_s: 5 } }');
    expect(crash).toMatchObject({ probe_detections: 1, probe_detection_mean_ms: 0, probe_detection_max_ms: 0 });
  });
});

describe('load balance', () => {
  it('is exact under round robin', () => {
    // 300 connections over 3 real servers in turn.
    expect(run('ipvs', '', QUIET, '').observation).toMatchObject({
      load_max_over_mean_ratio: 1,
      load_variation_ratio: 0,
    });
    // Source hashing takes the client's address alone: one client, one endpoint of three.
    const hashed = run('ipvs', '', `${QUIET}, client_pods: 1`, 'proxy: { ipvs_scheduler: sh }\n').observation;
    expect(hashed['load_max_over_mean_ratio']).toBe(3);
    expect(hashed['load_variation_ratio']).toBeCloseTo(Math.SQRT2, 12);
  });

  it('has no answer for a single endpoint', () => {
    expect(run('iptables', '', QUIET, '', 1).observation).toMatchObject({
      load_max_over_mean_ratio: null,
      load_variation_ratio: null,
    });
  });
});

describe('a rolling update under load', () => {
  const update = '{ rolling_update: { deployment: web, at_s: 5 } }';
  const load_ = 'connections: 4000, connections_per_s: 200, packets_per_connection: 20, packet_gap_s: 0.02';

  it.each(['iptables', 'ipvs', 'nftables'])('%s: kinds add up, with and without clients that wait', (engine) => {
    for (const clients of ['', ', client_kernel: "6.8"', ', connect_timeout_s: 1, retries: 3']) {
      const { observation, timeline } = run(engine, update, `${load_}${clients}`, 'duration_s: 60\ntimeline_s: 1\n');
      const n = (name: string): number => Number(observation[name]);
      expect(n('refused_connections') + n('timed_out_connections')).toBe(n('failed_connections'));
      expect(n('reset_connections') + n('silent_connections')).toBe(n('broken_connections'));
      expect(n('broken_connections')).toBeGreaterThan(0);
      expect(n('removed_pod_connections')).toBeGreaterThan(0);
      expect(n('stale_packets')).toBeGreaterThan(0);
      expect(n('availability_ratio')).toBe(1 - (n('failed_connections') + n('waiting_connections')) / 4000);
      const failed = timeline.reduce((sum, row) => sum + row.failed_connections, 0);
      expect(failed).toBe(n('failed_connections'));
      if (clients === '') expect(n('failed_connections')).toBeGreaterThan(0);
      // Four attempts over more than a second outlast the gap.
      else if (clients.includes('retries')) {
        expect(n('failed_connections')).toBe(0);
        expect(n('connection_attempts')).toBeGreaterThan(4000);
        expect(n('first_byte_delay_mean_ms')).toBeGreaterThan(0);
      }
      const columns = observationColumns([]);
      expect(Object.keys(completeRow(observation, columns))).toEqual(columns);
    }
  });
});
