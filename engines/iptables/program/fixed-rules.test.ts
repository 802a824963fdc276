import { describe, expect, it } from 'vitest';
import { chainRules, firstSync, servicePort } from './test-services.ts';

const LAST = '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" ';

describe('rules that no Service decides', () => {
  it('mark, unmark and masquerade', () => {
    expect(chainRules(firstSync([]), 'nat/KUBE-POSTROUTING')).toEqual([
      '-m mark ! --mark 0x00004000/0x00004000 -j RETURN',
      '-j MARK --xor-mark 0x00004000',
      '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    ]);
    expect(chainRules(firstSync([]), 'nat/KUBE-MARK-MASQ')).toEqual(['-j MARK --or-mark 0x00004000']);
  });

  it('leave INVALID packets alone when conntrack is liberal', () => {
    const first = (liberal: boolean): string | undefined =>
      chainRules(firstSync([], { conntrackTcpLiberal: liberal }), 'filter/KUBE-FORWARD')?.[0];
    expect(first(false)).toBe('-m conntrack --ctstate INVALID -j DROP');
    expect(first(true)).toContain('-m mark --mark 0x00004000/0x00004000 -j ACCEPT');
  });

  it('stand below each other as inserted at the top', () => {
    const program = firstSync([]);
    const targets = (chain: string): string[] | undefined =>
      program.chains
        .get(chain)
        ?.map((text) => `${text.includes('--ctstate NEW') ? 'NEW ' : ''}${text.split(' -j ')[1]}`);
    expect(targets('filter/INPUT')).toEqual([
      'KUBE-FIREWALL',
      'NEW KUBE-PROXY-FIREWALL',
      'KUBE-NODEPORTS',
      'NEW KUBE-EXTERNAL-SERVICES',
    ]);
    expect(targets('filter/FORWARD')).toEqual([
      'NEW KUBE-PROXY-FIREWALL',
      'KUBE-FORWARD',
      'NEW KUBE-SERVICES',
      'NEW KUBE-EXTERNAL-SERVICES',
    ]);
    expect(targets('filter/OUTPUT')).toEqual(['KUBE-FIREWALL', 'NEW KUBE-PROXY-FIREWALL', 'NEW KUBE-SERVICES']);
    expect(program.chains.get('nat/PREROUTING')).toEqual([
      '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    ]);
    expect(program.chains.get('filter/FORWARD')?.[0]).toBe(
      '-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
    );
  });

  it('are loadable as a whole with the built-in chains first', () => {
    const text = firstSync([]).kernelText();
    expect(text).toMatch(
      /^\*filter\n:INPUT ACCEPT \[0:0\]\n:FORWARD ACCEPT \[0:0\]\n:OUTPUT ACCEPT \[0:0\]\n:KUBE-NODEPORTS - /,
    );
    expect(text).toContain(
      '*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT ',
    );
    expect(text.match(/^COMMIT$/gm)?.length).toBe(2);
  });
});

describe('NodePorts on the addresses of the node', () => {
  const last = (overrides: Parameters<typeof firstSync>[1]): string[] | undefined =>
    chainRules(firstSync([], overrides), 'nat/KUBE-SERVICES');

  it('answer on all, with or without 127.0.0.0/8, never on ::1', () => {
    expect(last({})).toEqual([`${LAST}-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS`]);
    expect(last({ localhostNodePorts: false })).toEqual([
      `${LAST}-m addrtype --dst-type LOCAL ! -d 127.0.0.0/8 -j KUBE-NODEPORTS`,
    ]);
    expect(last({ ipFamily: 'IPv6' })).toEqual([`${LAST}-m addrtype --dst-type LOCAL ! -d ::1/128 -j KUBE-NODEPORTS`]);
  });

  it('answer on all when nodePortAddresses names only the other family, or everything', () => {
    expect(last({ nodePortAddresses: ['2001:db8::/64'] })).toEqual(last({}));
    expect(last({ nodePortAddresses: ['192.168.0.0/24', '0.0.0.0/0'] })).toEqual(last({}));
  });

  it('answer only where nodePortAddresses says, each address once', () => {
    expect(last({ nodePortAddresses: ['192.168.1.0/24', '192.168.0.0/16'] })).toEqual([
      `${LAST}-d 192.168.1.2 -j KUBE-NODEPORTS`,
      `${LAST}-d 192.168.0.2 -j KUBE-NODEPORTS`,
    ]);
    expect(last({ nodePortAddresses: ['203.0.113.0/24'] })).toEqual([]);
  });

  it('answer on loopback only when asked and in IPv4, and then KUBE-FIREWALL shields it', () => {
    const nodePortAddresses = ['127.0.0.0/8', '::1/128'];
    expect(last({ nodePortAddresses })).toEqual([`${LAST}-d 127.0.0.1 -j KUBE-NODEPORTS`]);
    expect(last({ nodePortAddresses, localhostNodePorts: false })).toEqual([]);
    expect(last({ nodePortAddresses, ipFamily: 'IPv6' })).toEqual([]);
    const shield = (overrides: Parameters<typeof firstSync>[1]): number | undefined =>
      chainRules(firstSync([], overrides), 'filter/KUBE-FIREWALL')?.length;
    expect([shield({}), shield({ nodePortAddresses })]).toEqual([1, 1]);
    expect(shield({ nodePortAddresses: ['192.168.0.0/24'] })).toBe(0);
    expect([shield({ localhostNodePorts: false }), shield({ ipFamily: 'IPv6' })]).toEqual([0, 0]);
  });

  it('count what comes by loopback where the counter exists', () => {
    const svc = servicePort({ nodePort: 30080 });
    const nfacct = { ctStateInvalid: true, localhostNodePorts: true };
    const rules = (overrides: Parameters<typeof firstSync>[1]): string[] =>
      chainRules(firstSync([svc], { nfacct, ...overrides }), 'nat/KUBE-NODEPORTS') ?? [];
    expect(rules({}).length).toBe(2);
    expect(rules({})[0]).toContain(
      '-d 127.0.0.0/8 --dport 30080 -m nfacct --nfacct-name localhost_nps_accepted_pkts -j KUBE-EXT-',
    );
    expect(rules({ localhostNodePorts: false }).length).toBe(1);
    expect(rules({ nodePortAddresses: ['192.168.0.0/24'] }).length).toBe(1);
    expect(rules({ ipFamily: 'IPv6' }).length).toBe(1);
  });
});
