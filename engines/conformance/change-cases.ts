/** Flows across syncs, time-outs and closing, as data, worked out by hand from engines/README.md. */
import { DNS1, DNS2, DNS_VIP, EP1, EP2, ONE, POD, VIP } from './cases.ts';
import type { CaseStep, ConformanceCase } from './cases.ts';
import { service } from './harness.ts';

function conversation(from: number, client: string, to: string): CaseStep[] {
  return [
    {
      at: from,
      src: client,
      dst: VIP,
      flags: 'SYN',
      origin: 'pod',
      expect: { outcome: 'endpoint', first: true, dst: to },
    },
    { at: from + 0.1, answers: 0, flags: 'SYN+ACK', origin: 'pod', expect: { outcome: 'reply' } },
    { at: from + 0.2, src: client, dst: VIP, flags: 'ACK', origin: 'pod', expect: { outcome: 'endpoint', dst: to } },
  ];
}

const DATAGRAM = { src: POD, dst: DNS_VIP, udp: true, origin: 'pod' } as const;

/** `dropped`: steps between the change of the server and the packet that meets the new one. */
function ipvsStaleUdp(
  name: string,
  options: NonNullable<ConformanceCase['options']>,
  dropped: readonly CaseStep[],
): ConformanceCase {
  return {
    name: `stale UDP flows are cleaned up: ${name}`,
    mode: 'ipvs',
    options,
    services: [DNS1],
    steps: [
      { ...DATAGRAM, at: 0, expect: { outcome: 'endpoint', dst: '10.244.1.3:53', first: true } },
      { at: 1, apply: [DNS2], report: { conntrackDeletes: 1, netlinkRequests: 2 } },
      ...dropped,
      { ...DATAGRAM, at: 2, expect: { outcome: 'endpoint', dst: '10.244.1.4:53', first: true } },
    ],
  };
}

export const CHANGE_CASES: readonly ConformanceCase[] = [
  {
    name: 'an established flow outlives the removal of its endpoint',
    mode: 'both',
    services: [ONE],
    steps: [
      ...conversation(0, POD, EP1),
      { at: 1, apply: [service({ name: 'one', at: VIP, endpoints: [EP2] })] },
      {
        at: 2,
        src: POD,
        dst: VIP,
        flags: 'ACK',
        origin: 'pod',
        expect: { outcome: 'endpoint', first: false, dst: EP1 },
      },
      { at: 2, answers: 0, flags: 'ACK', origin: 'pod', expect: { outcome: 'reply', src: VIP } },
      {
        at: 3,
        src: '10.244.9.2:40000',
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: { outcome: 'endpoint', dst: EP2 },
      },
    ],
  },
  {
    name: 'graceful termination: weight 0 while connections live, deleted at the next check after',
    mode: 'ipvs',
    services: [ONE],
    steps: [
      ...conversation(0, POD, EP1),
      { at: 1, nextTimerSeconds: Infinity },
      { at: 1, apply: [service({ name: 'one', at: VIP, endpoints: [EP2] })], report: { netlinkRequests: 2 } },
      { at: 1, nextTimerSeconds: 60 },
      { at: 61, nextTimerSeconds: 120 },
      { at: 61, src: POD, dst: VIP, flags: 'RST', origin: 'pod', expect: { outcome: 'endpoint', dst: EP1 } },
      { at: 70, nextTimerSeconds: 120 },
      { at: 120, nextTimerSeconds: Infinity },
    ],
  },
  {
    name: 'graceful termination: a SYN on the old ports ends the old connection, and goes to another server when it is sent again',
    mode: 'ipvs',
    services: [ONE],
    steps: [
      ...conversation(0, POD, EP1),
      { at: 1, apply: [service({ name: 'one', at: VIP, endpoints: [EP2] })] },
      {
        at: 2,
        src: POD,
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: {
          outcome: 'drop',
          reason: 'port_reused',
          first: false,
          dst: VIP,
          work: { ipvs_connection_inserts: 0 },
        },
      },
      {
        at: 3,
        src: POD,
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: { outcome: 'endpoint', first: true, dst: EP2, work: { ipvs_connection_inserts: 1, nat_setups: 1 } },
      },
    ],
  },
  {
    name: 'graceful termination: a server that comes back keeps its connections',
    mode: 'ipvs',
    services: [ONE],
    steps: [
      ...conversation(0, POD, EP1),
      { at: 1, apply: [service({ name: 'one', at: VIP, endpoints: [EP2] })], report: { netlinkRequests: 2 } },
      { at: 2, apply: [service({ name: 'one', at: VIP, endpoints: [EP1, EP2] })], report: { netlinkRequests: 2 } },
      { at: 2, nextTimerSeconds: Infinity },
      { at: 3, src: POD, dst: VIP, flags: 'ACK', origin: 'pod', expect: { outcome: 'endpoint', dst: EP1 } },
    ],
  },
  {
    name: 'stale UDP flows are cleaned up: iptables sends the next packet to the new endpoint',
    mode: 'iptables',
    services: [DNS1],
    steps: [
      {
        at: 0,
        src: POD,
        dst: DNS_VIP,
        udp: true,
        origin: 'pod',
        expect: { outcome: 'endpoint', dst: '10.244.1.3:53', first: true },
      },
      { at: 1, apply: [DNS2], report: { conntrackDeletes: 1 } },
      {
        at: 2,
        src: POD,
        dst: DNS_VIP,
        udp: true,
        origin: 'pod',
        expect: { outcome: 'endpoint', dst: '10.244.1.4:53', first: true },
      },
    ],
  },
  ipvsStaleUdp('IPVS asks for another server at once', {}, []),
  ipvsStaleUdp('IPVS drops one packet for the deleted server before Linux 5.9', { kernel: [5, 8] }, [
    { ...DATAGRAM, at: 2, expect: { outcome: 'drop', reason: 'server_unavailable', first: true, service: 0 } },
  ]),
  {
    name: 'UDP expires 30 s after the last packet, 120 s once answered',
    mode: 'both',
    services: [DNS1],
    steps: [
      { at: 0, src: POD, dst: DNS_VIP, udp: true, origin: 'pod', expect: { first: true } },
      { at: 29.999999999, src: POD, dst: DNS_VIP, udp: true, origin: 'pod', expect: { first: false } },
      { at: 59.999999999, src: POD, dst: DNS_VIP, udp: true, origin: 'pod', expect: { first: true } },
      { at: 60, answers: 2, udp: true, origin: 'pod', expect: { outcome: 'reply' } },
      { at: 179.999999999, src: POD, dst: DNS_VIP, udp: true, origin: 'pod', expect: { first: false } },
      { at: 299.999999999, src: POD, dst: DNS_VIP, udp: true, origin: 'pod', expect: { first: true } },
    ],
  },
  {
    name: 'TCP: an unanswered SYN is forgotten after 120 s',
    mode: 'both',
    services: [ONE],
    steps: [
      { at: 0, src: POD, dst: VIP, flags: 'SYN', origin: 'pod', expect: { first: true } },
      { at: 100, src: POD, dst: VIP, flags: 'SYN', origin: 'pod', expect: { first: false } },
      { at: 220, src: POD, dst: VIP, flags: 'SYN', origin: 'pod', expect: { first: true } },
    ],
  },
  {
    name: 'TCP: a SYN on the ports of a closed connection opens a new one',
    mode: 'both',
    services: [ONE],
    steps: [
      ...conversation(0, POD, EP1),
      { at: 1, src: POD, dst: VIP, flags: 'FIN+ACK', origin: 'pod', expect: { outcome: 'endpoint' } },
      { at: 1, answers: 0, flags: 'FIN+ACK', origin: 'pod', expect: { outcome: 'reply' } },
      { at: 1, src: POD, dst: VIP, flags: 'ACK', origin: 'pod', expect: { outcome: 'endpoint', first: false } },
      {
        at: 2,
        src: POD,
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: { outcome: 'endpoint', first: true, work: { conntrack_inserts: 1 } },
      },
    ],
  },
];
