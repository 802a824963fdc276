/** Joins Services with their endpoints: from given EndpointSlices, else from the pods that the selector selects. */
import { parseIpv4 } from '../model/address.ts';
import type { Endpoint, EndpointHints, ServicePort } from '../model/cluster.ts';
import type { Protocol } from '../model/protocol.ts';
import { distributionHints, trafficDistribution } from '../model/topology-hints.ts';
import type { TrafficDistribution } from '../model/topology-hints.ts';
import type { ServiceBinding } from '../model/workload.ts';
import { quote } from './errors.ts';
import { mapMatches } from './labels.ts';
import type { Labels } from './labels.ts';
import { compareText, objectName } from './manifest-objects.ts';
import type { KubernetesObject } from './manifest-objects.ts';
import type { CompletePod } from './manifest-pods.ts';
import type { CompleteDeployment } from './manifest-deployments.ts';
import type { Container, EndpointSliceObject, ServiceObject } from './manifest-schema.ts';
import { PROTOCOLS } from './manifest-services.ts';
import type { CompletePort, CompleteService } from './manifest-services.ts';

type Slice = KubernetesObject<EndpointSliceObject>;

/** Endpoints of a slice and its ports, as kube-proxy reads them (endpointslicecache.go). */
interface CompleteSlice {
  readonly ports: readonly { readonly name: string; readonly protocol: Protocol; readonly port: number }[];
  readonly endpoints: readonly Omit<Endpoint, 'port'>[];
}

export type SlicesByService = ReadonlyMap<string, readonly CompleteSlice[]>;

/** IPv4 slices under the `namespace/name` of their Service. */
export function completeSlices(
  slices: readonly Slice[],
  services: readonly KubernetesObject<ServiceObject>[],
  warnings: string[],
): SlicesByService {
  const known = new Set(services.map(objectName));
  const found = new Map<string, CompleteSlice[]>();
  for (const slice of slices) {
    const label = slice.data.metadata.labels?.['kubernetes.io/service-name'];
    const name = `EndpointSlice ${objectName(slice)}`;
    if (label === undefined || label === '') {
      warnings.push(`${name} has no label kubernetes.io/service-name; it belongs to no Service and is ignored.`);
      continue;
    }
    const service = `${slice.namespace}/${label}`;
    if (!known.has(service)) {
      warnings.push(`${name} belongs to the Service ${service}, which is not in the manifests; it is ignored.`);
      continue;
    }
    if (slice.data.addressType !== 'IPv4') {
      warnings.push(`${name} holds ${slice.data.addressType} addresses, which are not modelled; it is ignored.`);
      continue;
    }
    const list = found.get(service) ?? [];
    list.push(completeSlice(slice));
    found.set(service, list);
  }
  return found;
}

function completeSlice(slice: Slice): CompleteSlice {
  const ports = (slice.data.ports ?? []).flatMap((port) => {
    // kube-proxy passes over a port without a number.
    if (port.port === null || port.port === undefined) return [];
    return [{ name: port.name ?? '', protocol: PROTOCOLS[port.protocol ?? 'TCP'], port: port.port }];
  });
  const endpoints = (slice.data.endpoints ?? []).map((endpoint, i) => {
    const text = endpoint.addresses[0];
    const address = parseIpv4(text);
    if (address === undefined) {
      throw slice.error(
        `An address of EndpointSlice ${objectName(slice)} must be an IPv4 address, got ${quote(text)}.`,
        ['endpoints', i, 'addresses', 0],
      );
    }
    const { ready, serving, terminating } = endpoint.conditions ?? {};
    return {
      address,
      nodeName: endpoint.nodeName ?? '',
      ready: ready ?? true,
      serving: serving ?? true,
      terminating: terminating ?? false,
      ...withHints(givenHints(endpoint.hints)),
      ...(typeof endpoint.hostname === 'string' && endpoint.hostname !== '' ? { hostname: endpoint.hostname } : {}),
    };
  });
  return { ports, endpoints };
}

type HintsObject = NonNullable<NonNullable<EndpointSliceObject['endpoints']>[number]['hints']>;

function givenHints(hints: HintsObject | null | undefined): EndpointHints | undefined {
  const zones = (hints?.forZones ?? []).map(({ name }) => name);
  const nodes = (hints?.forNodes ?? []).map(({ name }) => name);
  return zones.length === 0 && nodes.length === 0 ? undefined : { zones, nodes };
}

function withHints(hints: EndpointHints | undefined): Pick<Endpoint, 'hints'> {
  return hints === undefined ? {} : { hints };
}

export interface Join {
  readonly servicePorts: ServicePort[];
  readonly bindings: ServiceBinding[];
}

/** What a Service's ports are joined with. */
interface Selected {
  readonly pods: readonly CompletePod[];
  /** Indices of Deployments. */
  readonly deployments: readonly number[];
}

/**
 * Service ports with ids in byte order of (namespace, name, port name, protocol), and the Deployments behind them. `zones` is by name
 * of node, `firstId` the id of the first one.
 */
export function joinEndpoints(
  services: readonly CompleteService[],
  slices: SlicesByService,
  pods: readonly CompletePod[],
  deployments: readonly CompleteDeployment[],
  zones: ReadonlyMap<string, string>,
  warnings: string[],
  firstId = 0,
): Join {
  const index = new SelectorIndex(pods, deployments);
  const join: Join = { servicePorts: [], bindings: [] };
  for (const service of services) {
    const { object } = service;
    const selected = index.select(object.namespace, object.data.spec.selector ?? {});
    const own = slices.get(objectName(object));
    if (own === undefined) warnOfNothing(service, selected, warnings);
    const bound = own === undefined ? selected.deployments : boundBySlices(service, own, selected, pods, warnings);
    const distribution = trafficDistribution(object.data.spec.trafficDistribution);
    const ports = [...service.ports].sort((a, b) => compareText(a.name, b.name) || a.protocol - b.protocol);
    for (const port of ports) {
      const endpoints =
        own === undefined
          ? podEndpoints(service, port, selected, deployments, (nodeName) =>
              distributionHints(distribution, nodeName, zones.get(nodeName) ?? ''),
            )
          : sliceEndpoints(service, port, own, warnings);
      const id = firstId + join.servicePorts.length;
      join.servicePorts.push({
        id,
        namespace: object.namespace,
        name: object.name,
        portName: port.name,
        protocol: port.protocol,
        clusterIp: service.clusterIp,
        port: port.port,
        nodePort: port.nodePort,
        ...(service.extras === undefined ? {} : { extras: service.extras }),
        endpoints,
      });
      const newHints = distribution ?? habitOf(endpoints);
      for (const deployment of bound) {
        const targetPort = templatePort(port, deployments[deployment]);
        if (targetPort !== undefined)
          join.bindings.push({
            servicePortId: id,
            deployment,
            targetPort,
            protocol: port.protocol,
            ...(newHints === undefined ? {} : { trafficDistribution: newHints }),
            ...(object.data.spec.publishNotReadyAddresses === true ? { publishNotReadyAddresses: true } : {}),
          });
      }
    }
  }
  return join;
}

/**
 * Given slices may carry hints without a trafficDistribution: of topology-aware routing, which shares zones out by their CPUs. That is
 * not modelled: a pod that starts later is hinted for its own zone.
 */
function habitOf(endpoints: readonly Endpoint[]): TrafficDistribution | undefined {
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  if (ready.length === 0 || !ready.every((endpoint) => endpoint.hints !== undefined)) return undefined;
  return ready.every((endpoint) => (endpoint.hints?.nodes.length ?? 0) > 0) ? 'PreferSameNode' : 'PreferSameZone';
}

function warnOfNothing(service: CompleteService, selected: Selected, warnings: string[]): void {
  const name = objectName(service.object);
  const pairs = Object.entries(service.object.data.spec.selector ?? {});
  if (pairs.length === 0) {
    warnings.push(`Service ${name} has neither a selector nor EndpointSlices; it has no endpoints.`);
  } else if (selected.pods.length === 0 && selected.deployments.length === 0) {
    const text = pairs.map(([key, value]) => `${key}=${value}`).join(',');
    warnings.push(`The selector ${text} of Service ${name} selects no pod; it has no endpoints.`);
  }
}

/** Deployments that the control plane may take the Service's endpoints from: only when the slices hold their pods and no others. */
function boundBySlices(
  service: CompleteService,
  slices: readonly CompleteSlice[],
  selected: Selected,
  pods: readonly CompletePod[],
  warnings: string[],
): readonly number[] {
  if (selected.deployments.length === 0) return [];
  const own = new Set<number>();
  for (const pod of pods) if (selected.deployments.includes(pod.deployment)) own.add(pod.address);
  if (slices.every((slice) => slice.endpoints.every((endpoint) => own.has(endpoint.address))))
    return selected.deployments;
  warnings.push(
    `The EndpointSlices of Service ${objectName(service.object)} hold addresses that are not of its Deployment's pods; they stay as they are, whatever happens to the Deployment.`,
  );
  return [];
}

function sliceEndpoints(
  service: CompleteService,
  port: CompletePort,
  slices: readonly CompleteSlice[],
  warnings: string[],
): Endpoint[] {
  const endpoints: Endpoint[] = [];
  let found = false;
  for (const slice of slices) {
    const match = slice.ports.find((each) => each.name === port.name && each.protocol === port.protocol);
    if (match === undefined) continue;
    found = true;
    for (const endpoint of slice.endpoints) endpoints.push({ ...endpoint, port: match.port });
  }
  if (!found && slices.some((slice) => slice.endpoints.length > 0)) {
    warnings.push(
      `The EndpointSlices of Service ${objectName(service.object)} have no port ${quote(port.name)} of its protocol; port ${port.port} has no endpoints.`,
    );
  }
  return endpoints;
}

/** What the EndpointSlice controller makes of pods (endpointslice utils.go podToEndpoint); pods without the named port are left out. */
function podEndpoints(
  service: CompleteService,
  port: CompletePort,
  selected: Selected,
  deployments: readonly CompleteDeployment[],
  hintsFor: (nodeName: string) => EndpointHints | undefined,
): Endpoint[] {
  const publish = service.object.data.spec.publishNotReadyAddresses === true;
  const endpoints: Endpoint[] = [];
  let resolvable = selected.pods.length === 0 && selected.deployments.length === 0;
  for (const index of selected.deployments) {
    if (templatePort(port, deployments[index]) !== undefined) resolvable = true;
  }
  for (const pod of selected.pods) {
    const number = resolvePort(port, pod.containers);
    if (number === undefined) continue;
    resolvable = true;
    const { address, nodeName, ready: serving, terminating } = pod;
    endpoints.push({
      address,
      port: number,
      nodeName,
      ready: (serving && !terminating) || publish,
      serving,
      terminating,
      ...withHints(hintsFor(nodeName)),
    });
  }
  // A headless Service has lost nothing that a rule would need.
  if (!resolvable && service.clusterIp !== 0) {
    throw service.object.error(
      `The targetPort ${quote(port.targetPort)} of Service ${objectName(service.object)} is no port name of a container that it selects.`,
      ['spec', 'ports', port.index, 'targetPort'],
    );
  }
  return endpoints;
}

function templatePort(port: CompletePort, deployment: CompleteDeployment): number | undefined {
  return resolvePort(port, deployment.object.data.spec.template.spec.containers);
}

function resolvePort(port: CompletePort, containers: readonly Container[]): number | undefined {
  if (typeof port.targetPort === 'number') return port.targetPort;
  for (const container of containers) {
    for (const each of container.ports ?? []) {
      if (each.name === port.targetPort && PROTOCOLS[each.protocol ?? 'TCP'] === port.protocol)
        return each.containerPort;
    }
  }
  return undefined;
}

/** Pods and Deployments under each of their labels, so that a selector looks at few of them. */
export class SelectorIndex {
  readonly #pods = new Map<string, CompletePod[]>();
  readonly #deployments = new Map<string, number[]>();
  readonly #labels: readonly Labels[];

  constructor(pods: readonly CompletePod[], deployments: readonly Pick<CompleteDeployment, 'model'>[] = []) {
    this.#labels = deployments.map((deployment) => deployment.model.labels);
    for (const pod of pods) for (const key of labelKeys(pod.namespace, pod.labels)) push(this.#pods, key, pod);
    deployments.forEach(({ model }, i) => {
      for (const key of labelKeys(model.namespace, model.labels)) push(this.#deployments, key, i);
    });
  }

  select(namespace: string, selector: Labels): Selected {
    const key = labelKeys(namespace, selector)[0] ?? '';
    return {
      pods: (this.#pods.get(key) ?? []).filter((pod) => mapMatches(selector, pod.labels)),
      deployments: (this.#deployments.get(key) ?? []).filter((i) => mapMatches(selector, this.#labels[i])),
    };
  }
}

function labelKeys(namespace: string, labels: Labels): string[] {
  return Object.entries(labels).map(([key, value]) => `${namespace}\n${key}=${value}`);
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
