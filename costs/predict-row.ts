/** What a profile says of a measured row, whatever its engine and mode; or why it says nothing. */
import type { CostProfile } from '../model/profile.ts';
import type { MeasuredRow } from './measured-row.ts';
import { serviceIndex } from './rig/rig.ts';
import { predictIptables } from './rig/rig-iptables.ts';
import { predictIpvs } from './rig/rig-ipvs.ts';
import { predictNftables } from './rig/rig-nftables.ts';
import { predictSync } from './rig/rig-sync.ts';

export type Prediction = { readonly value: number } | { readonly reason: string };

/** Packets in the row's unit; syncs in the unit that `syncUnit` names. */
export function predictRow(profile: CostProfile, row: MeasuredRow): Prediction {
  if (row.mode === 'syscall') return { reason: 'a system call without a packet is not modelled' };
  const unit = row.mode === 'sync' ? syncUnit(row) : row.unit === 'ns/packet' ? 'ns' : 'instructions';
  if (unit !== profile.unit) {
    return {
      reason: `measured in ${row.unit}, the profile is in ${profile.unit === 'ns' ? 'nanoseconds' : 'instructions'}`,
    };
  }
  if (row.mode === 'sync') return syncPrediction(profile, row);
  if (row.mode !== 'first' && row.mode !== 'established') return { reason: `there is no mode "${row.mode}"` };
  return packetPrediction(profile, row);
}

/** Seconds of CPU are predicted by a profile in nanoseconds, instructions by one in instructions. */
function syncUnit(row: MeasuredRow): 'ns' | 'instructions' {
  return row.unit.endsWith('_s') ? 'ns' : 'instructions';
}

function syncPrediction(profile: CostProfile, row: MeasuredRow): Prediction {
  const cost = predictSync(profile, row);
  if (cost === undefined) return { reason: `the operation "${row.position}" of ${row.engine} is not modelled` };
  return { value: profile.unit === 'ns' ? cost / 1e9 : cost };
}

/** Options of a variant that change a packet's cost, by engine; others are no variant that is known. */
const VARIANTS = {
  iptables: /^(comments=[01]|endpoints|evict=\d+(\.\d+)?MiB|flows=\d+)?$/,
  ipvs: /^(bare|conntrack|kube-rules|kube-rules\+kube-ipvs0|sched=[a-z]+|conn_tab_bits=\d+:conns=\d+)$/,
} as const;

function packetPrediction(profile: CostProfile, row: MeasuredRow): Prediction {
  const { packet } = profile;
  const of = (first: number, established: number): Prediction => ({
    value: row.mode === 'first' ? first : established,
  });
  const bare = [packet.bareFirst.value, packet.bareEstablished.value] as const;
  const tracked = [bare[0] + packet.conntrackFirst.value, bare[1] + packet.conntrackEstablished.value] as const;
  switch (row.engine) {
    case 'none':
      return of(...bare);
    case 'conntrack':
      return of(...tracked);
    case 'conntrack+nat':
      return of(tracked[0] + packet.natHooksFirst.value, tracked[1] + packet.natHooksEstablished.value);
    case 'ipt-legacy':
    case 'ipt-nft':
      return unknownPart(row, VARIANTS.iptables) ?? { value: predictIptables(profile, row) };
    case 'nft':
      return unknownPart(row, VARIANTS.iptables) ?? { value: predictNftables(profile, row) };
    case 'ipvs':
      return unknownPart(row, VARIANTS.ipvs) ?? { value: predictIpvs(profile, row) };
    default:
      return { reason: `there is no engine "${row.engine}"` };
  }
}

function unknownPart(row: MeasuredRow, variants: RegExp): Prediction | undefined {
  if (!variants.test(row.variant)) return { reason: `the variant "${row.variant}" of ${row.engine} is not modelled` };
  if (row.services < 1) return { reason: 'it has no services' };
  if (row.mode === 'established' || row.position === 'uniform' || row.position === 'miss') return undefined;
  const index = serviceIndex(row);
  if (index === undefined) return { reason: `there is no position "${row.position}"` };
  return index < row.services ? undefined : { reason: `the position "${row.position}" is beyond the services` };
}
