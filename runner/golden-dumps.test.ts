import { describe, expect, it } from 'vitest';
import {
  canonicalRestore,
  compareIpvs,
  compareNft,
  compareRestore,
  compareSets,
  differentLines,
} from './golden-dumps.ts';

describe('canonicalRestore', () => {
  it('orders tables, chains, dispatch rules by service and deletions, and keeps the order inside other chains', () => {
    const text = `
      *nat
      :KUBE-SVC-B - [0:0]
      :KUBE-SERVICES - [0:0]
      :KUBE-NODEPORTS - [0:0]
      :KUBE-MARK-MASQ - [0:0]
      -A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -j KUBE-NODEPORTS
      -A KUBE-SERVICES -m comment --comment "ns2/b:p cluster IP" -j KUBE-SVC-B
      -A KUBE-SERVICES -m comment --comment "ns1/a:z cluster IP" -j KUBE-SVC-B
      -A KUBE-SERVICES -m comment --comment "ns1/a:b cluster IP" -j KUBE-SVC-B
      -A KUBE-NODEPORTS -m comment --comment "ns2/b:p"   -m tcp -j KUBE-EXT-B
      -A KUBE-NODEPORTS -m comment --comment ns1/a -m tcp -j KUBE-EXT-A
      -A KUBE-SVC-B -j TWO
      -A KUBE-SVC-B -j ONE
      -X KUBE-SVC-Z
      -X KUBE-SEP-Z
      COMMIT
      *filter
      COMMIT
    `;
    expect(canonicalRestore(text)).toEqual([
      '*filter',
      'COMMIT',
      '*nat',
      ':KUBE-NODEPORTS - [0:0]',
      ':KUBE-SERVICES - [0:0]',
      ':KUBE-MARK-MASQ - [0:0]',
      ':KUBE-SVC-B - [0:0]',
      '-A KUBE-NODEPORTS -m comment --comment ns1/a -m tcp -j KUBE-EXT-A',
      '-A KUBE-NODEPORTS -m comment --comment ns2/b:p -m tcp -j KUBE-EXT-B',
      '-A KUBE-SERVICES -m comment --comment "ns1/a:z cluster IP" -j KUBE-SVC-B',
      '-A KUBE-SERVICES -m comment --comment "ns1/a:b cluster IP" -j KUBE-SVC-B',
      '-A KUBE-SERVICES -m comment --comment "ns2/b:p cluster IP" -j KUBE-SVC-B',
      '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -j KUBE-NODEPORTS',
      '-A KUBE-SVC-B -j TWO',
      '-A KUBE-SVC-B -j ONE',
      '-X KUBE-SEP-Z',
      '-X KUBE-SVC-Z',
      'COMMIT',
    ]);
  });

  it('does not hide rules of undeclared chains, or blanks inside comments', () => {
    expect(compareRestore('*nat\n-A X -j Y\nCOMMIT', '*nat\nCOMMIT')).toEqual(['  expected  -A X -j Y']);
    expect(compareRestore('*nat\n-A X --comment "a  b"', '*nat\n-A X --comment "a b"')).toHaveLength(2);
  });
});

describe('comparing', () => {
  it('counts lines, tells the order, and shows no more than is readable', () => {
    expect(differentLines(['a', 'b', 'b'], ['b', 'a', 'c'])).toEqual(['  expected  b', '  got       c']);
    expect(differentLines(['a', 'b'], ['b', 'a'])[0]).toContain('another order');
    expect(differentLines(['a'], ['a'])).toEqual([]);
    const many = Array.from({ length: 50 }, (_, i) => `${i}`);
    expect(differentLines(many, []).at(-1)).toBe('  ... and 30 more lines');
  });

  it('takes nftables lines as a multiset, rules of one chain in order', () => {
    const rules = 'add rule ip kube-proxy a one\nadd rule ip kube-proxy a two\n';
    const other = 'add rule ip kube-proxy b x\nadd chain ip kube-proxy b\n';
    expect(compareNft(rules + other, other + rules)).toEqual([]);
    expect(compareNft(rules, rules.split('\n').reverse().join('\n'))[0]).toContain('another order');
    expect(compareNft(rules + rules, rules)).toHaveLength(2);
  });

  it('takes IPVS lines as a set of virtual servers and real servers', () => {
    expect(compareIpvs('-A -t a -s rr\n-a -t a -r b\n', '-a -t a -r b\n-A -t a -s rr\n')).toEqual([]);
    expect(compareIpvs('-A -t a -s rr\n', '-A -t a -s wrr\n')).toHaveLength(2);
  });

  it('names what a set is of', () => {
    expect(compareSets('things', ['b', 'a'], ['a', 'b'])).toEqual([]);
    expect(compareSets('things', ['a'], [])).toEqual(['things:\n  expected  a']);
  });
});
