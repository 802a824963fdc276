/** Which endpoints of a plain service port kube-proxy uses, in its order, without building a string (pkg/proxy/topology.go, endpointslicecache.go). */
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import { endpointCategories, seenEndpoints } from '../proxy/endpoints.ts';
import { choosePlainEndpoints, KeyList } from '../proxy/plain-endpoints.ts';

/** Chooses endpoints; one object is reused for all service ports, so that compiling 20,000 of them makes no garbage. */
export class EndpointChooser {
  readonly #node: NodeSpec;
  /** After `choose`: the endpoints in use under the Cluster policy. */
  readonly used = new KeyList();
  /** After `choose`: endpoints of any condition; those of one `ip:port` are one. */
  known = 0;

  constructor(node: NodeSpec) {
    this.#node = node;
  }

  /** Duplicates and hints take the long way. */
  choose(svc: ServicePort): void {
    this.known = svc.endpoints.length;
    if (choosePlainEndpoints(svc.endpoints, this.used)) return;
    this.known = seenEndpoints(svc, this.#node).length;
    this.used.fill(endpointCategories(svc, this.#node).cluster);
  }
}
