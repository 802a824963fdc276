/** Services as the API server stores them: cluster IPs and node ports given or assigned, defaults filled in, clashes refused. */
import { formatIpv4, parseIpv4 } from '../model/address.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../model/protocol.ts';
import type { Protocol } from '../model/protocol.ts';
import { allocate } from './allocate.ts';
import { quote } from './errors.ts';
import { objectName } from './manifest-objects.ts';
import type { KubernetesObject } from './manifest-objects.ts';
import { completePorts, NodePorts } from './manifest-ports.ts';
import type { GivenPort } from './manifest-ports.ts';
import type { ServiceObject } from './manifest-schema.ts';

export interface CompleteService {
  readonly object: KubernetesObject<ServiceObject>;
  readonly clusterIp: number;
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
  for (const service of modelled) warnOfFeatures(service, warnings);
  const nodePorts = new NodePorts(modelled, warnings);
  const taken = new Set(owners.keys());
  return modelled.map((service) => {
    const clusterIp = given.get(service) ?? assignClusterIp(service, taken);
    return { object: service, clusterIp, ports: completePorts(service, nodePorts).flatMap(modelledPort) };
  });
}

function modelledPort(port: GivenPort): CompletePort[] {
  if (port.protocol === 'SCTP') return [];
  return [{ ...port, protocol: port.protocol === 'TCP' ? PROTOCOL_TCP : PROTOCOL_UDP }];
}

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

/** One warning for each feature that the engines do not model yet, saying what is done instead. */
function warnOfFeatures(service: Service, warnings: string[]): void {
  const { spec, status } = service.data;
  const say = (text: string) => warnings.push(`Service ${objectName(service)}: ${text}`);
  if (spec.sessionAffinity === 'ClientIP') {
    say('sessionAffinity ClientIP is not modelled; every connection chooses an endpoint anew.');
  }
  if (spec.externalTrafficPolicy === 'Local')
    say('externalTrafficPolicy Local is not modelled; it is treated as Cluster.');
  if (spec.internalTrafficPolicy === 'Local')
    say('internalTrafficPolicy Local is not modelled; it is treated as Cluster.');
  if ((spec.externalIPs ?? []).length > 0) say('externalIPs are not modelled; no rules are made for them.');
  if ((status?.loadBalancer?.ingress ?? []).some((ingress) => typeof ingress.ip === 'string')) {
    say('ingress addresses of the load balancer are not modelled; only its ClusterIP and node ports are.');
  }
  if ((spec.loadBalancerSourceRanges ?? []).length > 0)
    say('loadBalancerSourceRanges are not modelled; no source is refused.');
  if (typeof spec.trafficDistribution === 'string') {
    say(`trafficDistribution ${spec.trafficDistribution} is not modelled; endpoints of all zones are used.`);
  }
  const addresses = (spec.clusterIPs ?? []).filter((text) => text.includes(':'));
  if (addresses.length > 0) say('its IPv6 ClusterIP is not modelled; only the IPv4 one is.');
  for (const port of spec.ports ?? []) {
    if (port.protocol === 'SCTP') say(`SCTP is not modelled; port ${port.port} is skipped.`);
  }
}
