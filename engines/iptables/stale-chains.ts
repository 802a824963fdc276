/** Chains in the kernel that no service port uses any more and that no sync has deleted yet (proxier.go deleteStaleChains). */
import type { ServicePort } from '../../model/cluster.ts';
import { servicePortName } from '../../model/cluster.ts';
import { protocolName } from '../../model/protocol.ts';

/** A chain as it stands in the kernel, with what its rules are printed from. */
export interface StaleChain {
  readonly name: string;
  /** The service port as it was when the chain was last written. */
  readonly svc: ServicePort;
  readonly commented: boolean;
  readonly rules: number;
  /** Handles of the `recent` lists that its rules refer to. */
  readonly lists: readonly number[];
}

/** kube-proxy looks for them at every sync, in large-cluster mode only when a sync period has passed. */
export class StaleChains {
  /** By owner, then by name. */
  readonly #chains = new Map<string, Map<string, StaleChain>>();
  count = 0;
  /** Rules in all of them. */
  rules = 0;
  /** Characters of all their names. */
  nameLengths = 0;

  all(): StaleChain[] {
    return [...this.#chains.values()].flatMap((chains) => [...chains.values()]);
  }

  /** Whether a service port of this name has left any: if not, there is nothing to revive. */
  has(owner: string): boolean {
    return this.#chains.has(owner);
  }

  add(chain: StaleChain): void {
    const owner = chainOwner(chain.svc);
    let chains = this.#chains.get(owner);
    if (chains === undefined) this.#chains.set(owner, (chains = new Map<string, StaleChain>()));
    chains.set(chain.name, chain);
    this.count++;
    this.rules += chain.rules;
    this.nameLengths += chain.name.length;
  }

  /** The chain of this name is in use (again): it is rewritten. Returns what it was. */
  revive(owner: string, name: string): StaleChain | undefined {
    const chains = this.#chains.get(owner);
    const chain = chains?.get(name);
    if (chains === undefined || chain === undefined) return undefined;
    chains.delete(name);
    if (chains.size === 0) this.#chains.delete(owner);
    this.count--;
    this.rules -= chain.rules;
    this.nameLengths -= chain.name.length;
    return chain;
  }

  clear(): void {
    this.#chains.clear();
    this.count = 0;
    this.rules = 0;
    this.nameLengths = 0;
  }
}

/** A chain's name holds a hash of this, so that two owners never share a chain. */
export function chainOwner(svc: ServicePort): string {
  return `${servicePortName(svc)} ${protocolName(svc.protocol)}`;
}
