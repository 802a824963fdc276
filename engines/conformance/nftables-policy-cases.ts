/** Load balancers, Local policies and affinity of nftables mode, worked out by hand from engines/README.md, section 9. */
import type { ServicePort } from '../../model/cluster.ts';
import type { ConformanceCase } from './cases.ts';
import { EP1, EP2, HOST, OUTSIDE, POD, VIP } from './cases.ts';
import { service } from './harness.ts';
import { LB, STRANGER, syn, V131, work } from './nftables-words.ts';

const EXTERNAL = '198.51.100.1';

/** A load balancer that only these ranges may use. */
function ranged(endpoints: readonly string[], sourceRanges = ['203.0.113.0/24'], nodePort = 0): ServicePort {
  return service({ name: 'one', at: VIP, nodePort, vips: [EXTERNAL], sourceRanges, endpoints });
}

function localOnly(endpoints: readonly string[]): ServicePort {
  return service({ name: 'one', at: VIP, nodePort: 30080, externalIps: [EXTERNAL], externalLocal: true, endpoints });
}

function sticky(endpoints: readonly string[], affinitySeconds = 10): ServicePort {
  return service({ name: 'one', at: VIP, affinitySeconds, endpoints });
}

const SOURCE_RANGES: readonly ConformanceCase[] = [
  {
    name: 'a source range lets its own in and drops others in front of nat',
    mode: 'nftables',
    services: [ranged([EP1])],
    steps: [
      syn(0, 'external', OUTSIDE, LB, { outcome: 'endpoint', dst: EP1, masqueraded: true, service: 0 }),
      // One range in the braces is a compare.
      syn(0, 'external', STRANGER, LB, {
        outcome: 'drop',
        reason: 'source_range',
        src: STRANGER,
        dst: LB,
        first: true,
        service: 0,
        ...work({ rules_evaluated: 3, rules_matched: 3, jumps: 2, map_lookups: 1, conntrack_lookups: 1 }),
      }),
      syn(0, 'external', '198.51.100.1:40000', LB, { outcome: 'drop', reason: 'source_range', service: 0 }),
      syn(0, 'external', STRANGER, VIP, { outcome: 'endpoint', dst: EP1 }),
    ],
  },
  {
    name: 'a source range that holds the node lets the VIP in as a source',
    mode: 'nftables',
    services: [ranged([EP1], ['192.168.0.0/28'])],
    steps: [
      syn(0, 'external', '198.51.100.1:40000', LB, { outcome: 'endpoint', dst: EP1 }),
      // The range and the VIP in the braces are a set.
      syn(0, 'external', STRANGER, LB, {
        outcome: 'drop',
        reason: 'source_range',
        ...work({ rules_evaluated: 3, rules_matched: 3, jumps: 2, map_lookups: 2, conntrack_lookups: 1 }),
      }),
    ],
  },
  {
    name: 'node ports know no source ranges',
    mode: 'nftables',
    services: [ranged([EP1], ['203.0.113.0/24'], 30080)],
    steps: [syn(0, 'external', STRANGER, '192.168.0.1:30080', { outcome: 'endpoint', dst: EP1 })],
  },
  {
    name: 'source ranges hold without endpoints, too, and on OUTPUT of v1.31 come second',
    mode: 'nftables',
    services: [ranged([])],
    options: V131,
    steps: [
      syn(0, 'external', STRANGER, LB, { outcome: 'drop', reason: 'source_range', service: 0 }),
      syn(0, 'external', OUTSIDE, LB, { outcome: 'reject', reason: 'no_endpoints', service: 0 }),
      syn(0, 'host', HOST, LB, { outcome: 'reject', reason: 'no_endpoints', service: 0 }),
    ],
  },
];

const POLICIES: readonly ConformanceCase[] = [
  {
    name: 'external Local without local endpoints drops strangers; pods and the host reach every endpoint',
    mode: 'nftables',
    services: [localOnly([EP1])],
    steps: [
      // Pre-DNAT 1 + 1, nat 1, services 1 (its second rule is not come back to), external 3, forward 1 + 1.
      syn(0, 'external', OUTSIDE, LB, {
        outcome: 'drop',
        reason: 'no_local_endpoints',
        dst: LB,
        first: true,
        service: 0,
        ...work({ rules_evaluated: 9, rules_matched: 5, jumps: 4, map_lookups: 3, conntrack_lookups: 1 }),
      }),
      syn(0, 'external', OUTSIDE, '192.168.0.1:30080', { outcome: 'drop', reason: 'no_local_endpoints', service: 0 }),
      syn(0, 'pod', POD, LB, { outcome: 'endpoint', dst: EP1, src: POD, masqueraded: false }),
      syn(0, 'host', HOST, LB, { outcome: 'endpoint', dst: EP1, masqueraded: true }),
    ],
  },
  {
    name: 'external Local without local endpoints drops the host in front of the short way, v1.31',
    mode: 'nftables',
    services: [localOnly([EP1])],
    options: V131,
    steps: [
      syn(0, 'host', HOST, LB, {
        outcome: 'drop',
        reason: 'no_local_endpoints',
        dst: LB,
        service: 0,
        ...work({ rules_evaluated: 2, rules_matched: 2, jumps: 1, map_lookups: 1, conntrack_lookups: 1 }),
      }),
      syn(0, 'pod', POD, LB, { outcome: 'endpoint', dst: EP1, masqueraded: false }),
    ],
  },
  {
    name: 'external Local keeps the source address on its way to a local endpoint',
    mode: 'nftables',
    services: [localOnly([`${EP1} local`, EP2])],
    steps: [
      syn(0, 'external', OUTSIDE, LB, { outcome: 'endpoint', dst: EP1, src: OUTSIDE, masqueraded: false }),
      syn(0, 'external', STRANGER, '192.168.0.1:30080', { outcome: 'endpoint', dst: EP1, masqueraded: false }),
    ],
  },
  {
    name: 'internal Local uses local endpoints, and drops without',
    mode: 'nftables',
    services: [
      service({ name: 'one', at: VIP, internalLocal: true, endpoints: [EP1, `${EP2} local`] }),
      service({ id: 1, name: 'two', at: '10.96.0.2:80', internalLocal: true, endpoints: [EP1] }),
    ],
    steps: [
      syn(0, 'pod', POD, VIP, { outcome: 'endpoint', dst: EP2 }),
      syn(0, 'pod', POD, '10.96.0.2:80', { outcome: 'drop', reason: 'no_local_endpoints', service: 1 }),
    ],
  },
];

/** Look-ups of a flow that affinity sends to the first endpoint, and of one that is drawn past two affinity rules. */
const REMEMBERED = { map_lookups: 6 };
const DRAWN = { map_lookups: 8 };

const AFFINITY: readonly ConformanceCase[] = [
  {
    name: 'affinity holds until its time-out after the last new flow, to the nanosecond',
    mode: 'nftables',
    services: [sticky([EP1])],
    steps: [
      syn(0, 'pod', POD, VIP, { outcome: 'endpoint', dst: EP1 }),
      { at: 0.5, apply: [sticky([EP1, EP2])] },
      syn(9.999999999, 'pod', '10.244.9.1:40001', VIP, { dst: EP1, work: REMEMBERED }),
      syn(19, 'pod', '10.244.9.1:40002', VIP, { dst: EP1, work: REMEMBERED }),
      syn(29, 'pod', '10.244.9.1:40003', VIP, { dst: [EP1, EP2], work: DRAWN }),
      syn(29, 'pod', '10.244.9.2:40000', VIP, { dst: [EP1, EP2], work: DRAWN }),
    ],
  },
  {
    name: 'affinity goes with its endpoint, and does not come back with it',
    mode: 'nftables',
    services: [sticky([EP1])],
    steps: [
      syn(0, 'pod', POD, VIP, { dst: EP1 }),
      { at: 1, apply: [sticky([])] },
      { at: 2, apply: [sticky([EP1, EP2])] },
      syn(3, 'pod', '10.244.9.1:40001', VIP, { dst: [EP1, EP2], work: DRAWN }),
    ],
  },
  {
    name: 'a new time-out counts from the next flow on',
    mode: 'nftables',
    services: [sticky([EP1])],
    steps: [
      syn(0, 'pod', POD, VIP, { dst: EP1 }),
      { at: 1, apply: [sticky([EP1, EP2], 100)] },
      syn(5, 'pod', '10.244.9.1:40001', VIP, { dst: EP1, work: REMEMBERED }),
      { at: 6, apply: [sticky([EP1, EP2])] },
      syn(104, 'pod', '10.244.9.1:40002', VIP, { dst: EP1, work: REMEMBERED }),
      syn(114, 'pod', '10.244.9.1:40003', VIP, { dst: [EP1, EP2], work: DRAWN }),
    ],
  },
];

export const NFTABLES_POLICY_CASES: readonly ConformanceCase[] = [...SOURCE_RANGES, ...POLICIES, ...AFFINITY];
