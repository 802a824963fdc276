/**
 * Which endpoints of a service port kube-proxy uses, and in which order (pkg/proxy/topology.go CategorizeEndpoints,
 * endpointslicecache.go byEndpoint). The order is byte-wise on the text `ip:port`; it is computed from numbers, because a
 * sync of 200,000 endpoints would otherwise build and compare as many strings.
 */
import type { Endpoint, ServicePort } from '../../model/cluster.ts';
import { endpointKey } from '../proxy/endpoint-order.ts';

/** Longer lists are sorted by the library, shorter ones by insertion (they usually come in order). */
const INSERTION_LIMIT = 24;

/** The usable endpoints of one service port after another, in arrays that are used again. */
export class UsableEndpoints {
  /** Number of usable endpoints of the latest `choose`. */
  count = 0;
  /** Their keys in kube-proxy's order. */
  keys = new Float64Array(64);
  readonly #chosen: Endpoint[] = [];
  readonly #seen = new Set<number>();

  choose(endpoints: readonly Endpoint[]): void {
    const distinct = this.distinct(endpoints);
    const chosen = this.#chosen;
    chosen.length = 0;
    for (const endpoint of distinct) if (endpoint.ready) chosen.push(endpoint);
    if (chosen.length === 0) {
      for (const endpoint of distinct) if (endpoint.serving && endpoint.terminating) chosen.push(endpoint);
    }
    this.count = chosen.length;
    if (this.count > this.keys.length) {
      this.keys = new Float64Array(this.count * 2);
    }
    if (this.count > INSERTION_LIMIT) {
      chosen.sort((a, b) => endpointKey(a.address, a.port) - endpointKey(b.address, b.port));
    }
    const { keys } = this;
    for (let i = 0; i < chosen.length; i++) {
      const endpoint = chosen[i];
      const key = endpointKey(endpoint.address, endpoint.port);
      let at = i;
      while (at > 0 && keys[at - 1] > key) {
        keys[at] = keys[at - 1];
        at--;
      }
      keys[at] = key;
    }
  }

  /** Of endpoints with one `ip:port` the first (endpointslicecache.go addEndpoints). The input itself when all differ. */
  distinct(endpoints: readonly Endpoint[]): readonly Endpoint[] {
    if (endpoints.length < 2) return endpoints;
    const seen = this.#seen;
    seen.clear();
    for (const endpoint of endpoints) seen.add(endpoint.address * 65536 + endpoint.port);
    if (seen.size === endpoints.length) return endpoints;
    seen.clear();
    return endpoints.filter((endpoint) => {
      const name = endpoint.address * 65536 + endpoint.port;
      if (seen.has(name)) return false;
      seen.add(name);
      return true;
    });
  }

  /** Addresses of the endpoints that still serve, for the clean-up of stale UDP flows. */
  servingAddresses(servicePort: ServicePort): Set<number> {
    const addresses = new Set<number>();
    for (const endpoint of this.distinct(servicePort.endpoints)) if (endpoint.serving) addresses.add(endpoint.address);
    return addresses;
  }
}
