/**
 * Which endpoints a virtual server of a service port gets, and in which order (pkg/proxy/topology.go CategorizeEndpoints,
 * pkg/proxy/ipvs/proxier.go syncEndpoint). Nearly all service ports have no policies, hints or duplicates: those take a way of
 * their own without an object an endpoint, because a sync of 200,000 endpoints would otherwise build as many.
 */
import type { Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { endpointKey, keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import { endpointCategories, seenEndpoints } from '../proxy/endpoints.ts';
import { choosePlainEndpoints, KeyList } from '../proxy/plain-endpoints.ts';

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
  readonly #plain = new KeyList();
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
    const { extras, endpoints } = servicePort;
    const anywhere = extras === undefined || !(extras.internalPolicyLocal || extras.externalPolicyLocal);
    if (!anywhere || !choosePlainEndpoints(endpoints, this.#plain)) {
      this.#lists = this.#listsOf(servicePort);
      return;
    }
    if (this.#kept.size > 0) this.#kept.delete(servicePort.id);
    this.#lists = undefined;
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

  #listsOf(servicePort: ServicePort): Lists {
    const kept = this.#kept.get(servicePort.id);
    if (kept?.servicePort === servicePort) return kept;
    const { cluster, local } = endpointCategories(servicePort, this.#node);
    const own = seenEndpoints(servicePort, this.#node).filter(({ isLocal }) => isLocal);
    const lists = { servicePort, cluster: listOf(cluster), local: listOf(local), own: listOf(own) };
    this.#kept.set(servicePort.id, lists);
    return lists;
  }
}

function listOf(endpoints: readonly Endpoint[]): EndpointList {
  const keys = Float64Array.from(endpoints, ({ address, port }) => endpointKey(address, port));
  return { keys, count: keys.length };
}
