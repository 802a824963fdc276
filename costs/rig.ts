/**
 * The measuring rig as counters: for a row of the kernel measurements, what an engine would have counted for its packets.
 *
 * The rig sends UDP to itself over loopback from inside the cluster's address range, so a packet takes OUTPUT and
 * POSTROUTING and is not masqueraded; the receiving side (filter INPUT) is in the profile's fixed part, as engines do not walk it
 * for a packet of the node itself (engines/README.md section 4).
 */
import {
  CONNECTION_CHAIN_ENTRIES,
  CONNTRACK_INSERTS,
  CONNTRACK_LOOKUPS,
  COUNTER_STRIDE,
  Counters,
  DESTINATIONS_EXAMINED,
  HASH_PROBES,
  IPSET_TESTS,
  IPVS_CONNECTION_INSERTS,
  NAT_SETUPS,
  RULES_EVALUATED,
  SERVICE_CHAIN_ENTRIES,
  SERVICE_RULES_SCANNED,
  STATISTIC_RULES,
} from '../model/counters.ts';
import { PacketBatch } from '../model/packet.ts';
import type { CostProfile } from '../model/profile.ts';
import { OUTCOME_ACCEPT, OUTCOME_ENDPOINT, VerdictBatch } from '../model/verdict.ts';
import { SERVICE_RULE_BYTES } from './context.ts';
import type { CostContext } from './context.ts';
import { CostModel } from './cost-model.ts';
import type { MeasuredRow } from './measured-row.ts';

/** Rules other than KUBE-SERVICES that the rig's sending side visits: 1 nat OUTPUT, 2 POSTROUTING, 4 filter OUTPUT. */
export const RIG_PASSING_RULES = 7;
/** The same for an established packet: filter OUTPUT alone. */
export const RIG_ESTABLISHED_RULES = 4;
/** Rules of the receiving side, first or established: 4 of filter INPUT and 1 of KUBE-FIREWALL. */
export const RIG_RECEIVE_RULES = 5;
/** KUBE-SVC's masquerade rule, and KUBE-SEP's two; the rule that jumps to KUBE-SEP comes on top. */
const SERVICE_CHAIN_RULES = 3;

/** IPVS with kube-proxy's rules: 1 nat OUTPUT, 3 KUBE-SERVICES, 1 + 2 POSTROUTING, 3 filter OUTPUT, 1 KUBE-FIREWALL. */
const IPVS_FIRST_RULES = 11;
const IPVS_IPSET_TESTS = 2;

/** A commented and an uncommented KUBE-SERVICES rule: 112 + 288 + 48 + 40, and without the 288. */
const UNCOMMENTED_RULE_BYTES = 200;
const UNIFORM_POSITIONS = 256;
/** What one packet of the rig carries. */
const PAYLOAD_BYTES = 18;
/** The bucket that the rig's destination of no service (10.16.0.0:8080) shares with every 256th virtual server, from this one on. */
const MISS_BUCKET_FIRST_SERVER = 223;

/** What a row asks of the cost model. */
interface RigBatch {
  readonly packets: PacketBatch;
  readonly verdicts: VerdictBatch;
  readonly work: Counters;
}

/** Nanoseconds a packet that the profile gives for an `ipt-legacy` row: the mean over positions and endpoints. */
export function predictIptablesNs(profile: CostProfile, row: MeasuredRow): number {
  const batch = row.mode === 'established' ? establishedBatch() : firstBatch(row);
  return meanNs(new CostModel(profile, iptablesContext(row)), batch);
}

/** Nanoseconds a packet of the batch. */
export function meanNs(model: CostModel, { packets, verdicts, work }: RigBatch): number {
  const out = new Float64Array(packets.length);
  model.costs(packets, verdicts, work, out);
  let sum = 0;
  for (const ns of out) sum += ns;
  return sum / out.length;
}

/** Instructions a packet that the profile gives for an `ipvs` row of kube-proxy's IPVS mode. */
export function predictIpvsInstructions(profile: CostProfile, row: MeasuredRow): number {
  const first = row.mode === 'first';
  const model = new CostModel(profile, ipvsContext(row));
  const positions = row.position === 'uniform' ? UNIFORM_POSITIONS : 1;
  const work = new Counters(1);
  let sum = 0;
  for (let k = 0; k < positions; k++) {
    const index = row.position === 'uniform' ? Math.floor(((k + 0.5) / positions) * row.services) : indexOf(row);
    ipvsCounters(row, index, work.rows);
    sum += model.ipvsInstructions(first, work.rows, 0);
  }
  return sum / positions;
}

function iptablesContext(row: MeasuredRow): CostContext {
  return {
    ...trafficContext(row),
    engine: 'iptables',
    serviceRules: row.services,
    serviceRuleBytes: row.comments ? SERVICE_RULE_BYTES : UNCOMMENTED_RULE_BYTES,
    chainRules: row.services * (1 + 3 * row.endpointsPerService),
  };
}

/** The row's traffic, in a mode without IPVS. */
export function trafficContext(
  row: MeasuredRow,
): Omit<CostContext, 'engine' | 'serviceRules' | 'serviceRuleBytes' | 'chainRules'> {
  return {
    sameServiceProbability: row.position === 'uniform' ? 1 / row.services : 1,
    concurrentFlows: Number(option(row.variant, 'flows') ?? 1),
    otherMemoryBytes: row.variant === 'evict=8MiB' ? 8 * 1024 * 1024 : 0,
    boundAddresses: 0,
    ipvsScheduler: 'rr',
    freshServerRatio: 0,
    payloadBytes: PAYLOAD_BYTES,
  };
}

function firstBatch(row: MeasuredRow): RigBatch {
  const { services, endpointsPerService: endpoints, position } = row;
  const length = position === 'uniform' ? UNIFORM_POSITIONS : endpoints;
  const batch = emptyBatch(length);
  const { rows } = batch.work;
  for (let i = 0; i < length; i++) {
    const at = i * COUNTER_STRIDE;
    const scanned =
      position === 'uniform' ? 1 + Math.floor(((i + 0.5) / length) * services) : Math.round(row.rulesEvaluated);
    const isHit = position !== 'miss';
    // The endpoint picked: every rule up to its own is visited, and the last has no `statistic`.
    const picked = 1 + (i % endpoints);
    const statistic = isHit ? Math.min(picked, endpoints - 1) : 0;
    const jump = isHit && picked === endpoints ? 1 : 0;
    const others = RIG_PASSING_RULES + (isHit ? SERVICE_CHAIN_RULES : 0) + jump;
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
  batch.work.rows[RULES_EVALUATED] = RIG_ESTABLISHED_RULES;
  batch.work.rows[CONNTRACK_LOOKUPS] = 1;
  batch.verdicts.outcome[0] = OUTCOME_ENDPOINT;
  return batch;
}

export function emptyBatch(length: number): RigBatch {
  const packets = new PacketBatch(length);
  packets.length = length;
  return { packets, verdicts: new VerdictBatch(length), work: new Counters(length) };
}

function ipvsContext(row: MeasuredRow): CostContext {
  const packets = 1024;
  return {
    engine: 'ipvs',
    serviceRules: 0,
    serviceRuleBytes: SERVICE_RULE_BYTES,
    chainRules: 0,
    sameServiceProbability: row.position === 'uniform' ? 1 / row.services : 1,
    concurrentFlows: 1,
    otherMemoryBytes: 0,
    boundAddresses: row.variant.includes('kube-ipvs0') ? row.services : 0,
    ipvsScheduler: option(row.variant, 'sched') ?? 'rr',
    // The median packet of the rig's second 1,024 random ones meets a fresh real server where there are many more servers.
    freshServerRatio: row.position === 'uniform' && row.services > 2 * packets ? 1 : 0,
    payloadBytes: PAYLOAD_BYTES,
  };
}

/** Counters of one packet to virtual server `index`, in order of creation: new ones stand at the head of their chain. */
function ipvsCounters(row: MeasuredRow, index: number, rows: Uint32Array): void {
  rows.fill(0);
  const load = Math.round(connections(row.variant) / bucketCount(row.variant));
  if (row.mode !== 'first') {
    rows[RULES_EVALUATED] = RIG_ESTABLISHED_RULES;
    rows[HASH_PROBES] = 2;
    rows[CONNECTION_CHAIN_ENTRIES] = load + 1;
    return;
  }
  const isHit = row.position !== 'miss';
  rows[RULES_EVALUATED] = IPVS_FIRST_RULES;
  rows[IPSET_TESTS] = IPVS_IPSET_TESTS;
  rows[HASH_PROBES] = 3;
  // A packet that is nobody's is looked up at LOCAL_OUT, and on the rig's receiving side at LOCAL_IN again.
  rows[SERVICE_CHAIN_ENTRIES] = isHit
    ? Math.floor((row.services - 1 - index) / 256) + 1
    : 2 * Math.max(0, Math.floor((row.services - 1 - MISS_BUCKET_FIRST_SERVER) / 256) + 1);
  rows[CONNECTION_CHAIN_ENTRIES] = 2 * load;
  rows[IPVS_CONNECTION_INSERTS] = isHit ? 1 : 0;
  rows[NAT_SETUPS] = isHit ? 1 : 0;
  rows[DESTINATIONS_EXAMINED] = isHit ? destinationsExamined(row) : 0;
}

function destinationsExamined(row: MeasuredRow): number {
  const scheduler = option(row.variant, 'sched') ?? 'rr';
  return ['lc', 'wlc', 'sed'].includes(scheduler) ? row.endpointsPerService : 1;
}

function indexOf(row: MeasuredRow): number {
  const match = /^index(\d+)$/.exec(row.position);
  return match === null ? row.services - 1 : Number(match[1]);
}

/** `key=value` in a variant such as `conn_tab_bits=8:conns=256`. */
export function option(variant: string, key: string): string | undefined {
  for (const part of variant.split(':')) {
    if (part.startsWith(`${key}=`)) return part.slice(key.length + 1);
  }
  return undefined;
}

function connections(variant: string): number {
  return Number(option(variant, 'conns') ?? 0);
}

function bucketCount(variant: string): number {
  return 1 << Number(option(variant, 'conn_tab_bits') ?? 12);
}
