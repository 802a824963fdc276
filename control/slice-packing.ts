/** How the endpoints of a Service are packed into EndpointSlices [k8s.io/endpointslice reconciler.go reconcileByPortMapping, finalize]. */
import type { EndpointHints } from '../model/cluster.ts';
import type { SimTime } from '../model/time.ts';

/** Default of --max-endpoints-per-slice. */
export const MAX_ENDPOINTS_PER_SLICE = 100;

/** One pod in a slice. */
export interface SliceEndpoint {
  readonly address: number;
  readonly nodeName: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly hints?: EndpointHints;
  /** When the pod's readiness last changed, or when it was deleted; not part of the slice's content. */
  readonly changedAt: SimTime;
}

/** An EndpointSlice object; its ports are those of a port map of the Service. */
export interface Slice<E extends SliceEndpoint = SliceEndpoint> {
  readonly id: number;
  portMap: string;
  endpoints: readonly E[];
}

export interface SliceChanges<E extends SliceEndpoint = SliceEndpoint> {
  /** Existing slices with their new content. */
  readonly updates: { readonly slice: Slice<E>; readonly endpoints: readonly E[] }[];
  /** Contents of slices that do not exist yet. */
  readonly creates: (readonly E[])[];
  /** Slices that lost their last endpoint. */
  readonly deletes: Slice<E>[];
}

/** Equal in all that the API shows. */
export function sameEndpoint(a: Omit<SliceEndpoint, 'changedAt'>, b: Omit<SliceEndpoint, 'changedAt'>): boolean {
  return (
    a.address === b.address &&
    a.nodeName === b.nodeName &&
    a.ready === b.ready &&
    a.serving === b.serving &&
    a.terminating === b.terminating &&
    hintsText(a.hints) === hintsText(b.hints)
  );
}

/** Equal for equal hints. */
export function hintsText(hints: EndpointHints | undefined): string {
  return hints === undefined ? '' : `${hints.zones.join(',')};${hints.nodes.join(',')}`;
}

/**
 * Brings `slices` (of one port map) to `desired`, with few writes and without rebalancing: (1) endpoints are dropped or
 * refreshed where they are; (2) new ones fill the slices that are written anyway, fullest first; (3) the rest goes to
 * the one unchanged slice that it fills best, or to new slices.
 */
export function packSlices<E extends SliceEndpoint>(
  slices: readonly Slice<E>[],
  desired: readonly E[],
  maxEndpoints: number,
): SliceChanges<E> {
  const wanted = new Map(desired.map((endpoint) => [endpoint.address, endpoint]));
  const touched: { slice: Slice<E>; endpoints: E[] }[] = [];
  const unchanged: Slice<E>[] = [];
  const deletes: Slice<E>[] = [];
  for (const slice of slices) {
    const kept: E[] = [];
    for (const old of slice.endpoints) {
      const current = wanted.get(old.address);
      if (current === undefined) continue;
      wanted.delete(old.address);
      kept.push(current);
    }
    if (kept.length === 0 && slice.endpoints.length > 0) deletes.push(slice);
    else if (sameContent(slice.endpoints, kept)) unchanged.push(slice);
    else touched.push({ slice, endpoints: kept });
  }
  const rest = [...wanted.values()];
  for (const each of [...touched].sort((a, b) => b.endpoints.length - a.endpoints.length)) {
    each.endpoints.push(...rest.splice(0, maxEndpoints - each.endpoints.length));
  }
  const creates: E[][] = [];
  while (rest.length > 0) {
    const best = rest.length < maxEndpoints ? closestFit(unchanged, rest.length, maxEndpoints) : undefined;
    if (best === undefined) {
      creates.push(rest.splice(0, maxEndpoints));
    } else {
      unchanged.splice(unchanged.indexOf(best), 1);
      touched.push({ slice: best, endpoints: [...best.endpoints, ...rest.splice(0)] });
    }
  }
  return { updates: touched, creates, deletes };
}

/** Equal endpoints in equal order. */
export function sameContent(before: readonly SliceEndpoint[], kept: readonly SliceEndpoint[]): boolean {
  return (
    before.length === kept.length &&
    before.every((endpoint, i) => endpoint === kept[i] || sameEndpoint(endpoint, kept[i]))
  );
}

/** The fullest slice that can take `count` more [getSliceToFill]. */
function closestFit<S extends Slice>(slices: readonly S[], count: number, maxEndpoints: number): S | undefined {
  let best: S | undefined;
  for (const slice of slices) {
    if (slice.endpoints.length + count > maxEndpoints) continue;
    if (best === undefined || slice.endpoints.length > best.endpoints.length) best = slice;
  }
  return best;
}
