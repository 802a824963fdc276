/** Which endpoints of a service port kube-proxy uses, in its order, without building a string (pkg/proxy/topology.go, endpointslicecache.go). */
import type { Endpoint } from '../../model/cluster.ts';

/*
 * kube-proxy sorts endpoints byte-wise on the text "ip:port". '.' < '0'..'9' < ':', and the end of a text comes before
 * any byte. So an octet that a dot follows sorts as a word with its prefixes first, the last octet, which ':' follows,
 * with its prefixes last, and the port as a word with its prefixes first. Replacing each number by its rank in that
 * order gives one integer below 2^48 that compares as the text does, and that can be turned back.
 */
const DOT_ORDER = ranked(256, '.');
const COLON_ORDER = ranked(256, ':');
const PORT_ORDER = ranked(65536, '');
const DOT_RANK = inverse(DOT_ORDER);
const COLON_RANK = inverse(COLON_ORDER);
const PORT_RANK = inverse(PORT_ORDER);

function ranked(count: number, terminator: string): Uint16Array {
  const texts = Array.from({ length: count }, (_, value) => `${value}${terminator}`);
  const order = texts.map((_, value) => value);
  order.sort((a, b) => (texts[a] < texts[b] ? -1 : 1));
  return Uint16Array.from(order);
}

function inverse(order: Uint16Array): Uint16Array {
  const rank = new Uint16Array(order.length);
  for (let i = 0; i < order.length; i++) rank[order[i]] = i;
  return rank;
}

/** An integer below 2^48 that orders as the text `ip:port` does byte-wise. */
export function endpointKey(address: number, port: number): number {
  const high =
    (DOT_RANK[address >>> 24] << 24) |
    (DOT_RANK[(address >>> 16) & 255] << 16) |
    (DOT_RANK[(address >>> 8) & 255] << 8) |
    COLON_RANK[address & 255];
  return (high >>> 0) * 65536 + PORT_RANK[port];
}

export function keyAddress(key: number): number {
  const high = Math.floor(key / 65536);
  return (
    ((DOT_ORDER[high >>> 24] << 24) |
      (DOT_ORDER[(high >>> 16) & 255] << 16) |
      (DOT_ORDER[(high >>> 8) & 255] << 8) |
      COLON_ORDER[high & 255]) >>>
    0
  );
}

export function keyPort(key: number): number {
  return PORT_ORDER[key % 65536];
}

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
