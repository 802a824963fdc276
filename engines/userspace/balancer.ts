/** kube-proxy's own round robin over the endpoints of one service port (pkg/proxy/userspace/roundrobin.go LoadBalancerRR). */
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import { NS_PER_S } from '../../model/time.ts';
import type { SimTime } from '../../model/time.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { shuffle } from '../../sim/rng.ts';
import { endpointKey } from '../proxy/endpoint-order.ts';
import { seenEndpoints } from '../proxy/endpoints.ts';

/** DefaultClientIPServiceAffinitySeconds */
const DEFAULT_AFFINITY_SECONDS = 10_800;

interface Sticky {
  /** endpointKey of the endpoint that the client keeps. */
  endpoint: number;
  lastUsed: SimTime;
}

export class Balancer {
  /** endpointKeys, in the order of a shuffle. */
  #endpoints: number[] = [];
  #index = 0;
  #hasAffinity = false;
  /** Of the service port as it was at first: newServiceInternal never changes it. */
  readonly #affinitySeconds: number;
  readonly #clients = new Map<number, Sticky>();

  constructor(svc: ServicePort) {
    const seconds = svc.extras?.affinitySeconds ?? 0;
    this.#affinitySeconds = seconds > 0 ? seconds : DEFAULT_AFFINITY_SECONDS;
  }

  /** Takes the service port's ready endpoints and its affinity over. Another set of endpoints is shuffled, and begun anew. */
  update(svc: ServicePort, node: NodeSpec, stream: RandomStream): void {
    this.#hasAffinity = (svc.extras?.affinitySeconds ?? 0) > 0;
    const ready = seenEndpoints(svc, node).filter((endpoint) => endpoint.ready);
    const keys = new Set(ready.map(({ address, port }) => endpointKey(address, port)));
    if (keys.size === this.#endpoints.length && this.#endpoints.every((key) => keys.has(key))) return;
    this.#endpoints = [...keys];
    shuffle(this.#endpoints, stream);
    this.#index = 0;
    for (const [client, { endpoint }] of this.#clients) if (!keys.has(endpoint)) this.#clients.delete(client);
  }

  /** endpointKey of the endpoint for this client, or -1 when there is none. `reset`: the one before did not answer. */
  next(client: number, now: SimTime, reset: boolean): number {
    if (this.#endpoints.length === 0) return -1;
    const sticky = this.#hasAffinity ? this.#clients.get(client) : undefined;
    if (sticky !== undefined && !reset && Math.floor((now - sticky.lastUsed) / NS_PER_S) < this.#affinitySeconds) {
      sticky.lastUsed = now;
      return sticky.endpoint;
    }
    const endpoint = this.#endpoints[this.#index];
    this.#index = (this.#index + 1) % this.#endpoints.length;
    if (this.#hasAffinity) this.#clients.set(client, { endpoint, lastUsed: now });
    return endpoint;
  }
}
