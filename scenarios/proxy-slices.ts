/** EndpointSlices as kube-proxy would see them: those of the manifests, and for Services without any those that the controller would make. */
import { formatIpv4 } from '../model/address.ts';
import { canonicalIp, familyOf } from '../model/ip-text.ts';
import { distributionHints, trafficDistribution } from '../model/topology-hints.ts';
import { quote } from './errors.ts';
import { SelectorIndex } from './manifest-endpoints.ts';
import { objectName } from './manifest-objects.ts';
import type { IpFamily } from '../model/service-config.ts';
import type { KubernetesObject } from './manifest-objects.ts';
import type { CompletePod } from './manifest-pods.ts';
import type { GivenPort } from './manifest-ports.ts';
import type { EndpointSliceObject } from './manifest-schema.ts';
import type { SliceObject } from './proxy-object-schema.ts';
import type { StoredService } from './proxy-services.ts';

const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';
/** Where pods have IPv6 addresses that nobody gave: the IPv4 address in the last 32 bits. It lies in kind's range of pods. */
const IPV6_PODS = 'fd00:10:244::';

type SliceEndpoint = NonNullable<SliceObject['endpoints']>[number];

/** The slices of Services; others are noted. Throws for an address that is none, or of another family than its slice. */
export function givenSlices(
  slices: readonly KubernetesObject<EndpointSliceObject>[],
  services: ReadonlySet<string>,
  notes: string[],
): SliceObject[] {
  return slices.flatMap((slice) => {
    const name = `EndpointSlice ${objectName(slice)}`;
    const label = slice.data.metadata.labels?.[SERVICE_NAME_LABEL] ?? '';
    const { addressType } = slice.data;
    if (label === '') {
      notes.push(`${name} has no label ${SERVICE_NAME_LABEL}; it belongs to no Service and is ignored.`);
      return [];
    }
    if (!services.has(`${slice.namespace}/${label}`)) {
      notes.push(
        `${name} belongs to the Service ${slice.namespace}/${label}, which is not in the manifests; it is ignored.`,
      );
      return [];
    }
    if (addressType === 'FQDN') {
      notes.push(`${name} holds names instead of addresses; kube-proxy ignores it.`);
      return [];
    }
    checkAddresses(slice, addressType);
    return [asSlice(slice.name, slice.namespace, label, addressType, slice.data.ports, slice.data.endpoints)];
  });
}

function checkAddresses(slice: KubernetesObject<EndpointSliceObject>, family: IpFamily): void {
  (slice.data.endpoints ?? []).forEach((endpoint, i) => {
    endpoint.addresses.forEach((text, j) => {
      if (familyOf(text) === family) return;
      throw slice.error(
        `An address of EndpointSlice ${objectName(slice)} must be an ${family} address, got ${quote(text)}.`,
        ['endpoints', i, 'addresses', j],
      );
    });
  });
}

function asSlice(
  name: string,
  namespace: string,
  service: string,
  addressType: IpFamily,
  ports: SliceObject['ports'],
  endpoints: SliceObject['endpoints'],
): SliceObject {
  const metadata = { name, namespace, labels: { [SERVICE_NAME_LABEL]: service } };
  return { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata, addressType, ports, endpoints };
}

/** Slices out of selectors, for each family of a Service of which `given` has none. */
export function derivedSlices(
  services: readonly StoredService[],
  pods: readonly CompletePod[],
  given: readonly SliceObject[],
  zones: ReadonlyMap<string, string>,
  notes: string[],
): SliceObject[] {
  const index = new SelectorIndex(pods);
  const known = new Set(
    given.map(({ metadata, addressType }) => {
      const service = `${metadata.namespace ?? ''}/${metadata.labels?.[SERVICE_NAME_LABEL] ?? ''}`;
      return `${service} ${addressType ?? ''}`;
    }),
  );
  return services.flatMap((service) => {
    const name = objectName(service.source);
    const families = service.families.filter((family) => !known.has(`${name} ${family}`));
    const isGiven = families.length < service.families.length;
    const selector = service.source.data.spec.selector ?? {};
    const selected = Object.keys(selector).length === 0 ? [] : index.select(service.source.namespace, selector).pods;
    if (!isGiven) noteOfNothing(service, selected, notes);
    return families.flatMap((family) => slicesOfPods(service, family, selected, zones));
  });
}

function noteOfNothing(service: StoredService, selected: readonly CompletePod[], notes: string[]): void {
  const name = objectName(service.source);
  const pairs = Object.entries(service.source.data.spec.selector ?? {});
  if (pairs.length === 0) {
    notes.push(`Service ${name} has neither a selector nor EndpointSlices; it has no endpoints.`);
    return;
  }
  if (selected.length === 0) {
    const text = pairs.map(([key, value]) => `${key}=${value}`).join(',');
    notes.push(`The selector ${text} of Service ${name} selects no pod; it has no endpoints.`);
    return;
  }
  for (const port of service.ports) {
    if (selected.some((pod) => targetPort(port, pod) !== undefined)) continue;
    notes.push(
      `No container that Service ${name} selects has a port named ${quote(port.targetPort)} of ${port.protocol}; port ${port.port} has no endpoints.`,
    );
  }
}

/** Pods whose named ports have the same numbers share a slice (endpointslice reconciler.go reconcileByAddressType). */
function slicesOfPods(
  { source, ports }: StoredService,
  family: IpFamily,
  pods: readonly CompletePod[],
  zones: ReadonlyMap<string, string>,
): SliceObject[] {
  const groups = new Map<string, { ports: SliceObject['ports']; endpoints: SliceEndpoint[] }>();
  for (const pod of pods) {
    const addresses = addressesOf(pod).filter((address) => familyOf(address) === family);
    if (addresses.length === 0) continue;
    const own = ports.flatMap((port) => {
      const number = targetPort(port, pod);
      return number === undefined ? [] : [{ name: port.name, protocol: port.protocol, port: number }];
    });
    const key = JSON.stringify(own);
    const group = groups.get(key) ?? { ports: own, endpoints: new Array<SliceEndpoint>() };
    groups.set(key, group);
    const { spec } = source.data;
    const serving = pod.ready;
    group.endpoints.push({
      addresses: addresses.slice(0, 1),
      conditions: {
        ready: (serving && !pod.terminating) || spec.publishNotReadyAddresses === true,
        serving,
        terminating: pod.terminating,
      },
      nodeName: pod.nodeName,
      hints: hintsOf(spec.trafficDistribution ?? '', pod.nodeName, zones),
    });
  }
  return [...groups.values()].map((group, i) =>
    asSlice(
      `${source.name}-${family.toLowerCase()}-${i + 1}`,
      source.namespace,
      source.name,
      family,
      group.ports,
      group.endpoints,
    ),
  );
}

function hintsOf(distribution: string, nodeName: string, zones: ReadonlyMap<string, string>): SliceEndpoint['hints'] {
  const hints = distributionHints(trafficDistribution(distribution), nodeName, zones.get(nodeName) ?? '');
  if (hints === undefined) return undefined;
  const named = (names: readonly string[]) => names.map((name) => ({ name }));
  return { forZones: named(hints.zones), forNodes: named(hints.nodes) };
}

/** Those in its status, else the IPv4 address that it was given here and an IPv6 one made from that. */
function addressesOf(pod: CompletePod): readonly string[] {
  if (pod.givenIps !== undefined) return pod.givenIps;
  const ipv4 = formatIpv4(pod.address);
  return [ipv4, canonicalIp(`${IPV6_PODS}${ipv4}`) ?? ipv4];
}

function targetPort({ targetPort: wanted, protocol }: GivenPort, pod: CompletePod): number | undefined {
  if (typeof wanted === 'number') return wanted;
  for (const container of pod.containers) {
    for (const each of container.ports ?? []) {
      if (each.name === wanted && (each.protocol ?? 'TCP') === protocol) return each.containerPort;
    }
  }
  return undefined;
}
