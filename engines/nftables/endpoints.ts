/** The endpoint lists of a service port as sorted keys, fast for the plain ones (kube-proxy pkg/proxy/topology.go CategorizeEndpoints). */
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import { endpointCategories } from '../proxy/endpoints.ts';
import { choosePlainEndpoints, KeyList } from '../proxy/plain-endpoints.ts';

/** After `choose`: the lists of kube-proxy, each sorted. One object serves all service ports. */
export class EndpointLists {
  readonly cluster = new KeyList();
  readonly local = new KeyList();
  /** Both lists without what they share. */
  readonly reachable = new KeyList();
  hasAny = false;
  readonly #node: NodeSpec;

  constructor(node: NodeSpec) {
    this.#node = node;
  }

  choose(svc: ServicePort): void {
    const { cluster, local, reachable } = this;
    const { extras, endpoints } = svc;
    const anywhere = extras === undefined || !(extras.internalPolicyLocal || extras.externalPolicyLocal);
    if (!anywhere || !choosePlainEndpoints(endpoints, cluster)) {
      this.#chooseAny(svc);
      return;
    }
    local.count = 0;
    reachable.reset(cluster.count);
    reachable.keys.set(cluster.keys.subarray(0, cluster.count));
    reachable.count = cluster.count;
    this.hasAny = cluster.count > 0;
  }

  #chooseAny(svc: ServicePort): void {
    const categories = endpointCategories(svc, this.#node);
    this.cluster.fill(categories.cluster);
    this.local.fill(categories.local);
    this.reachable.fill(categories.reachable);
    this.hasAny = categories.hasAny;
  }
}
