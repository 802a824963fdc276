/** kube-proxy's order of endpoints as an integer, without building a string (pkg/proxy/endpointslicecache.go byEndpoint). */

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
  return PORT_ORDER[key - Math.floor(key / 65536) * 65536];
}
