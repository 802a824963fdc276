/** The rig in IPVS mode, in the four surroundings that it measured. */
import {
  CONNECTION_CHAIN_ENTRIES,
  DESTINATIONS_EXAMINED,
  HASH_PROBES,
  IPSET_TESTS,
  IPVS_CONNECTION_INSERTS,
  NAT_SETUPS,
  RULES_EVALUATED,
  SERVICE_CHAIN_ENTRIES,
} from '../../model/counters.ts';
import type { CostProfile, IpvsPath } from '../../model/profile.ts';
import type { CostContext } from '../context.ts';
import { IpvsCostModel } from '../ipvs-cost-model.ts';
import { variantOption } from '../measured-row.ts';
import type { MeasuredRow } from '../measured-row.ts';
import { emptyBatch, rigContext, serviceIndex, UNIFORM_POSITIONS } from './rig.ts';

/** kube-proxy's rules: 1 nat OUTPUT, 3 KUBE-SERVICES, 1 + 2 POSTROUTING, 3 filter OUTPUT, 1 KUBE-FIREWALL. */
const FIRST_RULES = 11;
const ESTABLISHED_RULES = 4;
const FIRST_IPSET_TESTS = 2;
/** The bucket that the rig's destination of no service (10.16.0.0:8080) shares with every 256th virtual server, from this one on. */
const MISS_BUCKET_FIRST_SERVER = 223;
const SERVICE_BUCKETS = 256;
/** The rig sends 1,024 packets to random services twice, and the second time is measured. */
const UNIFORM_PACKETS = 1024;

/** The cost of a packet of an `ipvs` row, in the profile's unit. */
export function predictIpvs(profile: CostProfile, row: MeasuredRow): number {
  const first = row.mode === 'first';
  const model = new IpvsCostModel(profile, ipvsContext(row));
  const positions = row.position === 'uniform' ? UNIFORM_POSITIONS : 1;
  const { rows } = emptyBatch(1).work;
  let sum = 0;
  for (let k = 0; k < positions; k++) {
    const index =
      row.position === 'uniform' ? Math.floor(((k + 0.5) / positions) * row.services) : (serviceIndex(row) ?? 0);
    countPacket(row, index, rows);
    sum += model.cost(first, rows, 0);
  }
  return sum / positions;
}

export function ipvsPath(variant: string): IpvsPath {
  switch (variant) {
    case 'conntrack':
      return 'conntrack';
    case 'kube-rules':
      return 'kubeRules';
    case 'kube-rules+kube-ipvs0':
      return 'kubeIpvs0';
    default:
      return 'bare';
  }
}

function ipvsContext(row: MeasuredRow): CostContext {
  const path = ipvsPath(row.variant);
  return {
    ...rigContext(row),
    engine: 'ipvs',
    ipvsPath: path,
    boundAddresses: path === 'kubeIpvs0' ? row.services : 0,
    ipvsScheduler: variantOption(row.variant, 'sched') ?? 'rr',
    // The median packet meets a fresh real server where there are many more of them than packets.
    freshServerRatio: row.position === 'uniform' && row.services > 2 * UNIFORM_PACKETS ? 1 : 0,
  };
}

/** Counters of one packet to virtual server `index`, in order of creation: new ones stand at the head of their chain. */
function countPacket(row: MeasuredRow, index: number, rows: Uint32Array): void {
  rows.fill(0);
  const load = Math.round(connections(row.variant) / bucketCount(row.variant));
  const hasRules = row.variant.startsWith('kube-rules');
  if (row.mode !== 'first') {
    rows[RULES_EVALUATED] = hasRules ? ESTABLISHED_RULES : 0;
    rows[HASH_PROBES] = 2;
    rows[CONNECTION_CHAIN_ENTRIES] = load + 1;
    return;
  }
  const isHit = row.position !== 'miss';
  rows[RULES_EVALUATED] = hasRules ? FIRST_RULES : 0;
  rows[IPSET_TESTS] = hasRules ? FIRST_IPSET_TESTS : 0;
  rows[HASH_PROBES] = 3;
  rows[SERVICE_CHAIN_ENTRIES] = isHit
    ? Math.floor((row.services - 1 - index) / SERVICE_BUCKETS) + 1
    : missEntries(row.services);
  rows[CONNECTION_CHAIN_ENTRIES] = 2 * load;
  rows[IPVS_CONNECTION_INSERTS] = isHit ? 1 : 0;
  rows[NAT_SETUPS] = isHit ? 1 : 0;
  rows[DESTINATIONS_EXAMINED] = isHit ? destinationsExamined(row) : 0;
}

/** A packet that is nobody's is looked up at LOCAL_OUT, and on the rig's receiving side at LOCAL_IN again. */
function missEntries(services: number): number {
  return 2 * Math.max(0, Math.floor((services - 1 - MISS_BUCKET_FIRST_SERVER) / SERVICE_BUCKETS) + 1);
}

/** Schedulers that look at every real server; `nq` finds an idle one at once, as no UDP flow of the rig is an active connection. */
const WALKS_ALL = ['lc', 'wlc', 'sed', 'fo', 'ovf', 'twos'];

function destinationsExamined(row: MeasuredRow): number {
  const scheduler = variantOption(row.variant, 'sched') ?? 'rr';
  return WALKS_ALL.includes(scheduler) ? row.endpointsPerService : 1;
}

function connections(variant: string): number {
  return Number(variantOption(variant, 'conns') ?? 0);
}

function bucketCount(variant: string): number {
  return 1 << Number(variantOption(variant, 'conn_tab_bits') ?? 12);
}
