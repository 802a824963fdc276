/** Session affinity in iptables mode: what `-m recent` remembers, for how long and of how many, worked out by hand. */
import type { ServicePort } from '../../model/cluster.ts';
import type { CaseStep, ConformanceCase, Expectation } from './cases.ts';
import { EP1, EP2, VIP } from './cases.ts';
import { service } from './harness.ts';

const SECONDS = 10;

function sticky(endpoints: readonly string[]): ServicePort {
  return service({ name: 'one', at: VIP, affinitySeconds: SECONDS, endpoints });
}

/** A new connection of client `number`, each from a port of its own. */
function connect(at: number, number: number, port: number, expect: Expectation): CaseStep {
  return {
    at,
    src: `10.244.${9 + (number >> 8)}.${number & 255}:${port}`,
    dst: VIP,
    flags: 'SYN',
    origin: 'pod',
    expect,
  };
}

/** Remembered: no draw. */
const STAYS: Expectation = { outcome: 'endpoint', dst: EP1, work: { statistic_rules: 0 } };
/** Of two endpoints neither is remembered: one draw. */
const FORGOTTEN: Expectation = { outcome: 'endpoint', dst: [EP1, EP2], work: { statistic_rules: 1 } };

/** Clients that came while EP1 was alone, then EP2 joins. */
function afterMeeting(count: number, at: number): CaseStep[] {
  const met = Array.from({ length: count }, (_, i) => connect(0, i + 1, 40_000, { dst: EP1 }));
  return [...met, { at, apply: [sticky([EP1, EP2])] }];
}

export const IPTABLES_AFFINITY_CASES: readonly ConformanceCase[] = [
  {
    // nat PREROUTING 440, KUBE-SERVICES 488, KUBE-SVC 488 704 440, KUBE-SEP 440 768; filter and POSTROUTING as of any ClusterIP flow.
    name: 'work of the first flow of a client with session affinity',
    mode: 'iptables',
    services: [sticky([EP1])],
    steps: [
      connect(0, 1, 40_000, {
        exactWork: true,
        work: {
          rules_evaluated: 16,
          rules_matched: 10,
          service_rules_scanned: 1,
          jumps: 8,
          rule_bytes: 3768 + 3840 + 640,
          recent_tests: 2,
          recent_lists_passed: 2,
          conntrack_lookups: 2,
          conntrack_inserts: 1,
          nat_setups: 1,
        },
      }),
      // The check jumps: the rule behind it is not visited.
      connect(1, 1, 40_001, {
        work: { rules_evaluated: 15, rule_bytes: 3328 + 3840 + 640, recent_tests: 2, recent_lists_passed: 2 },
      }),
    ],
  },
  {
    name: 'session affinity: a client stays where it was, a list that came later stands behind',
    mode: 'iptables',
    services: [sticky([EP1])],
    steps: [
      ...afterMeeting(1, 1),
      ...Array.from({ length: 20 }, (_, i) =>
        connect(2, 1, 40_001 + i, { ...STAYS, work: { statistic_rules: 0, recent_tests: 2, recent_lists_passed: 2 } }),
      ),
      // A stranger: checks at 1 and 2, then sets where it was sent.
      connect(2, 2, 40_000, { ...FORGOTTEN, work: { statistic_rules: 1, recent_tests: 3 } }),
    ],
  },
  {
    name: 'session affinity: as long as the time-out after the last connection, and not a nanosecond longer',
    mode: 'iptables',
    services: [sticky([EP1])],
    steps: [
      ...afterMeeting(1, 1),
      connect(SECONDS, 1, 40_001, STAYS),
      connect(2 * SECONDS, 1, 40_002, STAYS),
      connect(3 * SECONDS + 1e-9, 1, 40_003, FORGOTTEN),
    ],
  },
  {
    name: 'session affinity: a list remembers a hundred clients, the one that was away longest goes',
    mode: 'iptables',
    services: [sticky([EP1])],
    steps: [
      ...Array.from({ length: 100 }, (_, i) => connect(0, i + 1, 40_000, { dst: EP1 })),
      // The first comes again, so that the second is now the oldest.
      connect(1, 1, 40_001, { dst: EP1 }),
      connect(1, 101, 40_000, { dst: EP1 }),
      { at: 2, apply: [sticky([EP1, EP2])] },
      connect(3, 1, 40_002, STAYS),
      connect(3, 3, 40_002, STAYS),
      connect(3, 101, 40_002, STAYS),
      connect(3, 2, 40_002, FORGOTTEN),
    ],
  },
  {
    name: 'session affinity: an endpoint that goes takes its list along',
    mode: 'iptables',
    services: [sticky([EP1])],
    steps: [
      connect(0, 1, 40_000, { dst: EP1 }),
      { at: 1, apply: [sticky([EP2])] },
      { at: 2, apply: [sticky([EP1, EP2])] },
      connect(3, 1, 40_001, FORGOTTEN),
    ],
  },
  {
    name: 'session affinity: in a large cluster the stale chain keeps its list until it is looked for',
    mode: 'iptables',
    options: { largeClusterEndpoints: 0 },
    services: [sticky([EP1])],
    steps: [
      connect(0, 1, 40_000, { dst: EP1 }),
      { at: 1, apply: [sticky([EP2])] },
      { at: 2, apply: [sticky([EP1, EP2])] },
      connect(3, 1, 40_001, STAYS),
    ],
  },
];
