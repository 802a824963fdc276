/** Every engine and evaluator, and the oracle, through the one suite. */
import { createIptablesEngine } from '../iptables/engine.ts';
import { createIpvsEngine } from '../ipvs/engine.ts';
import { referenceIptables } from '../reference/iptables.ts';
import { referenceIpvs } from '../reference/ipvs.ts';
import { runConformance } from './suite.ts';

runConformance({ name: 'reference iptables', factory: referenceIptables });
runConformance({ name: 'reference ipvs', factory: referenceIpvs });
for (const evaluator of ['literal', 'indexed'] as const) {
  runConformance({ name: `iptables, ${evaluator}`, factory: createIptablesEngine, evaluator });
  runConformance({ name: `ipvs, ${evaluator}`, factory: createIpvsEngine, evaluator });
}
