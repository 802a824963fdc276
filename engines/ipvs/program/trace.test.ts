import { describe, expect, it } from 'vitest';
import type { ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import type { IpvsProgram } from './program.ts';
import { IpvsProgrammer } from './programmer.ts';
import { changeAt, TEST_CONFIG, testEndpoint, testService } from './test-objects.ts';
import type { Flow } from './trace.ts';

const CLUSTER = { localDetector: { kind: 'cidr', cidr: '10.1.0.0/16' } } as const;
const BOTH = '10.1.0.1:8080, 10.1.1.1:8080';

function programOf(services: readonly ServicePortConfig[], config: Partial<ProxyConfig> = {}): IpvsProgram {
  return new IpvsProgrammer({ ...TEST_CONFIG, ...CLUSTER, ...config }).sync(services, changeAt(0));
}

function flow(sourceIp: string, to: string, more: Partial<Flow> = {}): Flow {
  const [, destIp, port] = /^(.*):(\d+)$/.exec(to) ?? [];
  return { sourceIp, protocol: 'tcp', destIp, destPort: Number(port), ...more };
}

function ask(program: IpvsProgram, sourceIp: string, to: string, more: Partial<Flow> = {}): [string, boolean] {
  const { output, masq } = program.trace(flow(sourceIp, to, more));
  return [output, masq];
}

const svc = testService({
  nodePort: 30080,
  externalIps: ['6.6.6.6'],
  loadBalancerVips: ['5.5.5.5'],
});

describe('trace', () => {
  const program = programOf([svc]);

  it('reaches every real server, masquerading what comes from outside', () => {
    expect(ask(program, '10.1.7.7', '172.30.0.1:80')).toEqual([BOTH, false]);
    expect(ask(program, '203.0.113.9', '172.30.0.1:80')).toEqual([BOTH, true]);
    expect(ask(program, '203.0.113.9', '192.168.0.2:30080')).toEqual([BOTH, true]);
    expect(ask(program, '203.0.113.9', '5.5.5.5:80')).toEqual([BOTH, true]);
    expect(ask(program, '203.0.113.9', '6.6.6.6:80')).toEqual([BOTH, true]);
  });

  it('masquerades an endpoint that may get its own packet back, for that one choice', () => {
    const trace = program.trace(flow('10.1.0.1', '172.30.0.1:80'));
    expect(trace).toMatchObject({ output: BOTH, masq: true, masqueraded: ['10.1.0.1:8080'] });
  });

  it('rejects unused ports of a VIP, from the node too, and leaves the rest alone', () => {
    expect(ask(program, '10.1.7.7', '172.30.0.1:81')).toEqual(['REJECT', false]);
    expect(ask(program, '192.168.0.2', '172.30.0.1:81')).toEqual(['REJECT', false]);
    expect(ask(program, '10.1.7.7', '172.30.0.1:80', { protocol: 'udp' })).toEqual(['REJECT', false]);
    expect(ask(program, '10.1.7.7', '192.168.0.2:81')).toEqual(['', false]);
    expect(ask(program, '10.1.7.7', '203.0.113.9:80')).toEqual(['', false]);
    expect(ask(program, '2001:db8::9', '2001:db8::8:80')).toEqual(['', false]);
  });

  it('finds no real server where there is no endpoint, and none in graceful termination', () => {
    expect(ask(programOf([testService({ endpoints: [] })]), '10.1.7.7', '172.30.0.1:80')).toEqual(['REJECT', false]);
    const programmer = new IpvsProgrammer(TEST_CONFIG);
    programmer.sync([testService()], changeAt(0));
    const virtual = { address: '172.30.0.1', protocol: 'tcp', port: 80 } as const;
    programmer.setConnections(virtual, { address: '10.1.1.1', port: 8080 }, { activeConn: 3, inactConn: 0 });
    const left = testService({ endpoints: [testEndpoint('10.1.0.1', { isLocal: true })] });
    expect(ask(programmer.sync([left], changeAt(1)), '10.1.7.7', '172.30.0.1:80')[0]).toBe('10.1.0.1:8080');
  });

  it('keeps the client under the external policy Local', () => {
    const local = programOf([{ ...svc, externalPolicyLocal: true, healthCheckNodePort: 30999 }]);
    for (const to of ['192.168.0.2:30080', '5.5.5.5:80', '6.6.6.6:80']) {
      expect(ask(local, '203.0.113.9', to)).toEqual(['10.1.0.1:8080', false]);
    }
    expect(ask(local, '203.0.113.9', '192.168.0.2:30999')).toEqual(['ACCEPT', false]);
  });

  it('drops what a load balancer is closed to, but not at its node port', () => {
    const closed = programOf([{ ...svc, loadBalancerSourceRanges: ['203.0.113.0/24'] }]);
    expect(ask(closed, '203.0.113.9', '5.5.5.5:80')).toEqual([BOTH, true]);
    expect(ask(closed, '198.51.100.9', '5.5.5.5:80')).toEqual(['DROP', false]);
    expect(ask(closed, '198.51.100.9', '192.168.0.2:30080')).toEqual([BOTH, true]);
    expect(ask(closed, '5.5.5.5', '5.5.5.5:80')).toEqual(['DROP', false]);
    const open = programOf([{ ...svc, loadBalancerSourceRanges: ['203.0.113.0/24', '192.168.0.0/16'] }]);
    expect(ask(open, '5.5.5.5', '5.5.5.5:80')).toEqual([BOTH, true]);
  });

  it('drops everybody where the only range is the whole of the address space, which an ipset cannot hold', () => {
    const all = programOf([{ ...svc, loadBalancerSourceRanges: ['0.0.0.0/0'] }]);
    expect(ask(all, '203.0.113.9', '5.5.5.5:80')).toEqual(['DROP', false]);
  });

  it('masquerades the node itself by its VIP source only without a detector', () => {
    const none = programOf([testService()], { localDetector: { kind: 'none' } });
    expect(ask(none, '10.1.7.7', '172.30.0.1:80')).toEqual([BOTH, false]);
    expect(ask(none, '203.0.113.9', '172.30.0.1:80')).toEqual([BOTH, false]);
    expect(ask(none, '172.30.0.1', '172.30.0.1:80')).toEqual([BOTH, true]);
    expect(ask(programOf([testService()], { masqueradeAll: true }), '10.1.7.7', '172.30.0.1:80')).toEqual([BOTH, true]);
  });

  it('asks the interface where that is the detector', () => {
    const veth = programOf([testService()], { localDetector: { kind: 'prefix', name: 'veth' } });
    expect(ask(veth, '10.9.0.1', '172.30.0.1:80', { inputInterface: 'veth12' })[1]).toBe(false);
    expect(ask(veth, '10.9.0.1', '172.30.0.1:80', { inputInterface: 'eth0' })[1]).toBe(true);
  });

  it('sees through IPv6 sets', () => {
    const six = testService({ clusterIp: 'fd00::1', nodePort: 30080, endpoints: [testEndpoint('fd01::1')] });
    const ipv6 = programOf([six], { ipFamily: 'IPv6', localDetector: { kind: 'cidr', cidr: 'fd01::/16' } });
    expect(ask(ipv6, 'FD01:0::7', 'FD00:0::1:80')).toEqual(['[fd01::1]:8080', false]);
    expect(ask(ipv6, '2001:db8::9', '2001:db8::2:30080')).toEqual(['[fd01::1]:8080', true]);
    expect(ask(ipv6, '2001:db8::9', 'fd00::1:81')).toEqual(['REJECT', false]);
  });

  it('tells each rule in its turn', () => {
    const { steps, rulesEvaluated, setTests } = programOf([testService()]).trace(flow('10.1.7.7', '172.30.0.1:80'));
    const met = steps
      .filter(({ matched }) => matched)
      .map(({ chain, text }) => `${chain} ${text.split(' -j ').at(-1)}`);
    expect(met.slice(0, 5)).toEqual([
      'nat/PREROUTING KUBE-SERVICES',
      'nat/KUBE-SERVICES KUBE-NODE-PORT',
      'nat/KUBE-SERVICES ACCEPT',
      'filter/INPUT KUBE-IPVS-FILTER',
      'filter/KUBE-IPVS-FILTER RETURN',
    ]);
    expect(met).toContain('ipvs rr 172.30.0.1:80/tcp -> 10.1.0.1:8080');
    expect(steps.filter(({ chain }) => chain !== 'ipvs')).toHaveLength(rulesEvaluated);
    // CLUSTER-IP once (the detector's block does not hold), then LOAD-BALANCER, CLUSTER-IP, HEALTH-CHECK, and LOOP-BACK for each server.
    expect(setTests).toBe(6);
  });
});
