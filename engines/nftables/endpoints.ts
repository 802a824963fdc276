/** The endpoint lists of a service port as sorted keys, fast for the plain ones (kube-proxy pkg/proxy/topology.go CategorizeEndpoints). */
import type { Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { endpointKey } from '../proxy/endpoint-order.ts';
import { endpointCategories } from '../proxy/endpoints.ts';

/** A sorted list of `ip:port` keys that is used again and again. */
export class KeyList {
  keys = new Float64Array(64);
  count = 0;

  reset(capacity: number): void {
    this.count = 0;
    if (capacity > this.keys.length) this.keys = new Float64Array(capacity * 2);
  }

  push(key: number): void {
    this.keys[this.count++] = key;
  }

  /** Insertion sort while the list is short, as nearly all are; a library sort has a cost per call that shows at 20,000 of them. */
  order(): void {
    const { keys, count } = this;
    if (count > 32) {
      keys.subarray(0, count).sort((a, b) => a - b);
      return;
    }
    for (let i = 1; i < count; i++) {
      const key = keys[i];
      let j = i - 1;
      while (j >= 0 && keys[j] > key) {
        keys[j + 1] = keys[j];
        j--;
      }
      keys[j + 1] = key;
    }
  }
}

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
    const { extras, endpoints } = svc;
    const anywhere = extras === undefined || !(extras.internalPolicyLocal || extras.externalPolicyLocal);
    if (!anywhere || !this.#choosePlain(endpoints)) this.#chooseAny(svc);
  }

  /** Without policies, hints and duplicates: the ready ones, else the serving terminating ones. False where that is not enough. */
  #choosePlain(endpoints: readonly Endpoint[]): boolean {
    const { cluster, local, reachable } = this;
    cluster.reset(endpoints.length);
    let ready = 0;
    for (const endpoint of endpoints) {
      if (endpoint.hints !== undefined) return false;
      if (endpoint.ready) ready++;
      cluster.push(endpointKey(endpoint.address, endpoint.port));
    }
    cluster.order();
    for (let i = 1; i < cluster.count; i++) if (cluster.keys[i] === cluster.keys[i - 1]) return false;
    if (ready < endpoints.length) {
      cluster.count = 0;
      for (const endpoint of endpoints) {
        const used = ready > 0 ? endpoint.ready : endpoint.serving && endpoint.terminating;
        if (used) cluster.push(endpointKey(endpoint.address, endpoint.port));
      }
      cluster.order();
    }
    local.count = 0;
    reachable.reset(cluster.count);
    reachable.keys.set(cluster.keys.subarray(0, cluster.count));
    reachable.count = cluster.count;
    this.hasAny = cluster.count > 0;
    return true;
  }

  #chooseAny(svc: ServicePort): void {
    const categories = endpointCategories(svc, this.#node);
    fill(this.cluster, categories.cluster);
    fill(this.local, categories.local);
    fill(this.reachable, categories.reachable);
    this.hasAny = categories.hasAny;
  }
}

/** Keys order as the endpoints do. */
function fill(list: KeyList, endpoints: readonly Endpoint[]): void {
  list.reset(endpoints.length);
  for (const endpoint of endpoints) list.push(endpointKey(endpoint.address, endpoint.port));
}
