/** What older versions of kube-proxy write differently (KubeProxyBehaviour). */
import { describe, expect, it } from 'vitest';
import { kubeProxyBehaviour } from '../../../model/kube-proxy-versions.ts';
import { NftablesProgrammer } from './programmer.ts';
import { TEST_CONFIG, testServicePort } from './test-objects.ts';

function table(minor: number): string {
  const programmer = new NftablesProgrammer({ ...TEST_CONFIG, kubeProxy: kubeProxyBehaviour(minor) });
  const first = { full: true, changed: new Set<string>(), nowSeconds: 0 };
  return programmer.sync([testServicePort({ nodePort: 30000, protocol: 'udp' })], first).dumpText();
}

describe('nftables mode up to v1.33', () => {
  it('has its filters in front of DNAT, and what needs the translated address behind it', () => {
    const bases = table(33).match(/filter-\S+ \{ type filter hook \w+ priority -?\d+/g);
    expect(bases?.map((text) => text.replace(/ \{ type filter hook/, ''))).toEqual([
      'filter-forward forward priority -110',
      'filter-input input priority -110',
      'filter-output output priority -110',
      'filter-output-post-dnat output priority -90',
      'filter-prerouting prerouting priority -110',
    ]);
  });

  it('tests the port of a cluster IP again', () => {
    const rule = (port: string) => `ip daddr 172.30.0.41 ${port}ip saddr != 10.0.0.0/8 jump mark-for-masquerade`;
    expect(table(33)).toContain(rule('udp dport 80 '));
    expect(table(34)).toContain(rule(''));
  });

  it('differs in nothing else', () => {
    // Chains and rules of the base chains, and the two masquerade rules' ports.
    const plain = (text: string) =>
      text
        .split('\n')
        .filter((line) => !/kube-proxy filter-/.test(line))
        .map((line) => line.replace('udp dport 80 ', ''));
    expect(plain(table(33))).toEqual(plain(table(34)));
  });
});
