import { describe, expect, it } from 'vitest';
import { withValues } from './fit.ts';
import { measuredRows } from './measured-row.ts';
import { predictIptablesNs } from './rig.ts';
import { predictNftablesNs } from './rig-nftables.ts';
import { committedProfile, hasKernelData, IPVS_FILES, kernelRows } from './test-data.ts';
import { summariseValidation, validateProfile } from './validate.ts';

const profile = committedProfile();

const record = {
  source: 'native-6.18',
  engine: 'ipt-legacy',
  mode: 'first',
  services: '5000',
  endpoints_per_service: '1',
  position: 'last',
  rules_evaluated: '5000',
  value: '23003.8',
  unit: 'ns/packet',
  comments: '1',
  variant: '',
  min: '',
};

describe('measuredRows', () => {
  it('reads a record, and says what is wrong with a bad one', () => {
    expect(measuredRows([record])[0]).toMatchObject({ services: 5000, comments: true, min: 23003.8 });
    expect(() => measuredRows([{ ...record, value: 'fast' }])).toThrow('Row 2, column "value": "fast"');
    const short: Record<string, string> = { ...record };
    delete short['variant'];
    expect(() => measuredRows([short])).toThrow('no column "variant"');
  });
});

describe('validateProfile', () => {
  it('compares a row with what the profile gives for it', () => {
    const [point] = validateProfile(profile, measuredRows([record]));
    expect(point?.point).toBe('ipt-legacy first 5000x1 last');
    expect(point?.predicted).toBe(predictIptablesNs(profile, measuredRows([record])[0] as never));
    expect(Math.abs(point?.errorRatio ?? NaN)).toBeLessThan(0.05);
  });

  it('predicts an nft row with the nftables model', () => {
    const row = { ...record, engine: 'nft', rules_evaluated: '1', value: '2686.3' };
    const [point] = validateProfile(profile, measuredRows([row]));
    expect(point?.group).toBe('nftables');
    expect(point?.predicted).toBe(predictNftablesNs(profile, measuredRows([row])[0] as never));
    expect(Math.abs(point?.errorRatio ?? NaN)).toBeLessThan(0.08);
  });

  it('leaves out what it does not model', () => {
    const others = [
      { ...record, engine: 'ipt-nft' },
      { ...record, comments: '0' },
      { ...record, unit: 'instructions/packet' },
    ];
    expect(validateProfile(profile, measuredRows(others))).toEqual([]);
    expect(summariseValidation([])).toEqual([]);
  });

  it('shows a wrong profile as wrong', () => {
    const doubled = withValues(
      profile,
      new Map([['iptables.serviceRuleNs', 2 * profile.iptables.serviceRuleNs.value]]),
    );
    const [summary] = summariseValidation(validateProfile(doubled, measuredRows([record])));
    expect(summary?.worst.errorRatio).toBeGreaterThan(0.5);
  });
});

const skipped = hasKernelData ? '' : ' (skipped: not present)';
describe.skipIf(!hasKernelData)(`the committed profile against the kernel${skipped}`, () => {
  const points = hasKernelData
    ? validateProfile(profile, kernelRows('native-data', 'native-control', ...IPVS_FILES))
    : [];
  const of = (group: string) => points.filter((point) => point.group === group);
  const summary = (group: string) => summariseValidation(of(group))[0];

  it('is within 3% (median) and 20% (worst) of iptables packets, but for one row', () => {
    expect(of('iptables').length).toBeGreaterThan(90);
    expect(summary('iptables')?.medianAbsoluteErrorRatio).toBeLessThan(0.03);
    // At 7,501 rules of a 15,000-rule table the rig took 5.4 ns a rule, and 4.2 ns for walks of 7,000 in smaller tables.
    const far = of('iptables').filter((point) => Math.abs(point.errorRatio) > 0.1);
    expect(far.map((point) => point.point)).toEqual(['ipt-legacy first 15000x1 middle']);
    expect(Math.abs(far[0]?.errorRatio ?? NaN)).toBeLessThan(0.25);
  });

  it('is within 2% of IPVS packets in instructions', () => {
    expect(of('ipvs').length).toBeGreaterThan(150);
    expect(summary('ipvs')?.medianAbsoluteErrorRatio).toBeLessThan(0.005);
    expect(Math.abs(summary('ipvs')?.worst.errorRatio ?? NaN)).toBeLessThan(0.02);
  });

  it('is within 10% (median) and 25% (worst) of syncs that take 30 ms and more', () => {
    const long = of('sync').filter((point) => point.measured >= 30e6);
    expect(long.length).toBeGreaterThan(20);
    const [result] = summariseValidation(long);
    expect(result?.medianAbsoluteErrorRatio).toBeLessThan(0.1);
    expect(Math.abs(result?.worst.errorRatio ?? NaN)).toBeLessThan(0.25);
  });

  it('is within 3% (median), 6% (nine of ten) and 10% (worst) of nftables packets', () => {
    expect(of('nftables').length).toBeGreaterThan(80);
    expect(summary('nftables')?.medianAbsoluteErrorRatio).toBeLessThan(0.03);
    expect(summary('nftables')?.p90AbsoluteErrorRatio).toBeLessThan(0.06);
    expect(Math.abs(summary('nftables')?.worst.errorRatio ?? NaN)).toBeLessThan(0.1);
  });

  it('is within 15% (median) and 40% (worst) of nft transactions and listings that take 30 ms and more', () => {
    const long = of('nft-sync').filter((point) => point.measured >= 30e6);
    expect(long.length).toBeGreaterThan(30);
    const [result] = summariseValidation(long);
    expect(result?.medianAbsoluteErrorRatio).toBeLessThan(0.15);
    expect(Math.abs(result?.worst.errorRatio ?? NaN)).toBeLessThan(0.4);
  });
});
