/** The rig in iptables mode, through iptables-legacy or iptables-nft. */
import {
  CONNTRACK_INSERTS,
  CONNTRACK_LOOKUPS,
  COUNTER_STRIDE,
  NAT_SETUPS,
  RULES_EVALUATED,
  SERVICE_RULES_SCANNED,
  STATISTIC_RULES,
} from '../../model/counters.ts';
import type { CostProfile } from '../../model/profile.ts';
import { OUTCOME_ACCEPT, OUTCOME_ENDPOINT } from '../../model/verdict.ts';
import { SERVICE_RULE_BYTES, UNCOMMENTED_RULE_BYTES } from '../context.ts';
import type { CostContext } from '../context.ts';
import type { MeasuredRow } from '../measured-row.ts';
import { iptablesCosts } from '../packet-constants.ts';
import { batchCosts, emptyBatch, mean, rigContext, serviceIndex, UNIFORM_POSITIONS } from './rig.ts';
import type { RigBatch } from './rig.ts';

/** Rules other than KUBE-SERVICES that the sending side visits: 1 nat OUTPUT, 2 POSTROUTING, 4 filter OUTPUT. */
const PASSING_RULES = 7;
/** The same for an established packet: filter OUTPUT alone. */
const ESTABLISHED_RULES = 4;
/** KUBE-SVC's masquerade rule, and KUBE-SEP's two; the rule that jumps to KUBE-SEP comes on top. */
const SERVICE_CHAIN_RULES = 3;

/**
 * Comments that are evaluated where every rule has one, beside those of `statistic` rules: 2 jumps and 2 rules of filter OUTPUT, 3 of
 * filter INPUT; with a hit the KUBE-SERVICES rule, the jump to KUBE-SEP and DNAT; established, one of filter INPUT.
 */
const MISS_COMMENTS = 7;
const HIT_COMMENTS = 10;
const ESTABLISHED_COMMENTS = 1;

/** The cost of a packet of the row, in the profile's unit. */
export function predictIptables(profile: CostProfile, row: MeasuredRow): number {
  const context = iptablesContext(row);
  const costs = iptablesCosts(profile, context);
  if (row.mode === 'established') {
    const [cost] = batchCosts(profile, context, establishedBatch());
    return (cost ?? NaN) - (row.comments ? 0 : ESTABLISHED_COMMENTS * costs.comment.value);
  }
  const batch = firstBatch(row);
  const packets = batchCosts(profile, context, batch);
  const isHit = row.position !== 'miss';
  // The model leaves out one comment of a service's own chains; the rig's rules lack all of theirs.
  const missing = row.comments ? 0 : isHit ? HIT_COMMENTS - 1 : MISS_COMMENTS;
  const typical = profile.unit === 'ns' ? mean(packets) : medianDraw(packets, batch, row.endpointsPerService);
  return typical - missing * costs.comment.value;
}

function iptablesContext(row: MeasuredRow): CostContext {
  return {
    ...rigContext(row),
    iptablesBackend: row.engine === 'ipt-nft' ? 'nft' : 'legacy',
    serviceRules: row.services,
    serviceRuleBytes: row.comments ? SERVICE_RULE_BYTES : UNCOMMENTED_RULE_BYTES,
    chainRules: row.services * (1 + 3 * row.endpointsPerService),
  };
}

/** One packet for each endpoint that may be picked; for a random service one for each of some positions. */
function firstBatch(row: MeasuredRow): RigBatch {
  const { services, endpointsPerService: endpoints, position } = row;
  const isHit = position !== 'miss';
  const length = position === 'uniform' ? UNIFORM_POSITIONS : Math.max(1, endpoints);
  const batch = emptyBatch(length);
  const { rows } = batch.work;
  for (let i = 0; i < length; i++) {
    const at = i * COUNTER_STRIDE;
    const scanned =
      position === 'uniform'
        ? 1 + Math.floor(((i + 0.5) / length) * services)
        : 1 + (isHit ? (serviceIndex(row) ?? 0) : services);
    // The endpoint picked: every rule up to its own is visited, and the last has no `statistic`.
    const picked = 1 + (i % endpoints);
    const statistic = isHit ? Math.min(picked, endpoints - 1) : 0;
    const jump = isHit && picked === endpoints ? 1 : 0;
    const others = PASSING_RULES + (isHit ? SERVICE_CHAIN_RULES : 0) + jump;
    rows[at + SERVICE_RULES_SCANNED] = scanned;
    rows[at + STATISTIC_RULES] = statistic;
    rows[at + RULES_EVALUATED] = scanned + statistic + others;
    rows[at + CONNTRACK_LOOKUPS] = 2;
    rows[at + CONNTRACK_INSERTS] = 1;
    rows[at + NAT_SETUPS] = isHit ? 1 : 0;
    batch.verdicts.first[i] = 1;
    batch.verdicts.outcome[i] = isHit ? OUTCOME_ENDPOINT : OUTCOME_ACCEPT;
  }
  return batch;
}

function establishedBatch(): RigBatch {
  const batch = emptyBatch(1);
  batch.work.rows[RULES_EVALUATED] = ESTABLISHED_RULES;
  batch.work.rows[CONNTRACK_LOOKUPS] = 1;
  batch.verdicts.outcome[0] = OUTCOME_ENDPOINT;
  return batch;
}

/**
 * The kernel makes random numbers 24 at a time (drivers/char/random.c, struct batch_u32), so one `statistic` rule in 24 takes so many
 * instructions more: the upper step of the distribution of nft rows, whose packets draw one number each (qemu-nft.csv: p90 minus median).
 * A first packet draws one for itself, as the medians over 2 to 20 endpoints show.
 */
const RANDOM_BATCH = 24;
const RANDOM_REFILL_INSTRUCTIONS = 3119;
const OWN_DRAWS = 1;

/** One first packet in 16 finds no room in the page of connection-tracking entries: qemu-ipt.csv, one endpoint, p90 minus median. */
const ENTRIES_PER_PAGE = 16;
const NEW_PAGE_INSTRUCTIONS = 1566;

/** The median over the endpoints picked, over where in its batch of random numbers the kernel is, and over whether it takes a new page. */
function medianDraw(packets: Float64Array, { work }: RigBatch, endpoints: number): number {
  if (endpoints < 2) return mean(packets);
  const all: { readonly cost: number; readonly weight: number }[] = [];
  packets.forEach((cost, i) => {
    const draws = work.rows[i * COUNTER_STRIDE + STATISTIC_RULES];
    for (let used = 0; used < RANDOM_BATCH; used++) {
      const refills = Math.floor((used + draws + OWN_DRAWS) / RANDOM_BATCH) - draws / RANDOM_BATCH;
      const drawn = cost + refills * RANDOM_REFILL_INSTRUCTIONS;
      all.push({ cost: drawn, weight: ENTRIES_PER_PAGE - 1 }, { cost: drawn + NEW_PAGE_INSTRUCTIONS, weight: 1 });
    }
  });
  all.sort((a, b) => a.cost - b.cost);
  const half = (packets.length * RANDOM_BATCH * ENTRIES_PER_PAGE) / 2;
  let below = 0;
  for (const { cost, weight } of all) {
    below += weight;
    if (below >= half) return cost;
  }
  return NaN;
}
