import { describe, expect, it } from 'vitest';
import type { ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import type { IpvsProgram } from './program.ts';
import { IpvsProgrammer } from './programmer.ts';
import { changeAt, TEST_CONFIG, testEndpoint, testService } from './test-objects.ts';

function programOf(services: readonly ServicePortConfig[], config: Partial<ProxyConfig> = {}): IpvsProgram {
  return new IpvsProgrammer({ ...TEST_CONFIG, ...config }).sync(services, changeAt(0));
}

function chain(program: IpvsProgram, name: string): readonly string[] {
  return (program.chains.get(name) ?? []).map((rule) => rule.replace(/^-A \S+ /, ''));
}

const CLUSTER_IP = 'Kubernetes service cluster ip + port for masquerade purpose';

const loadBalancer = testService({
  nodePort: 30080,
  loadBalancerVips: ['5.5.5.5'],
  loadBalancerSourceRanges: ['203.0.113.0/24'],
  externalPolicyLocal: true,
  healthCheckNodePort: 30999,
});

describe('rules without services', () => {
  it('are all that do not depend on a set', () => {
    expect(programOf([]).restoreText()).toBe(
      [
        '*filter',
        ':KUBE-FORWARD - [0:0]',
        ':KUBE-IPVS-FILTER - [0:0]',
        ':KUBE-IPVS-OUT-FILTER - [0:0]',
        ':KUBE-NODE-PORT - [0:0]',
        ':KUBE-PROXY-FIREWALL - [0:0]',
        ':KUBE-SOURCE-RANGES-FIREWALL - [0:0]',
        '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
        '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
        '-A KUBE-IPVS-FILTER -m set --match-set KUBE-LOAD-BALANCER dst,dst -j RETURN',
        '-A KUBE-IPVS-FILTER -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN',
        '-A KUBE-IPVS-FILTER -m set --match-set KUBE-EXTERNAL-IP dst,dst -j RETURN',
        '-A KUBE-IPVS-FILTER -m set --match-set KUBE-EXTERNAL-IP-LOCAL dst,dst -j RETURN',
        '-A KUBE-IPVS-FILTER -m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst -j RETURN',
        '-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT',
        '-A KUBE-NODE-PORT -m comment --comment "Kubernetes health check node port" -m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst -j ACCEPT',
        '-A KUBE-SOURCE-RANGES-FIREWALL -j DROP',
        'COMMIT',
        '*nat',
        ':KUBE-SERVICES - [0:0]',
        ':KUBE-LOAD-BALANCER - [0:0]',
        ':KUBE-MARK-MASQ - [0:0]',
        ':KUBE-NODE-PORT - [0:0]',
        ':KUBE-POSTROUTING - [0:0]',
        '-A KUBE-SERVICES -s 127.0.0.0/8 -j RETURN',
        '-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT',
        '-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ',
        '-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000',
        '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
        '-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000',
        '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE',
        'COMMIT',
        '',
      ].join('\n'),
    );
  });

  it('hang on the built-in chains, the last one written on top', () => {
    const jumps = programOf([])
      .kernelText()
      .split('\n')
      .filter((line) => /^-A (?!KUBE-)/.test(line));
    expect(jumps).toEqual([
      '-A INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER',
      '-A INPUT -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL',
      '-A INPUT -m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT',
      '-A FORWARD -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL',
      '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
      '-A OUTPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-OUT-FILTER',
      '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
      '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
      '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
    ]);
  });
});

describe('nat KUBE-SERVICES', () => {
  it('has every rule in its order when every set has entries', () => {
    const external = testService({ name: 'svc2', clusterIp: '172.30.0.2', externalIps: ['6.6.6.6'] });
    const local = testService({ ...external, name: 'svc3', clusterIp: '172.30.0.3', externalIps: ['7.7.7.7'] });
    const program = programOf([loadBalancer, external, { ...local, externalPolicyLocal: true }]);
    const masq = `-m comment --comment "Kubernetes service external ip + port for masquerade and filter purpose" -m set --match-set KUBE-EXTERNAL-IP dst,dst`;
    const kept = `-m comment --comment "Kubernetes service external ip + port with externalTrafficPolicy=local" -m set --match-set KUBE-EXTERNAL-IP-LOCAL dst,dst`;
    expect(chain(program, 'nat/KUBE-SERVICES')).toEqual([
      '-s 127.0.0.0/8 -j RETURN',
      '-m comment --comment "Kubernetes service lb portal" -m set --match-set KUBE-LOAD-BALANCER dst,dst -j KUBE-LOAD-BALANCER',
      `-m comment --comment "${CLUSTER_IP}" -m set --match-set KUBE-CLUSTER-IP src,dst -j KUBE-MARK-MASQ`,
      `${masq} -j KUBE-MARK-MASQ`,
      `${masq} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT`,
      `${masq} -m addrtype --dst-type LOCAL -j ACCEPT`,
      `${kept} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT`,
      `${kept} -m addrtype --dst-type LOCAL -j ACCEPT`,
      '-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT',
      '-m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT',
      '-m set --match-set KUBE-LOAD-BALANCER dst,dst -j ACCEPT',
    ]);
  });

  it.each<[string, Partial<ProxyConfig>, string]>([
    ['no detector', {}, 'KUBE-CLUSTER-IP src,dst -j'],
    ['masquerade all', { masqueradeAll: true }, 'KUBE-CLUSTER-IP dst,dst -j'],
    ['a block', { localDetector: { kind: 'cidr', cidr: '10.1.0.0/16' } }, 'dst,dst ! -s 10.1.0.0/16 -j'],
    [
      'a block of the other family',
      { localDetector: { kind: 'cidr', cidr: 'fd00::/64' } },
      'KUBE-CLUSTER-IP src,dst -j',
    ],
    ['a bridge', { localDetector: { kind: 'bridge', name: 'cni0' } }, 'dst,dst ! -i cni0 -j'],
    ['an interface prefix', { localDetector: { kind: 'prefix', name: 'veth' } }, 'dst,dst ! -i veth+ -j'],
    ['both', { masqueradeAll: true, localDetector: { kind: 'cidr', cidr: '10.1.0.0/16' } }, 'dst,dst -j'],
  ])('masquerades with %s', (_, config, words) => {
    expect(chain(programOf([testService()], config), 'nat/KUBE-SERVICES')[1]).toContain(words);
  });
});

describe('the other chains', () => {
  it('return what keeps its source before they mark the rest', () => {
    const services = (['tcp', 'udp', 'sctp'] as const).flatMap((protocol, at) => [
      testService({ name: `a${at}`, clusterIp: `172.30.1.${at}`, protocol, nodePort: 30000 + at }),
      testService({
        name: `b${at}`,
        clusterIp: `172.30.2.${at}`,
        protocol,
        nodePort: 31000,
        externalPolicyLocal: true,
      }),
    ]);
    const found = chain(programOf(services), 'nat/KUBE-NODE-PORT').map((rule) => rule.replace(/-m comment .*" /, ''));
    expect(found).toEqual([
      '-p tcp -m set --match-set KUBE-NODE-PORT-LOCAL-TCP dst -j RETURN',
      '-p tcp -m set --match-set KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ',
      '-p udp -m set --match-set KUBE-NODE-PORT-LOCAL-UDP dst -j RETURN',
      '-p udp -m set --match-set KUBE-NODE-PORT-UDP dst -j KUBE-MARK-MASQ',
      '-p sctp -m set --match-set KUBE-NODE-PORT-LOCAL-SCTP-HASH dst,dst -j RETURN',
      '-p sctp -m set --match-set KUBE-NODE-PORT-SCTP-HASH dst,dst -j KUBE-MARK-MASQ',
    ]);
  });

  it('close a load balancer to all but its ranges, and to the node', () => {
    const program = programOf([loadBalancer], { masqueradeRandomFully: true });
    const noComment = (rule: string): string => rule.replace(/-m comment --comment "[^"]*" /, '');
    expect(chain(program, 'filter/KUBE-PROXY-FIREWALL').map(noComment)).toEqual([
      '-m set --match-set KUBE-LOAD-BALANCER-FW dst,dst -j KUBE-SOURCE-RANGES-FIREWALL',
    ]);
    expect(chain(program, 'filter/KUBE-SOURCE-RANGES-FIREWALL').map(noComment)).toEqual([
      '-m set --match-set KUBE-LOAD-BALANCER-SOURCE-CIDR dst,dst,src -j RETURN',
      '-j DROP',
    ]);
    expect(chain(program, 'filter/KUBE-IPVS-OUT-FILTER')).toEqual([
      '-s 5.5.5.5 -m ipvs --vaddr 5.5.5.5 --vproto tcp --vport 80 -j DROP',
    ]);
    expect(chain(program, 'nat/KUBE-LOAD-BALANCER').map(noComment)).toEqual([
      '-m set --match-set KUBE-LOAD-BALANCER-LOCAL dst,dst -j RETURN',
      '-j KUBE-MARK-MASQ',
    ]);
    expect(chain(program, 'nat/KUBE-POSTROUTING').map(noComment)).toEqual([
      '-m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE',
      '-m mark ! --mark 0x4000/0x4000 -j RETURN',
      '-j MARK --xor-mark 0x4000',
      '-j MASQUERADE --random-fully',
    ]);
  });

  it('let the node reach a load balancer whose ranges hold the node', () => {
    const ranges = ['192.168.0.0/24', '203.0.113.0/24'];
    const program = programOf([{ ...loadBalancer, loadBalancerSourceRanges: ranges }]);
    expect(chain(program, 'filter/KUBE-IPVS-OUT-FILTER')).toEqual([]);
    expect(chain(program, 'filter/KUBE-SOURCE-RANGES-FIREWALL')[1]).toContain(
      'KUBE-LOAD-BALANCER-SOURCE-IP dst,dst,src',
    );
    const unknown = programOf([{ ...loadBalancer, loadBalancerSourceRanges: ranges }], { nodeIp: '' });
    expect(chain(unknown, 'filter/KUBE-IPVS-OUT-FILTER')).toHaveLength(1);
  });

  it('test the IPv6 sets, named within 31 characters', () => {
    const svc = testService({
      clusterIp: 'fd00::1',
      protocol: 'sctp',
      nodePort: 30000,
      externalPolicyLocal: true,
      loadBalancerVips: ['2001:db8::5'],
      loadBalancerSourceRanges: ['2001:db8:1::/48'],
      endpoints: [testEndpoint('fd01::1')],
    });
    const program = programOf([svc], { ipFamily: 'IPv6' });
    expect(chain(program, 'nat/KUBE-SERVICES')[0]).toBe('-s ::1/128 -j RETURN');
    const names = program.restoreText().match(/--match-set \S+/g) ?? [];
    expect(names.every((name) => name.startsWith('--match-set KUBE-6-'))).toBe(true);
    expect(names).toContain('--match-set KUBE-6-LOAD-BALANCER-SOURCE-CID');
    expect(names).toContain('--match-set KUBE-6-NODE-PORT-LOCAL-SCTP-HAS');
    expect(chain(program, 'filter/KUBE-IPVS-OUT-FILTER')).toEqual([
      '-s 2001:db8::5 -m ipvs --vaddr 2001:db8::5 --vproto sctp --vport 80 -j DROP',
    ]);
  });
});
