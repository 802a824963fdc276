/**
 * What one kube-proxy keeps of EndpointSlices, and the endpoints of each service port that follow from them
 * [pkg/proxy/endpointslicecache.go]. The kube-proxies of a cluster begin with one cache and go on with copies of it.
 */
import type { ClusterState, Endpoint, ServicePort } from '../model/cluster.ts';
import { assert } from '../sim/assert.ts';
import type { SlicePort, SliceWrite } from './endpoint-slices.ts';
import { hintsText, sameEndpoint } from './slice-packing.ts';
import type { SliceEndpoint } from './slice-packing.ts';

interface SliceContent {
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
}

/** Endpoint lists made from a slice's content, by target port: all nodes get the same object. */
type MadeLists = WeakMap<readonly SliceEndpoint[], Map<number, readonly Endpoint[]>>;

/** What the copies share: it does not change. */
interface Shared {
  /** Place of a service port in the state, by id. */
  readonly placeOf: ReadonlyMap<number, number>;
  /** Endpoints of service ports with slices that are no pods of Deployments; they never change. */
  readonly fixed: ReadonlyMap<number, readonly Endpoint[]>;
  readonly made: MadeLists;
}

const NO_ENDPOINTS: readonly Endpoint[] = [];
const NO_SLICES: readonly number[] = [];

export class SliceCache {
  readonly #shared: Shared;
  /** By slice id; ids are small integers. */
  readonly #slices: (SliceContent | undefined)[];
  /** Slices that feed a service port, by its place, in order of their coming. A list is replaced, never changed: copies share them. */
  readonly #slicesOf: (readonly number[] | undefined)[];
  #state: ClusterState;

  private constructor(
    shared: Shared,
    slices: (SliceContent | undefined)[],
    slicesOf: (readonly number[] | undefined)[],
    state: ClusterState,
  ) {
    this.#shared = shared;
    this.#slices = slices;
    this.#slicesOf = slicesOf;
    this.#state = state;
  }

  /**
   * The cache after the initial list. Endpoints of the given state at addresses of which `isPod` is true are left to the slices; a
   * service port whose endpoints are the same by both stays the very object that it is.
   */
  static of(
    state: ClusterState,
    initialSlices: readonly SliceWrite[],
    isPod: (address: number) => boolean,
  ): SliceCache {
    const placeOf = new Map(state.servicePorts.map((port, place) => [port.id, place]));
    const fixed = new Map<number, readonly Endpoint[]>();
    const cache = new SliceCache({ placeOf, fixed, made: new WeakMap() }, [], [], state);
    for (const write of initialSlices) cache.#store(write);
    const servicePorts = state.servicePorts.map((port, place) => {
      if (cache.#slicesOf[place] === undefined) return port;
      const others = port.endpoints.filter((endpoint) => !isPod(endpoint.address));
      if (others.length > 0) fixed.set(port.id, others);
      const endpoints = cache.#endpointsOf(port.id, place);
      return isSameSet(endpoints, port.endpoints) ? port : { ...port, endpoints };
    });
    cache.#state = { servicePorts };
    return cache;
  }

  /** Another kube-proxy that knows the same. */
  copy(): SliceCache {
    return new SliceCache(this.#shared, this.#slices.slice(), this.#slicesOf.slice(), this.#state);
  }

  /** The cluster as of the last `rebuild`. */
  get state(): ClusterState {
    return this.#state;
  }

  /** Takes a write in; false when the slice says what it said before, which is no reason for a sync [esDataChanged]. */
  receive(write: SliceWrite): boolean {
    const before = this.#slices[write.sliceId];
    if (before === undefined ? write.endpoints.length === 0 : isSameSlice(before, write)) return false;
    this.#store(write);
    return true;
  }

  /** Puts the service ports with these ids into the state, and returns them. */
  rebuild(ids: readonly number[]): ServicePort[] {
    if (ids.length === 0) return [];
    const servicePorts = this.#state.servicePorts.slice();
    const changed = ids.map((id) => {
      const place = this.#placeOf(id);
      const port = { ...servicePorts[place], endpoints: this.#endpointsOf(id, place) };
      servicePorts[place] = port;
      return port;
    });
    this.#state = { servicePorts };
    return changed;
  }

  /** The service port with this id in a state of this cluster. */
  portIn(state: ClusterState, id: number): ServicePort | undefined {
    const place = this.#shared.placeOf.get(id);
    return place === undefined ? undefined : state.servicePorts[place];
  }

  #placeOf(id: number): number {
    const place = this.#shared.placeOf.get(id);
    assert(place !== undefined, `an EndpointSlice feeds service port ${id}, which does not exist`);
    return place;
  }

  #store(write: SliceWrite): void {
    this.#slices[write.sliceId] = { ports: write.ports, endpoints: write.endpoints };
    for (const id of write.servicePortIds) {
      const place = this.#placeOf(id);
      const slices = this.#slicesOf[place] ?? NO_SLICES;
      if (!slices.includes(write.sliceId)) this.#slicesOf[place] = [...slices, write.sliceId];
    }
  }

  #endpointsOf(id: number, place: number): readonly Endpoint[] {
    const lists: (readonly Endpoint[])[] = [];
    const fixed = this.#shared.fixed.get(id);
    if (fixed !== undefined) lists.push(fixed);
    for (const sliceId of this.#slicesOf[place] ?? NO_SLICES) {
      const slice = this.#slices[sliceId];
      const port = slice?.ports.find((each) => each.servicePortId === id);
      if (slice !== undefined && port !== undefined) lists.push(this.#made(slice.endpoints, port.targetPort));
    }
    if (lists.length === 1) return lists[0];
    return lists.length === 0 ? NO_ENDPOINTS : lists.flat();
  }

  #made(endpoints: readonly SliceEndpoint[], targetPort: number): readonly Endpoint[] {
    const { made } = this.#shared;
    let byPort = made.get(endpoints);
    if (byPort === undefined) {
      byPort = new Map();
      made.set(endpoints, byPort);
    }
    let list = byPort.get(targetPort);
    if (list === undefined) {
      list = endpoints.map(({ address, nodeName, ready, serving, terminating, hints }) => {
        const endpoint = { address, port: targetPort, nodeName, ready, serving, terminating };
        return hints === undefined ? endpoint : { ...endpoint, hints };
      });
      byPort.set(targetPort, list);
    }
    return list;
  }
}

function isSameSlice(before: SliceContent, after: SliceContent): boolean {
  return (
    before.ports === after.ports &&
    before.endpoints.length === after.endpoints.length &&
    before.endpoints.every((endpoint, i) => sameEndpoint(endpoint, after.endpoints[i]))
  );
}

/** Whether two lists hold the same endpoints, in whatever order. */
function isSameSet(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  if (a.length !== b.length) return false;
  // Nearly always the order is the same, too, and no text has to be made.
  if (a.every((endpoint, i) => endpoint.port === b[i].port && sameEndpoint(endpoint, b[i]))) return true;
  const keysOf = (endpoints: readonly Endpoint[]): Set<string> =>
    new Set(
      endpoints.map(
        (e) => `${e.address}:${e.port} ${e.nodeName} ${e.ready} ${e.serving} ${e.terminating} ${hintsText(e.hints)}`,
      ),
    );
  const [left, right] = [keysOf(a), keysOf(b)];
  return left.size === right.size && [...left].every((key) => right.has(key));
}
