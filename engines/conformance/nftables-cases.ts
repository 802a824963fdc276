/** Packets of nftables mode, worked out by hand from engines/README.md, section 9: verdicts, and every rule and look-up on the way. */
import type { NodeSpec } from '../../model/cluster.ts';
import type { EngineOptions } from '../engine.ts';
import type { CaseStep, ConformanceCase } from './cases.ts';
import { EMPTY, EP1, EP2, HOST, ONE, ONE_NODE_PORT, OUTSIDE, POD, TWO, VIP } from './cases.ts';
import { CASE_NODE, service } from './harness.ts';
import type { OriginName } from './harness.ts';
import { block, syn, V131, work } from './nftables-words.ts';

const RANGED: Partial<EngineOptions> = { serviceCidrs: [block('10.96.0.0/16')] };
const ONE_ADDRESS: Partial<EngineOptions> = { nodePortAddresses: [block('192.168.0.1/32')] };

/** A masqueraded flow and its answer; `index` is the first step's. */
function answered(index: number, origin: OriginName, src: string, dst: string): CaseStep[] {
  return [
    syn(0, origin, src, dst, { outcome: 'endpoint', dst: EP1, masqueraded: true, service: 0 }),
    {
      at: 0,
      answers: index,
      flags: 'SYN+ACK',
      origin: 'pod',
      expect: { outcome: 'reply', src: dst, dst: src, masqueraded: true, service: 0 },
    },
  ];
}

const FLOWS: readonly ConformanceCase[] = [
  {
    name: 'a ClusterIP flow, its repeated SYN and its answer',
    mode: 'nftables',
    services: [ONE],
    steps: [
      // Pre-DNAT filter 1 + 1, nat 1, services 1, service 2, endpoint 2, forward 2 + 1 + 1, postrouting 1 + 1.
      syn(0, 'pod', POD, VIP, {
        outcome: 'endpoint',
        dst: EP1,
        src: POD,
        first: true,
        masqueraded: false,
        service: 0,
        ...work({
          rules_evaluated: 14,
          rules_matched: 9,
          jumps: 7,
          map_lookups: 5,
          conntrack_lookups: 2,
          conntrack_inserts: 1,
          nat_setups: 1,
        }),
      }),
      syn(0.1, 'pod', POD, VIP, {
        outcome: 'endpoint',
        dst: EP1,
        first: false,
        ...work({ rules_evaluated: 6, rules_matched: 3, jumps: 3, map_lookups: 3, conntrack_lookups: 1 }),
      }),
      {
        at: 0.2,
        answers: 0,
        flags: 'SYN+ACK',
        origin: 'pod',
        expect: { outcome: 'reply', src: VIP, dst: POD, ...work({ rules_evaluated: 3, conntrack_lookups: 1 }) },
      },
    ],
  },
  {
    name: 'a NodePort flow from outside is masqueraded fully at random',
    mode: 'nftables',
    services: [ONE_NODE_PORT],
    // kube-proxy asks for it whatever it says of iptables.
    options: { masqueradeRandomFully: false },
    steps: [
      // The draw, then 192.168.0.1 and some port: pre-DNAT 1 + 1, nat 1, services 2, external 2, mark 1, service 2, endpoint 2,
      // forward 2 + 1 + 1, postrouting 1, masquerading 3.
      syn(0, 'external', OUTSIDE, '192.168.0.1:30080', {
        outcome: 'endpoint',
        dst: EP1,
        masqueraded: true,
        service: 0,
        ...work({
          rules_evaluated: 20,
          rules_matched: 13,
          jumps: 9,
          map_lookups: 6,
          conntrack_lookups: 2,
          conntrack_inserts: 1,
          nat_setups: 2,
          port_tries: 1,
        }),
      }),
    ],
  },
  {
    name: 'a ClusterIP flow of the host, v1.31',
    mode: 'nftables',
    services: [ONE],
    options: V131,
    steps: [
      // Output 2 + 1 + 1, nat 1, services 1, service 2, mark 1, endpoint 2, post-DNAT 1 + 1, postrouting 1, masquerading 3.
      syn(0, 'host', HOST, VIP, {
        outcome: 'endpoint',
        dst: EP1,
        masqueraded: true,
        ...work({
          rules_evaluated: 17,
          rules_matched: 12,
          jumps: 8,
          map_lookups: 5,
          conntrack_lookups: 2,
          conntrack_inserts: 1,
          nat_setups: 2,
          port_tries: 1,
        }),
      }),
    ],
  },
  {
    name: 'a pod that reaches itself is masqueraded, another pod is not',
    mode: 'nftables',
    services: [ONE],
    steps: [
      syn(0, 'pod', '10.244.1.1:40000', VIP, { outcome: 'endpoint', dst: EP1, masqueraded: true }),
      syn(0, 'pod', POD, VIP, { outcome: 'endpoint', dst: EP1, masqueraded: false, src: POD }),
    ],
  },
  {
    name: 'answers of masqueraded flows find back',
    mode: 'nftables',
    services: [service({ name: 'one', at: VIP, nodePort: 30080, endpoints: [`${EP1} local`] })],
    steps: [
      ...answered(0, 'host', HOST, VIP),
      ...answered(2, 'pod', '10.244.1.1:40000', VIP),
      ...answered(4, 'external', OUTSIDE, '192.168.0.2:30080'),
    ],
  },
  {
    name: 'masqueradeAll masquerades pods on their way to the cluster IP',
    mode: 'nftables',
    services: [ONE],
    options: { masqueradeAll: true },
    steps: [syn(0, 'pod', POD, VIP, { outcome: 'endpoint', dst: EP1, masqueraded: true })],
  },
  {
    name: 'an INVALID packet is refused by nobody',
    mode: 'nftables',
    services: [EMPTY],
    options: RANGED,
    steps: ['10.96.0.1:80', '10.96.0.1:81', '10.96.9.9:80'].map((dst) => ({
      at: 0,
      src: POD,
      dst,
      flags: 'SYN+ACK',
      origin: 'pod' as const,
      expect: {
        outcome: 'accept' as const,
        reason: 'invalid',
        dst,
        service: -1,
        ...work({ rules_evaluated: 3, conntrack_lookups: 1 }),
      },
    })),
  },
  {
    name: 'a full connection-tracking table drops in front of every chain',
    mode: 'nftables',
    services: [ONE],
    options: { conntrackMax: 1 },
    steps: [
      syn(0, 'pod', POD, VIP, { outcome: 'endpoint' }),
      syn(1, 'pod', '10.244.9.2:40000', VIP, {
        outcome: 'drop',
        reason: 'conntrack_full',
        first: false,
        service: -1,
        ...work({ conntrack_lookups: 1 }),
      }),
    ],
  },
];

const PODS_BY_INTERFACE: NodeSpec = {
  name: 'node-a',
  addresses: CASE_NODE.addresses,
  podInterface: { kind: 'prefix', name: 'veth' },
};

const DETECTORS: readonly ConformanceCase[] = [
  {
    name: 'pods are told by their interface: whatever came in elsewhere is masqueraded',
    mode: 'nftables',
    services: [ONE],
    node: PODS_BY_INTERFACE,
    steps: [
      syn(0, 'pod', POD, VIP, { outcome: 'endpoint', dst: EP1, masqueraded: false, src: POD }),
      syn(0, 'external', '10.244.9.9:40000', VIP, { outcome: 'endpoint', dst: EP1, masqueraded: true }),
      syn(0, 'host', HOST, VIP, { outcome: 'endpoint', dst: EP1, masqueraded: true }),
    ],
  },
  {
    name: 'without a local detector nothing on its way to a cluster IP is masqueraded',
    mode: 'nftables',
    services: [ONE],
    node: { name: 'node-a', addresses: CASE_NODE.addresses },
    steps: [
      // The chain has the draw alone: a rule less than with a detector.
      syn(0, 'external', OUTSIDE, VIP, { outcome: 'endpoint', dst: EP1, src: OUTSIDE, work: { rules_evaluated: 13 } }),
    ],
  },
  {
    name: 'SCTP is balanced and masqueraded as the others are',
    mode: 'nftables',
    services: [
      service({ name: 'one', at: VIP, sctp: true, nodePort: 30080, endpoints: [EP1] }),
      service({ id: 1, name: 'two', at: VIP, udp: true, endpoints: [] }),
    ],
    steps: [
      { at: 0, src: POD, dst: VIP, sctp: true, origin: 'pod', expect: { outcome: 'endpoint', dst: EP1, service: 0 } },
      { at: 0, answers: 0, sctp: true, origin: 'pod', expect: { outcome: 'reply', src: VIP, dst: POD } },
      {
        at: 1,
        src: OUTSIDE,
        dst: '192.168.0.1:30080',
        sctp: true,
        origin: 'external',
        expect: { outcome: 'endpoint', dst: EP1, masqueraded: true, service: 0 },
      },
      // One address and port, another protocol, another service port.
      { at: 2, src: POD, dst: VIP, udp: true, origin: 'pod', expect: { outcome: 'reject', service: 1 } },
      syn(3, 'pod', POD, VIP, { outcome: 'reject', reason: 'unused_vip_port', service: -1 }),
    ],
  },
];

const NODE_PORTS: readonly ConformanceCase[] = [
  {
    name: 'node ports are open on the node port addresses alone',
    mode: 'nftables',
    services: [ONE_NODE_PORT],
    options: ONE_ADDRESS,
    steps: [
      syn(0, 'external', OUTSIDE, '192.168.0.1:30080', { outcome: 'endpoint', dst: EP1 }),
      // Pre-DNAT 1 + 1, nat 1, services 2, input 2 + 1 + 1: look-ups of firewall, service, two of nodeport-ips, and the last one.
      syn(0, 'external', OUTSIDE, '192.168.0.2:30080', {
        outcome: 'accept',
        reason: 'none',
        dst: '192.168.0.2:30080',
        service: -1,
        ...work({
          rules_evaluated: 9,
          rules_matched: 4,
          jumps: 4,
          map_lookups: 5,
          conntrack_lookups: 1,
          conntrack_inserts: 1,
        }),
      }),
    ],
  },
  {
    name: 'a closed node port is refused on the node port addresses alone',
    mode: 'nftables',
    services: [EMPTY],
    options: ONE_ADDRESS,
    steps: [
      syn(0, 'external', OUTSIDE, '192.168.0.1:30080', { outcome: 'reject', reason: 'no_endpoints', service: 0 }),
      syn(0, 'external', OUTSIDE, '192.168.0.2:30080', { outcome: 'accept', service: -1 }),
    ],
  },
  {
    name: 'node ports of the whole address space are those of every node address',
    mode: 'nftables',
    services: [ONE_NODE_PORT],
    options: { nodePortAddresses: [block('10.0.0.0/8'), block('0.0.0.0/0')] },
    steps: ['192.168.0.1:30080', '192.168.0.2:30080'].map((dst) =>
      syn(0, 'external', OUTSIDE, dst, { outcome: 'endpoint', dst: EP1 }),
    ),
  },
  {
    name: 'node ports are closed on loopback, also where nodePortAddresses names it',
    mode: 'nftables',
    services: [TWO],
    options: { nodePortAddresses: [block('127.0.0.0/8'), block('192.168.0.2/32')] },
    steps: [
      syn(0, 'host', '127.0.0.1:40000', '127.0.0.1:30080', { outcome: 'accept', dst: '127.0.0.1:30080', service: -1 }),
      syn(0, 'external', OUTSIDE, '192.168.0.2:30080', { outcome: 'endpoint', dst: [EP1, EP2] }),
    ],
  },
  {
    name: 'node ports are closed on loopback where every address takes them',
    mode: 'nftables',
    services: [TWO],
    steps: [syn(0, 'host', '127.0.0.1:40000', '127.0.0.1:30080', { outcome: 'accept', dst: '127.0.0.1:30080' })],
  },
];

const REFUSALS: readonly ConformanceCase[] = [
  {
    name: 'a ClusterIP without endpoints is rejected behind nat, from a pod and from the host',
    mode: 'nftables',
    services: [EMPTY],
    steps: (['pod', 'host'] as const).map((origin) =>
      syn(0, origin, origin === 'pod' ? POD : HOST, VIP, {
        outcome: 'reject',
        reason: 'no_endpoints',
        service: 0,
        dst: VIP,
        first: true,
        ...work({ rules_evaluated: 8, rules_matched: 5, jumps: 4, map_lookups: 3, conntrack_lookups: 1 }),
      }),
    ),
  },
  {
    name: 'a ClusterIP without endpoints is rejected in front of nat on OUTPUT, v1.31',
    mode: 'nftables',
    services: [EMPTY],
    options: V131,
    steps: [
      syn(0, 'host', HOST, VIP, {
        outcome: 'reject',
        reason: 'no_endpoints',
        service: 0,
        first: true,
        ...work({ rules_evaluated: 3, rules_matched: 3, jumps: 2, map_lookups: 1, conntrack_lookups: 1 }),
      }),
    ],
  },
  ...[{}, V131].map((options, i): ConformanceCase => ({
    name: `wrong ports of cluster IPs are rejected, addresses of nobody dropped${i === 0 ? '' : ', v1.31'}`,
    mode: 'nftables',
    services: [ONE],
    options: { ...RANGED, ...options },
    steps: (['pod', 'external', 'host'] as const).flatMap((origin) => {
      const src = { pod: POD, external: OUTSIDE, host: HOST }[origin];
      return [
        syn(0, origin, src, '10.96.0.1:81', { outcome: 'reject', reason: 'unused_vip_port', first: true, service: -1 }),
        syn(0, origin, src, '10.96.9.9:80', { outcome: 'drop', reason: 'unallocated_vip', first: true, service: -1 }),
        syn(0, origin, src, '10.97.0.1:80', { outcome: 'accept', reason: 'none', first: true, service: -1 }),
      ];
    }),
  })),
  {
    name: 'without service ranges an address of nobody passes',
    mode: 'nftables',
    services: [ONE],
    steps: [syn(0, 'pod', POD, '10.96.9.9:80', { outcome: 'accept', reason: 'none' })],
  },
  {
    name: 'an endpoint that is a cluster IP is rejected behind DNAT, for the service port that led there',
    mode: 'nftables',
    services: [
      service({ name: 'one', at: VIP, endpoints: ['10.96.0.2:8080'] }),
      service({ id: 1, name: 'two', at: '10.96.0.2:80', endpoints: [] }),
    ],
    steps: [
      syn(0, 'pod', POD, VIP, {
        outcome: 'reject',
        reason: 'unused_vip_port',
        dst: '10.96.0.2:8080',
        first: true,
        service: 0,
        work: { nat_setups: 1, conntrack_inserts: 0 },
      }),
    ],
  },
  {
    name: 'a packet of a known flow meets the filters: in front of DNAT in v1.31',
    mode: 'nftables',
    services: [ONE],
    options: V131,
    steps: [
      syn(0, 'host', HOST, VIP, { outcome: 'endpoint', dst: EP1 }),
      { at: 1, apply: [EMPTY] },
      syn(2, 'host', HOST, VIP, {
        outcome: 'reject',
        reason: 'no_endpoints',
        dst: VIP,
        src: HOST,
        first: false,
        masqueraded: true,
        service: 0,
      }),
    ],
  },
  {
    name: 'a packet of a known flow meets the filters: behind DNAT in v1.35',
    mode: 'nftables',
    services: [ONE],
    steps: [
      syn(0, 'host', HOST, VIP, { outcome: 'endpoint', dst: EP1 }),
      { at: 1, apply: [EMPTY] },
      syn(2, 'host', HOST, VIP, { outcome: 'endpoint', dst: EP1, first: false, masqueraded: true, service: 0 }),
    ],
  },
];

export const NFTABLES_CASES: readonly ConformanceCase[] = [...FLOWS, ...DETECTORS, ...NODE_PORTS, ...REFUSALS];
