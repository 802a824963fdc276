/** Rules as words (rule-words.ts), walked one by one as ipt_do_table does (net/ipv4/netfilter/ip_tables.c). */
import {
  JUMPS,
  RULES_EVALUATED,
  RULES_MATCHED,
  RULE_BYTES,
  SERVICE_RULES_SCANNED,
  STATISTIC_RULES,
} from '../../model/counters.ts';
import { REASON_NO_ENDPOINTS } from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import type { NodeFacts } from './node-facts.ts';
import { fitsBlock, isLocal, isLoopback } from './node-facts.ts';
import type { PacketWalk } from './packet-walk.ts';
import { ACCEPTED, DNATED, DROPPED, FELL_OFF, MASQUERADED, REJECTED } from './packet-walk.ts';
import type { RecentLists } from './recent-lists.ts';
import * as rule from './rule-words.ts';
import { RULE_STRIDE } from './rule-words.ts';

export class RuleWalker {
  readonly #facts: NodeFacts;
  readonly #stream: RandomStream;
  readonly #lists: RecentLists;
  /** Where to go on after a jump: the next rule and the end of its chain. Chains nest seven deep at most. */
  readonly #stack = new Int32Array(16);

  constructor(facts: NodeFacts, stream: RandomStream, lists: RecentLists) {
    this.#facts = facts;
    this.#stream = stream;
    this.#lists = lists;
  }

  /** Rules `first` .. `chainEnd - 1` and the chains that they jump to; returns how the walk ended. */
  walk(words: Int32Array, first: number, chainEnd: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    const stack = this.#stack;
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
        // The end of a chain returns to its caller.
        if (depth === 0) {
          answer = FELL_OFF;
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
      if (!this.matches(words, base, walk, rows, row)) continue;
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
        answer = decide(words, base, target, walk);
      }
    }
    rows[row + RULES_EVALUATED] += visited;
    rows[row + RULES_MATCHED] += matched;
    rows[row + RULE_BYTES] += bytes;
    rows[row + SERVICE_RULES_SCANNED] += serviceRules;
    return answer;
  }

  /** Whether all matches of the rule that begins at word `base` hold: the addresses and the protocol first (ip_packet_match). */
  matches(words: Int32Array, base: number, walk: PacketWalk, rows: Uint32Array, row: number): boolean {
    if (!fitsBlock(words, base + rule.W_DST, walk.dst)) return false;
    const matches = words[base + rule.W_MATCHES];
    const srcFits = fitsBlock(words, base + rule.W_SRC, walk.src);
    if (srcFits === ((matches & rule.MATCH_SRC_INVERTED) !== 0)) return false;
    const wanted = words[base + rule.W_PROTOCOL];
    if (wanted !== 0 && wanted !== walk.protocol) return false;
    if ((matches & rule.MATCH_DPORT) !== 0 && words[base + rule.W_DPORT] !== walk.dstPort) return false;
    return matches < rule.MATCH_STATES || this.#fits(words, base, matches, walk, rows, row);
  }

  /** The matches that most rules have beside address, protocol and port. */
  #fits(words: Int32Array, base: number, matches: number, walk: PacketWalk, rows: Uint32Array, row: number): boolean {
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
    return matches < rule.MATCH_SRC_LOCAL || this.#fitsRare(words, base, matches, walk, rows, row);
  }

  /** Apart, so that the function above stays small enough to be inlined. `recent` stands in no rule with another of these. */
  #fitsRare(
    words: Int32Array,
    base: number,
    matches: number,
    walk: PacketWalk,
    rows: Uint32Array,
    row: number,
  ): boolean {
    if ((matches & rule.MATCH_SRC_LOCAL) !== 0 && !isLocal(this.#facts.addresses, walk.src)) return false;
    if ((matches & rule.MATCH_NOT_LOOPBACK) !== 0 && isLoopback(walk.dst)) return false;
    if ((matches & rule.MATCH_FROM_POD) !== 0 && !walk.fromPod) return false;
    if ((matches & rule.MATCH_NOT_FROM_POD) !== 0 && walk.fromPod) return false;
    if ((matches & rule.MATCH_RECENT_CHECK) !== 0) {
      const list = words[base + rule.W_LIST];
      return this.#lists.check(list, walk.src, walk.clock[0], words[base + rule.W_SECONDS], rows, row);
    }
    if ((matches & rule.MATCH_RECENT_SET) !== 0) {
      this.#lists.set(words[base + rule.W_LIST], walk.src, walk.clock[0], rows, row);
    }
    return true;
  }
}

/** A target that is neither a jump nor RETURN: how the walk ends, or -1 for it to go on with the next rule. */
export function decide(words: Int32Array, base: number, target: number, walk: PacketWalk): number {
  switch (target) {
    case rule.TARGET_ACCEPT:
      return ACCEPTED;
    case rule.TARGET_DROP:
    case rule.TARGET_REJECT:
      walk.reason = target === rule.TARGET_REJECT ? REASON_NO_ENDPOINTS : words[base + rule.W_FIRST];
      if (words[base + rule.W_SERVICE] >= 0) walk.servicePortId = words[base + rule.W_SERVICE];
      return target === rule.TARGET_DROP ? DROPPED : REJECTED;
    case rule.TARGET_DNAT:
      walk.dst = words[base + rule.W_FIRST];
      walk.dstPort = words[base + rule.W_END];
      walk.servicePortId = words[base + rule.W_SERVICE];
      walk.translated = true;
      return DNATED;
    case rule.TARGET_MASQUERADE:
      return MASQUERADED;
    case rule.TARGET_NONE:
      return -1;
    default:
      walk.marked = target === rule.TARGET_MARK;
      return -1;
  }
}
