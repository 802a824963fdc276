/** Everything of a packet's cost that stays the same from packet to packet, as plain numbers for the hot loops; in the profile's unit. */
import type { CostProfile, IptablesCosts, NftablesCosts } from '../model/profile.ts';
import { SERVICE_RULE_BYTES, UNCOMMENTED_RULE_BYTES } from './context.ts';
import type { CostContext } from './context.ts';
import { missShare } from './scan-cache.ts';

export interface PacketConstants {
  /** The fixed part. For IPVS, whose fixed part is in instructions, only what cold memory adds. */
  readonly first: number;
  readonly established: number;
  readonly portTry: number;
  readonly reject: number;
  readonly serviceRule: number;
  /** Rules that a counted one of KUBE-SERVICES stands for: 2 where the profile's kube-proxy writes two and the engine one. */
  readonly rulesPerCounted: number;
  readonly coldRule: number;
  readonly statisticRule: number;
  /** Any other rule; in nftables mode every rule. */
  readonly rule: number;
  readonly mapLookup: number;
  readonly recentTest: number;
  readonly recentList: number;
  readonly natSetup: number;
  readonly translate: number;
  readonly coldChains: number;
  /** What a first packet to a service takes less where its own chains' rules have no comments, but for `statistic` ones. */
  readonly missingComments: number;
  /** userspace: the endpoint's connection, once for its first packet and for each later one; and the copy of a payload. */
  readonly dial: number;
  readonly secondLeg: number;
  readonly copy: number;
}

/**
 * What the receiving side of a packet of the node itself visits, first or established, and no engine counts (engines/README.md section 4): 4 rules of filter
 * INPUT and 1 of KUBE-FIREWALL; in nftables mode 2 rules of filter input, and for a first packet a look-up.
 */
const RECEIVE_RULES = 5;
const RECEIVE_FIRST_STEPS = 3;
const RECEIVE_ESTABLISHED_STEPS = 1;

/** Rules with a comment that a first packet meets in its service's own chains beside `statistic` ones: the jump of the last endpoint, DNAT. */
const SERVICE_CHAIN_COMMENTS = 1;

export function packetConstants(profile: CostProfile, context: CostContext): PacketConstants {
  const { packet, nftables } = profile;
  const iptables = iptablesCosts(profile, context);
  const isNftables = context.engine === 'nftables';
  const first = packet.bareFirst.value + packet.conntrackFirst.value + packet.natHooksFirst.value;
  const established =
    packet.bareEstablished.value + packet.conntrackEstablished.value + packet.natHooksEstablished.value;
  const cold = coldMemory(profile, context);
  const rule = isNftables ? nftables.step.value : iptables.otherRule.value;
  const isIpvs = context.engine === 'ipvs';
  const userspace = profile.unit === 'ns' ? profile.userspace : undefined;
  return {
    first: cold.first + (isIpvs ? 0 : first + rule * (isNftables ? RECEIVE_FIRST_STEPS : RECEIVE_RULES)),
    established:
      cold.established + (isIpvs ? 0 : established + rule * (isNftables ? RECEIVE_ESTABLISHED_STEPS : RECEIVE_RULES)),
    portTry: packet.portTry.value,
    reject: packet.reject.value,
    serviceRule: iptables.serviceRule.value,
    rulesPerCounted: rulesPerCounted(profile, context),
    coldRule: coldRule(iptables, context.serviceRuleBytes),
    statisticRule: iptables.statisticRule.value - (context.chainComments ? 0 : iptables.comment.value),
    rule,
    mapLookup: nftables.step.value,
    recentTest: iptables.recentTest.value,
    recentList: iptables.recentList.value,
    natSetup: isNftables ? nftables.natSetup.value : iptables.natSetup.value,
    translate: isNftables ? nftables.translate.value : iptables.translate.value,
    coldChains: isNftables ? nftablesColdChains(profile, context) : iptablesColdChains(profile, context),
    missingComments: context.chainComments ? 0 : SERVICE_CHAIN_COMMENTS * iptables.comment.value,
    dial: first + (userspace?.connection.value ?? 0),
    secondLeg: established,
    copy: (userspace?.copy.value ?? 0) + context.payloadBytes * (userspace?.copyByte.value ?? 0),
  };
}

/** The costs of the tables that hold the rules of iptables mode. */
export function iptablesCosts(profile: CostProfile, context: CostContext): IptablesCosts {
  return context.iptablesBackend === 'nft' ? profile.iptablesNft : profile.iptables;
}

/** In iptables mode: how many rules of KUBE-SERVICES one that the engine counts stands for, by the profile's kube-proxy. */
export function rulesPerCounted(profile: CostProfile, context: CostContext): number {
  if (profile.unit !== 'ns' || context.engine !== 'iptables') return 1;
  return Math.max(1, (profile.serviceRulesPerService?.value ?? 1) / (context.rulesPerService ?? 1));
}

/** A line through rules of two sizes: what is far apart is prefetched less. */
function coldRule(costs: IptablesCosts, bytes: number): number {
  const perByte =
    (costs.coldRule.value - costs.coldUncommentedRule.value) / (SERVICE_RULE_BYTES - UNCOMMENTED_RULE_BYTES);
  return Math.max(0, costs.coldUncommentedRule.value + (bytes - UNCOMMENTED_RULE_BYTES) * perByte);
}

/** Bytes of a passed rule that land in the cache. */
export function touchedBytes(profile: CostProfile, context: CostContext): number {
  return Math.min(iptablesCosts(profile, context).scanTouchedBytes.value, context.serviceRuleBytes);
}

/** Share of a packet's own memory that other memory has evicted before it. */
function evictedShare(profile: CostProfile, context: CostContext): number {
  return missShare(profile.cache, context.otherMemoryBytes / profile.cache.l2Bytes.value);
}

function coldMemory(profile: CostProfile, context: CostContext): { first: number; established: number } {
  const { packet, cache } = profile;
  const evicted = evictedShare(profile, context);
  const whole: IptablesCosts | NftablesCosts =
    context.engine === 'nftables' ? profile.nftables : iptablesCosts(profile, context);
  // What other memory has evicted as a whole is not evicted a second time by many flows or by other services' chains.
  const kept = 1 - evicted;
  const flowBytes = context.concurrentFlows * packet.conntrackFlowBytes.value + context.otherMemoryBytes;
  return {
    first: evicted * whole.coldFirst.value,
    established:
      evicted * whole.coldEstablished.value +
      kept * missShare(cache, flowBytes / cache.l2Bytes.value) * packet.conntrackCold.value,
  };
}

function iptablesColdChains(profile: CostProfile, context: CostContext): number {
  const { cache } = profile;
  const costs = iptablesCosts(profile, context);
  const kept = 1 - evictedShare(profile, context);
  const left =
    cache.l2Bytes.value -
    context.serviceRules * rulesPerCounted(profile, context) * touchedBytes(profile, context) -
    context.otherMemoryBytes;
  const chainBytes = context.chainRules * costs.chainTouchedBytes.value;
  return kept * coldChainShare(context, chainBytes, left) * costs.coldServiceChains.value;
}

/**
 * A look-up in a map of 20,000 services takes no more steps than in one of 10, but its lines come from further away. There are two
 * steps: out of the L2 cache, and out of the last level.
 */
function nftablesColdChains(profile: CostProfile, context: CostContext): number {
  const { nftables, cache } = profile;
  const kept = 1 - evictedShare(profile, context);
  const chainBytes = context.chainRules * nftables.chainTouchedBytes.value;
  const cold = coldChainShare(context, chainBytes, cache.l2Bytes.value - context.otherMemoryBytes);
  const far = coldChainShare(context, chainBytes, cache.lastLevelBytes.value - context.otherMemoryBytes);
  return kept * cold * nftables.coldServiceChains.value + far * nftables.farServiceChains.value;
}

/**
 * Chance that a service's own chains have left a cache that has `leftBytes` for them. Services are drawn at random, so the gap between
 * two packets of one service is geometric, and the chance that the memory touched in the gap outgrows what is left of the cache is
 * the share of the chains' bytes that does not fit there.
 */
function coldChainShare(context: CostContext, chainBytes: number, leftBytes: number): number {
  if (chainBytes <= 0) return 0;
  const share = 1 - Math.max(0, leftBytes) / chainBytes;
  return (1 - context.sameServiceProbability) * Math.max(0, share);
}
