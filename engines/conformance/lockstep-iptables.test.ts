/** iptables mode, both evaluators, in lockstep with the oracle over random clusters, packets and changes. */
import { it } from 'vitest';
import { createIptablesEngine } from '../iptables/engine.ts';
import { referenceIptables } from '../reference/iptables.ts';
import { COMMON_MARKS, runCampaign } from './campaign.ts';

it('verdicts, counters and sync reports agree with the oracle', { timeout: 3_600_000 }, () => {
  runCampaign({
    mode: 'iptables',
    reference: referenceIptables,
    factory: createIptablesEngine,
    mustReach: [
      ...COMMON_MARKS,
      'dropped by KUBE-FIREWALL',
      'stale chains deleted',
      'stale chains deleted in large-cluster mode',
      'stale chains not looked for',
    ],
  });
});
