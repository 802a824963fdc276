/** Chains in the kernel that no service port uses any more and that no sync has deleted yet (proxier.go deleteStaleChains). */
import type { ServicePort } from '../../model/cluster.ts';
import { servicePortName } from '../../model/cluster.ts';
import { protocolName } from '../../model/protocol.ts';

/** A chain as it stands in the kernel, with what its rules are printed from. */
export interface StaleChain {
  readonly kind: 'SVC' | 'EXT' | 'SEP';
  /** The service port as it was when the chain was last written. */
  readonly svc: ServicePort;
  readonly commented: boolean;
  /** `ip:port` in order: all of them for KUBE-SVC, its own for KUBE-SEP. */
  readonly endpoints: readonly string[];
  readonly rules: number;
}

/** kube-proxy looks for them at every sync, in large-cluster mode only when a sync period has passed. */
export class StaleChains {
  readonly #chains = new Map<string, StaleChain>();
  /** Rules in all of them. */
  rules = 0;

  get count(): number {
    return this.#chains.size;
  }

  /** In no particular order. */
  all(): Iterable<StaleChain> {
    return this.#chains.values();
  }

  add(chain: StaleChain): void {
    const endpoint = chain.kind === 'SEP' ? chain.endpoints[0] : '';
    this.#chains.set(chainIdentity(chain.kind, chain.svc, endpoint), chain);
    this.rules += chain.rules;
  }

  /** The chain of this identity is in use (again): it was rewritten. */
  revive(identity: string): void {
    const chain = this.#chains.get(identity);
    if (chain === undefined) return;
    this.rules -= chain.rules;
    this.#chains.delete(identity);
  }

  clear(): void {
    this.#chains.clear();
    this.rules = 0;
  }
}

/** A chain's identity is its name: prefix, service port, and for KUBE-SEP the endpoint. */
export function chainIdentity(kind: StaleChain['kind'], svc: ServicePort, endpoint = ''): string {
  return `${kind} ${servicePortName(svc)} ${protocolName(svc.protocol)} ${endpoint}`;
}
