/**
 * The Services and EndpointSlices that a kube-proxy has seen, and which Services a batch of events touched (kube-proxy
 * pkg/proxy/servicechangetracker.go, endpointschangetracker.go): what a partial sync must rewrite.
 */
import { canonicalIp, familyOf } from '../model/ip-text.ts';
import { objectKey, serviceConfigs, serviceOfSlice } from './service-config.ts';
import type { ServicePortConfig } from '../model/service-config.ts';
import type { ProxyViewpoint, ServiceObject, SliceObject } from './service-config.ts';

export class ProxyObjects {
  readonly #viewpoint: ProxyViewpoint;
  readonly #services = new Map<string, ServiceObject>();
  readonly #slices = new Map<string, SliceObject>();
  /** What kube-proxy compares, as text, when changes were last taken: by `ns/name` of the Service. */
  #seen: ReadonlyMap<string, string> = new Map();

  constructor(viewpoint: ProxyViewpoint) {
    this.#viewpoint = viewpoint;
  }

  /** Adds an object, or replaces the one of the same kind and name. */
  apply(object: ServiceObject | SliceObject): void {
    if (object.kind === 'Service') this.#services.set(objectKey(object), object);
    else this.#slices.set(objectKey(object), object);
  }

  /** `key` is `ns/name`. False when there is no such object. */
  delete(kind: 'Service' | 'EndpointSlice', key: string): boolean {
    return kind === 'Service' ? this.#services.delete(key) : this.#slices.delete(key);
  }

  services(): readonly ServiceObject[] {
    return [...this.#services.values()];
  }

  configs(): ServicePortConfig[] {
    return serviceConfigs([...this.#services.values()], [...this.#slices.values()], this.#viewpoint);
  }

  /** `ns/name` of Services that differ for kube-proxy from what they were at the last call; at the first call, all. */
  takeChanges(): ReadonlySet<string> {
    const now = this.#relevantContent();
    const before = this.#seen;
    this.#seen = now;
    const names = [...new Set([...before.keys(), ...now.keys()])];
    return new Set(names.filter((name) => before.get(name) !== now.get(name)));
  }

  #relevantContent(): Map<string, string> {
    const content = new Map<string, string>();
    const add = (service: string, text: string): void =>
      void content.set(service, `${content.get(service) ?? ''}${text}\n`);
    for (const config of serviceConfigs([...this.#services.values()], [], this.#viewpoint)) {
      add(`${config.namespace}/${config.name}`, JSON.stringify(config));
    }
    for (const key of [...this.#slices.keys()].sort((a, b) => (a < b ? -1 : 1))) {
      const slice = this.#slices.get(key);
      const service = slice === undefined ? undefined : serviceOfSlice(slice);
      if (slice === undefined || service === undefined || !this.#isOfFamily(slice)) continue;
      add(service, `${key} ${relevantOfSlice(slice)}`);
    }
    return content;
  }

  /** A slice of the other family is another proxier's business. */
  #isOfFamily(slice: SliceObject): boolean {
    if (slice.addressType === 'IPv4' || slice.addressType === 'IPv6') {
      return slice.addressType === this.#viewpoint.ipFamily;
    }
    const first = slice.endpoints?.[0]?.addresses[0];
    return first === undefined || familyOf(first) === this.#viewpoint.ipFamily;
  }
}

/** Ports, addresses, node, zone, hints and the three conditions: nothing else of a slice causes a sync. */
function relevantOfSlice(slice: SliceObject): string {
  const ports = (slice.ports ?? []).map((port) => [port.name ?? '', port.protocol ?? 'TCP', port.port ?? 0]);
  const endpoints = (slice.endpoints ?? []).map((endpoint) => [
    endpoint.addresses.map((address) => canonicalIp(address) ?? address),
    endpoint.nodeName ?? null,
    endpoint.zone ?? null,
    (endpoint.hints?.forZones ?? []).map((zone) => zone.name),
    (endpoint.hints?.forNodes ?? []).map((node) => node.name),
    endpoint.conditions?.ready ?? true,
    endpoint.conditions?.serving ?? true,
    endpoint.conditions?.terminating ?? false,
  ]);
  return JSON.stringify([ports, endpoints]);
}
