/**
 * The kube-proxies of the nodes that nobody observes: no rules, no endpoints, only when each write takes effect. At the end of a trial
 * every node is gone through by itself, write by write, so that thousands of nodes cost no events.
 */
import type { SimTime } from '../model/time.ts';
import type { Distribution } from '../sim/distributions.ts';
import type { RandomStream } from '../sim/rng.ts';
import { drawDelayNs } from './api-fanout.ts';
import type { SliceWrite } from './endpoint-slices.ts';
import { FULL_SYNC_PERIOD_NS } from './proxier.ts';
import type { ProxierTiming } from './proxier.ts';
import type { SliceCache } from './slice-cache.ts';
import { BURST } from './token-bucket-runner.ts';

/** How long a sync of this kind takes that brings so many changed service ports, ns. */
export type SyncLength = (kind: 'full' | 'partial', changedServicePorts: number) => SimTime;

export interface OtherProxiesOptions {
  readonly nodes: readonly string[];
  /** Their own, after the initial list. */
  readonly cache: SliceCache;
  readonly timing: ProxierTiming;
  readonly watch: Distribution;
  readonly syncNs: SyncLength;
  readonly watchStream: (node: string) => RandomStream;
  /** From the beginning to the first sync that nobody asks for. */
  readonly phaseNs: (node: string) => SimTime;
}

/** Takes the latency of the `change`-th readiness change or deletion; changes come in order. */
export type LatencySink = (change: number, latencyNs: SimTime) => void;

export class OtherProxies {
  readonly #options: OtherProxiesOptions;
  /** What every kube-proxy has been sent: all get the same writes in the same order, so one cache says which of them are news. */
  readonly #cache: SliceCache;
  readonly #writes: { readonly at: SimTime; readonly write: SliceWrite }[] = [];
  #columns: WriteColumns | undefined;

  constructor(options: OtherProxiesOptions) {
    this.#options = options;
    this.#cache = options.cache;
  }

  get nodes(): readonly string[] {
    return this.#options.nodes;
  }

  /** The API server sends a write to all watchers. */
  receive(at: SimTime, write: SliceWrite): void {
    if (this.#cache.receive(write)) this.#writes.push({ at, write });
  }

  /** The latencies of all changes that are in the rules of a node by `until`. */
  replay(node: string, until: SimTime, take: LatencySink): void {
    const { timing, watch, watchStream, phaseNs } = this.#options;
    this.#columns ??= columnsOf(this.#writes);
    const { count, at, firstTrigger, triggers } = this.#columns;
    const stream = watchStream(node);
    const clock = new SyncClock(timing, this.#options.syncNs, phaseNs(node) - timing.maxIntervalNs);
    let arrival: SimTime = 0;
    /** Writes from here on are in no sync yet. */
    let first = 0;
    /** When the sync begins that they wait for; Infinity while there is none. */
    let start = Infinity;
    const takeUpTo = (end: number, done: SimTime): void => {
      const last = firstTrigger[end];
      for (let change = firstTrigger[first]; change < last; change++) take(change, done - triggers[change]);
      first = end;
    };
    for (let i = 0; i <= count; i++) {
      if (i < count) arrival = Math.max(arrival, at[i] + drawDelayNs(watch, stream));
      if (timing.carriesTraffic === true) {
        if (i === count || arrival > until) return;
        takeUpTo(i + 1, arrival);
        continue;
      }
      // What arrives at the instant of a sync's beginning is part of it (priorities.ts).
      if (start !== Infinity && (i === count || arrival > start)) {
        const done = start + clock.run(start, distinctPorts(this.#columns, first, i));
        if (done > until) return;
        takeUpTo(i, done);
        start = Infinity;
      }
      if (i < count && start === Infinity) start = clock.next(arrival);
    }
  }
}

/** The writes as columns; `first*` has one entry more than there are writes. */
interface WriteColumns {
  readonly count: number;
  readonly at: Float64Array;
  readonly firstTrigger: Int32Array;
  readonly triggers: Float64Array;
  readonly firstPort: Int32Array;
  readonly ports: Int32Array;
  /** By id of a service port: the last count that met it. */
  readonly met: Float64Array;
  counts: number;
}

function columnsOf(writes: readonly { readonly at: SimTime; readonly write: SliceWrite }[]): WriteColumns {
  const triggers = writes.flatMap(({ write }) => write.triggers);
  const ports = writes.flatMap(({ write }) => write.servicePortIds);
  const columns: WriteColumns = {
    count: writes.length,
    at: Float64Array.from(writes, ({ at }) => at),
    firstTrigger: new Int32Array(writes.length + 1),
    triggers: Float64Array.from(triggers),
    firstPort: new Int32Array(writes.length + 1),
    ports: Int32Array.from(ports),
    met: new Float64Array(ports.reduce((most, id) => Math.max(most, id), 0) + 1),
    counts: 0,
  };
  writes.forEach(({ write }, i) => {
    columns.firstTrigger[i + 1] = columns.firstTrigger[i] + write.triggers.length;
    columns.firstPort[i + 1] = columns.firstPort[i] + write.servicePortIds.length;
  });
  return columns;
}

/** Service ports that the writes `from` .. `end` - 1 are about, each once. */
function distinctPorts(columns: WriteColumns, from: number, end: number): number {
  const { firstPort, ports, met } = columns;
  const number = ++columns.counts;
  let count = 0;
  for (let i = firstPort[from]; i < firstPort[end]; i++) {
    if (met[ports[i]] === number) continue;
    met[ports[i]] = number;
    count++;
  }
  return count;
}

/** When one kube-proxy may sync: the two generations of its runner in closed form (completion-runner.ts, token-bucket-runner.ts). */
class SyncClock {
  readonly #timing: ProxierTiming;
  readonly #syncNs: SyncLength;
  #endedAt: SimTime;
  #fullAt: SimTime;
  #creditNs: SimTime;
  #creditAt: SimTime = 0;

  /** `endedAt`: the end of the last sync, before the beginning. */
  constructor(timing: ProxierTiming, syncNs: SyncLength, endedAt: SimTime) {
    this.#timing = timing;
    this.#syncNs = syncNs;
    this.#endedAt = endedAt;
    this.#fullAt = endedAt;
    this.#creditNs = BURST * timing.minSyncPeriodNs;
  }

  /** When a sync begins that is asked for at `at`, or has been asked for by then; syncs that nobody asks for come before it. */
  next(at: SimTime): SimTime {
    const { maxIntervalNs } = this.#timing;
    for (;;) {
      const unasked = this.#startOf(this.#endedAt + maxIntervalNs);
      if (unasked >= at) break;
      this.#take(unasked);
      this.#fullAt = unasked;
      this.#endedAt = unasked + this.#syncNs('full', 0);
    }
    return this.#startOf(Math.max(at, this.#endedAt));
  }

  /** The sync that begins at `start`: its length. */
  run(start: SimTime, changedServicePorts: number): SimTime {
    const isDue = start - this.#fullAt >= FULL_SYNC_PERIOD_NS;
    const ns = this.#syncNs(isDue ? 'full' : 'partial', changedServicePorts);
    if (isDue) this.#fullAt = start;
    this.#take(start);
    this.#endedAt = start + ns;
    return ns;
  }

  #startOf(at: SimTime): SimTime {
    const { syncRunner, minSyncPeriodNs } = this.#timing;
    const rested = this.#endedAt + minSyncPeriodNs;
    if (syncRunner === 'from-completion') return Math.max(at, rested);
    return this.#creditBy(at) >= minSyncPeriodNs ? at : Math.max(at, rested);
  }

  #creditBy(at: SimTime): SimTime {
    return Math.min(BURST * this.#timing.minSyncPeriodNs, this.#creditNs + at - this.#creditAt);
  }

  #take(at: SimTime): void {
    if (this.#timing.syncRunner === 'from-completion') return;
    this.#creditNs = this.#creditBy(at) - this.#timing.minSyncPeriodNs;
    this.#creditAt = at;
  }
}
