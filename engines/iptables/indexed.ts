/** The evaluator whose cost does not depend on the number of services: finds the rules that the walk would reach and adds the walk's counts. */
import {
  JUMPS,
  RULES_EVALUATED,
  RULES_MATCHED,
  RULE_BYTES,
  SERVICE_RULES_SCANNED,
  STATISTIC_RULES,
} from '../../model/counters.ts';
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_REJECT,
  REASON_INVALID,
  REASON_NONE,
  REASON_NO_ENDPOINTS,
} from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import type { ChainIndex } from './chain-index.ts';
import type { ServiceTable } from './compile.ts';
import type { NodeFacts } from './node-facts.ts';
import { MARK_IN_CHAIN, MARK_NOWHERE, isLocal, isLoopback, isMasqueraded } from './node-facts.ts';
import type { Evaluator, PacketWalk } from './packet-walk.ts';
import {
  DNATED,
  DROPPED,
  FELL_OFF,
  HOOK_FORWARD,
  HOOK_OUTPUT,
  REJECTED,
  STATE_DNAT,
  STATE_ESTABLISHED,
  STATE_INVALID,
  STATE_NEW,
} from './packet-walk.ts';
import { statisticThresholds } from './probability.ts';
import { RuleWalker } from './rule-walker.ts';
import type { ServiceChains } from './service-chains.ts';
import {
  COMMENTED_BYTES,
  LAST_BYTES,
  MARK_ACCEPT_BYTES,
  MARK_RETURN_BYTES,
  MASQUERADE_BYTES,
  PLAIN_BYTES,
  SERVICE_BYTES,
  STATE_BYTES,
  dnatBytes,
  endpointJumpBytes,
  hairpinBytes,
} from './sizes.ts';

/** By whether endpoint rules carry comments: KUBE-SVC's jumps with and without chance, and KUBE-SEP's two rules. */
const STATISTIC_JUMP_BYTES = Int32Array.of(endpointJumpBytes(true, false), endpointJumpBytes(true, true));
const LAST_JUMP_BYTES = Int32Array.of(endpointJumpBytes(false, false), endpointJumpBytes(false, true));
const ENDPOINT_CHAIN_BYTES = Int32Array.of(
  hairpinBytes(false) + dnatBytes(false),
  hairpinBytes(true) + dnatBytes(true),
);

export class IndexedEvaluator implements Evaluator {
  readonly #facts: NodeFacts;
  readonly #stream: RandomStream;
  readonly #table: ServiceTable;
  readonly #chains: ServiceChains;
  /** For the rules of special service ports, which are walked one by one. */
  readonly #walker: RuleWalker;
  #thresholds = statisticThresholds(1);
  /** Rules of FORWARD and KUBE-FORWARD that a packet of an established flow visits, and their bytes. */
  readonly #establishedRules: number;
  readonly #establishedBytes: number;

  constructor(stream: RandomStream, table: ServiceTable) {
    this.#table = table;
    this.#chains = table.chains;
    this.#facts = table.facts;
    this.#stream = stream;
    this.#walker = new RuleWalker(table.facts, stream, table.lists);
    const { invalidRuleBytes } = table.facts;
    this.#establishedRules = invalidRuleBytes === 0 ? 4 : 5;
    this.#establishedBytes = 2 * STATE_BYTES + COMMENTED_BYTES + invalidRuleBytes + MARK_ACCEPT_BYTES;
  }

  update(): void {
    this.#thresholds = statisticThresholds(this.#table.endpoints.maxCount);
  }

  natDestination(_hook: number, walk: PacketWalk, rows: Uint32Array, row: number): void {
    const services = this.#chains.services;
    // Every sum begins with the built-in chain's one rule, which jumps to KUBE-SERVICES.
    const rule = services.find(walk.protocol, walk.dst, walk.dstPort);
    if (rule >= 0 && services.value(rule) >= 0) {
      const place = services.place(rule);
      rows[row + SERVICE_RULES_SCANNED] += place;
      const bytes = COMMENTED_BYTES + services.bytesTo(place);
      this.#serviceChain(services.value(rule), walk, rows, row, 1 + place, 2, 2, bytes);
      return;
    }
    count(rows, row, 1, 1, 1, COMMENTED_BYTES);
    if (this.#scan(services, rule, -1, walk, rows, row) === FELL_OFF) this.#lastRules(walk, rows, row);
  }

  filter(hook: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    const answer = hook === HOOK_FORWARD ? this.#forward(walk, rows, row) : this.#local(hook, walk, rows, row);
    return answer === DROPPED ? OUTCOME_DROP : answer === REJECTED ? OUTCOME_REJECT : OUTCOME_ACCEPT;
  }

  /** As `#forward` counts a packet that is neither new nor INVALID and carries no mark: no rule there asks for its addresses. */
  forwardsEstablished(rows: Uint32Array, row: number): boolean {
    rows[row + RULES_EVALUATED] += this.#establishedRules;
    rows[row + RULES_MATCHED] += 2;
    rows[row + JUMPS]++;
    rows[row + RULE_BYTES] += this.#establishedBytes;
    return true;
  }

  natSource(walk: PacketWalk, rows: Uint32Array, row: number): boolean {
    if (!walk.marked) {
      count(rows, row, 2, 2, 1, COMMENTED_BYTES + MARK_RETURN_BYTES);
      return false;
    }
    count(rows, row, 4, 3, 1, COMMENTED_BYTES + MARK_RETURN_BYTES + PLAIN_BYTES + MASQUERADE_BYTES);
    return true;
  }

  /** The rules of nat KUBE-SERVICES that lead to KUBE-NODEPORTS. */
  #lastRules(walk: PacketWalk, rows: Uint32Array, row: number): void {
    const addresses = this.#facts.nodePortAddresses;
    if (addresses === undefined) {
      rows[row + SERVICE_RULES_SCANNED]++;
      const fits = isLocal(this.#facts.addresses, walk.dst) && !(this.#facts.exceptsLoopback && isLoopback(walk.dst));
      count(rows, row, 1, fits ? 1 : 0, fits ? 1 : 0, LAST_BYTES);
      if (fits) this.#nodePorts(walk, rows, row);
      return;
    }
    for (let i = 0; i < addresses.length; i++) {
      rows[row + SERVICE_RULES_SCANNED]++;
      const fits = addresses[i] === walk.dst;
      count(rows, row, 1, fits ? 1 : 0, fits ? 1 : 0, COMMENTED_BYTES);
      if (fits && this.#nodePorts(walk, rows, row) !== FELL_OFF) return;
    }
  }

  #nodePorts(walk: PacketWalk, rows: Uint32Array, row: number): number {
    const { nodePorts } = this.#chains;
    return this.#scan(nodePorts, -1, nodePorts.findAny(walk.protocol, walk.dstPort), walk, rows, row);
  }

  /** A whole chain of the filter table. */
  #filterChain(chain: ChainIndex, walk: PacketWalk, rows: Uint32Array, row: number): number {
    if (chain.length === 0) return FELL_OFF;
    const rule = chain.find(walk.protocol, walk.dst, walk.dstPort);
    return this.#scan(chain, rule, chain.findAny(walk.protocol, walk.dstPort), walk, rows, row);
  }

  /**
   * A walk through a whole chain whose first rules for the packet are `first` (of its destination) and `firstAny` (of any
   * address), -1 where there is none. What those rules lead to may come to nothing, and then the walk goes on.
   */
  #scan(chain: ChainIndex, first: number, firstAny: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    let rule = first;
    let any = firstAny;
    let passed = 0;
    while (rule >= 0 || any >= 0) {
      let next = rule;
      if (rule < 0 || (any >= 0 && chain.place(any) < chain.place(rule))) {
        next = any;
        any = chain.next(any);
      } else {
        rule = chain.next(rule);
      }
      const place = chain.place(next);
      const value = chain.value(next);
      // A special rule is counted by its walker.
      const before = value >= 0 ? place : place - 1;
      pass(chain, passed, before, rows, row);
      passed = place;
      const answer = value >= 0 ? this.#plainRule(chain, value, walk, rows, row) : this.#specialRule(~value, walk, rows, row); // prettier-ignore
      if (answer !== FELL_OFF) return answer;
    }
    pass(chain, passed, chain.length, rows, row);
    return FELL_OFF;
  }

  #specialRule(rule: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    return this.#walker.walk(this.#table.special.rules.words, rule, rule + 1, walk, rows, row);
  }

  /** A plain service port's rule, which has been visited and whose protocol, port and one address fit. */
  #plainRule(chain: ChainIndex, slot: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    const chains = this.#chains;
    if (chain === chains.services) {
      this.#serviceChain(slot, walk, rows, row, 0, 1, 1, 0);
      return DNATED;
    }
    if (chain === chains.nodePorts) {
      // KUBE-EXT: the jump to KUBE-MARK-MASQ with its one rule, then the jump to KUBE-SVC.
      walk.marked = true;
      this.#serviceChain(slot, walk, rows, row, 3, 4, 3, COMMENTED_BYTES + 2 * PLAIN_BYTES);
      return DNATED;
    }
    if (chain === chains.externalRejects && !isLocal(this.#facts.addresses, walk.dst)) return FELL_OFF;
    rows[row + RULES_MATCHED]++;
    walk.reason = REASON_NO_ENDPOINTS;
    walk.servicePortId = this.#table.id[slot];
    return REJECTED;
  }

  /** KUBE-SVC and KUBE-SEP of a plain service port. The last four arguments are what the walk has met and not counted yet, the jump that leads here included. */
  #serviceChain(
    slot: number,
    walk: PacketWalk,
    rows: Uint32Array,
    row: number,
    visitedBefore: number,
    matchedBefore: number,
    jumpsBefore: number,
    bytesBefore: number,
  ): void {
    const table = this.#table;
    const { clusterIpMark } = this.#facts;
    const endpoints = table.endpoints;
    const commented = table.commented[slot];
    // KUBE-MARK-MASQ: a match, a jump, and the one rule there. In front of the jump the rule has been visited with those passed.
    let marks = clusterIpMark !== MARK_NOWHERE && this.#entersMarked(slot, walk) ? 1 : 0;
    const markRules = clusterIpMark === MARK_IN_CHAIN ? 1 : 0;
    const last = endpoints.count[slot] - 1;
    const thresholds = this.#thresholds;
    const stream = this.#stream;
    let chosen = 0;
    while (chosen < last && (stream.nextUint32() & 0x7fffffff) >= thresholds[last + 1 - chosen]) chosen++;
    const statistic = chosen < last ? chosen + 1 : chosen;
    rows[row + STATISTIC_RULES] += statistic;
    const endpoint = endpoints.start[slot] + chosen;
    const address = endpoints.address[endpoint];
    if (walk.src === address) marks++;
    if (marks > 0) walk.marked = true;
    const bytes =
      bytesBefore +
      markRules * SERVICE_BYTES +
      statistic * STATISTIC_JUMP_BYTES[commented] +
      (chosen + 1 - statistic) * LAST_JUMP_BYTES[commented] +
      ENDPOINT_CHAIN_BYTES[commented] +
      marks * PLAIN_BYTES;
    // The jump to KUBE-SEP and DNAT match, too.
    const visited = visitedBefore + markRules + chosen + 3 + marks;
    count(rows, row, visited, matchedBefore + 2 + 2 * marks, jumpsBefore + 1 + marks, bytes);
    walk.dst = address;
    walk.dstPort = endpoints.port[endpoint];
    walk.translated = true;
    walk.servicePortId = table.id[slot];
  }

  /** Whether the masquerade rule of the service port's cluster IP takes the packet; what came by the node port does not fit it. */
  #entersMarked(slot: number, walk: PacketWalk): boolean {
    const { clusterIp, port } = this.#table;
    return walk.dst === clusterIp[slot] && walk.dstPort === port[slot] && isMasqueraded(this.#facts, walk);
  }

  /** filter INPUT and OUTPUT. */
  #local(hook: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    const chains = this.#chains;
    if (!this.#facts.blocksLocalnet) count(rows, row, 1, 1, 1, PLAIN_BYTES);
    else {
      count(rows, row, 2, 1, 1, PLAIN_BYTES + STATE_BYTES);
      const isKnown = (walk.state & (STATE_ESTABLISHED | STATE_DNAT)) !== 0;
      if (!isKnown && isLoopback(walk.dst) && !isLoopback(walk.src)) {
        rows[row + RULES_MATCHED]++;
        walk.reason = REASON_NONE;
        return DROPPED;
      }
    }
    const isNew = (walk.state & STATE_NEW) !== 0;
    const firewall = this.#onNew(isNew, chains.firewall, walk, rows, row);
    if (firewall !== FELL_OFF) return firewall;
    if (hook === HOOK_OUTPUT) return this.#onNew(isNew, chains.rejects, walk, rows, row);
    count(rows, row, 1, 1, 1, COMMENTED_BYTES);
    const health = this.#filterChain(chains.healthPorts, walk, rows, row);
    if (health !== FELL_OFF) return health;
    return this.#onNew(isNew, chains.externalRejects, walk, rows, row);
  }

  #forward(walk: PacketWalk, rows: Uint32Array, row: number): number {
    const chains = this.#chains;
    const isNew = (walk.state & STATE_NEW) !== 0 ? 1 : 0;
    if (isNew === 1 && chains.firewall.length > 0) {
      const answer = this.#filterChain(chains.firewall, walk, rows, row);
      if (answer !== FELL_OFF) {
        count(rows, row, 1, 1, 1, STATE_BYTES);
        return answer;
      }
    }
    // The jump to KUBE-PROXY-FIREWALL (only NEW), the jump to KUBE-FORWARD, and there INVALID, the mark, and what is established.
    const { invalidRuleBytes } = this.#facts;
    const invalidRules = invalidRuleBytes === 0 ? 0 : 1;
    const bytes = STATE_BYTES + COMMENTED_BYTES + invalidRuleBytes;
    if (invalidRules === 1 && (walk.state & STATE_INVALID) !== 0) {
      count(rows, row, 3, 2, 1, bytes);
      walk.reason = REASON_INVALID;
      return DROPPED;
    }
    if (walk.marked) {
      count(rows, row, 3 + invalidRules, 2 + isNew, 1 + isNew, bytes + MARK_ACCEPT_BYTES);
      return FELL_OFF;
    }
    const visited = 4 + invalidRules;
    if ((walk.state & STATE_ESTABLISHED) !== 0) {
      count(rows, row, visited, 2, 1, bytes + MARK_ACCEPT_BYTES + STATE_BYTES);
      return FELL_OFF;
    }
    // Back in FORWARD: the jumps to KUBE-SERVICES and to KUBE-EXTERNAL-SERVICES.
    count(rows, row, visited + 1, 1 + 2 * isNew, 1 + 2 * isNew, bytes + MARK_ACCEPT_BYTES + 2 * STATE_BYTES);
    if (isNew === 1) {
      const answer = this.#filterChain(chains.rejects, walk, rows, row);
      if (answer !== FELL_OFF) return answer;
    }
    count(rows, row, 1, isNew, isNew, STATE_BYTES);
    return isNew === 1 ? this.#filterChain(chains.externalRejects, walk, rows, row) : FELL_OFF;
  }

  /** A built-in chain's jump that wants a NEW packet, and the chain that it leads to. */
  #onNew(isNew: boolean, chain: ChainIndex, walk: PacketWalk, rows: Uint32Array, row: number): number {
    if (!isNew) {
      count(rows, row, 1, 0, 0, STATE_BYTES);
      return FELL_OFF;
    }
    count(rows, row, 1, 1, 1, STATE_BYTES);
    return this.#filterChain(chain, walk, rows, row);
  }
}

/** Rules `from` + 1 .. `to` of the chain are visited and do not match. */
function pass(chain: ChainIndex, from: number, to: number, rows: Uint32Array, row: number): void {
  count(rows, row, to - from, 0, 0, chain.bytesTo(to) - chain.bytesTo(from));
  rows[row + SERVICE_RULES_SCANNED] += to - from;
}

function count(rows: Uint32Array, row: number, visited: number, matched: number, jumps: number, bytes: number): void {
  rows[row + RULES_EVALUATED] += visited;
  rows[row + RULES_MATCHED] += matched;
  rows[row + JUMPS] += jumps;
  rows[row + RULE_BYTES] += bytes;
}
