/** Whether clients that come back to a service port reach the endpoint that they reached before: what session affinity is for. */
import type { Cell } from '../model/observation.ts';

/** Ids of service ports stay below this (scenarios/schema.ts ENDPOINT_LIMIT): 2^21, so that a client and an id fit into 53 bits. */
const ID_RANGE = 2_097_152;
const PORT_RANGE = 65_536;

export class AffinityMeter {
  /** Client and service port -> endpoint of its last connection. */
  readonly #last = new Map<number, number>();
  #returning = 0;
  #same = 0;

  /** A new connection has reached an endpoint. */
  add(clientAddress: number, servicePortId: number, address: number, port: number): void {
    const key = clientAddress * ID_RANGE + servicePortId;
    const endpoint = address * PORT_RANGE + port;
    const before = this.#last.get(key);
    if (before !== undefined) {
      this.#returning++;
      if (before === endpoint) this.#same++;
    }
    this.#last.set(key, endpoint);
  }

  metrics(): Record<string, Cell> {
    return { returning_connections: this.#returning, returning_connections_same_endpoint: this.#same };
  }
}
