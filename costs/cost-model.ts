/** Turns the counters of each packet into the unit of a cost profile: nanoseconds on its machine, or instructions. */
import {
  CONNTRACK_INSERTS,
  COUNTER_STRIDE,
  MAP_LOOKUPS,
  NAT_SETUPS,
  PORT_TRIES,
  RECENT_LISTS_PASSED,
  RECENT_TESTS,
  RULES_EVALUATED,
  SERVICE_RULES_SCANNED,
  STATISTIC_RULES,
  USERSPACE_COPIES,
} from '../model/counters.ts';
import type { Counters } from '../model/counters.ts';
import { ORIGIN_HOST } from '../model/packet.ts';
import type { PacketBatch } from '../model/packet.ts';
import type { CostProfile } from '../model/profile.ts';
import { OUTCOME_ENDPOINT, OUTCOME_REJECT, OUTCOME_REPLY } from '../model/verdict.ts';
import type { VerdictBatch } from '../model/verdict.ts';
import type { CostContext } from './context.ts';
import { IpvsCostModel } from './ipvs-cost-model.ts';
import { packetConstants, rulesPerCounted, touchedBytes } from './packet-constants.ts';
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
  private readonly ipvs: IpvsCostModel;

  constructor(profile: CostProfile, context: CostContext) {
    this.profile = profile;
    this.context = context;
    this.scan = new ScanCache(profile.cache, {
      rules: context.serviceRules * rulesPerCounted(profile, context),
      touchedBytes: touchedBytes(profile, context),
      sameServiceProbability: context.sameServiceProbability,
      otherMemoryBytes: context.otherMemoryBytes,
    });
    this.constants = packetConstants(profile, context);
    this.ipvs = new IpvsCostModel(profile, context);
  }

  /** The packet without netfilter: what `cost_over_bare_*` leaves out. */
  barePacket(first: boolean): number {
    return first ? this.profile.packet.bareFirst.value : this.profile.packet.bareEstablished.value;
  }

  /**
   * True where measurements have the packet's path: OUTPUT of the node itself, and in IPVS mode a scheduler that was measured. Everything
   * else is composed of measured parts or estimated.
   */
  pathMeasured(origin: number): boolean {
    const { engine } = this.context;
    return origin === ORIGIN_HOST && engine !== 'userspace' && (engine !== 'ipvs' || this.ipvs.isMeasured);
  }

  /** Costs of packets 0 .. packets.length - 1 into `out`, in the profile's unit. No allocation. */
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
    const { rule, translate, reject } = c;
    const { first: fixedFirst, established: fixedEstablished } = c;
    for (let i = 0, row = 0; i < packets.length; i++, row += COUNTER_STRIDE) {
      const first = verdicts.first[i] === 1;
      const outcome = verdicts.outcome[i];
      const counted = rows[row + SERVICE_RULES_SCANNED];
      const statistic = rows[row + STATISTIC_RULES];
      const others = rows[row + RULES_EVALUATED] - counted - statistic;
      const natSetups = rows[row + NAT_SETUPS];
      const portTries = rows[row + PORT_TRIES];
      const recentTests = rows[row + RECENT_TESTS];
      const translated = !first && isTranslated(outcome);
      let cost = first ? fixedFirst : fixedEstablished;
      // Most packets have none of these: to leave out what adds zero changes no bit.
      if ((counted | statistic | natSetups | portTries | recentTests) === 0) {
        cost += others * rule;
        if (translated) cost += translate;
      } else {
        const scanned = counted * c.rulesPerCounted;
        cost += scanned * c.serviceRule + others * rule + statistic * c.statisticRule;
        if (scanned > 0) cost += this.scan.misses(scanned) * c.coldRule;
        cost += natSetups * c.natSetup + portTries * c.portTry;
        if (first && scanned > 0 && natSetups > 0) cost += c.coldChains - c.missingComments;
        if (translated) cost += translate;
        cost += recentTests * c.recentTest + rows[row + RECENT_LISTS_PASSED] * c.recentList;
      }
      if (outcome === OUTCOME_REJECT) cost += reject;
      out[i] = cost;
    }
  }

  private nftablesCosts(packets: PacketBatch, verdicts: VerdictBatch, work: Counters, out: Float64Array): void {
    const { rows } = work;
    const { rule, mapLookup, natSetup, portTry, coldChains, translate, reject } = this.constants;
    const { first: fixedFirst, established: fixedEstablished } = this.constants;
    for (let i = 0, row = 0; i < packets.length; i++, row += COUNTER_STRIDE) {
      const first = verdicts.first[i] === 1;
      const outcome = verdicts.outcome[i];
      let cost = first ? fixedFirst : fixedEstablished;
      cost += rows[row + RULES_EVALUATED] * rule + rows[row + MAP_LOOKUPS] * mapLookup;
      cost += rows[row + NAT_SETUPS] * natSetup + rows[row + PORT_TRIES] * portTry;
      if (first && outcome === OUTCOME_ENDPOINT) cost += coldChains;
      if (!first && isTranslated(outcome)) cost += translate;
      if (outcome === OUTCOME_REJECT) cost += reject;
      out[i] = cost;
    }
  }

  /** The second connection of each flow, between kube-proxy and the endpoint, and the payloads copied from one to the other. */
  private addProxying(packets: PacketBatch, verdicts: VerdictBatch, work: Counters, out: Float64Array): void {
    const { rows } = work;
    const c = this.constants;
    for (let i = 0, row = 0; i < packets.length; i++, row += COUNTER_STRIDE) {
      // The client's own entry is one of a first packet's; what is confirmed beyond it is a connection to an endpoint.
      const dialled = Math.max(0, rows[row + CONNTRACK_INSERTS] - verdicts.first[i]);
      let cost = rows[row + USERSPACE_COPIES] * c.copy;
      if (dialled > 0) cost += dialled * c.dial;
      else if (isTranslated(verdicts.outcome[i])) cost += c.secondLeg;
      out[i] += cost;
    }
  }

  private ipvsCosts(packets: PacketBatch, verdicts: VerdictBatch, work: Counters, out: Float64Array): void {
    const c = this.constants;
    const { ipvs } = this;
    for (let i = 0, row = 0; i < packets.length; i++, row += COUNTER_STRIDE) {
      const first = verdicts.first[i] === 1;
      let cost = ipvs.cost(first, work.rows, row) + (first ? c.first : c.established);
      cost += work.rows[row + PORT_TRIES] * c.portTry;
      if (verdicts.outcome[i] === OUTCOME_REJECT) cost += c.reject;
      out[i] = cost;
    }
  }
}

function isTranslated(outcome: number): boolean {
  return outcome === OUTCOME_ENDPOINT || outcome === OUTCOME_REPLY;
}
