/** How evenly new connections, and the packets that they will have, are spread over the endpoints of a Service. */
import type { Cell } from '../model/observation.ts';

const PORT_RANGE = 65_536;

/** Words of a load in the table: service port, address, port, connections. A place without a connection is free. */
const STRIDE = 4;
const ID = 0;
const ADDRESS = 1;
const PORT = 2;
const CONNECTIONS = 3;

/** A hash table over typed arrays with linear probing, at most half full: a new connection makes no object. */
export class BalanceMeter {
  #mask = 1023;
  #size = 0;
  #words = new Int32Array(1024 * STRIDE);
  #packets = new Float64Array(1024);
  /** Service ports in the order of their first connections, and which have one, by id. */
  readonly #servicePorts: number[] = [];
  #isKnown = new Uint8Array(1024);

  /** A new connection of so many packets has reached an endpoint. */
  add(servicePortId: number, address: number, port: number, packets: number): void {
    let place = this.#find(servicePortId, address, port);
    if (this.#words[place * STRIDE + CONNECTIONS] === 0) {
      if (++this.#size * 2 > this.#mask) {
        this.#grow();
        place = this.#find(servicePortId, address, port);
      }
      this.#words[place * STRIDE + ID] = servicePortId;
      this.#words[place * STRIDE + ADDRESS] = address;
      this.#words[place * STRIDE + PORT] = port;
      this.#noteServicePort(servicePortId);
    }
    this.#words[place * STRIDE + CONNECTIONS]++;
    this.#packets[place] += packets;
  }

  /**
   * Over the endpoints that the rules led to throughout (`steady`), those without a connection included: the largest load over the
   * mean, and standard deviation over mean. A mean over service ports, weighted by their loads; a service port with fewer than two
   * such endpoints has no balance.
   */
  metrics(steady: (servicePortId: number) => Set<number>): Record<string, Cell> {
    const connections = new Spread();
    const packets = new Spread();
    for (const id of this.#servicePorts) {
      const places = [...steady(id)].map((key) => this.#find(id, Math.floor(key / PORT_RANGE), key % PORT_RANGE));
      connections.add(places.map((place) => this.#words[place * STRIDE + CONNECTIONS]));
      packets.add(places.map((place) => this.#packets[place]));
    }
    return {
      load_max_over_mean_ratio: connections.maxOverMean,
      load_variation_ratio: connections.variation,
      load_packets_max_over_mean_ratio: packets.maxOverMean,
      load_packets_variation_ratio: packets.variation,
    };
  }

  /** The place of a load, or the free one where it would be. */
  #find(id: number, address: number, port: number): number {
    const words = this.#words;
    const mask = this.#mask;
    const wanted = address | 0;
    let hash = Math.imul(id ^ Math.imul(wanted ^ (port << 8), 0x9e3779b1), 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let place = hash & mask; ; place = (place + 1) & mask) {
      const at = place * STRIDE;
      if (words[at + CONNECTIONS] === 0) return place;
      if (words[at + ADDRESS] === wanted && words[at + ID] === id && words[at + PORT] === port) return place;
    }
  }

  #noteServicePort(id: number): void {
    if (id >= this.#isKnown.length) {
      const known = new Uint8Array(Math.max(id + 1, this.#isKnown.length * 2));
      known.set(this.#isKnown);
      this.#isKnown = known;
    }
    if (this.#isKnown[id] === 1) return;
    this.#isKnown[id] = 1;
    this.#servicePorts.push(id);
  }

  #grow(): void {
    const words = this.#words;
    const packets = this.#packets;
    const capacity = (this.#mask + 1) * 2;
    this.#mask = capacity - 1;
    this.#words = new Int32Array(capacity * STRIDE);
    this.#packets = new Float64Array(capacity);
    for (let old = 0; old < packets.length; old++) {
      const from = old * STRIDE;
      if (words[from + CONNECTIONS] === 0) continue;
      const place = this.#find(words[from + ID], words[from + ADDRESS], words[from + PORT]);
      this.#words.set(words.subarray(from, from + STRIDE), place * STRIDE);
      this.#packets[place] = packets[old];
    }
  }
}

/** Means over service ports, weighted by their loads. */
class Spread {
  #weights = 0;
  #maxOverMean = 0;
  #variation = 0;

  /** Loads of the endpoints of one service port. */
  add(loads: readonly number[]): void {
    const total = loads.reduce((sum, load) => sum + load, 0);
    if (loads.length < 2 || total === 0) return;
    const mean = total / loads.length;
    const squares = loads.reduce((sum, load) => sum + (load - mean) * (load - mean), 0);
    this.#weights += total;
    this.#maxOverMean += (total * Math.max(...loads)) / mean;
    this.#variation += (total * Math.sqrt(squares / loads.length)) / mean;
  }

  get maxOverMean(): Cell {
    return this.#weights === 0 ? null : this.#maxOverMean / this.#weights;
  }

  get variation(): Cell {
    return this.#weights === 0 ? null : this.#variation / this.#weights;
  }
}
