/** Network programming latency over the nodes of a cluster: all nodes' samples together, the slowest node, and the last node of each change. */
import { NS_PER_US } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import { assert } from '../sim/assert.ts';
import type { OtherProxies } from './other-proxies.ts';

export interface LatenciesOverNodes {
  readonly nodes: number;
  /** Every change on every node is one sample. */
  readonly samples: number;
  /** Quantiles of all samples, ns; undefined without any. */
  quantileNs(q: number): number | undefined;
  /** Quantiles of the time until a change is in the rules of the last node, over the changes that all nodes have by the end. */
  lastNodeQuantileNs(q: number): number | undefined;
  /** The largest 99th percentile of a single node. */
  readonly slowestNodeP99Ns: number | undefined;
}

/** `observed`: the latencies of each observed node; the k-th of every node is that of the k-th change. */
export function latenciesOverNodes(
  observed: readonly (readonly number[])[],
  others: OtherProxies | undefined,
  until: SimTime,
): LatenciesOverNodes {
  const nodes = observed.length + (others?.nodes.length ?? 0);
  const all = new LatencyHistogram();
  const ofNode = new LatencyHistogram();
  const lastNs: number[] = [];
  const reached: number[] = [];
  let slowest: number | undefined;
  const take = (change: number, latencyNs: SimTime): void => {
    ofNode.add(latencyNs);
    reached[change] = (reached[change] ?? 0) + 1;
    lastNs[change] = Math.max(lastNs[change] ?? 0, latencyNs);
  };
  const endOfNode = (): void => {
    const p99 = ofNode.quantileNs(0.99);
    if (p99 !== undefined) slowest = Math.max(slowest ?? 0, p99);
    all.absorb(ofNode);
    ofNode.clear();
  };
  for (const latencies of observed) {
    latencies.forEach((latencyNs, change) => take(change, latencyNs));
    endOfNode();
  }
  for (const node of others?.nodes ?? []) {
    others?.replay(node, until, take);
    endOfNode();
  }
  const last = new LatencyHistogram();
  reached.forEach((count, change) => {
    if (count === nodes) last.add(lastNs[change]);
  });
  return {
    nodes,
    samples: all.count,
    quantileNs: (q) => all.quantileNs(q),
    lastNodeQuantileNs: (q) => last.quantileNs(q),
    slowestNodeP99Ns: slowest,
  };
}

/** Bits after the leading one that tell values apart: a bin is at most 1 part in 2^PRECISION wide. */
const PRECISION = 11;
const EXACT = 1 << (PRECISION + 1);
/** Microseconds are counted up to 2^31 - 1, that is 35 minutes; what is longer counts as that. */
const LONGEST_US = 0x7fffffff;
const BINS = EXACT + ((31 - PRECISION - 1) << PRECISION);

/**
 * Counts of latencies: whole microseconds up to EXACT, then 2^PRECISION bins an octave, so that a quantile is right to 1 part in 4,096.
 * Integer operations alone.
 */
export class LatencyHistogram {
  readonly #bins = new Float64Array(BINS);
  #count = 0;
  #least = BINS;
  #most = -1;

  get count(): number {
    return this.#count;
  }

  add(latencyNs: number): void {
    const bin = binOf(Math.min(LONGEST_US, Math.floor(latencyNs / NS_PER_US)));
    this.#bins[bin]++;
    this.#count++;
    if (bin < this.#least) this.#least = bin;
    if (bin > this.#most) this.#most = bin;
  }

  absorb(other: LatencyHistogram): void {
    for (let bin = other.#least; bin <= other.#most; bin++) this.#bins[bin] += other.#bins[bin];
    this.#count += other.#count;
    this.#least = Math.min(this.#least, other.#least);
    this.#most = Math.max(this.#most, other.#most);
  }

  clear(): void {
    if (this.#most >= 0) this.#bins.fill(0, this.#least, this.#most + 1);
    this.#count = 0;
    this.#least = BINS;
    this.#most = -1;
  }

  /** By linear interpolation between the two nearest ranks (Hyndman and Fan's type 7), as of single values. */
  quantileNs(q: number): number | undefined {
    assert(q >= 0 && q <= 1, `a quantile is between 0 and 1, got ${q}`);
    if (this.#count === 0) return undefined;
    const rank = (this.#count - 1) * q;
    const below = Math.floor(rank);
    let bin = this.#least;
    let seen = this.#bins[bin];
    while (seen <= below) seen += this.#bins[++bin];
    const lower = valueOf(bin);
    if (rank === below) return lower * NS_PER_US;
    while (seen <= below + 1) seen += this.#bins[++bin];
    return (lower + (valueOf(bin) - lower) * (rank - below)) * NS_PER_US;
  }
}

function binOf(us: number): number {
  if (us < EXACT) return us;
  const shift = 31 - Math.clz32(us) - PRECISION;
  return (shift << PRECISION) + (us >>> shift);
}

/** The middle of a bin, in microseconds. */
function valueOf(bin: number): number {
  if (bin < EXACT) return bin;
  const shift = (bin >>> PRECISION) - 1;
  const low = (bin - (shift << PRECISION)) << shift;
  return low + ((1 << shift) - 1) / 2;
}
