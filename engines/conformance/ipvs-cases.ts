/** IPVS mode beyond cluster IPs and node ports, worked out by hand from engines/README.md, section 6: verdicts, and every rule, byte and probe. */
import type { ServicePort } from '../../model/cluster.ts';
import type { ConformanceCase } from './cases.ts';
import { EP1, EP2, HOST, ONE, OUTSIDE, POD, VIP } from './cases.ts';
import { cidr, service } from './harness.ts';
import { EXTERNAL, HERE, LB, NODE_PORT, STRANGER, syn } from './ipvs-case-words.ts';
import { IPVS_PERSISTENCE_CASES } from './ipvs-persistence-cases.ts';
import { IPVS_RANGE_CASES } from './ipvs-range-cases.ts';
import { IPVS_REUSE_CASES } from './ipvs-reuse-cases.ts';

const external = service({ name: 'one', at: VIP, externalIps: ['198.51.100.9'], endpoints: [EP1] });
const LOCAL_ONLY = {
  name: 'one',
  at: VIP,
  nodePort: 30080,
  externalIps: ['198.51.100.9'],
  vips: ['198.51.100.1'],
  externalLocal: true,
  healthPort: 31000,
};
const localOnly = (endpoints: readonly string[]): ServicePort => service({ ...LOCAL_ONLY, endpoints });

const OUTSIDE_CASES: readonly ConformanceCase[] = [
  {
    // nat PREROUTING 440, KUBE-SERVICES 152 480 480 (MARK-MASQ 152) 624; filter INPUT 440 (192 192 192) 440 440 (480);
    // filter OUTPUT 440; nat POSTROUTING 440 (200 152 456).
    name: 'an external IP is masqueraded and accepted by its own rules',
    mode: 'ipvs',
    services: [external],
    steps: [
      syn(0, 'external', OUTSIDE, EXTERNAL, {
        outcome: 'endpoint',
        first: true,
        masqueraded: true,
        src: HOST,
        dst: EP1,
        service: 0,
        exactWork: true,
        work: {
          rules_evaluated: 18,
          rules_matched: 12,
          jumps: 7,
          rule_bytes: 2328 + 2376 + 440 + 1248,
          ipset_tests: 7,
          conntrack_lookups: 2,
          conntrack_inserts: 1,
          hash_probes: 3,
          service_chain_entries: 1,
          destinations_examined: 1,
          ipvs_connection_inserts: 1,
          nat_setups: 2,
        },
      }),
      { at: 1, answers: 0, flags: 'SYN+ACK', origin: 'pod', expect: { outcome: 'reply', src: EXTERNAL, dst: OUTSIDE } },
    ],
  },
  {
    name: 'the external Local policy keeps the client address and stays on the node, for every way in',
    mode: 'ipvs',
    services: [localOnly([HERE, EP2])],
    steps: [EXTERNAL, LB, NODE_PORT].flatMap((dst, i) =>
      ['203.0.113.7', '203.0.113.8', '203.0.113.9'].map((address) => {
        const src = `${address}:${40000 + i}`;
        return syn(i, 'external', src, dst, { outcome: 'endpoint', masqueraded: false, src, dst: EP1 });
      }),
    ),
  },
  {
    name: 'the external Local policy does not bind the cluster IP',
    mode: 'ipvs',
    services: [localOnly([HERE, EP2])],
    options: { ipvsScheduler: 'rr' },
    steps: [
      syn(0, 'pod', POD, VIP, { outcome: 'endpoint', dst: EP1 }),
      syn(1, 'pod', '10.244.9.2:40000', VIP, { outcome: 'endpoint', dst: EP2 }),
    ],
  },
  {
    name: 'a Local policy without local endpoints falls back to those of the cluster',
    mode: 'ipvs',
    services: [localOnly([EP2])],
    steps: [
      syn(0, 'external', OUTSIDE, EXTERNAL, { outcome: 'endpoint', masqueraded: false, dst: EP2 }),
      syn(1, 'external', STRANGER, NODE_PORT, { outcome: 'endpoint', masqueraded: false, dst: EP2 }),
    ],
  },
  {
    name: 'the internal Local policy alone knows local endpoints only',
    mode: 'ipvs',
    services: [service({ name: 'one', at: VIP, internalLocal: true, endpoints: [EP1] })],
    steps: [
      syn(0, 'pod', POD, VIP, { outcome: 'reject', reason: 'no_endpoints', service: 0 }),
      {
        at: 1,
        apply: [service({ name: 'one', at: VIP, internalLocal: true, endpoints: [HERE, EP2] })],
        report: { netlinkRequests: 1 },
      },
      syn(2, 'pod', POD, VIP, { outcome: 'endpoint', dst: EP1 }),
      syn(3, 'pod', '10.244.9.2:40000', VIP, { outcome: 'endpoint', dst: EP1 }),
    ],
  },
  {
    name: 'a health-check port is let through to the process of the node',
    mode: 'ipvs',
    services: [localOnly([HERE])],
    steps: [
      syn(0, 'external', OUTSIDE, '192.168.0.1:31000', {
        outcome: 'accept',
        reason: 'none',
        first: true,
        dst: '192.168.0.1:31000',
        service: -1,
        // LB, CLUSTER-IP, EXTERNAL-IP-LOCAL twice, two of node ports, CLUSTER-IP, LB; in INPUT five to RETURN, one to ACCEPT.
        work: {
          ipset_tests: 14,
          hash_probes: 3,
          ipvs_connection_inserts: 0,
          conntrack_inserts: 1,
          conntrack_lookups: 1,
        },
      }),
    ],
  },
  {
    name: 'a node port without a node address that takes it is none, nor is the health-check port',
    mode: 'ipvs',
    services: [localOnly([HERE])],
    options: { nodePortAddresses: [cidr('127.0.0.0/8'), cidr('10.0.0.0/8')] },
    steps: [
      // LOOP-BACK, CLUSTER-IP, EXTERNAL-IP-LOCAL, LOAD-BALANCER, LOAD-BALANCER-LOCAL, three bound addresses.
      { at: 0, sync: [], report: { ipsetChanges: 8, netlinkRequests: 3, addressChanges: 3 } },
      { at: 0, sync: [localOnly([HERE])], report: { netlinkReads: 7, addressesBound: 3 } },
      syn(1, 'external', OUTSIDE, NODE_PORT, { outcome: 'accept', dst: NODE_PORT, service: -1 }),
      syn(2, 'external', OUTSIDE, LB, { outcome: 'endpoint', dst: EP1 }),
    ],
  },
];

const sctp = (endpoints: readonly string[]): ServicePort =>
  service({ name: 'one', sctp: true, at: VIP, nodePort: 30080, endpoints });

const OTHER_CASES: readonly ConformanceCase[] = [
  {
    name: 'SCTP: one state, 900 s in IPVS, 3 s and then 210 s in connection tracking',
    mode: 'ipvs',
    services: [sctp([EP1])],
    steps: [
      {
        at: 0,
        src: POD,
        dst: VIP,
        sctp: true,
        origin: 'pod',
        expect: { outcome: 'endpoint', first: true, dst: EP1, work: { hash_probes: 3, ipvs_connection_inserts: 1 } },
      },
      { at: 1, answers: 0, sctp: true, origin: 'pod', expect: { outcome: 'reply', src: VIP, dst: POD } },
      // Connection tracking has forgotten it, IPVS has not.
      {
        at: 211.5,
        src: POD,
        dst: VIP,
        sctp: true,
        origin: 'pod',
        expect: { outcome: 'endpoint', first: true, work: { hash_probes: 2, ipvs_connection_inserts: 0 } },
      },
      {
        at: 1111.5,
        src: POD,
        dst: VIP,
        sctp: true,
        origin: 'pod',
        expect: { outcome: 'endpoint', first: true, work: { hash_probes: 3, ipvs_connection_inserts: 1 } },
      },
      {
        at: 1112,
        src: OUTSIDE,
        dst: NODE_PORT,
        sctp: true,
        origin: 'external',
        expect: { outcome: 'endpoint', masqueraded: true, src: HOST, dst: EP1 },
      },
      // A real server of SCTP is deleted at once, whatever its connections: three virtual servers have one each.
      {
        at: 1113,
        apply: [sctp([])],
        report: { netlinkRequests: 3 },
      },
      {
        at: 1114,
        src: POD,
        dst: VIP,
        sctp: true,
        origin: 'pod',
        expect: { outcome: 'drop', reason: 'server_unavailable', service: 0 },
      },
    ],
  },
  {
    name: 'MASQUERADE --random-fully takes another port at once, the rule for hairpins does not',
    mode: 'ipvs',
    services: [service({ name: 'one', at: VIP, nodePort: 30080, endpoints: [HERE] })],
    options: { masqueradeRandomFully: true },
    steps: [
      syn(0, 'external', OUTSIDE, NODE_PORT, {
        outcome: 'endpoint',
        masqueraded: true,
        work: { port_tries: 1, conntrack_lookups: 2, nat_setups: 2 },
      }),
      syn(1, 'pod', '10.244.1.1:40000', VIP, {
        outcome: 'endpoint',
        masqueraded: true,
        src: HOST,
        dst: EP1,
        work: { port_tries: 0, conntrack_lookups: 2, nat_setups: 2 },
      }),
    ],
  },
  {
    name: 'IPVS sees no packet for which connection tracking has no room',
    mode: 'ipvs',
    services: [ONE],
    options: { conntrackMax: 1 },
    steps: [
      syn(0, 'pod', POD, VIP, { outcome: 'endpoint', dst: EP1 }),
      syn(1, 'pod', '10.244.9.2:40000', VIP, {
        outcome: 'drop',
        reason: 'conntrack_full',
        first: false,
        dst: VIP,
        service: -1,
        exactWork: true,
        work: { conntrack_lookups: 1 },
      }),
      syn(120, 'pod', '10.244.9.2:40000', VIP, { outcome: 'endpoint', dst: EP1 }),
    ],
  },
];

/** With every kind of address, a Local policy, a range of one address and affinity. */
const everything = (affinitySeconds: number): ServicePort =>
  service({ ...LOCAL_ONLY, sourceRanges: ['203.0.113.7/32'], affinitySeconds, endpoints: [HERE] });

const REPORT_CASES: readonly ConformanceCase[] = [
  {
    name: 'sync reports of a service port with everything',
    mode: 'ipvs',
    services: [],
    steps: [
      {
        // Five virtual and five real servers. Jumps 9; nat 8 + 2 + 2 + 1 + 4; filter 6 + 1 + 2 + 1 + 1 + 2. Entries: LOOP-BACK, CLUSTER-IP, EXTERNAL-IP-LOCAL,
        // LOAD-BALANCER, -LOCAL, -FW, -SOURCE-CIDR, NODE-PORT-TCP, NODE-PORT-LOCAL-TCP, HEALTH-CHECK-NODE-PORT, three of IPVS-IPS.
        at: 1,
        apply: [everything(10)],
        report: {
          kind: 'full',
          netlinkRequests: 10,
          netlinkReads: 11,
          ipsetChanges: 13,
          addressChanges: 3,
          addressesBound: 3,
          tableRules: 39,
          rules: 49,
          restoreLines: 45,
        },
      },
      // The range of one address is printed without its length, and so deleted and added at each sync.
      {
        at: 2,
        sync: [everything(10)],
        report: { netlinkRequests: 0, netlinkReads: 11, ipsetChanges: 2, addressChanges: 0 },
      },
      // Another affinity: each virtual server is updated.
      {
        at: 3,
        apply: [everything(60)],
        report: { netlinkRequests: 5, ipsetChanges: 2, rules: 49 },
      },
      {
        at: 4,
        apply: [],
        remove: [0],
        report: {
          netlinkRequests: 5,
          netlinkReads: 1,
          ipsetChanges: 13,
          addressChanges: 3,
          addressesBound: 0,
          tableRules: 26,
          rules: 26,
        },
      },
    ],
  },
];

export const IPVS_CASES: readonly ConformanceCase[] = [
  ...OUTSIDE_CASES,
  ...IPVS_RANGE_CASES,
  ...OTHER_CASES,
  ...REPORT_CASES,
  ...IPVS_PERSISTENCE_CASES,
  ...IPVS_REUSE_CASES,
];
