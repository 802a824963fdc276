import { describe, expect, it } from 'vitest';
import type { Quantity } from '../model/profile.ts';
import { fitNativeProfile, withValues } from './fit.ts';
import { fitNftSync } from './fit-nft-sync.ts';
import { fitNftablesProfile } from './fit-nftables.ts';
import { fitIpvsProfile, fitSchedulers } from './fit-ipvs.ts';
import { fitSyncProfile } from './fit-sync.ts';
import { committedProfile, hasKernelData, IPVS_FILES, kernelRows } from './test-data.ts';
import { summariseValidation, validateProfile } from './validate.ts';

const profile = committedProfile();
const sections = profile as unknown as Record<string, Record<string, Quantity>>;

const SECTIONS = ['packet', 'iptables', 'nftables', 'userspace', 'cache', 'ipvs', 'sync', 'nftSync'];

/** Quantities that no fit can find: stated or assumed, as their `source` says. */
const STATED = [
  'packet.conntrackFlowBytes',
  'packet.portTryNs',
  'packet.rejectNs',
  'iptables.scanTouchedBytes',
  'iptables.recentTestNs',
  'iptables.recentListNs',
  'userspace.copyNs',
  'userspace.copyByteNs',
  'userspace.connectionNs',
  'cache.l2Bytes',
  'ipvs.firstNsPerInstruction',
  'ipvs.establishedNsPerInstruction',
  'ipvs.ruleInstructions',
  'ipvs.ipsetTestInstructions',
  'ipvs.hashProbeInstructions',
  'ipvs.natSetupInstructions',
  'sync.proxyServicePortNs',
  'sync.nsPerInstruction',
  'sync.commandTableRuleNs',
  'nftSync.listings',
];

describe('the committed profile', () => {
  it('has a source, and a range around every number', () => {
    const schedulers = Object.values(profile.ipvs.schedulers).flatMap((costs) => Object.values(costs) as Quantity[]);
    const quantities = SECTIONS.flatMap((section) =>
      Object.entries(sections[section] ?? {})
        .filter(([key]) => key !== 'schedulers')
        .map(([, quantity]) => quantity),
    );
    expect(quantities.length).toBeGreaterThan(80);
    for (const q of [...quantities, ...schedulers]) {
      expect(q.source).not.toBe('');
      expect(q.low).toBeLessThanOrEqual(q.value);
      expect(q.high).toBeGreaterThanOrEqual(q.value);
    }
  });

  it('says of what was not measured that it was not, with a range of a factor of three and more', () => {
    const open = STATED.filter((path) => /reject|recent|userspace|listings/.test(path)).map((path) => {
      const [section, key] = path.split('.') as [string, string];
      return sections[section]?.[key];
    });
    for (const q of open) {
      expect(q?.source).toMatch(/not measured|assumed/);
      expect((q?.high ?? 0) / (q?.low ?? Infinity)).toBeGreaterThanOrEqual(3);
    }
    expect(open).toHaveLength(7);
  });

  it('refuses values for quantities that do not exist', () => {
    expect(() => withValues(profile, new Map([['iptables.noSuchNs', 1]]))).toThrow('iptables.noSuchNs');
  });
});

const skipped = hasKernelData ? '' : ' (skipped: not present)';
/** Sizes that the held-out test keeps from the fit: in the hot part, at the knee and beyond it. */
const HELD_OUT = [300, 2000, 5000, 15_000, 20_000];

describe.skipIf(!hasKernelData)(`a fit to the kernel measurements${skipped}`, () => {
  it('predicts sizes that it has not seen', () => {
    const legacy = kernelRows('native-data').filter((row) => row.variant !== 'evict=8MiB' || row.services !== 5000);
    const seen = legacy.filter((row) => row.engine !== 'ipt-legacy' || !HELD_OUT.includes(row.services));
    const unseen = legacy.filter((row) => row.engine === 'ipt-legacy' && HELD_OUT.includes(row.services));
    const fitted = withValues(profile, fitNativeProfile(profile, seen));
    const [summary] = summariseValidation(validateProfile(fitted, unseen));
    expect(summary?.points).toBeGreaterThan(25);
    expect(summary?.medianAbsoluteErrorRatio).toBeLessThan(0.03);
    expect(Math.abs(summary?.worst.errorRatio ?? NaN)).toBeLessThan(0.25);
  });

  it('predicts nftables packets of sizes that it has not seen: 5% median, 12% for nine of ten', () => {
    const rows = kernelRows('native-data');
    const seen = rows.filter((row) => row.engine !== 'nft' || !HELD_OUT.includes(row.services));
    const unseen = rows.filter((row) => row.engine === 'nft' && HELD_OUT.includes(row.services));
    const fitted = withValues(profile, fitNftablesProfile(profile, seen));
    const [summary] = summariseValidation(validateProfile(fitted, unseen));
    expect(summary?.group).toBe('nftables');
    expect(summary?.points).toBeGreaterThan(25);
    expect(summary?.medianAbsoluteErrorRatio).toBeLessThan(0.05);
    expect(summary?.p90AbsoluteErrorRatio).toBeLessThan(0.12);
    expect(Math.abs(summary?.worst.errorRatio ?? NaN)).toBeLessThan(0.12);
  });

  it('has the rule, ipset and nat instructions that the sources of the profile derive', () => {
    const guest = kernelRows('qemu-ipt', ...IPVS_FILES);
    const value = (engine: string, position: string, variant: string): number =>
      guest.find(
        (row) =>
          row.engine === engine &&
          row.mode === 'first' &&
          row.services <= 1 &&
          row.position === position &&
          row.variant === variant,
      )?.value ?? NaN;
    const nat = value('conntrack+nat', 'direct', '');
    const hit = value('ipt-legacy', 'index0', 'comments=1');
    const miss = value('ipt-legacy', 'miss', 'comments=1');
    // 26 instructions for a rule of KUBE-SERVICES; 12 other rules on a miss, 4 more and a rule less on a hit.
    const rule = (miss - nat - 2 * 26) / 12;
    expect(profile.ipvs.ruleInstructions.value / rule).toBeCloseTo(1, 2);
    expect(profile.ipvs.natSetupInstructions.value / (hit - miss - 4 * rule + 26)).toBeCloseTo(1, 2);
    const kube = value('ipvs', 'index0', 'kube-rules') - value('ipvs', 'index0', 'conntrack');
    const natHooks = nat - value('conntrack', 'direct', '');
    expect(profile.ipvs.ipsetTestInstructions.value / ((kube - natHooks - 14 * rule) / 3)).toBeCloseTo(1, 1);
  });

  it('finds the committed numbers again', () => {
    const guest = kernelRows(...IPVS_FILES);
    const fits = [
      fitNativeProfile(profile, kernelRows('native-data')),
      fitIpvsProfile(profile, guest),
      fitSyncProfile(kernelRows('native-control'), guest),
      fitNftablesProfile(profile, kernelRows('native-data')),
      fitNftSync(kernelRows('native-control'), profile.sync.execNs.value),
    ];
    const fitted = new Set<string>();
    for (const fit of fits) {
      for (const [path, value] of fit) {
        const [section, key] = path.split('.') as [string, string];
        const committed = sections[section]?.[key]?.value ?? NaN;
        // Committed numbers are rounded to about three digits.
        expect(Math.abs(committed / value - 1), `${path}: ${committed} against ${value}`).toBeLessThan(0.015);
        fitted.add(path);
      }
    }
    const all = SECTIONS.flatMap((section) =>
      Object.keys(sections[section] ?? {})
        .filter((key) => key !== 'schedulers')
        .map((key) => `${section}.${key}`),
    );
    expect(all.filter((path) => !fitted.has(path)).sort((a, b) => (a < b ? -1 : 1))).toEqual(
      [...STATED].sort((a, b) => (a < b ? -1 : 1)),
    );
  });

  it('finds the schedulers again', () => {
    for (const [name, { fixed, destination }] of fitSchedulers(kernelRows(...IPVS_FILES))) {
      const committed = profile.ipvs.schedulers[name];
      expect(Math.abs((committed?.fixedInstructions.value ?? NaN) - fixed), name).toBeLessThan(1);
      expect(Math.abs((committed?.destinationInstructions.value ?? NaN) - destination), name).toBeLessThan(0.05);
    }
  });

  it('gives the same numbers twice, and others when the rows change', () => {
    const rows = kernelRows('native-data');
    const fit = fitNativeProfile(profile, rows);
    expect([...fitNativeProfile(profile, rows)]).toEqual([...fit]);
    const slower = rows.map((row) => (row.engine === 'ipt-legacy' ? { ...row, value: row.value * 1.5 } : row));
    const changed = fitNativeProfile(profile, slower).get('iptables.serviceRuleNs') ?? NaN;
    expect(changed / (fit.get('iptables.serviceRuleNs') ?? NaN)).toBeGreaterThan(1.3);
  });
});
