/** Which endpoints of a service port kube-proxy uses, in its order, without building a string (pkg/proxy/topology.go, endpointslicecache.go). */
import type { Endpoint } from '../../model/cluster.ts';
import { endpointKey } from '../proxy/endpoint-order.ts';

/** Chooses endpoints; one object is reused for all service ports, so that compiling 20,000 of them makes no garbage. */
export class EndpointChooser {
  /** After `choose`: the sorted keys of the endpoints in use, elements 0 .. count - 1. */
  keys = new Float64Array(64);
  count = 0;
  /** After `choose`: endpoints of any condition; those of one `ip:port` are one. */
  known = 0;

  /** Uses the ready ones, or when there is none the serving terminating ones. Of one `ip:port` the first counts. */
  choose(endpoints: readonly Endpoint[]): void {
    const count = endpoints.length;
    if (count > this.keys.length) this.keys = new Float64Array(count * 2);
    const keys = this.keys;
    let ready = 0;
    for (let i = 0; i < count; i++) {
      const endpoint = endpoints[i];
      keys[i] = endpointKey(endpoint.address, endpoint.port);
      if (endpoint.ready) ready++;
    }
    sortKeys(keys, count);
    for (let i = 1; i < count; i++) {
      if (keys[i] === keys[i - 1]) {
        this.choose(withoutDuplicates(endpoints));
        return;
      }
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
}

/** The first endpoint of each `ip:port`, in the order given. */
export function withoutDuplicates(endpoints: readonly Endpoint[]): Endpoint[] {
  const seen = new Set<number>();
  return endpoints.filter((endpoint) => {
    const key = endpointKey(endpoint.address, endpoint.port);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
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
