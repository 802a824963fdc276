/** How evenly new connections, and the packets that they will have, are spread over the endpoints of a Service. */
import type { Cell } from '../model/observation.ts';

const PORT_RANGE = 65_536;

interface Load {
  connections: number;
  packets: number;
}

export class BalanceMeter {
  /** Service port -> endpoint -> load, in the order of their first connections. */
  readonly #loads = new Map<number, Map<number, Load>>();

  /** A new connection of so many packets has reached an endpoint. */
  add(servicePortId: number, address: number, port: number, packets: number): void {
    let loads = this.#loads.get(servicePortId);
    if (loads === undefined) {
      loads = new Map();
      this.#loads.set(servicePortId, loads);
    }
    const key = address * PORT_RANGE + port;
    const load = loads.get(key);
    if (load === undefined) loads.set(key, { connections: 1, packets });
    else {
      load.connections++;
      load.packets += packets;
    }
  }

  /**
   * Over the endpoints that the rules led to throughout (`steady`), those without a connection included: the largest load over the
   * mean, and standard deviation over mean. A mean over service ports, weighted by their loads; a service port with fewer than two
   * such endpoints has no balance.
   */
  metrics(steady: (servicePortId: number) => Set<number>): Record<string, Cell> {
    const connections = this.#spread(steady, (load) => load.connections);
    const packets = this.#spread(steady, (load) => load.packets);
    return {
      load_max_over_mean_ratio: connections.maxOverMean,
      load_variation_ratio: connections.variation,
      load_packets_max_over_mean_ratio: packets.maxOverMean,
      load_packets_variation_ratio: packets.variation,
    };
  }

  #spread(
    steady: (servicePortId: number) => Set<number>,
    sizeOf: (load: Load) => number,
  ): { maxOverMean: Cell; variation: Cell } {
    let weights = 0;
    let maxOverMean = 0;
    let variation = 0;
    for (const [id, found] of this.#loads) {
      const loads = [...steady(id)].map((key) => {
        const load = found.get(key);
        return load === undefined ? 0 : sizeOf(load);
      });
      const total = loads.reduce((sum, load) => sum + load, 0);
      if (loads.length < 2 || total === 0) continue;
      const mean = total / loads.length;
      const squares = loads.reduce((sum, load) => sum + (load - mean) * (load - mean), 0);
      weights += total;
      maxOverMean += (total * Math.max(...loads)) / mean;
      variation += (total * Math.sqrt(squares / loads.length)) / mean;
    }
    if (weights === 0) return { maxOverMean: null, variation: null };
    return { maxOverMean: maxOverMean / weights, variation: variation / weights };
  }
}
