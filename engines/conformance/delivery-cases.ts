/** Packets that are delivered, as data: what a correct engine of each mode does, worked out by hand from engines/README.md. */
import { EP1, EP2, HOST, ONE, ONE_NODE_PORT, OUTSIDE, POD, TWO, VIP } from './cases.ts';
import type { ConformanceCase } from './cases.ts';
import { service } from './harness.ts';

export const DELIVERY_CASES: readonly ConformanceCase[] = [
  {
    name: 'ClusterIP from a pod: translated, answered, established',
    mode: 'both',
    services: [ONE],
    steps: [
      {
        at: 0,
        src: POD,
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: {
          outcome: 'endpoint',
          reason: 'none',
          first: true,
          masqueraded: false,
          src: POD,
          dst: EP1,
          service: 0,
        },
      },
      {
        at: 0.1,
        answers: 0,
        flags: 'SYN+ACK',
        origin: 'pod',
        expect: { outcome: 'reply', first: false, src: VIP, dst: POD, service: 0 },
      },
      {
        at: 0.2,
        src: POD,
        dst: VIP,
        flags: 'ACK',
        origin: 'pod',
        expect: { outcome: 'endpoint', first: false, src: POD, dst: EP1, service: 0 },
      },
    ],
  },
  {
    name: 'ClusterIP from the host: masqueraded, as it is outside the cluster CIDR',
    mode: 'both',
    services: [ONE],
    steps: [
      {
        at: 0,
        src: HOST,
        dst: VIP,
        flags: 'SYN',
        origin: 'host',
        expect: { outcome: 'endpoint', masqueraded: true, src: HOST, dst: EP1 },
      },
      {
        at: 0,
        answers: 0,
        flags: 'SYN+ACK',
        origin: 'external',
        expect: { outcome: 'reply', src: VIP, dst: HOST, masqueraded: true },
      },
    ],
  },
  {
    name: 'masqueradeAll masquerades pods, too',
    mode: 'both',
    services: [ONE],
    options: { masqueradeAll: true },
    steps: [
      {
        at: 0,
        src: POD,
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: { outcome: 'endpoint', masqueraded: true, src: HOST, dst: EP1 },
      },
    ],
  },
  {
    name: 'hairpin: a local endpoint that reaches itself is masqueraded',
    mode: 'both',
    services: [service({ name: 'one', at: VIP, endpoints: [`${EP1} local`] })],
    steps: [
      {
        at: 0,
        src: '10.244.1.1:40000',
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: { outcome: 'endpoint', masqueraded: true, src: HOST, dst: EP1 },
      },
      {
        at: 0,
        answers: 0,
        flags: 'SYN+ACK',
        origin: 'pod',
        expect: { outcome: 'reply', src: VIP, dst: '10.244.1.1:40000' },
      },
    ],
  },
  {
    name: 'NodePort from outside: masqueraded to the primary address',
    mode: 'both',
    services: [TWO],
    steps: [
      {
        at: 0,
        src: OUTSIDE,
        dst: '192.168.0.2:30080',
        flags: 'SYN',
        origin: 'external',
        expect: { outcome: 'endpoint', first: true, masqueraded: true, src: HOST, dst: [EP1, EP2], service: 0 },
      },
      {
        at: 0,
        answers: 0,
        flags: 'SYN+ACK',
        origin: 'pod',
        expect: { outcome: 'reply', src: '192.168.0.2:30080', dst: OUTSIDE, masqueraded: true, service: 0 },
      },
    ],
  },
  {
    name: 'NodePort from a pod',
    mode: 'both',
    services: [TWO],
    steps: [
      {
        at: 0,
        src: POD,
        dst: '192.168.0.1:30080',
        flags: 'SYN',
        origin: 'pod',
        expect: { outcome: 'endpoint', masqueraded: true, dst: [EP1, EP2] },
      },
    ],
  },
  {
    name: 'NodePort from the host',
    mode: 'both',
    services: [TWO],
    steps: [
      {
        at: 0,
        src: HOST,
        dst: '192.168.0.2:30080',
        flags: 'SYN',
        origin: 'host',
        expect: { outcome: 'endpoint', masqueraded: true, dst: [EP1, EP2] },
      },
    ],
  },
  {
    name: 'NodePort on loopback works in iptables mode',
    mode: 'iptables',
    services: [ONE_NODE_PORT],
    steps: [
      {
        at: 0,
        src: '127.0.0.1:40000',
        dst: '127.0.0.1:30080',
        flags: 'SYN',
        origin: 'host',
        expect: { outcome: 'endpoint', masqueraded: true, src: HOST, dst: EP1 },
      },
    ],
  },
  {
    name: 'a packet for no Service passes unchanged',
    mode: 'both',
    services: [TWO],
    steps: [
      {
        at: 0,
        src: POD,
        dst: '8.8.8.8:443',
        flags: 'SYN',
        origin: 'pod',
        expect: { outcome: 'accept', first: true, src: POD, dst: '8.8.8.8:443', service: -1, masqueraded: false },
      },
      {
        at: 0,
        answers: 0,
        flags: 'SYN+ACK',
        origin: 'external',
        expect: { outcome: 'accept', src: '8.8.8.8:443', dst: POD },
      },
      {
        at: 1,
        src: OUTSIDE,
        dst: '192.168.0.1:22',
        flags: 'SYN',
        origin: 'external',
        expect: { outcome: 'accept', dst: '192.168.0.1:22', service: -1 },
      },
    ],
  },
  {
    name: 'same source port behind one address: the second flow gets another one, and its answers come back',
    mode: 'both',
    services: [ONE_NODE_PORT],
    steps: [
      {
        at: 0,
        src: OUTSIDE,
        dst: '192.168.0.1:30080',
        flags: 'SYN',
        origin: 'external',
        expect: { src: HOST, work: { port_tries: 0, conntrack_lookups: 2, nat_setups: 2 } },
      },
      {
        at: 0,
        src: '203.0.113.8:40000',
        dst: '192.168.0.1:30080',
        flags: 'SYN',
        origin: 'external',
        expect: {
          outcome: 'endpoint',
          masqueraded: true,
          work: { port_tries: 1, conntrack_lookups: 3, nat_setups: 2 },
        },
      },
      { at: 0, answers: 1, flags: 'SYN+ACK', origin: 'pod', expect: { outcome: 'reply', dst: '203.0.113.8:40000' } },
      { at: 0, answers: 0, flags: 'SYN+ACK', origin: 'pod', expect: { outcome: 'reply', dst: OUTSIDE } },
    ],
  },
];
