/** Which axis and which metrics are charted, what is left out as saying nothing, and categories. */
import { describe, expect, it } from 'vitest';
import type { Cell } from '../../model/observation.ts';
import type { SummaryRow } from '../csv.ts';
import { chartsOf } from './all.ts';
import { changeByCategory } from './change-by-category.ts';
import { CHANGE_METRICS } from './change-metrics.ts';
import { chartOf, fixtureRows, idsOf, MIN_SYNC, PRE_STOP, row, words } from './change-fixtures.ts';
import type { Chart } from './chart.ts';

const SCHEDULERS = fixtureRows('schedulers');
const FANOUT = fixtureRows('endpoint-fanout');

describe('which axis, which metric', () => {
  const latency = (axes: Record<string, Cell>, ms: number, half = 0): SummaryRow =>
    row('programming_latency_p50_ms', ms, axes, { replications: 5, ci95_low: ms - half, ci95_high: ms + half });
  const LATENCY = 'programming-latency-vs-axis';

  it('is linear where zero is among the values, and logarithmic where it is not', () => {
    const spec = (values: readonly number[]): string =>
      JSON.stringify(
        chartOf(
          values.map((x) => latency({ [MIN_SYNC]: x }, 10 + x)),
          LATENCY,
        )?.spec,
      );
    expect(spec([0, 10, 100])).toContain('"title":"minSyncPeriod (s)","scale":{"type":"linear"');
    expect(spec([0, 0.02, 0.1, 15])).toContain(
      '"title":"minSyncPeriod (s) (log scale above zero)","scale":{"type":"symlog","constant":0.02',
    );
    expect(spec([1, 10, 100])).toContain('"title":"minSyncPeriod (s) (log scale)","scale":{"type":"log"');
  });

  it('takes the axis that changes the metric, and leaves out one that hardly does', () => {
    const rows = [0, 5].flatMap((preStop) =>
      [0, 1, 10].map((sync) => latency({ [PRE_STOP]: preStop, [MIN_SYNC]: sync }, 40 + 900 * sync + preStop)),
    );
    const chart = chartOf(rows, LATENCY);
    expect(chart?.title).toBe('From a change to the rules against minSyncPeriod (s)');
    expect(words(chart)).toBe(
      'From 0 to 10 s of minSyncPeriod, the median programming latency grows 226-fold (40 ms to 9.04 s) with iptables. ' +
        'Drawn at preStop 0 s: elsewhere along that axis the values differ by at most 11.1%.',
    );
    expect(chart?.verdict?.replaceAll('\u00a0', ' ')).toMatch(/^From 0 to 10 s of minSyncPeriod, .* with iptables\.$/);
  });

  it('draws no difference that may be chance', () => {
    const of = (half: number): string[] =>
      idsOf([latency({ [MIN_SYNC]: 0 }, 40, half), latency({ [MIN_SYNC]: 1 }, 46, half)]);
    expect(of(1)).toEqual([LATENCY]);
    expect(of(5)).toEqual([LATENCY]);
    expect(of(7)).toEqual([]);
    const alone = (ms: number): SummaryRow[] =>
      [40, ms].map((value, x) => row('programming_latency_p50_ms', value, { [MIN_SYNC]: x }));
    expect(idsOf(alone(41))).toEqual([]);
    expect(idsOf(alone(45))).toEqual([LATENCY]);
  });

  it('leaves costs against services to their own charts, but not latencies', () => {
    const at = (metric: string): SummaryRow[] =>
      [10, 100, 1000].map((services) => row(metric, services, {}, { services }));
    expect(idsOf(at('cost_first_packet_mean_ns'))).toEqual([]);
    expect(words(chartOf(at('programming_latency_p50_ms'), LATENCY))).toContain('From 10 to 1,000 services');
    for (const fixture of ['service-scaling', 'four-modes', 'rolling-update'])
      expect(idsOf(fixtureRows(fixture)), fixture).toEqual([]);
  });

  it('charts against services have no panels for axes that change nothing in them', () => {
    const rate = 'churn.0.pod_churn.per_s';
    const rows = (slope: number): SummaryRow[] =>
      [10, 100, 1000].flatMap((services) =>
        [1, 10].map((perSecond) =>
          row('cost_first_packet_mean_ns', 1000 + services + slope * perSecond, { [rate]: perSecond }, { services }),
        ),
      );
    const chart = (slope: number): Chart | undefined =>
      chartsOf({ summary: rows(slope), timeline: [] }).find(({ id }) => id === 'first-packet-vs-services');
    expect(chart(1)?.table.columns).not.toContain('panel');
    expect(chart(1)?.table.rows).toHaveLength(3);
    expect(words(chart(1))).toContain(
      'Drawn at 1 pod changes per s: elsewhere along that axis the values differ by at most 0.88%.',
    );
    expect(chart(50)?.table.columns).toContain('panel');
    expect(words(chart(50))).not.toContain('Drawn at');
  });

  it('draws no balance that differs by less than a tenth of the mean', () => {
    const of = (step: number): string[] =>
      idsOf([0, 1].map((x) => row('load_variation_ratio', 0.02 + step * x, { [MIN_SYNC]: x })));
    expect(of(0.09)).toEqual([]);
    expect(of(0.11)).toEqual(['load-variation-vs-axis']);
  });

  it('a handful of charts at most, those of losses first', () => {
    const metrics = CHANGE_METRICS.flatMap((metric) => metric.statistics.map((statistic) => statistic.metric));
    const rows = [0, 1, 2].flatMap((x) => [
      row('connections', 1000, { [MIN_SYNC]: x }),
      row('returning_connections', 1000, { [MIN_SYNC]: x }),
      ...metrics.map((metric) => row(metric, 10 + 10 * x, { [MIN_SYNC]: x })),
    ]);
    expect(idsOf(rows)).toHaveLength(5);
    expect(idsOf(rows).slice(0, 2)).toEqual(['losses-vs-axis', LATENCY]);
  });

  it('a metric that is the same in every mode has one line, or one for each of two values', () => {
    expect(chartOf(FANOUT, 'slice-bytes-vs-axis')?.table.columns[0]).toBe('API');
    expect(words(chartOf(FANOUT, 'slice-bytes-vs-axis'))).toBe(
      'From 10 to 5,000 nodes, the number of bytes sent to watchers grows 500-fold (250 kB to 125 MB) with EndpointSlices and ' +
        'grows 500-fold (5 MB to 2.5 GB) with Endpoints.',
    );
    const slices = FANOUT.filter((one) => one.axes['propagation.endpoints_api'] === 'slices');
    expect(words(chartOf(slices, 'slice-bytes-vs-axis'))).toContain('(250 kB to 125 MB) with all proxy modes.');
    const apart = slices.map((one) =>
      one.metric === 'endpoint_slice_bytes' && one.engine === 'ipvs' ? { ...one, mean: (one.mean ?? 0) + 1 } : one,
    );
    expect(words(chartOf(apart, 'slice-bytes-vs-axis'))).toContain('with iptables');
  });
});

describe('categories', () => {
  it('name the lowest and the highest, in the last panel', () => {
    expect(words(chartOf(SCHEDULERS, 'first-packet-by-category'))).toBe(
      'With IPVS, the mean cost of a first packet is lowest with dh (3.75 µs) and highest with wlc (3.92 µs), 4.5% more. ' +
        'This is said of the panel "endpoints per service 50".',
    );
    const swapped = SCHEDULERS.map((one) =>
      one.axes['proxy.ipvs_scheduler'] === 'rr' && one.metric === 'load_max_over_mean_ratio'
        ? { ...one, mean: 60, ci95_low: null, ci95_high: null }
        : one,
    );
    expect(words(chartOf(swapped, 'load-max-by-category'))).toContain('highest with rr (60)');
    expect(chartOf(SCHEDULERS, 'load-max-by-category')?.verdict).toMatch(/^At endpoints per service 50, with IPVS/);
  });

  it('speak of a panel in which there is something to say', () => {
    const mode = 'churn.0.probe_failure.mode';
    const kind = 'cluster.readiness_probe.kind';
    const seen = (ms: number, probe: string, failure: string): SummaryRow =>
      row('probe_detection_mean_ms', ms, { [kind]: probe, [mode]: failure });
    const rows = [
      seen(5000, 'exec', 'error'),
      seen(6000, 'exec', 'hang'),
      seen(6000, 'exec', 'refuse'),
      seen(5000, 'grpc', 'error'),
      seen(6000, 'grpc', 'hang'),
      seen(9000, 'grpc', 'refuse'),
    ];
    // The kind of probe changes one of three pairs, the mode of failure all: x is the mode, and the panel is that of the wider gap.
    expect(words(chartOf(rows, 'probe-detection-by-category'))).toBe(
      'With iptables, the mean time to detect a failed probe is lowest with error (5 s) and highest with refuse (9 s), 80% more. ' +
        'This is said of the panel "probe grpc".',
    );
  });

  it('stand in the order of the scenario, name equals together, and zero has no ratio', () => {
    const rows = ['b', 'a', 'c'].map((mode, i) => row('load_variation_ratio', [0, 0, 3][i] ?? 0, { mode }));
    const chart = chartOf(rows, 'load-variation-by-category');
    expect(chart?.table.rows.map((cells) => cells[1])).toEqual(['b', 'a', 'c']);
    expect(words(chart)).toBe(
      'With iptables, the coefficient of variation of connections over endpoints is lowest with b and a (0) and highest with c (3).',
    );
  });

  it('true and false are categories, and a list of very many is none', () => {
    const rows = (values: readonly Cell[]): SummaryRow[] =>
      values.map((value, i) =>
        row('cost_first_packet_mean_ns', 1000 + 200 * i, { 'proxy.minimize_iptables_restore': value }),
      );
    const metric = CHANGE_METRICS.find(({ id }) => id === 'first-packet');
    if (metric === undefined) expect.fail('first-packet is no metric');
    expect(words(changeByCategory(rows([true, false]), metric))).toContain(
      'lowest with partial syncs (1 µs) and highest with full syncs (1.2 µs), 20% more.',
    );
    expect(changeByCategory(rows(Array.from({ length: 17 }, (_, i) => `v${i}`)), metric)).toBeUndefined();
    expect(changeByCategory(rows([true, true]), metric)).toBeUndefined();
  });
});
