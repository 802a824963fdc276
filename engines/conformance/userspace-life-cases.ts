/** userspace mode: what lasts and what ends as service ports, kube-proxy's process and time change, worked out by hand from engines/README.md, section 10. */
import type { CaseStep, ConformanceCase, Expectation } from './cases.ts';
import { EP1, EP2, ONE, POD, VIP } from './cases.ts';
import { service } from './harness.ts';

const NODE = '192.168.0.1';
const DNS_VIP = '10.96.0.10:53';
const DNS = service({ name: 'dns', udp: true, at: DNS_VIP, endpoints: [EP1] });
const DNS_NONE = service({ name: 'dns', udp: true, at: DNS_VIP, endpoints: [] });
const DNS_NODE_PORT = service({ name: 'dns', udp: true, at: DNS_VIP, nodePort: 30053, endpoints: [EP1] });

function query(at: number, expect: Expectation): CaseStep {
  return { at, udp: true, src: POD, dst: DNS_VIP, origin: 'pod', expect };
}

function reply(at: number, answers: number, expect: Expectation): CaseStep {
  return { at, answers, udp: true, origin: 'external', expect };
}

function tcp(at: number, flags: string, expect: Expectation, port = 40_000, dst = VIP): CaseStep {
  return { at, src: `10.244.9.1:${port}`, dst, flags, origin: 'pod', expect };
}

const NO_ANSWER: Expectation = { outcome: 'reject', reason: 'no_answer', first: false };

const UDP: readonly ConformanceCase[] = [
  {
    name: 'a UDP client is dialled for again when 250 ms have passed, userspace',
    mode: 'userspace',
    services: [DNS],
    steps: [
      query(0, { src: `${NODE}:32768`, first: true }),
      query(0.249999999, { src: `${NODE}:32768`, first: false, work: { conntrack_lookups: 2, conntrack_inserts: 0 } }),
      reply(0.499999998, 0, { outcome: 'reply', src: DNS_VIP, dst: POD, work: { userspace_copies: 1 } }),
      // 250 ms to the nanosecond: INPUT 440, KUBE-NODEPORT-NON-LOCAL empty; then nat OUTPUT 440 504 480 as at a first dial.
      query(0.749999998, {
        outcome: 'endpoint',
        first: false,
        src: `${NODE}:32769`,
        service: 0,
        exactWork: true,
        work: {
          rules_evaluated: 4,
          rules_matched: 2,
          service_rules_scanned: 1,
          jumps: 2,
          rule_bytes: 440 + 1424,
          conntrack_lookups: 3,
          conntrack_inserts: 1,
          userspace_copies: 1,
        },
      }),
      reply(0.75, 0, { ...NO_ANSWER, src: EP1, dst: `${NODE}:32768`, service: 0, work: { conntrack_lookups: 1 } }),
      reply(0.75, 3, { outcome: 'reply', src: DNS_VIP, dst: POD }),
    ],
  },
  {
    name: 'an answer keeps a UDP client’s socket open, too, userspace',
    mode: 'userspace',
    services: [DNS],
    steps: [
      query(0, { src: `${NODE}:32768` }),
      reply(0.2, 0, { outcome: 'reply' }),
      query(0.4, { src: `${NODE}:32768`, work: { conntrack_inserts: 0 } }),
    ],
  },
  {
    name: 'nobody to dial for a known UDP client: its flow stays, userspace',
    mode: 'userspace',
    services: [DNS],
    steps: [
      query(0, { first: true }),
      { at: 0.1, apply: [DNS_NONE], report: { iptablesCommands: 0 } },
      query(0.2, { outcome: 'endpoint', dst: EP1 }),
      query(1, { outcome: 'reject', reason: 'no_endpoints', first: false, dst: `${NODE}:32768`, service: 0 }),
      { at: 1.1, apply: [DNS] },
      query(1.2, { outcome: 'endpoint', first: false, dst: EP1 }),
    ],
  },
  {
    // The flow leads to the old port for as long as the client keeps sending; its entry is not cleaned up.
    name: 'a UDP flow ends with its proxy port, userspace',
    mode: 'userspace',
    services: [DNS],
    steps: [
      query(0, { first: true }),
      { at: 0.1, apply: [DNS_NODE_PORT], report: { conntrackDeletes: 0 } },
      reply(0.15, 0, { ...NO_ANSWER, src: EP1, dst: `${NODE}:32768` }),
      query(0.2, { ...NO_ANSWER, dst: `${NODE}:32768`, service: 0 }),
      query(10, NO_ANSWER),
      query(40, { outcome: 'endpoint', first: true, src: `${NODE}:32769` }),
    ],
  },
  {
    name: 'UDP flows of a removed service port are cleaned up, whatever their port, userspace',
    mode: 'userspace',
    services: [DNS, service({ id: 1, name: 'dns', udp: true, at: '10.96.0.10:54', endpoints: [EP2] })],
    steps: [
      query(0, { first: true }),
      { at: 0, udp: true, src: POD, dst: '10.96.0.10:54', origin: 'pod', expect: { service: 1 } },
      { at: 1, apply: [], remove: [0], report: { conntrackDeletes: 2 } },
      query(1, { outcome: 'accept', first: true, dst: DNS_VIP, service: -1 }),
      { at: 1, udp: true, src: POD, dst: '10.96.0.10:54', origin: 'pod', expect: { first: true, dst: EP2 } },
    ],
  },
];

const LIVES: readonly ConformanceCase[] = [
  {
    name: 'a TCP connection outlives its service port, new ones do not come about, userspace',
    mode: 'userspace',
    services: [ONE],
    steps: [
      tcp(0, 'SYN', { outcome: 'endpoint', dst: EP1 }),
      { at: 0, answers: 0, flags: 'SYN+ACK', origin: 'external', expect: { outcome: 'reply' } },
      { at: 1, apply: [], remove: [0], report: { rules: 5, conntrackDeletes: 0 } },
      tcp(2, 'ACK', { outcome: 'endpoint', dst: EP1, service: 0, work: { userspace_copies: 1 } }),
      { at: 2, answers: 0, flags: 'ACK', origin: 'external', expect: { outcome: 'reply', src: VIP, dst: POD } },
      tcp(3, 'SYN', { outcome: 'accept', dst: VIP, service: -1 }, 40_001),
    ],
  },
  {
    // The SYN is ignored by leg 1, reopens the closed leg 2, and is the last that gets through.
    name: 'a SYN that meets a closed leg 2 breaks the connection, userspace',
    mode: 'userspace',
    services: [ONE],
    steps: [
      tcp(0, 'SYN', { outcome: 'endpoint' }),
      { at: 0, answers: 0, flags: 'SYN+ACK', origin: 'external', expect: { outcome: 'reply' } },
      { at: 0, src: `${NODE}:32768`, dst: EP1, flags: 'RST', origin: 'pod', expect: { outcome: 'accept' } },
      tcp(9, 'SYN', { outcome: 'endpoint', first: false, work: { conntrack_lookups: 2, conntrack_inserts: 0 } }),
      tcp(9, 'ACK', NO_ANSWER),
    ],
  },
  {
    // A forged RST closes leg 2 alone, for 10 s; leg 1 is in SYN_RECV for 60 s.
    name: 'a connection is broken when one of its legs has expired, userspace',
    mode: 'userspace',
    services: [ONE],
    steps: [
      tcp(0, 'SYN', { outcome: 'endpoint', src: `${NODE}:32768` }),
      { at: 0, answers: 0, flags: 'SYN+ACK', origin: 'external', expect: { outcome: 'reply' } },
      {
        at: 0,
        src: `${NODE}:32768`,
        dst: EP1,
        flags: 'RST',
        origin: 'pod',
        expect: { outcome: 'accept', src: `${NODE}:32768`, dst: EP1, masqueraded: false, service: 0 },
      },
      tcp(10, 'ACK', { ...NO_ANSWER, src: POD, dst: `${NODE}:32768`, service: 0, work: { conntrack_lookups: 1 } }),
    ],
  },
  {
    name: 'everything that the process carried is cut when it stops, userspace',
    mode: 'userspace',
    services: [ONE, { ...DNS, id: 1 }],
    steps: [
      tcp(0, 'SYN', { outcome: 'endpoint' }),
      { at: 0, answers: 0, flags: 'SYN+ACK', origin: 'external', expect: { outcome: 'reply' } },
      query(0, { outcome: 'endpoint', service: 1 }),
      { at: 0.1, interrupt: true },
      tcp(0.1, 'ACK', NO_ANSWER),
      { at: 0.1, answers: 0, flags: 'ACK', origin: 'external', expect: { ...NO_ANSWER, src: EP1 } },
      query(0.1, { ...NO_ANSWER, service: 1 }),
      reply(0.1, 2, { ...NO_ANSWER, src: EP1 }),
      tcp(0.1, 'SYN', { outcome: 'accept', dst: VIP, service: -1, work: { rules_evaluated: 2 } }, 40_001),
      // 5 chains, 5 jumps that are there, 5 flushed; the first pass: 10, and 2 rules added and checked once more.
      { at: 1, sync: [ONE], report: { kind: 'full', iptablesCommands: 15 + 10 + 2 * 2 + 2, rules: 7 } },
      tcp(1, 'ACK', NO_ANSWER),
      tcp(1, 'SYN', { outcome: 'endpoint', dst: EP1 }, 40_002),
      // A flow made while there was no rule goes on without the process.
      tcp(1, 'SYN', { outcome: 'accept', dst: VIP }, 40_001),
    ],
  },
  {
    name: 'a service port that is opened again goes to the end of its chains, userspace',
    mode: 'userspace',
    services: [],
    steps: [
      { at: 0, apply: [ONE], report: { iptablesCommands: 10 + 2 * 2 + 2 } },
      { at: 0, apply: [service({ id: 1, name: 'two', at: '10.96.0.2:80', endpoints: [EP2] })] },
      tcp(0, 'SYN', { dst: EP1, work: { service_rules_scanned: 1 + 2 } }),
      tcp(0, 'SYN', { dst: EP2, work: { service_rules_scanned: 2 + 2 } }, 1, '10.96.0.2:80'),
      // Two rules deleted, two added, all four checked.
      {
        at: 1,
        apply: [service({ name: 'one', at: '10.96.0.1:81', endpoints: [EP1] })],
        report: { iptablesCommands: 10 + 4 + 4 + 4, rules: 9 },
      },
      tcp(1, 'SYN', { dst: EP2, work: { service_rules_scanned: 1 + 2 } }, 2, '10.96.0.2:80'),
      tcp(1, 'SYN', { dst: EP1, work: { service_rules_scanned: 2 + 2 } }, 3, '10.96.0.1:81'),
      tcp(1, 'SYN', { outcome: 'accept', service: -1 }, 4),
    ],
  },
  {
    // 5 chains, 5 jumps added, 5 flushed, then a pass: 10, two rules added and checked.
    name: 'iptables commands of what changes no rule, userspace',
    mode: 'userspace',
    services: [],
    steps: [
      { at: 0, sync: [ONE], report: { iptablesCommands: 15 + 10 + 4 + 2, changedServicePorts: 1 } },
      { at: 1, apply: [], report: { kind: 'partial', iptablesCommands: 10 + 2, changedServicePorts: 0 } },
      { at: 2, apply: [{ ...ONE, endpoints: [] }], report: { iptablesCommands: 0, changedServicePorts: 1 } },
      { at: 3, apply: [ONE], report: { iptablesCommands: 0 } },
      // The Service is another, though this mode does not look at what changed.
      {
        at: 4,
        apply: [service({ name: 'one', at: VIP, healthPort: 31000, endpoints: [EP1] })],
        report: { iptablesCommands: 10 + 2 },
      },
      { at: 5, apply: [], remove: [7], report: { iptablesCommands: 0 } },
      { at: 6, apply: [], remove: [0], report: { iptablesCommands: 10 + 4, rules: 5, servicePorts: 0 } },
    ],
  },
];

function sticky(affinitySeconds: number, endpoints: readonly string[]): ReturnType<typeof service> {
  return service({ name: 'one', at: VIP, affinitySeconds, endpoints });
}

const AFFINITY: readonly ConformanceCase[] = [
  {
    // EP1 is met alone; then EP2 joins, and the turn begins anew with either.
    name: 'a client keeps its endpoint for the whole seconds of its affinity, userspace',
    mode: 'userspace',
    services: [sticky(10, [EP1])],
    steps: [
      tcp(0, 'SYN', { dst: EP1 }, 1),
      { at: 0, apply: [sticky(10, [EP1, EP2])] },
      tcp(9.999999999, 'SYN', { dst: EP1 }, 2),
      tcp(19.9, 'SYN', { dst: EP1 }, 3),
      // Forgotten after 10 s; the next two clients are the two turns of the list, of which this one took the first.
      { at: 30, apply: [sticky(10, [EP1])] },
      tcp(30, 'SYN', { dst: EP1 }, 4),
      { at: 30, apply: [sticky(10, [EP2])] },
      tcp(30, 'SYN', { dst: EP2 }, 5),
    ],
  },
  {
    name: 'a client is passed on, and stays there, when its endpoint does not answer, userspace',
    mode: 'userspace',
    services: [sticky(10, [EP1, EP2])],
    deadEndpoints: [EP1],
    steps: [
      tcp(0, 'SYN', { dst: EP2 }, 1),
      tcp(1, 'SYN', { dst: EP2, work: { conntrack_lookups: 3 } }, 2),
      tcp(10.9, 'SYN', { dst: EP2, work: { conntrack_lookups: 3 } }, 3),
      // Expired: the turn is at EP1.
      tcp(20.9, 'SYN', { dst: EP2, work: { conntrack_lookups: 5 } }, 4),
    ],
  },
  {
    // LoadBalancerRR.newServiceInternal takes over the kind of affinity, never the time.
    name: 'a balancer keeps the time-out with which it was made, userspace',
    mode: 'userspace',
    services: [sticky(10, [EP1, EP2])],
    deadEndpoints: [EP1],
    steps: [
      tcp(0, 'SYN', { dst: EP2 }, 1),
      { at: 1, apply: [sticky(60, [EP1, EP2])], report: { iptablesCommands: 10 + 2 } },
      tcp(10, 'SYN', { dst: EP2, work: { conntrack_lookups: 5 } }, 2),
      // Without affinity and with it again: what was known is known.
      { at: 11, apply: [service({ name: 'one', at: VIP, endpoints: [EP1, EP2] })] },
      tcp(11, 'SYN', { dst: EP2, work: { conntrack_lookups: 5 } }, 3),
      { at: 12, apply: [sticky(60, [EP1, EP2])] },
      tcp(12, 'SYN', { dst: EP2, work: { conntrack_lookups: 3 } }, 4),
    ],
  },
];

export const USERSPACE_LIFE_CASES: readonly ConformanceCase[] = [...UDP, ...LIVES, ...AFFINITY];
