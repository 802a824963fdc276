/** Which endpoints of a typed service port kube-proxy uses on a node, in its order (pkg/proxy/topology.go, endpointslicecache.go). */
import type { Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { endpointKey } from './endpoint-order.ts';
import { categorizeEndpoints } from './topology.ts';
import type { EndpointCategories } from './topology.ts';

/** An endpoint as `categorizeEndpoints` looks at it. */
export interface SeenEndpoint extends Endpoint {
  readonly isLocal: boolean;
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
}

const NO_HINTS: readonly string[] = [];

/** Every endpoint of the service port: of one `ip:port` the first local one, else the first; byte-wise on the text `ip:port`. */
export function seenEndpoints(svc: ServicePort, node: NodeSpec): SeenEndpoint[] {
  const byKey = new Map<number, SeenEndpoint>();
  for (const endpoint of svc.endpoints) {
    const key = endpointKey(endpoint.address, endpoint.port);
    const isLocal = endpoint.nodeName === node.name;
    const known = byKey.get(key);
    if (known !== undefined && (known.isLocal || !isLocal)) continue;
    const { zones = NO_HINTS, nodes = NO_HINTS } = endpoint.hints ?? {};
    byKey.set(key, { ...endpoint, isLocal, zoneHints: zones, nodeHints: nodes });
  }
  return [...byKey].sort(([a], [b]) => a - b).map(([, endpoint]) => endpoint);
}

/** The lists of a service port with or without extras. Control plane: it allocates. */
export function endpointCategories(svc: ServicePort, node: NodeSpec): EndpointCategories<SeenEndpoint> {
  const extras = svc.extras ?? NO_SERVICE_EXTRAS;
  const seen = { ...extras, nodePort: svc.nodePort, endpoints: seenEndpoints(svc, node) };
  return categorizeEndpoints(seen, node.zone ?? '', node.name);
}

/** The endpoints that some traffic can reach from the node, in no particular order. Most service ports have nothing to choose from. */
export function reachableEndpoints(svc: ServicePort, node: NodeSpec): readonly Endpoint[] {
  const { extras, endpoints } = svc;
  const isPlain = extras === undefined && endpoints.every(({ ready, hints }) => ready && hints === undefined);
  return isPlain && !hasDuplicates(endpoints) ? endpoints : endpointCategories(svc, node).reachable;
}

/** Lists are short as a rule: comparing each with each makes no garbage. */
function hasDuplicates(endpoints: readonly Endpoint[]): boolean {
  if (endpoints.length > 32) {
    return new Set(endpoints.map(({ address, port }) => endpointKey(address, port))).size < endpoints.length;
  }
  for (let i = 1; i < endpoints.length; i++) {
    for (let j = 0; j < i; j++) {
      if (endpoints[i].address === endpoints[j].address && endpoints[i].port === endpoints[j].port) return true;
    }
  }
  return false;
}
