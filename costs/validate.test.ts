import { describe, expect, it } from 'vitest';
import { withValues } from './fit/values.ts';
import { predictRow } from './predict-row.ts';
import type { RECORD } from './test-data.ts';
import {
  committedProfile,
  GUEST_FILES,
  hasKernelData,
  instructionProfile,
  kernelRows,
  NATIVE_FILES,
  rowWith,
} from './test-data.ts';
import { validateProfile } from './validate.ts';
import type { GroupSummary } from './validate.ts';

const native = committedProfile();
const guest = instructionProfile();

const value = (over: Partial<typeof RECORD>, profile: typeof native | typeof guest = native): number => {
  const prediction = predictRow(profile, rowWith(over));
  return 'value' in prediction ? prediction.value : NaN;
};
const reason = (over: Partial<typeof RECORD>): string => {
  const prediction = predictRow(native, rowWith(over));
  return 'reason' in prediction ? prediction.reason : '';
};

describe('predictRow', () => {
  it('finds places by their names, whatever the column of rules says', () => {
    const at = (position: string) => value({ position, rules_evaluated: '0', services: '4000' });
    const perRule = native.iptables.serviceRule.value;
    const first = at('first');
    expect((at('quarter') - first) / perRule).toBeCloseTo(1000, 6);
    expect((at('middle') - first) / perRule).toBeCloseTo(2000, 6);
    expect((at('three-quarters') - first) / perRule).toBeCloseTo(3000, 6);
    expect((at('last') - first) / perRule).toBeCloseTo(3999, 6);
    expect(at('index1234')).toBeCloseTo(first + 1234 * perRule, 6);
    // A packet of no service passes every rule and the one behind them, and translates nothing.
    expect(at('miss')).toBeLessThan(at('last'));
    expect(at('miss')).toBeGreaterThan(at('last') - 2 * native.iptables.natSetup.value);
    const uniform = at('uniform');
    expect(uniform).toBeGreaterThan(at('middle'));
    expect(uniform).toBeLessThan(at('three-quarters'));
  });

  it('has the knee where the kernel has it: hot to 8,000 commented rules, 18 ns a rule at 12,000, later without comments', () => {
    const perRule = (rules: number, comments: string) =>
      (value({ services: String(rules), comments }) - value({ services: '1', position: 'only', comments })) / rules;
    expect(perRule(8000, '1')).toBeLessThan(4.3);
    expect(perRule(12_000, '1')).toBeGreaterThan(16);
    expect(perRule(12_000, '1')).toBeLessThan(20);
    expect(perRule(30_000, '1')).toBeGreaterThan(19);
    expect(perRule(9500, '0')).toBeLessThan(4.6);
    expect(perRule(12_000, '0')).toBeGreaterThan(5.5);
    expect(perRule(12_000, '0')).toBeLessThan(7.5);
    expect(perRule(30_000, '0')).toBeLessThan(10);
  });

  it('is flat in nftables mode, and grows by distance alone when a random service is hit', () => {
    const nft = (services: number, position: string) => value({ engine: 'nft', services: String(services), position });
    expect(nft(20_000, 'last')).toBe(nft(1, 'only'));
    expect(nft(20_000, 'uniform')).toBeGreaterThan(1.8 * nft(100, 'uniform'));
  });

  it('leaves out what it does not know, with a reason', () => {
    expect(reason({ mode: 'syscall' })).toMatch(/system call/);
    expect(reason({ unit: 'instructions/packet' })).toMatch(/profile is in nanoseconds/);
    expect(reason({ engine: 'ebpf' })).toBe('there is no engine "ebpf"');
    expect(reason({ mode: 'third' })).toBe('there is no mode "third"');
    expect(reason({ position: 'somewhere' })).toBe('there is no position "somewhere"');
    expect(reason({ position: 'index5000' })).toMatch(/beyond the services/);
    expect(reason({ variant: 'moon=full' })).toMatch(/variant "moon=full" of ipt-legacy/);
    expect(reason({ mode: 'sync', unit: 'user_s', position: 'defragment' })).toMatch(/operation "defragment"/);
  });

  it('knows every operation of the control plane', () => {
    const operations: [string, string][] = [
      ...['load-empty', 'full-sync', 'partial-sync-1', 'partial-sync-37', 'save-nat'].flatMap(
        (operation): [string, string][] => [
          ['ipt-legacy', operation],
          ['ipt-nft', operation],
        ],
      ),
      ...[
        'load-empty',
        'full-sync',
        'partial-sync-10',
        'add-services-1',
        'delete-services-100',
        'list-chain-count',
      ].map((operation): [string, string] => ['nft', operation]),
      ...['load-empty', 'add-1', 'del-1'].map((operation): [string, string] => ['ipset', operation]),
    ];
    for (const [engine, position] of operations) {
      const seconds = value({ engine, mode: 'sync', unit: 'user_s', position, variant: position });
      expect(seconds, `${engine} ${position}`).toBeGreaterThan(0);
      expect(seconds, `${engine} ${position}`).toBeLessThan(100);
    }
    for (const position of ['add-service', 'add-server', 'del-service', 'del-server', 'load', 'list', 'addr-add']) {
      const of = { engine: 'ipvs', mode: 'sync', unit: 'instructions/request', position, variant: 'x' };
      expect(value(of, guest), position).toBeGreaterThan(1000);
    }
  });

  it('gives IPVS in nanoseconds by the bridge, from the bare packet on', () => {
    const over = { engine: 'ipvs', variant: 'kube-rules+kube-ipvs0', position: 'last', services: '1000' };
    const instructions = value({ ...over, unit: 'instructions/packet' }, guest);
    const { ipvsBridge, packet } = native;
    expect(value(over)).toBeCloseTo(
      packet.bareFirst.value + (instructions - guest.packet.bareFirst.value) * ipvsBridge.firstNsPerInstruction.value,
      6,
    );
  });

  it('says of a random choice what the median packet of the guest pays, refills of random numbers included', () => {
    const of = (endpoints: number) =>
      value(
        {
          engine: 'ipt-legacy',
          unit: 'instructions/packet',
          services: '1',
          position: 'only',
          variant: 'endpoints',
          endpoints_per_service: String(endpoints),
        },
        guest,
      );
    const mean = (of(100) - of(1)) / 49.5;
    expect(mean / guest.iptables.statisticRule.value).toBeGreaterThan(0.9);
    expect(mean / guest.iptables.statisticRule.value).toBeLessThan(1.1);
    // The median packet of a few endpoints meets no refill, the mean one a share of it.
    expect((of(3) - of(2)) / guest.iptables.statisticRule.value).toBeLessThan(0.8);
  });
});

describe('validateProfile', () => {
  const operation = (unit: string, seconds: string) =>
    rowWith({ mode: 'sync', position: 'full-sync', variant: 'full-sync', services: '1000', unit, value: seconds });

  it('counts rows and errors by engine and mode', () => {
    const { groups, overall, judged, listed, unpredicted } = validateProfile(native, [
      rowWith(),
      rowWith({ position: 'first', value: '1' }),
      rowWith({ variant: 'moon=full' }),
      rowWith({ mode: 'syscall' }),
      operation('wall_s', '9'),
      operation('user_s', '0.02'),
      operation('sys_s', '0.03'),
      rowWith({ mode: 'sync', position: 'defragment', unit: 'user_s', value: '1' }),
    ]);
    expect(groups.map(({ engine, mode, rows, of, judged: n }) => [engine, mode, rows, of, n])).toEqual([
      ['ipt-legacy', 'first', 2, 3, 2],
      ['ipt-legacy', 'sync', 3, 4, 1],
    ]);
    expect([overall.rows, overall.of, overall.judged]).toEqual([5, 7, 3]);
    expect(judged.find(({ unit }) => unit === 'cpu_s')?.measured).toBeCloseTo(0.05, 12);
    expect(listed.map(({ unit }) => unit)).toEqual(['wall_s']);
    expect(unpredicted).toHaveLength(3);
    expect(overall.maxErrorRatio).toBeGreaterThan(1000);
  });

  it('has quantiles of the absolute errors: the middle, nine of ten, the worst', () => {
    const predicted = value({});
    const errors = [0.01, -0.02, 0.03, -0.04, 0.05, 0.06, -0.07, 0.08, -0.09, 0.5];
    const rows = errors.map((error) => rowWith({ value: String(predicted / (1 + error)) }));
    const { overall } = validateProfile(native, rows);
    expect(overall.medianErrorRatio).toBeCloseTo(0.055, 9);
    expect(overall.p90ErrorRatio).toBeCloseTo(0.09, 9);
    expect(overall.maxErrorRatio).toBeCloseTo(0.5, 9);
  });

  it('shows a wrong profile as wrong', () => {
    const doubled = withValues(native, new Map([['iptables.serviceRule', 2 * native.iptables.serviceRule.value]]));
    expect(validateProfile(native, [rowWith()]).overall.maxErrorRatio).toBeLessThan(0.05);
    expect(validateProfile(doubled, [rowWith()]).overall.maxErrorRatio).toBeGreaterThan(0.5);
  });

  it('has nothing to say of no rows', () => {
    expect(validateProfile(native, []).overall).toMatchObject({ rows: 0, of: 0, medianErrorRatio: null });
  });
});

const skipped = hasKernelData ? '' : ' (skipped: not present)';
describe.skipIf(!hasKernelData)(`the committed profiles against the kernel${skipped}`, () => {
  const groupsOf = (profile: typeof native | typeof guest, files: readonly string[]): GroupSummary[] =>
    hasKernelData ? [...validateProfile(profile, kernelRows(...files)).groups] : [];
  const inNanoseconds = groupsOf(native, NATIVE_FILES);
  const inInstructions = groupsOf(guest, GUEST_FILES);
  const of = (groups: readonly GroupSummary[], name: string): GroupSummary =>
    groups.find(({ engine, mode }) => `${engine} ${mode}` === name) as GroupSummary;

  it('predicts every row of every engine and mode', () => {
    for (const { engine, mode, rows, of: all } of [...inNanoseconds, ...inInstructions]) {
      expect(rows, `${engine} ${mode}`).toBe(all);
    }
    expect(inNanoseconds).toHaveLength(16);
    expect(inInstructions).toHaveLength(18);
  });

  it.each(['ipt-legacy', 'ipt-nft', 'nft'])('%s on Linux 6.18: within 5% (median) and 12% (nine of ten)', (engine) => {
    for (const mode of ['first', 'established']) {
      const { medianErrorRatio, p90ErrorRatio } = of(inNanoseconds, `${engine} ${mode}`);
      expect(medianErrorRatio).toBeLessThan(0.05);
      expect(p90ErrorRatio).toBeLessThan(0.12);
    }
  });

  it.each(['ipt-legacy', 'ipt-nft', 'nft', 'ipset'])(
    '%s programming: within 20% of the CPU seconds (median)',
    (engine) => {
      expect(of(inNanoseconds, `${engine} sync`).medianErrorRatio).toBeLessThan(0.2);
    },
  );

  it.each(['ipt-legacy', 'ipt-nft', 'nft', 'ipvs'])(
    '%s on Linux 6.1: within 0.5% of the instructions (median), and 2%',
    (engine) => {
      for (const mode of ['first', 'established']) {
        const { medianErrorRatio, maxErrorRatio } = of(inInstructions, `${engine} ${mode}`);
        expect(medianErrorRatio).toBeLessThan(0.005);
        expect(maxErrorRatio).toBeLessThan(0.02);
      }
    },
  );
});
