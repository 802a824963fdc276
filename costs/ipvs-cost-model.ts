/**
 * The cost of a packet in IPVS mode. IPVS was measured in an emulated guest, in instructions; a profile in nanoseconds takes them from
 * such a profile and turns what is above the bare packet into time by one factor.
 */
import {
  CONNECTION_CHAIN_ENTRIES,
  DESTINATIONS_EXAMINED,
  HASH_PROBES,
  IPSET_TESTS,
  IPVS_CONNECTION_INSERTS,
  NAT_SETUPS,
  RULES_EVALUATED,
  SERVICE_CHAIN_ENTRIES,
} from '../model/counters.ts';
import type { CostProfile, InstructionProfile, IpvsPath, Quantity, SchedulerCosts } from '../model/profile.ts';
import type { CostContext } from './context.ts';

export class IpvsCostModel {
  private readonly steps: Steps;
  /** The fixed part of the path, the bare packet included, and what the bound addresses add. */
  private readonly fixedFirst: number;
  private readonly fixedEstablished: number;
  private readonly first: Bridge;
  private readonly established: Bridge;
  /** False where the scheduler was estimated from its algorithm. */
  readonly isMeasured: boolean;

  constructor(profile: CostProfile, context: CostContext) {
    const from = instructionsOf(profile);
    const { ipvs, packet } = from;
    const scheduler = ipvs.schedulers[context.ipvsScheduler];
    this.isMeasured = isSchedulerMeasured(profile, context.ipvsScheduler);
    this.steps = stepsOf(from, scheduler ?? ipvs.schedulers['wlc'], context.freshServerRatio);
    const addresses = context.boundAddresses * ipvs.boundAddress.value;
    const fixed = fixedParts(from, context.ipvsPath);
    this.fixedFirst =
      packet.bareFirst.value +
      fixed.first.value +
      addresses +
      doublings(context.boundAddresses) * ipvs.boundAddressDoubling.value;
    this.fixedEstablished = packet.bareEstablished.value + fixed.established.value + addresses;
    this.first = bridge(profile, packet.bareFirst, profile.packet.bareFirst, 'firstNsPerInstruction');
    this.established = bridge(
      profile,
      packet.bareEstablished,
      profile.packet.bareEstablished,
      'establishedNsPerInstruction',
    );
  }

  /** In the profile's unit: the packet whose counters start at `row`, system call and bare packet included. */
  cost(first: boolean, rows: Uint32Array, row: number): number {
    const { bare, bareInstructions, factor } = first ? this.first : this.established;
    return bare + (this.instructions(first, rows, row) - bareInstructions) * factor;
  }

  private instructions(first: boolean, rows: Uint32Array, row: number): number {
    const c = this.steps;
    const inserts = rows[row + IPVS_CONNECTION_INSERTS];
    // IPVS sets up the translation of a connection that it makes; what is beyond that is a masquerade.
    const natSetups = Math.max(0, rows[row + NAT_SETUPS] - inserts);
    let sum = first ? this.fixedFirst : this.fixedEstablished;
    sum += rows[row + RULES_EVALUATED] * c.rule;
    sum += rows[row + IPSET_TESTS] * c.ipsetTest;
    sum += rows[row + HASH_PROBES] * c.hashProbe;
    sum += rows[row + SERVICE_CHAIN_ENTRIES] * c.serviceChainEntry;
    sum += rows[row + CONNECTION_CHAIN_ENTRIES] * (first ? c.chainEntryFirst : c.chainEntryEstablished);
    sum += natSetups * c.natSetup;
    sum += rows[row + DESTINATIONS_EXAMINED] * c.destination;
    if (inserts > 0) {
      sum += inserts * c.connectionInsert;
      sum += c.newConnection;
    }
    return sum;
  }
}

/** Instructions of each thing that is counted, as plain numbers for the hot loop. */
interface Steps {
  readonly rule: number;
  readonly ipsetTest: number;
  readonly hashProbe: number;
  readonly serviceChainEntry: number;
  readonly chainEntryFirst: number;
  readonly chainEntryEstablished: number;
  readonly natSetup: number;
  readonly destination: number;
  readonly connectionInsert: number;
  /** The fixed part of the scheduler, and the route to a server that was not met before. */
  readonly newConnection: number;
}

function stepsOf({ ipvs }: InstructionProfile, scheduler: SchedulerCosts, freshServerRatio: number): Steps {
  return {
    rule: ipvs.rule.value,
    ipsetTest: ipvs.ipsetTest.value,
    hashProbe: ipvs.hashProbe.value,
    serviceChainEntry: ipvs.serviceChainEntry.value,
    chainEntryFirst: ipvs.connectionChainEntryFirst.value,
    chainEntryEstablished: ipvs.connectionChainEntryEstablished.value,
    natSetup: ipvs.natSetup.value,
    destination: scheduler.destination.value,
    connectionInsert: ipvs.connectionInsert.value,
    newConnection: freshServerRatio * ipvs.routeFill.value + scheduler.fixed.value,
  };
}

/** cost = bare + (instructions - bareInstructions) x factor. */
interface Bridge {
  readonly bare: number;
  readonly bareInstructions: number;
  readonly factor: number;
}

function bridge(
  profile: CostProfile,
  bareInstructions: Quantity,
  bare: Quantity,
  factor: 'firstNsPerInstruction' | 'establishedNsPerInstruction',
): Bridge {
  return {
    bare: bare.value,
    bareInstructions: bareInstructions.value,
    factor: profile.unit === 'ns' ? profile.ipvsBridge[factor].value : 1,
  };
}

/** False for a scheduler that was estimated from its algorithm, and for one that the profile lacks. */
export function isSchedulerMeasured(profile: CostProfile, scheduler: string): boolean {
  const costs = instructionsOf(profile).ipvs.schedulers[scheduler];
  return costs !== undefined && !costs.estimated;
}

/** The profile that has IPVS's instructions: the profile itself, or the one that it takes them from. */
export function instructionsOf(profile: CostProfile): InstructionProfile {
  return profile.unit === 'ns' ? profile.ipvsBridge.from : profile;
}

function fixedParts({ ipvs }: InstructionProfile, path: IpvsPath): { first: Quantity; established: Quantity } {
  switch (path) {
    case 'bare':
      return { first: ipvs.bareFirst, established: ipvs.bareEstablished };
    case 'conntrack':
      return { first: ipvs.conntrackFirst, established: ipvs.conntrackEstablished };
    case 'kubeRules':
      return { first: ipvs.kubeRulesFirst, established: ipvs.kubeRulesEstablished };
    case 'kubeIpvs0':
      return { first: ipvs.kubeIpvs0First, established: ipvs.kubeIpvs0Established };
  }
}

/** Binary logarithm of an integer count, rounded down; 0 for 0. */
function doublings(count: number): number {
  return count < 1 ? 0 : 31 - Math.clz32(count);
}
