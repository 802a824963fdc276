/** Which endpoints of a plain service port kube-proxy uses, in its order, without building a string (pkg/proxy/topology.go, endpointslicecache.go). */
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import { endpointKey } from '../proxy/endpoint-order.ts';
import { endpointCategories, seenEndpoints } from '../proxy/endpoints.ts';

/** Chooses endpoints; one object is reused for all service ports, so that compiling 20,000 of them makes no garbage. */
export class EndpointChooser {
  readonly #node: NodeSpec;
  /** After `choose`: the sorted keys of the endpoints in use under the Cluster policy, elements 0 .. count - 1. */
  keys = new Float64Array(64);
  count = 0;
  /** After `choose`: endpoints of any condition; those of one `ip:port` are one. */
  known = 0;

  constructor(node: NodeSpec) {
    this.#node = node;
  }

  /** Uses the ready ones, or when there is none the serving terminating ones. Duplicates and hints take the long way. */
  choose(svc: ServicePort): void {
    const { endpoints } = svc;
    const count = endpoints.length;
    if (count > this.keys.length) this.keys = new Float64Array(count * 2);
    const keys = this.keys;
    let ready = 0;
    let hinted = false;
    for (let i = 0; i < count; i++) {
      const endpoint = endpoints[i];
      keys[i] = endpointKey(endpoint.address, endpoint.port);
      if (endpoint.ready) ready++;
      if (endpoint.hints !== undefined) hinted = true;
    }
    sortKeys(keys, count);
    if (hinted || hasDuplicates(keys, count)) {
      this.#chooseSlowly(svc);
      return;
    }
    this.known = count;
    this.count = count;
    if (ready === count) return;
    let used = 0;
    for (let i = 0; i < count; i++) {
      const endpoint = endpoints[i];
      if (ready > 0 ? endpoint.ready : endpoint.serving && endpoint.terminating) {
        keys[used++] = endpointKey(endpoint.address, endpoint.port);
      }
    }
    sortKeys(keys, used);
    this.count = used;
  }

  #chooseSlowly(svc: ServicePort): void {
    this.known = seenEndpoints(svc, this.#node).length;
    const { cluster } = endpointCategories(svc, this.#node);
    this.count = cluster.length;
    cluster.forEach(({ address, port }, i) => {
      this.keys[i] = endpointKey(address, port);
    });
  }
}

function hasDuplicates(keys: Float64Array, count: number): boolean {
  for (let i = 1; i < count; i++) if (keys[i] === keys[i - 1]) return true;
  return false;
}

/** Insertion sort while lists are short, as nearly all are; a library sort has a cost per call that shows at 20,000 of them. */
function sortKeys(keys: Float64Array, count: number): void {
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
