/** userspace mode: whom kube-proxy's process dials, and from which port, worked out by hand from engines/README.md, section 10. */
import type { CaseStep, ConformanceCase, Expectation } from './cases.ts';
import { EMPTY, EP1, EP2, ONE, POD, VIP } from './cases.ts';
import { service } from './harness.ts';

const NODE = '192.168.0.1';
const DNS = service({ name: 'dns', udp: true, at: VIP, endpoints: [EP1] });

/** A pod's connection to VIP from a port of its own. */
function syn(at: number, port: number, expect: Expectation): CaseStep {
  return { at, src: `10.244.9.1:${port}`, dst: VIP, flags: 'SYN', origin: 'pod', expect };
}

export const USERSPACE_DIAL_CASES: readonly ConformanceCase[] = [
  {
    name: 'nobody to dial: the client is refused, each time anew, userspace',
    mode: 'userspace',
    services: [EMPTY],
    steps: [0, 1].map((at) =>
      syn(at, 40_000, {
        outcome: 'reject',
        reason: 'no_endpoints',
        first: true,
        masqueraded: false,
        src: POD,
        dst: `${NODE}:32768`,
        service: 0,
        work: { conntrack_lookups: 1, conntrack_inserts: 1, nat_setups: 1, rules_evaluated: 4 },
      }),
    ),
  },
  {
    name: 'endpoints that are terminating or unready are nobody, userspace',
    mode: 'userspace',
    services: [service({ name: 'one', at: VIP, endpoints: [`${EP1} terminating`, `${EP2} unready`] })],
    steps: [syn(0, 1, { outcome: 'reject', reason: 'no_endpoints' })],
  },
  {
    // The round robin of two begins anywhere; from the second connection on each passes the dead one first.
    name: 'a dial passes an endpoint that does not answer, userspace',
    mode: 'userspace',
    services: [service({ name: 'one', at: VIP, endpoints: [EP1, EP2] })],
    deadEndpoints: [EP1],
    steps: [
      syn(0, 1, { outcome: 'endpoint', dst: EP2 }),
      syn(0, 2, { outcome: 'endpoint', dst: EP2, work: { conntrack_lookups: 1 + 2 * 2, conntrack_inserts: 2 } }),
      syn(0, 3, { outcome: 'endpoint', dst: EP2, work: { conntrack_lookups: 1 + 2 * 2, conntrack_inserts: 2 } }),
    ],
  },
  {
    // Each try: look-up, nat OUTPUT 440 504 480, check. KUBE-NODEPORT chains are empty.
    name: 'four tries fail: the client is refused, userspace',
    mode: 'userspace',
    services: [ONE],
    deadEndpoints: [EP1],
    steps: [0, 1].map((at) =>
      syn(at, 1, {
        outcome: 'reject',
        reason: 'no_answer',
        first: true,
        service: 0,
        exactWork: true,
        work: {
          rules_evaluated: 3 + 4 * 3,
          rules_matched: 3 + 4,
          service_rules_scanned: 1 + 4,
          jumps: 2 + 4,
          rule_bytes: 944 + 440 + 4 * 1424,
          conntrack_lookups: 1 + 4 * 2,
          conntrack_inserts: 1,
          nat_setups: 1,
        },
      }),
    ),
  },
  {
    name: 'an endpoint of UDP is never known to be dead, userspace',
    mode: 'userspace',
    services: [DNS],
    deadEndpoints: [EP1],
    steps: [{ at: 0, udp: true, src: POD, dst: VIP, origin: 'pod', expect: { outcome: 'endpoint', dst: EP1 } }],
  },
  {
    name: 'SCTP to the address and port of a TCP service port is left alone, userspace',
    mode: 'userspace',
    services: [ONE],
    steps: [
      { at: 0, sctp: true, src: POD, dst: VIP, origin: 'pod', expect: { outcome: 'accept', dst: VIP, service: -1 } },
    ],
  },
  {
    name: 'a first packet that is no SYN meets no socket, userspace',
    mode: 'userspace',
    services: [ONE],
    steps: [
      {
        at: 0,
        src: POD,
        dst: VIP,
        flags: 'ACK',
        origin: 'pod',
        expect: {
          outcome: 'reject',
          reason: 'no_answer',
          first: true,
          dst: `${NODE}:32768`,
          service: 0,
          work: { conntrack_lookups: 1, conntrack_inserts: 1 },
        },
      },
      syn(0, 40_000, { outcome: 'endpoint', first: true, src: `${NODE}:32768` }),
    ],
  },
  {
    // The entry of leg 1 is the last; a try that finds the table full is one look-up and nothing else.
    name: 'a full table at a dial, userspace',
    mode: 'userspace',
    services: [ONE],
    options: { conntrackMax: 1 },
    steps: [
      syn(0, 1, {
        outcome: 'reject',
        reason: 'no_answer',
        first: true,
        exactWork: true,
        work: {
          rules_evaluated: 3,
          rules_matched: 3,
          service_rules_scanned: 1,
          jumps: 2,
          rule_bytes: 944 + 440,
          conntrack_lookups: 1 + 4,
          conntrack_inserts: 1,
          nat_setups: 1,
        },
      }),
      { at: 0, src: POD, dst: '8.8.8.8:53', flags: 'SYN', origin: 'pod', expect: { outcome: 'accept' } },
      syn(0, 1, { outcome: 'drop', reason: 'conntrack_full', first: false, dst: VIP, service: -1 }),
    ],
  },
  {
    name: 'the source port of a dial that leads to a flow already is passed over, userspace',
    mode: 'userspace',
    services: [ONE],
    steps: [
      {
        at: 0,
        src: EP1,
        dst: `${NODE}:32768`,
        flags: 'SYN',
        origin: 'pod',
        expect: { outcome: 'accept', service: -1 },
      },
      syn(0, 1, { outcome: 'endpoint', src: `${NODE}:32769`, dst: EP1, work: { conntrack_lookups: 3, port_tries: 0 } }),
    ],
  },
  {
    // A node port among the ephemeral ports: the endpoint's own flow to it has the tuple that the dial's replies would have.
    name: 'a dial whose reply tuple is taken gets another source port, userspace',
    mode: 'userspace',
    services: [],
    steps: [
      // This one listens at 32768, the other at 32769.
      {
        at: 0,
        apply: [service({ id: 1, name: 'two', udp: true, at: '10.96.0.2:53', nodePort: 32_769, endpoints: [EP2] })],
      },
      { at: 0, apply: [service({ name: 'one', udp: true, at: VIP, endpoints: [EP1] })] },
      {
        at: 0,
        udp: true,
        src: EP1,
        dst: `${NODE}:32769`,
        origin: 'pod',
        expect: { outcome: 'endpoint', src: `${NODE}:32768`, dst: EP2 },
      },
      {
        at: 0,
        udp: true,
        src: POD,
        dst: VIP,
        origin: 'pod',
        expect: { outcome: 'endpoint', dst: EP1, work: { conntrack_lookups: 4, port_tries: 1, nat_setups: 2 } },
      },
      { at: 0.1, answers: 3, udp: true, origin: 'pod', expect: { outcome: 'reply', src: VIP, dst: POD } },
      {
        // The socket is closed by now, and it was the one at 32769.
        at: 1,
        answers: 3,
        udp: true,
        origin: 'pod',
        expect: { outcome: 'reject', reason: 'no_answer', src: EP1, dst: `${NODE}:32769` },
      },
    ],
  },
];
