/** Random small clusters and changes to them, close together on purpose: shared endpoints, colliding buckets, all conditions. */
import type { ClusterDelta, Endpoint, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import type { RandomStream } from '../../sim/rng.ts';

export const NODE_NAME = 'node-a';
export const NODE_ADDRESSES = [0xc0a80001, 0xc0a80002];
/** 10.244.0.0/16 */
export const POD_CIDR = { address: 0x0af40000, mask: 0xffff0000, prefixLength: 16 };
const POD_NET = 0x0af40100;
const POD_NUMBERS = [1, 2, 3, 10, 11, 100];
const ENDPOINT_PORTS = [80, 8080, 8];

export function chance(stream: RandomStream, oneIn: number): boolean {
  return stream.below(oneIn) === 0;
}

export function pick<T>(stream: RandomStream, values: readonly T[]): T {
  return values[stream.below(values.length)];
}

export function randomPod(stream: RandomStream): number {
  return POD_NET + pick(stream, POD_NUMBERS);
}

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
  #nextId = 0;

  constructor(stream: RandomStream, count: number) {
    this.#stream = stream;
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
      const endpoint = randomEndpoint(stream);
      const known = endpoints.some((e) => e.address === endpoint.address && e.port === endpoint.port);
      if (!known || chance(stream, 10)) endpoints.push(endpoint);
    }
    return endpoints;
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
    const svc: ServicePort = {
      id,
      namespace: shares ? sibling.namespace : `ns${id % 2}`,
      name: shares ? sibling.name : `svc${id}`,
      portName: shares || chance(stream, 2) ? `p${id}` : '',
      protocol: chance(stream, 3) ? PROTOCOL_UDP : PROTOCOL_TCP,
      clusterIp: shares ? sibling.clusterIp : 0x0a600000 + id * 256 + 1 + (chance(stream, 4) ? id : 0),
      port: shares ? 1000 + id : pick(stream, [80, 53, 443]),
      nodePort: chance(stream, 2) ? this.#freeNodePort() : 0,
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
        endpoints.push(randomEndpoint(stream));
        return { ...svc, endpoints };
      case 3:
        endpoints.splice(stream.below(endpoints.length + 1), 1);
        return { ...svc, endpoints };
      default: {
        // The commonest change of all: one endpoint's conditions.
        const i = stream.below(Math.max(1, endpoints.length));
        const old = endpoints[i];
        const fresh = randomEndpoint(stream);
        if (old !== undefined) {
          endpoints[i] = { ...fresh, address: old.address, port: old.port, nodeName: old.nodeName };
        }
        return { ...svc, endpoints };
      }
    }
  }

  /** Changes one to three service ports. */
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
        const changed = this.#changed(svc);
        this.#services.set(svc.id, changed);
        upserted.set(svc.id, changed);
      }
    }
    return { upserted: [...upserted.values()].sort((a, b) => a.id - b.id), removedIds: [...removed] };
  }
}
