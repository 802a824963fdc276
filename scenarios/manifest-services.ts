/** Services as the API server stores them: cluster IPs and node ports given or assigned, defaults filled in, clashes refused. */
import { formatIpv4, parseIpv4 } from '../model/address.ts';
import type { ServiceExtras } from '../model/cluster.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../model/protocol.ts';
import type { Protocol } from '../model/protocol.ts';
import { TRAFFIC_DISTRIBUTIONS, trafficDistribution } from '../model/topology-hints.ts';
import { allocate } from './allocate.ts';
import { didYouMean, quote } from './errors.ts';
import { objectName } from './manifest-objects.ts';
import type { KubernetesObject } from './manifest-objects.ts';
import type { GivenPort, ProtocolName } from './manifest-ports.ts';
import type { ServiceObject } from './manifest-schema.ts';
import { assignPorts, checkAddresses, typedExtras } from './manifest-service-extras.ts';

export interface CompleteService {
  readonly object: KubernetesObject<ServiceObject>;
  readonly clusterIp: number;
  /** Absent for a plain Service. */
  readonly extras: ServiceExtras | undefined;
  readonly ports: readonly CompletePort[];
}

export interface CompletePort extends Omit<GivenPort, 'protocol'> {
  readonly protocol: Protocol;
}

type Service = KubernetesObject<ServiceObject>;

// The API server hands out addresses of the range 10.96.0.0/12 from above its first 256, while they last: the lower band is
// kept for addresses that people choose.
const FIRST_ASSIGNED_IP = 0x0a600101;
const ASSIGNED_IPS = (1 << 20) - 0x102;

/** Services with a ClusterIP of IPv4, in byte order of (namespace, name). Headless and ExternalName ones are left out, as kube-proxy does. */
export function completeServices(services: readonly Service[], warnings: string[]): CompleteService[] {
  const seen = services.filter((service) => !isHeadless(service));
  const given = new Map<Service, number>();
  const owners = new Map<number, Service>();
  const skipped = new Set<Service>();
  for (const service of seen) {
    const address = givenClusterIp(service);
    if (address === 'ipv6') {
      warnings.push(
        `Service ${objectName(service)} has only an IPv6 ClusterIP; IPv6 is not modelled, the Service is left out.`,
      );
      skipped.add(service);
    } else if (address !== undefined) {
      const owner = owners.get(address);
      if (owner !== undefined) {
        const text = formatIpv4(address);
        throw service.error(
          `The clusterIP ${text} of Service ${objectName(service)} is already that of ${objectName(owner)} (${owner.place}).`,
          ['spec', 'clusterIP'],
        );
      }
      owners.set(address, service);
      given.set(service, address);
    }
  }
  const modelled = seen.filter((service) => !skipped.has(service));
  for (const service of modelled) {
    checkAddresses(service);
    warnOfFeatures(service, warnings);
  }
  const taken = new Set(owners.keys());
  return [...assignPorts(modelled, warnings)].map(([service, { ports, healthCheckNodePort }]) => ({
    object: service,
    clusterIp: given.get(service) ?? assignClusterIp(service, taken),
    extras: typedExtras(service, healthCheckNodePort),
    ports: ports.map((port) => ({ ...port, protocol: PROTOCOLS[port.protocol] })),
  }));
}

/** The kernel's numbers of the protocols that the API knows. */
export const PROTOCOLS: Readonly<Record<ProtocolName, Protocol>> = {
  TCP: PROTOCOL_TCP,
  UDP: PROTOCOL_UDP,
  SCTP: PROTOCOL_SCTP,
};

/** The API server's choice of an IPv4 address, which is then taken. */
export function assignClusterIp(service: Service, taken: Set<number>): number {
  const clusterIp = allocate(objectName(service), FIRST_ASSIGNED_IP, ASSIGNED_IPS, taken);
  if (clusterIp === undefined) throw service.error('No cluster IP of 10.96.0.0/12 is left.', []);
  taken.add(clusterIp);
  return clusterIp;
}

export function isHeadless(service: Service): boolean {
  const { type, clusterIP, clusterIPs } = service.data.spec;
  return type === 'ExternalName' || clusterIP === 'None' || clusterIPs?.[0] === 'None';
}

function givenClusterIp(service: Service): number | 'ipv6' | undefined {
  const { clusterIP, clusterIPs } = service.data.spec;
  const written = [clusterIP, ...(clusterIPs ?? [])].filter((text) => typeof text === 'string' && text !== '');
  let sawIpv6 = false;
  for (let i = 0; i < written.length; i++) {
    const text = written[i] as string;
    const address = parseIpv4(text);
    if (address === undefined && /^[0-9a-fA-F:]*:[0-9a-fA-F:.]*$/.test(text)) {
      sawIpv6 = true;
      continue;
    }
    const path = text === clusterIP ? ['spec', 'clusterIP'] : ['spec', 'clusterIPs'];
    if (address === undefined) {
      throw service.error(
        `The clusterIP of Service ${objectName(service)} must be an IP address, "None" or "", got ${quote(text)}.`,
        path,
      );
    }
    const first = address >>> 24;
    if (first === 0 || first === 127 || first >= 224) {
      throw service.error(
        `The clusterIP of Service ${objectName(service)} must be an ordinary unicast address, got ${quote(text)}.`,
        path,
      );
    }
    return address;
  }
  return sawIpv6 ? 'ipv6' : undefined;
}

/** One warning for each feature that is not modelled, saying what is done instead. */
function warnOfFeatures(service: Service, warnings: string[]): void {
  const { spec, status } = service.data;
  const say = (text: string) => warnings.push(`Service ${objectName(service)}: ${text}`);
  const { trafficDistribution: distribution } = spec;
  if (typeof distribution === 'string' && trafficDistribution(distribution) === undefined) {
    const known = `Expected one of ${TRAFFIC_DISTRIBUTIONS.join(', ')}.`;
    const hint = didYouMean(distribution, TRAFFIC_DISTRIBUTIONS);
    say(`trafficDistribution ${quote(distribution)} is not known; endpoints of all zones are used. ${known}${hint}`);
  }
  if ((spec.clusterIPs ?? []).some((text) => text.includes(':'))) {
    say('its IPv6 ClusterIP is not modelled; only the IPv4 one is.');
  }
  const others = [
    ...(spec.externalIPs ?? []),
    ...(status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (typeof ip === 'string' ? [ip] : [])),
    ...(spec.loadBalancerSourceRanges ?? []),
  ].filter((text) => text.includes(':') && !/^::ffff:[\d.]+/i.test(text.trim()));
  if (others.length > 0) say(`${others.map(quote).join(', ')}: IPv6 is not modelled; only IPv4 is.`);
}
