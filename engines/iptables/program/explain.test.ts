import { describe, expect, it } from 'vitest';
import { Rng } from '../../../sim/rng.ts';
import type { Explanation } from './explain.ts';
import type { Flow } from './trace.ts';
import { firstSync, local, NODE_IP, randomServicePort, remote, servicePort } from './test-services.ts';

const POD = '10.9.0.1';
const STRANGER = '192.0.2.1';

function flow(sourceIp: string, destIp: string, destPort = 80): Flow {
  return { sourceIp, protocol: 'tcp', destIp, destPort };
}

function outcome({ verdict, endpoint, masqueraded }: Explanation) {
  return { verdict, endpoint, masqueraded };
}

describe('explain', () => {
  const svc = servicePort({
    nodePort: 30080,
    loadBalancerVips: ['203.0.113.7'],
    loadBalancerSourceRanges: ['192.0.2.0/25'],
    endpoints: [local('10.1.0.1'), remote('10.1.0.2')],
  });

  it('follows a forwarded packet rule by rule', () => {
    const walk = firstSync([svc]).explain(flow(POD, '172.30.0.1'));
    expect(outcome(walk)).toEqual({ verdict: 'ACCEPT', endpoint: '10.1.0.1:8080', masqueraded: false });
    expect(walk.hooks).toEqual(['nat/PREROUTING', 'filter/FORWARD', 'nat/POSTROUTING']);
    const path = walk.steps.map(
      ({ chain, number, matched }) => `${chain.slice(0, 13)} ${number}${matched ? ' *' : ''}`,
    );
    expect(path.slice(0, 5)).toEqual([
      'PREROUTING 1 *',
      'KUBE-SERVICES 1 *',
      expect.stringMatching(/^KUBE-SVC-.* 1$/) as string,
      expect.stringMatching(/^KUBE-SVC-.* 2 \*$/) as string,
      expect.stringMatching(/^KUBE-SEP-.* 1$/) as string,
    ]);
    expect(walk.evaluated.nat + walk.evaluated.filter).toBe(walk.steps.length);
    // PREROUTING, KUBE-SERVICES, SVC 2, SEP 2; POSTROUTING and the mark it asks for.
    expect(walk.evaluated.nat).toBe(8);
    // 4 in FORWARD, KUBE-PROXY-FIREWALL 1, KUBE-FORWARD 3; the other two chains are empty.
    expect(walk.evaluated.filter).toBe(8);
  });

  it('accepts a masqueraded packet by its mark and takes the mark off', () => {
    const walk = firstSync([svc]).explain(flow(STRANGER, NODE_IP, 30080));
    expect(outcome(walk)).toEqual({ verdict: 'ACCEPT', endpoint: '10.1.0.1:8080', masqueraded: true });
    expect(walk.steps.at(-1)?.text).toContain('-j MASQUERADE --random-fully');
    expect(walk.steps.filter((step) => step.chain === 'KUBE-FORWARD').map((step) => step.matched)).toEqual([
      false,
      true,
    ]);
  });

  it('drops what the source ranges leave out, before forwarding rules', () => {
    const walk = firstSync([svc]).explain(flow('192.0.2.200', '203.0.113.7'));
    expect(outcome(walk)).toEqual({ verdict: 'DROP', endpoint: undefined, masqueraded: false });
    expect(walk.steps.at(-1)?.chain).toBe('KUBE-PROXY-FIREWALL');
  });

  it('rejects for the node itself in OUTPUT and for a port of the node in INPUT', () => {
    const program = firstSync([{ ...svc, endpoints: [] }]);
    expect(program.explain(flow(NODE_IP, '172.30.0.1'))).toMatchObject({
      verdict: 'REJECT',
      hooks: ['nat/OUTPUT', 'filter/OUTPUT'],
    });
    expect(program.explain(flow(STRANGER, NODE_IP, 30080))).toMatchObject({
      verdict: 'REJECT',
      hooks: ['nat/PREROUTING', 'filter/INPUT'],
    });
    // OUTPUT has no jump to KUBE-EXTERNAL-SERVICES: the node's own packet is refused when the loopback device delivers it.
    expect(program.explain(flow(NODE_IP, NODE_IP, 30080)).hooks).toEqual([
      'nat/OUTPUT',
      'filter/OUTPUT',
      'nat/POSTROUTING',
      'filter/INPUT',
    ]);
  });

  it('passes through what is not for a Service, having asked every rule', () => {
    const walk = firstSync([svc]).explain(flow(POD, '192.0.2.9', 443));
    expect(outcome(walk)).toEqual({ verdict: 'ACCEPT', endpoint: undefined, masqueraded: false });
    expect(walk.steps.filter((step) => step.chain === 'KUBE-SERVICES' && step.table === 'nat').length).toBe(3);
  });

  it('masquerades a pod that reaches itself', () => {
    const program = firstSync([servicePort()]);
    expect(program.explain(flow('10.1.0.1', '172.30.0.1')).masqueraded).toBe(true);
    expect(program.explain(flow('10.1.0.2', '172.30.0.1')).masqueraded).toBe(false);
  });

  it('keeps the mark of a packet that is marked twice', () => {
    const program = firstSync([servicePort({ externalIps: ['198.51.100.7'] })]);
    const walk = program.explain(flow('10.1.0.1', '198.51.100.7'));
    expect(walk.steps.filter((step) => step.chain === 'KUBE-MARK-MASQ').length).toBe(2);
    expect(walk.masqueraded).toBe(true);
  });

  it('goes by the interface where the local detector does', () => {
    const program = firstSync([servicePort()], { localDetector: { kind: 'prefix', name: 'veth' } });
    const masquerades = (inputInterface: string): boolean =>
      program.explain({ ...flow(POD, '172.30.0.1'), inputInterface }).masqueraded;
    expect([masquerades('veth12'), masquerades('eth0')]).toEqual([false, true]);
    expect(program.explain(flow(NODE_IP, '172.30.0.1')).masqueraded).toBe(true);
  });

  it('returns to the endpoint that affinity remembers', () => {
    const program = firstSync([{ ...svc, affinitySeconds: 60 }]);
    const list = [...program.rules.keys()].find(
      (chain) => program.chains.get(chain)?.some((text) => text.includes('--to-destination 10.1.0.2:8080')) ?? false,
    );
    const remembers = (name: string): boolean => `nat/${name}` === list;
    expect(program.explain(flow(POD, '172.30.0.1'), { remembers }).endpoint).toBe('10.1.0.2:8080');
  });

  it('shields 127.0.0.0/8 from neighbours, but not what was translated to it', () => {
    const program = firstSync([servicePort({ endpoints: [local('127.0.0.1')] })]);
    expect(program.explain(flow(STRANGER, '127.0.0.1', 22)).verdict).toBe('DROP');
    expect(program.explain(flow('127.0.0.1', '127.0.0.1', 22)).verdict).toBe('ACCEPT');
    expect(program.explain(flow(STRANGER, '172.30.0.1'))).toMatchObject({
      verdict: 'ACCEPT',
      endpoint: '127.0.0.1:8080',
    });
  });

  it('picks endpoints uniformly', () => {
    const n = 7;
    const draws = 7000;
    const stream = new Rng(5).stream('program/explain.test');
    const program = firstSync([
      servicePort({ endpoints: Array.from({ length: n }, (_, i) => remote(`10.1.0.${i + 1}`)) }),
    ]);
    const picked = new Map<string | undefined, number>();
    for (let i = 0; i < draws; i++) {
      const { endpoint } = program.explain(flow(POD, '172.30.0.1'), { draw: () => stream.nextUint32() >>> 1 });
      picked.set(endpoint, (picked.get(endpoint) ?? 0) + 1);
    }
    expect(picked.size).toBe(n);
    let chiSquared = 0;
    for (const count of picked.values()) chiSquared += (count - draws / n) ** 2 / (draws / n);
    // 6 degrees of freedom: 22.46 is exceeded with probability 0.001.
    expect(chiSquared).toBeLessThan(22.46);
  });

  it('ends at an endpoint that trace names, or with its verdict', () => {
    const random = new Rng(6).stream('program/explain.test');
    for (let run = 0; run < 60; run++) {
      const services = [1, 2, 3, 4].map((index) => randomServicePort(index, random));
      const program = firstSync(services);
      for (const { protocol, clusterIp, externalIps, loadBalancerVips, nodePort } of services) {
        for (const destIp of [clusterIp, ...externalIps, ...loadBalancerVips, NODE_IP]) {
          const destPort = destIp === NODE_IP ? nodePort || 31999 : 80;
          for (const sourceIp of [POD, STRANGER, '192.0.2.200', NODE_IP]) {
            const given: Flow = { sourceIp, protocol, destIp, destPort };
            const possible = program.trace(given);
            const walk = program.explain(given, { draw: () => random.nextUint32() >>> 1 });
            if (walk.endpoint === undefined) expect(possible.endpoints).toEqual([]);
            else expect(possible.endpoints).toContain(walk.endpoint);
            if (walk.masqueraded) expect(possible.masq).toBe(true);
            if (walk.verdict !== 'ACCEPT') expect(possible.outputs).toContain(walk.verdict);
          }
        }
      }
    }
  });
});
