/** Crossovers of modes with their two kinds of uncertainty, from straight lines whose crossings are known. */
import { describe, expect, it } from 'vitest';
import type { CostBasis } from '../model/observation.ts';
import type { SummaryRow } from '../reports/csv.ts';
import { crossovers } from './findings-crossover.ts';
import { findingsOf } from './findings.ts';

const SIZES = [10, 100, 1000, 10_000];

interface Shape {
  readonly cost: (services: number) => number;
  /** Half the width of the sampling interval; none with one replication. */
  readonly half?: number;
  /** Share of the profile's range. */
  readonly range?: number;
  readonly basis?: CostBasis;
}

function rows(engine: string, shape: Shape, metric = 'cost_first_packet_mean_ns'): SummaryRow[] {
  const { cost, half, range, basis = 'measured' } = shape;
  return SIZES.map((services) => {
    const mean = cost(services);
    return {
      experiment: 'x',
      engine,
      profile: 'p',
      services,
      endpoints_per_service: 2,
      rules: 8 * services,
      axes: {},
      metric,
      replications: half === undefined ? 1 : 3,
      mean,
      stddev: null,
      ci95_low: half === undefined ? null : mean - half,
      ci95_high: half === undefined ? null : mean + half,
      ...(range === undefined ? {} : { range_low: mean * (1 - range), range_high: mean * (1 + range), basis }),
    };
  });
}

const IPTABLES: Shape = { cost: (n) => 3000 + 4 * n, half: 60, range: 0.1 };
const IPVS: Shape = { cost: () => 3800, half: 80, range: 0.2, basis: 'derived' };

const textOf = (summary: readonly SummaryRow[], engines: readonly string[] = ['iptables', 'ipvs']): string =>
  crossovers(summary, engines)
    .map(({ text }) => text)
    .join('\n');

describe('a crossover', () => {
  it('is where the means meet, with the sampling interval and apart from it the range of the profile', () => {
    // 4 n - 800 = 0; the halves 60 and 80 make 100: 175 to 225. By the range: 260 + 4.4 n is never below 0, 3.6 n - 1,860 until 517.
    expect(textOf([...rows('iptables', IPTABLES), ...rows('ipvs', IPVS)])).toBe(
      'Crossover of iptables and IPVS (IPVS estimated): for a first packet at 200 services (95 % sampling interval 175 to 225; by ' +
        "the profile's range anywhere up to 517), beyond which IPVS is the cheaper one.",
    );
  });

  it('does not change its range with more replications, nor its sampling interval with a better profile', () => {
    const of = (half: number, range: number): string =>
      textOf([...rows('iptables', { ...IPTABLES, half, range: 0 }), ...rows('ipvs', { ...IPVS, half: 0, range })]);
    expect(of(40, 0.1)).toContain("(95 % sampling interval 190 to 210; by the profile's range 105 to 295)");
    expect(of(4, 0.1)).toContain("(95 % sampling interval 199 to 201; by the profile's range 105 to 295)");
    expect(of(40, 0.05)).toContain("(95 % sampling interval 190 to 210; by the profile's range 153 to 248)");
  });

  it('is told apart for a first packet and over all packets', () => {
    const all = (engine: string, cost: (n: number) => number) =>
      rows(engine, { cost, half: 0, range: 0.01 }, 'cost_per_packet_mean_ns');
    const summary = [...rows('iptables', IPTABLES), ...rows('ipvs', IPVS)];
    const later = [...all('iptables', (n) => 1200 + 0.4 * n), ...all('ipvs', () => 1600)];
    expect(textOf([...summary, ...later])).toMatch(
      /for a first packet at 200 services .*; over all packets at 1,000 services \(95 % sampling interval 1,000; by the profile's range 921 to 1,080\)/,
    );
    const never = [...all('iptables', () => 1200), ...all('ipvs', () => 1600)];
    expect(textOf([...summary, ...never])).toContain(
      "; over all packets iptables is the cheaper one at every size, by the profile's range, too.",
    );
  });

  it('that only the range makes possible is left open, and one that it rules out is no finding', () => {
    const near = [...rows('nftables', { cost: () => 3500, range: 0.02 }), ...rows('ipvs', IPVS)];
    expect(textOf(near, ['nftables', 'ipvs'])).toBe(
      'Crossover of nftables and IPVS (IPVS estimated): for a first packet nftables is the cheaper one at every size by the mean, and ' +
        "the profile's range leaves that open at every size.",
    );
    // 1.05 (3,000 + n / 15) meets 0.95 x 4,000 at 9,286 services: in doubt at the largest size alone.
    const growing = [
      ...rows('nftables', { cost: (n) => 3000 + n / 15, range: 0.05 }),
      ...rows('ipvs', { cost: () => 4000, range: 0.05, basis: 'derived' }),
    ];
    expect(textOf(growing, ['nftables', 'ipvs'])).toContain('leaves that open at 10,000 services');
    const far = [...rows('nftables', { cost: () => 2000, range: 0.02 }), ...rows('ipvs', IPVS)];
    expect(crossovers(far, ['nftables', 'ipvs'])).toEqual([]);
  });

  it('beyond the sweep by its range says so', () => {
    const summary = [...rows('iptables', { ...IPTABLES, range: 0.9 }), ...rows('ipvs', IPVS)];
    expect(textOf(summary)).toContain("by the profile's range anywhere in this sweep)");
    const late = [...rows('iptables', { cost: (n) => n, range: 0 }), ...rows('ipvs', { cost: () => 8000, range: 0.5 })];
    expect(textOf(late)).toContain(
      "at 8,000 services (one replication, no sampling interval; by the profile's range anywhere from 4,000 on)",
    );
  });

  it('does without intervals where a file has none, and is none of equal or tangled modes', () => {
    const bare = (cost: (n: number) => number): Shape => ({ cost });
    expect(textOf([...rows('iptables', bare(IPTABLES.cost)), ...rows('ipvs', bare(IPVS.cost))])).toBe(
      'Crossover of iptables and IPVS: for a first packet at 200 services (one replication, no sampling interval), beyond which IPVS is the cheaper one.',
    );
    const equal = [...rows('iptables', IPVS), ...rows('ipvs', IPVS)];
    expect(crossovers(equal, ['iptables', 'ipvs'])).toEqual([]);
    const tangled = [
      ...rows(
        'iptables',
        bare((n) => (n === 100 ? 1 : 9)),
      ),
      ...rows(
        'ipvs',
        bare(() => 5),
      ),
    ];
    expect(crossovers(tangled, ['iptables', 'ipvs'])).toEqual([]);
  });

  it('is found in instructions, and among the findings of a sweep', () => {
    const summary = [...rows('iptables', IPTABLES), ...rows('ipvs', IPVS)].map((row) => ({
      ...row,
      metric: 'cost_first_packet_mean_instructions',
    }));
    expect(textOf(summary)).toContain('at 200 services');
    const rules = rows('iptables', { cost: (n) => n / 2 }, 'rules_evaluated_per_first_packet_mean');
    const found = findingsOf([...summary, ...rules], ['iptables', 'ipvs']);
    expect(found.map(({ id }) => id)).toContain('crossover-iptables-ipvs');
    expect(found.find(({ id }) => id === 'first-packet-comparison')?.text).toContain(
      'iptables 43,000 instructions, IPVS 3,800 instructions',
    );
  });
});
