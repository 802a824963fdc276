/** How evenly new connections are spread over the endpoints of a Service. */
import type { Cell } from '../model/observation.ts';

const PORT_RANGE = 65_536;

export class BalanceMeter {
  /** Service port -> endpoint -> connections, in the order of their first connections. */
  readonly #counts = new Map<number, Map<number, number>>();

  /** A new connection has reached an endpoint. */
  add(servicePortId: number, address: number, port: number): void {
    let counts = this.#counts.get(servicePortId);
    if (counts === undefined) {
      counts = new Map();
      this.#counts.set(servicePortId, counts);
    }
    const key = address * PORT_RANGE + port;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }

  /**
   * Over the endpoints that the rules led to throughout (`steady`), those without a connection included: the largest number of
   * connections over the mean, and standard deviation over mean. A mean over service ports, weighted by their connections; a service
   * port with fewer than two such endpoints has no balance.
   */
  metrics(steady: (servicePortId: number) => Set<number>): Record<string, Cell> {
    let weights = 0;
    let maxOverMean = 0;
    let variation = 0;
    for (const [id, counts] of this.#counts) {
      const loads = [...steady(id)].map((key) => counts.get(key) ?? 0);
      const total = loads.reduce((sum, load) => sum + load, 0);
      if (loads.length < 2 || total === 0) continue;
      const mean = total / loads.length;
      const squares = loads.reduce((sum, load) => sum + (load - mean) * (load - mean), 0);
      weights += total;
      maxOverMean += (total * Math.max(...loads)) / mean;
      variation += (total * Math.sqrt(squares / loads.length)) / mean;
    }
    return {
      load_max_over_mean_ratio: weights === 0 ? null : maxOverMean / weights,
      load_variation_ratio: weights === 0 ? null : variation / weights,
    };
  }
}
