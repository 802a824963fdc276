/** Walks the iptables rules of IPVS mode for one packet: literally, rule by rule, or along paths added up beforehand. */
import type { Cidr } from '../../model/address.ts';
import { IPSET_TESTS, JUMPS, RULES_EVALUATED, RULES_MATCHED, RULE_BYTES } from '../../model/counters.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import type { IpSets } from './ipsets.ts';
import * as r from './rules.ts';
import type { Rule, RuleOptions } from './rules.ts';

export const CTSTATE_NEW = 0;
export const CTSTATE_ESTABLISHED = 1;
export const CTSTATE_INVALID = 2;

/** End of a chain or RETURN: the walk goes on after the jump. Others are the targets that end the hook. */
const GOES_ON = r.TARGET_RETURN;

/** The packet as the rules see it; the engine sets it before each hook. Reused for every packet. */
export class RuleWalk {
  srcAddress = 0;
  dstAddress = 0;
  dstPort = 0;
  protocol = 0;
  ctstate = CTSTATE_NEW;
  /** The masquerade mark, which lives for one packet. */
  isMarked = false;

  readonly #isLiteral: boolean;
  readonly #sets: IpSets;
  readonly #nodeAddresses: Uint32Array;
  readonly #clusterCidr: Cidr | undefined;
  readonly #masqueradeAll: boolean;
  #rows: Uint32Array = new Uint32Array(0);
  #row = 0;

  // The rules as parallel arrays; chain c is firstRule[c] .. firstRule[c + 1] - 1.
  readonly #firstRule = new Int32Array(r.CHAINS.length + 1);
  #ip = new Uint8Array(0);
  #match = new Uint8Array(0);
  #set = new Uint8Array(0);
  #target = new Uint8Array(0);
  #size = new Uint32Array(0);
  #hasClusterIps = false;
  #hasLoopBack = false;
  #hasNodePortTcp = false;
  #hasNodePortUdp = false;

  constructor(options: RuleOptions, isLiteral: boolean, sets: IpSets, nodeAddresses: readonly number[]) {
    this.#isLiteral = isLiteral;
    this.#sets = sets;
    this.#nodeAddresses = Uint32Array.from(nodeAddresses);
    this.#clusterCidr = options.clusterCidr;
    this.#masqueradeAll = options.masqueradeAll;
  }

  /** Takes the rules of the latest sync; they come chain by chain. */
  load(rules: readonly Rule[]): void {
    this.#ip = Uint8Array.from(rules, (rule) => rule.ip);
    this.#match = Uint8Array.from(rules, (rule) => rule.match);
    this.#set = Uint8Array.from(rules, (rule) => rule.set);
    this.#target = Uint8Array.from(rules, (rule) => rule.target);
    this.#size = Uint32Array.from(rules, (rule) => rule.size);
    this.#firstRule.fill(0);
    for (const rule of rules) this.#firstRule[rule.chain + 1] = this.#firstRule[rule.chain + 1] + 1;
    for (let chain = 0; chain < r.CHAINS.length; chain++) {
      this.#firstRule[chain + 1] += this.#firstRule[chain];
    }
    this.#hasClusterIps = this.#sets.clusterIpSize > 0;
    this.#hasLoopBack = this.#sets.loopBackSize > 0;
    this.#hasNodePortTcp = this.#sets.nodePortTcpSize > 0;
    this.#hasNodePortUdp = this.#sets.nodePortUdpSize > 0;
  }

  /** Where the counters of the next hooks go: rows[row + counter]. */
  countInto(rows: Uint32Array, row: number): void {
    this.#rows = rows;
    this.#row = row;
  }

  /** The routing decision and `addrtype --dst-type LOCAL`: node addresses, loopback, and the VIPs on kube-ipvs0. */
  isLocal(address: number): boolean {
    if (address >>> 24 === 127) return true;
    const own = this.#nodeAddresses;
    for (let i = 0; i < own.length; i++) if (own[i] === address) return true;
    return this.#sets.inIpvsIps(address);
  }

  /** nat PREROUTING or OUTPUT (their rules are the same): may set the mark. */
  natDestination(): void {
    if (this.#isLiteral) this.#walk(r.NAT_PREROUTING);
    else this.#indexedNatDestination();
  }

  /** nat POSTROUTING; true when MASQUERADE is reached. */
  natPostrouting(): boolean {
    if (this.#isLiteral) return this.#walk(r.NAT_POSTROUTING) === r.TARGET_MASQUERADE;
    return this.#indexedPostrouting();
  }

  /** filter INPUT; true when the packet is rejected (an unused port of a VIP). */
  filterInput(): boolean {
    if (this.#isLiteral) return this.#walk(r.FILTER_INPUT) === r.TARGET_REJECT;
    return this.#indexedInput();
  }

  /** filter FORWARD never refuses anything. */
  filterForward(): void {
    if (this.#isLiteral) {
      this.#walk(r.FILTER_FORWARD);
      return;
    }
    // Two jumps, the mark rule, and the ctstate rule unless the mark rule accepted.
    if (this.isMarked) this.#count(3, 3, 2, 440 + 440 + 488, 0);
    else this.#count(4, this.ctstate === CTSTATE_ESTABLISHED ? 3 : 2, 2, 440 + 440 + 488 + 640, 0);
  }

  /** filter OUTPUT: one jump to an empty chain. */
  filterOutput(): void {
    if (this.#isLiteral) this.#walk(r.FILTER_OUTPUT);
    else this.#count(1, 1, 1, 440, 0);
  }

  #walk(chain: number): number {
    const rows = this.#rows;
    const row = this.#row;
    const end = this.#firstRule[chain + 1];
    for (let rule = this.#firstRule[chain]; rule < end; rule++) {
      rows[row + RULES_EVALUATED]++;
      rows[row + RULE_BYTES] += this.#size[rule];
      if (!this.#ipMatches(this.#ip[rule])) continue;
      if (!this.#matchHolds(this.#match[rule])) continue;
      if (!this.#setHolds(this.#set[rule])) continue;
      rows[row + RULES_MATCHED]++;
      const target = this.#target[rule];
      if (target >= r.TARGET_JUMP) {
        rows[row + JUMPS]++;
        const verdict = this.#walk(target - r.TARGET_JUMP);
        if (verdict !== GOES_ON) return verdict;
      } else if (target === r.TARGET_MARK) this.isMarked = true;
      else if (target === r.TARGET_UNMARK) this.isMarked = false;
      else return target;
    }
    return GOES_ON;
  }

  #ipMatches(ip: number): boolean {
    switch (ip) {
      case r.IP_ANY:
        return true;
      case r.IP_SRC_LOOPBACK:
        return this.srcAddress >>> 24 === 127;
      case r.IP_SRC_NOT_CLUSTER:
        return this.#isOutsideCluster();
      case r.IP_TCP:
        return this.protocol === PROTOCOL_TCP;
      default:
        return this.protocol === PROTOCOL_UDP;
    }
  }

  #isOutsideCluster(): boolean {
    const cidr = this.#clusterCidr;
    return cidr === undefined || (this.srcAddress & cidr.mask) >>> 0 !== cidr.address;
  }

  #matchHolds(match: number): boolean {
    switch (match) {
      case r.MATCH_NONE:
        return true;
      case r.MATCH_DST_LOCAL:
        return this.isLocal(this.dstAddress);
      case r.MATCH_UNMARKED:
        return !this.isMarked;
      case r.MATCH_MARKED:
        return this.isMarked;
      case r.MATCH_NEW:
        return this.ctstate === CTSTATE_NEW;
      default:
        return this.ctstate === CTSTATE_ESTABLISHED;
    }
  }

  #setHolds(set: number): boolean {
    if (set === r.SET_NONE) return true;
    this.#rows[this.#row + IPSET_TESTS]++;
    switch (set) {
      case r.SET_CLUSTER_IP_DST:
        return this.#sets.inClusterIp(this.dstAddress, this.protocol, this.dstPort);
      case r.SET_CLUSTER_IP_SRC:
        return this.#sets.inClusterIp(this.srcAddress, this.protocol, this.dstPort);
      case r.SET_NODE_PORT:
        return this.#sets.inNodePort(this.protocol, this.dstPort);
      case r.SET_LOOP_BACK:
        return this.#sets.inLoopBack(this.dstAddress, this.protocol, this.dstPort, this.srcAddress);
      case r.SET_IPVS_IPS:
        return this.#sets.inIpvsIps(this.dstAddress);
      default:
        return false;
    }
  }

  #count(rules: number, matched: number, jumps: number, bytes: number, setTests: number): void {
    const rows = this.#rows;
    const row = this.#row;
    rows[row + RULES_EVALUATED] += rules;
    rows[row + RULES_MATCHED] += matched;
    rows[row + JUMPS] += jumps;
    rows[row + RULE_BYTES] += bytes;
    rows[row + IPSET_TESTS] += setTests;
  }

  #indexedNatDestination(): void {
    if (this.srcAddress >>> 24 === 127) {
      this.#count(2, 2, 1, 440 + 152, 0);
      return;
    }
    // The jump, the loopback rule and the node port rule are always visited.
    let rules = 3;
    let matched = 1;
    let jumps = 1;
    let bytes = 440 + 152 + 192;
    let setTests = 0;
    const { srcAddress, dstAddress, dstPort, protocol } = this;
    let isClusterIp = false;
    if (this.#hasClusterIps) {
      isClusterIp = this.#sets.inClusterIp(dstAddress, protocol, dstPort);
      rules += 2;
      bytes += 480 + 192;
      setTests += 1;
      let toMark: boolean;
      if (this.#masqueradeAll) {
        setTests++;
        toMark = isClusterIp;
      } else if (this.#clusterCidr !== undefined) {
        toMark = this.#isOutsideCluster();
        if (toMark) {
          setTests++;
          toMark = isClusterIp;
        }
      } else {
        setTests++;
        toMark = this.#sets.inClusterIp(srcAddress, protocol, dstPort);
      }
      if (toMark) {
        // The rule itself, and the MARK rule that it jumps to.
        rules++;
        matched += 2;
        jumps++;
        bytes += 152;
        this.isMarked = true;
      }
      if (isClusterIp) matched++;
    }
    if (isClusterIp || this.isLocal(dstAddress)) {
      matched++;
      jumps++;
      const isTcp = protocol === PROTOCOL_TCP;
      const isUdp = protocol === PROTOCOL_UDP;
      const perProtocol = (this.#hasNodePortTcp ? 1 : 0) + (this.#hasNodePortUdp ? 1 : 0);
      rules += perProtocol;
      bytes += perProtocol * 480;
      if ((isTcp && this.#hasNodePortTcp) || (isUdp && this.#hasNodePortUdp)) {
        setTests++;
        if (this.#sets.inNodePort(protocol, dstPort)) {
          rules++;
          matched += 2;
          jumps++;
          bytes += 152;
          this.isMarked = true;
        }
      }
    }
    this.#count(rules, matched, jumps, bytes, setTests);
  }

  #indexedPostrouting(): boolean {
    let rules = 1;
    let bytes = 440;
    let setTests = 0;
    if (this.#hasLoopBack) {
      rules++;
      bytes += 496;
      setTests++;
      if (this.#sets.inLoopBack(this.dstAddress, this.protocol, this.dstPort, this.srcAddress)) {
        this.#count(rules, 2, 1, bytes, setTests);
        return true;
      }
    }
    if (!this.isMarked) {
      this.#count(rules + 1, 2, 1, bytes + 200, setTests);
      return false;
    }
    this.isMarked = false;
    this.#count(rules + 3, 3, 1, bytes + 200 + 152 + 456, setTests);
    return true;
  }

  #indexedInput(): boolean {
    // The other two jumps lead to an empty chain and to the health check rule, which never matches.
    const rest = 440 + 440 + 480;
    if (this.#sets.inClusterIp(this.dstAddress, this.protocol, this.dstPort)) {
      this.#count(3 + 2 + 1, 3 + 1, 3, 440 + 2 * 192 + rest, 3);
      return false;
    }
    const isNew = this.ctstate === CTSTATE_NEW;
    if (isNew && this.#sets.inIpvsIps(this.dstAddress)) {
      this.#count(1 + 6, 2, 1, 440 + 5 * 192 + 392, 6);
      return true;
    }
    this.#count(3 + 6 + 1, 3, 3, 440 + 5 * 192 + 392 + rest, 5 + (isNew ? 1 : 0) + 1);
    return false;
  }
}
