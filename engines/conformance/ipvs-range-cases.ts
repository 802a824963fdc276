/** Source ranges of load balancers in IPVS mode, worked out by hand from engines/README.md, section 6. */
import type { ServicePort } from '../../model/cluster.ts';
import type { ConformanceCase } from './cases.ts';
import { EP1, HOST, OUTSIDE, POD, VIP } from './cases.ts';
import { service } from './harness.ts';
import { LB, LB_CLIENT, STRANGER, syn } from './ipvs-case-words.ts';

const balanced = (...sourceRanges: readonly string[]): ServicePort =>
  service({ name: 'one', at: VIP, vips: ['198.51.100.1'], sourceRanges, endpoints: [EP1] });

export const IPVS_RANGE_CASES: readonly ConformanceCase[] = [
  {
    // nat PREROUTING 440, KUBE-SERVICES 152 480 (152 (152)) 480 192 192 192; filter INPUT 440 (192) 440 (480 (480 152)).
    name: 'a source outside the ranges is dropped in front of IPVS, one inside goes on',
    mode: 'ipvs',
    services: [balanced('203.0.113.0/24')],
    steps: [
      syn(0, 'external', STRANGER, LB, {
        outcome: 'drop',
        reason: 'source_range',
        first: true,
        masqueraded: false,
        src: STRANGER,
        dst: LB,
        service: 0,
        exactWork: true,
        work: {
          rules_evaluated: 15,
          rules_matched: 11,
          jumps: 7,
          rule_bytes: 2432 + 2184,
          ipset_tests: 7,
          conntrack_lookups: 1,
        },
      }),
      syn(1, 'external', OUTSIDE, LB, { outcome: 'endpoint', masqueraded: true, src: HOST, dst: EP1 }),
      syn(2, 'pod', POD, LB, { outcome: 'drop', reason: 'source_range', service: 0 }),
      syn(3, 'pod', POD, VIP, { outcome: 'endpoint', dst: EP1 }),
    ],
  },
  {
    name: 'an established flow is dropped, too, when the ranges no longer hold its source',
    mode: 'ipvs',
    services: [balanced('203.0.113.0/24')],
    steps: [
      syn(0, 'external', OUTSIDE, LB, { outcome: 'endpoint', dst: EP1 }),
      { at: 1, answers: 0, flags: 'SYN+ACK', origin: 'pod', expect: { outcome: 'reply', src: LB, dst: OUTSIDE } },
      { at: 2, apply: [balanced('10.0.0.0/8')], report: { ipsetChanges: 2, netlinkRequests: 0 } },
      {
        at: 3,
        src: OUTSIDE,
        dst: LB,
        flags: 'ACK',
        origin: 'external',
        expect: {
          outcome: 'drop',
          reason: 'source_range',
          first: false,
          masqueraded: true,
          src: OUTSIDE,
          dst: LB,
          service: 0,
        },
      },
    ],
  },
  {
    name: 'the range of length 0 is refused by the kernel: nobody passes',
    mode: 'ipvs',
    services: [balanced('0.0.0.0/0')],
    steps: [
      syn(0, 'external', OUTSIDE, LB, { outcome: 'drop', reason: 'source_range' }),
      // It holds the node's address, so that the VIP itself may be a source.
      syn(1, 'external', LB_CLIENT, LB, { outcome: 'endpoint', dst: EP1 }),
      // CLUSTER-IP, LOAD-BALANCER, -FW, -SOURCE-IP and two bound addresses.
      { at: 2, apply: [], remove: [0], report: { ipsetChanges: 6 } },
    ],
  },
  {
    // nat OUTPUT as above 2432; filter OUTPUT 440 (224). Probes: reply, request, service, and the look-up of -m ipvs.
    name: 'the node reaches no VIP whose ranges leave it out, once its source is the VIP',
    mode: 'ipvs',
    services: [balanced('203.0.113.0/24')],
    steps: [
      syn(0, 'host', LB_CLIENT, LB, {
        outcome: 'drop',
        reason: 'source_range',
        first: true,
        masqueraded: false,
        src: LB_CLIENT,
        dst: EP1,
        service: 0,
        exactWork: true,
        work: {
          rules_evaluated: 11,
          rules_matched: 8,
          jumps: 5,
          rule_bytes: 2432 + 664,
          ipset_tests: 4,
          conntrack_lookups: 1,
          hash_probes: 4,
          service_chain_entries: 1,
          connection_chain_entries: 1,
          destinations_examined: 1,
          ipvs_connection_inserts: 1,
          nat_setups: 1,
        },
      }),
      // Again: the flow was not confirmed, but the connection stayed.
      syn(1, 'host', LB_CLIENT, LB, {
        outcome: 'drop',
        reason: 'source_range',
        first: true,
        dst: EP1,
        work: { hash_probes: 3, connection_chain_entries: 2, ipvs_connection_inserts: 0, nat_setups: 0 },
      }),
      syn(2, 'host', HOST, LB, { outcome: 'endpoint', dst: EP1, work: { hash_probes: 3 } }),
      { at: 3, apply: [balanced('203.0.113.0/24', '192.168.0.0/24')], report: { tableRules: 33 } },
      syn(4, 'host', '198.51.100.1:40001', LB, { outcome: 'endpoint', dst: EP1, work: { hash_probes: 3 } }),
    ],
  },
  {
    name: 'the match on IPVS takes the first connection between the two ends, whatever its virtual server',
    mode: 'ipvs',
    services: [balanced('203.0.113.0/24')],
    steps: [
      syn(0, 'host', LB_CLIENT, LB, { outcome: 'drop', reason: 'source_range' }),
      // The same ends by the cluster IP: a newer connection, which stands in front of the other.
      syn(1, 'host', LB_CLIENT, VIP, {
        outcome: 'endpoint',
        dst: EP1,
        work: { hash_probes: 4, connection_chain_entries: 2 },
      }),
      syn(2, 'host', LB_CLIENT, LB, {
        outcome: 'endpoint',
        first: true,
        masqueraded: true,
        dst: EP1,
        work: { hash_probes: 3, connection_chain_entries: 3, port_tries: 1 },
      }),
    ],
  },
];
