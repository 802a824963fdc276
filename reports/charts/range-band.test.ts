/** How charts of modelled cost show the range of a profile and, apart from it, the sampling interval. */
import { describe, expect, it } from 'vitest';
import type { CostBasis } from '../../model/observation.ts';
import type { SummaryRow } from '../csv.ts';
import { renderSvg } from '../render-svg.ts';
import { changeByCategory } from './change-by-category.ts';
import { CHANGE_METRICS } from './change-metrics.ts';
import { changeVsAxis } from './change-vs-axis.ts';
import type { Chart, Json, JsonObject } from './chart.ts';
import { costVsRules } from './cost-vs-rules.ts';
import { firstPacketVsServices } from './first-packet-vs-services.ts';
import { perPacketVsServices } from './per-packet-vs-services.ts';

const SIZES = [10, 100, 1000];

/** 1,000 to 1,200 ns sampled, and 20% up and down by the profile. */
function rows(
  engine: string,
  estimated: boolean,
  metric = 'cost_first_packet_mean_ns',
  more: object = {},
): SummaryRow[] {
  return SIZES.map((services) => ({
    experiment: 'e',
    engine,
    profile: 'p',
    services,
    endpoints_per_service: 2,
    rules: services * 5,
    axes: {},
    metric,
    replications: 3,
    mean: 1100,
    stddev: 50,
    ci95_low: 1000,
    ci95_high: 1200,
    range_low: 880,
    range_high: 1320,
    basis: estimated ? 'derived' : 'measured',
    ...more,
  }));
}

const TWO = [...rows('iptables', false), ...rows('ipvs', true)];
const plain = (text: string): string => text.replaceAll('\u00a0', ' ');
const textOf = (row: JsonObject | undefined, name: string): string =>
  plain(typeof row?.[name] === 'string' ? row[name] : '');
const dataOf = (chart: Chart | undefined): readonly JsonObject[] =>
  (chart?.spec['data'] as JsonObject)['values'] as Json[] as unknown as JsonObject[];

describe('the range of the profile', () => {
  it('is a band of all modes, and of those that were not measured a band with a name', async () => {
    const chart = firstPacketVsServices(TWO);
    const notes = dataOf(chart).filter((row) => row['note'] !== '');
    expect(notes.map(({ note, x }) => [note, x])).toEqual([['IPVS: estimated', 10]]);
    expect(dataOf(chart)[0]).toMatchObject({ low: 1000, high: 1200, rangeLow: 880, rangeHigh: 1320, estimated: false });
    const svg = await renderSvg(chart?.spec ?? {});
    expect(svg).toContain('>IPVS: estimated<');
    expect(svg).toContain('>IPVS (estimated)<');
    expect(svg).not.toContain('>iptables (estimated)<');
    expect(chart?.reading).toContain('by the range of the cost profile');
    expect(chart?.reading).toContain('95% confidence interval of the mean over replications');
  });

  it('stands in the tooltip and in the table beside the sampling interval', () => {
    const chart = firstPacketVsServices(TWO);
    const [iptables, ipvs] = [dataOf(chart)[0], dataOf(chart)[3]];
    expect(textOf(iptables, 'interval')).toBe('1 µs to 1.2 µs');
    expect(textOf(iptables, 'range')).toBe('880 ns to 1.32 µs');
    expect(textOf(ipvs, 'range')).toBe('880 ns to 1.32 µs, estimated');
    expect(JSON.stringify(chart?.spec)).toContain('"title":"95% interval of the sampling"');
    expect(JSON.stringify(chart?.spec)).toContain(`"field":"range","type":"nominal","title":"profile's range"`);
    const { columns, rows: cells } = chart?.table ?? { columns: [], rows: [] };
    const at = columns.indexOf("profile's range");
    expect(columns[at - 1]).toBe('95% interval');
    expect(cells.map((row) => plain(String(row[at])))).toEqual([
      ...Array<string>(3).fill('880 ns to 1.32 µs'),
      ...Array<string>(3).fill('880 ns to 1.32 µs, estimated'),
    ]);
  });

  it('lies inside of the plot, however far it reaches', () => {
    const far = [
      ...rows('iptables', false),
      ...rows('userspace', true, undefined, { range_low: 20, range_high: 90_000 }),
    ];
    for (const make of [firstPacketVsServices, costVsRules]) {
      const [, low, high] =
        /"type":"log","domain":\[([\d.]+),([\d.]+)\],"nice":false\},"axis":\{"values":\[[\d.,]*\],"labelExpr":"datum.value == 0/.exec(
          JSON.stringify(make(far)?.spec),
        ) ?? ['', '', ''];
      expect(Number(low)).toBeLessThan(20);
      expect(Number(high)).toBeGreaterThan(90_000);
    }
  });

  it('is in the charts over all packets and against rules, in instructions too', async () => {
    const all = perPacketVsServices([
      ...rows('iptables', false, 'cost_per_packet_mean_instructions'),
      ...rows('ipvs', false, 'cost_per_packet_mean_instructions'),
    ]);
    expect(all?.table.columns).toContain("profile's range");
    expect(all?.reading).toContain('by the range of the cost profile. The capped');
    expect(all?.table.rows[0]).toContain('880 instructions to 1,320 instructions');
    expect(await renderSvg(all?.spec ?? {})).not.toContain('estimated');
    expect(costVsRules(TWO)?.table.columns).toContain("profile's range");
  });

  it('is not drawn where a file has none', async () => {
    const without = TWO.map((row) =>
      Object.fromEntries(Object.entries(row).filter(([name]) => !/^range_|^basis/.test(name))),
    ) as unknown as SummaryRow[];
    const chart = firstPacketVsServices(without);
    expect(chart?.reading).not.toContain('cost profile');
    expect(chart?.table.columns).not.toContain("profile's range");
    expect(await renderSvg(chart?.spec ?? {})).not.toContain('estimated');
  });

  it('keeps to the table and the tooltips where settings of one mode are compared', () => {
    const metric = CHANGE_METRICS.find(({ id }) => id === 'first-packet-instructions');
    expect(metric).toBeDefined();
    if (metric === undefined) return;
    const swept = (name: string, values: readonly (number | string)[]): SummaryRow[] =>
      values.map((value, i) => ({
        ...rows('ipvs', false, 'cost_first_packet_mean_instructions')[0],
        axes: { [name]: value },
        mean: 1000 + 500 * i,
        ci95_low: 990 + 500 * i,
        ci95_high: 1010 + 500 * i,
      }));
    const charts = [
      changeVsAxis(swept('proxy.sync_period_s', [1, 2, 3]), metric),
      changeByCategory(swept('proxy.ipvs_scheduler', ['rr', 'sh', 'lc']), metric),
    ];
    for (const chart of charts) {
      expect(chart?.table.columns).toContain("profile's range");
      expect(JSON.stringify(chart?.spec)).toContain('"field":"range"');
      expect(JSON.stringify(chart?.spec)).not.toContain('"field":"rangeLow"');
      expect(chart?.finding).toContain('instructions');
    }
  });

  it('of a scheduler that no measurement has is marked by its name', () => {
    const metric = CHANGE_METRICS.find(({ id }) => id === 'first-packet');
    if (metric === undefined) expect.fail('no chart of first packets');
    const swept = (...bases: readonly CostBasis[]): Chart | undefined =>
      changeByCategory(
        ['rr', 'lblc', 'twos'].map((value, i) => ({
          ...rows('ipvs', true)[0],
          axes: { 'proxy.ipvs_scheduler': value },
          mean: 1000 + 500 * i,
          ci95_low: 990 + 500 * i,
          ci95_high: 1010 + 500 * i,
          basis: bases[i] ?? 'measured',
        })),
        metric,
      );
    const marked = swept('derived', 'estimated', 'estimated');
    expect(marked?.table.rows.map((cells) => cells[1])).toEqual(['rr', 'lblc*', 'twos*']);
    expect(marked?.reading).toContain('* estimated from its algorithm: no measurement has it.');
    expect(plain(marked?.verdict ?? '')).toContain(
      'highest with twos* (2 µs), 2 times as much. (* estimated from its algorithm: no measurement has it.)',
    );
    const all = swept('estimated', 'estimated', 'estimated');
    expect(all?.table.rows.map((cells) => cells[1])).toEqual(['rr', 'lblc', 'twos']);
    expect(all?.reading).not.toContain('*');
  });
});
