/** Turns the counters of each packet into nanoseconds on the machine of a cost profile. */
import {
  CONNECTION_CHAIN_ENTRIES,
  COUNTER_STRIDE,
  DESTINATIONS_EXAMINED,
  HASH_PROBES,
  IPSET_TESTS,
  IPVS_CONNECTION_INSERTS,
  NAT_SETUPS,
  PORT_TRIES,
  RULES_EVALUATED,
  SERVICE_CHAIN_ENTRIES,
  SERVICE_RULES_SCANNED,
  STATISTIC_RULES,
} from '../model/counters.ts';
import type { Counters } from '../model/counters.ts';
import { ORIGIN_HOST } from '../model/packet.ts';
import type { PacketBatch } from '../model/packet.ts';
import type { CostProfile, SchedulerCosts } from '../model/profile.ts';
import type { SyncReport } from '../model/sync-report.ts';
import { OUTCOME_ENDPOINT, OUTCOME_REPLY } from '../model/verdict.ts';
import type { VerdictBatch } from '../model/verdict.ts';
import { missShare, ScanCache } from './scan-cache.ts';

/** What a packet's cost depends on beside its own counters: the installed rules, and what the traffic keeps in the cache. */
export interface CostContext {
  readonly engine: 'iptables' | 'ipvs';
  /** Rules of nat KUBE-SERVICES: the longest walk of a packet that is for a Service. */
  readonly serviceRules: number;
  /** Mean size of such a rule: 488 as kube-proxy writes them. */
  readonly serviceRuleBytes: number;
  /** Rules in the chains of single services (KUBE-SVC, KUBE-SEP, KUBE-EXT). */
  readonly chainRules: number;
  /** Chance that two connections go to the same service: the sum of the squared shares of traffic. 1 = one service only. */
  readonly sameServiceProbability: number;
  /** Connections alive at one time. */
  readonly concurrentFlows: number;
  /** Bytes of other memory that the machine writes between two packets; 0 = an otherwise idle core, as the rig. */
  readonly otherMemoryBytes: number;
  /** Addresses on kube-ipvs0. */
  readonly boundAddresses: number;
  readonly ipvsScheduler: string;
  /** Share of new IPVS connections that are the first to their real server since its route was last cached; 0 .. 1. */
  readonly freshServerRatio: number;
}

/** The bytes of a KUBE-SERVICES ClusterIP rule: entry 112, comment 288, udp 48, target 40 (uapi headers linux/netfilter/xt_*.h). */
export const SERVICE_RULE_BYTES = 488;

/** A context for an engine's last sync; `use` fills in what the report cannot know. */
export function costContext(
  engine: 'iptables' | 'ipvs',
  report: SyncReport,
  use: Partial<Pick<CostContext, 'concurrentFlows' | 'otherMemoryBytes' | 'ipvsScheduler' | 'freshServerRatio'>> & {
    readonly sameServiceProbability: number;
  },
): CostContext {
  const serviceRules = engine === 'iptables' ? report.servicePorts : 0;
  return {
    engine,
    serviceRules,
    serviceRuleBytes: SERVICE_RULE_BYTES,
    chainRules: engine === 'iptables' ? Math.max(0, report.tableRules - serviceRules - FIXED_TABLE_RULES) : 0,
    sameServiceProbability: use.sameServiceProbability,
    concurrentFlows: use.concurrentFlows ?? 1,
    otherMemoryBytes: use.otherMemoryBytes ?? 0,
    boundAddresses: report.addressesBound,
    ipvsScheduler: use.ipvsScheduler ?? 'rr',
    freshServerRatio: use.freshServerRatio ?? 0,
  };
}

/** Rules of iptables mode that do not belong to a service (engines/README.md section 5): 3 nat jumps, 11 filter jumps, 9 in chains. */
const FIXED_TABLE_RULES = 23;

/** True where the profile's data measured the packet's path (OUTPUT of the node itself); other paths are composed of measured parts. */
function pathMeasured(origin: number): boolean {
  return origin === ORIGIN_HOST;
}

/** Everything that stays the same from packet to packet, as plain numbers for the hot loops. */
interface Constants {
  readonly firstNs: number;
  readonly establishedNs: number;
  readonly portTryNs: number;
  readonly serviceRuleNs: number;
  readonly coldScanNs: number;
  readonly statisticRuleNs: number;
  readonly otherRuleNs: number;
  readonly natSetupNs: number;
  readonly translateNs: number;
  readonly coldChainsNs: number;
}

/**
 * The cost of a packet is a pure function of its counters, its verdict and the context: equal in any order and batch.
 * A batch of n costs what n batches of one cost.
 */
export class CostModel {
  readonly profile: CostProfile;
  readonly context: CostContext;
  private readonly scan: ScanCache;
  private readonly constants: Constants;
  private readonly scheduler: SchedulerCosts | undefined;
  /** Instructions that the bound addresses add to every packet, and to a first packet beyond that. */
  private readonly addressInstructions: number;
  private readonly addressFirstInstructions: number;

  constructor(profile: CostProfile, context: CostContext) {
    this.profile = profile;
    this.context = context;
    const touchedBytes = Math.min(profile.iptables.scanTouchedBytes.value, context.serviceRuleBytes);
    this.scan = new ScanCache(profile.cache, {
      rules: context.serviceRules,
      touchedBytes,
      sameServiceProbability: context.sameServiceProbability,
      otherMemoryBytes: context.otherMemoryBytes,
    });
    this.constants = constantsOf(profile, context, touchedBytes);
    this.scheduler = profile.ipvs.schedulers[context.ipvsScheduler] ?? profile.ipvs.schedulers['wlc'];
    this.addressInstructions = context.boundAddresses * profile.ipvs.boundAddressInstructions.value;
    this.addressFirstInstructions =
      doublings(context.boundAddresses) * profile.ipvs.boundAddressDoublingInstructions.value;
  }

  /** The packet without netfilter, in nanoseconds: what `cost_over_bare_*_ns` leaves out. */
  barePacketNs(first: boolean): number {
    return first ? this.profile.packet.bareFirstNs.value : this.profile.packet.bareEstablishedNs.value;
  }

  pathMeasured(origin: number): boolean {
    return pathMeasured(origin);
  }

  /** Nanoseconds of packets 0 .. packets.length - 1 into `out`. No allocation. */
  costs(packets: PacketBatch, verdicts: VerdictBatch, work: Counters, out: Float64Array): void {
    if (this.context.engine === 'iptables') this.iptablesCosts(packets, verdicts, work, out);
    else this.ipvsCosts(packets, verdicts, work, out);
  }

  private iptablesCosts(packets: PacketBatch, verdicts: VerdictBatch, work: Counters, out: Float64Array): void {
    const { rows } = work;
    const c = this.constants;
    for (let i = 0, row = 0; i < packets.length; i++, row += COUNTER_STRIDE) {
      const first = verdicts.first[i] === 1;
      const scanned = rows[row + SERVICE_RULES_SCANNED];
      const statistic = rows[row + STATISTIC_RULES];
      const others = rows[row + RULES_EVALUATED] - scanned - statistic;
      const natSetups = rows[row + NAT_SETUPS];
      let ns = first ? c.firstNs : c.establishedNs;
      ns += scanned * c.serviceRuleNs + others * c.otherRuleNs + statistic * c.statisticRuleNs;
      if (scanned > 0) ns += this.scan.misses(scanned) * c.coldScanNs;
      ns += natSetups * c.natSetupNs + rows[row + PORT_TRIES] * c.portTryNs;
      if (first && scanned > 0 && natSetups > 0) ns += c.coldChainsNs;
      if (!first && isTranslated(verdicts.outcome[i])) ns += c.translateNs;
      out[i] = ns;
    }
  }

  private ipvsCosts(packets: PacketBatch, verdicts: VerdictBatch, work: Counters, out: Float64Array): void {
    const bare = this.profile.packet;
    const c = this.constants;
    const costs = this.profile.ipvs;
    for (let i = 0, row = 0; i < packets.length; i++, row += COUNTER_STRIDE) {
      const first = verdicts.first[i] === 1;
      const instructions = this.ipvsInstructions(first, work.rows, row);
      const ns = first
        ? bare.bareFirstNs.value +
          (instructions - costs.bareFirstInstructions.value) * costs.firstNsPerInstruction.value
        : bare.bareEstablishedNs.value +
          (instructions - costs.bareEstablishedInstructions.value) * costs.establishedNsPerInstruction.value;
      out[i] = ns + (first ? c.firstNs : c.establishedNs) + work.rows[row + PORT_TRIES] * c.portTryNs;
    }
  }

  /** Instructions of the packet whose counters start at `row`, system call and bare packet included. */
  ipvsInstructions(first: boolean, rows: Uint32Array, row: number): number {
    const c = this.profile.ipvs;
    const inserts = rows[row + IPVS_CONNECTION_INSERTS];
    // IPVS sets up the translation of a connection that it makes; what is beyond that is a masquerade.
    const natSetups = Math.max(0, rows[row + NAT_SETUPS] - inserts);
    const chainEntry = first
      ? c.connectionChainEntryFirstInstructions.value
      : c.connectionChainEntryEstablishedInstructions.value;
    let sum = first ? c.modeFirstInstructions.value : c.modeEstablishedInstructions.value;
    sum += this.addressInstructions;
    if (first) sum += this.addressFirstInstructions;
    sum += rows[row + RULES_EVALUATED] * c.ruleInstructions.value;
    sum += rows[row + IPSET_TESTS] * c.ipsetTestInstructions.value;
    sum += rows[row + HASH_PROBES] * c.hashProbeInstructions.value;
    sum += rows[row + SERVICE_CHAIN_ENTRIES] * c.serviceChainEntryInstructions.value;
    sum += rows[row + CONNECTION_CHAIN_ENTRIES] * chainEntry;
    sum += natSetups * c.natSetupInstructions.value;
    if (inserts > 0) {
      sum += inserts * c.connectionInsertInstructions.value;
      sum += this.context.freshServerRatio * c.routeFillInstructions.value;
    }
    const scheduler = this.scheduler;
    if (scheduler !== undefined) {
      sum += rows[row + DESTINATIONS_EXAMINED] * scheduler.destinationInstructions.value;
      if (inserts > 0) sum += scheduler.fixedInstructions.value;
    }
    return sum;
  }
}

/**
 * `firstNs` and `establishedNs` hold the fixed part: for iptables the whole of it, for IPVS (whose fixed part is in
 * instructions) only what cold memory adds.
 */
function constantsOf(profile: CostProfile, context: CostContext, touchedBytes: number): Constants {
  const { packet, iptables, cache } = profile;
  const l2Bytes = cache.l2Bytes.value;
  const evicted = missShare(cache, context.otherMemoryBytes / l2Bytes);
  // What other memory has evicted as a whole is not evicted a second time by many flows or by other services' chains.
  const kept = 1 - evicted;
  const flowBytes = context.concurrentFlows * packet.conntrackFlowBytes.value + context.otherMemoryBytes;
  const coldFirst = evicted * packet.coldFirstNs.value;
  const coldEstablished =
    evicted * packet.coldEstablishedNs.value +
    kept * missShare(cache, flowBytes / l2Bytes) * packet.conntrackColdNs.value;
  const first = packet.bareFirstNs.value + packet.conntrackFirstNs.value + packet.natHooksFirstNs.value;
  const established =
    packet.bareEstablishedNs.value + packet.conntrackEstablishedNs.value + packet.natHooksEstablishedNs.value;
  const isIptables = context.engine === 'iptables';
  return {
    firstNs: coldFirst + (isIptables ? first + iptables.receiveFirstNs.value : 0),
    establishedNs: coldEstablished + (isIptables ? established + iptables.receiveEstablishedNs.value : 0),
    portTryNs: packet.portTryNs.value,
    serviceRuleNs: iptables.serviceRuleNs.value,
    coldScanNs: Math.max(
      0,
      iptables.coldScanNsPerByte.value * (context.serviceRuleBytes - iptables.coldScanHiddenBytes.value),
    ),
    statisticRuleNs: iptables.statisticRuleNs.value,
    otherRuleNs: iptables.otherRuleNs.value,
    natSetupNs: iptables.natSetupNs.value,
    translateNs: iptables.translateNs.value,
    coldChainsNs: kept * coldChainShare(profile, context, touchedBytes) * iptables.coldServiceChainsNs.value,
  };
}

/**
 * Chance that a service's own chains have left the cache. Services are drawn at random, so the gap between two packets of one
 * service is geometric, and the chance that the memory touched in the gap outgrows what the scan leaves of the cache is the
 * share of the chains' bytes that does not fit there.
 */
function coldChainShare(profile: CostProfile, context: CostContext, touchedBytes: number): number {
  const chainBytes = context.chainRules * profile.iptables.chainTouchedBytes.value;
  if (chainBytes <= 0) return 0;
  const left = profile.cache.l2Bytes.value - context.serviceRules * touchedBytes - context.otherMemoryBytes;
  const share = 1 - Math.max(0, left) / chainBytes;
  return (1 - context.sameServiceProbability) * Math.max(0, share);
}

function isTranslated(outcome: number): boolean {
  return outcome === OUTCOME_ENDPOINT || outcome === OUTCOME_REPLY;
}

/** Binary logarithm of an integer count, rounded down; 0 for 0. */
function doublings(count: number): number {
  return count < 1 ? 0 : 31 - Math.clz32(count);
}
