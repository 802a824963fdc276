/** Packets that are rejected, dropped or left alone, as data, worked out by hand from engines/README.md. */
import { EMPTY, EP1, EP2, HOST, ONE, OUTSIDE, POD, VIP } from './cases.ts';
import type { ConformanceCase } from './cases.ts';
import { service } from './harness.ts';

export const REFUSAL_CASES: readonly ConformanceCase[] = [
  {
    name: 'ClusterIP without endpoints is rejected, each time anew',
    mode: 'both',
    services: [EMPTY],
    steps: [0, 1].map((at) => ({
      at,
      src: POD,
      dst: VIP,
      flags: 'SYN',
      origin: 'pod' as const,
      expect: {
        outcome: 'reject' as const,
        reason: 'no_endpoints',
        first: true,
        src: POD,
        dst: VIP,
        service: 0,
        work: { conntrack_inserts: 0 },
      },
    })),
  },
  {
    name: 'NodePort without endpoints is rejected',
    mode: 'both',
    services: [EMPTY],
    steps: [
      {
        at: 0,
        src: OUTSIDE,
        dst: '192.168.0.1:30080',
        flags: 'SYN',
        origin: 'external',
        expect: { outcome: 'reject', reason: 'no_endpoints', service: 0 },
      },
    ],
  },
  {
    name: 'terminating endpoints serve when no ready one is left',
    mode: 'both',
    services: [
      service({ name: 'one', at: VIP, endpoints: [`${EP1} terminating`, `${EP2} unready`, '10.244.1.9:1 dead'] }),
    ],
    steps: [{ at: 0, src: POD, dst: VIP, flags: 'SYN', origin: 'pod', expect: { outcome: 'endpoint', dst: EP1 } }],
  },
  {
    name: 'one ready endpoint switches the terminating ones off',
    mode: 'both',
    services: [service({ name: 'one', at: VIP, endpoints: [`${EP1} terminating`, EP2] })],
    steps: [1, 2, 3].map((n) => ({
      at: 0,
      src: `10.244.9.${n}:40000`,
      dst: VIP,
      flags: 'SYN',
      origin: 'pod' as const,
      expect: { outcome: 'endpoint' as const, dst: EP2 },
    })),
  },
  {
    name: 'unready endpoints are not used',
    mode: 'both',
    services: [service({ name: 'one', at: VIP, endpoints: [`${EP1} unready`, `${EP2} dead`] })],
    steps: [
      { at: 0, src: POD, dst: VIP, flags: 'SYN', origin: 'pod', expect: { outcome: 'reject', reason: 'no_endpoints' } },
    ],
  },
  {
    name: 'an unused port of a VIP: forwarded on by iptables',
    mode: 'iptables',
    services: [ONE],
    steps: [
      {
        at: 0,
        src: POD,
        dst: '10.96.0.1:9999',
        flags: 'SYN',
        origin: 'pod',
        expect: { outcome: 'accept', reason: 'none' },
      },
    ],
  },
  {
    name: 'an unused port of a VIP: rejected by IPVS, but not for the host',
    mode: 'ipvs',
    services: [ONE],
    steps: [
      {
        at: 0,
        src: POD,
        dst: '10.96.0.1:9999',
        flags: 'SYN',
        origin: 'pod',
        expect: { outcome: 'reject', reason: 'unused_vip_port', service: -1 },
      },
      { at: 0, src: HOST, dst: '10.96.0.1:9999', flags: 'SYN', origin: 'host', expect: { outcome: 'accept' } },
    ],
  },
  {
    name: 'INVALID: dropped on FORWARD by iptables, accepted for local processes',
    mode: 'iptables',
    services: [ONE],
    steps: [
      {
        at: 0,
        src: POD,
        dst: VIP,
        flags: 'FIN',
        origin: 'pod',
        expect: { outcome: 'drop', reason: 'invalid', first: false, service: -1 },
      },
      {
        at: 0,
        src: POD,
        dst: '192.168.0.1:22',
        flags: 'FIN',
        origin: 'pod',
        expect: { outcome: 'accept', reason: 'invalid' },
      },
      { at: 0, src: POD, dst: '8.8.8.8:22', flags: '', origin: 'pod', expect: { outcome: 'drop', reason: 'invalid' } },
    ],
  },
  {
    name: 'INVALID: passes in IPVS mode',
    mode: 'ipvs',
    services: [ONE],
    steps: [
      {
        at: 0,
        src: POD,
        dst: '8.8.8.8:22',
        flags: 'FIN',
        origin: 'pod',
        expect: { outcome: 'accept', reason: 'invalid', first: false },
      },
    ],
  },
  {
    name: 'localnet is closed to others',
    mode: 'iptables',
    services: [ONE],
    steps: [
      {
        at: 0,
        src: OUTSIDE,
        dst: '127.0.0.1:22',
        flags: 'SYN',
        origin: 'external',
        expect: { outcome: 'drop', reason: 'none', first: true },
      },
    ],
  },
];
