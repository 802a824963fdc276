/** Walks the iptables rules of IPVS mode for one packet, rule by rule, as ipt_do_table does. */
import type { Cidr } from '../../model/address.ts';
import { cidrContains } from '../../model/address.ts';
import { IPSET_TESTS, JUMPS, RULES_EVALUATED, RULES_MATCHED, RULE_BYTES } from '../../model/counters.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import * as sets from './ipsets.ts';
import type { IpSets } from './ipsets.ts';
import * as r from './rules.ts';
import type { LocalDetector, Rule } from './rules.ts';
import { UNKNOWN } from './service-table.ts';

export const CTSTATE_NEW = 0;
export const CTSTATE_ESTABLISHED = 1;
export const CTSTATE_INVALID = 2;

/** End of a chain or RETURN: the walk goes on after the jump. Others are the targets that end the hook. */
const GOES_ON = r.TARGET_RETURN;
const LOOPBACK_NET = 127;

/**
 * The packet in hand, as the next hook sees it; what has been translated is changed here. One object for all packets. Its fields are
 * small integers (addresses as signed 32-bit words), because others are boxed.
 */
export class WalkedPacket {
  srcAddress = 0;
  srcPort = 0;
  dstAddress = 0;
  dstPort = 0;
  protocol = 0;
  tcpFlags = 0;
  /** The virtual server of the destination that it came with, NONE or UNKNOWN. */
  service = UNKNOWN;
  /** Buckets of the source that it came with and of its destination in the connection table. */
  sourceBucket = 0;
  destinationBucket = 0;
  ctstate = CTSTATE_NEW;
  /** The masquerade mark, which lives for one packet. */
  isMarked = false;
  /** It came in by a pod's interface. Never true of the node's own packets, which have no interface in OUTPUT. */
  isFromPod = false;
  /** IPVS has taken it (sk_buff ipvs_property). */
  isOfIpvs = false;
  /** Of the rule of KUBE-IPVS-OUT-FILTER that it met last. */
  servicePortId = -1;
}

/** A load balancer's address that the node itself may not reach: a rule of KUBE-IPVS-OUT-FILTER. */
export interface BlockedVip {
  readonly address: number;
  readonly protocol: number;
  readonly port: number;
  readonly servicePortId: number;
}

/** `-m ipvs`: whether the packet belongs to a connection of that virtual server (xt_ipvs.c ipvs_mt). Counts its look-up. */
export type IpvsMatch = (packet: WalkedPacket, vip: BlockedVip, rows: Uint32Array, row: number) => boolean;

export function isLoopback(address: number): boolean {
  return address >>> 24 === LOOPBACK_NET;
}

export class LiteralWalk {
  readonly packet = new WalkedPacket();
  readonly #sets: IpSets;
  readonly #nodeAddresses: Int32Array;
  /** The pods' block of addresses, if the local detector is that. */
  readonly #podBlock: Cidr | undefined;
  readonly #ipvsMatch: IpvsMatch;
  #rows: Uint32Array = new Uint32Array(0);
  #row = 0;

  // The rules as parallel arrays; chain c is firstRule[c] .. firstRule[c + 1] - 1.
  readonly #firstRule = new Int32Array(r.CHAINS + 1);
  #ip = new Uint8Array(0);
  #match = new Uint8Array(0);
  #set = new Int8Array(0);
  #then = new Uint8Array(0);
  #target = new Uint8Array(0);
  #size = new Uint32Array(0);
  #blockedVips: readonly BlockedVip[] = [];

  constructor(detector: LocalDetector, ipSets: IpSets, nodeAddresses: readonly number[], ipvsMatch: IpvsMatch) {
    this.#podBlock = detector.kind === 'cidr' ? detector.cidr : undefined;
    this.#sets = ipSets;
    this.#nodeAddresses = Int32Array.from(nodeAddresses);
    this.#ipvsMatch = ipvsMatch;
  }

  /** Takes the rules of the latest sync; they come in the order of their chains' numbers. */
  load(rules: readonly Rule[], blockedVips: readonly BlockedVip[]): void {
    this.#ip = Uint8Array.from(rules, (rule) => rule.ip);
    this.#match = Uint8Array.from(rules, (rule) => rule.match);
    this.#set = Int8Array.from(rules, (rule) => rule.set);
    this.#then = Uint8Array.from(rules, (rule) => rule.then);
    this.#target = Uint8Array.from(rules, (rule) => rule.target);
    this.#size = Uint32Array.from(rules, (rule) => rule.size);
    this.#firstRule.fill(0);
    for (const rule of rules) this.#firstRule[rule.chain + 1]++;
    for (let chain = 0; chain < r.CHAINS; chain++) this.#firstRule[chain + 1] += this.#firstRule[chain];
    this.#blockedVips = blockedVips;
  }

  /** Where the counters of the next walks go: rows[row + counter]. */
  countInto(rows: Uint32Array, row: number): void {
    this.#rows = rows;
    this.#row = row;
  }

  /** The routing decision and `addrtype --...-type LOCAL` of a signed address: node addresses, loopback, and the addresses on kube-ipvs0. */
  isLocal(address: number): boolean {
    if (isLoopback(address)) return true;
    const own = this.#nodeAddresses;
    for (let i = 0; i < own.length; i++) if (own[i] === address) return true;
    return this.#sets.isBound(address);
  }

  /** Whether the local detector, negated, holds. */
  isNotFromPod(): boolean {
    const block = this.#podBlock;
    return block === undefined ? !this.packet.isFromPod : !cidrContains(block, this.packet.srcAddress);
  }

  /** Walks a chain; TARGET_RETURN when it ran to its end, else the target that ended it. */
  walk(chain: number): number {
    const rows = this.#rows;
    const row = this.#row;
    const first = this.#firstRule[chain];
    const end = this.#firstRule[chain + 1];
    for (let rule = first; rule < end; rule++) {
      rows[row + RULES_EVALUATED]++;
      rows[row + RULE_BYTES] += this.#size[rule];
      if (!this.#ipMatches(this.#ip[rule], rule - first)) continue;
      if (!this.#matchHolds(this.#match[rule], rule - first)) continue;
      if (!this.#setHolds(this.#set[rule])) continue;
      if (!this.#thenHolds(this.#then[rule])) continue;
      rows[row + RULES_MATCHED]++;
      const target = this.#target[rule];
      if (target >= r.TARGET_JUMP) {
        rows[row + JUMPS]++;
        const verdict = this.walk(target - r.TARGET_JUMP);
        if (verdict !== GOES_ON) return verdict;
      } else if (target === r.TARGET_MARK) this.packet.isMarked = true;
      else if (target === r.TARGET_UNMARK) this.packet.isMarked = false;
      else return target;
    }
    return GOES_ON;
  }

  /** `place`: the rule's in its chain. */
  #ipMatches(ip: number, place: number): boolean {
    const { packet } = this;
    switch (ip) {
      case r.IP_ANY:
        return true;
      case r.IP_SRC_LOOPBACK:
        return isLoopback(packet.srcAddress);
      case r.IP_NOT_FROM_POD:
        return this.isNotFromPod();
      case r.IP_TCP:
        return packet.protocol === PROTOCOL_TCP;
      case r.IP_UDP:
        return packet.protocol === PROTOCOL_UDP;
      case r.IP_SCTP:
        return packet.protocol === PROTOCOL_SCTP;
      default:
        return packet.srcAddress === (this.#blockedVips[place].address | 0);
    }
  }

  #matchHolds(match: number, place: number): boolean {
    const { packet } = this;
    switch (match) {
      case r.MATCH_NONE:
        return true;
      case r.MATCH_DST_LOCAL:
        return this.isLocal(packet.dstAddress);
      case r.MATCH_UNMARKED:
        return !packet.isMarked;
      case r.MATCH_MARKED:
        return packet.isMarked;
      case r.MATCH_NEW:
        return packet.ctstate === CTSTATE_NEW;
      case r.MATCH_ESTABLISHED:
        return packet.ctstate === CTSTATE_ESTABLISHED;
      default:
        packet.servicePortId = this.#blockedVips[place].servicePortId;
        return this.#ipvsMatch(packet, this.#blockedVips[place], this.#rows, this.#row);
    }
  }

  #setHolds(set: number): boolean {
    if (set === r.SET_NONE) return true;
    this.#rows[this.#row + IPSET_TESTS]++;
    const ipSets = this.#sets;
    const { srcAddress, dstAddress, dstPort, protocol } = this.packet;
    if (set < sets.SET_NODE_PORT_TCP) {
      return (ipSets.destinationFlags(dstAddress, protocol, dstPort) & sets.destinationBit(set)) !== 0;
    }
    if (set < sets.SET_LOOP_BACK) return (ipSets.portFlags(protocol, dstPort) & sets.portBit(set)) !== 0;
    switch (set) {
      case sets.SET_LOOP_BACK:
        return ipSets.inLoopBack(dstAddress, protocol, dstPort, srcAddress);
      case sets.SET_SOURCE_IP:
        return ipSets.inSourceIp(dstAddress, protocol, dstPort, srcAddress);
      case sets.SET_SOURCE_CIDR:
        return ipSets.inSourceRanges(dstAddress, protocol, dstPort, srcAddress);
      case sets.SET_IPVS_IPS:
        return ipSets.isBound(dstAddress);
      default:
        return (
          (ipSets.destinationFlags(srcAddress, protocol, dstPort) & sets.destinationBit(sets.SET_CLUSTER_IP)) !== 0
        );
    }
  }

  #thenHolds(then: number): boolean {
    if (then === r.THEN_NOTHING) return true;
    if (then === r.THEN_DST_LOCAL) return this.isLocal(this.packet.dstAddress);
    return !this.isLocal(this.packet.srcAddress);
  }
}
