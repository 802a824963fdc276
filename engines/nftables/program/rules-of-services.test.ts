/** What is in the table for one service port, policy by policy. */
import { describe, expect, it } from 'vitest';
import type { ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import type { NftablesProgram } from './program.ts';
import { NftablesProgrammer } from './programmer.ts';
import { TEST_CONFIG, testEndpoint, testServicePort } from './test-objects.ts';

const CLUSTER = 'service-ULMVA6XW-ns1/svc1/tcp/p80';
const LOCAL = 'local-ULMVA6XW-ns1/svc1/tcp/p80';
const EXTERNAL = 'external-ULMVA6XW-ns1/svc1/tcp/p80';
const FIREWALL = 'firewall-ULMVA6XW-ns1/svc1/tcp/p80';
const HERE = 'endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80';

const remote = testEndpoint('10.180.2.1', 80);
const terminating = { ready: false, serving: true, terminating: true };

function program(svc: Partial<ServicePortConfig>, config: Partial<ProxyConfig> = {}): NftablesProgram {
  const programmer = new NftablesProgrammer({ ...TEST_CONFIG, ...config });
  return programmer.sync([testServicePort(svc)], { full: true, changed: new Set(), nowSeconds: 0 });
}

/** Rules of a chain; undefined when there is no such chain. */
function rules({ table }: NftablesProgram, chain: string): string[] | undefined {
  return table.chains.get(chain)?.rules.map((rule) => rule.text);
}

/** `key comment : value` of all elements of a set or map. */
function elements(of: NftablesProgram, container: string): string[] {
  const pattern = new RegExp(`^add element ip6? kube-proxy ${container} \\{ (.*) \\}$`);
  return of
    .dumpText()
    .split('\n')
    .flatMap((line) => pattern.exec(line)?.[1] ?? []);
}

describe('masquerading of traffic to a ClusterIP', () => {
  const first = (config: Partial<ProxyConfig>): string | undefined => rules(program({}, config), CLUSTER)?.[0];

  it.each([
    ['a pod CIDR', {}, 'ip saddr != 10.0.0.0/8 '],
    ['a bridge', { localDetector: { kind: 'bridge', name: 'cbr0' } as const }, 'iifname != cbr0 '],
    ['an interface prefix', { localDetector: { kind: 'prefix', name: 'veth' } as const }, 'iifname != veth* '],
    ['masquerade-all over a detector', { masqueradeAll: true }, ''],
  ])('asks %s', (_what, config, match) => {
    expect(first(config)).toBe(`ip daddr 172.30.0.41 ${match}jump mark-for-masquerade`);
  });

  it('writes no rule without a detector', () => {
    expect(first({ localDetector: { kind: 'none' } })).toMatch(/^numgen random mod 2 vmap/);
  });
});

describe('endpoints', () => {
  it('are balanced by one rule, also when there is one only', () => {
    const one = program({ endpoints: [testEndpoint('10.180.0.1', 80)] });
    expect(rules(one, CLUSTER)?.[1]).toBe(`numgen random mod 1 vmap { 0 : goto ${HERE} }`);
    expect(rules(one, HERE)).toEqual([
      'ip saddr 10.180.0.1 jump mark-for-masquerade',
      'meta l4proto tcp dnat to 10.180.0.1:80',
    ]);
  });

  it('remember their clients under session affinity', () => {
    const set = HERE.replace('endpoint', 'affinity');
    const with1 = program({ affinitySeconds: 60, endpoints: [testEndpoint('10.180.0.1', 80)] });
    expect(rules(with1, CLUSTER)?.slice(1)).toEqual([
      `ip saddr @${set} goto ${HERE}`,
      `numgen random mod 1 vmap { 0 : goto ${HERE} }`,
    ]);
    expect(rules(with1, HERE)?.[1]).toBe(`update @${set} { ip saddr }`);
    expect(with1.dumpText()).toContain(
      `add set ip kube-proxy ${set} { type ipv4_addr ; flags dynamic,timeout ; timeout 60s ; }\n`,
    );
  });

  it('that shut down serve when none is ready', () => {
    const draining = program({ endpoints: [testEndpoint('10.180.0.1', 80, terminating)] });
    expect(rules(draining, CLUSTER)?.[1]).toBe(`numgen random mod 1 vmap { 0 : goto ${HERE} }`);
    const both = program({ endpoints: [testEndpoint('10.180.0.1', 80, terminating), remote] });
    expect(rules(both, HERE)).toBeUndefined();
  });
});

describe('service without usable endpoints', () => {
  const open = { nodePort: 3001, externalIps: ['192.168.99.11'], loadBalancerVips: ['1.2.3.4'] };

  it('refuses at every address when there is none anywhere', () => {
    const none = program({ ...open, endpoints: [] });
    expect(elements(none, 'cluster-ips')).toEqual(['172.30.0.41']);
    expect(elements(none, 'service-ips')).toEqual([]);
    expect(elements(none, 'no-endpoint-services')).toEqual(
      ['1.2.3.4', '172.30.0.41', '192.168.99.11'].map(
        (ip) => `${ip} . tcp . 80 comment "ns1/svc1:p80" : goto reject-chain`,
      ),
    );
    expect(elements(none, 'no-endpoint-nodeports')).toEqual(['tcp . 3001 comment "ns1/svc1:p80" : goto reject-chain']);
    expect([...none.table.chains.keys()].some((name) => name.includes('/'))).toBe(false);
    expect(none.noLocalEndpoints).toEqual({ internal: 0, external: 0 });
  });

  it('prints an unnamed port without a colon', () => {
    const none = program({ portName: '', endpoints: [] });
    expect(elements(none, 'no-endpoint-services')[0]).toContain('comment "ns1/svc1" :');
  });

  it('under eTP Local drops what comes from outside and keeps the short circuits', () => {
    const elsewhere = program({ ...open, externalPolicyLocal: true, endpoints: [remote] });
    expect(elements(elsewhere, 'no-endpoint-services')).toEqual([
      '1.2.3.4 . tcp . 80 comment "ns1/svc1:p80" : drop',
      '192.168.99.11 . tcp . 80 comment "ns1/svc1:p80" : drop',
    ]);
    expect(elements(elsewhere, 'service-ips')).toEqual([
      `1.2.3.4 . tcp . 80 : goto ${EXTERNAL}`,
      `172.30.0.41 . tcp . 80 : goto ${CLUSTER}`,
      `192.168.99.11 . tcp . 80 : goto ${EXTERNAL}`,
    ]);
    expect(rules(elsewhere, EXTERNAL)).toEqual([
      `ip saddr 10.0.0.0/8 goto ${CLUSTER} comment "short-circuit pod traffic"`,
      'fib saddr type local jump mark-for-masquerade comment "masquerade local traffic"',
      `fib saddr type local goto ${CLUSTER} comment "short-circuit local traffic"`,
    ]);
    expect(elsewhere.noLocalEndpoints).toEqual({ internal: 0, external: 1 });
  });

  it('under iTP Local drops at the ClusterIP alone', () => {
    const elsewhere = program({ ...open, internalPolicyLocal: true, endpoints: [remote] });
    expect(elements(elsewhere, 'no-endpoint-services')).toEqual([
      '172.30.0.41 . tcp . 80 comment "ns1/svc1:p80" : drop',
    ]);
    expect(rules(elsewhere, EXTERNAL)).toEqual(['jump mark-for-masquerade', `goto ${CLUSTER}`]);
    expect(rules(elsewhere, LOCAL)).toBeUndefined();
    expect(elsewhere.noLocalEndpoints).toEqual({ internal: 1, external: 0 });
  });
});

describe('Local policies with a local endpoint', () => {
  it('send ClusterIP traffic to the local chain under iTP', () => {
    const inside = program({ internalPolicyLocal: true });
    expect(elements(inside, 'service-ips')).toEqual([`172.30.0.41 . tcp . 80 : goto ${LOCAL}`]);
    expect(rules(inside, LOCAL)).toEqual([
      'ip daddr 172.30.0.41 ip saddr != 10.0.0.0/8 jump mark-for-masquerade',
      `numgen random mod 1 vmap { 0 : goto ${HERE} }`,
    ]);
    // Nothing from outside can ask for the others.
    expect(rules(inside, CLUSTER)).toBeUndefined();
  });

  it('leave out the pod short circuit without a detector', () => {
    const outside = program({ externalPolicyLocal: true, nodePort: 3001 }, { localDetector: { kind: 'none' } });
    expect(rules(outside, EXTERNAL)).toEqual([
      'fib saddr type local jump mark-for-masquerade comment "masquerade local traffic"',
      `fib saddr type local goto ${CLUSTER} comment "short-circuit local traffic"`,
      `goto ${LOCAL}`,
    ]);
  });
});

describe('source ranges', () => {
  const ranges = { loadBalancerVips: ['1.2.3.4', '5.6.7.8'], nodePort: 3001 };

  it('are one rule, and hold for the load balancer only', () => {
    const limited = program({ ...ranges, loadBalancerSourceRanges: ['203.0.113.0/25', '198.51.100.0/24'] });
    expect(rules(limited, FIREWALL)).toEqual(['ip saddr != { 203.0.113.0/25 , 198.51.100.0/24 } drop']);
    expect(elements(limited, 'firewall-ips')).toEqual([
      `1.2.3.4 . tcp . 80 : goto ${FIREWALL}`,
      `5.6.7.8 . tcp . 80 : goto ${FIREWALL}`,
    ]);
    expect(elements(limited, 'service-nodeports')).toEqual([`tcp . 3001 : goto ${EXTERNAL}`]);
  });

  it('let the VIPs in when they let the node in', () => {
    const limited = program({ ...ranges, loadBalancerSourceRanges: ['192.168.0.0/24'] });
    expect(rules(limited, FIREWALL)).toEqual(['ip saddr != { 192.168.0.0/24 , 1.2.3.4 , 5.6.7.8 } drop']);
  });

  it('stand also while there is no endpoint', () => {
    const limited = program({ ...ranges, loadBalancerSourceRanges: ['203.0.113.0/25'], endpoints: [] });
    expect(rules(limited, FIREWALL)).toEqual(['ip saddr != { 203.0.113.0/25 } drop']);
  });
});

describe('set-up', () => {
  it('asks the routing table where every address accepts node ports', () => {
    const all = program({});
    expect(all.table.containers.has('nodeport-ips')).toBe(false);
    expect(rules(all, 'services')?.[1]).toBe(
      'fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports',
    );
    expect(rules(all, 'nodeport-endpoints-check')).toEqual([
      'ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @no-endpoint-nodeports',
    ]);
    const zero = program({}, { nodePortAddresses: ['192.168.0.0/24', '0.0.0.0/0'] });
    expect(zero.dumpText()).toBe(all.dumpText());
    const otherFamily = program({}, { nodePortAddresses: ['2001:db8::/64'] });
    expect(otherFamily.dumpText()).toBe(all.dumpText());
  });

  it('lists matching addresses otherwise, without loopback and without repeats', () => {
    const some = program({}, { nodePortAddresses: ['127.0.0.0/8', '192.168.0.0/24', '192.168.0.0/16', '::/0'] });
    expect(elements(some, 'nodeport-ips')).toEqual(['192.168.0.2', '192.168.1.2']);
    expect(rules(some, 'services')?.[1]).toBe('ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports');
  });

  it('drops at unallocated ClusterIPs only where the Service CIDRs of the family are known', () => {
    const last = (serviceCidrs: string[]): string | undefined =>
      rules(program({}, { serviceCidrs }), 'cluster-ips-check')?.at(-1);
    expect(last(['172.30.0.0/16', 'fd00::/112', '10.96.0.0/12'])).toBe(
      'ip daddr { 172.30.0.0/16,10.96.0.0/12 } drop comment "Drop traffic to unallocated ClusterIPs"',
    );
    expect(last([])).toMatch(/^ip daddr @cluster-ips reject/);
  });

  it('prints the mark as configured', () => {
    const marked = program({}, { masqueradeMark: '0x00004000' });
    expect(rules(marked, 'mark-for-masquerade')).toEqual(['mark set mark or 0x00004000']);
  });

  it('is written for IPv6 in a table of its own', () => {
    const config: Partial<ProxyConfig> = {
      ipFamily: 'IPv6',
      localDetector: { kind: 'cidr', cidr: 'fd00:10::/64' },
      serviceCidrs: ['fd00:172:30::/112'],
    };
    const six = program({ clusterIp: 'fd00:172:30::41', endpoints: [testEndpoint('fd00:10::1', 80)] }, config);
    const text = six.dumpText();
    expect(text).not.toMatch(/ip kube-proxy|ip daddr|ip saddr|ipv4_addr/);
    expect(rules(six, 'services')?.[1]).toBe(
      'fib daddr type local ip6 daddr != ::1 meta l4proto . th dport vmap @service-nodeports',
    );
    expect(elements(six, 'service-ips')).toEqual([`fd00:172:30::41 . tcp . 80 : goto ${CLUSTER}`]);
    expect(text).toContain('meta l4proto tcp dnat to [fd00:10::1]:80\n');
  });
});
