import { describe, expect, it } from 'vitest';
import type { CostProfile } from '../../model/profile.ts';
import { calibrate, significant } from '../calibrate.ts';
import { heldOutValidations } from '../held-out.ts';
import {
  committedProfile,
  GUEST_FILES,
  hasKernelData,
  instructionProfile,
  kernelRows,
  kneeRows,
  NATIVE_FILES,
} from '../test-data.ts';
import { blocksOf } from './blocks.ts';
import { fitProfile } from './fit-profile.ts';
import { quantityAt, withValues } from './values.ts';

const native = committedProfile();
const guest = instructionProfile();
const nativeRows = hasKernelData ? [...kernelRows(...NATIVE_FILES), ...kneeRows()] : [];
const guestRows = hasKernelData ? kernelRows(...GUEST_FILES) : [];

const skipped = hasKernelData ? '' : ' (skipped: not present)';

describe('withValues', () => {
  it('changes numbers deep inside a copy and refuses those that do not exist', () => {
    const changed = withValues(guest, new Map([['ipvs.schedulers.wlc.fixed', 7]]));
    expect(quantityAt(changed, 'ipvs.schedulers.wlc.fixed').value).toBe(7);
    expect(quantityAt(guest, 'ipvs.schedulers.wlc.fixed').value).not.toBe(7);
    expect(changed.ipvs.schedulers['lc']).toBe(guest.ipvs.schedulers['lc']);
    expect(() => withValues(native, new Map([['iptables.noSuch', 1]]))).toThrow('iptables.noSuch');
    expect(() => withValues(native, new Map([['noSuch.rule', 1]]))).toThrow('noSuch.rule');
  });
});

describe('the committed profiles', () => {
  const quantities = (profile: CostProfile): [string, { value: number; low: number; high: number; source: string }][] =>
    Object.entries(profile)
      .filter(([name, section]) => typeof section === 'object' && name !== 'ipvsBridge')
      .flatMap(([name, section]) =>
        Object.entries(
          section as unknown as Record<string, { value: number; low: number; high: number; source: string }>,
        )
          .filter(([key]) => key !== 'schedulers')
          .map(([key, quantity]): [string, typeof quantity] => [`${name}.${key}`, quantity]),
      );

  it.each([native, guest])('$name has a source and a range around every number', (profile) => {
    const all = quantities(profile);
    expect(all.length).toBeGreaterThan(80);
    for (const [path, { value, low, high, source }] of all) {
      expect(source.length, path).toBeGreaterThan(3);
      expect(low, path).toBeLessThanOrEqual(value);
      expect(high, path).toBeGreaterThanOrEqual(value);
    }
  });

  it.each([native, guest])('$name says of each number whether rows told it or it was not measured', (profile) => {
    const fitted = new Set(
      blocksOf(profile.unit).flatMap(({ parameters, searched, equal }) => [
        ...parameters.map(({ path }) => path),
        ...searched.map(({ path }) => path),
        ...equal.map(([path]) => path),
      ]),
    );
    for (const [path, { source, value }] of quantities(profile)) {
      if (path.startsWith('range.')) continue;
      if (fitted.has(path)) expect(source, path).toMatch(/^fit to /);
      // Distance costs no instructions; the other numbers that no row tells are stated with where they come from.
      else if (value !== 0) expect(source, path).not.toMatch(/^fit to /);
    }
  });

  it('marks the schedulers that were estimated from their algorithm', () => {
    const estimated = Object.entries(guest.ipvs.schedulers).filter(([, { estimated: is }]) => is);
    expect(estimated.map(([name]) => name).sort((a, b) => (a < b ? -1 : 1))).toEqual([
      'fo',
      'lblc',
      'lblcr',
      'ovf',
      'twos',
    ]);
    for (const [name, { fixed }] of estimated) expect(fixed.source, name).toMatch(/not measured, estimated/);
    expect(guest.ipvs.schedulers['nq']?.destination.source).toMatch(/not measured, estimated/);
  });
});

describe.skipIf(!hasKernelData)(`a fit to the kernel measurements${skipped}`, () => {
  it.each([
    { profile: native, rows: nativeRows },
    { profile: guest, rows: guestRows },
  ])('finds the committed numbers of $profile.name again, and none that rows cannot tell', ({ profile, rows }) => {
    const fit = fitProfile(profile, rows);
    expect(fit.unidentified).toEqual([]);
    expect(fit.withoutRows).toEqual([]);
    for (const { path, value } of fit.values) {
      const committed = quantityAt(profile, path).value;
      const reach = Math.max(1e-9, Math.abs(committed) * 0.01);
      expect(Math.abs(committed - value), `${path}: ${committed} against ${value}`).toBeLessThanOrEqual(reach);
    }
  });

  it('predicts rows that it was not fitted to: 5% median, 12% for nine of ten, in every mode and both splits', () => {
    const splits = heldOutValidations(native, nativeRows);
    expect(splits.map(({ name }) => name)).toEqual(['every third size', 'two rows of five, scattered']);
    for (const { name, fitted, tested, unidentified, validation } of splits) {
      expect(fitted + tested, name).toBe(nativeRows.length);
      expect(unidentified, name).toEqual([]);
      for (const group of validation.groups) {
        const label = `${name}: ${group.engine} ${group.mode}`;
        expect(group.medianErrorRatio, label).toBeLessThan(group.mode === 'sync' ? 0.2 : 0.05);
        if (group.mode !== 'sync') expect(group.p90ErrorRatio, label).toBeLessThan(0.12);
      }
    }
  });

  it('names what rows cannot tell, and keeps the base numbers for it', () => {
    const base = withValues(native, new Map([['iptables.serviceRule', 123]]));
    const oneSize = nativeRows.filter(
      (row) => row.engine !== 'ipt-legacy' || (row.position === 'first' && row.services === 1000),
    );
    const fit = fitProfile(base, oneSize);
    expect(fit.unidentified.map(({ path }) => path)).toEqual(
      expect.arrayContaining([
        'iptables.serviceRule',
        'iptables.statisticRule',
        'iptables.natSetup',
        'cache.kneeStartRatio',
      ]),
    );
    expect(fit.unidentified[0]?.needs).toMatch(/rules|packets/);
    expect(fit.profile.iptables.serviceRule.value).toBe(123);
    const without = fitProfile(
      native,
      nativeRows.filter((row) => row.engine === 'nft' || row.engine === 'none'),
    );
    expect(without.withoutRows).toEqual(expect.arrayContaining(['ipt-legacy', 'ipt-nft', 'ipset', 'ipt-legacy-save']));
    expect(without.withoutRows).not.toContain('nft');
    expect(without.profile.iptables).toEqual(native.iptables);
  });

  it('gives the same numbers twice and others when the rows change, and shrugs at one strange row', () => {
    const rows = guestRows.filter(
      (row) => row.mode !== 'sync' && ['none', 'conntrack', 'conntrack+nat', 'ipt-legacy'].includes(row.engine),
    );
    const fit = fitProfile(guest, rows);
    expect(fitProfile(guest, rows).values).toEqual(fit.values);
    const rule = (of: typeof rows) => fitProfile(guest, of).profile.iptables.serviceRule.value;
    const before = fit.profile.iptables.serviceRule.value;
    const dearer = rows.map((row) => (row.engine === 'ipt-legacy' ? { ...row, value: row.value * 1.5 } : row));
    expect(rule(dearer)).toBeGreaterThan(1.4 * before);
    const strange = rows.map((row) =>
      row.services === 5000 && row.position === 'index4999' ? { ...row, value: 1e7 } : row,
    );
    expect(rule(strange) / before).toBeGreaterThan(0.98);
    expect(rule(strange) / before).toBeLessThan(1.02);
  });
});

describe.skipIf(!hasKernelData)(`calibrate${skipped}`, () => {
  it('gives each fitted number two standard errors of range and its files as the source', () => {
    const { profile, values } = calibrate(guest, guestRows, 'rows.csv');
    const { value, low, high, source } = profile.iptables.serviceRule;
    const fitted = values.find(({ path }) => path === 'iptables.serviceRule');
    expect(value).toBe(significant(fitted?.value ?? NaN));
    expect(Math.abs(high - low - 4 * (fitted?.standardError ?? NaN))).toBeLessThan(0.011);
    expect(source).toMatch(/^fit to rows\.csv: ipt-legacy, \d+ rows, standard error /);
    // One row for one number leaves no residual: the range is what two runs of the rig differ by.
    expect(profile.packet.bareFirst.source).toMatch(/as many as it needs/);
  });
});
