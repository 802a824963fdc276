import { describe, expect, it } from 'vitest';
import { whatIsMissing } from './tools.ts';

describe('what is missing', () => {
  it('names every package that is absent, and the command that brings them', () => {
    const has = (tool: string): boolean => !tool.includes('ip6tables-nft') && tool !== 'nft';
    expect(whatIsMissing(['iptables', 'nftables', 'ipset'], has)).toBe(
      'needs iptables, nftables: apt-get install iptables nftables',
    );
  });

  it('asks for what makes a namespace, whatever else is needed', () => {
    expect(whatIsMissing([], () => false)).toBe('needs util-linux, iproute2: apt-get install util-linux iproute2');
    expect(whatIsMissing([], (tool) => tool !== 'unshare')).toBe('needs util-linux: apt-get install util-linux');
  });

  it('then looks at rights', () => {
    const reason = whatIsMissing([], () => true);
    if (process.getuid?.() !== 0) expect(reason).toMatch(/^needs root/);
    else if (reason !== undefined) expect(reason).toMatch(/^needs the right to make a network namespace/);
  });
});
