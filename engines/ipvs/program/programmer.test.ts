import { describe, expect, it } from 'vitest';
import type { ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import type { VirtualServerKey } from './ipvs-table.ts';
import { FLAG_PERSISTENT, FLAG_SOURCE_HASH } from './ipvs-table.ts';
import { IPVS_SCHEDULERS, ipvsSysctls } from './node-settings.ts';
import type { IpvsProgram } from './program.ts';
import { IpvsProgrammer } from './programmer.ts';
import { changeAt, TEST_CONFIG, testEndpoint, testService } from './test-objects.ts';

function programOf(services: readonly ServicePortConfig[], config: Partial<ProxyConfig> = {}): IpvsProgram {
  return new IpvsProgrammer({ ...TEST_CONFIG, ...config }).sync(services, changeAt(0));
}

function lines(program: IpvsProgram): string[] {
  return program.ipvsText().trim().split('\n');
}

function entries(program: IpvsProgram, set: string): readonly string[] | undefined {
  return new Map<string, { readonly entries: readonly string[] }>(program.ipsets).get(set)?.entries;
}

const VIRTUAL: VirtualServerKey = { address: '172.30.0.1', protocol: 'tcp', port: 80 };
const LOCAL = { address: '10.1.0.1', port: 8080 };
const REMOTE = { address: '10.1.1.1', port: 8080 };

describe('virtual servers', () => {
  it('keep a client with its server under ClientIP affinity', () => {
    const program = programOf([testService({ affinitySeconds: 10800 })]);
    expect(lines(program)[0]).toBe('-A -t 172.30.0.1:80 -s rr -p 10800');
    expect(program.virtualServers[0]).toMatchObject({ flags: FLAG_PERSISTENT, timeoutSeconds: 10800 });
  });

  it.each(IPVS_SCHEDULERS)('are scheduled by %s, with the port in the hash of mh alone', (scheduler) => {
    const program = programOf([testService({ protocol: 'udp', affinitySeconds: 60 })], { ipvsScheduler: scheduler });
    const flags = scheduler === 'mh' ? ' -b mh-port' : '';
    expect(lines(program)[0]).toBe(`-A -u 172.30.0.1:80 -s ${scheduler} -p 60${flags}`);
    const hash = scheduler === 'mh' ? FLAG_SOURCE_HASH : 0;
    expect(program.virtualServers[0].flags).toBe(FLAG_PERSISTENT | hash);
  });

  it('fall back to round robin, and refuse a scheduler that no kernel has', () => {
    expect(lines(programOf([testService()], { ipvsScheduler: '' }))[0]).toContain('-s rr');
    expect(() => programOf([], { ipvsScheduler: 'best' })).toThrow('"best"');
  });

  it('stand at each way in, and stay without real servers', () => {
    const svc = testService({
      nodePort: 30080,
      externalIps: ['6.6.6.6'],
      loadBalancerVips: ['5.5.5.5'],
      endpoints: [],
    });
    expect(lines(programOf([svc]))).toEqual([
      '-A -t 172.30.0.1:80 -s rr',
      '-A -t 192.168.0.2:30080 -s rr',
      '-A -t 5.5.5.5:80 -s rr',
      '-A -t 6.6.6.6:80 -s rr',
    ]);
  });

  it('are changed in place when affinity changes', () => {
    const programmer = new IpvsProgrammer(TEST_CONFIG);
    programmer.sync([testService()], changeAt(0));
    const program = programmer.sync([testService({ affinitySeconds: 5 })], changeAt(1));
    expect(program.operations).toMatchObject({ virtualServersUpdated: 1, realServersAdded: 0 });
    expect(program.virtualServers[0].realServers).toHaveLength(2);
  });

  it('of others are deleted, but for excluded blocks and the other family', () => {
    const found = ['3.3.3.3', '4.4.4.4', '2001:db8::9'].map((address) => ({
      ...VIRTUAL,
      address,
      scheduler: 'rr',
      flags: 0,
      timeoutSeconds: 0,
    }));
    const config = { ...TEST_CONFIG, excludeCidrs: ['3.3.3.0/24', '2001:db8:f::/48'] };
    const program = new IpvsProgrammer(config, { virtualServers: found }).sync([], changeAt(0));
    expect(program.virtualServers.map(({ address }) => address)).toEqual(['3.3.3.3', '2001:db8::9']);
  });
});

describe('node ports', () => {
  const svc = testService({ nodePort: 30080, endpoints: [] });
  const interfaceAddresses = ['127.0.0.1', '::1', '10.0.0.5', '192.168.0.2', 'fe80::7', '2001:db8::2', '2001:db8::3'];
  const servers = (config: Partial<ProxyConfig>, service = svc): string[] =>
    programOf([service], { interfaceAddresses, ...config })
      .virtualServers.filter(({ port }) => port === 30080)
      .map(({ address }) => address);

  it('are on each address but loopback and link-local ones, or on those of the given blocks', () => {
    expect(servers({})).toEqual(['10.0.0.5', '192.168.0.2']);
    expect(servers({ nodePortAddresses: ['0.0.0.0/0'] })).toEqual(['10.0.0.5', '192.168.0.2']);
    expect(servers({ nodePortAddresses: ['192.168.0.0/16', '127.0.0.0/8', '::/0'] })).toEqual(['192.168.0.2']);
    expect(servers({ nodePortAddresses: ['2001:db8::3/128'] })).toEqual(['10.0.0.5', '192.168.0.2']);
    const six = testService({ clusterIp: 'fd00::1', nodePort: 30080, endpoints: [] });
    expect(servers({ ipFamily: 'IPv6' }, six)).toEqual(['2001:db8::2', '2001:db8::3']);
    expect(servers({ ipFamily: 'IPv6', nodePortAddresses: ['2001:db8::3/128'] }, six)).toEqual(['2001:db8::3']);
  });

  it('without an address take the health check port with them', () => {
    const local = testService({ nodePort: 30080, externalPolicyLocal: true, healthCheckNodePort: 30999 });
    const program = programOf([local], { nodePortAddresses: ['198.51.100.0/24'] });
    expect(lines(program)[0]).toContain('172.30.0.1:80');
    expect(program.virtualServers).toHaveLength(1);
    expect(entries(program, 'KUBE-NODE-PORT-TCP')).toEqual([]);
    expect(entries(program, 'KUBE-HEALTH-CHECK-NODE-PORT')).toEqual([]);
    expect(entries(programOf([local]), 'KUBE-HEALTH-CHECK-NODE-PORT')).toEqual(['30999']);
  });
});

describe('endpoints', () => {
  const far = testEndpoint('10.1.1.1');
  const serversAt = (svc: ServicePortConfig, address: string): string[] | undefined =>
    programOf([svc])
      .virtualServers.find((virtual) => virtual.address === address)
      ?.realServers.map((real) => real.address);

  it('are local ones under the external policy Local, and those of the cluster where there are none', () => {
    const svc = testService({ externalIps: ['6.6.6.6'], externalPolicyLocal: true });
    expect(serversAt(svc, '6.6.6.6')).toEqual(['10.1.0.1']);
    expect(serversAt(svc, '172.30.0.1')).toEqual(['10.1.0.1', '10.1.1.1']);
    expect(serversAt({ ...svc, endpoints: [far] }, '6.6.6.6')).toEqual(['10.1.1.1']);
    expect(programOf([{ ...svc, endpoints: [far] }]).noLocalEndpoints).toEqual({ internal: 0, external: 1 });
  });

  it('are none under the internal policy Local without local ones, unless there is a way in from outside', () => {
    const svc = testService({ internalPolicyLocal: true, endpoints: [far] });
    expect(serversAt(svc, '172.30.0.1')).toEqual([]);
    expect(serversAt({ ...svc, nodePort: 30080 }, '172.30.0.1')).toEqual(['10.1.1.1']);
    const ports = [svc, { ...svc, portName: 'other', port: 81 }];
    expect(programOf(ports).noLocalEndpoints).toEqual({ internal: 1, external: 0 });
  });

  it('that shut down serve when no others do', () => {
    const stopping = testEndpoint('10.1.2.1', { ready: false, terminating: true });
    expect(serversAt(testService({ endpoints: [far, stopping] }), '172.30.0.1')).toEqual(['10.1.1.1']);
    expect(serversAt(testService({ endpoints: [stopping] }), '172.30.0.1')).toEqual(['10.1.2.1']);
  });
});

describe('kube-ipvs0', () => {
  it('has ClusterIPs always, other addresses unless an interface has them, and no node addresses', () => {
    const svc = testService({
      nodePort: 30080,
      externalIps: ['192.168.0.2', '6.6.6.6'],
      loadBalancerVips: ['5.5.5.5'],
    });
    const program = programOf([svc, testService({ name: 'svc2', clusterIp: '192.168.0.2', port: 81 })]);
    expect(program.boundAddresses).toEqual(['172.30.0.1', '192.168.0.2', '5.5.5.5', '6.6.6.6']);
    expect(programOf([svc]).boundAddresses).toEqual(['172.30.0.1', '5.5.5.5', '6.6.6.6']);
    expect(entries(program, 'KUBE-IPVS-IPS')).toEqual(program.boundAddresses);
  });

  it('loses what is no longer wanted, of its own family', () => {
    const kernel = { boundAddresses: ['172.30.0.1', '172.30.0.9', 'fd00::1'] };
    const program = new IpvsProgrammer(TEST_CONFIG, kernel).sync([testService()], changeAt(0));
    expect(program.boundAddresses).toEqual(['172.30.0.1', 'fd00::1']);
    expect(program.operations).toMatchObject({ addressesBound: 0, addressesUnbound: 1 });
  });
});

describe('a second sync', () => {
  it('of the same services does nothing', () => {
    const programmer = new IpvsProgrammer(TEST_CONFIG);
    const svc = testService({ nodePort: 30080, externalIps: ['6.6.6.6'], loadBalancerVips: ['5.5.5.5'] });
    const first = programmer.sync([svc], changeAt(0));
    const second = programmer.sync([svc], changeAt(30));
    expect(Object.values(second.operations).every((count) => count === 0)).toBe(true);
    expect(second.kernelText() + second.ipsetText() + second.ipvsText()).toBe(
      first.kernelText() + first.ipsetText() + first.ipvsText(),
    );
  });

  it('takes everything away that the first one made', () => {
    const programmer = new IpvsProgrammer(TEST_CONFIG);
    programmer.sync([testService({ nodePort: 30080, loadBalancerVips: ['5.5.5.5'] })], changeAt(0));
    const program = programmer.sync([], changeAt(1));
    const fresh = programOf([]);
    expect(program.kernelText()).toBe(fresh.kernelText());
    expect(program.ipsetText()).toBe(fresh.ipsetText());
    expect(program.ipvsText()).toBe('');
    expect(program.boundAddresses).toEqual([]);
  });
});

describe('graceful termination', () => {
  const both = testService();
  const remoteOnly = testService({ endpoints: [testEndpoint('10.1.1.1')] });
  const busy = { activeConn: 1, inactConn: 0 };
  const idle = { activeConn: 0, inactConn: 0 };

  function started(svc = both): IpvsProgrammer {
    const programmer = new IpvsProgrammer(TEST_CONFIG);
    programmer.sync([svc], changeAt(0));
    return programmer;
  }

  it('keeps a server with connections at weight 0, and looks again each minute', () => {
    const programmer = started();
    programmer.setConnections(VIRTUAL, LOCAL, { activeConn: 0, inactConn: 2 });
    const program = programmer.sync([remoteOnly], changeAt(10));
    expect(lines(program)).toEqual([
      '-A -t 172.30.0.1:80 -s rr',
      '-a -t 172.30.0.1:80 -r 10.1.0.1:8080 -m -w 0',
      '-a -t 172.30.0.1:80 -r 10.1.1.1:8080 -m -w 1',
    ]);
    expect(program.draining).toEqual(['172.30.0.1:80/TCP/10.1.0.1:8080']);
    expect(programmer.nextRetrySeconds).toBe(60);
    expect(programmer.tick(60)).toBe(0);
    programmer.setConnections(VIRTUAL, LOCAL, idle);
    expect(programmer.tick(119)).toBe(0);
    expect(programmer.nextRetrySeconds).toBe(120);
    expect(programmer.tick(120)).toBe(1);
    expect(programmer.nextRetrySeconds).toBe(Number.POSITIVE_INFINITY);
    expect(lines(programmer.sync([remoteOnly], changeAt(121)))).toHaveLength(2);
  });

  it.each(['udp', 'sctp'] as const)('does not wait for %s', (protocol) => {
    const programmer = started({ ...both, protocol });
    programmer.setConnections({ ...VIRTUAL, protocol }, LOCAL, busy);
    const program = programmer.sync([{ ...remoteOnly, protocol }], changeAt(1));
    expect(program.virtualServers[0].realServers).toEqual([{ ...REMOTE, weight: 1 }]);
  });

  it('ends for a server that is wanted again: deleted, then added last with its connections', () => {
    const programmer = started();
    programmer.setConnections(VIRTUAL, LOCAL, busy);
    programmer.sync([remoteOnly], changeAt(1));
    const program = programmer.sync([both], changeAt(2));
    expect(program.virtualServers[0].realServers).toEqual([
      { ...REMOTE, weight: 1 },
      { ...LOCAL, weight: 1 },
    ]);
    expect(program.operations).toMatchObject({ realServersDeleted: 1, realServersAdded: 1, weightsSet: 0 });
    expect(program.draining).toEqual([]);
    expect(programmer.kernelState.virtualServers[0].realServers?.[1]).toMatchObject(busy);
  });

  it('of a deleted virtual server ends with the next look', () => {
    const programmer = started();
    programmer.setConnections(VIRTUAL, LOCAL, busy);
    programmer.sync([remoteOnly], changeAt(1));
    expect(programmer.sync([], changeAt(2)).draining).toHaveLength(1);
    expect(programmer.tick(60)).toBe(0);
    expect(programmer.draining).toEqual([]);
  });

  it('is forgotten by a restarted kube-proxy, which only resets the weights of wanted servers', () => {
    const programmer = started();
    programmer.setConnections(VIRTUAL, LOCAL, busy);
    programmer.sync([remoteOnly], changeAt(1));
    const restarted = new IpvsProgrammer(TEST_CONFIG, programmer.kernelState);
    const program = restarted.sync([both], changeAt(5));
    expect(program.operations).toMatchObject({ weightsSet: 1, realServersAdded: 0, ipsetEntriesAdded: 1 });
    expect(program.virtualServers[0].realServers.map(({ weight }) => weight)).toEqual([1, 1]);
    const again = new IpvsProgrammer(TEST_CONFIG, programmer.kernelState);
    expect(again.sync([remoteOnly], changeAt(5)).draining).toHaveLength(1);
  });
});

describe('sysctls', () => {
  const names = (strictArp: boolean, kernel: [number, number]): string[] =>
    ipvsSysctls(strictArp, kernel).map(({ name, value }) => `${name.replace('net/ipv4/', '')}=${value}`);

  it('leave conn_reuse_mode alone on kernels that need no help', () => {
    const always = ['vs/conntrack=1', 'vs/expire_nodest_conn=1', 'vs/expire_quiescent_template=1', 'ip_forward=1'];
    expect(names(false, [5, 9])).toEqual(always);
    expect(names(false, [4, 0])).toEqual(always);
    expect(names(false, [6, 1])).toEqual(always);
    expect(names(false, [4, 1])).toEqual([always[0], 'vs/conn_reuse_mode=0', ...always.slice(1)]);
    expect(names(false, [5, 8])).toContain('vs/conn_reuse_mode=0');
    expect(names(true, [5, 9]).slice(-2)).toEqual(['conf/all/arp_ignore=1', 'conf/all/arp_announce=2']);
  });
});
