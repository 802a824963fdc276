/** What reaches a Service from outside: external IPs, load balancers with source ranges, node ports, policies; and what limits it. */
import { describe, expect, it } from 'vitest';
import { parseCidr } from '../../model/address.ts';
import type { Cidr } from '../../model/address.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import type { NodeSpec, ServiceExtras, ServicePort } from '../../model/cluster.ts';
import { CONNTRACK_LOOKUPS, HASH_PROBES, IPSET_TESTS, PORT_TRIES, RULES_EVALUATED } from '../../model/counters.ts';
import { ORIGIN_EXTERNAL, ORIGIN_HOST, ORIGIN_POD, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_SCTP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_ENDPOINT,
  OUTCOME_REJECT,
  REASON_CONNTRACK_FULL,
  REASON_NONE,
  REASON_SOURCE_RANGE,
  REASON_UNUSED_VIP_PORT,
} from '../../model/verdict.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import { endpoint, ip, makeEngine, NODE_ADDRESS, sendOne, servicePort } from './test-cluster.ts';
import type { TestPacket, TestVerdict } from './test-cluster.ts';

const VIP = ip('198.51.100.1');
const EXTERNAL_IP = ip('203.0.113.64');
const CLUSTER_IP = ip('172.20.0.1');
const CLIENT = ip('203.0.113.9');
const HERE = ip('10.0.0.1');
const THERE = ip('10.0.0.2');
const SECOND_ADDRESS = ip('192.168.0.2');
const NODE: NodeSpec = { name: 'node-a', addresses: [NODE_ADDRESS, SECOND_ADDRESS], clusterCidr: cidr('10.0.0.0/8') };

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(`Not a block: ${text}`);
  return parsed;
}

/** A service port with an endpoint here and one on another node. */
function outside(extras: Partial<ServiceExtras>, changes: Partial<ServicePort> = {}): ServicePort {
  const endpoints = [endpoint(HERE, 8080, { nodeName: 'node-a' }), endpoint(THERE)];
  return servicePort(0, { endpoints, ...changes, extras: { ...NO_SERVICE_EXTRAS, ...extras } });
}

function lab(svc: ServicePort, options: Partial<EngineOptions> = {}, node = NODE): Engine {
  const engine = makeEngine({ masqueradeRandomFully: false, ...options }, 1, node);
  engine.sync({ servicePorts: [svc] }, 0);
  return engine;
}

let nextPort = 30000;

/** A new connection from outside. */
function connect(engine: Engine, dst: number, dport = 80, changes: Partial<TestPacket> = {}): TestVerdict {
  const packet = { src: CLIENT, sport: nextPort++, dst, dport, flags: TCP_SYN, origin: ORIGIN_EXTERNAL };
  return sendOne(engine, { ...packet, ...changes });
}

describe('external IPs', () => {
  it('are masqueraded under the Cluster policy, and not under Local', () => {
    const cluster = lab(outside({ externalIps: [EXTERNAL_IP] }));
    expect(connect(cluster, EXTERNAL_IP)).toMatchObject({
      outcome: OUTCOME_ENDPOINT,
      masqueraded: 1,
      src: NODE_ADDRESS,
    });
    const local = lab(outside({ externalIps: [EXTERNAL_IP], externalPolicyLocal: true }));
    for (let k = 0; k < 3; k++) {
      expect(connect(local, EXTERNAL_IP)).toMatchObject({ masqueraded: 0, src: CLIENT, dst: HERE });
    }
    expect(connect(local, CLUSTER_IP, 80, { src: ip('10.9.0.1'), origin: ORIGIN_POD }).dst).toBe(HERE);
    expect(connect(local, CLUSTER_IP, 80, { src: ip('10.9.0.1'), origin: ORIGIN_POD }).dst).toBe(THERE);
  });

  it('that are the node’s own are not bound; others close their quiet ports', () => {
    const engine = lab(outside({ externalIps: [EXTERNAL_IP, SECOND_ADDRESS] }));
    const bound = engine.dump('kernel').split('\n').filter((line) => line.startsWith('add KUBE-IPVS-IPS ')); // prettier-ignore
    expect(bound).toEqual(['add KUBE-IPVS-IPS 172.20.0.1', 'add KUBE-IPVS-IPS 203.0.113.64']);
    expect(connect(engine, SECOND_ADDRESS)).toMatchObject({ outcome: OUTCOME_ENDPOINT, servicePortId: 0 });
    expect(connect(engine, SECOND_ADDRESS, 81).outcome).toBe(OUTCOME_ACCEPT);
    expect(connect(engine, EXTERNAL_IP, 81)).toMatchObject({ outcome: OUTCOME_REJECT, reason: REASON_UNUSED_VIP_PORT });
  });
});

describe('load balancers', () => {
  const ranges = [cidr('203.0.113.0/29'), cidr('203.0.113.32/32')];

  it('let in who is in their source ranges, and drop who is not, of known flows as well', () => {
    const open = outside({ loadBalancerVips: [VIP] });
    const engine = lab(open);
    const known = { src: CLIENT, sport: 999 };
    expect(connect(engine, VIP, 80, known).outcome).toBe(OUTCOME_ENDPOINT);
    engine.apply(
      { upserted: [outside({ loadBalancerVips: [VIP], loadBalancerSourceRanges: ranges })], removedIds: [] },
      0,
    );
    for (const source of ['203.0.113.7', '203.0.113.32']) {
      expect(connect(engine, VIP, 80, { src: ip(source) })).toMatchObject({
        outcome: OUTCOME_ENDPOINT,
        masqueraded: 1,
      });
    }
    const refused = { outcome: OUTCOME_DROP, reason: REASON_SOURCE_RANGE, servicePortId: 0, dst: VIP };
    expect(connect(engine, VIP)).toMatchObject({ ...refused, src: CLIENT, first: 1 });
    expect(connect(engine, VIP, 80, { src: ip('203.0.113.33') })).toMatchObject(refused);
    expect(connect(engine, VIP, 80, known)).toMatchObject({ ...refused, first: 0, masqueraded: 1 });
    // The cluster IP is not a load balancer's address.
    expect(connect(engine, CLUSTER_IP).outcome).toBe(OUTCOME_ENDPOINT);
  });

  it('with the range of length 0 alone let nobody in, as the kernel refuses that entry', () => {
    const engine = lab(outside({ loadBalancerVips: [VIP], loadBalancerSourceRanges: [cidr('0.0.0.0/0')] }));
    expect(connect(engine, VIP)).toMatchObject({ outcome: OUTCOME_DROP, reason: REASON_SOURCE_RANGE });
    // The node is in the range, so that what has the address itself as its source may pass.
    expect(connect(engine, VIP, 80, { src: VIP }).outcome).toBe(OUTCOME_ENDPOINT);
  });

  it('write a range of one address anew at every sync', () => {
    const svc = outside({ loadBalancerVips: [VIP], loadBalancerSourceRanges: ranges });
    const engine = lab(svc);
    expect(engine.sync({ servicePorts: [svc] }, 1).ipsetChanges).toBe(2);
  });

  it('that leave the node out drop its own packets in filter OUTPUT, where the address is their source', () => {
    const engine = lab(outside({ loadBalancerVips: [VIP], loadBalancerSourceRanges: ranges }));
    const own = { src: VIP, origin: ORIGIN_HOST };
    const refused = connect(engine, VIP, 80, own);
    expect(refused).toMatchObject({
      outcome: OUTCOME_DROP,
      reason: REASON_SOURCE_RANGE,
      servicePortId: 0,
      src: VIP,
      dst: HERE,
    });
    // Reply, request, service and the look-up of `-m ipvs`.
    expect(refused.work[HASH_PROBES]).toBe(4);
    expect(connect(engine, VIP, 80, { src: NODE_ADDRESS, origin: ORIGIN_HOST }).outcome).toBe(OUTCOME_ENDPOINT);
    expect(connect(engine, CLUSTER_IP, 80, own).outcome).toBe(OUTCOME_ENDPOINT);
    const open = lab(outside({ loadBalancerVips: [VIP], loadBalancerSourceRanges: [cidr('192.168.0.0/24')] }));
    expect(connect(open, VIP, 80, own).outcome).toBe(OUTCOME_ENDPOINT);
  });
});

describe('policies and ports', () => {
  it('Local prefers endpoints of this node and does with the others where there is none', () => {
    const svc = outside({ externalPolicyLocal: true }, { nodePort: 30080 });
    const engine = lab(svc);
    expect([0, 1, 2].map(() => connect(engine, NODE_ADDRESS, 30080).dst)).toEqual([HERE, HERE, HERE]);
    expect(connect(engine, NODE_ADDRESS, 30080)).toMatchObject({ masqueraded: 0, src: CLIENT });
    const without = lab({ ...svc, endpoints: [endpoint(THERE)] });
    expect(connect(without, NODE_ADDRESS, 30080)).toMatchObject({ outcome: OUTCOME_ENDPOINT, dst: THERE });
    const internal = lab({ ...outside({ internalPolicyLocal: true }), endpoints: [endpoint(THERE)] });
    expect(connect(internal, CLUSTER_IP).outcome).toBe(OUTCOME_REJECT);
  });

  it('nodePortAddresses choose the node’s addresses; without one the health check is left out, too', () => {
    const svc = outside({ externalPolicyLocal: true, healthCheckNodePort: 31000 }, { nodePort: 30080 });
    const one = lab(svc, { nodePortAddresses: [cidr('192.168.0.2/32')] });
    expect(connect(one, SECOND_ADDRESS, 30080).outcome).toBe(OUTCOME_ENDPOINT);
    expect(connect(one, NODE_ADDRESS, 30080).outcome).toBe(OUTCOME_ACCEPT);
    expect(one.dump('kernel')).toContain('add KUBE-HEALTH-CHECK-NODE-PORT 31000');
    const none = lab(svc, { nodePortAddresses: [cidr('172.16.0.0/12')] });
    expect(none.dump('kernel')).not.toContain('add KUBE-HEALTH-CHECK-NODE-PORT');
    expect(connect(none, SECOND_ADDRESS, 30080).outcome).toBe(OUTCOME_ACCEPT);
  });

  it('SCTP has its own sets of node ports, a connection of 900 s, and is in no bitmap', () => {
    const sctp = { protocol: PROTOCOL_SCTP, flags: 0 };
    const engine = lab(outside({}, { protocol: PROTOCOL_SCTP, nodePort: 30080 }));
    const first = connect(engine, NODE_ADDRESS, 30080, { ...sctp, sport: 5000 });
    expect(first).toMatchObject({ outcome: OUTCOME_ENDPOINT, masqueraded: 1, dst: HERE });
    expect(engine.dump('kernel')).toContain('add KUBE-NODE-PORT-SCTP-HASH 192.168.0.1,sctp:30080');
    expect(connect(engine, NODE_ADDRESS, 30080, { ...sctp, sport: 5000, time: 899 * NS_PER_S }).dst).toBe(HERE);
    expect(connect(engine, NODE_ADDRESS, 30080, { ...sctp, sport: 5000, time: 1799 * NS_PER_S }).dst).toBe(THERE);
    const report = engine.apply({ upserted: [], removedIds: [0] }, 1800 * NS_PER_S);
    expect(report.netlinkRequests).toBe(3);
    const health = lab(outside({ loadBalancerVips: [VIP], externalPolicyLocal: true, healthCheckNodePort: 31000 }));
    const tested = (protocol: number): number | undefined =>
      connect(health, VIP, 31000, { protocol, flags: 0 }).work[IPSET_TESTS];
    expect(connect(health, VIP, 31000, { protocol: PROTOCOL_UDP, flags: 0 })).toMatchObject({
      outcome: OUTCOME_ACCEPT,
      reason: REASON_NONE,
    });
    expect(connect(health, VIP, 31000, sctp)).toMatchObject({
      outcome: OUTCOME_REJECT,
      reason: REASON_UNUSED_VIP_PORT,
    });
    expect(tested(PROTOCOL_SCTP)).toBeGreaterThan(0);
  });
});

describe('masquerade', () => {
  it('asks the interface where the local detector is one, and the node’s own packets have none', () => {
    const node: NodeSpec = { ...NODE, podInterface: { kind: 'prefix', name: 'veth' } };
    const engine = lab(outside({}), {}, node);
    const from = (origin: number): number =>
      connect(engine, CLUSTER_IP, 80, { src: ip('10.9.0.1'), origin }).masqueraded;
    expect([ORIGIN_POD, ORIGIN_EXTERNAL, ORIGIN_HOST].map(from)).toEqual([0, 1, 1]);
  });

  it('searches a port at once with --random-fully, but for hairpin packets', () => {
    const engine = lab(outside({}, { endpoints: [endpoint(HERE, 8080, { nodeName: 'node-a' })] }), {
      masqueradeRandomFully: true,
    });
    const random = connect(engine, CLUSTER_IP, 80, { sport: 40000 });
    expect(random.masqueraded).toBe(1);
    expect(random.sport).not.toBe(40000);
    expect(random.work[PORT_TRIES]).toBe(1);
    // The packet's own look-up and the try; nothing asks for the port that it has.
    expect(random.work[CONNTRACK_LOOKUPS]).toBe(2);
    const hairpin = connect(engine, CLUSTER_IP, 80, { src: HERE, sport: 40000, origin: ORIGIN_POD });
    expect(hairpin).toMatchObject({ masqueraded: 1, sport: 40000 });
    expect(hairpin.work[PORT_TRIES]).toBe(0);
  });
});

describe('a full connection-tracking table', () => {
  it('drops what would make an entry more, before any hook', () => {
    const engine = lab(outside({}), { conntrackMax: 2 });
    connect(engine, CLUSTER_IP, 80, { sport: 1 });
    connect(engine, CLUSTER_IP, 80, { sport: 2 });
    const dropped = connect(engine, CLUSTER_IP, 80, { sport: 3 });
    expect(dropped).toMatchObject({
      outcome: OUTCOME_DROP,
      reason: REASON_CONNTRACK_FULL,
      first: 0,
      servicePortId: -1,
      dst: CLUSTER_IP,
    });
    expect(dropped.work.map((count, at) => (at === CONNTRACK_LOOKUPS ? 0 : count)).every((count) => count === 0)).toBe(
      true,
    );
    expect(dropped.work[CONNTRACK_LOOKUPS]).toBe(1);
    expect(dropped.work[RULES_EVALUATED]).toBe(0);
    expect(connect(engine, CLUSTER_IP, 80, { sport: 1 }).outcome).toBe(OUTCOME_ENDPOINT);
    // Unanswered SYNs are forgotten after 120 s.
    expect(connect(engine, CLUSTER_IP, 80, { sport: 3, time: 120 * NS_PER_S }).outcome).toBe(OUTCOME_ENDPOINT);
  });
});
