/** Ways into a Service from outside and under the Local policies, iptables mode, worked out by hand from engines/README.md. */
import type { ServicePort } from '../../model/cluster.ts';
import type { CaseStep, ConformanceCase, Expectation } from './cases.ts';
import { EP1, EP2, HOST, OUTSIDE, POD, VIP } from './cases.ts';
import { CASE_NODE, service } from './harness.ts';
import type { OriginName, ServiceWords } from './harness.ts';

const EXTERNAL_IP = '198.18.0.1';
const LB_IP = '203.0.113.200';
const NODE_PORT = '192.168.0.1:30080';
const MASQUERADED = '192.168.0.1:40000';

function shop(words: Partial<ServiceWords>): ServicePort {
  return service({ name: 'one', at: VIP, endpoints: [EP1], ...words });
}

/** A first packet of a new connection. */
function syn(src: string, dst: string, origin: OriginName, expect: Expectation): CaseStep {
  return { at: 0, src, dst, flags: 'SYN', origin, expect };
}

const NO_LOCAL: Expectation = {
  outcome: 'drop',
  reason: 'no_local_endpoints',
  first: true,
  masqueraded: false,
  service: 0,
};
const OUT_OF_RANGE: Expectation = {
  outcome: 'drop',
  reason: 'source_range',
  first: true,
  masqueraded: false,
  service: 0,
};
const NO_ENDPOINTS: Expectation = { outcome: 'reject', reason: 'no_endpoints', first: true, service: 0 };
const BEHIND_NODE: Expectation = { outcome: 'endpoint', dst: EP1, masqueraded: true, src: MASQUERADED, service: 0 };

/** Three endpoints, one of them here. */
const ONE_LOCAL = [`${EP1} local`, EP2, '10.244.1.3:8080'];

/** Enough clients that an even draw would not send all of them to one place; their own by where they go. */
function clients(dst: string, origin: OriginName, expect: Expectation): CaseStep[] {
  const net = origin === 'pod' ? '10.244.9' : '203.0.113';
  const port = 40_000 + [...dst].reduce((sum, letter) => sum + letter.charCodeAt(0), 0);
  return Array.from({ length: 20 }, (_, i) => {
    const src = `${net}.${i + 1}:${port}`;
    return syn(src, dst, origin, { ...expect, src });
  });
}

const VIP_FROM_OFFICE = shop({ vips: [LB_IP], nodePort: 30080, sourceRanges: ['203.0.113.0/30', '192.0.2.0/24'] });

export const IPTABLES_ACCESS_CASES: readonly ConformanceCase[] = [
  {
    name: 'external IP: masqueraded whoever asks, answers come back from it',
    mode: 'iptables',
    services: [shop({ externalIps: [EXTERNAL_IP] })],
    steps: [
      syn(OUTSIDE, `${EXTERNAL_IP}:80`, 'external', BEHIND_NODE),
      {
        at: 0,
        answers: 0,
        flags: 'SYN+ACK',
        origin: 'pod',
        expect: { outcome: 'reply', src: `${EXTERNAL_IP}:80`, dst: OUTSIDE },
      },
      syn('10.244.9.2:40001', `${EXTERNAL_IP}:80`, 'pod', { outcome: 'endpoint', src: '192.168.0.1:40001' }),
      syn(OUTSIDE, `${EXTERNAL_IP}:81`, 'external', { outcome: 'accept', service: -1 }),
    ],
  },
  {
    name: 'external IP, load balancer and node port without endpoints: rejected',
    mode: 'iptables',
    services: [shop({ externalIps: [EXTERNAL_IP], vips: [LB_IP], nodePort: 30080, endpoints: [`${EP1} unready`] })],
    steps: [
      syn(OUTSIDE, `${EXTERNAL_IP}:80`, 'external', { ...NO_ENDPOINTS, dst: `${EXTERNAL_IP}:80` }),
      syn(OUTSIDE, `${LB_IP}:80`, 'external', NO_ENDPOINTS),
      syn(OUTSIDE, NODE_PORT, 'external', NO_ENDPOINTS),
    ],
  },
  {
    name: 'externalTrafficPolicy Local: clients from outside keep their address and stay on the node',
    mode: 'iptables',
    services: [shop({ vips: [LB_IP], nodePort: 30080, externalLocal: true, endpoints: ONE_LOCAL })],
    steps: [
      ...clients(`${LB_IP}:80`, 'external', { outcome: 'endpoint', dst: EP1, masqueraded: false }),
      ...clients(NODE_PORT, 'external', { outcome: 'endpoint', dst: EP1, masqueraded: false }),
    ],
  },
  {
    name: 'externalTrafficPolicy Local: the node itself and its pods reach every endpoint',
    mode: 'iptables',
    services: [shop({ vips: [LB_IP], externalLocal: true, endpoints: [EP2] })],
    steps: [
      syn(POD, `${LB_IP}:80`, 'pod', { outcome: 'endpoint', dst: EP2, src: POD, masqueraded: false }),
      syn(HOST, `${LB_IP}:80`, 'host', { outcome: 'endpoint', dst: EP2, src: MASQUERADED, masqueraded: true }),
    ],
  },
  {
    name: 'externalTrafficPolicy Local without a local endpoint: dropped untranslated, ClusterIP goes on',
    mode: 'iptables',
    services: [shop({ externalIps: [EXTERNAL_IP], vips: [LB_IP], nodePort: 30080, externalLocal: true })],
    steps: [
      syn(OUTSIDE, `${EXTERNAL_IP}:80`, 'external', { ...NO_LOCAL, src: OUTSIDE, dst: `${EXTERNAL_IP}:80` }),
      syn(OUTSIDE, `${LB_IP}:80`, 'external', { ...NO_LOCAL, dst: `${LB_IP}:80` }),
      syn(OUTSIDE, NODE_PORT, 'external', { ...NO_LOCAL, dst: NODE_PORT }),
      syn(POD, VIP, 'pod', { outcome: 'endpoint', dst: EP1 }),
    ],
  },
  {
    name: 'externalTrafficPolicy Local: a local endpoint that shuts down serves when no local one is ready',
    mode: 'iptables',
    services: [shop({ vips: [LB_IP], externalLocal: true, endpoints: [`${EP1} local terminating`, EP2] })],
    steps: [
      ...clients(`${LB_IP}:80`, 'external', { outcome: 'endpoint', dst: EP1 }),
      ...clients(VIP, 'pod', { outcome: 'endpoint', dst: EP2 }),
    ],
  },
  {
    name: 'internalTrafficPolicy Local: ClusterIP stays on the node, a node port does not',
    mode: 'iptables',
    services: [shop({ internalLocal: true, nodePort: 30080, endpoints: [`${EP1} local`, EP2] })],
    steps: [
      ...clients(VIP, 'pod', { outcome: 'endpoint', dst: EP1, masqueraded: false }),
      syn(OUTSIDE, NODE_PORT, 'external', { outcome: 'endpoint', dst: [EP1, EP2], masqueraded: true }),
    ],
  },
  {
    name: 'internalTrafficPolicy Local without a local endpoint: dropped; without any: rejected',
    mode: 'iptables',
    services: [
      shop({ internalLocal: true }),
      shop({ id: 1, name: 'two', at: '10.96.0.2:80', internalLocal: true, endpoints: [] }),
    ],
    steps: [
      syn(POD, VIP, 'pod', { ...NO_LOCAL, src: POD, dst: VIP }),
      syn(HOST, VIP, 'host', NO_LOCAL),
      syn(POD, '10.96.0.2:80', 'pod', { ...NO_ENDPOINTS, service: 1 }),
    ],
  },
  {
    name: 'source ranges: let in, dropped, and no matter for the node port',
    mode: 'iptables',
    services: [VIP_FROM_OFFICE],
    steps: [
      syn('203.0.113.1:40000', `${LB_IP}:80`, 'external', BEHIND_NODE),
      syn('192.0.2.9:40001', `${LB_IP}:80`, 'external', { outcome: 'endpoint', src: '192.168.0.1:40001' }),
      syn(OUTSIDE, `${LB_IP}:80`, 'external', { ...OUT_OF_RANGE, src: OUTSIDE, dst: `${LB_IP}:80` }),
      syn(POD, `${LB_IP}:80`, 'pod', OUT_OF_RANGE),
      syn(HOST, `${LB_IP}:80`, 'host', OUT_OF_RANGE),
      syn('203.0.113.8:40002', NODE_PORT, 'external', { outcome: 'endpoint', dst: EP1 }),
    ],
  },
  {
    name: 'source ranges: the VIP itself is let in when the node is',
    mode: 'iptables',
    services: [
      shop({ vips: [LB_IP], sourceRanges: ['192.168.0.1/32'] }),
      shop({ id: 1, name: 'two', at: '10.96.0.2:80', vips: ['203.0.113.201'], sourceRanges: ['192.168.0.2/32'] }),
    ],
    steps: [
      syn(`${LB_IP}:40000`, `${LB_IP}:80`, 'external', BEHIND_NODE),
      syn('203.0.113.201:40000', '203.0.113.201:80', 'external', { ...OUT_OF_RANGE, service: 1 }),
    ],
  },
  {
    // nat PREROUTING 440, KUBE-SERVICES 488 488, KUBE-FW 440, KUBE-EXT 440, MARK-MASQ 152, KUBE-EXT 152, KUBE-SVC 488 440,
    // KUBE-SEP 440 504; filter FORWARD 640, KUBE-PROXY-FIREWALL 488, FORWARD 440, KUBE-FORWARD 352 488; nat POSTROUTING 440 200 152 456.
    name: 'work of a load balancer flow with source ranges, iptables',
    mode: 'iptables',
    services: [shop({ vips: [LB_IP], sourceRanges: ['203.0.113.0/24'] })],
    steps: [
      syn(OUTSIDE, `${LB_IP}:80`, 'external', {
        exactWork: true,
        work: {
          rules_evaluated: 20,
          rules_matched: 14,
          service_rules_scanned: 3,
          jumps: 9,
          rule_bytes: 4472 + 2408 + 1248,
          conntrack_lookups: 2,
          conntrack_inserts: 1,
          nat_setups: 2,
        },
      }),
      {
        // nat: jumps 3, KUBE-SERVICES 3, POSTROUTING 3, MARK-MASQ 1, EXT 2, FW 2, SVC 2, SEP 2; filter: jumps 11, FIREWALL 1, FORWARD 3,
        // PROXY-FIREWALL 1. Restored: 4 lines of tables, 6 + 4 + 4 chains, 5 + 15 rules; saved: 8 chains and 18 rules of nat.
        at: 1,
        sync: [shop({ vips: [LB_IP], sourceRanges: ['203.0.113.0/24'] })],
        report: { kind: 'full', rules: 34, tableRules: 34, restoreLines: 38, savedLines: 26 },
      },
    ],
  },
  {
    // Without VIP EXT loses its only user: KUBE-EXT and KUBE-FW are found stale. nat: jumps 3, KUBE-SERVICES 2, 3, 1, SVC 2, SEP 2; filter 15.
    // Restored: 4 lines of tables, 6 + 4 + 2 + 2 chains, 4 + 10 rules, 2 deletions.
    name: 'a load balancer that goes leaves stale chains, which the same sync deletes',
    mode: 'iptables',
    services: [shop({ vips: [LB_IP], sourceRanges: ['203.0.113.0/24'] })],
    steps: [
      { at: 1, apply: [shop({})], report: { kind: 'partial', tableRules: 28, restoreLines: 34, savedLines: 26 } },
      syn(OUTSIDE, `${LB_IP}:80`, 'external', { outcome: 'accept', service: -1 }),
    ],
  },
  {
    // nat PREROUTING 440, KUBE-SERVICES 488 488 480; filter INPUT 152, KUBE-FIREWALL 640, INPUT 640 440, KUBE-NODEPORTS 488.
    name: 'health-check port: accepted, and the hook ends there',
    mode: 'iptables',
    services: [shop({ vips: [LB_IP], externalLocal: true, healthPort: 31000, endpoints: [`${EP1} local`] })],
    steps: [
      syn(OUTSIDE, '192.168.0.1:31000', 'external', {
        outcome: 'accept',
        reason: 'none',
        service: -1,
        exactWork: true,
        work: {
          rules_evaluated: 9,
          rules_matched: 6,
          service_rules_scanned: 4,
          jumps: 5,
          rule_bytes: 1896 + 2360,
          conntrack_lookups: 1,
          conntrack_inserts: 1,
        },
      }),
    ],
  },
  {
    name: 'topology hints: the zone, then the node, and nothing when one endpoint has none',
    mode: 'iptables',
    node: { ...CASE_NODE, zone: 'a' },
    services: [
      shop({ endpoints: [`${EP1} zone=a`, `${EP2} zone=b`] }),
      shop({
        id: 1,
        name: 'two',
        at: '10.96.0.2:80',
        endpoints: [`${EP1} zone=b node=node-b`, `${EP2} zone=a node=node-a`],
      }),
      shop({ id: 2, name: 'three', at: '10.96.0.3:80', endpoints: [`${EP1} zone=a terminating`, `${EP2} zone=b`] }),
      shop({ id: 3, name: 'four', at: '10.96.0.4:80', endpoints: [`${EP1} zone=b terminating`, `${EP2} unready`] }),
    ],
    steps: [
      ...clients(VIP, 'pod', { dst: EP1 }),
      ...clients('10.96.0.2:80', 'pod', { dst: EP2 }),
      ...clients('10.96.0.3:80', 'pod', { dst: EP2 }),
      ...clients('10.96.0.4:80', 'pod', { dst: EP1 }),
    ],
  },
];
