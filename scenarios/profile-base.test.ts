import { describe, expect, it } from 'vitest';
import { formatInputError, InputError } from './errors.ts';
import { listProfiles, loadProfile, readProfile } from './load-profile.ts';

const QUANTITY = '{ value: 7, low: 5, high: 9, source: test }';

function refusal(text: string, files: Readonly<Record<string, string>> = {}): string {
  try {
    loadProfile('./p.yaml', (path) => files[path.split('/').at(-1) as string] ?? text);
  } catch (error) {
    if (error instanceof InputError) return formatInputError(error);
    throw error;
  }
  throw new Error('Nothing was refused');
}

describe('a profile on a base', () => {
  it('has what it says itself, and all else of its base', () => {
    const text = `base: linux-6.18-native\nname: mine\niptables:\n  service_rule_ns: ${QUANTITY}\n`;
    const base = loadProfile('linux-6.18-native');
    const mine = loadProfile('./p.yaml', () => text);
    expect(mine).toEqual({
      ...base,
      name: 'mine',
      iptables: { ...base.iptables, serviceRule: { value: 7, low: 5, high: 9, source: 'test' } },
    });
  });

  it('replaces quantities whole, so that no value has the source of another', () => {
    expect(refusal('base: linux-6.18-native\nname: mine\niptables:\n  service_rule_ns: { value: 7 }\n')).toMatch(
      /"iptables\.service_rule_ns\.low" is missing/,
    );
  });

  it('may stand on a file, and that on another', () => {
    const files = { 'q.yaml': `base: linux-6.18-native\nname: q\nkernel: other\n` };
    const profile = loadProfile('./p.yaml', (path) =>
      path.endsWith('q.yaml') ? files['q.yaml'] : 'base: q.yaml\nname: p\n',
    );
    expect([profile.name, profile.kernel]).toEqual(['p', 'other']);
  });

  it('is part of what a result depends on', () => {
    const { text } = readProfile('era-2019-nodeport');
    expect(text).toContain('name: era-2019-nodeport');
    expect(text).toContain('name: era-2019\n');
    expect(text).toContain('name: linux-6.18-native');
    expect(text).toContain('name: linux-6.1-instructions');
  });

  it('refuses what is no base', () => {
    expect(refusal('name: p\nbase: linux-6.18-natve\n')).toMatch(
      /^\.\/p\.yaml:2:7: There is no cost profile "linux-6\.18-natve" to stand on\. Did you mean "linux-6\.18-native"\?$/,
    );
    expect(refusal('name: p\nbase: 7\n')).toMatch(/:2:7: "base" must be the name of a profile or a file, got 7\.$/);
    expect(refusal('name: p\nbase: ./p.yaml\n')).toMatch(/each other's base/);
    expect(refusal('base: linux-6.18-native\nname: mine\nrgi: {}\n')).toMatch(/:3:1: Unknown key "rgi"/);
  });
});

describe('rigs', () => {
  it('belong to the profiles of published rigs, each number with a source and a range that holds it', () => {
    const rigs = listProfiles().filter((name) => {
      const profile = loadProfile(name);
      return profile.unit === 'ns' && profile.rig !== undefined;
    });
    expect(rigs).toEqual(expect.arrayContaining(['era-2019', 'published-2025', 'published-2026']));
    expect(rigs).not.toContain('linux-6.18-native');
    for (const name of rigs) {
      const profile = loadProfile(name);
      const rig = profile.unit === 'ns' ? profile.rig : undefined;
      for (const { value, low, high, source } of Object.values(rig ?? {})) {
        expect(low <= value && value <= high).toBe(true);
        expect(source).not.toMatch(/todo/);
      }
    }
  });

  it('era-2019 has two rules of KUBE-SERVICES for each service', () => {
    expect(loadProfile('era-2019')).toMatchObject({ serviceRulesPerService: { value: 2 } });
  });
});
