/**
 * Which endpoints a virtual server of a service port gets, and in which order (pkg/proxy/topology.go CategorizeEndpoints,
 * pkg/proxy/ipvs/proxier.go syncEndpoint). Nearly all service ports have no policies, hints or duplicates: those take a way of
 * their own without an object an endpoint, because a sync of 200,000 endpoints would otherwise build as many.
 */
import type { Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { endpointKey, keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import { endpointCategories, seenEndpoints } from '../proxy/endpoints.ts';

/** Longer lists are sorted by the library, shorter ones by insertion (they usually come in order). */
const INSERTION_LIMIT = 24;

/** Endpoints by their keys of endpoint-order.ts, in kube-proxy's order. */
export interface EndpointList {
  readonly keys: Float64Array;
  readonly count: number;
}

interface Lists {
  /** For which service port: it is replaced whole when it changes. */
  readonly servicePort: ServicePort;
  readonly cluster: EndpointList;
  readonly local: EndpointList;
  /** Endpoints of this node, whatever their conditions. */
  readonly own: EndpointList;
}

/** The endpoints of one service port after another, in arrays that are used again. */
export class ChosenEndpoints {
  readonly #node: NodeSpec;
  /** Lists of a plain service port. */
  readonly #plain: { keys: Float64Array; count: number } = { keys: new Float64Array(64), count: 0 };
  readonly #chosen: Endpoint[] = [];
  readonly #seen = new Set<number>();
  /** Lists of the other service ports, by id. */
  readonly #kept = new Map<number, Lists>();
  #lists: Lists | undefined;
  #servicePort: ServicePort | undefined;

  constructor(node: NodeSpec) {
    this.#node = node;
  }

  /** Makes the lists of the service port the ones that `wanted` and `forEachOwn` mean. */
  choose(servicePort: ServicePort): void {
    this.#servicePort = servicePort;
    if (!this.#isPlain(servicePort)) {
      this.#lists = this.#listsOf(servicePort);
      return;
    }
    if (this.#kept.size > 0) this.#kept.delete(servicePort.id);
    this.#lists = undefined;
    this.#choosePlain(servicePort.endpoints);
  }

  /** The service port with this id is gone. */
  forget(id: number): void {
    this.#kept.delete(id);
  }

  /** Of a virtual server. A Local policy without a local endpoint falls back to those of the cluster, unlike in the other modes. */
  wanted(onlyLocal: boolean): EndpointList {
    const lists = this.#lists;
    if (lists === undefined) return this.#plain;
    return onlyLocal && lists.local.count > 0 ? lists.local : lists.cluster;
  }

  /** Visits every endpoint of this node. */
  forEachOwn(visit: (address: number, port: number) => void): void {
    if (this.#lists !== undefined) {
      const { keys, count } = this.#lists.own;
      for (let i = 0; i < count; i++) visit(keyAddress(keys[i]), keyPort(keys[i]));
      return;
    }
    for (const { nodeName, address, port } of this.#servicePort?.endpoints ?? []) {
      if (nodeName === this.#node.name) visit(address, port);
    }
  }

  #isPlain({ extras, endpoints }: ServicePort): boolean {
    if (extras?.internalPolicyLocal === true || extras?.externalPolicyLocal === true) return false;
    for (const endpoint of endpoints) if (endpoint.hints !== undefined) return false;
    if (endpoints.length < 2) return true;
    const seen = this.#seen;
    seen.clear();
    for (const endpoint of endpoints) seen.add(endpoint.address * 65536 + endpoint.port);
    return seen.size === endpoints.length;
  }

  #listsOf(servicePort: ServicePort): Lists {
    const kept = this.#kept.get(servicePort.id);
    if (kept?.servicePort === servicePort) return kept;
    const { cluster, local } = endpointCategories(servicePort, this.#node);
    const own = seenEndpoints(servicePort, this.#node).filter(({ isLocal }) => isLocal);
    const lists = { servicePort, cluster: listOf(cluster), local: listOf(local), own: listOf(own) };
    this.#kept.set(servicePort.id, lists);
    return lists;
  }

  #choosePlain(endpoints: readonly Endpoint[]): void {
    const chosen = this.#chosen;
    const plain = this.#plain;
    chosen.length = 0;
    for (const endpoint of endpoints) if (endpoint.ready) chosen.push(endpoint);
    if (chosen.length === 0) {
      for (const endpoint of endpoints) if (endpoint.serving && endpoint.terminating) chosen.push(endpoint);
    }
    plain.count = chosen.length;
    if (plain.count > plain.keys.length) plain.keys = new Float64Array(plain.count * 2);
    if (plain.count > INSERTION_LIMIT) {
      chosen.sort((a, b) => endpointKey(a.address, a.port) - endpointKey(b.address, b.port));
    }
    const { keys } = plain;
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
}

function listOf(endpoints: readonly Endpoint[]): EndpointList {
  const keys = Float64Array.from(endpoints, ({ address, port }) => endpointKey(address, port));
  return { keys, count: keys.length };
}
