/** kube-proxy's own round robin over the endpoints of one service port (pkg/proxy/userspace/roundrobin.go LoadBalancerRR). */
import type { ServicePort } from '../../model/cluster.ts';
import { NS_PER_S } from '../../model/time.ts';
import type { SimTime } from '../../model/time.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { shuffle } from '../../sim/rng.ts';
import { endpointKey } from '../proxy/endpoint-order.ts';

interface Sticky {
  /** endpointKey of the endpoint that the client keeps. */
  endpoint: number;
  lastUsed: SimTime;
}

export class Balancer {
  /** endpointKeys, in the order of a shuffle. */
  #endpoints: number[] = [];
  #index = 0;
  #affinitySeconds = 0;
  readonly #clients = new Map<number, Sticky>();

  /** Takes the service port's ready endpoints and its affinity over. Another set of endpoints is shuffled, and begun anew. */
  update(svc: ServicePort, stream: RandomStream): void {
    this.#affinitySeconds = svc.extras?.affinitySeconds ?? 0;
    const keys = new Set<number>();
    for (const endpoint of svc.endpoints) if (endpoint.ready) keys.add(endpointKey(endpoint.address, endpoint.port));
    if (keys.size === this.#endpoints.length && this.#endpoints.every((key) => keys.has(key))) return;
    this.#endpoints = [...keys].sort((a, b) => a - b);
    shuffle(this.#endpoints, stream);
    this.#index = 0;
    for (const [client, { endpoint }] of this.#clients) if (!keys.has(endpoint)) this.#clients.delete(client);
  }

  /** endpointKey of the endpoint for this client, or -1 when there is none. `reset`: the one before did not answer. */
  next(client: number, now: SimTime, reset: boolean): number {
    if (this.#endpoints.length === 0) return -1;
    const sticky = this.#affinitySeconds > 0 ? this.#clients.get(client) : undefined;
    if (sticky !== undefined && !reset && Math.floor((now - sticky.lastUsed) / NS_PER_S) < this.#affinitySeconds) {
      sticky.lastUsed = now;
      return sticky.endpoint;
    }
    const endpoint = this.#endpoints[this.#index];
    this.#index = (this.#index + 1) % this.#endpoints.length;
    if (this.#affinitySeconds > 0) this.#clients.set(client, { endpoint, lastUsed: now });
    return endpoint;
  }
}
