/**
 * userspace mode: the work of single connections through kube-proxy's process, worked out by hand from engines/README.md, section 10. The first
 * service port of a life listens at 32768, and the first dial of a life leaves from 32768, too.
 */
import type { ConformanceCase } from './cases.ts';
import { EP1, HOST, ONE_NODE_PORT, OUTSIDE, POD, VIP } from './cases.ts';
import { service } from './harness.ts';

const NODE = '192.168.0.1';
const DNS = service({ name: 'dns', udp: true, at: VIP, nodePort: 30053, endpoints: [EP1] });
const EXPOSED = service({
  name: 'one',
  at: VIP,
  externalIps: ['203.0.113.10'],
  vips: ['198.51.100.7'],
  endpoints: [EP1],
});

export const USERSPACE_CASES: readonly ConformanceCase[] = [
  {
    // Leg 1: nat PREROUTING 440, KUBE-PORTALS-CONTAINER 504; filter INPUT 440, KUBE-NODEPORT-NON-LOCAL 528.
    // Leg 2: nat OUTPUT 440, KUBE-PORTALS-HOST 504, OUTPUT 480.
    name: 'work of a connection through the process, userspace',
    mode: 'userspace',
    services: [ONE_NODE_PORT],
    steps: [
      {
        at: 0,
        src: POD,
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: {
          outcome: 'endpoint',
          first: true,
          masqueraded: true,
          src: `${NODE}:32768`,
          dst: EP1,
          service: 0,
          exactWork: true,
          work: {
            rules_evaluated: 7,
            rules_matched: 5,
            service_rules_scanned: 3,
            jumps: 3,
            rule_bytes: 944 + 968 + 1424,
            conntrack_lookups: 3,
            conntrack_inserts: 2,
            nat_setups: 1,
          },
        },
      },
      {
        // The port of the NEW rule is that of the dial by chance, and the packet is not NEW.
        at: 0,
        answers: 0,
        flags: 'SYN+ACK',
        origin: 'external',
        expect: {
          outcome: 'reply',
          first: false,
          masqueraded: true,
          src: VIP,
          dst: POD,
          service: 0,
          exactWork: true,
          work: {
            rules_evaluated: 2,
            rules_matched: 1,
            service_rules_scanned: 1,
            jumps: 1,
            rule_bytes: 968,
            conntrack_lookups: 2,
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
          outcome: 'endpoint',
          first: false,
          src: `${NODE}:32768`,
          dst: EP1,
          exactWork: true,
          work: {
            rules_evaluated: 2,
            rules_matched: 1,
            service_rules_scanned: 1,
            jumps: 1,
            rule_bytes: 968,
            conntrack_lookups: 2,
            userspace_copies: 1,
          },
        },
      },
      {
        at: 0,
        src: POD,
        dst: VIP,
        flags: 'RST',
        origin: 'pod',
        expect: { outcome: 'endpoint', work: { conntrack_lookups: 2, userspace_copies: 0 } },
      },
    ],
  },
  {
    // nat OUTPUT 440, KUBE-PORTALS-HOST 504, no filter rule, the check for a free reply tuple; then leg 2 as above.
    name: 'work of a connection of a host process, userspace',
    mode: 'userspace',
    services: [ONE_NODE_PORT],
    steps: [
      {
        at: 0,
        src: HOST,
        dst: VIP,
        flags: 'SYN',
        origin: 'host',
        expect: {
          outcome: 'endpoint',
          dst: EP1,
          exactWork: true,
          work: {
            rules_evaluated: 5,
            rules_matched: 3,
            service_rules_scanned: 2,
            jumps: 2,
            rule_bytes: 944 + 1424,
            conntrack_lookups: 4,
            conntrack_inserts: 2,
            nat_setups: 1,
          },
        },
      },
      {
        at: 0,
        src: HOST,
        dst: VIP,
        flags: 'SYN',
        origin: 'host',
        expect: { outcome: 'endpoint', first: false, exactWork: true, work: { conntrack_lookups: 2 } },
      },
    ],
  },
  {
    // nat PREROUTING 440, KUBE-PORTALS-CONTAINER 504, PREROUTING 480, KUBE-NODEPORT-CONTAINER 504; filter and leg 2 as above.
    name: 'work of a datagram to a node port, userspace',
    mode: 'userspace',
    services: [DNS],
    steps: [
      {
        at: 0,
        udp: true,
        src: OUTSIDE,
        dst: '192.168.0.2:30053',
        origin: 'external',
        expect: {
          outcome: 'endpoint',
          src: `${NODE}:32768`,
          dst: EP1,
          exactWork: true,
          work: {
            rules_evaluated: 9,
            rules_matched: 6,
            service_rules_scanned: 4,
            jumps: 4,
            rule_bytes: 1928 + 968 + 1424,
            conntrack_lookups: 3,
            conntrack_inserts: 2,
            nat_setups: 1,
            userspace_copies: 1,
          },
        },
      },
      { at: 0, answers: 0, udp: true, origin: 'pod', expect: { src: '192.168.0.2:30053', dst: OUTSIDE } },
    ],
  },
  {
    // nat PREROUTING 440, KUBE-PORTALS-CONTAINER 504 and with physdev 608; host: nat OUTPUT 440, KUBE-PORTALS-HOST 504, with addrtype 544, 504, OUTPUT 480.
    name: 'an external IP is the process’s for all but the node itself, userspace',
    mode: 'userspace',
    services: [EXPOSED],
    steps: [
      {
        at: 0,
        src: OUTSIDE,
        dst: '203.0.113.10:80',
        flags: 'SYN',
        origin: 'external',
        // Filter INPUT 440; leg 2 440 504 544 504 480.
        expect: {
          outcome: 'endpoint',
          dst: EP1,
          service: 0,
          work: { rules_evaluated: 3 + 1 + 5, rule_bytes: 1552 + 440 + 2472 },
        },
      },
      {
        at: 0,
        src: HOST,
        dst: '203.0.113.10:80',
        flags: 'SYN',
        origin: 'host',
        expect: {
          outcome: 'accept',
          src: HOST,
          dst: '203.0.113.10:80',
          service: -1,
          exactWork: true,
          work: {
            rules_evaluated: 5,
            rules_matched: 1,
            service_rules_scanned: 3,
            jumps: 1,
            rule_bytes: 2472,
            conntrack_lookups: 2,
            conntrack_inserts: 1,
          },
        },
      },
      {
        at: 0,
        src: HOST,
        dst: '198.51.100.7:80',
        flags: 'SYN',
        origin: 'host',
        expect: { outcome: 'endpoint', dst: EP1, service: 0 },
      },
    ],
  },
];
