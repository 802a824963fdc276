/** The usual choice of endpoints, of a service port without policies, hints and duplicates: no object and no string an endpoint. */
import type { Endpoint } from '../../model/cluster.ts';
import { endpointKey } from './endpoint-order.ts';

/** Longer lists are sorted by the library. It has a cost per call that shows at 20,000 short ones, as nearly all are. */
const INSERTION_LIMIT = 32;

/** A list of keys (endpoint-order.ts), elements 0 .. count - 1, which is filled again and again. */
export class KeyList {
  keys = new Float64Array(64);
  count = 0;

  /** Empties the list and makes room for so many keys. */
  reset(capacity: number): void {
    this.count = 0;
    if (capacity > this.keys.length) this.keys = new Float64Array(capacity * 2);
  }

  push(key: number): void {
    this.keys[this.count++] = key;
  }

  /** Takes all of the endpoints, which come in kube-proxy's order: keys order as they do. */
  fill(endpoints: readonly Endpoint[]): void {
    this.reset(endpoints.length);
    for (const { address, port } of endpoints) this.push(endpointKey(address, port));
  }

  order(): void {
    const { keys, count } = this;
    if (count > INSERTION_LIMIT) {
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

/**
 * Fills `list` with the ready endpoints, or when there is none with the serving terminating ones (pkg/proxy/topology.go
 * CategorizeEndpoints without topology). False when a hint or a duplicate asks for `endpointCategories`; the list means nothing then.
 */
export function choosePlainEndpoints(endpoints: readonly Endpoint[], list: KeyList): boolean {
  const count = endpoints.length;
  list.reset(count);
  const { keys } = list;
  let ready = 0;
  let isOrdered = true;
  let previous = -1;
  for (let i = 0; i < count; i++) {
    const { address, port, ready: isReady, hints } = endpoints[i];
    if (hints !== undefined) return false;
    if (isReady) ready++;
    const key = endpointKey(address, port);
    keys[i] = key;
    if (key <= previous) isOrdered = false;
    previous = key;
  }
  list.count = count;
  if (!isOrdered) {
    list.order();
    for (let i = 1; i < count; i++) if (keys[i] === keys[i - 1]) return false;
  }
  if (ready === count) return true;
  list.count = 0;
  for (const endpoint of endpoints) {
    const isUsed = ready > 0 ? endpoint.ready : endpoint.serving && endpoint.terminating;
    if (isUsed) list.push(endpointKey(endpoint.address, endpoint.port));
  }
  list.order();
  return true;
}
