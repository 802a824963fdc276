/** Chains in the kernel that no service port uses any more: emptied at every sync, deleted when they have been so for a second. */
import type { ServicePort } from '../../model/cluster.ts';
import type { SimTime } from '../../model/time.ts';
import { NS_PER_S } from '../../model/time.ts';

export type ChainKind = 'cluster' | 'local' | 'external' | 'firewall' | 'endpoint';

export interface StaleChain {
  readonly kind: ChainKind;
  /** The service port as it was when it last used the chain. */
  readonly svc: ServicePort;
  /** endpointKey of an endpoint's chain; 0 for the others. */
  readonly endpoint: number;
}

/** kube-proxy pkg/proxy/nftables/proxier.go staleChains: every sync that finds a chain stale sets its time anew, so all have one time. */
export class StaleChains {
  readonly #chains = new Map<string, StaleChain>();
  #since: SimTime = 0;

  get count(): number {
    return this.#chains.size;
  }

  /** In no particular order. */
  all(): Iterable<StaleChain> {
    return this.#chains.values();
  }

  /** Deletes what has been stale for long enough and returns the operations, one a chain. Before anything else of a sync. */
  deleteAged(now: SimTime): number {
    const count = this.#chains.size;
    if (count === 0 || now - this.#since < NS_PER_S) return 0;
    this.#chains.clear();
    return count;
  }

  /** `identity` names the service port as its chains do. */
  add(identity: string, chain: StaleChain): void {
    this.#chains.set(chainKey(identity, chain.kind, chain.endpoint), chain);
  }

  /** The chain is in use again. */
  revive(identity: string, kind: ChainKind, endpoint = 0): void {
    this.#chains.delete(chainKey(identity, kind, endpoint));
  }

  /** At the end of a sync: all are emptied, already or not, an operation each. */
  flush(now: SimTime): number {
    this.#since = now;
    return this.#chains.size;
  }
}

function chainKey(identity: string, kind: ChainKind, endpoint: number): string {
  return `${kind} ${identity} ${endpoint}`;
}
