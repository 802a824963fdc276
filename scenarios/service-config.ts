/**
 * From Kubernetes objects to what one family's kube-proxy makes of them (kube-proxy pkg/proxy/serviceport.go newBaseServiceInfo,
 * pkg/proxy/endpointslicecache.go, pkg/api/v1/service/util.go).
 */
import type { ServiceExtras } from '../model/cluster.ts';
import { canonicalCidr, canonicalIp, compareBytes, familyOf, familyOfCidr } from '../model/ip-text.ts';
import { hostPort } from '../model/service-config.ts';
import { InputError, quote } from './errors.ts';
import { SERVICE_SCHEMAS, SLICE_SCHEMAS } from './proxy-object-schema.ts';
import { check } from './schema-issues.ts';
import type { EndpointConfig, IpFamily, ServicePortConfig } from '../model/service-config.ts';
import type { ServiceObject, SliceObject } from './proxy-object-schema.ts';

export type { ServiceObject, SliceObject } from './proxy-object-schema.ts';

/** For whom kube-proxy watches: its family, and the node that makes an endpoint local. */
export interface ProxyViewpoint {
  readonly ipFamily: IpFamily;
  readonly nodeName: string;
}

const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';
/** Set by the API server where an object asks for ClientIP affinity without a time. */
const DEFAULT_AFFINITY_SECONDS = 10_800;

/** A parsed YAML document as a Service or EndpointSlice. `strict` refuses fields that the API does not know. */
export function readProxyObject(data: unknown, form: 'lenient' | 'strict'): ServiceObject | SliceObject {
  const kind: unknown = typeof data === 'object' && data !== null && 'kind' in data ? data.kind : undefined;
  if (kind !== 'Service' && kind !== 'EndpointSlice') {
    throw new InputError(`"kind" must be Service or EndpointSlice, got ${quote(kind)}.`, { path: ['kind'] });
  }
  const what = `the ${kind}`;
  const checked =
    kind === 'Service' ? check(SERVICE_SCHEMAS[form], data, what) : check(SLICE_SCHEMAS[form], data, what);
  if (checked.mistake !== undefined) throw new InputError(checked.mistake.message, { path: checked.mistake.path });
  return checked.value;
}

type Named = Pick<ServiceObject | SliceObject, 'metadata'>;

function namespaceOf(object: Named): string {
  return object.metadata.namespace ?? 'default';
}

/** `ns/name` of an object. */
export function objectKey(object: Named): string {
  return `${namespaceOf(object)}/${object.metadata.name}`;
}

/** `ns/name` of the Service that a slice belongs to; `undefined` for a slice of nobody's. */
export function serviceOfSlice(slice: SliceObject): string | undefined {
  const name = slice.metadata.labels?.[SERVICE_NAME_LABEL] ?? '';
  return name === '' ? undefined : `${namespaceOf(slice)}/${name}`;
}

/** Every service port with its endpoints, Services in byte order of `ns/name`, ports as the Service lists them. */
export function serviceConfigs(
  services: readonly ServiceObject[],
  slices: readonly SliceObject[],
  viewpoint: ProxyViewpoint,
): ServicePortConfig[] {
  const endpoints = endpointsByPort(slices, viewpoint);
  return [...services]
    .sort((a, b) => compareBytes(objectKey(a), objectKey(b)))
    .flatMap((service) => portConfigs(service, endpoints, viewpoint.ipFamily));
}

/** The key of a service port in `endpointsByPort`: `ns/name:port/TCP`, or `ns/name/TCP` when the port has no name. */
function portKey(service: string, portName: string, protocol: string): string {
  return `${service}${portName === '' ? '' : `:${portName}`}/${protocol}`;
}

/** Endpoints of every service port that slices name, whether or not the Service exists: without duplicates, in kube-proxy's order. */
export function endpointsByPort(
  slices: readonly SliceObject[],
  viewpoint: ProxyViewpoint,
): Map<string, readonly EndpointConfig[]> {
  const byPort = new Map<string, Map<string, EndpointConfig>>();
  // kube-proxy walks slices in a random order, which shows only where two of them disagree about one endpoint.
  for (const slice of [...slices].sort((a, b) => compareBytes(objectKey(a), objectKey(b)))) {
    const service = serviceOfSlice(slice);
    if (service === undefined || slice.addressType === 'FQDN') continue;
    for (const port of slice.ports ?? []) {
      if ((port.port ?? 0) === 0) continue;
      const key = portKey(service, port.name ?? '', port.protocol ?? 'TCP');
      const known = byPort.get(key) ?? new Map<string, EndpointConfig>();
      byPort.set(key, known);
      addEndpoints(known, slice, port.port ?? 0, viewpoint);
    }
  }
  return new Map([...byPort].filter(([, known]) => known.size > 0).map(([key, known]) => [key, inByteOrder(known)]));
}

function inByteOrder(known: ReadonlyMap<string, EndpointConfig>): EndpointConfig[] {
  return [...known].sort(([a], [b]) => compareBytes(a, b)).map(([, endpoint]) => endpoint);
}

function addEndpoints(
  known: Map<string, EndpointConfig>,
  slice: SliceObject,
  port: number,
  viewpoint: ProxyViewpoint,
): void {
  for (const [index, endpoint] of (slice.endpoints ?? []).entries()) {
    const text = endpoint.addresses[0];
    if (text === undefined) continue;
    const address = canonicalIp(text);
    if (address === undefined) {
      const field = `"endpoints.${index}.addresses" of EndpointSlice ${objectKey(slice)}`;
      throw new InputError(`${field} must be an IP address, got ${quote(text)}.`);
    }
    if (familyOf(address) !== viewpoint.ipFamily) continue;
    const isLocal = (endpoint.nodeName ?? '') !== '' && endpoint.nodeName === viewpoint.nodeName;
    const key = hostPort(address, port);
    if (known.has(key) && !isLocal) continue;
    known.set(key, {
      address,
      port,
      isLocal,
      ready: endpoint.conditions?.ready ?? true,
      serving: endpoint.conditions?.serving ?? true,
      terminating: endpoint.conditions?.terminating ?? false,
      zoneHints: (endpoint.hints?.forZones ?? []).map((zone) => zone.name),
      nodeHints: (endpoint.hints?.forNodes ?? []).map((node) => node.name),
    });
  }
}

function portConfigs(
  service: ServiceObject,
  endpoints: ReadonlyMap<string, readonly EndpointConfig[]>,
  family: IpFamily,
): ServicePortConfig[] {
  const clusterIp = clusterIpOf(service, family);
  if (clusterIp === undefined) return [];
  const shared = {
    namespace: namespaceOf(service),
    name: service.metadata.name,
    clusterIp,
    ...serviceExtras(service, family),
  };
  return (service.spec.ports ?? []).map((port) => {
    const portName = port.name ?? '';
    const protocol = port.protocol ?? 'TCP';
    return {
      ...shared,
      portName,
      protocol: protocol.toLowerCase() as ServicePortConfig['protocol'],
      port: port.port ?? 0,
      nodePort: port.nodePort ?? 0,
      endpoints: endpoints.get(portKey(objectKey(service), portName, protocol)) ?? [],
    };
  });
}

/** What all ports of a Service share beside its cluster IP: addresses of one family, policies only where they apply. */
export function serviceExtras(
  service: Pick<ServiceObject, 'metadata' | 'spec' | 'status'>,
  family: IpFamily,
): Pick<ServicePortConfig, keyof ServiceExtras> {
  const { spec } = service;
  const type = spec.type ?? 'ClusterIP';
  const fromOutside =
    type === 'LoadBalancer' || type === 'NodePort' || (type === 'ClusterIP' && (spec.externalIPs ?? []).length > 0);
  const externalPolicyLocal = fromOutside && spec.externalTrafficPolicy === 'Local';
  const ingress = (service.status?.loadBalancer?.ingress ?? []).filter((each) => each.ipMode !== 'Proxy');
  const hasHealthCheck = type === 'LoadBalancer' && externalPolicyLocal;
  return {
    externalIps: addresses(service, spec.externalIPs ?? [], family, 'spec.externalIPs'),
    loadBalancerVips: addresses(
      service,
      ingress.flatMap((each) => ((each.ip ?? '') === '' ? [] : [each.ip ?? ''])),
      family,
      'status.loadBalancer.ingress',
    ),
    loadBalancerSourceRanges: sourceRanges(service, family),
    externalPolicyLocal,
    internalPolicyLocal: spec.internalTrafficPolicy === 'Local',
    affinitySeconds:
      spec.sessionAffinity === 'ClientIP'
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS)
        : 0,
    healthCheckNodePort: hasHealthCheck ? (spec.healthCheckNodePort ?? 0) : 0,
  };
}

/** The Service's address of this family; `undefined` where kube-proxy of this family has nothing to do with it. */
function clusterIpOf(service: ServiceObject, family: IpFamily): string | undefined {
  const spec = service.spec;
  if (spec.type === 'ExternalName') return undefined;
  const listed = spec.clusterIPs ?? [];
  const texts = (listed.length > 0 ? listed : [spec.clusterIP ?? '']).filter((text) => text !== '' && text !== 'None');
  return addresses(service, texts, family, 'spec.clusterIP')[0];
}

function addresses(service: Named, texts: readonly string[], family: IpFamily, field: string): string[] {
  return texts
    .map((text) => {
      const address = canonicalIp(text);
      if (address !== undefined) return address;
      throw new InputError(`"${field}" of Service ${objectKey(service)} must be an IP address, got ${quote(text)}.`);
    })
    .filter((address) => familyOf(address) === family);
}

function sourceRanges(service: Pick<ServiceObject, 'metadata' | 'spec'>, family: IpFamily): string[] {
  return (service.spec.loadBalancerSourceRanges ?? [])
    .map((text) => {
      const block = canonicalCidr(text.trim());
      if (block !== undefined) return block;
      const field = '"spec.loadBalancerSourceRanges"';
      throw new InputError(`${field} of Service ${objectKey(service)} must be CIDR blocks, got ${quote(text)}.`);
    })
    .filter((block) => familyOfCidr(block) === family);
}
