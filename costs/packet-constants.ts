/** Everything of a packet's cost that stays the same from packet to packet, as plain numbers for the hot loops. */
import type { CostProfile } from '../model/profile.ts';
import type { CostContext } from './context.ts';
import { missShare } from './scan-cache.ts';

export interface PacketConstants {
  /** The fixed part. For IPVS, whose fixed part is in instructions, only what cold memory adds. */
  readonly firstNs: number;
  readonly establishedNs: number;
  readonly portTryNs: number;
  readonly rejectNs: number;
  readonly serviceRuleNs: number;
  readonly coldScanNs: number;
  readonly statisticRuleNs: number;
  /** Any other rule; in nftables mode every rule. */
  readonly ruleNs: number;
  readonly mapLookupNs: number;
  readonly recentTestNs: number;
  readonly recentListNs: number;
  readonly natSetupNs: number;
  readonly translateNs: number;
  readonly coldChainsNs: number;
  /** userspace: the endpoint's connection, once for its first packet and for each later one; and the copy of a payload. */
  readonly dialNs: number;
  readonly secondLegNs: number;
  readonly copyNs: number;
}

export function packetConstants(profile: CostProfile, context: CostContext): PacketConstants {
  const { packet, iptables, nftables, userspace } = profile;
  const isNftables = context.engine === 'nftables';
  const first = packet.bareFirstNs.value + packet.conntrackFirstNs.value + packet.natHooksFirstNs.value;
  const established =
    packet.bareEstablishedNs.value + packet.conntrackEstablishedNs.value + packet.natHooksEstablishedNs.value;
  const cold = coldMemoryNs(profile, context);
  const receive = isNftables ? nftables : iptables;
  const isIpvs = context.engine === 'ipvs';
  return {
    firstNs: cold.firstNs + (isIpvs ? 0 : first + receive.receiveFirstNs.value),
    establishedNs: cold.establishedNs + (isIpvs ? 0 : established + receive.receiveEstablishedNs.value),
    portTryNs: packet.portTryNs.value,
    rejectNs: packet.rejectNs.value,
    serviceRuleNs: iptables.serviceRuleNs.value,
    coldScanNs: Math.max(
      0,
      iptables.coldScanNsPerByte.value * (context.serviceRuleBytes - iptables.coldScanHiddenBytes.value),
    ),
    statisticRuleNs: iptables.statisticRuleNs.value,
    ruleNs: isNftables ? nftables.ruleNs.value : iptables.otherRuleNs.value,
    mapLookupNs: nftables.mapLookupNs.value,
    recentTestNs: iptables.recentTestNs.value,
    recentListNs: iptables.recentListNs.value,
    natSetupNs: isNftables ? nftables.natSetupNs.value : iptables.natSetupNs.value,
    translateNs: iptables.translateNs.value,
    coldChainsNs: isNftables ? nftablesColdChains(profile, context) : iptablesColdChains(profile, context),
    dialNs: first + userspace.connectionNs.value,
    secondLegNs: established,
    copyNs: userspace.copyNs.value + context.payloadBytes * userspace.copyByteNs.value,
  };
}

/** Bytes of a passed rule that land in the cache. */
export function touchedBytes(profile: CostProfile, context: CostContext): number {
  return Math.min(profile.iptables.scanTouchedBytes.value, context.serviceRuleBytes);
}

/** Share of a packet's own memory that other memory has evicted before it. */
function evictedShare(profile: CostProfile, context: CostContext): number {
  return missShare(profile.cache, context.otherMemoryBytes / profile.cache.l2Bytes.value);
}

function coldMemoryNs(profile: CostProfile, context: CostContext): { firstNs: number; establishedNs: number } {
  const { packet, cache } = profile;
  const evicted = evictedShare(profile, context);
  const whole = context.engine === 'nftables' ? profile.nftables : packet;
  // What other memory has evicted as a whole is not evicted a second time by many flows or by other services' chains.
  const kept = 1 - evicted;
  const flowBytes = context.concurrentFlows * packet.conntrackFlowBytes.value + context.otherMemoryBytes;
  return {
    firstNs: evicted * whole.coldFirstNs.value,
    establishedNs:
      evicted * whole.coldEstablishedNs.value +
      kept * missShare(cache, flowBytes / cache.l2Bytes.value) * packet.conntrackColdNs.value,
  };
}

function iptablesColdChains(profile: CostProfile, context: CostContext): number {
  const { iptables, cache } = profile;
  const kept = 1 - evictedShare(profile, context);
  const left = cache.l2Bytes.value - context.serviceRules * touchedBytes(profile, context) - context.otherMemoryBytes;
  const chainBytes = context.chainRules * iptables.chainTouchedBytes.value;
  return kept * coldChainShare(context, chainBytes, left) * iptables.coldServiceChainsNs.value;
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
  return kept * cold * nftables.coldServiceChainsNs.value + far * nftables.farServiceChainsNs.value;
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
