/**
 * Services of manifests as the API server would store them, whole: both families, every type and protocol. What the manifests leave
 * open (cluster IPs, node ports, health-check ports) is chosen by name, the IPv4 parts as in manifest-services.ts.
 */
import { parseIpv4 } from '../model/address.ts';
import { canonicalIp, cidrContainsIp, familyOf, isLoopbackIp } from '../model/ip-text.ts';
import { formatIpv4 } from '../model/address.ts';
import { allocate } from './allocate.ts';
import { quote } from './errors.ts';
import { objectName } from './manifest-objects.ts';
import { assignPorts, checkAddresses } from './manifest-service-extras.ts';
import { assignClusterIp, isHeadless } from './manifest-services.ts';
import type { IpFamily } from '../model/service-config.ts';
import type { KubernetesObject } from './manifest-objects.ts';
import type { GivenPort } from './manifest-ports.ts';
import type { ServiceObject as ManifestService } from './manifest-schema.ts';
import type { ServiceObject } from './proxy-object-schema.ts';
import type { Path } from './source.ts';

type Service = KubernetesObject<ManifestService>;

/** A Service with service ports, complete. */
export interface StoredService {
  readonly source: Service;
  readonly object: ServiceObject;
  readonly ports: readonly GivenPort[];
  readonly families: readonly IpFamily[];
}

/** What was decided for the reader of a dump to know: one sentence each. */
export interface ReadingNotes {
  readonly notes: string[];
  /** Addresses and ports that nobody gave. */
  readonly assigned: string[];
}

// kind's range of IPv6 Services; the first 256 are left to people, as in the IPv4 range.
const IPV6_SERVICES = 'fd00:10:96::/112';
const FIRST_ASSIGNED_IPV6 = 0x101;
const ASSIGNED_IPV6 = 0xffff - FIRST_ASSIGNED_IPV6;

/** Services with service ports in the given order; headless and ExternalName ones are noted and left out. */
export function storeServices(services: readonly Service[], said: ReadingNotes): StoredService[] {
  noteLeftOut(services, said.notes);
  const kept = services.filter((service) => !isHeadless(service));
  for (const service of kept) checkAddresses(service);
  const clusterIps = new ClusterIps(kept);
  const assigned = assignPorts(kept, said.notes);
  return [...assigned].map(([service, { ports, healthCheckNodePort }]) => {
    const ips = clusterIps.of(service);
    noteAssigned(service, ips, ports, healthCheckNodePort, said.assigned);
    const object = storedObject(service, ips, ports, healthCheckNodePort);
    return { source: service, object, ports, families: ips.map((ip) => familyOf(ip) ?? 'IPv4') };
  });
}

function noteLeftOut(services: readonly Service[], notes: string[]): void {
  for (const service of services) {
    if (!isHeadless(service)) continue;
    const what = service.data.spec.type === 'ExternalName' ? 'of type ExternalName' : 'headless';
    notes.push(`Service ${objectName(service)} is ${what}; kube-proxy makes no rules for it.`);
  }
}

/** Cluster IPs of all Services: the given ones first, so that an assigned one never takes a given one's place. */
class ClusterIps {
  readonly #given = new Map<Service, readonly string[]>();
  readonly #taken = { IPv4: new Set<number>(), IPv6: new Set<number>() };

  constructor(services: readonly Service[]) {
    const owners = new Map<string, Service>();
    for (const service of services) {
      const given = givenClusterIps(service);
      for (const { ip, path } of given) {
        const owner = owners.get(ip);
        if (owner !== undefined) {
          throw service.error(
            `The clusterIP ${ip} of Service ${objectName(service)} is already that of ${objectName(owner)} (${owner.place}).`,
            path,
          );
        }
        owners.set(ip, service);
        this.#take(ip);
      }
      this.#given.set(
        service,
        given.map(({ ip }) => ip),
      );
    }
  }

  /** The Service's own family first. */
  of(service: Service): string[] {
    const given = this.#given.get(service) ?? [];
    const families = familiesOf(service, given);
    return families.map((family) => given.find((ip) => familyOf(ip) === family) ?? this.#assign(service, family));
  }

  #take(ip: string): void {
    const ipv4 = parseIpv4(ip);
    if (ipv4 !== undefined) this.#taken.IPv4.add(ipv4);
    else if (cidrContainsIp(IPV6_SERVICES, ip)) this.#taken.IPv6.add(Number.parseInt(ip.split('::')[1] || '0', 16));
  }

  #assign(service: Service, family: IpFamily): string {
    if (family === 'IPv4') return formatIpv4(assignClusterIp(service, this.#taken.IPv4));
    const number = allocate(objectName(service), FIRST_ASSIGNED_IPV6, ASSIGNED_IPV6, this.#taken.IPv6);
    if (number === undefined) throw service.error(`No cluster IP of ${IPV6_SERVICES} is left.`, []);
    this.#taken.IPv6.add(number);
    return `${IPV6_SERVICES.split('/')[0]}${number.toString(16)}`;
  }
}

interface GivenIp {
  readonly ip: string;
  readonly path: Path;
}

/** At most one of each family. */
function givenClusterIps(service: Service): GivenIp[] {
  const { clusterIP, clusterIPs } = service.data.spec;
  const written = [
    { text: clusterIP, path: ['spec', 'clusterIP'] },
    ...(clusterIPs ?? []).map((text, i) => ({ text, path: ['spec', 'clusterIPs', i] })),
  ];
  const found: GivenIp[] = [];
  for (const { text, path } of written) {
    if (typeof text !== 'string' || text === '') continue;
    const name = `The clusterIP of Service ${objectName(service)}`;
    const ip = canonicalIp(text);
    if (ip === undefined) {
      throw service.error(`${name} must be an IP address, "None" or "", got ${quote(text)}.`, path);
    }
    if (!isUnicast(ip)) throw service.error(`${name} must be an ordinary unicast address, got ${quote(text)}.`, path);
    if (found.some((other) => other.ip === ip)) continue;
    if (found.some((other) => familyOf(other.ip) === familyOf(ip))) {
      throw service.error(`${name} of ${familyOf(ip) ?? 'a family'} is given twice; one has to go.`, path);
    }
    found.push({ ip, path });
  }
  return found;
}

function isUnicast(ip: string): boolean {
  if (isLoopbackIp(ip) || ip === '::') return false;
  return !['0.0.0.0/8', '224.0.0.0/3', 'ff00::/8'].some((block) => cidrContainsIp(block, ip));
}

/** As the API server chooses them on a cluster of both families (pkg/registry/core/service/storage alloc.go). */
function familiesOf(service: Service, given: readonly string[]): IpFamily[] {
  const { ipFamilies, ipFamilyPolicy } = service.data.spec;
  const families: IpFamily[] = [];
  const add = (family: IpFamily | undefined): void => {
    if (family !== undefined && !families.includes(family)) families.push(family);
  };
  for (const ip of given) add(familyOf(ip));
  for (const family of ipFamilies ?? []) add(family);
  if (families.length === 0) add('IPv4');
  if (ipFamilyPolicy === 'PreferDualStack' || ipFamilyPolicy === 'RequireDualStack') {
    add('IPv4');
    add('IPv6');
  }
  return families;
}

function storedObject(
  service: Service,
  clusterIPs: readonly string[],
  ports: readonly GivenPort[],
  healthCheckNodePort: number,
): ServiceObject {
  const { spec, status, metadata } = service.data;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: service.name, namespace: service.namespace, labels: metadata.labels },
    spec: {
      ...spec,
      clusterIP: clusterIPs[0],
      clusterIPs: [...clusterIPs],
      ports: ports.map(({ name, protocol, port, nodePort }) => ({ name, protocol, port, nodePort })),
      healthCheckNodePort,
    },
    status,
  };
}

function noteAssigned(
  service: Service,
  ips: readonly string[],
  ports: readonly GivenPort[],
  healthCheckNodePort: number,
  assigned: string[],
): void {
  const { spec } = service.data;
  const given = givenClusterIps(service).map(({ ip }) => ip);
  const parts = ips.filter((ip) => !given.includes(ip)).map((ip) => `cluster IP ${ip}`);
  for (const { index, port, protocol, nodePort } of ports) {
    if (nodePort === 0 || ((spec.ports ?? [])[index].nodePort ?? 0) !== 0) continue;
    parts.push(`node port ${nodePort} for ${port}/${protocol}`);
  }
  if (healthCheckNodePort !== (spec.healthCheckNodePort ?? 0) && healthCheckNodePort !== 0) {
    parts.push(`health-check node port ${healthCheckNodePort}`);
  }
  if (parts.length > 0) assigned.push(`Service ${objectName(service)}: ${parts.join(', ')}`);
}
