/**
 * The EndpointSlice controller, and the Endpoints controller as its alternative: from pods to the endpoints of each bound service port
 * [k8s.io/endpointslice reconciler.go, utils.go podToEndpoint; pkg/controller/endpointslice/endpointslice_controller.go;
 * pkg/controller/endpoint/endpoints_controller.go].
 */
import type { ServicePort } from '../model/cluster.ts';
import type { SimTime } from '../model/time.ts';
import { FIRST_HEADLESS_ID } from '../model/workload.ts';
import type { WorkloadPlan } from '../model/workload.ts';
import { assert } from '../sim/assert.ts';
import type { ApiFanout } from './api-fanout.ts';
import { boundServices } from './bound-services.ts';
import type { BoundService, PortMap, SlicePort } from './bound-services.ts';
import type { EmitEvent } from './control-event.ts';
import { countOf, MAX_ENDPOINTS_ADDRESSES, subsetTriggers, truncated } from './endpoint-subsets.ts';
import { endpointsEventBytes, sliceEventBytes } from './object-size.ts';
import type { WatchEventType } from './object-size.ts';
import { changedAt, PodEndpoints } from './pod-endpoints.ts';
import type { ObjectEndpoint } from './pod-endpoints.ts';
import type { PodRecord, PodStore } from './pod-store.ts';
import { MAX_ENDPOINTS_PER_SLICE, packSlices, sameContent } from './slice-packing.ts';
import type { Slice, SliceEndpoint } from './slice-packing.ts';

export type { SlicePort } from './bound-services.ts';

/** How endpoints are written, and how often. */
export interface EndpointsApi {
  /** endpoints: one Endpoints object a Service, as kube-proxy watched them before v1.19. */
  readonly kind: 'slices' | 'endpoints';
  /** --max-endpoints-per-slice */
  readonly maxEndpointsPerSlice: number;
  /** An Endpoints object holds at most a thousand addresses, as from v1.22 on. */
  readonly truncation: boolean;
  /** --endpoint-updates-batch-period: from the first change of a Service's pods to the sync that takes it, ns. */
  readonly batchNs: SimTime;
}

/** kube-controller-manager's defaults. */
export const DEFAULT_ENDPOINTS_API: EndpointsApi = {
  kind: 'slices',
  maxEndpointsPerSlice: MAX_ENDPOINTS_PER_SLICE,
  truncation: true,
  batchNs: 0,
};

/** An EndpointSlice that was written, or the addresses of an Endpoints object that have the same ports, as a watcher gets it. */
export interface SliceWrite {
  readonly sliceId: number;
  /** All service ports of the slice's Service; kube-proxy takes the Service's ports for changed together. */
  readonly servicePortIds: readonly number[];
  /** Empty for a slice that was deleted. */
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
  /** Times of the readiness changes and deletions that this write shows for the first time. */
  readonly triggers: readonly SimTime[];
}

export interface EndpointSliceOptions {
  readonly fanout: ApiFanout;
  readonly workload: WorkloadPlan;
  readonly servicePorts: readonly ServicePort[];
  readonly store: PodStore;
  readonly emit: EmitEvent;
  /** An EndpointSlice was written, or in an Endpoints object the ready addresses of these ports have changed. */
  readonly onWrite: (write: SliceWrite) => void;
  /** Absent: the defaults. */
  readonly api?: EndpointsApi;
}

type ObjectSlice = Slice<ObjectEndpoint>;

interface ServiceState extends BoundService {
  /** In an Endpoints object there is one for each port map, always. */
  readonly slices: ObjectSlice[];
  readonly pods: PodEndpoints;
  /** What an Endpoints object would show without a limit, by port map. */
  allAddresses: readonly (readonly ObjectEndpoint[])[];
  /** Of the last write of an Endpoints object, in whole seconds. */
  triggerTimeS: number | undefined;
  syncPlanned: boolean;
}

/** A write of one object: what kube-proxy makes of it, by ports, and the bytes that each watcher gets. */
interface ObjectWrite {
  readonly parts: readonly SliceWrite[];
  readonly bytes: number;
}

/** The key of a slice without ports, which a Service without endpoints keeps. */
const NO_PORTS = '';
const NO_SLICE_PORTS: readonly SlicePort[] = [];

export class EndpointSliceController {
  readonly #options: EndpointSliceOptions;
  readonly #api: EndpointsApi;
  readonly #services: readonly ServiceState[];
  readonly #ofDeployment = new Map<number, ServiceState[]>();
  readonly #ofServicePort = new Map<number, ServiceState>();
  #nextSliceId = 0;
  #writes = 0;
  /** Those that kube-proxies watch. */
  #writesToProxies = 0;
  #bytes = 0;

  constructor(options: EndpointSliceOptions) {
    this.#options = options;
    this.#api = options.api ?? DEFAULT_ENDPOINTS_API;
    const zones = new Map(options.workload.nodes.map((node) => [node.name, node.zone]));
    this.#services = boundServices(options.workload, options.servicePorts).map((service) => ({
      ...service,
      slices: [],
      pods: new PodEndpoints({ service, kind: this.#api.kind, store: options.store, zones }),
      allAddresses: service.portMaps.map(() => []),
      triggerTimeS: undefined,
      syncPlanned: false,
    }));
    for (const service of this.#services) {
      for (const id of service.servicePortIds) this.#ofServicePort.set(id, service);
      for (const deployment of service.portMaps.flatMap((portMap) => portMap.deployments)) {
        const bound = this.#ofDeployment.get(deployment) ?? [];
        if (!bound.includes(service)) bound.push(service);
        this.#ofDeployment.set(deployment, bound);
      }
    }
  }

  /** Creates, updates and deletes of EndpointSlices, or updates of Endpoints objects; what there is at the start is not counted. */
  get writes(): number {
    return this.#writes;
  }

  /** Those of Services that are not headless. */
  get writesToProxies(): number {
    return this.#writesToProxies;
  }

  /** Of the watch events of these, for one kube-proxy. */
  get bytesPerWatcher(): number {
    return this.#bytes;
  }

  /** The slices of the pods that ran before the trial, as every watcher has them at the start. */
  initialSlices(): SliceWrite[] {
    return this.#services.flatMap((service) => this.#reconcile(service).flatMap(({ parts }) => parts));
  }

  /** The API server has news of a pod: its Services are looked at after the controller's delay, once for all that happens until then. */
  podChanged(pod: PodRecord): void {
    for (const service of this.#ofDeployment.get(pod.deployment) ?? []) {
      if (pod.status.finished) service.pods.forget(pod);
      if (service.syncPlanned) continue;
      service.syncPlanned = true;
      this.#options.fanout.runEndpointSync(service.key, this.#api.batchNs, () => {
        service.syncPlanned = false;
        this.#sync(service);
      });
    }
  }

  /** Ready endpoints of a service port in the API server now; undefined when no Deployment is bound to it. */
  readyEndpoints(servicePortId: number): number | undefined {
    const service = this.#ofServicePort.get(servicePortId);
    if (service === undefined) return undefined;
    return countEndpoints(service, servicePortId, (endpoint) => endpoint.ready);
  }

  /** Addresses and target ports of the ready endpoints, slice by slice; none when no Deployment is bound to the service port. */
  readyAddresses(servicePortId: number): { readonly address: number; readonly port: number }[] {
    const service = this.#ofServicePort.get(servicePortId);
    return (service?.slices ?? []).flatMap(({ portMap, endpoints }) => {
      const ports = service?.portMaps.find((each) => each.key === portMap)?.ports ?? NO_SLICE_PORTS;
      const port = ports.find((each) => each.servicePortId === servicePortId)?.targetPort;
      if (port === undefined) return [];
      return endpoints.filter((endpoint) => endpoint.ready).map(({ address }) => ({ address, port }));
    });
  }

  #sync(service: ServiceState): void {
    const writes = this.#reconcile(service);
    if (writes.length === 0) return;
    this.#writes += writes.length;
    if (!isHeadless(service)) {
      this.#writesToProxies += writes.length;
      for (const write of writes) this.#bytes += write.bytes;
    }
    const [first] = service.servicePortIds;
    const ready = countEndpoints(service, first, (endpoint) => endpoint.ready);
    const total = countEndpoints(service, first, () => true);
    this.#options.emit(
      'endpoints_changed',
      `endpoints of ${service.key}: ${ready} ready of ${total}`,
      service.servicePortIds,
    );
    for (const part of writes.flatMap(({ parts }) => parts)) this.#options.onWrite(part);
  }

  #reconcile(service: ServiceState): ObjectWrite[] {
    const { triggerTimeS, desired } = service.pods.look();
    if (this.#api.kind === 'endpoints') return this.#reconcileObject(service, desired, triggerTimeS);
    return this.#reconcileSlices(service, desired, triggerTimeS !== undefined);
  }

  #reconcileSlices(
    service: ServiceState,
    desired: readonly (readonly ObjectEndpoint[])[],
    hasTriggerTime: boolean,
  ): ObjectWrite[] {
    const updates: { slice: ObjectSlice; portMap: string; endpoints: readonly ObjectEndpoint[] }[] = [];
    const creates: { portMap: string; endpoints: readonly ObjectEndpoint[] }[] = [];
    const deletes: ObjectSlice[] = [];
    service.portMaps.forEach((portMap, i) => {
      const slices = service.slices.filter((slice) => slice.portMap === portMap.key);
      const changes = packSlices(slices, desired[i], this.#api.maxEndpointsPerSlice);
      for (const update of changes.updates) updates.push({ ...update, portMap: portMap.key });
      for (const endpoints of changes.creates) creates.push({ portMap: portMap.key, endpoints });
      deletes.push(...changes.deletes);
    });
    const placeholders = service.slices.filter((slice) => slice.portMap === NO_PORTS);
    if (creates.length > 0) deletes.push(...placeholders);
    else if (deletes.length === service.slices.length) creates.push({ portMap: NO_PORTS, endpoints: [] });
    // A slice to delete is rather written anew than deleted beside one that is created [finalize].
    while (creates.length > 0 && deletes.length > 0) {
      const create = creates.shift() as (typeof creates)[number];
      updates.push({ slice: deletes.shift() as ObjectSlice, ...create });
    }
    const updated = updates.length;
    for (const create of creates) {
      const slice: ObjectSlice = { id: this.#nextSliceId++, portMap: create.portMap, endpoints: [] };
      service.slices.push(slice);
      updates.push({ slice, ...create });
    }
    const writes = updates.map(({ slice, portMap, endpoints }, i) => {
      const triggers = triggersOf(slice.endpoints, endpoints);
      slice.portMap = portMap;
      slice.endpoints = endpoints;
      return sliceWrite(service, i < updated ? 'MODIFIED' : 'ADDED', slice, slice, triggers, hasTriggerTime);
    });
    for (const slice of deletes) {
      service.slices.splice(service.slices.indexOf(slice), 1);
      // The event of a deletion carries what the object was, last written with a time or without: taken as with.
      const gone = { ...slice, portMap: NO_PORTS, endpoints: [] };
      writes.push(sliceWrite(service, 'DELETED', slice, gone, [], true));
    }
    return writes;
  }

  /**
   * An object with more addresses than it may hold is compared untruncated, so it is written at each sync; the API server makes no event of
   * that unless the addresses that stay or the time of the trigger have changed [syncService, capacityAnnotationSetCorrectly].
   */
  #reconcileObject(
    service: ServiceState,
    desired: readonly (readonly ObjectEndpoint[])[],
    triggerTimeS: number | undefined,
  ): ObjectWrite[] {
    const isTruncated = this.#api.truncation && countOf(desired) > MAX_ENDPOINTS_ADDRESSES;
    const shown = isTruncated ? truncated(desired) : desired;
    const isFirst = service.slices.length === 0;
    if (isFirst) {
      for (const { key } of service.portMaps)
        service.slices.push({ id: this.#nextSliceId++, portMap: key, endpoints: [] });
    }
    const { slices, allAddresses } = service;
    service.allAddresses = desired;
    const isSame = slices.every((slice, i) => sameContent(slice.endpoints, shown[i]));
    if (!isFirst && isSame && !(isTruncated && triggerTimeS !== service.triggerTimeS)) return [];
    const parts = slices.map((slice, i) => {
      const before = { shown: slice.endpoints, all: allAddresses[i] };
      const after = { shown: shown[i], all: desired[i] };
      const triggers = subsetTriggers(before, after, (address) => this.#changedAt(address));
      slice.endpoints = shown[i];
      // kube-proxy reads ready addresses alone [pkg/proxy/endpoints.go endpointsToEndpointsMap].
      return writeOf(service, { ...slice, endpoints: shown[i].filter((endpoint) => endpoint.ready) }, triggers);
    });
    service.triggerTimeS = triggerTimeS;
    const subsets = service.portMaps.flatMap(({ objectPorts }, i) =>
      shown[i].length === 0 ? [] : [{ ports: objectPorts, addressBytes: bytesOf(shown[i]) }],
    );
    const hasTriggerTime = triggerTimeS !== undefined;
    return [{ parts, bytes: endpointsEventBytes(service.owner, { subsets, hasTriggerTime, isTruncated }) }];
  }

  #changedAt(address: number): SimTime {
    const pod = this.#options.store.atAddress(address);
    assert(pod !== undefined, 'an address that left an Endpoints object was never a pod');
    return changedAt(pod);
  }
}

function bytesOf(endpoints: readonly ObjectEndpoint[]): number {
  let bytes = 0;
  for (const endpoint of endpoints) bytes += endpoint.bytes;
  return bytes;
}

/** One trigger for each endpoint that has become usable or stopped being so; an endpoint that leaves has its trigger behind it. */
function triggersOf(before: readonly SliceEndpoint[], after: readonly SliceEndpoint[]): SimTime[] {
  const wasReady = new Map(before.map((endpoint) => [endpoint.address, endpoint.ready]));
  const changed = after.filter((endpoint) => (wasReady.get(endpoint.address) ?? false) !== endpoint.ready);
  return changed.map((endpoint) => endpoint.changedAt);
}

/** `content` is what the event carries, `slice` what is left of it. */
function sliceWrite(
  service: ServiceState,
  type: WatchEventType,
  content: ObjectSlice,
  slice: Slice,
  triggers: readonly SimTime[],
  hasTriggerTime: boolean,
): ObjectWrite {
  const ports = portMapOf(service, content)?.objectPorts ?? [];
  const object = { ports, endpointBytes: bytesOf(content.endpoints), hasTriggerTime };
  return { parts: [writeOf(service, slice, triggers)], bytes: sliceEventBytes(type, service.owner, object) };
}

function writeOf(service: ServiceState, slice: Slice, triggers: readonly SimTime[]): SliceWrite {
  return {
    sliceId: slice.id,
    servicePortIds: service.servicePortIds,
    ports: portMapOf(service, slice)?.ports ?? NO_SLICE_PORTS,
    endpoints: slice.endpoints,
    triggers,
  };
}

function portMapOf(service: ServiceState, slice: Slice): PortMap | undefined {
  return service.portMaps.find((each) => each.key === slice.portMap);
}

function countEndpoints(
  service: ServiceState,
  servicePortId: number,
  counts: (endpoint: SliceEndpoint) => boolean,
): number {
  let count = 0;
  for (const slice of service.slices) {
    if (portMapOf(service, slice)?.ports.some((port) => port.servicePortId === servicePortId) !== true) continue;
    for (const endpoint of slice.endpoints) if (counts(endpoint)) count++;
  }
  return count;
}

/** A Service is headless with all its ports. */
export function isHeadless({ servicePortIds }: Pick<SliceWrite, 'servicePortIds'>): boolean {
  return servicePortIds[0] >= FIRST_HEADLESS_ID;
}
