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
 *
 * Where each packet brings other memory along, that of all packets since rule r was last passed lies in between, too: a rule near the end,
 * which few packets pass, is out of the cache before one at the head is. With q the chance that a packet passes r, the gap is g packets
 * with probability q (1-q)^(g-1), and f, F, A and B are those of a gap: f(w, g) = the share that misses with w rules and g times the
 * memory. From the gap on whose memory alone fills the cache all f are 1, so the last gap stands for all longer ones.
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
/** Gaps that are told apart at most. */
const GAPS = 32;

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
  private readonly gaps: number;
  /** A of each gap, and B, at the cell borders; CELLS + 1 values. */
  private readonly ownWalk: readonly Float64Array[];
  private readonly otherWalks = new Float64Array(CELLS + 1);
  /** The walk before was this one, whatever its length: A(p) = p and B = 0. */
  private readonly repeatsItself: boolean;

  constructor(cache: CacheCosts, use: ScanUse) {
    this.cache = cache;
    this.use = use;
    this.repeatsItself = use.sameServiceProbability === 1 || use.rules === 0;
    const filled = cache.kneeEndRatio.value * cache.l2Bytes.value;
    this.gaps = use.otherMemoryBytes > 0 ? Math.min(GAPS, Math.ceil(filled / use.otherMemoryBytes)) : 1;
    this.ownWalk = this.repeatsItself ? [] : Array.from({ length: this.gaps }, () => new Float64Array(CELLS + 1));
    if (this.repeatsItself) return;
    for (let gap = 1; gap <= this.gaps; gap++) this.addGap(gap);
  }

  /** Adds what misses after a gap of so many packets; the last gap stands for all longer ones, too. */
  private addGap(gap: number): void {
    const s = this.use.sameServiceProbability;
    const cell = this.use.rules / CELLS;
    const own = this.ownWalk[gap - 1];
    // From the end to the head: the integral of f beyond the middle of each cell.
    const beyond = new Float64Array(CELLS);
    let integral = 0;
    for (let j = CELLS - 1; j >= 0; j--) {
      const here = this.repeatedMissShare((j + 0.5) * cell, gap) / CELLS;
      beyond[j] = integral + here / 2;
      integral += here;
    }
    let others = 0;
    for (let j = 0; j < CELLS; j++) {
      const reach = s + (1 - s) * (1 - (j + 0.5) / CELLS);
      const share = power(1 - reach, gap - 1) / (gap === this.gaps ? reach : 1);
      own[j + 1] = own[j] + cell * s * share;
      others += cell * (1 - s) * beyond[j] * share;
      this.otherWalks[j + 1] += others;
    }
  }

  /** f: the share of a walk of `rules` rules that misses when the same walk is repeated, `gap` packets later. */
  repeatedMissShare(rules: number, gap = 1): number {
    const bytes = rules * this.use.touchedBytes + gap * this.use.otherMemoryBytes;
    return missShare(this.cache, bytes / this.cache.l2Bytes.value);
  }

  /** Expected number of rules that miss in a walk of `rules` rules. Grows with `rules`. */
  misses(rules: number): number {
    const longest = this.use.rules;
    if (this.repeatsItself) return this.repeatedMissShare(rules) * rules;
    const within = Math.min(rules, longest);
    const x = (within / longest) * CELLS;
    const j = Math.min(CELLS - 1, Math.floor(x));
    const part = x - j;
    let sum = this.otherWalks[j] + part * (this.otherWalks[j + 1] - this.otherWalks[j]);
    for (let gap = 1; gap <= this.gaps; gap++) {
      const own = this.ownWalk[gap - 1];
      sum += this.repeatedMissShare(rules, gap) * (own[j] + part * (own[j + 1] - own[j]));
    }
    // Rules beyond the longest walk: passed by such packets alone.
    return sum + (rules - within) * this.repeatedMissShare(rules);
  }
}

function power(base: number, exponent: number): number {
  let product = 1;
  for (let i = 0; i < exponent; i++) product *= base;
  return product;
}
