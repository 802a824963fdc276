/** Turns the counters of each packet into nanoseconds on the machine of a cost profile. */
import {
  CONNECTION_CHAIN_ENTRIES,
  CONNTRACK_INSERTS,
  COUNTER_STRIDE,
  DESTINATIONS_EXAMINED,
  HASH_PROBES,
  IPSET_TESTS,
  IPVS_CONNECTION_INSERTS,
  MAP_LOOKUPS,
  NAT_SETUPS,
  PORT_TRIES,
  RECENT_LISTS_PASSED,
  RECENT_TESTS,
  RULES_EVALUATED,
  SERVICE_CHAIN_ENTRIES,
  SERVICE_RULES_SCANNED,
  STATISTIC_RULES,
  USERSPACE_COPIES,
} from '../model/counters.ts';
import type { Counters } from '../model/counters.ts';
import { ORIGIN_HOST } from '../model/packet.ts';
import type { PacketBatch } from '../model/packet.ts';
import type { CostProfile, SchedulerCosts } from '../model/profile.ts';
import { OUTCOME_ENDPOINT, OUTCOME_REJECT, OUTCOME_REPLY } from '../model/verdict.ts';
import type { VerdictBatch } from '../model/verdict.ts';
import type { CostContext } from './context.ts';
import { packetConstants, touchedBytes } from './packet-constants.ts';
import type { PacketConstants } from './packet-constants.ts';
import { ScanCache } from './scan-cache.ts';

/**
 * The cost of a packet is a pure function of its counters, its verdict and the context: equal in any order and batch.
 * A batch of n costs what n batches of one cost.
 */
export class CostModel {
  readonly profile: CostProfile;
  readonly context: CostContext;
  private readonly scan: ScanCache;
  private readonly constants: PacketConstants;
  private readonly scheduler: SchedulerCosts | undefined;
  /** Instructions that the bound addresses add to every packet, and to a first packet beyond that. */
  private readonly addressInstructions: number;
  private readonly addressFirstInstructions: number;

  constructor(profile: CostProfile, context: CostContext) {
    this.profile = profile;
    this.context = context;
    this.scan = new ScanCache(profile.cache, {
      rules: context.serviceRules,
      touchedBytes: touchedBytes(profile, context),
      sameServiceProbability: context.sameServiceProbability,
      otherMemoryBytes: context.otherMemoryBytes,
    });
    this.constants = packetConstants(profile, context);
    this.scheduler = profile.ipvs.schedulers[context.ipvsScheduler] ?? profile.ipvs.schedulers['wlc'];
    this.addressInstructions = context.boundAddresses * profile.ipvs.boundAddressInstructions.value;
    this.addressFirstInstructions =
      doublings(context.boundAddresses) * profile.ipvs.boundAddressDoublingInstructions.value;
  }

  /** The packet without netfilter, in nanoseconds: what `cost_over_bare_*_ns` leaves out. */
  barePacketNs(first: boolean): number {
    return first ? this.profile.packet.bareFirstNs.value : this.profile.packet.bareEstablishedNs.value;
  }

  /** True where the profile's data measured the packet's path: OUTPUT of the node itself. Everything else is composed of parts. */
  pathMeasured(origin: number): boolean {
    return origin === ORIGIN_HOST && this.context.engine !== 'userspace';
  }

  /** Nanoseconds of packets 0 .. packets.length - 1 into `out`. No allocation. */
  costs(packets: PacketBatch, verdicts: VerdictBatch, work: Counters, out: Float64Array): void {
    switch (this.context.engine) {
      case 'iptables':
        this.iptablesCosts(packets, verdicts, work, out);
        return;
      case 'ipvs':
        this.ipvsCosts(packets, verdicts, work, out);
        return;
      case 'nftables':
        this.nftablesCosts(packets, verdicts, work, out);
        return;
      case 'userspace':
        // Its rules are iptables rules; what the process itself does comes on top.
        this.iptablesCosts(packets, verdicts, work, out);
        this.addProxying(packets, verdicts, work, out);
    }
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
      ns += scanned * c.serviceRuleNs + others * c.ruleNs + statistic * c.statisticRuleNs;
      if (scanned > 0) ns += this.scan.misses(scanned) * c.coldScanNs;
      ns += natSetups * c.natSetupNs + rows[row + PORT_TRIES] * c.portTryNs;
      if (first && scanned > 0 && natSetups > 0) ns += c.coldChainsNs;
      if (!first && isTranslated(verdicts.outcome[i])) ns += c.translateNs;
      ns += rows[row + RECENT_TESTS] * c.recentTestNs + rows[row + RECENT_LISTS_PASSED] * c.recentListNs;
      if (verdicts.outcome[i] === OUTCOME_REJECT) ns += c.rejectNs;
      out[i] = ns;
    }
  }

  private nftablesCosts(packets: PacketBatch, verdicts: VerdictBatch, work: Counters, out: Float64Array): void {
    const { rows } = work;
    const c = this.constants;
    for (let i = 0, row = 0; i < packets.length; i++, row += COUNTER_STRIDE) {
      const first = verdicts.first[i] === 1;
      const outcome = verdicts.outcome[i];
      let ns = first ? c.firstNs : c.establishedNs;
      ns += rows[row + RULES_EVALUATED] * c.ruleNs + rows[row + MAP_LOOKUPS] * c.mapLookupNs;
      ns += rows[row + NAT_SETUPS] * c.natSetupNs + rows[row + PORT_TRIES] * c.portTryNs;
      if (first && outcome === OUTCOME_ENDPOINT) ns += c.coldChainsNs;
      if (!first && isTranslated(outcome)) ns += c.translateNs;
      if (outcome === OUTCOME_REJECT) ns += c.rejectNs;
      out[i] = ns;
    }
  }

  /** The second connection of each flow, between kube-proxy and the endpoint, and the payloads copied from one to the other. */
  private addProxying(packets: PacketBatch, verdicts: VerdictBatch, work: Counters, out: Float64Array): void {
    const { rows } = work;
    const c = this.constants;
    for (let i = 0, row = 0; i < packets.length; i++, row += COUNTER_STRIDE) {
      // The client's own entry is one of a first packet's; what is confirmed beyond it is a connection to an endpoint.
      const dialled = Math.max(0, rows[row + CONNTRACK_INSERTS] - verdicts.first[i]);
      let ns = rows[row + USERSPACE_COPIES] * c.copyNs;
      if (dialled > 0) ns += dialled * c.dialNs;
      else if (isTranslated(verdicts.outcome[i])) ns += c.secondLegNs;
      out[i] += ns;
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
      if (verdicts.outcome[i] === OUTCOME_REJECT) out[i] += c.rejectNs;
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

function isTranslated(outcome: number): boolean {
  return outcome === OUTCOME_ENDPOINT || outcome === OUTCOME_REPLY;
}

/** Binary logarithm of an integer count, rounded down; 0 for 0. */
function doublings(count: number): number {
  return count < 1 ? 0 : 31 - Math.clz32(count);
}
