/** Collects one sync's transaction: elements by difference, chains that are kept, what became stale (kube-proxy nftElementStorage). */
import type { NftRule, Verdict } from './rules.ts';
import { verdictText } from './rules.ts';
import { TRACKED_CONTAINERS } from './setup.ts';
import type { ContainerSpec, NftElement, NftOperation, NftTable } from './table.ts';

export class SyncWriter {
  readonly operations: NftOperation[];
  readonly activeChains = new Set<string>();
  readonly activeAffinitySets = new Set<string>();
  readonly #elements: ReadonlyMap<string, ElementDifference>;

  constructor(table: NftTable, setup: readonly NftOperation[]) {
    this.operations = [...setup];
    this.#elements = new Map(TRACKED_CONTAINERS.map((name) => [name, new ElementDifference(table, name)]));
  }

  /** Keeps the chain; unless `keepRules`, it is also emptied for new rules, once a sync. */
  ensureChain(name: string, keepRules: boolean): void {
    if (this.activeChains.has(name)) return;
    this.activeChains.add(name);
    if (keepRules) return;
    this.operations.push({ verb: 'add', object: 'chain', chain: { name, base: undefined, comment: '' } });
    this.operations.push({ verb: 'flush', object: 'chain', name });
  }

  addRule(chain: string, rule: NftRule): void {
    this.operations.push({ verb: 'add', object: 'rule', chain, rule });
  }

  addSet(container: ContainerSpec): void {
    this.operations.push({ verb: 'add', object: 'container', container });
  }

  ensureElement(container: string, key: string, verdict?: Verdict, comment = ''): void {
    this.#elements.get(container)?.ensure({ key, verdict, comment }, this.operations);
  }

  /** Empties chains that are not kept (they go later, see NftablesProgrammer); returns them. Affinity sets go at once. */
  dropStale(chains: readonly string[], affinitySets: readonly string[]): string[] {
    const stale = chains.filter((name) => !this.activeChains.has(name));
    for (const name of stale) this.operations.push({ verb: 'flush', object: 'chain', name });
    for (const name of affinitySets) {
      if (this.activeAffinitySets.has(name)) continue;
      this.operations.push({ verb: 'delete', object: 'container', kind: 'set', name });
    }
    for (const difference of this.#elements.values()) difference.dropLeftover(this.operations);
    return stale;
  }
}

/** The elements of one set or map: what is there, and what of it nobody has asked for in this sync yet. */
class ElementDifference {
  readonly #container: string;
  readonly #present: Map<string, NftElement>;
  readonly #leftover: Set<string>;

  constructor(table: NftTable, container: string) {
    this.#container = container;
    this.#present = new Map(table.containers.get(container)?.elements);
    this.#leftover = new Set(this.#present.keys());
  }

  ensure(element: NftElement, operations: NftOperation[]): void {
    const present = this.#present.get(element.key);
    this.#leftover.delete(element.key);
    if (present !== undefined) {
      // The comment does not count: only a changed verdict is worth a write.
      if (valueText(present) === valueText(element)) return;
      operations.push({ verb: 'delete', object: 'element', container: this.#container, element });
    }
    operations.push({ verb: 'add', object: 'element', container: this.#container, element });
    this.#present.set(element.key, element);
  }

  dropLeftover(operations: NftOperation[]): void {
    for (const key of this.#leftover) {
      const element: NftElement = { key, verdict: undefined, comment: '' };
      operations.push({ verb: 'delete', object: 'element', container: this.#container, element });
    }
  }
}

function valueText(element: NftElement): string {
  return element.verdict === undefined ? '' : verdictText(element.verdict);
}
