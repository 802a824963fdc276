/** Counters and sync reports worked out by hand on clusters of one service port: every rule, byte and probe named. */
import type { ConformanceCase } from './cases.ts';
import { EMPTY, ONE, ONE_NODE_PORT, OUTSIDE, POD, VIP } from './cases.ts';
import { service } from './harness.ts';

const NONE = service({ name: 'one', at: VIP, endpoints: [] });

export const WORK_CASES: readonly ConformanceCase[] = [
  {
    // nat PREROUTING 440, KUBE-SERVICES 488, KUBE-SVC 488 440, KUBE-SEP 440 504; filter FORWARD 640 440 (352 488 640) 640 640;
    // nat POSTROUTING 440 200.
    name: 'work of a ClusterIP flow, iptables',
    mode: 'iptables',
    services: [ONE],
    steps: [
      {
        at: 0,
        src: POD,
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: {
          exactWork: true,
          work: {
            rules_evaluated: 15,
            rules_matched: 10,
            service_rules_scanned: 1,
            jumps: 8,
            rule_bytes: 2800 + 3840 + 640,
            conntrack_lookups: 2,
            conntrack_inserts: 1,
            nat_setups: 1,
          },
        },
      },
      {
        at: 0,
        answers: 0,
        flags: 'SYN+ACK',
        origin: 'pod',
        expect: {
          exactWork: true,
          work: { rules_evaluated: 5, rules_matched: 2, jumps: 1, rule_bytes: 2560, conntrack_lookups: 1 },
        },
      },
    ],
  },
  {
    // nat: PREROUTING 440, KUBE-SERVICES 488 480, KUBE-NODEPORTS 488, KUBE-EXT 440, MARK-MASQ 152, KUBE-EXT 152, KUBE-SVC 488 440,
    // KUBE-SEP 440 504; filter FORWARD 640 440 352 488; nat POSTROUTING 440 200 152 456.
    name: 'work of a NodePort flow, iptables',
    mode: 'iptables',
    services: [ONE_NODE_PORT],
    steps: [
      {
        at: 0,
        src: OUTSIDE,
        dst: '192.168.0.1:30080',
        flags: 'SYN',
        origin: 'external',
        expect: {
          exactWork: true,
          work: {
            rules_evaluated: 19,
            rules_matched: 14,
            service_rules_scanned: 3,
            jumps: 9,
            rule_bytes: 4512 + 1920 + 1248,
            conntrack_lookups: 2,
            conntrack_inserts: 1,
            nat_setups: 2,
          },
        },
      },
    ],
  },
  {
    // nat PREROUTING 440, KUBE-SERVICES 480; filter FORWARD 640 440 352 488 640 640, KUBE-SERVICES 488.
    name: 'work of a rejected packet, iptables',
    mode: 'iptables',
    services: [EMPTY],
    steps: [
      {
        at: 0,
        src: POD,
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: {
          exactWork: true,
          work: {
            rules_evaluated: 9,
            rules_matched: 5,
            service_rules_scanned: 2,
            jumps: 4,
            rule_bytes: 4608,
            conntrack_lookups: 1,
          },
        },
      },
    ],
  },
  {
    // nat PREROUTING 440, KUBE-SERVICES 152 480 192 192; filter INPUT 440 192 192 440 440 480; filter OUTPUT 440; nat POSTROUTING 440 200.
    name: 'work of a ClusterIP flow, IPVS',
    mode: 'ipvs',
    services: [ONE],
    steps: [
      {
        at: 0,
        src: POD,
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: {
          exactWork: true,
          work: {
            rules_evaluated: 14,
            rules_matched: 10,
            jumps: 7,
            rule_bytes: 1456 + 2184 + 440 + 640,
            ipset_tests: 4,
            conntrack_lookups: 2,
            conntrack_inserts: 1,
            hash_probes: 3,
            service_chain_entries: 1,
            destinations_examined: 1,
            ipvs_connection_inserts: 1,
            nat_setups: 1,
          },
        },
      },
      {
        // filter FORWARD 440 440 488 640.
        at: 0,
        answers: 0,
        flags: 'SYN+ACK',
        origin: 'pod',
        expect: {
          exactWork: true,
          work: {
            rules_evaluated: 4,
            rules_matched: 3,
            jumps: 2,
            rule_bytes: 2008,
            conntrack_lookups: 1,
            hash_probes: 1,
            connection_chain_entries: 1,
          },
        },
      },
      {
        at: 0,
        src: POD,
        dst: VIP,
        flags: 'ACK',
        origin: 'pod',
        expect: {
          exactWork: true,
          work: {
            rules_evaluated: 7,
            rules_matched: 5,
            jumps: 4,
            rule_bytes: 2184 + 440,
            ipset_tests: 3,
            conntrack_lookups: 1,
            hash_probes: 2,
            connection_chain_entries: 1,
          },
        },
      },
    ],
  },
  {
    name: 'sync reports, iptables: rules, lines and stale chains',
    mode: 'iptables',
    services: [ONE],
    steps: [
      // nat: jumps 3, KUBE-SERVICES 2, POSTROUTING 3, MARK-MASQ 1, SVC 2, SEP 2; filter: 11 jumps, KUBE-FIREWALL 1, KUBE-FORWARD 3.
      {
        at: 1,
        sync: [ONE],
        report: {
          kind: 'full',
          servicePorts: 1,
          changedServicePorts: 1,
          rules: 28,
          tableRules: 28,
          restoreLines: 30,
          savedLines: 19,
        },
      },
      {
        at: 2,
        apply: [NONE],
        report: {
          kind: 'partial',
          servicePorts: 1,
          changedServicePorts: 1,
          tableRules: 24,
          restoreLines: 28,
          savedLines: 19,
        },
      },
      {
        at: 3,
        apply: [],
        remove: [0],
        report: { servicePorts: 0, changedServicePorts: 0, tableRules: 23, savedLines: 12 },
      },
    ],
  },
  {
    name: 'sync reports, IPVS: netlink requests, ipsets, addresses',
    mode: 'ipvs',
    services: [ONE],
    steps: [
      {
        at: 1,
        sync: [ONE],
        report: {
          kind: 'full',
          tableRules: 28,
          rules: 30,
          restoreLines: 34,
          savedLines: 0,
          netlinkRequests: 0,
          netlinkReads: 3,
          ipsetChanges: 0,
          addressChanges: 0,
          addressesBound: 1,
        },
      },
      { at: 2, apply: [NONE], report: { kind: 'full', netlinkRequests: 1, rules: 29, changedServicePorts: 1 } },
      {
        at: 3,
        apply: [],
        remove: [0],
        report: {
          netlinkRequests: 1,
          netlinkReads: 1,
          ipsetChanges: 2,
          addressChanges: 1,
          addressesBound: 0,
          rules: 26,
        },
      },
    ],
  },
];
