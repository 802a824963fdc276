/** iptables mode, both evaluators, in lockstep with the oracle over random clusters, packets and changes. */
import { it } from 'vitest';
import { createIptablesEngine } from '../iptables/engine.ts';
import { referenceIptables } from '../reference/iptables.ts';
import { modelsWholeWorlds, runCampaign } from './campaign.ts';
import { makeEngine } from './harness.ts';
import { PLAIN_IPTABLES_MARKS, WHOLE_IPTABLES_MARKS } from './iptables-marks.ts';

const ENGINES = { mode: 'iptables', reference: referenceIptables, factory: createIptablesEngine } as const;

it('verdicts, counters and sync reports agree with the oracle in plain worlds', { timeout: 3_600_000 }, () => {
  runCampaign({ ...ENGINES, mustReach: PLAIN_IPTABLES_MARKS });
});

it.skipIf(!modelsWholeWorlds(makeEngine(createIptablesEngine).supports))(
  'and in whole worlds',
  { timeout: 3_600_000 },
  () => {
    runCampaign({ ...ENGINES, world: 'whole', mustReach: WHOLE_IPTABLES_MARKS });
  },
);
