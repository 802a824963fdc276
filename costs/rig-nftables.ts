/**
 * The measuring rig in nftables mode as counters. Its ruleset has the base chains of kube-proxy v1.31 without the ones in front of
 * DNAT: a first packet passes nat output, two filter chains behind it and nat postrouting; its receiving side is in the profile's fixed part.
 */
import { CONNTRACK_INSERTS, CONNTRACK_LOOKUPS, MAP_LOOKUPS, NAT_SETUPS, RULES_EVALUATED } from '../model/counters.ts';
import type { CostProfile } from '../model/profile.ts';
import { OUTCOME_ACCEPT, OUTCOME_ENDPOINT } from '../model/verdict.ts';
import { SERVICE_RULE_BYTES } from './context.ts';
import type { CostContext } from './context.ts';
import { CostModel } from './cost-model.ts';
import type { MeasuredRow } from './measured-row.ts';
import { emptyBatch, meanNs, trafficContext } from './rig.ts';

/** A packet of no service: nat output 3, cluster-ips-check 2, filter output 4, nat postrouting 2. */
export const RIG_MISS_RULES = 11;
/** On a hit the service's chain (2) and the endpoint's (2) come in place of the second rule of `services`. */
export const RIG_HIT_RULES = 14;
/** service-ips and nodeport-ips (on a hit: the map of numgen), cluster-ips, no-endpoint-services, firewall-ips. */
export const RIG_LOOKUPS = 5;
/** The jumps of filter-output (2) and filter-output-post-dnat (1), whose `ct state new` does not hold. */
export const RIG_ESTABLISHED_RULES = 3;
/** The receiving side of a first packet: 2 rules and 1 look-up of filter input. */
export const RIG_RECEIVE_STEPS = 3;

/** Nanoseconds a packet that the profile gives for an `nft` row. */
export function predictNftablesNs(profile: CostProfile, row: MeasuredRow): number {
  const batch = emptyBatch(1);
  const { verdicts, work } = batch;
  const isHit = row.position !== 'miss';
  if (row.mode === 'established') {
    work.rows[RULES_EVALUATED] = RIG_ESTABLISHED_RULES;
    work.rows[CONNTRACK_LOOKUPS] = 1;
  } else {
    work.rows[RULES_EVALUATED] = isHit ? RIG_HIT_RULES : RIG_MISS_RULES;
    work.rows[MAP_LOOKUPS] = RIG_LOOKUPS;
    work.rows[CONNTRACK_LOOKUPS] = 2;
    work.rows[CONNTRACK_INSERTS] = 1;
    work.rows[NAT_SETUPS] = isHit ? 1 : 0;
    verdicts.first[0] = 1;
  }
  verdicts.outcome[0] = isHit ? OUTCOME_ENDPOINT : OUTCOME_ACCEPT;
  return meanNs(new CostModel(profile, nftablesContext(row)), batch);
}

function nftablesContext(row: MeasuredRow): CostContext {
  return {
    ...trafficContext(row),
    engine: 'nftables',
    serviceRules: 0,
    serviceRuleBytes: SERVICE_RULE_BYTES,
    chainRules: row.services * (2 + 2 * row.endpointsPerService),
  };
}
