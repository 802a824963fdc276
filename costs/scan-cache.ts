/**
 * How many rules of a linear scan miss the L2 cache. A chain is walked from its head each time, so the cache holds what the
 * walks before this one touched: the lines between two touches of rule r are those of the longest walk in between.
 *
 * With w the length of the last walk that passed rule r, that distance is the w rules from the head, and r misses when they
 * do not fit: miss(r) = E[f(w) | w > r], f = the share of a repeated walk of w rules that misses (the knee). The walk
 * before went to this packet's own service with probability s, and so had this packet's own length p; else its length is
 * uniform over the N rules, as kube-proxy writes the services in random order. Hence
 *
 *   miss(r) = (s f(p) + (1-s) F(r)) / (s + (1-s)(1 - r/N)),   F(r) = 1/N integral of f from r to N
 *
 * and misses(p) = sum of miss(r) for r < p = f(p) A(p) + B(p) with two tables that are made once. It is an expectation over the
 * walks before, not a state: the cost of a packet does not depend on the order of packets.
 */
import type { CacheCosts } from '../model/profile.ts';

export interface ScanUse {
  /** Length of the longest walk, in rules. */
  readonly rules: number;
  /** Bytes of one passed rule that land in the cache. */
  readonly touchedBytes: number;
  /** Chance that two packets go to the same service: the sum of the squared shares of traffic; 0 .. 1. */
  readonly sameServiceProbability: number;
  /** Bytes of other memory that are written between two packets. */
  readonly otherMemoryBytes: number;
}

const CELLS = 1024;

/**
 * Share that misses when `ratio` = bytes in use / L2 bytes are swept again and again: 0 below the knee, 1 above. A cache that evicts the
 * least recently used line would go from 0 to 1 at once, but pages fall on its sets by chance: some overflow early, some late.
 */
export function missShare(cache: CacheCosts, ratio: number): number {
  const t = (ratio - cache.kneeStartRatio.value) / (cache.kneeEndRatio.value - cache.kneeStartRatio.value);
  if (t <= 0) return 0;
  if (t >= 1) return 1;
  return t * (2 - t);
}

export class ScanCache {
  private readonly cache: CacheCosts;
  private readonly use: ScanUse;
  /** A and B at the cell borders; CELLS + 1 values. */
  private readonly ownWalk = new Float64Array(CELLS + 1);
  private readonly otherWalks = new Float64Array(CELLS + 1);
  /** The walk before was this one, whatever its length: A(p) = p and B = 0. */
  private readonly repeatsItself: boolean;

  constructor(cache: CacheCosts, use: ScanUse) {
    this.cache = cache;
    this.use = use;
    const s = use.sameServiceProbability;
    this.repeatsItself = s === 1 || use.rules === 0;
    if (this.repeatsItself) return;
    const cell = use.rules / CELLS;
    // From the end to the head: the integral of f beyond the middle of each cell.
    const beyond = new Float64Array(CELLS);
    let integral = 0;
    for (let j = CELLS - 1; j >= 0; j--) {
      const here = this.repeatedMissShare((j + 0.5) * cell) / CELLS;
      beyond[j] = integral + here / 2;
      integral += here;
    }
    for (let j = 0; j < CELLS; j++) {
      const reach = s + (1 - s) * (1 - (j + 0.5) / CELLS);
      this.ownWalk[j + 1] = this.ownWalk[j] + (cell * s) / reach;
      this.otherWalks[j + 1] = this.otherWalks[j] + (cell * (1 - s) * beyond[j]) / reach;
    }
  }

  /** f: the share of a walk of `rules` rules that misses when the same walk is repeated. */
  repeatedMissShare(rules: number): number {
    return missShare(
      this.cache,
      (rules * this.use.touchedBytes + this.use.otherMemoryBytes) / this.cache.l2Bytes.value,
    );
  }

  /** Expected number of rules that miss in a walk of `rules` rules. Grows with `rules`. */
  misses(rules: number): number {
    const share = this.repeatedMissShare(rules);
    const longest = this.use.rules;
    if (this.repeatsItself) return share * rules;
    if (rules >= longest) {
      return share * this.ownWalk[CELLS] + this.otherWalks[CELLS] + (rules - longest) * share;
    }
    const x = (rules / longest) * CELLS;
    const j = Math.floor(x);
    const part = x - j;
    const own = this.ownWalk[j] + part * (this.ownWalk[j + 1] - this.ownWalk[j]);
    const other = this.otherWalks[j] + part * (this.otherWalks[j + 1] - this.otherWalks[j]);
    return share * own + other;
  }
}
