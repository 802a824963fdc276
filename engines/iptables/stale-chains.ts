/** Chains in the kernel that no service port uses any more and that no sync has deleted yet (proxier.go deleteStaleChains). */
import type { ServicePort } from '../../model/cluster.ts';
import { servicePortName } from '../../model/cluster.ts';
import { protocolName } from '../../model/protocol.ts';
import { endpointChainName, endpointText, externalChainName, serviceChainName } from './names.ts';

/** A chain as it stands in the kernel, with what its rules are printed from. */
interface StaleChain {
  readonly name: string;
  /** The service port as it was when the chain was last written. */
  readonly svc: ServicePort;
  readonly commented: boolean;
  readonly rules: number;
  /** Handles of the `recent` lists that its rules refer to. */
  readonly lists: readonly number[];
}

/** Which of its chains a plain service port leaves: these, or KUBE-SEP of an endpoint by `endpointPart`. */
export const SERVICE_PART = -1;
export const EXTERNAL_PART = -2;

export function endpointPart(address: number, port: number): number {
  return (address >>> 0) * 65536 + port;
}

/** Of KUBE-SVC, KUBE-EXT and KUBE-SEP: their names end in 16 characters. */
const PLAIN_NAME_LENGTH = 25;
const NO_LISTS: readonly number[] = [];

/** A plain service port's chain, whose name, a hash, is made when somebody asks for it. */
class PlainChain implements StaleChain {
  readonly svc: ServicePort;
  readonly commented: boolean;
  readonly rules: number;
  readonly lists = NO_LISTS;
  readonly part: number;

  constructor(svc: ServicePort, commented: boolean, rules: number, part: number) {
    this.svc = svc;
    this.commented = commented;
    this.rules = rules;
    this.part = part;
  }

  get name(): string {
    return plainName(this.svc, this.part);
  }
}

function plainName(svc: ServicePort, part: number): string {
  const name = servicePortName(svc);
  const protocol = protocolName(svc.protocol);
  if (part === SERVICE_PART) return serviceChainName(name, protocol);
  if (part === EXTERNAL_PART) return externalChainName(name, protocol);
  return endpointChainName(name, protocol, endpointText(Math.floor(part / 65536), part % 65536));
}

/** kube-proxy looks for them at every sync, in large-cluster mode only when a sync period has passed. */
export class StaleChains {
  /** By owner, then by name, or by part while all of an owner's are plain service ports'. */
  readonly #chains = new Map<string, Map<string | number, StaleChain>>();
  /** Owners whose chains are by name. */
  readonly #named = new Set<string>();
  /** Plain service ports' chains that are not among those yet: as a rule the sync that adds them deletes them, too. */
  #loose: PlainChain[] = [];
  count = 0;
  /** Rules in all of them. */
  rules = 0;
  /** Characters of all their names. */
  nameLengths = 0;

  all(): StaleChain[] {
    this.#file();
    return [...this.#chains.values()].flatMap((chains) => [...chains.values()]);
  }

  /** Handles of the lists that any of them refers to, one for each rule. */
  lists(): readonly number[] {
    return this.#named.size === 0 ? NO_LISTS : this.all().flatMap(({ lists }) => lists);
  }

  /** Whether a service port of this name has left any: if not, there is nothing to revive. */
  has(owner: string): boolean {
    this.#file();
    return this.#chains.has(owner);
  }

  add(chain: StaleChain): void {
    this.#file();
    const owner = chainOwner(chain.svc);
    this.#set(owner, this.#byName(owner), chain.name, chain);
    this.#countIn(chain.rules, chain.name.length);
  }

  /** A chain of a plain service port, which has no lists. */
  addPlain(svc: ServicePort, commented: boolean, rules: number, part: number): void {
    this.#loose.push(new PlainChain(svc, commented, rules, part));
    this.#countIn(rules, PLAIN_NAME_LENGTH);
  }

  #file(): void {
    if (this.#loose.length === 0) return;
    for (const chain of this.#loose) {
      const { svc, part } = chain;
      const owner = chainOwner(svc);
      this.#set(owner, this.#chains.get(owner), this.#named.has(owner) ? plainName(svc, part) : part, chain);
    }
    this.#loose = [];
  }

  #set(
    owner: string,
    known: Map<string | number, StaleChain> | undefined,
    key: string | number,
    chain: StaleChain,
  ): void {
    const chains = known ?? new Map<string | number, StaleChain>();
    if (known === undefined) this.#chains.set(owner, chains);
    chains.set(key, chain);
  }

  #countIn(rules: number, nameLength: number): void {
    this.count++;
    this.rules += rules;
    this.nameLengths += nameLength;
  }

  /** The owner's chains, by name from now on. */
  #byName(owner: string): Map<string | number, StaleChain> | undefined {
    const chains = this.#chains.get(owner);
    if (this.#named.has(owner)) return chains;
    this.#named.add(owner);
    if (chains === undefined) return undefined;
    const named = new Map<string | number, StaleChain>();
    for (const chain of chains.values()) named.set(chain.name, chain);
    this.#chains.set(owner, named);
    return named;
  }

  /** The chain of this name is in use (again): it is rewritten. Returns what it was. */
  revive(owner: string, name: string): StaleChain | undefined {
    return this.has(owner) ? this.#delete(owner, this.#byName(owner), name, name.length) : undefined;
  }

  /** Likewise of a plain service port's chain. */
  revivePlain(owner: string, svc: ServicePort, part: number): StaleChain | undefined {
    this.#file();
    const key = this.#named.has(owner) ? plainName(svc, part) : part;
    return this.#delete(owner, this.#chains.get(owner), key, PLAIN_NAME_LENGTH);
  }

  #delete(
    owner: string,
    chains: Map<string | number, StaleChain> | undefined,
    key: string | number,
    nameLength: number,
  ): StaleChain | undefined {
    const chain = chains?.get(key);
    if (chains === undefined || chain === undefined) return undefined;
    chains.delete(key);
    if (chains.size === 0) {
      this.#chains.delete(owner);
      this.#named.delete(owner);
    }
    this.count--;
    this.rules -= chain.rules;
    this.nameLengths -= nameLength;
    return chain;
  }

  clear(): void {
    if (this.count === 0) return;
    if (this.#chains.size > 0) this.#chains.clear();
    if (this.#named.size > 0) this.#named.clear();
    this.#loose.length = 0;
    this.count = 0;
    this.rules = 0;
    this.nameLengths = 0;
  }
}

/** A chain's name holds a hash of this, so that two owners never share a chain. */
export function chainOwner(svc: ServicePort): string {
  return `${servicePortName(svc)} ${protocolName(svc.protocol)}`;
}
