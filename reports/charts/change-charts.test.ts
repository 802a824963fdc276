/** Charts against an experiment's own axes: pictures against their goldens, sentences against the data, odd data, and no chart that says nothing. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Cell } from '../../model/observation.ts';
import type { SummaryRow } from '../csv.ts';
import { renderSvg } from '../render-svg.ts';
import { readResults } from '../results.ts';
import { changeCharts, chartsOf } from './all.ts';
import { changeByCategory } from './change-by-category.ts';
import { CHANGE_METRICS, LOSSES } from './change-metrics.ts';
import { changeVsAxis } from './change-vs-axis.ts';
import { curveOf } from './change-words.ts';
import type { Chart } from './chart.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
const summaryOf = (name: string): readonly SummaryRow[] => readResults(join(HERE, '..', 'fixtures', name)).summary;
const CURVE = summaryOf('pre-stop-curve');
const SCHEDULERS = summaryOf('schedulers');
const FANOUT = summaryOf('endpoint-fanout');
const PRE_STOP = 'cluster.pre_stop_s';
const MIN_SYNC = 'proxy.min_sync_period_s';

const words = (chart: Chart | undefined): string => (chart?.finding ?? '').replaceAll('\u00a0', ' ');
const chartOf = (rows: readonly SummaryRow[], id: string): Chart | undefined =>
  changeCharts(rows).find((chart) => chart.id === id);
const idsOf = (rows: readonly SummaryRow[]): string[] => changeCharts(rows).map((chart) => chart.id);

/** Compares with goldens/`name`.svg; on a mismatch leaves `name`-changed.svg beside it for the eye. */
function expectGolden(name: string, svg: string): void {
  const golden = join(HERE, 'goldens', `${name}.svg`);
  const changed = join(HERE, 'goldens', `${name}-changed.svg`);
  rmSync(changed, { force: true });
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, svg);
  if (existsSync(golden) && readFileSync(golden, 'utf8') === svg) return;
  writeFileSync(changed, svg);
  expect.fail(`${name}.svg differs from its golden: compare it with ${changed}, then UPDATE_GOLDEN=1 if it is right`);
}

/** One summary row of made-up data. */
function row(
  metric: string,
  mean: number | null,
  axes: Record<string, Cell>,
  more: Partial<SummaryRow> = {},
): SummaryRow {
  return {
    experiment: 'e',
    engine: 'iptables',
    profile: 'p',
    services: 2,
    endpoints_per_service: 3,
    rules: 52,
    axes,
    metric,
    replications: 1,
    mean,
    stddev: null,
    ci95_low: null,
    ci95_high: null,
    ...more,
  };
}

/** Losses of 1,000 connections along an axis: counts at each of its values. */
function losses(
  engine: string,
  counts: Readonly<Record<number, number>>,
  { axis = PRE_STOP, cut = 0, others = {} }: { axis?: string; cut?: number; others?: Record<string, Cell> } = {},
): SummaryRow[] {
  return Object.entries(counts).flatMap(([x, count]) => {
    const axes = { [axis]: Number(x), ...others };
    return [
      row('connections', 1000, axes, { engine }),
      row('failed_connections', count, axes, { engine }),
      row('broken_connections', cut, axes, { engine }),
    ];
  });
}

describe('golden pictures', () => {
  const sweeps = { 'pre-stop-curve': CURVE, schedulers: SCHEDULERS, 'endpoint-fanout': FANOUT };

  it('each sweep has the charts that its axes change, and no other', () => {
    expect(idsOf(CURVE)).toEqual(['losses-vs-axis', 'programming-latency-vs-axis']);
    expect(idsOf(SCHEDULERS)).toEqual([
      'first-packet-by-category',
      'load-max-by-category',
      'load-variation-by-category',
    ]);
    // The two APIs are lines of one chart: a second one by API would say the same.
    expect(idsOf(FANOUT)).toEqual(['slice-bytes-vs-axis']);
    expect(chartsOf({ summary: CURVE, timeline: [] }).map(({ id }) => id)[0]).toBe('losses-vs-axis');
  });

  for (const [name, rows] of Object.entries(sweeps)) {
    for (const chart of changeCharts(rows)) {
      it(`${chart.id} of ${name} is as committed, wide and narrow`, async () => {
        const svg = await renderSvg(chart.spec, { label: chart.finding });
        expect(await renderSvg(chart.spec, { label: chart.finding })).toBe(svg);
        expect(svg).not.toMatch(/NaN|undefined|Infinity|var\(/);
        expectGolden(`${name}-${chart.id}`, svg);
        const narrow = await renderSvg(chart.spec, { width: 340 });
        // Nothing beside the plot makes the picture wider than the telephone.
        expect(Number(/ width="([\d.]+)"/.exec(narrow)?.[1])).toBeLessThanOrEqual(352);
        expectGolden(`${name}-${chart.id}-narrow`, narrow);
      });
    }
  }

  it('a single curve has a linear axis from zero', async () => {
    const rows = [
      ...losses('iptables', { 0: 30, 1: 12, 2: 3, 5: 0 }, { cut: 4 }),
      ...losses('ipvs', { 0: 28, 1: 14, 2: 0, 5: 0 }),
    ];
    const chart = changeVsAxis(rows, LOSSES);
    expect(JSON.stringify(chart?.spec)).toContain('"type":"linear"');
    expect(JSON.stringify(chart?.spec)).not.toContain('symlog');
    if (chart !== undefined) expectGolden('losses-vs-axis-linear', await renderSvg(chart.spec));
  });

  it('values of an axis that lie close above zero stand apart', async () => {
    const chart = changeVsAxis(losses('iptables', { 0: 30, 0.02: 27, 0.1: 20, 0.5: 9, 2: 1, 5: 0, 15: 0 }), LOSSES);
    if (chart !== undefined) expectGolden('losses-vs-axis-wide', await renderSvg(chart.spec));
  });

  it('long names stand above the dots of several engines and two statistics', async () => {
    const axis = 'churn.0.probe_failure.mode';
    const rows = ['error', 'refuse', 'probe_error'].flatMap((mode, i) =>
      ['iptables', 'ipvs'].flatMap((engine, e) =>
        [0, 1].map((s) =>
          row(
            `programming_latency_p${s === 0 ? '50' : '99'}_ms`,
            4000 + 900 * i + 60 * e + 2500 * s,
            { [axis]: mode },
            {
              engine,
              replications: 5,
              ci95_low: 3700 + 900 * i,
              ci95_high: 4300 + 900 * i,
            },
          ),
        ),
      ),
    );
    const chart = chartOf(rows, 'programming-latency-by-category');
    expect(chart?.title).toBe('From a change to the rules by mode of failure');
    if (chart !== undefined) expectGolden('latency-by-category', await renderSvg(chart.spec));
  });

  it('inline all data, resample nothing at random, and have headings that fit a telephone', () => {
    for (const rows of Object.values(sweeps)) {
      for (const chart of changeCharts(rows)) {
        expect(JSON.stringify(chart.spec)).not.toMatch(/"(errorband|errorbar|ci0|ci1|url)"/);
        expect(chart.finding.length).toBeGreaterThan(40);
        expect(chart.table.rows.length).toBeGreaterThan(3);
        for (const cells of chart.table.rows) expect(cells).toHaveLength(chart.table.columns.length);
      }
    }
    for (const { heading } of CHANGE_METRICS) expect(heading.length).toBeLessThanOrEqual(38);
  });
});

describe('sentences about losses', () => {
  it('say for each panel where the curve ends, and which preStop outlasts programming', () => {
    expect(words(chartOf(CURVE, 'losses-vs-axis'))).toBe(
      'New connections lost: with minSyncPeriod 0 s 0.056% to 0.078% at 0 s, none from 1 s on; ' +
        'with minSyncPeriod 1 s 0.88% to 0.96% at 0 s, none from 1 s on; ' +
        'with minSyncPeriod 10 s 7.7% to 8.7% at 0 s, none from 10 s on. ' +
        'Established ones cut: with minSyncPeriod 0 s 0.66% to 0.68% at 0 s, none from 15 s on; ' +
        'with minSyncPeriod 1 s 0.64% at 0 s, none from 15 s on; with minSyncPeriod 10 s 0.64% to 0.7% at 0 s, 0.017% at 15 s. ' +
        'Where losses end, preStop outlasts the longest programming latency each time (80 ms, 930 ms and 8.58 s).',
    );
    const longer = CURVE.map((one) => (one.metric === 'programming_latency_max_ms' ? { ...one, mean: 12_000 } : one));
    expect(words(chartOf(longer, 'losses-vs-axis'))).toContain(
      'The longest programming latency with minSyncPeriod 10 s is 12 s: preStop 10 s is shorter, and was enough here.',
    );
    const one = CURVE.filter((row) => row.axes[MIN_SYNC] === 1);
    expect(words(chartOf(one, 'losses-vs-axis'))).toContain(
      'none from 15 s on. The longest programming latency is 930 ms: preStop 1 s outlasts it.',
    );
    const without = CURVE.filter((one) => one.metric !== 'programming_latency_max_ms');
    expect(words(chartOf(without, 'losses-vs-axis'))).not.toContain('longest');
  });

  it.each([
    ['falls', { 0: 31, 1: 4, 2: 0, 5: 0 }, '3.1% at 0 s, none from 2 s on'],
    ['falls after a hump', { 0: 31, 1: 44, 2: 0 }, '3.1% at 0 s, at most 4.4% at 1 s, none from 2 s on'],
    ['does not get there', { 0: 31, 1: 4, 2: 1 }, '3.1% at 0 s, 0.1% at 2 s'],
    ['rises from nothing', { 0: 0, 1: 0, 2: 7 }, 'none up to 1 s, 0.7% at 2 s'],
    ['hardly has a hump', { 0: 30.01, 1: 30.04, 2: 0 }, '3% at 0 s, none from 2 s on'],
    ['comes back', { 0: 10, 1: 0, 2: 20 }, '1% at 0 s, 2% at 2 s'],
    ['is a hump', { 0: 0, 1: 20, 2: 0 }, '0% at 0 s, at most 2% at 1 s, 0% at 2 s'],
  ])('of a curve that %s', (_, counts, expected) => {
    expect(words(changeVsAxis(losses('iptables', counts), LOSSES))).toBe(
      `New connections lost: ${expected}. Established ones cut: none at all.`,
    );
  });

  it('tell engines apart where their curves differ in kind, and name the earlier zero where they do not', () => {
    const apart = [...losses('iptables', { 0: 20, 1: 5, 2: 0 }), ...losses('nftables', { 0: 20, 1: 5, 2: 2 })];
    expect(words(changeVsAxis(apart, LOSSES))).toContain(
      '2% at 0 s, none from 2 s on with iptables; 2% at 0 s, 0.2% at 2 s with nftables.',
    );
    const early = [...losses('iptables', { 0: 20, 1: 5, 2: 0 }), ...losses('nftables', { 0: 24, 1: 0, 2: 0 })];
    expect(words(changeVsAxis(early, LOSSES))).toContain('2% to 2.4% at 0 s, none from 2 s on (nftables from 1 s on).');
  });

  it('say of a flat line that it is one', () => {
    expect(words(changeVsAxis(losses('iptables', { 0: 20, 1: 0 }, { cut: 4 }), LOSSES))).toContain(
      'Established ones cut: 0.4% throughout.',
    );
  });

  it('do not hide a hump that several engines share', () => {
    const rows = [...losses('iptables', { 0: 0, 1: 30, 2: 0 }), ...losses('ipvs', { 0: 0, 1: 25, 2: 0 })];
    expect(words(changeVsAxis(rows, LOSSES))).toContain('0% at 0 s, at most 3% at 1 s, 0% at 2 s.');
  });

  it('keep to one panel where there are many, and say so', () => {
    const rows = [0, 1, 2, 5].flatMap((s) =>
      losses('iptables', { 0: 10 + s, 1: s, 2: 0 }, { others: { [MIN_SYNC]: s } }),
    );
    expect(words(changeVsAxis(rows, LOSSES))).toContain(
      'New connections lost: 1.5% at 0 s, none from 2 s on. Established ones cut: none at all. ' +
        'This is said of the panel "minSyncPeriod 5 s".',
    );
  });
});

describe('curves', () => {
  const curve = (...means: readonly number[]): unknown => curveOf(means.map((mean, x) => ({ x, mean })));

  it('end, begin or do neither', () => {
    expect(curve()).toEqual({ kind: 'none' });
    expect(curve(0, 0)).toEqual({ kind: 'none' });
    expect(curve(1)).toEqual({ kind: 'otherwise' });
    expect(curve(1, 0)).toEqual({ kind: 'falls to zero', x: 1 });
    expect(curve(1, 0, 1, 0)).toEqual({ kind: 'falls to zero', x: 3 });
    expect(curve(0, 0, 1)).toEqual({ kind: 'rises from zero', x: 1 });
    expect(curve(0, 1, 0, 1)).toEqual({ kind: 'otherwise' });
    expect(curve(0, 1, 0)).toEqual({ kind: 'otherwise' });
  });
});

describe('odd data', () => {
  it('no loss anywhere, one point, or a metric without a value: no chart', () => {
    expect(changeVsAxis(losses('iptables', { 0: 0, 1: 0, 2: 0 }), LOSSES)).toBeUndefined();
    expect(changeVsAxis(losses('iptables', { 0: 7 }), LOSSES)).toBeUndefined();
    expect(
      changeCharts([row('failed_connections', 3, { [PRE_STOP]: 0 }), row('failed_connections', 0, { [PRE_STOP]: 1 })]),
    ).toEqual([]);
    expect(changeCharts([row('programming_latency_p50_ms', null, { [PRE_STOP]: 0 })])).toEqual([]);
    expect(changeCharts([])).toEqual([]);
  });

  it('a point that an engine has no finished trial of is a gap, and the others stay', async () => {
    const rows = [...losses('iptables', { 0: 20, 2: 0 }), ...losses('ipvs', { 0: 22, 1: 6, 2: 0 })];
    const chart = changeVsAxis(rows, LOSSES);
    expect(chart?.table.rows.map((cells) => cells.slice(0, 3))).toEqual([
      ['iptables', 0, '2%'],
      ['iptables', 2, '0%'],
      ['IPVS', 0, '2.2%'],
      ['IPVS', 1, '0.6%'],
      ['IPVS', 2, '0%'],
    ]);
    if (chart !== undefined) expect(await renderSvg(chart.spec)).not.toMatch(/NaN/);
    // Where the first value of an axis that changes little is the one with gaps, another one is drawn.
    const gaps = CURVE.filter((one) => !(one.axes[PRE_STOP] === 0 && one.engine === 'ipvs'));
    expect(words(chartOf(gaps, 'programming-latency-vs-axis'))).toContain('Drawn at preStop 1 s');
  });

  it('one replication has no interval, in the table and in the tooltip', () => {
    const chart = changeVsAxis(losses('iptables', { 0: 20, 1: 0 }), LOSSES);
    expect(chart?.table.columns).toEqual([
      'engine',
      'preStop (s)',
      'new ones lost',
      '95% interval',
      'established ones cut',
      'replications',
    ]);
    expect(chart?.table.rows[0]).toEqual(['iptables', 0, '2%', null, '0%', 1]);
    expect(JSON.stringify(chart?.spec)).toContain('one replication, no interval');
  });

  it('shares and times are not below zero, whatever the interval of few replications says', () => {
    const rows = losses('iptables', { 0: 20, 1: 0 }).map((one) =>
      one.metric === 'failed_connections' ? { ...one, ci95_low: -5, ci95_high: 45 } : one,
    );
    expect(changeVsAxis(rows, LOSSES)?.table.rows[0]?.[3]).toBe('0% to 4.5%');
  });

  it('zero stays on the axis of zero, and values that are far apart between panels do not flatten', () => {
    const far = [
      ...losses('iptables', { 0: 500, 5: 0 }, { others: { [MIN_SYNC]: 10 } }),
      ...losses('iptables', { 0: 2, 5: 0 }, { others: { [MIN_SYNC]: 0 } }),
    ];
    const spec = JSON.stringify(changeVsAxis(far, LOSSES)?.spec);
    expect(spec).toContain('"type":"symlog","constant":0.001');
    expect(spec).toContain('"values":[0,0.001,');
    // Rows at zero are drawn: a log scale would have dropped them.
    expect(spec).toContain('"x":5,"services":2,"rules":52,"value":0');
  });
});

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
      expect(idsOf(summaryOf(fixture)), fixture).toEqual([]);
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
