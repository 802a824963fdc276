/** Services as the API server stores them: cluster IPs and node ports given or assigned, defaults filled in, clashes refused. */
import { formatIpv4, parseIpv4 } from '../model/address.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../model/protocol.ts';
import type { Protocol } from '../model/protocol.ts';
import { allocate } from './allocate.ts';
import { quote } from './errors.ts';
import { objectName } from './manifest-objects.ts';
import type { KubernetesObject } from './manifest-objects.ts';
import type { ServiceObject } from './manifest-schema.ts';

export interface CompleteService {
  readonly object: KubernetesObject<ServiceObject>;
  readonly clusterIp: number;
  readonly ports: readonly CompletePort[];
}

export interface CompletePort {
  /** Index in `spec.ports`. */
  readonly index: number;
  /** Empty when unnamed. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly targetPort: number | string;
  /** 0 when there is none. */
  readonly nodePort: number;
}

type Service = KubernetesObject<ServiceObject>;
type PortObject = NonNullable<ServiceObject['spec']['ports']>[number];

// The API server hands out addresses of the range 10.96.0.0/12 from above its first 256, and node ports from above the
// first 86, while they last: the lower bands are kept for addresses and ports that people choose.
const FIRST_ASSIGNED_IP = 0x0a600101;
const ASSIGNED_IPS = (1 << 20) - 0x102;
const FIRST_NODE_PORT = 30000;
const LAST_NODE_PORT = 32767;
const NODE_PORT_STATIC_BAND = 86;

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
    const clusterIp = given.get(service) ?? allocate(objectName(service), FIRST_ASSIGNED_IP, ASSIGNED_IPS, taken);
    if (clusterIp === undefined) throw service.error('No cluster IP of 10.96.0.0/12 is left.', []);
    taken.add(clusterIp);
    return { object: service, clusterIp, ports: completePorts(service, nodePorts) };
  });
}

function isHeadless(service: Service): boolean {
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

function completePorts(service: Service, nodePorts: NodePorts): CompletePort[] {
  const ports = service.data.spec.ports ?? [];
  const name = objectName(service);
  if (ports.length === 0)
    throw service.error(`Service ${name} has no "ports"; the API server wants at least one.`, ['spec']);
  const names = new Set<string>();
  const numbers = new Set<string>();
  const complete: CompletePort[] = [];
  for (let index = 0; index < ports.length; index++) {
    const port = ports[index];
    const path = ['spec', 'ports', index];
    const portName = port.name ?? '';
    if (portName === '' && ports.length > 1)
      throw service.error(`A port of Service ${name} has no name; with several ports each needs one.`, path);
    if (names.has(portName))
      throw service.error(`The port name ${quote(portName)} stands twice in Service ${name}.`, [...path, 'name']);
    names.add(portName);
    const protocol = port.protocol ?? 'TCP';
    const key = `${protocol} ${port.port}`;
    if (numbers.has(key))
      throw service.error(`The port ${port.port}/${protocol} stands twice in Service ${name}.`, [...path, 'port']);
    numbers.add(key);
    if (protocol === 'SCTP') continue;
    complete.push({
      index,
      name: portName,
      protocol: protocol === 'TCP' ? PROTOCOL_TCP : PROTOCOL_UDP,
      port: port.port,
      targetPort: port.targetPort ?? port.port,
      nodePort: nodePorts.of(service, index),
    });
  }
  return complete;
}

function hasNodePorts(service: Service): boolean {
  const { type, allocateLoadBalancerNodePorts } = service.data.spec;
  return type === 'NodePort' || (type === 'LoadBalancer' && allocateLoadBalancerNodePorts !== false);
}

/** Node ports of all services: the given ones first, so that an assigned one never takes a given one's place. */
class NodePorts {
  readonly #owners = new Map<string, Service>();
  readonly #taken = { TCP: new Set<number>(), UDP: new Set<number>(), SCTP: new Set<number>() };

  constructor(services: readonly Service[], warnings: string[]) {
    for (const service of services) {
      (service.data.spec.ports ?? []).forEach((port, index) => this.#reserve(service, port, index, warnings));
    }
  }

  #reserve(service: Service, port: PortObject, index: number, warnings: string[]): void {
    const nodePort = port.nodePort ?? 0;
    if (nodePort === 0) return;
    const path = ['spec', 'ports', index, 'nodePort'];
    const name = objectName(service);
    const { type } = service.data.spec;
    if (type !== 'NodePort' && type !== 'LoadBalancer') {
      throw service.error(
        `Service ${name} has a nodePort and is of type ${type ?? 'ClusterIP'}; expected type NodePort or LoadBalancer.`,
        path,
      );
    }
    const protocol = port.protocol ?? 'TCP';
    const key = `${nodePort}/${protocol}`;
    const owner = this.#owners.get(key);
    if (owner !== undefined) {
      throw service.error(
        `The nodePort ${key} of Service ${name} is already that of ${objectName(owner)} (${owner.place}).`,
        path,
      );
    }
    if (nodePort < FIRST_NODE_PORT || nodePort > LAST_NODE_PORT) {
      warnings.push(
        `The nodePort ${nodePort} of Service ${name} is outside 30000-32767, the API server's default range; it is taken as it is.`,
      );
    }
    this.#owners.set(key, service);
    this.#taken[protocol].add(nodePort);
  }

  of(service: Service, index: number): number {
    const port = (service.data.spec.ports ?? [])[index];
    const given = port.nodePort ?? 0;
    if (given !== 0 || !hasNodePorts(service)) return given;
    const taken = this.#taken[port.protocol ?? 'TCP'];
    const key = `${objectName(service)}:${port.name ?? ''}`;
    const first = FIRST_NODE_PORT + NODE_PORT_STATIC_BAND;
    const chosen =
      allocate(key, first, LAST_NODE_PORT - first + 1, taken) ??
      allocate(key, FIRST_NODE_PORT, NODE_PORT_STATIC_BAND, taken);
    if (chosen === undefined) throw service.error('No node port of 30000-32767 is left.', ['spec', 'ports', index]);
    taken.add(chosen);
    return chosen;
  }
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
