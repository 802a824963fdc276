/** nftables mode in lockstep with the oracle over random clusters, packets and changes: plain worlds, and whole ones of both sets of base chains. */
import { it } from 'vitest';
import { createNftablesEngine } from '../nftables/engine.ts';
import { referenceNftables } from '../reference/nftables.ts';
import { runCampaign } from './campaign.ts';
import { PLAIN_NFTABLES_MARKS, WHOLE_NFTABLES_MARKS } from './nftables-marks.ts';

const NFTABLES = { mode: 'nftables', reference: referenceNftables, factory: createNftablesEngine } as const;

it('verdicts, counters and sync reports agree with the oracle in plain worlds', { timeout: 3_600_000 }, () => {
  runCampaign({ ...NFTABLES, mustReach: PLAIN_NFTABLES_MARKS });
});

it('verdicts, counters and sync reports agree with the oracle in whole worlds', { timeout: 3_600_000 }, () => {
  runCampaign({ ...NFTABLES, mustReach: WHOLE_NFTABLES_MARKS, world: 'whole' });
});
