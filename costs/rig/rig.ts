/**
 * The measuring rig as counters: for a row of the kernel measurements, what an engine would have counted for its packets.
 *
 * The rig sends UDP to itself over loopback from inside the cluster's address range, so a packet takes OUTPUT and
 * POSTROUTING and is not masqueraded; the receiving side is in the cost model's fixed part, as engines do not walk it for a packet of the node itself
 * (engines/README.md section 4). In the emulated guest one packet is one sample and the row has the median; on a machine 32 packets
 * are one sample, so the row has a mean.
 */
import { Counters } from '../../model/counters.ts';
import { PacketBatch } from '../../model/packet.ts';
import { VerdictBatch } from '../../model/verdict.ts';
import { SERVICE_RULE_BYTES } from '../context.ts';
import type { CostContext } from '../context.ts';
import { CostModel } from '../cost-model.ts';
import { variantOption } from '../measured-row.ts';
import type { MeasuredRow } from '../measured-row.ts';
import type { CostProfile } from '../../model/profile.ts';

/** What a row asks of the cost model. */
export interface RigBatch {
  readonly packets: PacketBatch;
  readonly verdicts: VerdictBatch;
  readonly work: Counters;
}

/** A random service for each packet is taken as so many services, evenly apart. */
export const UNIFORM_POSITIONS = 64;
/** What one packet of the rig carries. */
const PAYLOAD_BYTES = 18;
const MIB = 1024 * 1024;

export function emptyBatch(length: number): RigBatch {
  const packets = new PacketBatch(length);
  packets.length = length;
  return { packets, verdicts: new VerdictBatch(length), work: new Counters(length) };
}

/** The cost of each packet of the batch. */
export function batchCosts(profile: CostProfile, context: CostContext, batch: RigBatch): Float64Array {
  const { packets, verdicts, work } = batch;
  const out = new Float64Array(packets.length);
  new CostModel(profile, context).costs(packets, verdicts, work, out);
  return out;
}

export function meanCost(profile: CostProfile, context: CostContext, batch: RigBatch): number {
  return mean(batchCosts(profile, context, batch));
}

export function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Places in KUBE-SERVICES by their names in the CSV, as shares of the number of services. */
const SHARES: Readonly<Record<string, number>> = {
  first: 0,
  only: 0,
  quarter: 0.25,
  middle: 0.5,
  'three-quarters': 0.75,
};

/** Index of the service that packets go to, from 0 in order of creation; undefined for positions that are no single service. */
export function serviceIndex({ position, services }: MeasuredRow): number | undefined {
  if (position === 'last') return services - 1;
  const share = Object.hasOwn(SHARES, position) ? SHARES[position] : undefined;
  if (share !== undefined) return Math.floor(services * share);
  const match = /^index(\d+)$/.exec(position);
  return match === null ? undefined : Number(match[1]);
}

/** The row's traffic and everything else that no engine's tables decide. */
export function rigContext(row: MeasuredRow): CostContext {
  const evicted = /^evict=(\d+(?:\.\d+)?)MiB$/.exec(row.variant);
  return {
    engine: 'iptables',
    iptablesBackend: 'legacy',
    serviceRules: 0,
    serviceRuleBytes: SERVICE_RULE_BYTES,
    chainRules: 0,
    chainComments: row.comments,
    sameServiceProbability: row.position === 'uniform' ? 1 / row.services : 1,
    concurrentFlows: Number(variantOption(row.variant, 'flows') ?? 1),
    otherMemoryBytes: evicted === null ? 0 : Number(evicted[1]) * MIB,
    boundAddresses: 0,
    ipvsScheduler: 'rr',
    ipvsPath: 'kubeIpvs0',
    freshServerRatio: 0,
    payloadBytes: PAYLOAD_BYTES,
  };
}
