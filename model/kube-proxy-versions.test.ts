import { describe, expect, it } from 'vitest';
import { ENGINE_NAMES } from './engine-name.ts';
import { CURRENT_KUBE_PROXY } from './kube-proxy.ts';
import { FIRST_MINOR, kubeProxyBehaviour, kubeProxyMinor, LAST_MINOR, missingMode } from './kube-proxy-versions.ts';

describe('versions of kube-proxy', () => {
  it.each([
    ['v1.31', 31],
    ['1.31', 31],
    ['v1.18', 18],
    ['1.35', 35],
    ['v1.30.4', 30],
  ])('reads %s', (text, minor) => {
    expect(kubeProxyMinor(text)).toBe(minor);
  });

  it.each(['v1.17', '1.36', 'v2.31', '1.3', '31', 'v1.31.', 'latest', '', 'v1.031', '1.31-rc.1'])(
    'knows nothing of %j',
    (text) => {
      expect(kubeProxyMinor(text)).toBeUndefined();
    },
  );

  it('has the current one at its end', () => {
    expect(kubeProxyBehaviour(LAST_MINOR)).toEqual(CURRENT_KUBE_PROXY);
  });

  it('changes each behaviour once, at the release that brought the change', () => {
    const changes: string[] = [];
    for (let minor = FIRST_MINOR + 1; minor <= LAST_MINOR; minor++) {
      const [before, after] = [kubeProxyBehaviour(minor - 1), kubeProxyBehaviour(minor)];
      for (const key of Object.keys(after) as (keyof typeof after)[]) {
        if (key === 'version' || JSON.stringify(before[key]) === JSON.stringify(after[key])) continue;
        changes.push(`${after.version} ${key} ${JSON.stringify(before[key])} -> ${JSON.stringify(after[key])}`);
      }
    }
    expect(changes).toEqual([
      'v1.20 minSyncPeriodSeconds {"iptables":0,"ipvs":0} -> {"iptables":1,"ipvs":0}',
      'v1.22 masqueradeRules "dispatch" -> "service"',
      'v1.27 iptablesPartialSync false -> true',
      'v1.31 minSyncPeriodSeconds {"iptables":1,"ipvs":0} -> {"iptables":1,"ipvs":1}',
      'v1.32 conntrackCleanup "events" -> "reconcile"',
      'v1.34 syncRunner "token-bucket" -> "from-completion"',
      'v1.34 nftablesBaseChains "v1.31" -> "v1.35"',
      'v1.34 nftablesClusterIpPort true -> false',
    ]);
  });

  it('has each mode in its time', () => {
    const have = (minor: number) => ENGINE_NAMES.filter((mode) => missingMode(mode, minor) === undefined);
    expect(have(18)).toEqual(['iptables', 'ipvs', 'userspace']);
    expect(have(25)).toEqual(['iptables', 'ipvs', 'userspace']);
    expect(have(26)).toEqual(['iptables', 'ipvs']);
    expect(have(28)).toEqual(['iptables', 'ipvs']);
    expect(have(29)).toEqual(['iptables', 'ipvs', 'nftables']);
    expect(have(35)).toEqual(['iptables', 'ipvs', 'nftables']);
    expect(missingMode('userspace', 31)).toBe('kube-proxy v1.31 has no userspace mode; v1.25 was the last with it.');
    expect(missingMode('nftables', 20)).toBe('kube-proxy v1.20 has no nftables mode; it came with v1.29.');
  });
});
