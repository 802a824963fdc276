/** IPVS mode, both evaluators, in lockstep with the oracle over random clusters, packets and changes. */
import { it } from 'vitest';
import { createIpvsEngine } from '../ipvs/engine.ts';
import { referenceIpvs } from '../reference/ipvs.ts';
import { modelsWholeWorlds, runCampaign } from './campaign.ts';
import { makeEngine } from './harness.ts';
import { PLAIN_IPVS_MARKS, WHOLE_IPVS_MARKS } from './ipvs-marks.ts';

const ENGINES = { mode: 'ipvs', reference: referenceIpvs, factory: createIpvsEngine } as const;

it('verdicts, counters and sync reports agree with the oracle in plain worlds', { timeout: 3_600_000 }, () => {
  runCampaign({ ...ENGINES, mustReach: PLAIN_IPVS_MARKS });
});

it.skipIf(!modelsWholeWorlds(makeEngine(createIpvsEngine).supports))(
  'and in whole worlds',
  { timeout: 3_600_000 },
  () => {
    runCampaign({ ...ENGINES, world: 'whole', mustReach: WHOLE_IPVS_MARKS });
  },
);
