/** Whether a rule applies to a packet (net/ipv4/netfilter/ip_tables.c ip_packet_match, ipt_do_table; net/netfilter/xt_*.c). */
import { cidrContainsIp } from '../../../model/ip-text.ts';
import type { Match, Protocol, Rule } from './rules.ts';

/** A packet on its way; addresses in canonical text. */
export interface Packet {
  readonly protocol: Protocol;
  readonly source: string;
  /** Undefined for a packet of the node itself, and for one whose way in is not known. */
  readonly inputInterface: string | undefined;
  destination: string;
  destinationPort: number;
}

/** What rules ask that is not in the packet. */
export interface Surroundings {
  isLocal(address: string): boolean;
  hasMark(mark: string): boolean;
  hasState(states: readonly string[]): boolean;
  /** Whether the `recent` list still remembers the source. */
  isRemembered(list: string, seconds: number): boolean;
  mayPick(probability: string): boolean;
}

/** Matches are asked in the order of writing, and no further than the first that fails. */
export function ruleApplies({ matches }: Rule, packet: Packet, surroundings: Surroundings): boolean {
  for (const match of matches) if (!matchApplies(match, packet, surroundings)) return false;
  return true;
}

function matchApplies(match: Match, packet: Packet, surroundings: Surroundings): boolean {
  switch (match.kind) {
    case 'comment':
    case 'nfacct':
    case 'recentSet':
      return true;
    case 'protocol':
      return packet.protocol === match.protocol;
    case 'source':
      return blockHolds(match.block, packet.source) !== match.inverted;
    case 'destination':
      return blockHolds(match.block, packet.destination) !== match.inverted;
    case 'input':
      return interfaceIs(match.name, packet.inputInterface) !== match.inverted;
    case 'destinationPort':
      return packet.destinationPort === match.port;
    case 'sourceIsLocal':
      return surroundings.isLocal(packet.source);
    case 'destinationIsLocal':
      return surroundings.isLocal(packet.destination);
    case 'mark':
      return surroundings.hasMark(match.mark) !== match.inverted;
    case 'conntrack':
      return surroundings.hasState(match.states) !== match.inverted;
    case 'statistic':
      return surroundings.mayPick(match.probability);
    case 'recentCheck':
      return surroundings.isRemembered(match.list, match.seconds);
  }
}

/** `address` is in canonical text, and so is a block that is an address. */
function blockHolds(block: string, address: string): boolean {
  return block.includes('/') ? cidrContainsIp(block, address) : block === address;
}

function interfaceIs(name: string, inputInterface: string | undefined): boolean {
  if (inputInterface === undefined) return false;
  return name.endsWith('+') ? inputInterface.startsWith(name.slice(0, -1)) : inputInterface === name;
}
