/**
 * The hooks of netfilter for one packet: literally, rule by rule, or by sums. The sums of a hook hang on the packet's answers to the
 * questions that its rules ask; they are found by walking the rules once for each combination that occurs (HookMemo).
 */
import * as counters from '../../model/counters.ts';
import type { PacketBatch } from '../../model/packet.ts';
import * as protocols from '../../model/protocol.ts';
import { FlagTable } from './flag-table.ts';
import { HookMemo } from './hook-memo.ts';
import * as sets from './ipsets.ts';
import type { IpSets } from './ipsets.ts';
import * as walkModel from './literal-walk.ts';
import { isLoopback, LiteralWalk } from './literal-walk.ts';
import type { BlockedVip, IpvsMatch, WalkedPacket } from './literal-walk.ts';
import * as r from './rules.ts';
import type { Rule, RuleOptions } from './rules.ts';

/* A module's own constants are part of the compiled code; V8 loads an imported one anew at each use. */
const { COUNTER_STRIDE, JUMPS, RULES_EVALUATED, RULES_MATCHED, RULE_BYTES } = counters;
const { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } = protocols;
const { CTSTATE_ESTABLISHED, CTSTATE_NEW } = walkModel;

const { SET_LOAD_BALANCER_FW, SET_LOOP_BACK } = sets;
const { FILTER_FORWARD, FILTER_INPUT, FILTER_OUTPUT, NAT_POSTROUTING, NAT_PREROUTING, TARGET_RETURN } = r;
const CLUSTER_IP = sets.destinationBit(sets.SET_CLUSTER_IP);
const EXTERNAL = sets.destinationBit(sets.SET_EXTERNAL_IP) | sets.destinationBit(sets.SET_EXTERNAL_IP_LOCAL);
/** Sets whose entries KUBE-IPVS-FILTER lets pass. */
const OPEN = CLUSTER_IP | EXTERNAL | sets.destinationBit(sets.SET_LOAD_BALANCER);
const FIREWALLED = sets.destinationBit(SET_LOAD_BALANCER_FW);
const HEALTH_CHECK = sets.portBit(sets.SET_HEALTH_CHECK_NODE_PORT);
/** Two bits each of a port's flags: its NODE-PORT set and its NODE-PORT-LOCAL set. */
const UDP_SHIFT = sets.SET_NODE_PORT_UDP - sets.SET_NODE_PORT_TCP;
const NODE_PORT_BITS = 3;

/* Bits of a key of nat PREROUTING and OUTPUT, above the eight of the destination's flags. */
const NAT_DST_LOCAL = 1 << 8;
const NAT_MASQUERADED = 1 << 9;
const NAT_SRC_LOCAL = 1 << 10;
const NAT_PROTOCOL_SHIFT = 11;
const NAT_PORT_SHIFT = 13;
const NAT_LOOPBACK_KEY = 1 << 15;
/* Of filter INPUT and FORWARD, above the same eight. */
const FILTER_HEALTH_CHECK = 1 << 8;
const FILTER_NEW = 1 << 9;
const FILTER_BOUND = 1 << 10;
const FILTER_IN_RANGES = 1 << 11;
const FILTER_IN_SOURCE_IP = 1 << 12;
const FORWARD_MARKED = 1 << 8;
const FORWARD_ESTABLISHED = 1 << 9;
/* Of nat POSTROUTING. */
const POSTROUTING_LOOP_BACK = 1;
const POSTROUTING_MARKED = 2;

const NO_FLAGS = -1;

export class RuleWalk {
  readonly packet: WalkedPacket;
  readonly #literal: LiteralWalk;
  readonly #isLiteral: boolean;
  readonly #sets: IpSets;
  readonly #masqueradesAll: boolean;
  readonly #hasDetector: boolean;
  /** Some port is a node port of TCP or UDP; one is a health check's. */
  #hasNodePorts = false;
  #hasHealthChecks = false;
  readonly #natMemo = new HookMemo(NAT_LOOPBACK_KEY + 1);
  readonly #inputMemo = new HookMemo(1 << 13);
  readonly #forwardMemo = new HookMemo(1 << 13);
  readonly #postroutingMemo = new HookMemo(4);
  readonly #counted = new Uint32Array(COUNTER_STRIDE);
  /** Sources that some rule of KUBE-IPVS-OUT-FILTER asks for. */
  readonly #blockedSources = new FlagTable();
  /** Rules there, and bytes of filter OUTPUT with them. */
  #blockedVips = 0;
  #outputBytes = 0;
  #rows: Uint32Array = new Uint32Array(0);
  #row = 0;
  /** Flags of the packet's destination as it came to nat and filter INPUT; NO_FLAGS until asked for. */
  #flags = NO_FLAGS;
  /** Of each packet that was prepared. */
  #flagsOfPacket = new Int32Array(0);

  constructor(
    options: RuleOptions,
    isLiteral: boolean,
    ipSets: IpSets,
    nodeAddresses: readonly number[],
    ipvsMatch: IpvsMatch,
  ) {
    this.#literal = new LiteralWalk(options.detector, ipSets, nodeAddresses, ipvsMatch);
    this.packet = this.#literal.packet;
    this.#isLiteral = isLiteral;
    this.#sets = ipSets;
    this.#masqueradesAll = options.masqueradeAll;
    this.#hasDetector = options.detector.kind !== 'none';
  }

  /** Takes the rules of the latest sync. */
  load(rules: readonly Rule[], blockedVips: readonly BlockedVip[]): void {
    this.#literal.load(rules, blockedVips);
    this.#natMemo.clear();
    this.#inputMemo.clear();
    this.#forwardMemo.clear();
    this.#postroutingMemo.clear();
    this.#hasNodePorts = !this.#sets.isEmpty(sets.SET_NODE_PORT_TCP) || !this.#sets.isEmpty(sets.SET_NODE_PORT_UDP);
    this.#hasHealthChecks = !this.#sets.isEmpty(sets.SET_HEALTH_CHECK_NODE_PORT);
    this.#blockedVips = blockedVips.length;
    this.#outputBytes = 0;
    for (const { chain, size } of rules) {
      if (chain === FILTER_OUTPUT || chain === r.FILTER_IPVS_OUT) this.#outputBytes += size;
    }
    this.#blockedSources.clear();
    for (const { address } of blockedVips) this.#blockedSources.add(address, 0, 0, 1);
  }

  /** Packets to come: looks their destinations up. */
  prepare(packets: PacketBatch): void {
    if (this.#isLiteral) return;
    if (packets.length > this.#flagsOfPacket.length) this.#flagsOfPacket = new Int32Array(packets.capacity);
    this.#sets.destinationFlagsOfAll(packets, this.#flagsOfPacket);
  }

  /** Packet `i` of those that were prepared, whose counters go to rows[row + counter]. */
  begin(i: number, rows: Uint32Array, row: number): void {
    this.#rows = rows;
    this.#row = row;
    if (this.#isLiteral) this.#literal.countInto(rows, row);
    else this.#flags = this.#flagsOfPacket[i];
  }

  /** conntrack has given the packet another destination than the one that it came with. */
  destinationChanged(): void {
    this.#flags = NO_FLAGS;
  }

  /** The routing decision: is the packet, as it came to nat and filter INPUT, for an address of this node? */
  isForNode(): boolean {
    const { dstAddress } = this.packet;
    // Whatever is a destination of the sets is an address of this node or on kube-ipvs0.
    return (!this.#isLiteral && this.#destinationFlags() !== 0) || this.#literal.isLocal(dstAddress);
  }

  /** nat PREROUTING or OUTPUT (their rules are the same): may set the mark. */
  natDestination(): void {
    if (this.#isLiteral) {
      this.#literal.walk(NAT_PREROUTING);
      return;
    }
    this.#indexed(this.#natMemo, this.#natKey(), NAT_PREROUTING);
    this.packet.isMarked = this.#natMemo.isMarked;
  }

  /** nat POSTROUTING: TARGET_MASQUERADE, TARGET_MASQUERADE_HAIRPIN, or the packet keeps its source. */
  natPostrouting(): number {
    if (this.#isLiteral) return this.#literal.walk(NAT_POSTROUTING);
    const { srcAddress, dstAddress, dstPort, protocol, isMarked } = this.packet;
    let key = isMarked ? POSTROUTING_MARKED : 0;
    const isUsed = !this.#sets.isEmpty(SET_LOOP_BACK);
    if (isUsed && this.#sets.inLoopBack(dstAddress, protocol, dstPort, srcAddress)) key |= POSTROUTING_LOOP_BACK;
    const target = this.#indexed(this.#postroutingMemo, key, NAT_POSTROUTING);
    this.packet.isMarked = this.#postroutingMemo.isMarked;
    return target;
  }

  /** filter INPUT: TARGET_REJECT (an unused port of a VIP), TARGET_DROP (source ranges), or the packet goes on. */
  filterInput(): number {
    if (this.#isLiteral) return this.#literal.walk(FILTER_INPUT);
    return this.#indexed(this.#inputMemo, this.#inputKey(), FILTER_INPUT);
  }

  /** filter FORWARD: TARGET_DROP, or the packet goes on. */
  filterForward(): number {
    if (this.#isLiteral) return this.#literal.walk(FILTER_FORWARD);
    let key = this.#firewallKey(this.#sets.isEmpty(SET_LOAD_BALANCER_FW) ? 0 : this.#destinationFlags());
    if (this.packet.isMarked) key |= FORWARD_MARKED;
    if (this.packet.ctstate === CTSTATE_ESTABLISHED) key |= FORWARD_ESTABLISHED;
    return this.#indexed(this.#forwardMemo, key, FILTER_FORWARD);
  }

  /** filter OUTPUT: TARGET_DROP (the node itself, to a load balancer that is closed to it), or the packet goes on. */
  filterOutput(): number {
    const isAsked = this.#blockedVips > 0 && this.#blockedSources.get(this.packet.srcAddress, 0, 0) !== 0;
    if (this.#isLiteral || isAsked) {
      this.#literal.countInto(this.#rows, this.#row);
      return this.#literal.walk(FILTER_OUTPUT);
    }
    // The jump, and the rules of other sources.
    const rows = this.#rows;
    const row = this.#row;
    rows[row + RULES_EVALUATED] += 1 + this.#blockedVips;
    rows[row + RULES_MATCHED]++;
    rows[row + JUMPS]++;
    rows[row + RULE_BYTES] += this.#outputBytes;
    return TARGET_RETURN;
  }

  #indexed(memo: HookMemo, key: number, chain: number): number {
    if (!memo.add(key, this.#rows, this.#row)) {
      const counted = this.#counted.fill(0);
      this.#literal.countInto(counted, 0);
      const target = this.#literal.walk(chain);
      memo.learn(key, counted, target, this.packet.isMarked);
      memo.add(key, this.#rows, this.#row);
    }
    return memo.target;
  }

  #destinationFlags(): number {
    if (this.#flags === NO_FLAGS) {
      const { dstAddress, dstPort, protocol } = this.packet;
      this.#flags = this.#sets.destinationFlags(dstAddress, protocol, dstPort);
    }
    return this.#flags;
  }

  #natKey(): number {
    const { srcAddress, dstPort, protocol } = this.packet;
    if (isLoopback(srcAddress)) return NAT_LOOPBACK_KEY;
    const flags = this.#destinationFlags();
    let key = flags;
    if (!this.#masqueradesAll && this.#isMasqueradeRuleMet()) key |= NAT_MASQUERADED;
    if ((flags & EXTERNAL) !== 0 && this.#literal.isLocal(srcAddress)) key |= NAT_SRC_LOCAL;
    if (!this.isForNode()) return key;
    key |= NAT_DST_LOCAL;
    const ports = this.#hasNodePorts ? this.#sets.portFlags(protocol, dstPort) : 0;
    if (protocol === PROTOCOL_TCP) return key | ((ports & NODE_PORT_BITS) << NAT_PORT_SHIFT);
    if (protocol === PROTOCOL_UDP) {
      return key | (1 << NAT_PROTOCOL_SHIFT) | (((ports >> UDP_SHIFT) & NODE_PORT_BITS) << NAT_PORT_SHIFT);
    }
    return key | ((protocol === PROTOCOL_SCTP ? 2 : 3) << NAT_PROTOCOL_SHIFT);
  }

  /** The local detector's part of the cluster IPs' masquerade rule, or without one its set test of the source. */
  #isMasqueradeRuleMet(): boolean {
    if (this.#hasDetector) return this.#literal.isNotFromPod();
    const { srcAddress, dstPort, protocol } = this.packet;
    return (this.#sets.destinationFlags(srcAddress, protocol, dstPort) & CLUSTER_IP) !== 0;
  }

  #inputKey(): number {
    const { dstAddress, dstPort, protocol, ctstate } = this.packet;
    const flags = this.#destinationFlags();
    let key = this.#firewallKey(flags);
    if (this.#hasHealthChecks && (this.#sets.portFlags(protocol, dstPort) & HEALTH_CHECK) !== 0)
      key |= FILTER_HEALTH_CHECK;
    if (ctstate !== CTSTATE_NEW) return key;
    key |= FILTER_NEW;
    // Only what none of the RETURN rules takes comes to the REJECT rule.
    if ((key & (OPEN | FILTER_HEALTH_CHECK)) === 0 && this.#sets.isBound(dstAddress)) key |= FILTER_BOUND;
    return key;
  }

  /** The destination's flags, and what KUBE-SOURCE-RANGES-FIREWALL asks. */
  #firewallKey(flags: number): number {
    if ((flags & FIREWALLED) === 0) return flags;
    const { srcAddress, dstAddress, dstPort, protocol } = this.packet;
    let key = flags;
    if (this.#sets.inSourceRanges(dstAddress, protocol, dstPort, srcAddress)) key |= FILTER_IN_RANGES;
    if (this.#sets.inSourceIp(dstAddress, protocol, dstPort, srcAddress)) key |= FILTER_IN_SOURCE_IP;
    return key;
  }
}
