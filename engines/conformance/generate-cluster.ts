/** Random small clusters and changes to them, close together on purpose: shared endpoints, colliding buckets, all conditions. */
import type { Cidr } from '../../model/address.ts';
import { parseCidr } from '../../model/address.ts';
import type { ClusterDelta, Endpoint, ServiceExtras, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import type { RandomStream } from '../../sim/rng.ts';

export const NODE_NAME = 'node-a';
export const NODE_ADDRESSES = [0xc0a80001, 0xc0a80002];
/** 10.244.0.0/16 */
export const POD_CIDR = { address: 0x0af40000, mask: 0xffff0000, prefixLength: 16 };
export const POD_NET = 0x0af40100;
export const POD_NUMBERS = [1, 2, 3, 10, 11, 100];
export const ENDPOINT_PORTS = [80, 8080, 8];
/** 203.0.113.64 and 198.51.100.0: a Service's own external IP and load-balancer address are these plus a number of its own. */
const EXTERNAL_NET = 0xcb007140;
const VIP_NET = 0xc6336400;
const FIRST_HEALTH_PORT = 31000;
const SOURCE_RANGES = [
  '203.0.113.0/24', '203.0.113.0/31', '10.244.1.0/30', '192.168.0.1/32', '192.168.0.0/24', '0.0.0.0/0', '10.0.0.0/8',
].map(cidr); // prettier-ignore
const AFFINITY_SECONDS = [0, 0, 0, 10, 60, 10_800];
const HINTS = [
  undefined,
  { zones: ['a'], nodes: [] },
  { zones: ['b'], nodes: [] },
  { zones: ['a', 'b'], nodes: ['node-a'] },
  { zones: ['a'], nodes: ['node-b'] },
];

export function chance(stream: RandomStream, oneIn: number): boolean {
  return stream.below(oneIn) === 0;
}

export function pick<T>(stream: RandomStream, values: readonly T[]): T {
  return values[stream.below(values.length)];
}

export function randomPod(stream: RandomStream): number {
  return POD_NET + pick(stream, POD_NUMBERS);
}

function cidr(text: string): Cidr {
  return parseCidr(text) as Cidr;
}

/** What Services of a small random cluster may be. `plain`: cluster IPs and node ports of TCP and UDP. */
export type WorldKind = 'plain' | 'whole';

function randomEndpoint(stream: RandomStream): Endpoint {
  const kind = stream.below(20);
  let address = randomPod(stream);
  if (kind === 0) address = pick(stream, NODE_ADDRESSES);
  if (kind === 1) address = 0xac100005;
  const condition = stream.below(8);
  const terminating = condition === 5 || condition === 6;
  const serving = condition !== 6 && condition !== 7;
  const ready = condition === 7 ? chance(stream, 3) : serving && !terminating && condition !== 4;
  return {
    address,
    port: pick(stream, ENDPOINT_PORTS),
    nodeName: chance(stream, 2) ? NODE_NAME : 'node-b',
    ready,
    serving,
    terminating,
  };
}

/** The services of one trial as they change; ids are never used twice. */
export class ChangingCluster {
  readonly #stream: RandomStream;
  readonly #services = new Map<number, ServicePort>();
  readonly #whole: boolean;
  #nextId = 0;

  constructor(stream: RandomStream, count: number, world: WorldKind) {
    this.#stream = stream;
    this.#whole = world === 'whole';
    for (let i = 0; i < count; i++) this.#add();
  }

  get servicePorts(): ServicePort[] {
    return [...this.#services.values()].sort((a, b) => a.id - b.id);
  }

  #endpoints(): Endpoint[] {
    const stream = this.#stream;
    const count = stream.below(7);
    const endpoints: Endpoint[] = [];
    // An engine must cope with duplicates, but few real clusters have them.
    for (let i = 0; i < count; i++) {
      const endpoint = this.#hinted(randomEndpoint(stream));
      const known = endpoints.some((e) => e.address === endpoint.address && e.port === endpoint.port);
      if (!known || chance(stream, 10)) endpoints.push(endpoint);
    }
    return endpoints;
  }

  /** In a whole world half of the Services have hints, which count only where every ready endpoint has some. */
  #hinted(endpoint: Endpoint): Endpoint {
    if (!this.#whole) return endpoint;
    const hints = pick(this.#stream, HINTS);
    return hints === undefined ? endpoint : { ...endpoint, hints };
  }

  /** What the ports of one Service have in common; `number` makes its addresses its own. */
  #extras(number: number, nodePort: number): ServiceExtras | undefined {
    const stream = this.#stream;
    if (!this.#whole || chance(stream, 3)) return undefined;
    const externalIps = chance(stream, 3) ? [EXTERNAL_NET + (number % 64)] : [];
    if (externalIps.length > 0 && chance(stream, 4)) externalIps.push(EXTERNAL_NET + 64 + (number % 64));
    // A node's own address may be an external IP, too.
    if (chance(stream, 12) && !this.#claimsNode()) externalIps.push(NODE_ADDRESSES[1] ?? 0);
    const loadBalancerVips = chance(stream, 3) ? [VIP_NET + (number % 128)] : [];
    if (loadBalancerVips.length > 0 && chance(stream, 4)) loadBalancerVips.push(VIP_NET + 128 + (number % 64));
    const fromOutside = nodePort > 0 || externalIps.length > 0 || loadBalancerVips.length > 0;
    const externalPolicyLocal = fromOutside && chance(stream, 3);
    const ranges = loadBalancerVips.length > 0 && chance(stream, 2) ? 1 + stream.below(2) : 0;
    return {
      ...NO_SERVICE_EXTRAS,
      externalIps,
      loadBalancerVips,
      loadBalancerSourceRanges: Array.from({ length: ranges }, () => pick(stream, SOURCE_RANGES)),
      externalPolicyLocal,
      internalPolicyLocal: chance(stream, 5),
      affinitySeconds: pick(stream, AFFINITY_SECONDS),
      healthCheckNodePort: externalPolicyLocal && loadBalancerVips.length > 0 ? FIRST_HEALTH_PORT + number : 0,
    };
  }

  #claimsNode(): boolean {
    return [...this.#services.values()].some((svc) => svc.extras?.externalIps.includes(NODE_ADDRESSES[1] ?? 0));
  }

  #protocol(): ServicePort['protocol'] {
    if (this.#whole && chance(this.#stream, 10)) return PROTOCOL_SCTP;
    return chance(this.#stream, 3) ? PROTOCOL_UDP : PROTOCOL_TCP;
  }

  #freeNodePort(): number {
    const used = new Set([...this.#services.values()].map((svc) => svc.nodePort));
    for (;;) {
      const nodePort = 30000 + this.#stream.below(20);
      if (!used.has(nodePort)) return nodePort;
    }
  }

  #add(): ServicePort {
    const stream = this.#stream;
    const id = this.#nextId++;
    const sibling = pick(stream, [undefined, ...this.#services.values()]);
    // A second port of a Service shares its address; other Services get an address with the same low octet, so buckets collide.
    const shares = sibling !== undefined && chance(stream, 3);
    const nodePort = chance(stream, 2) ? this.#freeNodePort() : 0;
    const extras = shares ? sibling.extras : this.#extras(id, nodePort);
    const svc: ServicePort = {
      id,
      namespace: shares ? sibling.namespace : `ns${id % 2}`,
      name: shares ? sibling.name : `svc${id}`,
      portName: shares || chance(stream, 2) ? `p${id}` : '',
      protocol: this.#protocol(),
      clusterIp: shares ? sibling.clusterIp : 0x0a600000 + id * 256 + 1 + (chance(stream, 4) ? id : 0),
      port: shares ? 1000 + id : pick(stream, [80, 53, 443]),
      nodePort,
      ...(extras === undefined ? {} : { extras }),
      endpoints: this.#endpoints(),
    };
    this.#services.set(id, svc);
    return svc;
  }

  #changed(svc: ServicePort): ServicePort {
    const stream = this.#stream;
    const endpoints = [...svc.endpoints];
    switch (stream.below(6)) {
      case 0:
        return { ...svc, endpoints: this.#endpoints() };
      case 1:
        // Rarely the port itself is edited.
        if (chance(stream, 6)) return { ...svc, port: 2000 + svc.id };
        return { ...svc, nodePort: svc.nodePort > 0 && chance(stream, 2) ? 0 : this.#freeNodePort() };
      case 2:
        endpoints.push(this.#hinted(randomEndpoint(stream)));
        return { ...svc, endpoints };
      case 3:
        endpoints.splice(stream.below(endpoints.length + 1), 1);
        return { ...svc, endpoints };
      default: {
        // The commonest change of all: one endpoint's conditions.
        const i = stream.below(Math.max(1, endpoints.length));
        const old = endpoints[i];
        const fresh = this.#hinted(randomEndpoint(stream));
        // Rarely it comes back on another node under the same address.
        const moves = this.#whole && chance(stream, 4);
        if (old !== undefined) {
          const nodeName = moves ? fresh.nodeName : old.nodeName;
          endpoints[i] = { ...fresh, address: old.address, port: old.port, nodeName };
        }
        return { ...svc, endpoints };
      }
    }
  }

  /** The Service itself is edited: all of its ports change together. */
  #edited(svc: ServicePort): ServicePort[] {
    const siblings = [...this.#services.values()].filter(
      (each) => each.namespace === svc.namespace && each.name === svc.name,
    );
    const extras = this.#extras(svc.id, Math.max(...siblings.map((each) => each.nodePort)));
    return siblings.map((each) => {
      const { id, namespace, name, portName, protocol, clusterIp, port, nodePort, endpoints } = each;
      const plain = { id, namespace, name, portName, protocol, clusterIp, port, nodePort, endpoints };
      return extras === undefined ? plain : { ...plain, extras };
    });
  }

  /** Changes one to three service ports, or one Service. */
  change(): ClusterDelta {
    const stream = this.#stream;
    const upserted = new Map<number, ServicePort>();
    const removed = new Set<number>();
    for (let i = stream.below(3); i >= 0; i--) {
      const svc = pick(stream, [...this.#services.values(), undefined]);
      if (svc === undefined || this.#services.size === 0) {
        if (this.#services.size < 8) {
          const added = this.#add();
          upserted.set(added.id, added);
        }
      } else if (chance(stream, 8)) {
        this.#services.delete(svc.id);
        upserted.delete(svc.id);
        removed.add(svc.id);
      } else {
        const edited = this.#whole && chance(stream, 6) ? this.#edited(svc) : [this.#changed(svc)];
        for (const changed of edited) {
          this.#services.set(changed.id, changed);
          upserted.set(changed.id, changed);
        }
      }
    }
    return { upserted: [...upserted.values()].sort((a, b) => a.id - b.id), removedIds: [...removed] };
  }
}
