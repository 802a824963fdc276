import { describe, expect, it } from 'vitest';
import { createIpSets, SET_DEFINITIONS, setNameOf } from './ip-sets.ts';
import type { IpSet, SetName } from './ip-sets.ts';
import { IpvsProgrammer } from './programmer.ts';
import { changeAt, TEST_CONFIG, testEndpoint, testService } from './test-objects.ts';

function setOf(name: SetName, family: 'IPv4' | 'IPv6' = 'IPv4', held?: readonly string[]): IpSet {
  const set = createIpSets(family, new Map(held === undefined ? [] : [[name, held]])).get(name);
  if (set === undefined) throw new Error(`no set ${name}`);
  return set;
}

describe('names', () => {
  it('fit into the kernel, and differ', () => {
    const names = SET_DEFINITIONS.flatMap(({ name }) => [setNameOf(name, 'IPv4'), setNameOf(name, 'IPv6')]);
    expect(names).toHaveLength(34);
    expect(new Set(names).size).toBe(34);
    expect(names.every((name) => name.length <= 31)).toBe(true);
    expect(setNameOf('KUBE-IPVS-IPS', 'IPv6')).toBe('KUBE-6-IPVS-IPS');
    expect(setNameOf('KUBE-LOAD-BALANCER-SOURCE-CIDR', 'IPv6')).toBe('KUBE-6-LOAD-BALANCER-SOURCE-CID');
  });
});

describe('sync', () => {
  it('sends the difference', () => {
    const set = setOf('KUBE-CLUSTER-IP', 'IPv4', ['10.0.0.1,tcp:80', '10.0.0.2,tcp:80']);
    set.want('10.0.0.2,tcp:80');
    set.want('10.0.0.10,udp:53');
    expect(set.sync()).toEqual({ added: 1, deleted: 1 });
    expect(set.entries).toEqual(['10.0.0.10,udp:53', '10.0.0.2,tcp:80']);
    expect(set.sync()).toEqual({ added: 0, deleted: 0 });
  });

  it('writes a range of one address anew each time, since the kernel prints it without its length', () => {
    const set = setOf('KUBE-LOAD-BALANCER-SOURCE-CIDR', 'IPv6');
    set.want('2001:db8::1,tcp:80,2001:db8::5/128');
    expect(set.sync()).toEqual({ added: 1, deleted: 0 });
    expect(set.sync()).toEqual({ added: 1, deleted: 1 });
    expect(set.entries).toEqual(['2001:db8::1,tcp:80,2001:db8::5/128']);
    expect(set.saveLines()).toEqual([
      'create KUBE-6-LOAD-BALANCER-SOURCE-CID hash:ip,port,net family inet6 hashsize 1024 maxelem 65536',
      'add KUBE-6-LOAD-BALANCER-SOURCE-CID 2001:db8::1,tcp:80,2001:db8::5',
    ]);
  });

  it('has a range of length 0 refused, which kube-proxy does not notice', () => {
    const set = setOf('KUBE-LOAD-BALANCER-SOURCE-CIDR');
    set.want('5.5.5.5,tcp:80,0.0.0.0/0');
    expect(set.sync()).toEqual({ added: 0, deleted: 0 });
    expect(set.refused).toEqual(['5.5.5.5,tcp:80,0.0.0.0/0']);
    expect(set.entries).toEqual([]);
    expect(set.isEmpty).toBe(false);
  });

  it('stops at the size of a hash', () => {
    const set = setOf('KUBE-CLUSTER-IP');
    for (let i = 0; i <= 65536; i++) set.want(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255},tcp:80`);
    expect(set.sync().added).toBe(65536);
    expect(set.refused).toEqual(['10.1.0.0,tcp:80']);
  });
});

describe('entries of a program', () => {
  it('are in every set that a service belongs to', () => {
    const services = [
      testService({
        nodePort: 30080,
        externalIps: ['6.6.6.6'],
        loadBalancerVips: ['5.5.5.5'],
        loadBalancerSourceRanges: ['192.168.0.0/24'],
        externalPolicyLocal: true,
        healthCheckNodePort: 30999,
      }),
      testService({
        name: 'svc2',
        clusterIp: '172.30.0.2',
        protocol: 'sctp',
        nodePort: 30081,
        externalIps: ['7.7.7.7'],
        endpoints: [testEndpoint('10.1.0.9', { isLocal: true, ready: false, serving: false })],
      }),
    ];
    const program = new IpvsProgrammer(TEST_CONFIG).sync(services, changeAt(0));
    const text = (name: string): string =>
      program
        .ipsetText()
        .split('\n')
        .filter((l) => l.startsWith(`add ${name} `))
        .map((l) => l.split(' ')[2])
        .join(' ');
    expect(text('KUBE-LOOP-BACK')).toBe('10.1.0.1,tcp:8080,10.1.0.1 10.1.0.9,sctp:8080,10.1.0.9');
    expect(text('KUBE-CLUSTER-IP')).toBe('172.30.0.1,tcp:80 172.30.0.2,sctp:80');
    expect(text('KUBE-EXTERNAL-IP')).toBe('7.7.7.7,sctp:80');
    expect(text('KUBE-EXTERNAL-IP-LOCAL')).toBe('6.6.6.6,tcp:80');
    expect(text('KUBE-LOAD-BALANCER')).toBe('5.5.5.5,tcp:80');
    expect(text('KUBE-LOAD-BALANCER-LOCAL')).toBe('5.5.5.5,tcp:80');
    expect(text('KUBE-LOAD-BALANCER-FW')).toBe('5.5.5.5,tcp:80');
    expect(text('KUBE-LOAD-BALANCER-SOURCE-CIDR')).toBe('5.5.5.5,tcp:80,192.168.0.0/24');
    expect(text('KUBE-LOAD-BALANCER-SOURCE-IP')).toBe('5.5.5.5,tcp:80,5.5.5.5');
    expect(text('KUBE-NODE-PORT-TCP')).toBe('30080');
    expect(text('KUBE-NODE-PORT-LOCAL-TCP')).toBe('30080');
    expect(text('KUBE-NODE-PORT-SCTP-HASH')).toBe('192.168.0.2,sctp:30081');
    expect(text('KUBE-NODE-PORT-LOCAL-SCTP-HASH')).toBe('');
    expect(text('KUBE-HEALTH-CHECK-NODE-PORT')).toBe('30999');
    expect(text('KUBE-IPVS-IPS')).toBe('172.30.0.1 172.30.0.2 5.5.5.5 6.6.6.6 7.7.7.7');
  });
});
