/** nftables mode: its own verdicts, and counters and sync reports worked out by hand from engines/README.md, section 9. */
import { parseCidr } from '../../model/address.ts';
import type { Cidr } from '../../model/address.ts';
import type { ServiceExtras, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { CURRENT_KUBE_PROXY } from '../../model/kube-proxy.ts';
import type { CaseStep, ConformanceCase, Expectation } from './cases.ts';
import { EMPTY, EP1, EP2, HOST, ONE, ONE_NODE_PORT, OUTSIDE, POD, VIP } from './cases.ts';
import { ipv4, service } from './harness.ts';
import type { OriginName } from './harness.ts';

const LB = '198.51.100.1';
const V131 = { kubeProxy: { ...CURRENT_KUBE_PROXY, nftablesBaseChains: 'v1.31' as const } };
const SOURCES = { pod: POD, host: HOST, external: OUTSIDE } as const;

function block(text: string): Cidr {
  return parseCidr(text) as Cidr;
}

function withExtras(svc: ServicePort, extras: Partial<ServiceExtras>): ServicePort {
  return { ...svc, extras: { ...NO_SERVICE_EXTRAS, ...extras } };
}

function syn(origin: OriginName, dst: string, expect: Expectation, src: string = SOURCES[origin]): CaseStep {
  return { at: 0, src, dst, flags: 'SYN', origin, expect };
}

/** A load balancer that only 203.0.113.0/24, or the ranges given, may use. */
function guarded(...ranges: readonly string[]): ServicePort {
  return withExtras(service({ name: 'one', at: VIP, endpoints: [EP1] }), {
    loadBalancerVips: [ipv4(LB)],
    loadBalancerSourceRanges: (ranges.length === 0 ? ['203.0.113.0/24'] : ranges).map(block),
  });
}

const LOCAL_ELSEWHERE = withExtras(service({ name: 'one', at: VIP, nodePort: 30080, endpoints: [EP1] }), {
  externalPolicyLocal: true,
  internalPolicyLocal: true,
  externalIps: [ipv4(LB)],
});

const MASQUERADED = { outcome: 'endpoint', masqueraded: true, dst: EP1, service: 0 } as const;

/** `masquerade fully-random`: the source port is a draw, so these have no source to compare. */
const MASQUERADE_CASES: readonly ConformanceCase[] = [
  {
    name: 'nftables: what is masqueraded, and answers that find back',
    mode: 'nftables',
    services: [service({ name: 'one', at: VIP, nodePort: 30080, endpoints: [`${EP1} local`] })],
    steps: [
      syn('host', VIP, MASQUERADED),
      { at: 0, answers: 0, flags: 'SYN+ACK', origin: 'pod', expect: { outcome: 'reply', src: VIP, dst: HOST } },
      syn('pod', VIP, MASQUERADED, '10.244.1.1:40000'),
      {
        at: 0,
        answers: 2,
        flags: 'SYN+ACK',
        origin: 'pod',
        expect: { outcome: 'reply', src: VIP, dst: '10.244.1.1:40000' },
      },
      syn('external', '192.168.0.2:30080', MASQUERADED),
      {
        at: 0,
        answers: 4,
        flags: 'SYN+ACK',
        origin: 'pod',
        expect: { outcome: 'reply', src: '192.168.0.2:30080', dst: OUTSIDE, masqueraded: true },
      },
      syn('pod', VIP, { outcome: 'endpoint', masqueraded: false, src: POD, dst: EP1 }),
    ],
  },
  {
    name: 'nftables: masqueradeAll masquerades pods, too',
    mode: 'nftables',
    services: [ONE],
    options: { masqueradeAll: true },
    steps: [syn('pod', VIP, MASQUERADED)],
  },
  {
    name: 'nftables: node ports do not work on loopback',
    mode: 'nftables',
    services: [ONE_NODE_PORT],
    steps: [syn('host', '127.0.0.1:30080', { outcome: 'accept', service: -1 }, '127.0.0.1:40000')],
  },
];

const REFUSED_CASES: readonly ConformanceCase[] = [
  {
    name: 'nftables: an unused port of a cluster IP is rejected, in and out',
    mode: 'nftables',
    services: [ONE],
    steps: [
      syn('pod', '10.96.0.1:9999', { outcome: 'reject', reason: 'unused_vip_port', first: true, service: -1 }),
      syn('host', '10.96.0.1:9999', { outcome: 'reject', reason: 'unused_vip_port', first: true, service: -1 }),
    ],
  },
  {
    name: 'nftables: an address of the service range that no Service has is dropped',
    mode: 'nftables',
    services: [ONE],
    options: { serviceCidrs: [block('10.96.0.0/12')] },
    steps: [
      syn('pod', '10.96.9.9:80', { outcome: 'drop', reason: 'unallocated_vip', service: -1 }),
      syn('pod', '10.112.0.1:80', { outcome: 'accept', reason: 'none' }),
    ],
  },
  {
    name: 'nftables: source ranges guard the load balancer and nothing else',
    mode: 'nftables',
    services: [guarded()],
    steps: [
      syn('external', `${LB}:80`, { ...MASQUERADED, work: { map_lookups: 5 } }),
      syn('pod', `${LB}:80`, {
        outcome: 'drop',
        reason: 'source_range',
        service: 0,
        first: true,
        exactWork: true,
        // The jump to firewall-check, the look-up there, the drop of a single range, which is no look-up.
        work: { rules_evaluated: 3, rules_matched: 3, jumps: 2, map_lookups: 1, conntrack_lookups: 1 },
      }),
      syn('pod', VIP, { outcome: 'endpoint', dst: EP1 }, '10.244.9.2:40000'),
    ],
  },
  {
    name: 'nftables: a node that may use the load balancer may do so from its address',
    mode: 'nftables',
    services: [guarded('192.168.0.0/24', '203.0.113.0/31')],
    steps: [
      syn('host', `${LB}:80`, { ...MASQUERADED, work: { map_lookups: 6 } }, `${LB}:40000`),
      syn('external', `${LB}:80`, { outcome: 'drop', reason: 'source_range', work: { map_lookups: 2 } }),
    ],
  },
  {
    name: 'nftables: Local policies without local endpoints drop, but pods and the node take the short way from outside addresses',
    mode: 'nftables',
    services: [LOCAL_ELSEWHERE],
    steps: [
      syn('external', `${LB}:80`, { outcome: 'drop', reason: 'no_local_endpoints', service: 0 }),
      syn('external', '192.168.0.1:30080', { outcome: 'drop', reason: 'no_local_endpoints', service: 0 }),
      syn('pod', VIP, { outcome: 'drop', reason: 'no_local_endpoints', service: 0 }),
      syn('pod', `${LB}:80`, { outcome: 'endpoint', masqueraded: false, src: POD, dst: EP1 }),
      syn('host', `${LB}:80`, MASQUERADED),
    ],
  },
  {
    name: 'nftables: the base chains of v1.31 refuse what the node sends in front of the short way',
    mode: 'nftables',
    services: [LOCAL_ELSEWHERE],
    options: V131,
    steps: [
      syn('host', `${LB}:80`, {
        outcome: 'drop',
        reason: 'no_local_endpoints',
        service: 0,
        dst: `${LB}:80`,
        exactWork: true,
        work: { rules_evaluated: 2, rules_matched: 2, jumps: 1, map_lookups: 1, conntrack_lookups: 1 },
      }),
      syn('pod', `${LB}:80`, { outcome: 'endpoint', masqueraded: false, dst: EP1 }),
    ],
  },
];

const NFTABLES_WORK_CASES: readonly ConformanceCase[] = [
  {
    // firewall-check 2 rules; nat-prerouting 1, services 1, the service's masquerade rule and numgen, the endpoint's two;
    // filter-forward 2 jumps, 1 rule behind each; nat-postrouting 1, masquerading 1.
    name: 'work of a ClusterIP flow, nftables',
    mode: 'nftables',
    services: [ONE],
    steps: [
      syn('pod', VIP, {
        exactWork: true,
        work: {
          rules_evaluated: 14,
          rules_matched: 9,
          jumps: 7,
          map_lookups: 5,
          conntrack_lookups: 2,
          conntrack_inserts: 1,
          nat_setups: 1,
        },
      }),
      {
        at: 0,
        answers: 0,
        flags: 'SYN+ACK',
        origin: 'pod',
        // `ct state new` in filter-prerouting-pre-dnat and twice in filter-forward.
        expect: { exactWork: true, work: { rules_evaluated: 3, conntrack_lookups: 1 } },
      },
    ],
  },
  {
    // As above, with services' second rule, the external chain's two and a mark rule, and masquerading whole.
    name: 'work of a NodePort flow, nftables',
    mode: 'nftables',
    services: [ONE_NODE_PORT],
    steps: [
      syn('external', '192.168.0.1:30080', {
        exactWork: true,
        work: {
          rules_evaluated: 20,
          rules_matched: 13,
          jumps: 9,
          map_lookups: 6,
          conntrack_lookups: 2,
          conntrack_inserts: 1,
          port_tries: 1,
          nat_setups: 2,
        },
      }),
    ],
  },
  {
    // firewall-check 2, nat-prerouting 1, services 2, filter-forward 1, service-endpoints-check 1, reject-chain 1.
    name: 'work of a rejected packet, nftables',
    mode: 'nftables',
    services: [EMPTY],
    steps: [
      syn('pod', VIP, {
        outcome: 'reject',
        exactWork: true,
        work: { rules_evaluated: 8, rules_matched: 5, jumps: 4, map_lookups: 3, conntrack_lookups: 1 },
      }),
    ],
  },
  {
    name: 'sync reports, nftables',
    mode: 'nftables',
    services: [],
    steps: [
      // The first of a life was an empty one. 63 of the fixed part; 2 elements, 2 chains of 2 operations, their 4 rules.
      {
        at: 0,
        sync: [ONE],
        report: {
          kind: 'full',
          servicePorts: 1,
          changedServicePorts: 1,
          tableRules: 22 + 4,
          rules: 22 + 4 + 2,
          transactions: 1,
          transactionOperations: 63 + 2 + 4 + 4,
          restoreLines: 0,
        },
      },
      // The service's chain and the new endpoint's: 4 and 4 rules; the old endpoint's is emptied.
      {
        at: 0.5,
        apply: [{ ...ONE, endpoints: service({ name: 'one', at: VIP, endpoints: [EP2] }).endpoints }],
        report: { kind: 'partial', transactions: 1, transactionOperations: 9, rules: 22 + 4 + 2 },
      },
      // Found stale again, so its second begins anew.
      { at: 1.25, apply: [], report: { changedServicePorts: 0, transactions: 1, transactionOperations: 1 } },
      { at: 2, apply: [], report: { transactions: 1, transactionOperations: 1 } },
      { at: 3, apply: [], report: { transactions: 1, transactionOperations: 1 } },
      { at: 3, apply: [], report: { transactions: 0, transactionOperations: 0 } },
      // Everything of the service port goes: two elements, two chains emptied; a second later they are deleted.
      {
        at: 4,
        apply: [],
        remove: [0],
        report: { servicePorts: 0, transactions: 1, transactionOperations: 4, rules: 22 },
      },
      { at: 5, apply: [ONE], report: { transactions: 2, transactionOperations: 2 + 2 + 4 + 4 } },
      { at: 5, nextTimerSeconds: Infinity },
    ],
  },
];

export const NFTABLES_CASES: readonly ConformanceCase[] = [
  ...MASQUERADE_CASES,
  ...REFUSED_CASES,
  ...NFTABLES_WORK_CASES,
];

/** Cases of all modes that know the source port behind a masquerade. */
export const FULLY_RANDOM_SKIP = {
  reason: 'this mode masquerades fully random, so no source port is known; nftables-cases.ts has its own',
  cases: [
    'ClusterIP from the host: masqueraded, as it is outside the cluster CIDR',
    'masqueradeAll masquerades pods, too',
    'hairpin: a local endpoint that reaches itself is masqueraded',
    'NodePort from outside: masqueraded to the primary address',
    'same source port behind one address: the second flow gets another one, and its answers come back',
  ],
} as const;
