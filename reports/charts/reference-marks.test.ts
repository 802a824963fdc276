/** Published points in charts: which chart and panel they stand in, and what their tooltips say. */
import { describe, expect, it } from 'vitest';
import type { SummaryRow } from '../csv.ts';
import type { Reference } from '../manifest.ts';
import { renderSvg } from '../render-svg.ts';
import { chartsOf } from './all.ts';
import type { Chart, JsonObject } from './chart.ts';
import { firstPacketVsServices } from './first-packet-vs-services.ts';
import { syncVsServices } from './sync-vs-services.ts';

function rows(engine: string, metric: string, endpoints: readonly number[] = [2]): SummaryRow[] {
  return endpoints.flatMap((endpoints_per_service) =>
    [10, 100, 1000].map((services) => ({
      experiment: 'e',
      engine,
      profile: 'p',
      services,
      endpoints_per_service,
      rules: services * 5,
      axes: { 'proxy.sync_period_s': 30 },
      metric,
      replications: 1,
      mean: 1000 + services,
      stddev: null,
      ci95_low: null,
      ci95_high: null,
    })),
  );
}

const POINT: Reference = {
  source: 'A talk',
  label: 'slide 7',
  engine: 'iptables',
  metric: 'cost_first_packet_mean_ns',
  at: { services: 5000, endpoints_per_service: 2 },
  value: 20_000,
  predicted: 18_000,
  error_ratio: -0.1,
};
const FIRST = 'cost_first_packet_mean_ns';

function crosses(chart: Chart | undefined): JsonObject[] {
  const data = chart?.spec['data'] as { values: JsonObject[] } | undefined;
  return (data?.values ?? []).filter((row) => row['reference'] === true);
}
const plain = (row: JsonObject | undefined): unknown =>
  JSON.parse(JSON.stringify(row ?? null).replaceAll('\u00a0', ' '));

describe('a published point', () => {
  it('is a cross in the colour of its mode, with the published value, the model and its error', async () => {
    const chart = firstPacketVsServices(rows('iptables', FIRST), [POINT]);
    expect(plain(crosses(chart)[0])).toEqual({
      reference: true,
      engine: 'iptables',
      panel: '',
      x: 5000,
      value: 20_000,
      note: '',
      source: 'A talk: slide 7',
      published: '20 µs',
      modelled: '18 µs',
      error: '−10%',
    });
    expect(chart?.reading).toContain('Crosses are points that others have published.');
    const svg = await renderSvg(chart?.spec ?? {});
    expect(svg).not.toMatch(/NaN|undefined/);
    expect(svg).toMatch(/<path[^>]*stroke="#d55e00"[^>]*stroke-width="2.4"/);
    // The plot reaches to the point, beyond the sweep's own sizes and costs.
    const text = JSON.stringify(chart?.spec);
    const domains = [...text.matchAll(/"domain":\[([\d.]+),([\d.]+)\]/g)].map(([, , high]) => Number(high));
    expect(Math.min(...domains)).toBeGreaterThan(5000);
    expect(Math.max(...domains)).toBeGreaterThan(20_000);
  });

  it('is drawn where metric, mode and the other axes are those of the chart, and nowhere else', () => {
    const summary = rows('iptables', FIRST);
    const count = (more: Partial<Reference>): number =>
      crosses(firstPacketVsServices(summary, [{ ...POINT, ...more }])).length;
    expect(count({})).toBe(1);
    expect(count({ at: { services: 50, 'proxy.sync_period_s': 30 } })).toBe(1);
    expect(count({ at: { services: 50, 'proxy.sync_period_s': 10 } })).toBe(0);
    expect(count({ at: { services: 50, unheard_of: 10 } })).toBe(0);
    expect(count({ at: { endpoints_per_service: 2 } })).toBe(0);
    expect(count({ at: { services: 50, endpoints_per_service: 3 } })).toBe(0);
    expect(count({ engine: 'ipvs' })).toBe(0);
    expect(count({ metric: 'cost_per_packet_mean_ns' })).toBe(0);
    expect(count({ value: 0 })).toBe(0);
  });

  it('stands in its panel, or in each where it does not say which', () => {
    const summary = rows('iptables', FIRST, [2, 20]);
    const panelsOf = (at: Reference['at']): unknown[] =>
      crosses(firstPacketVsServices(summary, [{ ...POINT, at }])).map((row) => row['panel']);
    expect(panelsOf({ services: 50, endpoints_per_service: 20 })).toEqual(['endpoints per service 20']);
    expect(panelsOf({ services: 50 })).toEqual(['endpoints per service 2', 'endpoints per service 20']);
  });

  it('without a value of the model says so', () => {
    const { predicted, error_ratio, ...bare } = POINT;
    expect([predicted, error_ratio]).toEqual([18_000, -0.1]);
    const [row] = crosses(firstPacketVsServices(rows('iptables', FIRST), [bare]));
    expect(row).toMatchObject({ modelled: 'not modelled', error: 'none known' });
  });

  it('is in the unit of the chart, in every chart that has its metric', () => {
    const sync: Reference = { ...POINT, metric: 'sync_full_ms', value: 2, predicted: 3, error_ratio: 0.5 };
    const summary = [...rows('iptables', 'sync_full_ms'), ...rows('iptables', FIRST)];
    const [row] = crosses(syncVsServices(summary, [sync]));
    expect(plain(row)).toMatchObject({ value: 2e6, published: '2 ms', modelled: '3 ms', error: '+50%' });
    const charts = chartsOf({ summary, timeline: [], manifest: { references: [POINT, sync] } });
    const drawn = charts.filter((chart) => crosses(chart).length > 0).map(({ id }) => id);
    expect(drawn).toEqual(['first-packet-vs-services', 'sync-vs-services']);
    expect(chartsOf({ summary, timeline: [], manifest: {} }).flatMap(crosses)).toEqual([]);
    const swept = [1, 10, 60].flatMap((period) =>
      rows('iptables', FIRST)
        .slice(0, 1)
        .map((each) => ({ ...each, mean: 1000 * period, axes: { 'proxy.sync_period_s': period } })),
    );
    const at = { 'proxy.sync_period_s': 10, services: 10 };
    const along = chartsOf({ summary: swept, timeline: [], manifest: { references: [{ ...POINT, at }] } });
    expect(along.map((chart) => [chart.id, crosses(chart).length])).toEqual([['first-packet-vs-axis', 1]]);
  });
});
