/** Round robin with client affinity, as kube-proxy's process does it (README 10.3; pkg/proxy/userspace/roundrobin.go). */
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { shuffle } from '../../sim/rng.ts';
import { distinctEndpoints, extrasOf, partyText } from './endpoints.ts';
import { mark } from './marks.ts';
import type { Party } from './packet.ts';

const SECOND = 1e9;
const DEFAULT_AFFINITY_SECONDS = 10_800;

export class RoundRobin {
  #endpoints: Party[] = [];
  #index = 0;
  /** Address of a client to its endpoint. */
  readonly #clients = new Map<number, { endpoint: Party; lastUsed: number }>();
  #hasAffinity = false;
  /** That of the service port when the balancer was made; newServiceInternal never changes it. */
  readonly #affinitySeconds: number;

  constructor(svc: ServicePort) {
    const { affinitySeconds } = extrasOf(svc);
    this.#affinitySeconds = affinitySeconds === 0 ? DEFAULT_AFFINITY_SECONDS : affinitySeconds;
  }

  update(svc: ServicePort, node: NodeSpec, stream: RandomStream): void {
    const { affinitySeconds } = extrasOf(svc);
    this.#hasAffinity = affinitySeconds > 0;
    if (this.#hasAffinity && affinitySeconds !== this.#affinitySeconds) mark('affinity time-out is not followed');
    const ready = new Map(
      distinctEndpoints(svc, node)
        .filter((endpoint) => endpoint.ready)
        .map(({ address, port }) => [partyText({ address, port }), { address, port }]),
    );
    const before = new Set(this.#endpoints.map(partyText));
    if (before.size === ready.size && [...ready.keys()].every((text) => before.has(text))) return;
    const order = [...ready.keys()].sort((a, b) => (a < b ? -1 : 1));
    const places = order.map((_, place) => place);
    shuffle(places, stream);
    this.#endpoints = places.map((place) => ready.get(order[place]) as Party);
    this.#index = 0;
    for (const [client, { endpoint }] of this.#clients) {
      if (ready.has(partyText(endpoint))) continue;
      mark('client of an endpoint that left');
      this.#clients.delete(client);
    }
  }

  /** Undefined when there is no endpoint. `reset`: the endpoint of the pick before did not take the connection. */
  next(client: number, now: number, reset: boolean): Party | undefined {
    if (this.#endpoints.length === 0) return undefined;
    const known = this.#hasAffinity ? this.#clients.get(client) : undefined;
    if (known !== undefined) {
      if (reset) mark('affinity reset');
      else if (Math.floor((now - known.lastUsed) / SECOND) < this.#affinitySeconds) {
        mark('affinity hit');
        known.lastUsed = now;
        return known.endpoint;
      } else mark('affinity expired');
    }
    const endpoint = this.#endpoints[this.#index];
    this.#index = (this.#index + 1) % this.#endpoints.length;
    if (this.#hasAffinity) this.#clients.set(client, { endpoint, lastUsed: now });
    return endpoint;
  }
}
