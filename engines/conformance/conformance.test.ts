/** Every engine and evaluator, and the oracle, through the one suite. */
import { createIptablesEngine } from '../iptables/engine.ts';
import { createIpvsEngine } from '../ipvs/engine.ts';
import { createNftablesEngine } from '../nftables/engine.ts';
import { referenceIptables } from '../reference/iptables.ts';
import { referenceIpvs } from '../reference/ipvs.ts';
import { referenceNftables } from '../reference/nftables.ts';
import { FULLY_RANDOM_SKIP } from './nftables-words.ts';
import { referenceUserspace } from '../reference/userspace.ts';
import { createUserspaceEngine } from '../userspace/engine.ts';
import { runConformance } from './suite.ts';

runConformance({ name: 'reference iptables', factory: referenceIptables });
runConformance({ name: 'reference ipvs', factory: referenceIpvs });
runConformance({ name: 'reference nftables', factory: referenceNftables, skip: [FULLY_RANDOM_SKIP] });
runConformance({ name: 'nftables', factory: createNftablesEngine, skip: [FULLY_RANDOM_SKIP] });
runConformance({ name: 'reference userspace', factory: referenceUserspace });
for (const evaluator of ['literal', 'indexed'] as const) {
  runConformance({ name: `iptables, ${evaluator}`, factory: createIptablesEngine, evaluator });
  runConformance({ name: `ipvs, ${evaluator}`, factory: createIpvsEngine, evaluator });
  runConformance({ name: `userspace, ${evaluator}`, factory: createUserspaceEngine, evaluator });
}
