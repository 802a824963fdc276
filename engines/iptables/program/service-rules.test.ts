import { describe, expect, it } from 'vitest';
import { portProtoHash, servicePortEndpointHash } from './chain-names.ts';
import { chainRules, chainsOf, firstSync, local, NODE_IP, remote, servicePort } from './test-services.ts';

const HASH = portProtoHash('ns/web:http', 'tcp');
const SEP1 = `KUBE-SEP-${servicePortEndpointHash('ns/web:http', 'tcp', '10.1.0.1:8080')}`;
const SEP2 = `KUBE-SEP-${servicePortEndpointHash('ns/web:http', 'tcp', '10.1.0.2:8080')}`;
const CLUSTER_IP = '-m tcp -p tcp -d 172.30.0.1 --dport 80';
const two = [remote('10.1.0.1'), remote('10.1.0.2')];
const localAndRemote = [local('10.1.0.1'), remote('10.1.0.2')];

describe('a ClusterIP service port', () => {
  it('has balancing rules with the last one certain, and a chain for each endpoint', () => {
    const program = firstSync([servicePort({ endpoints: two })]);
    expect(chainRules(program, 'nat/KUBE-SERVICES')?.[0]).toBe(
      `-m comment --comment "ns/web:http cluster IP" ${CLUSTER_IP} -j KUBE-SVC-${HASH}`,
    );
    expect(chainRules(program, `nat/KUBE-SVC-${HASH}`)).toEqual([
      `-m comment --comment "ns/web:http cluster IP" ${CLUSTER_IP} ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ`,
      `-m comment --comment "ns/web:http -> 10.1.0.1:8080" -m statistic --mode random --probability 0.5000000000 -j ${SEP1}`,
      `-m comment --comment "ns/web:http -> 10.1.0.2:8080" -j ${SEP2}`,
    ]);
    expect(chainRules(program, `nat/${SEP2}`)).toEqual([
      '-m comment --comment ns/web:http -s 10.1.0.2 -j KUBE-MARK-MASQ',
      '-m comment --comment ns/web:http -m tcp -p tcp -j DNAT --to-destination 10.1.0.2:8080',
    ]);
    expect(chainsOf(program, 'KUBE-EXT')).toEqual([]);
  });

  it('is named without a colon when the port has no name', () => {
    const program = firstSync([servicePort({ portName: '', protocol: 'sctp' })]);
    expect(chainsOf(program, 'KUBE-SVC')).toEqual([`KUBE-SVC-${portProtoHash('ns/web', 'sctp')}`]);
    expect(chainRules(program, 'nat/KUBE-SERVICES')?.[0]).toContain('--comment "ns/web cluster IP" -m sctp -p sctp ');
  });

  it('is written in IPv6 with the endpoint in brackets', () => {
    const endpoints = [remote('fd00:10::1')];
    const detector = { kind: 'cidr', cidr: 'fd00:10::/64' } as const;
    const svc = servicePort({ clusterIp: 'fd00:96::1', endpoints });
    const program = firstSync([svc], { ipFamily: 'IPv6', localDetector: detector });
    const sep = `KUBE-SEP-${servicePortEndpointHash('ns/web:http', 'tcp', '[fd00:10::1]:8080')}`;
    expect(chainRules(program, `nat/${sep}`)).toEqual([
      '-m comment --comment ns/web:http -s fd00:10::1 -j KUBE-MARK-MASQ',
      '-m comment --comment ns/web:http -m tcp -p tcp -j DNAT --to-destination [fd00:10::1]:8080',
    ]);
  });

  it.each([
    [{ kind: 'none' }, []],
    [{ kind: 'bridge', name: 'cbr0' }, ['! -i cbr0 -j KUBE-MARK-MASQ']],
    [{ kind: 'prefix', name: 'veth' }, ['! -i veth+ -j KUBE-MARK-MASQ']],
  ] as const)('masquerades by the local detector %j', (localDetector, ends) => {
    const rules = chainRules(firstSync([servicePort()], { localDetector }), `nat/KUBE-SVC-${HASH}`) ?? [];
    const masquerades = rules.filter((text) => text.endsWith('KUBE-MARK-MASQ'));
    const start = `-m comment --comment "ns/web:http cluster IP" ${CLUSTER_IP} `;
    expect(masquerades).toEqual(ends.map((end) => start + end));
  });

  it('masquerades everything under masqueradeAll, detector or not', () => {
    const rules = chainRules(firstSync([servicePort()], { masqueradeAll: true }), `nat/KUBE-SVC-${HASH}`);
    expect(rules?.[0]).toBe(`-m comment --comment "ns/web:http cluster IP" ${CLUSTER_IP} -j KUBE-MARK-MASQ`);
  });

  it('with affinity asks every list before it draws', () => {
    const program = firstSync([servicePort({ endpoints: two, affinitySeconds: 600 })]);
    const rules = chainRules(program, `nat/KUBE-SVC-${HASH}`) ?? [];
    expect(rules.slice(1).map((text) => text.replace(/^-m comment --comment "[^"]*" /, ''))).toEqual([
      `-m recent --name ${SEP1} --rcheck --seconds 600 --reap -j ${SEP1}`,
      `-m recent --name ${SEP2} --rcheck --seconds 600 --reap -j ${SEP2}`,
      `-m statistic --mode random --probability 0.5000000000 -j ${SEP1}`,
      `-j ${SEP2}`,
    ]);
    expect(chainRules(program, `nat/${SEP1}`)?.[1]).toBe(
      `-m comment --comment ns/web:http -m recent --name ${SEP1} --set -m tcp -p tcp -j DNAT --to-destination 10.1.0.1:8080`,
    );
  });

  it('without endpoints only rejects', () => {
    const program = firstSync([servicePort({ endpoints: [remote('10.1.0.1', { ready: false })] })]);
    expect(chainRules(program, 'filter/KUBE-SERVICES')).toEqual([
      `-m comment --comment "ns/web:http has no endpoints" ${CLUSTER_IP} -j REJECT`,
    ]);
    expect([program.counts.natRules, program.counts.natChains]).toEqual([5, 4]);
  });

  it('falls back to endpoints that shut down only when none is ready', () => {
    const ending = remote('10.1.0.1', { ready: false, terminating: true });
    const flow = { sourceIp: '10.9.0.1', protocol: 'tcp', destIp: '172.30.0.1', destPort: 80 } as const;
    expect(firstSync([servicePort({ endpoints: [ending] })]).trace(flow).output).toBe('10.1.0.1:8080');
    const both = firstSync([servicePort({ endpoints: [ending, remote('10.1.0.2')] })]);
    expect(both.trace(flow).output).toBe('10.1.0.2:8080');
    expect(chainsOf(both, 'KUBE-SEP')).toEqual([SEP2]);
  });

  it('keeps to its zone when every endpoint has a hint', () => {
    const near = remote('10.1.0.1', { zoneHints: ['zone-a'] });
    const far = remote('10.1.0.2', { zoneHints: ['zone-b'] });
    expect(chainsOf(firstSync([servicePort({ endpoints: [near, far] })]), 'KUBE-SEP')).toEqual([SEP1]);
    const unhinted = remote('10.1.0.2');
    expect(chainsOf(firstSync([servicePort({ endpoints: [near, unhinted] })]), 'KUBE-SEP')).toEqual([SEP1, SEP2]);
  });
});

describe('internalTrafficPolicy Local', () => {
  it('sends the ClusterIP to local endpoints and everything else to all', () => {
    const svc = servicePort({ internalPolicyLocal: true, nodePort: 30080, endpoints: localAndRemote });
    const program = firstSync([svc]);
    expect(chainRules(program, `nat/KUBE-SVL-${HASH}`)?.length).toBe(2);
    expect(chainRules(program, `nat/KUBE-SVL-${HASH}`)?.[0]).toContain('! -s 10.0.0.0/8 -j KUBE-MARK-MASQ');
    expect(chainRules(program, `nat/KUBE-SVC-${HASH}`)?.length).toBe(2);
    expect(chainRules(program, `nat/KUBE-EXT-${HASH}`)?.[1]).toBe(`-j KUBE-SVC-${HASH}`);
  });

  it('drops when no endpoint is here', () => {
    const program = firstSync([servicePort({ internalPolicyLocal: true })]);
    expect(chainRules(program, 'filter/KUBE-SERVICES')).toEqual([
      `-m comment --comment "ns/web:http has no local endpoints" ${CLUSTER_IP} -j DROP`,
    ]);
    expect(program.noLocalEndpoints).toEqual({ internal: 1, external: 0 });
    expect(chainsOf(program, 'KUBE-SVC')).toEqual([]);
  });
});

describe('a service port that is reached from outside', () => {
  const outside = { nodePort: 30080, externalIps: ['198.51.100.7'], loadBalancerVips: ['203.0.113.7'] };

  it('under the Cluster policy masquerades and goes to all endpoints', () => {
    const program = firstSync([servicePort(outside)]);
    expect(chainRules(program, `nat/KUBE-EXT-${HASH}`)).toEqual([
      '-m comment --comment "masquerade traffic for ns/web:http external destinations" -j KUBE-MARK-MASQ',
      `-j KUBE-SVC-${HASH}`,
    ]);
    expect(chainRules(program, 'nat/KUBE-SERVICES')?.slice(1, 3)).toEqual([
      `-m comment --comment "ns/web:http external IP" -m tcp -p tcp -d 198.51.100.7 --dport 80 -j KUBE-EXT-${HASH}`,
      `-m comment --comment "ns/web:http loadbalancer IP" -m tcp -p tcp -d 203.0.113.7 --dport 80 -j KUBE-EXT-${HASH}`,
    ]);
    expect(chainRules(program, 'nat/KUBE-NODEPORTS')).toEqual([
      `-m comment --comment ns/web:http -m tcp -p tcp --dport 30080 -j KUBE-EXT-${HASH}`,
    ]);
  });

  it('under the Local policy lets pods and the node reach all endpoints', () => {
    const svc = servicePort({ ...outside, externalPolicyLocal: true, endpoints: localAndRemote });
    const short = [
      '-m comment --comment "masquerade LOCAL traffic for ns/web:http external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ',
      `-m comment --comment "route LOCAL traffic for ns/web:http external destinations" -m addrtype --src-type LOCAL -j KUBE-SVC-${HASH}`,
      `-j KUBE-SVL-${HASH}`,
    ];
    const pods = `-m comment --comment "pod traffic for ns/web:http external destinations" -s 10.0.0.0/8 -j KUBE-SVC-${HASH}`;
    expect(chainRules(firstSync([svc]), `nat/KUBE-EXT-${HASH}`)).toEqual([pods, ...short]);
    const bare = firstSync([svc], { localDetector: { kind: 'none' } });
    expect(chainRules(bare, `nat/KUBE-EXT-${HASH}`)).toEqual(short);
  });

  it('under the Local policy without a local endpoint keeps KUBE-EXT and drops in the filter table', () => {
    const program = firstSync([servicePort({ ...outside, externalPolicyLocal: true })]);
    expect(chainRules(program, `nat/KUBE-EXT-${HASH}`)?.length).toBe(3);
    expect(chainsOf(program, 'KUBE-SVL')).toEqual([]);
    const start = '-m comment --comment "ns/web:http has no local endpoints"';
    expect(chainRules(program, 'filter/KUBE-EXTERNAL-SERVICES')).toEqual([
      `${start} -m tcp -p tcp -d 198.51.100.7 --dport 80 -j DROP`,
      `${start} -m tcp -p tcp -d 203.0.113.7 --dport 80 -j DROP`,
      `${start} -m addrtype --dst-type LOCAL -m tcp -p tcp --dport 30080 -j DROP`,
    ]);
    expect(program.noLocalEndpoints).toEqual({ internal: 0, external: 1 });
    const flow = { protocol: 'tcp', destIp: '203.0.113.7', destPort: 80 } as const;
    expect(program.trace({ ...flow, sourceIp: '192.0.2.1' }).output).toBe('DROP');
    expect(program.trace({ ...flow, sourceIp: '10.9.0.1' })).toMatchObject({ output: '10.1.0.1:8080', masq: false });
    expect(program.trace({ ...flow, sourceIp: NODE_IP })).toMatchObject({ output: '10.1.0.1:8080', masq: true });
  });

  it('without endpoints rejects on every way in, and still accepts health checks', () => {
    const program = firstSync([servicePort({ ...outside, healthCheckNodePort: 32000, endpoints: [] })]);
    expect(chainRules(program, 'filter/KUBE-EXTERNAL-SERVICES')?.map((text) => text.slice(-9))).toEqual(
      Array.from({ length: 3 }, () => '-j REJECT'),
    );
    expect(chainRules(program, 'filter/KUBE-NODEPORTS')).toEqual([
      '-m comment --comment "ns/web:http health check node port" -m tcp -p tcp --dport 32000 -j ACCEPT',
    ]);
    expect(chainsOf(program, 'KUBE-EXT')).toEqual([]);
  });

  it('asks for TCP on the health-check port of a UDP port too', () => {
    const program = firstSync([servicePort({ protocol: 'udp', healthCheckNodePort: 32000 })]);
    expect(chainRules(program, 'filter/KUBE-NODEPORTS')?.[0]).toContain('-m tcp -p tcp --dport 32000');
  });

  it('guards load-balancer addresses, and only them, with source ranges', () => {
    const vips = ['203.0.113.7', '203.0.113.8'];
    const ranges = { loadBalancerVips: vips, loadBalancerSourceRanges: ['192.0.2.0/25', '192.168.0.0/24'] };
    const program = firstSync([servicePort({ ...outside, ...ranges })]);
    const from = (block: string): string =>
      `-m comment --comment "ns/web:http loadbalancer IP" -s ${block} -j KUBE-EXT-${HASH}`;
    expect(chainRules(program, `nat/KUBE-FW-${HASH}`)).toEqual([
      ...['192.0.2.0/25', '192.168.0.0/24', ...vips].map(from),
      '-m comment --comment "other traffic to ns/web:http will be dropped by KUBE-PROXY-FIREWALL"',
    ]);
    expect(chainRules(program, 'filter/KUBE-PROXY-FIREWALL')).toEqual(
      vips.map(
        (vip) =>
          `-m comment --comment "ns/web:http traffic not accepted by KUBE-FW-${HASH}" -m tcp -p tcp -d ${vip} --dport 80 -j DROP`,
      ),
    );
    const jumps = chainRules(program, 'nat/KUBE-SERVICES')?.map((text) => text.split(' -j ')[1]);
    expect(jumps?.slice(1, 4)).toEqual([`KUBE-EXT-${HASH}`, `KUBE-FW-${HASH}`, `KUBE-FW-${HASH}`]);
    const stranger = { sourceIp: '192.0.2.200', protocol: 'tcp' } as const;
    expect(program.trace({ ...stranger, destIp: '203.0.113.8', destPort: 80 }).output).toBe('DROP');
    expect(program.trace({ ...stranger, destIp: NODE_IP, destPort: 30080 }).output).toBe('10.1.0.1:8080');
  });

  it('makes no exception for its own address when no range holds the node', () => {
    const svc = servicePort({ ...outside, loadBalancerSourceRanges: ['192.0.2.0/25'] });
    expect(chainRules(firstSync([svc]), `nat/KUBE-FW-${HASH}`)?.length).toBe(2);
    const other = firstSync([{ ...svc, loadBalancerSourceRanges: ['192.168.0.0/16'] }], { nodeIp: '' });
    expect(chainRules(other, `nat/KUBE-FW-${HASH}`)?.length).toBe(2);
  });
});
