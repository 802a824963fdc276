/** The evaluator that visits every rule in turn, as the kernel does (net/ipv4/netfilter/ip_tables.c ipt_do_table). */
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
import type { NodeFacts } from './node-facts.ts';
import { isLocal, isMasqueraded } from './node-facts.ts';
import type { Evaluator, PacketWalk } from './packet-walk.ts';
import { DNATED, DROPPED, FELL_OFF, HOOK_POSTROUTING, MASQUERADED, REJECTED } from './packet-walk.ts';
import * as kind from './rule-arrays.ts';
import { RuleWalker, decide } from './rule-walker.ts';
import type { Chain } from './rule-words.ts';
import { RULE_STRIDE, TARGET_JUMP, TARGET_RETURN, W_END, W_FIRST, W_TARGET } from './rule-words.ts';
import { RuleSet } from './rules.ts';
import type { SpecialPorts } from './special-ports.ts';
import { KEY_ANY_DST, KEY_PROTOCOL, KEY_SERVICE_CHAIN, bytesOf, keyKind, keySize, mayMatch, portKey } from './scan.ts';

export class LiteralEvaluator implements Evaluator {
  readonly #facts: NodeFacts;
  readonly #stream: RandomStream;
  readonly #special: SpecialPorts;
  readonly #walker: RuleWalker;
  readonly #rules: RuleSet;
  readonly #shortChain = kind.SCANNING.shortChain;
  /** Where to go on after a jump: the next rule and the end of its chain. Chains nest seven deep at most. */
  readonly #stack = new Int32Array(16);

  constructor(stream: RandomStream, table: ServiceTable) {
    this.#facts = table.facts;
    this.#stream = stream;
    this.#special = table.special;
    this.#walker = new RuleWalker(table.facts, stream, table.lists);
    this.#rules = new RuleSet(table);
  }

  update(changed?: readonly number[]): void {
    this.#rules.update(changed);
  }

  natDestination(hook: number, walk: PacketWalk, rows: Uint32Array, row: number): void {
    this.#walk(this.#rules.natHooks[hook], walk, rows, row);
  }

  filter(hook: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    const answer = this.#walk(this.#rules.filterHooks[hook], walk, rows, row);
    return answer === DROPPED ? OUTCOME_DROP : answer === REJECTED ? OUTCOME_REJECT : OUTCOME_ACCEPT;
  }

  forwardsEstablished(): boolean {
    return false;
  }

  natSource(walk: PacketWalk, rows: Uint32Array, row: number): boolean {
    return this.#walk(this.#rules.natHooks[HOOK_POSTROUTING], walk, rows, row) === MASQUERADED;
  }

  /** A chain and the chains that it jumps to; returns how the walk ended. */
  #walk(chain: Chain, walk: PacketWalk, rows: Uint32Array, row: number): number {
    const { arrays } = this.#rules;
    const { dst, key, arg, more, sum } = arrays;
    const stack = this.#stack;
    const address = walk.dst;
    const packet = KEY_ANY_DST | portKey(walk.protocol, walk.dstPort);
    let visited = 0;
    let size = 0;
    let matched = 0;
    let serviceRules = 0;
    let jumps = 0;
    let depth = 0;
    let at = chain.first;
    let end = chain.end;
    let answer = -1;
    while (answer < 0) {
      const from = at;
      if (end - at > this.#shortChain) {
        at = arrays.scan(at, end, address, packet);
        size += sum[0];
      } else {
        while (at < end && !mayMatch(key[at], dst[at], packet, address)) size += keySize(key[at++]);
      }
      const isEnd = at === end;
      const passed = isEnd ? at - from : at - from + 1;
      visited += passed;
      // All rules of a chain are alike in this.
      if (passed > 0 && (key[from] & KEY_SERVICE_CHAIN) !== 0) serviceRules += passed;
      if (isEnd) {
        // The end of a chain returns to its caller.
        if (depth === 0) {
          answer = FELL_OFF;
          break;
        }
        end = stack[--depth];
        at = stack[--depth];
        continue;
      }
      const rule = at++;
      const word = key[rule];
      size += keySize(word);
      let to = -1;
      let length = 1;
      switch (keyKind(word)) {
        case kind.KIND_JUMP:
          to = arg[rule];
          length = more[rule];
          break;
        case kind.KIND_CHANCE:
          rows[row + STATISTIC_RULES]++;
          if ((this.#stream.nextUint32() & 0x7fffffff) >= dst[rule]) continue;
          to = arg[rule];
          length = 2;
          break;
        case kind.KIND_HAIRPIN:
          if (walk.src !== dst[rule]) continue;
          to = 0;
          break;
        case kind.KIND_CLUSTER_MARK:
          if (!isMasqueraded(this.#facts, walk)) continue;
          to = 0;
          break;
        case kind.KIND_MARK:
          walk.marked = true;
          break;
        case kind.KIND_DNAT:
          if (((word ^ packet) & KEY_PROTOCOL) !== 0) continue;
          walk.dst = arg[rule];
          walk.dstPort = more[rule];
          walk.servicePortId = dst[rule];
          walk.translated = true;
          answer = DNATED;
          break;
        case kind.KIND_REJECT_LOCAL:
          if (!isLocal(this.#facts.addresses, address)) continue;
          walk.reason = REASON_NO_ENDPOINTS;
          walk.servicePortId = arg[rule];
          answer = REJECTED;
          break;
        case kind.KIND_REJECT:
          walk.reason = REASON_NO_ENDPOINTS;
          walk.servicePortId = arg[rule];
          answer = REJECTED;
          break;
        default: {
          const isSpecial = keyKind(word) === kind.KIND_SPECIAL;
          const { words } = isSpecial ? this.#special.rules : this.#rules.fixed;
          const base = arg[rule] * RULE_STRIDE;
          if (!this.#walker.matches(words, base, walk, rows, row)) continue;
          const target = words[base + W_TARGET];
          if (target === TARGET_JUMP) {
            to = words[base + W_FIRST];
            length = words[base + W_END] - to;
            // KUBE-MARK-MASQ is rule 0 everywhere.
            if (isSpecial && to !== 0) to += more[rule];
          } else if (target === TARGET_RETURN) {
            at = end;
          } else {
            answer = decide(words, base, target, walk);
          }
        }
      }
      matched++;
      if (to < 0) continue;
      jumps++;
      stack[depth++] = at;
      stack[depth++] = end;
      at = to;
      end = to + length;
    }
    rows[row + RULES_EVALUATED] += visited;
    rows[row + RULES_MATCHED] += matched;
    rows[row + RULE_BYTES] += bytesOf(visited, size);
    rows[row + SERVICE_RULES_SCANNED] += serviceRules;
    rows[row + JUMPS] += jumps;
    return answer;
  }
}
