/** Charts: pictures against their goldens, sentences against the data, and no chart where there is nothing to compare. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ENGINE_NAMES } from '../../model/engine-name.ts';
import type { SummaryRow, TimelineFileRow } from '../csv.ts';
import { renderSvg } from '../render-svg.ts';
import type { Results } from '../results.ts';
import { readResults } from '../results.ts';
import { chartsOf } from './all.ts';
import type { Chart } from './chart.ts';
import { churnTimeline } from './churn-timeline.ts';
import { costVsRules } from './cost-vs-rules.ts';
import { engineStyle } from './engine-style.ts';
import { firstPacketVsServices } from './first-packet-vs-services.ts';
import { perPacketVsServices } from './per-packet-vs-services.ts';
import { syncVsServices } from './sync-vs-services.ts';
import { workVsServices } from './work-vs-services.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
const fixture = (name: string): Results => readResults(join(HERE, '..', 'fixtures', name));
const SCALING = fixture('service-scaling');
const SWAPPED = fixture('service-scaling-swapped');
const CHURN = fixture('rolling-update');
const THREE_MODES = fixture('three-modes');
const FOUR_MODES = fixture('four-modes');
const FOUR_MODES_CHURN = fixture('rolling-update-four-modes');
const finding = (chart: Chart | undefined): string => (chart?.finding ?? '').replaceAll('\u00a0', ' ');

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
  const charts = [...chartsOf(SCALING), ...chartsOf(CHURN)];

  it('there is one of each chart', () => {
    expect(charts.map((chart) => chart.id)).toEqual([
      'first-packet-vs-services',
      'per-packet-vs-services',
      'cost-vs-rules',
      'work-vs-services',
      'sync-vs-services',
      'churn-timeline',
    ]);
  });

  for (const chart of charts) {
    it(`${chart.id} is as committed, and the same when drawn again`, async () => {
      const svg = await renderSvg(chart.spec, { label: chart.finding });
      expect(await renderSvg(chart.spec, { label: chart.finding })).toBe(svg);
      expect(svg).not.toMatch(/NaN|undefined|var\(/);
      expectGolden(chart.id, svg);
    });
  }

  for (const chart of [...chartsOf(FOUR_MODES), ...chartsOf(FOUR_MODES_CHURN)]) {
    it(`${chart.id} of four modes is as committed`, async () => {
      const svg = await renderSvg(chart.spec, { label: chart.finding });
      expect(svg).not.toMatch(/NaN|undefined|var\(/);
      for (const engine of ENGINE_NAMES) expect(svg, engine).toContain(engineStyle(engine).colour);
      expectGolden(`four-modes-${chart.id}`, svg);
    });
  }

  it('the first packet of three modes is as committed, and on a narrow screen', async () => {
    const chart = firstPacketVsServices(THREE_MODES.summary);
    expect(chart).toBeDefined();
    if (chart === undefined) return;
    expectGolden('three-modes-first-packet-vs-services', await renderSvg(chart.spec));
    expectGolden('three-modes-first-packet-vs-services-narrow', await renderSvg(chart.spec, { width: 340 }));
  });

  it('panels by a second axis are as committed', async () => {
    const chart = firstPacketVsServices(twoAxes());
    expect(chart).toBeDefined();
    if (chart !== undefined) expectGolden('first-packet-vs-services-panels', await renderSvg(chart.spec));
  });

  it('marks the claim in every panel of the chart against rules', async () => {
    const chart = costVsRules(twoAxes());
    const svg = chart === undefined ? '' : await renderSvg(chart.spec);
    expect(svg.split('the claim: slower')).toHaveLength(3);
  });

  it('never draws with Vega-Lite marks that resample at random, and inlines all data', () => {
    for (const chart of charts) {
      expect(JSON.stringify(chart.spec)).not.toMatch(/"(errorband|errorbar|ci0|ci1|url)"/);
    }
  });
});

describe('sentences', () => {
  it('opposite data give opposite sentences', () => {
    const one = finding(firstPacketVsServices(SCALING.summary));
    const other = finding(firstPacketVsServices(SWAPPED.summary));
    expect(one).toContain('grows 12-fold (4.4 µs to 51.4 µs) with iptables');
    expect(one).toContain('Between 100 and 1,000 services the lines cross: from there on iptables costs more.');
    expect(other).toMatch(/grows 1\d-fold \(.*\) with IPVS/);
    expect(other).toContain('from there on IPVS costs more.');
  });

  it('of more than two modes the order and each crossing', () => {
    const four = finding(firstPacketVsServices(FOUR_MODES.summary));
    expect(four).toMatch(
      /At 10,000 services userspace costs the most, then iptables, IPVS and nftables: \d+ times what nftables does\./,
    );
    expect(four).toContain(
      'iptables overtakes IPVS between 100 and 1,000 services and nftables between 100 and 1,000 services.',
    );
    for (const name of ['iptables', 'IPVS', 'nftables', 'userspace']) expect(four).toContain(`with ${name}`);
    const three = finding(firstPacketVsServices(THREE_MODES.summary));
    expect(three).toContain('At 10,000 services iptables costs the most, then IPVS and nftables');
    expect(finding(perPacketVsServices(FOUR_MODES.summary))).toContain('userspace costs the most');
  });

  it('of modes that never cross, meet, or cross back', () => {
    const rows = (engine: string, ...means: readonly number[]): SummaryRow[] =>
      means.map((mean, i) => ({ ...base(engine, [100, 1000, 10_000][i] ?? 0), mean }));
    const of = (...engines: readonly SummaryRow[][]): string => finding(firstPacketVsServices(engines.flat()));
    const flat = rows('nftables', 5, 5, 5);
    expect(of(rows('iptables', 9, 10, 90), rows('ipvs', 6, 6, 6), flat)).toContain(
      'then IPVS and nftables: 18 times what nftables does. The order is the same at every size.',
    );
    expect(of(rows('iptables', 9, 4, 90), rows('ipvs', 9, 9, 9), flat)).toContain(
      'iptables and IPVS and iptables and nftables cross more than once or meet.',
    );
    expect(of(flat, rows('iptables', 5, 5, 5), rows('ipvs', 5, 5, 5))).toContain(
      'At 1,000 services all cost the same.',
    );
  });

  it('each chart says something else when the engines change places', () => {
    for (const make of [firstPacketVsServices, perPacketVsServices, costVsRules, workVsServices, syncVsServices]) {
      expect(finding(make(SCALING.summary))).not.toBe(finding(make(SWAPPED.summary)));
      expect(finding(make(SCALING.summary)).length).toBeGreaterThan(40);
    }
  });

  it('the claim of 5,000 rules is answered from the data: a jump, growth, or nothing', () => {
    const at = (rules: number, cost: number): SummaryRow => ({ ...base('iptables', rules), mean: cost });
    const sentence = (...costs: readonly number[]): string =>
      finding(costVsRules([1000, 4000, 6000].map((rules, i) => at(rules, costs[i] ?? 0))));
    expect(sentence(1000, 1000, 9000)).toContain(
      'shows a jump across 5,000 rules (1 µs at 4,000 rules and 9 µs at 6,000)',
    );
    expect(sentence(1000, 2000, 3000)).toContain('passes 5,000 rules without a jump');
    expect(sentence(1000, 1000, 1010)).toContain('does not get dearer across 5,000 rules');
    expect(finding(costVsRules([at(10, 5), at(20, 5)]))).toContain("at most 20 rules here, below the claim's 5,000");
  });

  it('the claim of 5,000 rules stays open where no points are close to it', () => {
    const from = (below: number, above: number): string =>
      finding(
        costVsRules([
          { ...base('iptables', below), mean: 1000 },
          { ...base('iptables', above), mean: 1100 },
        ]),
      );
    const open = 'For iptables this sweep has no points close enough to 5,000 rules to tell';
    expect(from(4000, 6000)).toContain('iptables passes 5,000 rules without a jump');
    expect(from(4000, 6001)).toContain(`${open} (1 µs at 4,000 rules and 1.1 µs at 6,001)`);
    expect(from(3000, 5000)).toContain(open);
    expect(from(3500, 5000)).toContain('without a jump');
  });

  it('the timeline counts what went wrong and for how long the node lagged', () => {
    expect(finding(churnTimeline(CHURN.timeline))).toContain(
      'With iptables, of 2,895 connections 18 failed, 29 went stale and 16 were cut, all between 10 s and 33 s;',
    );
    const calm = CHURN.timeline.map((row) => ({
      ...row,
      failed_connections: 0,
      stale_connections: 0,
      broken_connections: 0,
      ready_endpoints: 3,
      installed_endpoints: 3,
      serving_endpoints: 3,
    }));
    expect(finding(churnTimeline(calm))).toContain("failed, went stale or was cut; the node's rules followed at once.");
  });
});

describe('charts that are left out', () => {
  it('has no chart for no rows', () => {
    expect(chartsOf({ summary: [], timeline: [] })).toEqual([]);
  });

  it('has no chart against services when there is one number of services', () => {
    const one = SCALING.summary.filter((row) => row.services === 10);
    expect(chartsOf({ summary: one, timeline: [] })).toEqual([]);
  });

  it('skips zero on a logarithmic scale: iptables passes no service-table entries', () => {
    const spec = JSON.stringify(workVsServices(SCALING.summary)?.spec);
    expect(spec).toContain('"engine":"IPVS","statistic":"service-table entries passed"');
    expect(spec).not.toContain('"engine":"iptables","statistic":"service-table entries passed"');
  });

  it('says how long the rules led to stopped pods', () => {
    const dead = CHURN.timeline.map((row) => ({
      ...row,
      ready_endpoints: 3,
      installed_endpoints: 3,
      serving_endpoints: row.time_s > 10 && row.time_s <= 12 ? 2 : 3,
    }));
    expect(finding(churnTimeline(dead))).toContain("the node's rules led to stopped pods for 2.38 s");
  });

  it('draws instructions where the profile gives no time', async () => {
    const rows = SCALING.summary.map((row) => ({ ...row, metric: row.metric.replace(/_ns$/, '_instructions') }));
    const chart = firstPacketVsServices(rows);
    expect(finding(chart)).toContain('instructions');
    if (chart !== undefined) expect(await renderSvg(chart.spec)).toContain('</svg>');
  });
});

describe('timeline rows', () => {
  const row = (service: string, time_s: number, ready: number, event = ''): TimelineFileRow => ({
    engine: 'ipvs',
    replication: 1,
    node: 'node-1',
    service,
    time_s,
    ready_endpoints: ready,
    installed_endpoints: 2,
    serving_endpoints: 2,
    connections: 1,
    failed_connections: 0,
    stale_connections: 0,
    broken_connections: 0,
    event,
    point: {},
  });

  it('carries a service on where only another one has a row', () => {
    const chart = churnTimeline([
      row('a', 1, 2),
      row('b', 1, 2),
      row('a', 1.5, 1, 'pod gone'),
      row('a', 2, 1),
      row('b', 2, 3),
    ]);
    expect(chart?.table.rows.map((cells) => cells.slice(1, 3))).toEqual([
      [1, 4],
      [1.5, 3],
      [2, 4],
    ]);
  });

  it('says one time where the first and the last are printed equal', () => {
    const at = (time_s: number): TimelineFileRow => ({ ...row('a', time_s, 2), failed_connections: 1 });
    expect(finding(churnTimeline([row('a', 1, 2), at(20.5), at(20.53)]))).toContain('all at 20.5 s;');
    expect(finding(churnTimeline([row('a', 1, 2), at(20.5), at(20.6)]))).toContain('all between 20.5 s and 20.6 s;');
  });

  it('stacks cut connections on failed and stale ones, and takes them alone for a change', () => {
    const wrong = { ...row('b', 2, 2), failed_connections: 2, stale_connections: 1, broken_connections: 4 };
    const late = { ...row('b', 3, 2), broken_connections: 1 };
    const chart = churnTimeline([row('a', 1, 2), row('b', 1, 2), wrong, late, row('b', 4, 2), row('b', 5, 2)]);
    expect(finding(chart)).toContain('2 failed, 1 went stale and 5 were cut, all between 2 s and 3 s');
    expect(chart?.table.columns.slice(5, 9)).toEqual(['connections', 'failed', 'stale', 'cut']);
    expect(chart?.table.rows.map((cells) => [cells[1], ...cells.slice(6, 9)])).toEqual([
      [1, 0, 0, 0],
      [2, 2, 1, 4],
      [3, 0, 0, 1],
      [5, 0, 0, 0],
    ]);
    const spec = JSON.stringify(chart?.spec);
    expect(spec).toContain('"series":"cut connections","count":4,"below":3,"above":7');
    expect(spec).toContain('"domain":["failed connections","stale connections","cut connections"]');
    const only = churnTimeline([row('a', 1, 2), row('b', 1, 2), row('a', 2, 2), { ...late, time_s: 2 }]);
    expect(only?.reading).toContain('Replication 1, b.');
    expect(finding(only)).toContain('0 went stale and 1 was cut, all at 2 s');
  });

  it('draws the first of several observed nodes whole and the others faintly, however their rows are mixed', () => {
    const of = (node: string, time_s: number, installed: number, failed = 0): TimelineFileRow => ({
      ...row('a', time_s, 2, `${node} at ${time_s}`),
      node,
      installed_endpoints: installed,
      failed_connections: failed,
    });
    const blocks = [
      of('n1', 1, 2),
      of('n1', 2, 1, 3),
      of('n1', 3, 2),
      of('n2', 1, 2),
      of('n2', 2, 7, 5),
      of('n2', 3, 2),
    ];
    const mixed = [0, 3, 1, 4, 2, 5].map((i) => blocks[i]);
    const chart = churnTimeline(blocks);
    expect(churnTimeline(mixed)).toEqual(chart);
    // Counts and events are of the first node alone: the second one's would double them.
    expect(finding(chart)).toContain('of 3 connections 3 failed, 0 went stale and 0 were cut, all at 2 s');
    expect(chart?.table.rows.map((cells) => [cells[3], cells[9]])).toEqual([
      [2, 'n1 at 1'],
      [1, 'n1 at 2'],
      [2, 'n1 at 3'],
    ]);
    expect(JSON.stringify(chart?.spec)).toContain('{"time_s":2,"node":"n2","endpoints":7}');
    expect(chart?.reading).toMatch(
      /^Replication 1, node n1, a\. The faint coloured line is what 1 other observed node had/,
    );
    expect(churnTimeline(blocks.slice(0, 3))?.reading).toMatch(/^Replication 1, a\. Where/);
    expect(finding(churnTimeline([...blocks, ...blocks]))).toContain('1 other point of the sweep');
  });

  it('draws the first trial of a sweep of several points and says how many there are', () => {
    const rows = [row('a', 1, 2), row('a', 2, 1), row('a', 1, 2), row('a', 2, 0), row('a', 3, 2)];
    const chart = churnTimeline(rows);
    expect(chart?.table.rows).toHaveLength(2);
    expect(finding(chart)).toContain('1 other point of the sweep');
  });
});

function base(engine: string, rules: number): SummaryRow {
  return {
    experiment: 'e',
    engine,
    profile: 'p',
    services: rules / 10,
    endpoints_per_service: 4,
    rules,
    axes: {},
    metric: 'cost_first_packet_mean_ns',
    replications: 1,
    mean: 1,
    stddev: null,
    ci95_low: null,
    ci95_high: null,
  };
}

/** The scaling fixture at two numbers of endpoints. */
function twoAxes(): SummaryRow[] {
  return [4, 40].flatMap((endpoints_per_service) =>
    SCALING.summary.map((row) => ({
      ...row,
      endpoints_per_service,
      mean: row.mean === null ? null : row.mean + endpoints_per_service,
    })),
  );
}
