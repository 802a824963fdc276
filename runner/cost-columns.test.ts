/** Columns of modelled cost: one unit filled and the other empty, each cost with the profile's range beside it. */
import { describe, expect, it } from 'vitest';
import { costRange } from '../costs/range.ts';
import type { Observation } from '../model/observation.ts';
import { CLUSTER, fails, HEAD, load } from '../scenarios/load-fixtures.ts';
import { completeRow, metricColumns, observationColumns } from './columns.ts';
import { rangeColumn } from './cost-columns.ts';
import { summarize } from './summarize.ts';
import { planSweep } from './sweep-plan.ts';
import { runTrial } from './trial.ts';

const COSTS = [
  'cost_per_packet_mean',
  'cost_first_packet_mean',
  'cost_first_packet_p50',
  'cost_first_packet_p99',
  'cost_established_packet_mean',
];

const TEXT = `${HEAD}${CLUSTER}traffic: { connections: 200, packets_per_connection: 5 }\nreplications: 2\n`;

function observe(profile: string, engine: string, more = ''): Observation[] {
  const experiment = load(`${TEXT}engines: [${engine}]\nprofile: ${profile}\n${more}`);
  const columns = observationColumns([], { units: [experiment.resolvePoint({}).profile.unit], hasRig: false });
  return planSweep(experiment).trials.map((trial) => completeRow(runTrial(trial).observation, columns));
}

const NATIVE = 'linux-6.18-native';
const INSTRUCTIONS = 'linux-6.1-instructions';

describe('a profile in instructions', () => {
  it.each(['iptables', 'ipvs', 'nftables'])(
    '%s: leaves the nanoseconds empty and fills columns beside them',
    (engine) => {
      const [row] = observe(INSTRUCTIONS, engine);
      for (const name of Object.keys(row).filter((column) => column.startsWith('cost_') && column.endsWith('_ns')))
        expect(row[name], name).toBeNull();
      for (const stem of [...COSTS, 'cost_over_bare_first_packet_mean', 'cost_over_bare_per_packet_mean'])
        expect(row[`${stem}_instructions`], stem).toBeGreaterThan(stem.includes('over_bare') ? 1000 : 8000);
      // The bare packet of the guest is 8,282 instructions.
      const over = Number(row['cost_over_bare_first_packet_mean_instructions']);
      expect(Number(row['cost_first_packet_mean_instructions']) - over).toBeCloseTo(8282, -2);
      // A sync has a length in time all the same.
      expect(row['sync_full_ms']).toBeGreaterThan(0.1);
      expect(row['cost_basis']).toBe('measured');
    },
  );

  it('counts the same work as one in nanoseconds, and gives the same verdicts', () => {
    const [counted] = observe(INSTRUCTIONS, 'iptables');
    const [timed] = observe(NATIVE, 'iptables');
    expect(counted['digest']).toBe(timed['digest']);
    expect(counted['rules_evaluated_total']).toBe(timed['rules_evaluated_total']);
  });

  it('is refused beside userspace mode, where it is set from the command line, too', () => {
    const text = `${TEXT}kubeProxy: v1.25\nengines: [iptables, userspace]\n`;
    expect(fails(text, { set: [`profile=${INSTRUCTIONS}`] })).toMatch(/^e\.yaml:9:21: .* no costs of userspace mode/);
    expect(load(text).engines).toEqual(['iptables', 'userspace']);
  });

  it('has columns of its own only where an experiment has such a profile', () => {
    const both = observationColumns([], { units: ['ns', 'instructions'], hasRig: false });
    const plain = observationColumns([]);
    expect(plain.filter((name) => name.endsWith('_instructions'))).toEqual([]);
    expect(both.filter((name) => name.endsWith('_instructions'))).toHaveLength(17);
    expect(both.filter((name) => !name.endsWith('_instructions'))).toEqual(plain);
    expect(new Set(both).size).toBe(both.length);
  });
});

describe('the range of a cost', () => {
  it.each([
    ['iptables', 'measured'],
    ['nftables', 'measured'],
    ['ipvs', 'derived'],
    ['userspace', 'estimated'],
  ] as const)('%s: stands beside it, by the profile', (engine, basis) => {
    const [row] = observe(NATIVE, engine, engine === 'userspace' ? 'kubeProxy: v1.25\n' : '');
    const { profile } = load(TEXT).resolvePoint({});
    const use = { engine, iptablesBackend: 'legacy', ipvsScheduler: 'rr' } as const;
    const of = (stem: string, bound: 'low' | 'high') => row[rangeColumn(`${stem}_ns`, bound)];
    for (const stem of COSTS.slice(1)) {
      const range = costRange(profile, use, stem.includes('first'), Number(row[`${stem}_ns`]));
      expect(of(stem, 'low'), stem).toBe(range.low);
      expect(of(stem, 'high'), stem).toBe(range.high);
      expect(range.low).toBeLessThan(range.high);
    }
    // A fifth of the packets are first ones.
    for (const bound of ['low', 'high'] as const) {
      const mixed =
        0.2 * Number(of('cost_first_packet_mean', bound)) + 0.8 * Number(of('cost_established_packet_mean', bound));
      expect(of('cost_per_packet_mean', bound)).toBeCloseTo(mixed, 6);
    }
    expect(row['cost_basis']).toBe(basis);
  });

  it('is empty where there is no cost', () => {
    const row = observe(NATIVE, 'iptables', 'duration_s: 0.000001\n')[0];
    expect(row['packets']).toBe(0);
    expect(row['cost_per_packet_mean_low_ns']).toBeNull();
    expect(row['cost_first_packet_mean_high_ns']).toBeNull();
  });

  it('is estimated with a scheduler that was not measured', () => {
    const [row] = observe(INSTRUCTIONS, 'ipvs', 'proxy: { ipvs_scheduler: lblc }\n');
    expect(row['cost_basis']).toBe('estimated');
    expect(row['path_measured']).toBe(false);
  });

  it('stands in the summary beside the sampling interval, and is no metric of its own', () => {
    const rows = observe(NATIVE, 'ipvs');
    const summary = summarize(rows, []);
    const cost = summary.find(({ metric }) => metric === 'cost_first_packet_mean_ns');
    const mean = (bound: 'low' | 'high'): number =>
      (Number(rows[0][rangeColumn('cost_first_packet_mean_ns', bound)]) +
        Number(rows[1][rangeColumn('cost_first_packet_mean_ns', bound)])) /
      2;
    expect(cost).toMatchObject({ range_low: mean('low'), range_high: mean('high'), basis: 'derived' });
    expect(cost?.ci95_low).not.toBe(cost?.range_low);
    expect(summary.find(({ metric }) => metric === 'sync_full_ms')).not.toHaveProperty('range_low');
    expect(metricColumns([]).filter((name) => /_(low|high)_/.test(name))).toEqual([]);
    expect(summary.map(({ metric }) => metric).filter((name) => /_(low|high)_/.test(name))).toEqual([]);
  });
});
