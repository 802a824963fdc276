/** Sentences of sweeps along an experiment's own axes, from made-up rows. */
import { describe, expect, it } from 'vitest';
import type { Cell } from '../model/observation.ts';
import type { SummaryRow } from '../reports/csv.ts';
import { findingsOf } from './findings.ts';

const PRE_STOP = 'cluster.pre_stop_s';
const MIN_SYNC = 'proxy.min_sync_period_s';

function row(engine: string, metric: string, mean: number, axes: Record<string, Cell>): SummaryRow {
  return {
    experiment: 'x',
    engine,
    profile: 'p',
    services: 2,
    endpoints_per_service: 2,
    rules: 52,
    axes,
    metric,
    replications: 1,
    mean,
    stddev: null,
    ci95_low: null,
    ci95_high: null,
  };
}

/** A trial's rows at each preStop: failed and cut ones of 1,000 connections. */
function trials(
  engine: string,
  failed: readonly number[],
  {
    cut = [0, 0, 0],
    at = {},
    longestMs,
  }: { cut?: readonly number[]; at?: Record<string, Cell>; longestMs?: number } = {},
): SummaryRow[] {
  return [0, 2, 5].slice(0, failed.length).flatMap((preStop, i) => {
    const axes = { [PRE_STOP]: preStop, ...at };
    return [
      row(engine, 'connections', 1000, axes),
      row(engine, 'failed_connections', failed[i] ?? 0, axes),
      row(engine, 'broken_connections', cut[i] ?? 0, axes),
      row(engine, 'programming_latency_p50_ms', 40, axes),
      row(engine, 'programming_latency_p99_ms', 90, axes),
      ...(longestMs === undefined ? [] : [row(engine, 'programming_latency_max_ms', longestMs - preStop, axes)]),
    ];
  });
}

function textsOf(rows: readonly SummaryRow[]): string[] {
  const engines = [...new Set(rows.map((one) => one.engine))];
  const findings = findingsOf(rows, engines);
  expect(new Set(findings.map(({ id }) => id)).size).toBe(findings.length);
  return findings.map(({ text }) => text.replaceAll('\u00a0', ' '));
}

describe('the curve of losses', () => {
  it('says what is lost without preStop and from where on nothing is', () => {
    const rows = [
      ...trials('iptables', [31, 0, 0], { cut: [12, 4, 0], at: { [MIN_SYNC]: 1 }, longestMs: 940 }),
      ...trials('iptables', [86, 33, 5], { cut: [12, 4, 1], at: { [MIN_SYNC]: 10 }, longestMs: 8600 }),
    ];
    expect(textsOf(rows)).toEqual([
      'With iptables and minSyncPeriod 1 s, 3.1 % of new connections were lost without preStop; from 2 s on none. ' +
        'Of all connections 1.2 % were cut without preStop; from 5 s on none. The longest programming latency was 940 ms.',
      'With iptables and minSyncPeriod 10 s, 8.6 % of new connections were lost without preStop, 0.5 % at preStop 5 s. ' +
        'Of all connections 1.2 % were cut without preStop, 0.1 % at preStop 5 s. The longest programming latency was 8.6 s.',
    ]);
  });

  it('takes engines together that come to zero at one place, and only those', () => {
    expect(
      textsOf([...trials('iptables', [31, 4, 0]), ...trials('ipvs', [29, 5, 0]), ...trials('nftables', [30, 0, 0])]),
    ).toEqual([
      'With iptables and IPVS, 2.9 to 3.1 % of new connections were lost without preStop; from 5 s on none. No connection was cut at any preStop.',
      'With nftables, 3 % of new connections were lost without preStop; from 2 s on none. No connection was cut at any preStop.',
    ]);
  });

  it('follows the data where they rise, or where only established connections suffer', () => {
    const bySync = (counts: readonly number[]): SummaryRow[] =>
      trials('iptables', counts).map((one) => ({ ...one, axes: { [MIN_SYNC]: one.axes[PRE_STOP] ?? null } }));
    expect(textsOf(bySync([0, 0, 14]))[0]).toContain(
      'With iptables, no new connection was lost up to minSyncPeriod 2 s; 1.4 % at minSyncPeriod 5 s.',
    );
    expect(textsOf(bySync([2, 8, 14]))[0]).toContain(
      'With iptables, 0.2 % of new connections were lost at minSyncPeriod 0 s, 1.4 % at minSyncPeriod 5 s.',
    );
    expect(textsOf(trials('iptables', [0, 0, 0], { cut: [3, 1, 0] }))).toEqual([
      'With iptables, no new connection was lost at any preStop. Of all connections 0.3 % were cut without preStop; from 5 s on none.',
    ]);
  });

  it('names a peak between the ends, and says of a flat line that it is one', () => {
    expect(textsOf(trials('iptables', [10, 30, 0], { cut: [4, 4, 4] }))[0]).toBe(
      'With iptables, 1 % of new connections were lost without preStop, at most 3 % at preStop 2 s; from 5 s on none. ' +
        'Of all connections 0.4 % were cut at any preStop.',
    );
  });

  it('speaks of four combinations of other axes at most', () => {
    const rows = [0, 1, 2, 3, 4, 5].flatMap((sync) =>
      trials('iptables', [10 + sync, 1, 0], { at: { [MIN_SYNC]: sync } }),
    );
    expect(textsOf(rows).filter((text) => text.includes('new connections'))).toHaveLength(4);
  });

  it('is silent where nothing is lost: each point speaks for itself', () => {
    const texts = textsOf(trials('iptables', [0, 0, 0]));
    expect(texts[0]).toMatch(/^At cluster.pre_stop_s = 0: iptables: of 1,000 connections 0.0 failed, /);
    expect(texts.join()).not.toContain('preStop');
  });

  it('leaves an engine out whose trials failed', () => {
    const rows = [...trials('iptables', [31, 0, 0]), ...trials('ipvs', [])];
    expect(textsOf(rows)[0]).toMatch(/^With iptables, 3\.1 %/);
    // One finished point is no curve.
    expect(textsOf(trials('ipvs', [31])).join()).not.toContain('preStop');
  });
});

describe('other axes', () => {
  it('speak through the captions of their charts, before the single points', () => {
    const rows = ['rr', 'dh'].flatMap((scheduler) => [
      row('ipvs', 'load_max_over_mean_ratio', scheduler === 'rr' ? 1 : 4, { 'proxy.ipvs_scheduler': scheduler }),
      row('ipvs', 'programming_latency_p50_ms', 40, { 'proxy.ipvs_scheduler': scheduler }),
      row('ipvs', 'programming_latency_p99_ms', 90, { 'proxy.ipvs_scheduler': scheduler }),
    ]);
    const [first, second] = textsOf(rows);
    expect(first).toBe(
      'With IPVS, the largest number of connections of an endpoint over the mean is lowest with rr (1) and highest with dh (4), 4 times as much.',
    );
    expect(second).toMatch(/^At proxy.ipvs_scheduler = rr: IPVS: of 0 connections/);
  });
});

it('says nothing of when a failing pod left the rules where no timeline tells', () => {
  const rows = ['error', 'hang'].flatMap((mode) =>
    trials('iptables', [0], { at: { [PRE_STOP]: null, mode } }).filter((one) => one.metric !== 'connections'),
  );
  const churn = [
    {
      kind: 'probe_failure',
      deployment: 'a',
      pod: 0,
      probe: 'readiness',
      mode: 'error',
      atSeconds: 5,
      durationSeconds: 9,
    },
  ] as const;
  const texts = findingsOf(rows, ['iptables'], [], churn).map(({ text }) => text);
  expect(texts).toHaveLength(2);
  expect(texts.join()).not.toContain('never left');
});

describe('the detection of failed probes', () => {
  const detection = (engine: string, mean: number, low: number | null, high: number | null): SummaryRow => ({
    ...row(engine, 'probe_detection_mean_ms', mean, {}),
    ci95_low: low,
    ci95_high: high,
  });

  it('is said once where it is the same in every mode', () => {
    const rows = [detection('iptables', 5100, 4300, 5900), detection('ipvs', 5100, 4300, 5900)];
    expect(textsOf(rows)).toEqual(['A failed probe was detected after 5.1 s (mean; 95 % interval 4.3 s to 5.9 s).']);
    expect(textsOf([detection('iptables', 800, null, null)])).toEqual([
      'A failed probe was detected after 800 ms (mean).',
    ]);
  });

  it('is said of each mode where it differs, and not at all where there was none', () => {
    expect(textsOf([detection('iptables', 5100, null, null), detection('ipvs', 5200, null, null)])).toEqual([
      'iptables: a failed probe was detected after 5.1 s (mean).',
      'IPVS: a failed probe was detected after 5.2 s (mean).',
    ]);
    expect(textsOf([row('iptables', 'connections', 5, {})])).toEqual([]);
  });
});
