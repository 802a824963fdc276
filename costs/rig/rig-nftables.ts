/**
 * The rig in nftables mode. Its ruleset has the base chains of kube-proxy v1.31 without the ones in front of
 * DNAT: a first packet passes nat output, two filter chains behind it and nat postrouting; the receiving side is in the cost model's fixed part.
 */
import {
  CONNTRACK_INSERTS,
  CONNTRACK_LOOKUPS,
  MAP_LOOKUPS,
  NAT_SETUPS,
  RULES_EVALUATED,
} from '../../model/counters.ts';
import type { CostProfile } from '../../model/profile.ts';
import { OUTCOME_ACCEPT, OUTCOME_ENDPOINT } from '../../model/verdict.ts';
import type { MeasuredRow } from '../measured-row.ts';
import { emptyBatch, meanCost, rigContext } from './rig.ts';

/** A packet of no service: nat output 3, cluster-ips-check 2, filter output 4, nat postrouting 2. */
const MISS_RULES = 11;
/** On a hit the service's chain (2) and the endpoint's (2) come in place of the second rule of `services`. */
const HIT_RULES = 14;
/** service-ips and nodeport-ips (on a hit: the map of numgen), cluster-ips, no-endpoint-services, firewall-ips. */
const LOOKUPS = 5;
/** The jumps of filter-output (2) and filter-output-post-dnat (1), whose `ct state new` does not hold. */
const ESTABLISHED_RULES = 3;

/** The cost of a packet of an `nft` row, in the profile's unit. */
export function predictNftables(profile: CostProfile, row: MeasuredRow): number {
  const batch = emptyBatch(1);
  const { verdicts, work } = batch;
  const isHit = row.position !== 'miss';
  if (row.mode === 'established') {
    work.rows[RULES_EVALUATED] = ESTABLISHED_RULES;
    work.rows[CONNTRACK_LOOKUPS] = 1;
  } else {
    work.rows[RULES_EVALUATED] = isHit ? HIT_RULES : MISS_RULES;
    work.rows[MAP_LOOKUPS] = LOOKUPS;
    work.rows[CONNTRACK_LOOKUPS] = 2;
    work.rows[CONNTRACK_INSERTS] = 1;
    work.rows[NAT_SETUPS] = isHit ? 1 : 0;
    verdicts.first[0] = 1;
  }
  verdicts.outcome[0] = isHit ? OUTCOME_ENDPOINT : OUTCOME_ACCEPT;
  const chainRules = row.services * (2 + 2 * row.endpointsPerService);
  return meanCost(profile, { ...rigContext(row), engine: 'nftables', chainRules }, batch);
}
