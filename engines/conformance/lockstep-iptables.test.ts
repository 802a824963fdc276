/** iptables mode, both evaluators, in lockstep with the oracle over random clusters, packets and changes. */
import { it } from 'vitest';
import { createIptablesEngine } from '../iptables/engine.ts';
import { referenceIptables } from '../reference/iptables.ts';
import { COMMON_MARKS, runCampaign } from './campaign.ts';

const OF_THIS_MODE = [
  'dropped by KUBE-FIREWALL',
  'stale chains deleted',
  'stale chains deleted in large-cluster mode',
  'stale chains not looked for',
];

const OF_WHOLE_WORLDS = [
  'a local endpoint wins over its duplicate',
  'answered sctp flow expired',
  'dropped by KUBE-EXTERNAL-SERVICES',
  'dropped by KUBE-PROXY-FIREWALL',
  'dropped by KUBE-SERVICES',
  'hints for the node followed',
  'hints for the zone followed',
  'local endpoints beside the cluster ones',
  'random-fully',
  'recent entry evicted',
  'recent entry of another source reaped',
  'recent entry reaped',
  'recent entry stamped again',
  'recent entry too old',
  'recent hit',
  'recent list deleted with entries',
  'recent list out of byte order',
  'recent miss',
  'rejected by KUBE-EXTERNAL-SERVICES',
  'rejected by KUBE-SERVICES',
  'stale KUBE-EXT chain deleted',
  'stale KUBE-FW chain deleted',
  'stale KUBE-SEP chain deleted',
  'stale KUBE-SVC chain deleted',
  'stale KUBE-SVL chain deleted',
  'stale udp flow found by two filters',
  'stale udp flow, events: endpoint gone, address',
  'stale udp flow, events: endpoint gone, node port',
  'stale udp flow, events: endpoint moved, address',
  'stale udp flow, events: first endpoint, address',
  'stale udp flow, events: first endpoint, node port',
  'stale udp flow, events: service port removed',
  'stale udp flow, reconcile: address and port',
  'stale udp flow, reconcile: node port',
  'table full',
  'table full but for expired entries',
  'table full for an invalid packet',
  'terminating local endpoints used',
  'unanswered sctp flow expired',
];

it('verdicts, counters and sync reports agree with the oracle', { timeout: 3_600_000 }, () => {
  runCampaign({
    mode: 'iptables',
    reference: referenceIptables,
    factory: createIptablesEngine,
    mustReach: [...COMMON_MARKS, ...OF_THIS_MODE],
  });
});

it('and so with everything that a service port may have', { timeout: 3_600_000 }, () => {
  runCampaign({
    mode: 'iptables',
    world: 'whole',
    reference: referenceIptables,
    factory: createIptablesEngine,
    mustReach: [...COMMON_MARKS, ...OF_THIS_MODE, ...OF_WHOLE_WORLDS],
  });
});
