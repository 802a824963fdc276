/** Every engine and evaluator, and the oracle, through the one suite. */
import { createIptablesEngine } from '../iptables/engine.ts';
import { createIpvsEngine } from '../ipvs/engine.ts';
import { referenceIptables } from '../reference/iptables.ts';
import { referenceIpvs } from '../reference/ipvs.ts';
import { referenceNftables } from '../reference/nftables.ts';
import { runConformance } from './suite.ts';
import type { ConformanceOptions } from './suite.ts';

const NFTABLES_SKIPS: ConformanceOptions['skip'] = [
  {
    reason: 'nftables mode masquerades fully at random, so no source port is kept',
    cases: [
      'ClusterIP from the host: masqueraded, as it is outside the cluster CIDR',
      'masqueradeAll masquerades pods, too',
      'hairpin: a local endpoint that reaches itself is masqueraded',
      'NodePort from outside: masqueraded to the primary address',
      'same source port behind one address: the second flow gets another one, and its answers come back',
    ],
  },
];

runConformance({ name: 'reference iptables', factory: referenceIptables });
runConformance({ name: 'reference ipvs', factory: referenceIpvs });
runConformance({ name: 'reference nftables', factory: referenceNftables, skip: NFTABLES_SKIPS });
for (const evaluator of ['literal', 'indexed'] as const) {
  runConformance({ name: `iptables, ${evaluator}`, factory: createIptablesEngine, evaluator });
  runConformance({ name: `ipvs, ${evaluator}`, factory: createIpvsEngine, evaluator });
}
