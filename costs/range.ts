/**
 * How far a modelled cost may be from the kernel. Validation gives each engine a ratio; a profile in nanoseconds turns IPVS's instructions
 * into time by factors whose own ranges come on top. This is no sampling interval: more replications do not make it narrower.
 */
import type { EngineName } from '../model/engine-name.ts';
import type { CostBasis } from '../model/observation.ts';
import type { CostProfile, Quantity, RangeRatios } from '../model/profile.ts';
import type { CostContext } from './context.ts';
import { instructionsOf, isSchedulerMeasured } from './ipvs-cost-model.ts';

export interface CostRange {
  readonly low: number;
  readonly high: number;
}

type Use = Pick<CostContext, 'engine' | 'iptablesBackend' | 'ipvsScheduler'>;

/**
 * The range of a packet's cost, or of a mean or a quantile of such costs: the bounds grow with the cost along straight lines. `first`: of
 * packets that open a connection. In the profile's unit, never below 0.
 */
export function costRange(profile: CostProfile, use: Use, first: boolean, cost: number): CostRange {
  const ratio = profile.range[rangeKey(use)].value;
  if (profile.unit === 'instructions' || use.engine !== 'ipvs') return around(cost, ratio);
  // ns = bare + (instructions - bare instructions) x factor: the instructions have a range, and so has the factor.
  const { factor, bare, bareInstructions } = bridgeParts(profile, first);
  const { low, high } = around(bareInstructions + (cost - bare) / factor.value, ratio);
  return {
    low: Math.max(0, bare + Math.max(0, low - bareInstructions) * factor.low),
    high: bare + Math.max(0, high - bareInstructions) * factor.high,
  };
}

/** Reports call everything but what was measured estimated. */
export function costBasis(profile: CostProfile, { engine, ipvsScheduler }: Use): CostBasis {
  if (engine === 'userspace') return 'estimated';
  if (engine !== 'ipvs') return 'measured';
  if (!isSchedulerMeasured(profile, ipvsScheduler)) return 'estimated';
  return profile.unit === 'ns' ? 'derived' : 'measured';
}

/** A line of the report's table: what the range is of, the bounds as shares of the cost, and where they come from. */
export interface StatedRange {
  readonly engine: EngineName;
  /** Empty, or the part of the engine's costs. */
  readonly part: string;
  /** Below 0. */
  readonly low_ratio: number;
  readonly high_ratio: number;
  readonly source: string;
}

/** The ranges of a profile, an engine and part each. */
export function statedRanges(profile: CostProfile): StatedRange[] {
  const { range } = profile;
  const line = (engine: EngineName, part: string, ratio: Quantity): StatedRange => ({
    engine,
    part,
    low_ratio: -Math.min(1, ratio.value),
    high_ratio: ratio.value,
    source: ratio.source,
  });
  const lines = [
    line('iptables', 'iptables-legacy', range.iptables),
    line('iptables', 'iptables-nft', range.iptablesNft),
    line('nftables', '', range.nftables),
  ];
  if (profile.unit === 'instructions') return [...lines, line('ipvs', 'instructions', range.ipvs)];
  const bridged = (part: string, factor: Quantity): StatedRange => ({
    engine: 'ipvs',
    part,
    low_ratio: factor.low / factor.value - 1,
    high_ratio: factor.high / factor.value - 1,
    source: factor.source,
  });
  return [
    ...lines,
    line('ipvs', 'instructions that time is made of', range.ipvs),
    bridged('time of a first packet above the bare one', profile.ipvsBridge.firstNsPerInstruction),
    bridged('time of a later packet above the bare one', profile.ipvsBridge.establishedNsPerInstruction),
    line('userspace', '', range.userspace),
  ];
}

function rangeKey({ engine, iptablesBackend }: Use): keyof RangeRatios {
  return engine === 'iptables' && iptablesBackend === 'nft' ? 'iptablesNft' : engine;
}

function around(cost: number, ratio: number): CostRange {
  return { low: Math.max(0, cost * (1 - ratio)), high: cost * (1 + ratio) };
}

function bridgeParts(profile: Extract<CostProfile, { unit: 'ns' }>, first: boolean) {
  const { packet } = instructionsOf(profile);
  return first
    ? {
        factor: profile.ipvsBridge.firstNsPerInstruction,
        bare: profile.packet.bareFirst.value,
        bareInstructions: packet.bareFirst.value,
      }
    : {
        factor: profile.ipvsBridge.establishedNsPerInstruction,
        bare: profile.packet.bareEstablished.value,
        bareInstructions: packet.bareEstablished.value,
      };
}
