/** iptables mode, both evaluators, in lockstep with the oracle over random clusters, packets and changes. */
import { it } from 'vitest';
import { createIptablesEngine } from '../iptables/engine.ts';
import { referenceIptables } from '../reference/iptables.ts';
import { COMMON_MARKS, runCampaign } from './campaign.ts';

const STALE_CHAINS = [
  'stale chains deleted',
  'stale chains deleted in large-cluster mode',
  'stale chains not looked for',
];

it('verdicts, counters and sync reports agree with the oracle', { timeout: 3_600_000 }, () => {
  runCampaign({
    mode: 'iptables',
    reference: referenceIptables,
    factory: createIptablesEngine,
    mustReach: [...COMMON_MARKS, ...STALE_CHAINS, 'dropped by KUBE-FIREWALL'],
  });
});

it('and so with everything that a service port may have', { timeout: 3_600_000 }, () => {
  runCampaign({
    mode: 'iptables',
    world: 'whole',
    reference: referenceIptables,
    factory: createIptablesEngine,
    mustReach: [...COMMON_MARKS, ...STALE_CHAINS, 'dropped by KUBE-FIREWALL'],
  });
});
