/**
 * The EndpointSlice controller: from pods to the endpoints of each bound service port [k8s.io/endpointslice
 * reconciler.go, utils.go podToEndpoint; pkg/controller/endpointslice/endpointslice_controller.go].
 */
import type { EndpointHints, ServicePort } from '../model/cluster.ts';
import type { SimTime } from '../model/time.ts';
import { distributionHints } from '../model/topology-hints.ts';
import type { TrafficDistribution } from '../model/topology-hints.ts';
import type { WorkloadPlan } from '../model/workload.ts';
import { assert } from '../sim/assert.ts';
import type { ApiFanout } from './api-fanout.ts';
import type { EmitEvent } from './control-event.ts';
import type { PodRecord, PodStore } from './pod-store.ts';
import { MAX_ENDPOINTS_PER_SLICE, packSlices } from './slice-packing.ts';
import type { Slice, SliceEndpoint } from './slice-packing.ts';

/** A port of a slice: the service port that it feeds, and the number on the pods. */
export interface SlicePort {
  readonly servicePortId: number;
  readonly targetPort: number;
}

/** One write of an EndpointSlice, as a watcher gets it. */
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
  readonly onWrite: (write: SliceWrite) => void;
}

/** Pods whose ports have the same numbers share slices; a named port may have another number in another Deployment. */
interface PortMap {
  readonly key: string;
  readonly ports: readonly SlicePort[];
  readonly deployments: number[];
}

interface ServiceState {
  readonly name: string;
  readonly servicePortIds: readonly number[];
  readonly portMaps: readonly PortMap[];
  readonly slices: Slice[];
  readonly trafficDistribution: TrafficDistribution | undefined;
  readonly publishNotReadyAddresses: boolean;
  /** Hints that pods of the start have, by address; they keep them. */
  readonly givenHints: ReadonlyMap<number, EndpointHints>;
  syncPlanned: boolean;
}

/** The key of a slice without ports, which a Service without endpoints keeps. */
const NO_PORTS = '';
const NO_SLICE_PORTS: readonly SlicePort[] = [];

export class EndpointSliceController {
  readonly #options: EndpointSliceOptions;
  readonly #services: readonly ServiceState[];
  readonly #ofDeployment = new Map<number, ServiceState[]>();
  readonly #ofServicePort = new Map<number, ServiceState>();
  readonly #zones: ReadonlyMap<string, string>;
  #nextSliceId = 0;
  #writes = 0;

  constructor(options: EndpointSliceOptions) {
    this.#options = options;
    this.#zones = new Map(options.workload.nodes.map((node) => [node.name, node.zone]));
    this.#services = servicesOf(options.workload, options.servicePorts);
    for (const service of this.#services) {
      for (const id of service.servicePortIds) this.#ofServicePort.set(id, service);
      for (const deployment of service.portMaps.flatMap((portMap) => portMap.deployments)) {
        const bound = this.#ofDeployment.get(deployment) ?? [];
        if (!bound.includes(service)) bound.push(service);
        this.#ofDeployment.set(deployment, bound);
      }
    }
  }

  /** Creates, updates and deletes of EndpointSlices; the slices of the start are not counted. */
  get writes(): number {
    return this.#writes;
  }

  /** The slices of the pods that ran before the trial, as every watcher has them at the start. */
  initialSlices(): SliceWrite[] {
    return this.#services.flatMap((service) => this.#reconcile(service));
  }

  /** The API server has news of a pod: its Services are looked at after the controller's delay, once for all that happens until then. */
  podChanged(pod: PodRecord): void {
    for (const service of this.#ofDeployment.get(pod.deployment) ?? []) {
      if (service.syncPlanned) continue;
      service.syncPlanned = true;
      this.#options.fanout.runEndpointSync(service.name, () => {
        service.syncPlanned = false;
        this.#sync(service);
      });
    }
  }

  /** Ready endpoints of a service port in the API server now; undefined when no Deployment is bound to it. */
  readyEndpoints(servicePortId: number): number | undefined {
    const service = this.#ofServicePort.get(servicePortId);
    if (service === undefined) return undefined;
    return countOf(service, servicePortId, (endpoint) => endpoint.ready);
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
    const [first] = service.servicePortIds;
    const ready = countOf(service, first, (endpoint) => endpoint.ready);
    const total = countOf(service, first, () => true);
    this.#options.emit(
      'endpoints_changed',
      `endpoints of ${service.name}: ${ready} ready of ${total}`,
      service.servicePortIds,
    );
    for (const write of writes) this.#options.onWrite(write);
  }

  #reconcile(service: ServiceState): SliceWrite[] {
    const updates: { slice: Slice; portMap: string; endpoints: readonly SliceEndpoint[] }[] = [];
    const creates: { portMap: string; endpoints: readonly SliceEndpoint[] }[] = [];
    const deletes: Slice[] = [];
    for (const portMap of service.portMaps) {
      const slices = service.slices.filter((slice) => slice.portMap === portMap.key);
      const changes = packSlices(slices, this.#desired(service, portMap), MAX_ENDPOINTS_PER_SLICE);
      for (const update of changes.updates) updates.push({ ...update, portMap: portMap.key });
      for (const endpoints of changes.creates) creates.push({ portMap: portMap.key, endpoints });
      deletes.push(...changes.deletes);
    }
    const placeholders = service.slices.filter((slice) => slice.portMap === NO_PORTS);
    if (creates.length > 0) deletes.push(...placeholders);
    else if (deletes.length === service.slices.length) creates.push({ portMap: NO_PORTS, endpoints: [] });
    // A slice to delete is rather written anew than deleted beside one that is created [finalize].
    while (creates.length > 0 && deletes.length > 0) {
      const [create] = creates.splice(0, 1);
      const [slice] = deletes.splice(0, 1);
      updates.push({ slice, ...create });
    }
    const writes: SliceWrite[] = [];
    for (const create of creates) {
      const slice: Slice = { id: this.#nextSliceId++, portMap: create.portMap, endpoints: [] };
      service.slices.push(slice);
      updates.push({ slice, ...create });
    }
    for (const { slice, portMap, endpoints } of updates) {
      const triggers = triggersOf(slice.endpoints, endpoints);
      slice.portMap = portMap;
      slice.endpoints = endpoints;
      writes.push(writeOf(service, slice, triggers));
    }
    for (const slice of deletes) {
      service.slices.splice(service.slices.indexOf(slice), 1);
      writes.push(writeOf(service, { ...slice, portMap: NO_PORTS, endpoints: [] }, []));
    }
    return writes;
  }

  /** Pods without an address and finished ones are left out [podToEndpoint, ShouldPodBeInEndpoints]. */
  #desired(service: ServiceState, portMap: PortMap): SliceEndpoint[] {
    const pods = portMap.deployments.flatMap((deployment) => this.#options.store.ofDeployment(deployment));
    return pods
      .filter((pod) => pod.status.running && !pod.status.finished)
      .map((pod) => toEndpoint(pod, service.publishNotReadyAddresses, this.#hintsOf(service, pod)));
  }

  /** A pod's own zone or node, as the Service's trafficDistribution asks. */
  #hintsOf({ trafficDistribution, givenHints }: ServiceState, pod: PodRecord): EndpointHints | undefined {
    const zone = this.#zones.get(pod.nodeName) ?? '';
    return givenHints.get(pod.address) ?? distributionHints(trafficDistribution, pod.nodeName, zone);
  }
}

/** [utils.go podToEndpoint] */
function toEndpoint(pod: PodRecord, publishNotReady: boolean, hints: EndpointHints | undefined): SliceEndpoint {
  const terminating = pod.deletedAt !== undefined;
  const serving = pod.status.ready;
  return {
    address: pod.address,
    nodeName: pod.nodeName,
    ready: publishNotReady || (serving && !terminating),
    serving,
    terminating,
    ...(hints === undefined ? {} : { hints }),
    changedAt: Math.max(pod.status.readyChangedAt, pod.deletedAt ?? pod.status.readyChangedAt),
  };
}

/** One trigger for each endpoint that has become usable or stopped being so; an endpoint that leaves has its trigger behind it. */
function triggersOf(before: readonly SliceEndpoint[], after: readonly SliceEndpoint[]): SimTime[] {
  const wasReady = new Map(before.map((endpoint) => [endpoint.address, endpoint.ready]));
  const changed = after.filter((endpoint) => (wasReady.get(endpoint.address) ?? false) !== endpoint.ready);
  return changed.map((endpoint) => endpoint.changedAt);
}

function writeOf(service: ServiceState, slice: Slice, triggers: readonly SimTime[]): SliceWrite {
  const portMap = service.portMaps.find((each) => each.key === slice.portMap);
  return {
    sliceId: slice.id,
    servicePortIds: service.servicePortIds,
    ports: portMap === undefined ? NO_SLICE_PORTS : portMap.ports,
    endpoints: slice.endpoints,
    triggers,
  };
}

function countOf(service: ServiceState, servicePortId: number, counts: (endpoint: SliceEndpoint) => boolean): number {
  let count = 0;
  for (const slice of service.slices) {
    const portMap = service.portMaps.find((each) => each.key === slice.portMap);
    if (portMap?.ports.some((port) => port.servicePortId === servicePortId) !== true) continue;
    for (const endpoint of slice.endpoints) if (counts(endpoint)) count++;
  }
  return count;
}

/** The bound Services in order of their first service port's id. */
function servicesOf(workload: WorkloadPlan, servicePorts: readonly ServicePort[]): ServiceState[] {
  const nameOf = new Map(servicePorts.map((port) => [port.id, `${port.namespace}/${port.name}`]));
  const bindings = [...workload.bindings].sort(
    (a, b) => a.servicePortId - b.servicePortId || a.deployment - b.deployment,
  );
  const portsOf = new Map<string, Map<number, SlicePort[]>>();
  const distributions = new Map<string, TrafficDistribution>();
  const publishing = new Set<string>();
  for (const { servicePortId, deployment, targetPort, ...ofService } of bindings) {
    const name = nameOf.get(servicePortId);
    assert(name !== undefined, `a binding names service port ${servicePortId}, which does not exist`);
    const { trafficDistribution, publishNotReadyAddresses } = ofService;
    if (trafficDistribution !== undefined) distributions.set(name, trafficDistribution);
    if (publishNotReadyAddresses === true) publishing.add(name);
    const ports = portsOf.get(name) ?? new Map<number, SlicePort[]>();
    portsOf.set(name, ports);
    ports.set(deployment, [...(ports.get(deployment) ?? []), { servicePortId, targetPort }]);
  }
  return [...portsOf].map(([name, ofService]) => {
    const portMaps: PortMap[] = [];
    for (const [deployment, ports] of ofService) {
      const key = ports.map((port) => `${port.servicePortId}=${port.targetPort}`).join(',');
      const known = portMaps.find((each) => each.key === key);
      if (known === undefined) portMaps.push({ key, ports, deployments: [deployment] });
      else known.deployments.push(deployment);
    }
    const ids = new Set(portMaps.flatMap((portMap) => portMap.ports.map((port) => port.servicePortId)));
    return {
      name,
      servicePortIds: [...ids].sort((a, b) => a - b),
      portMaps,
      slices: [],
      trafficDistribution: distributions.get(name),
      publishNotReadyAddresses: publishing.has(name),
      givenHints: hintsOfPorts(servicePorts.filter((port) => ids.has(port.id))),
      syncPlanned: false,
    };
  });
}

function hintsOfPorts(servicePorts: readonly ServicePort[]): Map<number, EndpointHints> {
  const hints = new Map<number, EndpointHints>();
  for (const { endpoints } of servicePorts) {
    for (const endpoint of endpoints) if (endpoint.hints !== undefined) hints.set(endpoint.address, endpoint.hints);
  }
  return hints;
}
