/** userspace mode, both evaluators, in lockstep with the oracle over random clusters, packets and changes. */
import { it } from 'vitest';
import { referenceUserspace } from '../reference/userspace.ts';
import { createUserspaceEngine } from '../userspace/engine.ts';
import { runCampaign } from './campaign.ts';

const ENGINES = { mode: 'userspace', reference: referenceUserspace, factory: createUserspaceEngine } as const;

it('verdicts, counters and sync reports agree with the oracle in plain worlds', { timeout: 3_600_000 }, () => {
  runCampaign({ ...ENGINES, mustReach: [] });
});

it('and in whole worlds', { timeout: 3_600_000 }, () => {
  runCampaign({ ...ENGINES, world: 'whole', mustReach: [] });
});
