/** The evaluator that visits every rule in turn, as ipt_do_table does (net/ipv4/netfilter/ip_tables.c). */
import {
  JUMPS,
  RULES_EVALUATED,
  RULES_MATCHED,
  RULE_BYTES,
  SERVICE_RULES_SCANNED,
  STATISTIC_RULES,
} from '../../model/counters.ts';
import { OUTCOME_ACCEPT, OUTCOME_DROP, OUTCOME_REJECT, REASON_NO_ENDPOINTS } from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import type { ServiceTable } from './compile.ts';
import type { Evaluator, NodeFacts, PacketWalk } from './packet-walk.ts';
import { HOOK_POSTROUTING, isLocal } from './packet-walk.ts';
import * as rule from './rules.ts';
import { RULE_STRIDE, RuleSet } from './rules.ts';

/** Answer of a walk: the hook ends with ACCEPT (the policy included), DROP, REJECT, or a nat target was reached. */
const ACCEPTED = 0;
const DROPPED = 1;
const REJECTED = 2;
const DNATED = 3;
const MASQUERADED = 4;

export class LiteralEvaluator implements Evaluator {
  readonly #facts: NodeFacts;
  readonly #stream: RandomStream;
  readonly rules: RuleSet;
  /** Where to go on after a jump: the next rule and the end of its chain. Chains nest four deep at most. */
  readonly #stack = new Int32Array(16);

  constructor(facts: NodeFacts, stream: RandomStream, table: ServiceTable) {
    this.#facts = facts;
    this.#stream = stream;
    this.rules = new RuleSet(facts, table);
  }

  update(changed?: readonly number[]): void {
    this.rules.update(changed);
  }

  natDestination(hook: number, walk: PacketWalk, rows: Uint32Array, row: number): void {
    const chain = this.rules.natHooks[hook];
    this.#walk(chain.first, chain.end, walk, rows, row);
  }

  filter(hook: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    const chain = this.rules.filterHooks[hook];
    const answer = this.#walk(chain.first, chain.end, walk, rows, row);
    return answer === DROPPED ? OUTCOME_DROP : answer === REJECTED ? OUTCOME_REJECT : OUTCOME_ACCEPT;
  }

  natSource(walk: PacketWalk, rows: Uint32Array, row: number): boolean {
    const chain = this.rules.natHooks[HOOK_POSTROUTING];
    return this.#walk(chain.first, chain.end, walk, rows, row) === MASQUERADED;
  }

  #walk(first: number, chainEnd: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    const words = this.rules.words;
    const stack = this.#stack;
    const { src, dst, protocol, dstPort } = walk;
    let visited = 0;
    let bytes = 0;
    let matched = 0;
    let serviceRules = 0;
    let depth = 0;
    let at = first * RULE_STRIDE;
    let end = chainEnd * RULE_STRIDE;
    let answer = -1;
    while (answer < 0) {
      if (at === end) {
        // The end of a user chain returns to its caller; that of a built-in chain is the policy, ACCEPT.
        if (depth === 0) {
          answer = ACCEPTED;
          break;
        }
        end = stack[--depth];
        at = stack[--depth];
        continue;
      }
      const base = at;
      at += RULE_STRIDE;
      visited++;
      bytes += words[base + rule.W_BYTES];
      serviceRules += words[base + rule.W_SERVICE_CHAIN];
      // ip_packet_match: the addresses and the protocol come before any match.
      if ((dst & words[base + rule.W_DST_MASK]) !== words[base + rule.W_DST]) continue;
      const matches = words[base + rule.W_MATCHES];
      const srcFits = (src & words[base + rule.W_SRC_MASK]) === words[base + rule.W_SRC];
      if (srcFits === ((matches & rule.MATCH_SRC_INVERTED) !== 0)) continue;
      const wanted = words[base + rule.W_PROTOCOL];
      if (wanted !== 0 && wanted !== protocol) continue;
      if ((matches & rule.MATCH_DPORT) !== 0 && words[base + rule.W_DPORT] !== dstPort) continue;
      if (matches > rule.MATCH_DPORT + rule.MATCH_SRC_INVERTED && !this.#fits(base, matches, walk, rows, row)) continue;
      matched++;
      const target = words[base + rule.W_TARGET];
      if (target === rule.TARGET_JUMP) {
        rows[row + JUMPS]++;
        stack[depth++] = at;
        stack[depth++] = end;
        at = words[base + rule.W_FIRST] * RULE_STRIDE;
        end = words[base + rule.W_END] * RULE_STRIDE;
      } else if (target === rule.TARGET_RETURN) {
        at = end;
      } else {
        answer = this.#target(base, target, walk);
      }
    }
    rows[row + RULES_EVALUATED] += visited;
    rows[row + RULES_MATCHED] += matched;
    rows[row + RULE_BYTES] += bytes;
    rows[row + SERVICE_RULES_SCANNED] += serviceRules;
    return answer;
  }

  /** The matches other than the port's, in the order of xt_conntrack, xt_mark, xt_addrtype and xt_statistic; no rule has two. */
  #fits(base: number, matches: number, walk: PacketWalk, rows: Uint32Array, row: number): boolean {
    const words = this.rules.words;
    if ((matches & rule.MATCH_STATES) !== 0) {
      const fits = (walk.state & words[base + rule.W_STATES]) !== 0;
      if (fits === ((matches & rule.MATCH_STATES_INVERTED) !== 0)) return false;
    }
    if ((matches & rule.MATCH_MARKED) !== 0 && !walk.marked) return false;
    if ((matches & rule.MATCH_NOT_MARKED) !== 0 && walk.marked) return false;
    if ((matches & rule.MATCH_DST_LOCAL) !== 0 && !isLocal(this.#facts.addresses, walk.dst)) return false;
    if ((matches & rule.MATCH_STATISTIC) !== 0) {
      rows[row + STATISTIC_RULES]++;
      return (this.#stream.nextUint32() & 0x7fffffff) < words[base + rule.W_THRESHOLD];
    }
    return true;
  }

  /** A target that is not a jump: an answer, or -1 for the walk to go on with the next rule. */
  #target(base: number, target: number, walk: PacketWalk): number {
    const words = this.rules.words;
    switch (target) {
      case rule.TARGET_ACCEPT:
        return ACCEPTED;
      case rule.TARGET_DROP:
        walk.reason = words[base + rule.W_FIRST];
        return DROPPED;
      case rule.TARGET_REJECT:
        walk.reason = REASON_NO_ENDPOINTS;
        walk.servicePortId = words[base + rule.W_SERVICE];
        return REJECTED;
      case rule.TARGET_DNAT:
        walk.dst = words[base + rule.W_FIRST];
        walk.dstPort = words[base + rule.W_END];
        walk.servicePortId = words[base + rule.W_SERVICE];
        walk.translated = true;
        return DNATED;
      case rule.TARGET_MASQUERADE:
        return MASQUERADED;
      default:
        walk.marked = target === rule.TARGET_MARK;
        return -1;
    }
  }
}
