/** The evaluator that visits every rule in turn, as the kernel does. */
import { OUTCOME_ACCEPT, OUTCOME_DROP, OUTCOME_REJECT } from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import type { ServiceTable } from './compile.ts';
import type { Evaluator, PacketWalk } from './packet-walk.ts';
import { DROPPED, HOOK_POSTROUTING, MASQUERADED, REJECTED } from './packet-walk.ts';
import { RuleWalker } from './rule-walker.ts';
import { RuleSet } from './rules.ts';

export class LiteralEvaluator implements Evaluator {
  readonly #walker: RuleWalker;
  readonly #rules: RuleSet;

  constructor(stream: RandomStream, table: ServiceTable) {
    this.#walker = new RuleWalker(table.facts, stream, table.lists);
    this.#rules = new RuleSet(table);
  }

  update(changed?: readonly number[]): void {
    this.#rules.update(changed);
  }

  natDestination(hook: number, walk: PacketWalk, rows: Uint32Array, row: number): void {
    const chain = this.#rules.natHooks[hook];
    this.#walker.walk(this.#rules.words, chain.first, chain.end, walk, rows, row);
  }

  filter(hook: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    const chain = this.#rules.filterHooks[hook];
    const answer = this.#walker.walk(this.#rules.words, chain.first, chain.end, walk, rows, row);
    return answer === DROPPED ? OUTCOME_DROP : answer === REJECTED ? OUTCOME_REJECT : OUTCOME_ACCEPT;
  }

  forwardsEstablished(): boolean {
    return false;
  }

  natSource(walk: PacketWalk, rows: Uint32Array, row: number): boolean {
    const chain = this.#rules.natHooks[HOOK_POSTROUTING];
    return this.#walker.walk(this.#rules.words, chain.first, chain.end, walk, rows, row) === MASQUERADED;
  }
}
