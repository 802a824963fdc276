/** The oracle's kube-proxy in nftables mode: one sync after the other on one table (README 9.4; proxier.go syncProxyRules). */
import type { ServicePort } from '../../model/cluster.ts';
import type { World } from '../engine.ts';
import { mark } from './marks.ts';
import { verdictText } from './nftables-rules.ts';
import { wantsOf } from './nftables-services.ts';
import type { WantedElement, Wants } from './nftables-services.ts';
import { setUp, TRACKED } from './nftables-setup.ts';
import { ReferenceTable } from './nftables-table.ts';

const STALE_NS = 1e9;

/** `ns/name`: what kube-proxy keeps its changes by. */
export function serviceName(svc: ServicePort): string {
  return `${svc.namespace}/${svc.name}`;
}

export interface ProgramCounts {
  readonly transactions: number;
  readonly transactionOperations: number;
  readonly tableRules: number;
  readonly rules: number;
}

export class ReferenceNftablesProxy {
  readonly table = new ReferenceTable();
  readonly #world: World;
  /** Emptied chains, and when a sync last found them stale. */
  #stale = new Map<string, number>();
  #synced = false;

  constructor(world: World) {
    this.#world = world;
  }

  /** `changed`: names of the Services to write; undefined for a full sync. `services` in ascending order of id. */
  program(services: readonly ServicePort[], changed: ReadonlySet<string> | undefined, now: number): ProgramCounts {
    const { node, options } = this.#world;
    const { table } = this;
    const before = table.operations;
    this.#deleteStaleChains(now);
    const afterCleanup = table.operations;

    if (changed === undefined) setUp(table, node, options, !this.#synced);
    this.#synced = true;
    const chainsBefore = [...table.chains.keys()].filter((name) => name.includes('/'));
    const setsBefore = [...table.containers.keys()].filter((name) => name.startsWith('affinity-'));
    const usedChains = new Set<string>();
    const usedSets = new Set<string>();
    const leftover = new Map(TRACKED.map((name) => [name, new Set(table.container(name).elements.keys())]));
    for (const svc of services) {
      const wants = wantsOf(svc, node, options);
      if (changed === undefined || changed.has(serviceName(svc))) this.#write(wants, usedChains);
      for (const { name } of wants.chains) usedChains.add(name);
      for (const name of wants.affinitySets) usedSets.add(name);
      for (const element of wants.elements) {
        leftover.get(element.container)?.delete(element.key);
        this.#ensure(element, wants.owner);
      }
    }
    this.#dropUnused(chainsBefore, usedChains, setsBefore, usedSets, now);
    for (const [container, keys] of leftover) for (const key of keys) table.deleteElement(container, key);

    if (table.operations === afterCleanup) mark('nothing to send');
    return {
      transactions: (afterCleanup > before ? 1 : 0) + (table.operations > afterCleanup ? 1 : 0),
      transactionOperations: table.operations - before,
      tableRules: table.countRules(),
      rules: table.countRules() + this.#countElements(),
    };
  }

  #deleteStaleChains(now: number): void {
    for (const [name, since] of this.#stale) {
      if (now - since < STALE_NS) {
        mark('stale chain is too young');
        continue;
      }
      mark('stale chain deleted');
      this.table.deleteChain(name);
      this.#stale.delete(name);
    }
  }

  #write(wants: Wants, usedChains: ReadonlySet<string>): void {
    for (const { name } of wants.chains) {
      if (usedChains.has(name)) continue;
      if (this.#stale.has(name)) mark('stale chain used again');
      this.table.freshChain(name);
    }
    for (const name of wants.affinitySets) {
      const body = `type ipv4_addr ; flags dynamic,timeout ; timeout ${wants.affinitySeconds}s ;`;
      this.table.addContainer(name, 'set', body, wants.affinitySeconds);
    }
    for (const { name, rules } of wants.chains) for (const rule of rules) this.table.addRule(name, rule);
  }

  /** Puts the element there unless it is there with this verdict; the comment does not count [nftElementStorage]. */
  #ensure({ container, key, verdict, comment }: WantedElement, owner: number): void {
    const { elements } = this.table.container(container);
    const element = { ...(verdict === undefined ? {} : { verdict }), comment, owner };
    const present = elements.get(key);
    if (present === undefined) {
      this.table.addElement(container, key, element);
      return;
    }
    const isSame =
      present.verdict === undefined || verdict === undefined || verdictText(present.verdict) === verdictText(verdict);
    if (!isSame) {
      mark('element changed');
      this.table.deleteElement(container, key);
      this.table.addElement(container, key, element);
      return;
    }
    if (verdict !== undefined && present.owner !== owner) mark('element passed on to another service port');
    elements.set(key, { ...present, owner });
  }

  #dropUnused(
    chains: readonly string[],
    usedChains: ReadonlySet<string>,
    sets: readonly string[],
    usedSets: ReadonlySet<string>,
    now: number,
  ): void {
    const known = this.#stale;
    this.#stale = new Map();
    for (const name of chains) {
      if (usedChains.has(name)) continue;
      if (known.has(name)) mark('stale chain waits anew');
      this.table.flushChain(name);
      this.#stale.set(name, now);
    }
    for (const name of sets) {
      if (usedSets.has(name)) continue;
      mark('affinity set deleted');
      this.table.deleteContainer(name);
    }
  }

  #countElements(): number {
    let elements = 0;
    for (const name of TRACKED) elements += this.table.container(name).elements.size;
    return elements;
  }
}
