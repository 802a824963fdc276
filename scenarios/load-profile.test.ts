import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { formatInputError, InputError } from './errors.ts';
import { listProfiles, loadProfile, readProfile, scenariosFolder } from './load-profile.ts';
import { profileText, yamlPath } from './profile-document.ts';

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
    const raw = parse(text) as { iptables: Tree };
    expect(profile.iptables.serviceRule).toEqual(raw.iptables['service_rule_ns']);
    expect(profile.iptables.scanTouchedBytes).toEqual(raw.iptables['scan_touched_bytes']);
    expect(yamlPath('iptables.serviceRule', 'ns')).toBe('iptables.service_rule_ns');
    expect(yamlPath('iptablesNft.scanTouchedBytes', 'ns')).toBe('iptables_nft.scan_touched_bytes');
    expect(yamlPath('iptablesNftSync.chainSquared', 'instructions')).toBe(
      'iptables_nft_sync.chain_squared_instructions',
    );
  });

  it('takes the IPVS part of a profile in nanoseconds from one in instructions, whose text counts too', () => {
    const native = loadProfile('linux-6.18-native');
    const guest = loadProfile('linux-6.1-instructions');
    expect(native.unit === 'ns' && native.ipvsBridge.from).toEqual(guest);
    expect(guest.unit === 'instructions' && guest.ipvs.schedulers['twos']?.estimated).toBe(true);
    expect(guest.unit === 'instructions' && guest.ipvs.schedulers['wlc']?.estimated).toBe(false);
    // Cold memory costs no instructions.
    expect([guest.iptables.coldRule.value, guest.packet.conntrackCold.value]).toEqual([0, 0]);
    const whole = readProfile('linux-6.18-native').text;
    expect(whole).toContain('name: linux-6.18-native');
    expect(whole).toContain('name: linux-6.1-instructions');
  });

  it('writes a profile as text that loads as the same profile', () => {
    for (const name of listProfiles()) {
      const profile = loadProfile(name);
      expect(loadProfile('./again.yaml', () => profileText(profile))).toEqual(profile);
    }
  });

  it('loads a file as well as a name', () => {
    expect(loadProfile('mine.yaml', () => text)).toEqual(loadProfile('linux-6.18-native'));
  });

  it('refuses what a profile must not be', () => {
    expect(changed((profile) => delete profile['packet'])).toMatch(
      /^\.\/p\.yaml:1:1: "packet" is missing; expected a mapping\.$/,
    );
    expect(changed((profile) => ((profile['proxy'] as Tree)['exec_nss'] = 1))).toMatch(
      /: Unknown key "exec_nss" in proxy\. .*Did you mean "exec_ns"\?$/,
    );
    const wrong = (value: number) => (profile: Tree) => {
      (profile['cache'] as Tree)['l2_bytes'] = { value, low: 1, high: 10, source: 'test' };
    };
    const from = (name: string) => (profile: Tree) => ((profile['ipvs_bridge'] as Tree)['from'] = name);
    expect(changed(from('linux-6.1-instruction'))).toMatch(
      /^\.\/p\.yaml:\d+:\d+: .*Did you mean "linux-6\.1-instructions"\?$/,
    );
    expect(changed(from('linux-6.18-native'))).toMatch(/"ipvs_bridge\.from" must name a profile in instructions/);
    expect(changed((profile) => (profile['unit'] = 'ms'))).toMatch(/: "unit" must be /);
    expect(changed(wrong(11))).toMatch(/: "cache\.l2_bytes" must have low <= value <= high, got a mapping/);
    expect(changed(wrong(Number.NaN))).toMatch(/: "cache\.l2_bytes\.value" must be a number, got NaN\.$/);
  });

  it('guesses at a misspelt name', () => {
    expect(() => loadProfile('linux-6.18-natve')).toThrow(/Did you mean "linux-6\.18-native"\?$/);
  });
});
