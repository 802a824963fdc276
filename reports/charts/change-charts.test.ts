/** Charts against an experiment's own axes: pictures against their goldens, sentences against the data, odd data. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { renderSvg } from '../render-svg.ts';
import { changeCharts, chartsOf } from './all.ts';
import { CHANGE_METRICS, LOSSES } from './change-metrics.ts';
import { chartOf, fixtureRows, idsOf, losses, MIN_SYNC, PRE_STOP, row, words } from './change-fixtures.ts';
import { changeVsAxis } from './change-vs-axis.ts';
import { curveOf } from './change-words.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
const CURVE = fixtureRows('pre-stop-curve');
const SCHEDULERS = fixtureRows('schedulers');
const FANOUT = fixtureRows('endpoint-fanout');

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
