/** The connections of a trial, one after the other in order of time. The same for every engine: its streams know only the seed. */
import type { Cidr } from '../model/address.ts';
import { formatCidr } from '../model/address.ts';
import type { ServicePort } from '../model/cluster.ts';
import { ORIGIN_EXTERNAL, ORIGIN_HOST, ORIGIN_POD } from '../model/packet.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import type { SimTime } from '../model/time.ts';
import { NS_PER_S } from '../model/time.ts';
import { constant, empirical, exponential, lognormal, pareto, zipf } from '../sim/distributions.ts';
import type { Distribution } from '../sim/distributions.ts';
import type { RandomStream, Rng } from '../sim/rng.ts';
import type { BuiltCluster } from './cluster-builder.ts';
import { InputError, quote } from './errors.ts';
import { CLIENT_PORT_LIMIT, EXTERNAL_CLIENT_LIMIT } from './schema.ts';
import { findServicePorts } from './service-lookup.ts';
import type { DistributionSpec, TrafficSpec } from './spec.ts';
import { dnsTargets } from './to-dns.ts';

/** Linux' default net.ipv4.ip_local_port_range. */
const FIRST_CLIENT_PORT = 32768;
/** TEST-NET-3 and TEST-NET-2 (RFC 5737), hosts 1 to 254 of each. */
const EXTERNAL_BLOCKS = [0xcb007100, 0xc6336400] as const;
/** A heavy-tailed draw is cut here: longer connections would only be a memory leak. */
const PACKET_LIMIT = 1_000_000;
const GAP_LIMIT_NS = 1e15;

export function toDistribution(spec: DistributionSpec): Distribution {
  switch (spec.kind) {
    case 'constant':
      return constant(spec.value);
    case 'exponential':
      return exponential(spec.mean);
    case 'lognormal':
      return lognormal(spec.median, spec.sigma);
    case 'pareto':
      return pareto(spec.scale, spec.shape);
    case 'empirical':
      return empirical(spec.values, spec.weights);
  }
}

/** Service ports, one of which each connection goes to. */
class Popularity {
  readonly #targets: readonly ServicePort[];
  readonly #stream: RandomStream;
  readonly #ranks: Distribution | undefined;

  constructor(targets: readonly ServicePort[], spec: TrafficSpec['popularity'], stream: RandomStream) {
    this.#targets = targets;
    this.#stream = stream;
    this.#ranks = spec.kind === 'zipf' && targets.length > 0 ? zipf(targets.length, spec.exponent) : undefined;
  }

  next(): ServicePort {
    const targets = this.#targets;
    const index = this.#ranks === undefined ? this.#stream.below(targets.length) : this.#ranks.next(this.#stream);
    return targets[index];
  }
}

/** `next` fills the fields with a new connection and returns true, until all are given out. */
export class ConnectionSource {
  startNs: SimTime = 0;
  clientAddress = 0;
  clientPort = 0;
  origin: number = ORIGIN_POD;
  protocol: number = PROTOCOL_TCP;
  dstAddress = 0;
  dstPort = 0;
  servicePortId = -1;
  /** Packets of the connection, both directions together. */
  packets = 1;
  /** Number of the client: whose ports it takes. */
  client = 0;

  readonly #spec: TrafficSpec;
  readonly #nodeAddress: number;
  readonly #pods: Uint32Array;
  /** Next port of each client: the pods, then the node, then the outside. */
  readonly #ports: Uint16Array;
  /** Where each client's ports began, and how many it has taken for retries: those go downwards from there. */
  readonly #firstPorts: Uint16Array;
  readonly #retryPorts: Uint16Array;
  readonly #portCount: number;
  readonly #clusterTargets: Popularity;
  /** What comes from outside: the share of connections up to which (from 0) it takes this way, and where it leads. */
  readonly #waysIn: readonly WayIn[];
  readonly #arrivals: RandomStream;
  readonly #origins: RandomStream;
  readonly #clients: RandomStream;
  readonly #packetStream: RandomStream;
  readonly #gapStream: RandomStream;
  readonly #interval: Distribution;
  readonly #packetCount: Distribution;
  readonly #gap: Distribution;
  #clock = 0;
  #made = 0;

  constructor(spec: TrafficSpec, cluster: BuiltCluster, rng: Rng) {
    this.#spec = spec;
    this.#nodeAddress = cluster.node.addresses[0];
    this.#pods = clientPods(spec.clientPods, cluster);
    const targets = trafficTargets(spec, cluster);
    this.#clusterTargets = new Popularity(targets, spec.popularity, rng.stream('traffic/popularity'));
    this.#waysIn = waysIn(spec, targets, rng);
    this.#arrivals = rng.stream('traffic/arrivals');
    this.#origins = rng.stream('traffic/origins');
    this.#clients = rng.stream('traffic/clients');
    this.#packetStream = rng.stream('traffic/packets');
    this.#gapStream = rng.stream('traffic/gaps');
    this.#interval = exponential(NS_PER_S / spec.connectionsPerSecond);
    this.#packetCount = toDistribution(spec.packetsPerConnection);
    this.#gap = toDistribution(spec.packetGapSeconds);
    const ports = rng.stream('traffic/ports');
    this.#ports = new Uint16Array(this.#pods.length + 1 + EXTERNAL_CLIENT_LIMIT);
    this.#portCount = spec.clientPorts ?? CLIENT_PORT_LIMIT;
    for (let i = 0; i < this.#ports.length; i++) this.#ports[i] = ports.below(CLIENT_PORT_LIMIT) % this.#portCount;
    this.#firstPorts = this.#ports.slice();
    this.#retryPorts = new Uint16Array(this.#ports.length);
  }

  /** The port after this one, in the ring of ports that a client uses. */
  followingPort(port: number): number {
    return FIRST_CLIENT_PORT + ((port - FIRST_CLIENT_PORT + 1) % this.#portCount);
  }

  /** A port for a retry. It is not taken from those of connections to come, which every engine meets alike. */
  retryPort(client: number): number {
    const count = this.#portCount;
    const taken = (this.#retryPorts[client] + 1) % count;
    this.#retryPorts[client] = taken;
    return FIRST_CLIENT_PORT + ((this.#firstPorts[client] - taken + count) % count);
  }

  next(): boolean {
    if (this.#made >= this.#spec.connections) return false;
    this.#made++;
    this.#clock += this.#interval.next(this.#arrivals);
    this.startNs = Math.floor(this.#clock);
    this.packets = Math.min(PACKET_LIMIT, Math.max(1, Math.floor(this.#packetCount.next(this.#packetStream) + 0.5)));
    // Every connection takes its draws whatever its origin, so that a ratio changes connections and not the streams.
    const share = this.#origins.nextFloat();
    const client = this.#clients.nextFloat();
    const target = this.#clusterTargets.next();
    const wayIn = this.#wayIn(share);
    if (wayIn !== undefined) this.#fromOutside(client, wayIn);
    else if (share >= 1 - this.#spec.hostClientRatio) this.#fromHost(target);
    else this.#fromPod(client, target);
    return true;
  }

  /** One draw of the time between two packets of a connection, in ns. */
  gapNs(): SimTime {
    return Math.min(GAP_LIMIT_NS, Math.max(0, Math.floor(this.#gap.next(this.#gapStream) * NS_PER_S + 0.5)));
  }

  #wayIn(share: number): WayIn | undefined {
    for (const way of this.#waysIn) if (share < way.upTo) return way;
    return undefined;
  }

  #fromPod(client: number, target: ServicePort): void {
    const pod = Math.floor(client * this.#pods.length);
    this.#fill(ORIGIN_POD, this.#pods[pod], pod, target, target.clusterIp, target.port);
  }

  #fromHost(target: ServicePort): void {
    this.#fill(ORIGIN_HOST, this.#nodeAddress, this.#pods.length, target, target.clusterIp, target.port);
  }

  #fromOutside(client: number, { kind, targets }: WayIn): void {
    const target = targets.next();
    const number = Math.floor(client * this.#spec.externalClients);
    const block = EXTERNAL_BLOCKS[Math.floor(number / 254)] as number;
    const address = block + 1 + (number % 254);
    const walker = this.#pods.length + 1 + number;
    if (kind === 'nodePort') {
      this.#fill(ORIGIN_EXTERNAL, address, walker, target, this.#nodeAddress, target.nodePort);
      return;
    }
    // One address a client, so that a client that comes back comes back to it.
    const addresses = addressesFromOutside(target, kind);
    this.#fill(ORIGIN_EXTERNAL, address, walker, target, addresses[number % addresses.length], target.port);
  }

  #fill(origin: number, address: number, walker: number, target: ServicePort, dst: number, dstPort: number): void {
    const port = this.#ports[walker];
    this.#ports[walker] = (port + 1) % this.#portCount;
    this.client = walker;
    this.origin = origin;
    this.clientAddress = address;
    this.clientPort = FIRST_CLIENT_PORT + port;
    this.protocol = target.protocol;
    this.dstAddress = dst;
    this.dstPort = dstPort;
    this.servicePortId = target.id;
  }
}

type WayInKind = 'nodePort' | 'loadBalancer' | 'externalIp';

interface WayIn {
  readonly kind: WayInKind;
  readonly upTo: number;
  readonly targets: Popularity;
}

/** Ways in that no service has are left out: their share comes from pods. */
function waysIn(spec: TrafficSpec, targets: readonly ServicePort[], rng: Rng): WayIn[] {
  const kinds = [
    { kind: 'nodePort', ratio: spec.nodePortRatio, stream: 'traffic/node-port-popularity' },
    { kind: 'loadBalancer', ratio: spec.loadBalancerRatio, stream: 'traffic/load-balancer-popularity' },
    { kind: 'externalIp', ratio: spec.externalIpRatio, stream: 'traffic/external-ip-popularity' },
  ] as const;
  let upTo = 0;
  return kinds.flatMap(({ kind, ratio, stream }) => {
    const open = targets.filter((svc) => hasWayIn(svc, kind));
    if (ratio === 0 || open.length === 0) return [];
    upTo += ratio;
    return [{ kind, upTo, targets: new Popularity(open, spec.popularity, rng.stream(stream)) }];
  });
}

function addressesFromOutside(svc: ServicePort, kind: 'loadBalancer' | 'externalIp'): readonly number[] {
  return (kind === 'loadBalancer' ? svc.extras?.loadBalancerVips : svc.extras?.externalIps) ?? [];
}

export function hasWayIn(svc: ServicePort, kind: WayInKind): boolean {
  return kind === 'nodePort' ? svc.nodePort > 0 : addressesFromOutside(svc, kind).length > 0;
}

/** Each aspect has a stream of its own (`traffic/arrivals`, `traffic/popularity`, ...). Throws an InputError for a Service that is not there. */
export function planTraffic(spec: TrafficSpec, cluster: BuiltCluster, rng: Rng): ConnectionSource {
  return new ConnectionSource(spec, cluster, rng);
}

/** The service ports that get traffic. InputErrors carry the path `traffic...`. */
export function trafficTargets(spec: TrafficSpec, cluster: BuiltCluster): readonly ServicePort[] {
  const all = cluster.state.servicePorts;
  const own = spec.onlyManifestServices ? all.slice(0, cluster.manifestServicePorts) : all;
  const some = spec.dns === undefined ? own : dnsTargets(spec, spec.dns, cluster, own);
  if (some.length === 0 && spec.connections > 0) {
    throw new InputError('The cluster has no Service with a ClusterIP that traffic could go to.', {
      path: ['traffic'],
    });
  }
  if (spec.popularity.kind !== 'one') return some;
  try {
    return findServicePorts(spec.popularity.service, some).map((i) => some[i]);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const { service } = spec.popularity;
    const isHeadless = cluster.workload.headlessPorts?.some((svc) =>
      [svc.name, `${svc.namespace}/${svc.name}`].includes(service),
    );
    const message =
      spec.dns === undefined && isHeadless === true
        ? `The Service ${quote(service)} is headless: clients find its pods by name, which needs "traffic.dns".`
        : error.message;
    throw new InputError(message, { path: ['traffic', 'popularity', 'one'] });
  }
}

/** Addresses from the top of the node's block downwards, those of endpoints left out. */
function clientPods(count: number, cluster: BuiltCluster): Uint32Array {
  const block: Cidr = cluster.podBlock;
  const used = new Set<number>();
  for (const svc of cluster.state.servicePorts) {
    for (const endpoint of svc.endpoints)
      if ((endpoint.address & block.mask) >>> 0 === block.address) used.add(endpoint.address);
  }
  for (const pod of cluster.workload.pods) used.add(pod.address);
  for (const svc of cluster.workload.headlessPorts ?? []) for (const { address } of svc.endpoints) used.add(address);
  const pods = new Uint32Array(count);
  let address = block.address + (~block.mask >>> 0) - 1;
  for (let i = 0; i < count; i++) {
    while (used.has(address)) address--;
    // The block's first two addresses are the network and the bridge.
    if (address < block.address + 2) {
      throw new InputError(
        `The block ${formatCidr(block)} of node ${cluster.node.name} has room for ${i} client pods beside its endpoints, not for ${count}.`,
        { path: ['traffic', 'client_pods'] },
      );
    }
    pods[i] = address--;
  }
  return pods;
}
