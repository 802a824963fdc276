/** IPVS mode, both evaluators, in lockstep with the oracle over random clusters, packets and changes. */
import { it } from 'vitest';
import { createIpvsEngine } from '../ipvs/engine.ts';
import { referenceIpvs } from '../reference/ipvs.ts';
import { COMMON_MARKS, runCampaign } from './campaign.ts';

it('verdicts, counters and sync reports agree with the oracle', { timeout: 3_600_000 }, () => {
  runCampaign({
    mode: 'ipvs',
    reference: referenceIpvs,
    factory: createIpvsEngine,
    mustReach: [
      ...COMMON_MARKS,
      ...['hit', 'invalid', 'new'].flatMap((kind) => [`connection found for ${kind}`, `connection made for ${kind}`]),
      ...['invalid', 'new', 'original', 'reply'].flatMap((kind) =>
        ['FORWARD', 'INPUT', 'OUTPUT'].map((path) => `reply found for ${kind} on ${path}`),
      ),
      'connection expired CL',
      'connection expired CW',
      'connection expired ES',
      'connection expired FW',
      'connection expired SR',
      'connection expired SS',
      'connection expired TW',
      'connection reused at weight 0',
      'connection reused in TIME_WAIT',
      'graceful termination',
      'lblc server overloaded',
      'lblcr set made smaller',
      'lblcr set overloaded',
      'ovf servers all full',
      'reply of a deleted server',
      'server back with its connections',
      'server unavailable',
      'server wanted again during termination',
      'terminated server deleted',
    ],
  });
});

it('agree with the oracle over whole worlds', { timeout: 3_600_000 }, () => {
  runCampaign({
    mode: 'ipvs',
    world: 'whole',
    reference: referenceIpvs,
    factory: createIpvsEngine,
    mustReach: [],
  });
});
