import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { formatInputError, InputError } from './errors.ts';
import { listProfiles, loadProfile, scenariosFolder } from './load-profile.ts';
import { snakeCase } from './profile-schema.ts';

const text = readFileSync(join(scenariosFolder(), 'profiles', 'linux-6.18-native.yaml'), 'utf8');

type Tree = Record<string, unknown>;

/** Loads the committed profile with one change. */
function changed(change: (profile: Tree) => void): string {
  const profile = parse(text) as Tree;
  change(profile);
  try {
    loadProfile('./p.yaml', () => stringify(profile));
  } catch (error) {
    if (error instanceof InputError) return formatInputError(error);
    throw error;
  }
  throw new Error('Nothing was refused');
}

describe('loadProfile', () => {
  it('loads every committed profile by its name', () => {
    expect(listProfiles()).toContain('linux-6.18-native');
    for (const name of listProfiles()) expect(loadProfile(name).name).toBe(name);
  });

  it('turns keys into camel case and keeps the numbers and their sources', () => {
    const profile = loadProfile('linux-6.18-native');
    const raw = parse(text) as {
      iptables: Record<string, unknown>;
      ipvs: { schedulers: Record<string, Record<string, unknown>> };
    };
    expect(profile.iptables.serviceRuleNs).toEqual(raw.iptables['service_rule_ns']);
    expect(profile.iptables.coldScanNsPerByte).toEqual(raw.iptables['cold_scan_ns_per_byte']);
    expect(Object.keys(profile.ipvs.schedulers)).toEqual(Object.keys(raw.ipvs.schedulers));
    for (const [name, each] of Object.entries(profile.ipvs.schedulers)) {
      expect(each.fixedInstructions).toEqual(raw.ipvs.schedulers[name]['fixed_instructions']);
    }
    expect(snakeCase('coldScanNsPerByte')).toBe('cold_scan_ns_per_byte');
  });

  it('loads a file as well as a name', () => {
    expect(loadProfile('mine.yaml', () => text)).toEqual(loadProfile('linux-6.18-native'));
  });

  it('refuses what a profile must not be', () => {
    expect(changed((profile) => delete profile['packet'])).toMatch(
      /^\.\/p\.yaml:1:1: "packet" is missing; expected a mapping\.$/,
    );
    expect(changed((profile) => ((profile['sync'] as Tree)['exec_nss'] = 1))).toMatch(
      /: Unknown key "exec_nss" in sync\. .*Did you mean "exec_ns"\?$/,
    );
    const wrong = (value: number) => (profile: Tree) => {
      (profile['cache'] as Tree)['l2_bytes'] = { value, low: 1, high: 10, source: 'test' };
    };
    expect(changed(wrong(11))).toMatch(/: "cache\.l2_bytes" must have low <= value <= high, got a mapping/);
    expect(changed(wrong(Number.NaN))).toMatch(/: "cache\.l2_bytes\.value" must be a number, got NaN\.$/);
  });

  it('guesses at a misspelt name', () => {
    expect(() => loadProfile('linux-6.18-natve')).toThrow(/Did you mean "linux-6\.18-native"\?$/);
  });
});
