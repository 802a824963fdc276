/**
 * kube-proxy on the observed node: takes EndpointSlice events, decides when to sync, and hands each sync to the engine's
 * side through a port [pkg/proxy/endpointschangetracker.go, pkg/proxy/iptables/proxier.go syncProxyRules].
 */
import type { ClusterDelta, ClusterState, Endpoint, ServicePort } from '../model/cluster.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import { assert } from '../sim/assert.ts';
import type { Simulation } from '../sim/simulation.ts';
import { BehindClock } from './behind-clock.ts';
import type { EmitEvent } from './control-event.ts';
import type { SliceWrite } from './endpoint-slices.ts';
import { PRIORITY_PROXIER_COMMIT, PRIORITY_PROXIER_SYNC } from './priorities.ts';
import type { SliceCache } from './slice-cache.ts';
import { createSyncRunner } from './sync-runner.ts';
import type { RunReason, SyncRunner, SyncRunnerKind } from './sync-runner.ts';

/** kube-proxy's iptables and nftables modes rewrite everything at least this often [pkg/proxy/util FullSyncPeriod]. */
export const FULL_SYNC_PERIOD_NS = 3600 * NS_PER_S;

export interface SyncRequest {
  /** full: everything is written anew; partial: what the delta holds, in the way of the mode. */
  readonly kind: 'full' | 'partial';
  /** The cluster as kube-proxy sees it when the sync begins, the delta's service ports included. */
  readonly state: ClusterState;
  /** What has changed since the sync before. Empty at the first sync and at periodic ones, unless a change comes at that very instant. */
  readonly delta: ClusterDelta;
}

/** The data path that is programmed. */
export interface SyncPort {
  /** kube-proxy begins a sync: how long until the rules are in the kernel, ns. */
  begin(request: SyncRequest): number;
  /** At now + that: the rules take effect. */
  commit(request: SyncRequest): void;
  /** At now + that, where the sync fails: it has taken its time, and no rule has changed. */
  fail?(request: SyncRequest, durationNs: SimTime): void;
  /** kube-proxy's process stops; what it had written stays as it is. */
  interrupt?(): void;
}

/** kube-proxy's configuration in ns. */
export interface ProxierTiming {
  readonly syncRunner: SyncRunnerKind;
  readonly minSyncPeriodNs: SimTime;
  /** From a failed sync to the retry [RetryAfter(syncPeriod); from v1.34 on the runner's retryInterval, which is syncPeriod]. */
  readonly syncPeriodNs: SimTime;
  /** From a sync to one that nobody asked for: IPVS and userspace syncPeriod, iptables and nftables 1 hour. */
  readonly maxIntervalNs: SimTime;
  /**
   * The process carries the traffic itself (userspace mode): it takes a change of endpoints over at once, without a sync, and what it
   * does unasked is no full sync, which would cut every connection [pkg/proxy/userspace/proxier.go OnEndpointsUpdate].
   */
  readonly carriesTraffic?: boolean;
}

export interface ProxierOptions {
  readonly simulation: Simulation;
  readonly nodeName: string;
  readonly timing: ProxierTiming;
  /** Its own, after the initial list. */
  readonly cache: SliceCache;
  /** From the beginning to the first sync that nobody asks for; absent: the whole interval, as if a sync had just ended. */
  readonly phaseNs?: SimTime;
  readonly sync: SyncPort;
  readonly emit: EmitEvent;
  readonly reachable?: Reachable;
}

/** The endpoints of a service port that some traffic can reach from the observed node, by its policies and its endpoints' hints. */
export type Reachable = (port: ServicePort) => readonly Endpoint[];

export class Proxier {
  readonly #options: ProxierOptions;
  readonly #simulation: Simulation;
  readonly #cache: SliceCache;
  #runner: SyncRunner;
  #committed: ClusterState;
  readonly #changedIds = new Set<number>();
  #triggers: SimTime[] = [];
  #lastFullSync: SimTime = 0;
  #syncs = 0;
  #failedSyncs = 0;
  /** Syncs that would end before this fail. */
  #failsUntil: SimTime = 0;
  /** What a failed sync was to write is not known piece by piece any more [needFullSync]. */
  #needsFullSync = false;
  readonly #behind = new BehindClock();
  /** Number of kube-proxy's process; what an earlier one has begun does not end. */
  #process = 1;
  #isDown = false;
  /** What the sync that has begun is to bring. */
  #underWay: { readonly ids: readonly number[]; readonly triggers: readonly SimTime[] } | undefined;
  #coalescedChanges = 0;
  #initialSyncNs: SimTime = 0;
  readonly #latencies: number[] = [];

  constructor(options: ProxierOptions) {
    this.#options = options;
    this.#simulation = options.simulation;
    this.#cache = options.cache;
    this.#runner = this.#newRunner();
    this.#committed = { servicePorts: [] };
  }

  get nodeName(): string {
    return this.#options.nodeName;
  }

  get syncs(): number {
    return this.#syncs;
  }

  get failedSyncs(): number {
    return this.#failedSyncs;
  }

  /** How long so far the rules have lacked some change that had come to the node, ns. */
  get behindNs(): SimTime {
    return this.#behind.totalNs(this.#simulation.now);
  }

  /** Changes that found a sync asked for already and went along with it. */
  get coalescedChanges(): number {
    return this.#coalescedChanges;
  }

  /** Network programming latencies so far, ns, in order of commit. */
  get latencies(): readonly number[] {
    return this.#latencies;
  }

  /** How long the first sync would have taken, ns. */
  get initialSyncNs(): SimTime {
    return this.#initialSyncNs;
  }

  /**
   * The first sync, full, at once and without waiting for it: a trial starts on a node whose rules are in place, some time after its
   * last sync.
   */
  start(): void {
    const { timing, phaseNs } = this.#options;
    const request: SyncRequest = { kind: 'full', state: this.#cache.state, delta: { upserted: [], removedIds: [] } };
    this.#syncs++;
    this.#options.emit('sync_started', `first full sync on ${this.#options.nodeName} started`);
    this.#initialSyncNs = durationOf(this.#options.sync.begin(request));
    this.#finish(request, [], this.#initialSyncNs);
    const endedAt =
      phaseNs === undefined ? this.#simulation.now : this.#simulation.now + phaseNs - timing.maxIntervalNs;
    this.#lastFullSync = endedAt;
    this.#runner.completed(endedAt);
  }

  /** An EndpointSlice event has come. What leaves the slice as kube-proxy knows it causes no sync [esDataChanged]. */
  receive(write: SliceWrite): void {
    if (!this.#cache.receive(write)) return;
    for (const id of write.servicePortIds) this.#changedIds.add(id);
    this.#triggers.push(...write.triggers);
    this.#behind.changed(this.#simulation.now);
    if (this.#isDown) return;
    if (this.#options.timing.carriesTraffic === true) this.#takeOver();
    else if (!this.#runner.request()) this.#coalescedChanges++;
  }

  /** From now until then no sync succeeds, but for the one that a trial starts with. */
  failSyncs(until: SimTime): void {
    this.#failsUntil = Math.max(this.#failsUntil, until);
  }

  /** The process stops and a new one starts `downNs` later, with a full sync that the traffic does not wait for. */
  restart(downNs: SimTime): void {
    const { emit, nodeName, sync } = this.#options;
    const process = ++this.#process;
    this.#isDown = true;
    this.#takeBack();
    emit('proxy_stopped', `kube-proxy on ${nodeName} stopped`);
    sync.interrupt?.();
    this.#simulation.at(this.#simulation.now + downNs, PRIORITY_PROXIER_SYNC, () => {
      if (process !== this.#process) return;
      this.#isDown = false;
      this.#runner = this.#newRunner();
      emit('proxy_started', `kube-proxy on ${nodeName} started`);
      this.#run(true);
    });
  }

  /** A runner in the state of a run; it is deaf once the process has ended. */
  #newRunner(): SyncRunner {
    const { syncRunner, minSyncPeriodNs, maxIntervalNs, syncPeriodNs } = this.#options.timing;
    const process = this.#process;
    return createSyncRunner(syncRunner, {
      simulation: this.#simulation,
      minIntervalNs: minSyncPeriodNs,
      maxIntervalNs,
      retryIntervalNs: syncPeriodNs,
      run: (reason) => {
        if (process === this.#process) this.#begin(reason);
      },
    });
  }

  /** Endpoints that the rules in the kernel lead to. */
  installedEndpoints(servicePortId: number): number {
    return this.#committedEndpoints(servicePortId).length;
  }

  /** Those of them at whose address a process listens. */
  servingEndpoints(servicePortId: number, listens: (address: number) => boolean): number {
    return this.#committedEndpoints(servicePortId).filter((endpoint) => listens(endpoint.address)).length;
  }

  #committedEndpoints(servicePortId: number): readonly Endpoint[] {
    const port = this.#cache.portIn(this.#committed, servicePortId);
    return port === undefined ? [] : (this.#options.reachable ?? usableEndpoints)(port);
  }

  #begin(reason: RunReason): void {
    const isDue = reason === 'interval' || this.#simulation.now - this.#lastFullSync >= FULL_SYNC_PERIOD_NS;
    this.#run(this.#needsFullSync || (isDue && this.#options.timing.carriesTraffic !== true));
  }

  #run(isFull: boolean): void {
    const { ids, triggers, delta } = this.#takeChanges();
    const request: SyncRequest = { kind: isFull ? 'full' : 'partial', state: this.#cache.state, delta };
    if (isFull) this.#lastFullSync = this.#simulation.now;
    this.#syncs++;
    const what = `${request.kind} sync on ${this.#options.nodeName}`;
    this.#options.emit('sync_started', `${what} started: ${ids.length} service ports changed`, ids);
    const duration = durationOf(this.#options.sync.begin(request));
    const process = this.#process;
    this.#underWay = { ids, triggers };
    this.#simulation.at(this.#simulation.now + duration, PRIORITY_PROXIER_COMMIT, () => {
      if (process !== this.#process) return;
      if (this.#simulation.now < this.#failsUntil) {
        this.#fail(request, duration);
        return;
      }
      this.#underWay = undefined;
      this.#finish(request, triggers, duration);
      this.#runner.completed();
    });
  }

  /**
   * iptables-restore or the transaction has failed: the kernel has none of it. IPVS mode, which writes piece by piece and goes on after an
   * error, is taken to have met one at every piece; it has no retry of its own up to v1.33, and its next run is due at that time anyway.
   */
  #fail(request: SyncRequest, duration: SimTime): void {
    const { emit, nodeName, sync, timing } = this.#options;
    this.#failedSyncs++;
    // A process that carries the traffic has taken the changes over without the sync; a full one would cut its connections.
    if (request.kind === 'full' || timing.carriesTraffic !== true) this.#needsFullSync = true;
    const ids = this.#underWay?.ids;
    this.#takeBack();
    sync.fail?.(request, duration);
    const when = `again after ${timing.syncPeriodNs / NS_PER_S} s at the latest`;
    emit('sync_failed', `${request.kind} sync on ${nodeName} failed after ${duration / NS_PER_MS} ms; ${when}`, ids);
    this.#runner.failed();
  }

  /** What a sync that has begun was to bring is still to come. */
  #takeBack(): void {
    for (const id of this.#underWay?.ids ?? []) this.#changedIds.add(id);
    this.#triggers.unshift(...(this.#underWay?.triggers ?? []));
    this.#underWay = undefined;
  }

  /** The changes that no sync has begun to write, with the state that they lead to. */
  #takeChanges(): { ids: readonly number[]; triggers: readonly SimTime[]; delta: ClusterDelta } {
    const ids = [...this.#changedIds].sort((a, b) => a - b);
    const triggers = this.#triggers;
    this.#changedIds.clear();
    this.#triggers = [];
    return { ids, triggers, delta: { upserted: this.#cache.rebuild(ids), removedIds: [] } };
  }

  /** Endpoints are told to the process that carries the traffic; no rule changes. */
  #takeOver(): void {
    const { triggers, delta } = this.#takeChanges();
    this.#options.sync.commit({ kind: 'partial', state: this.#cache.state, delta });
    this.#committed = this.#cache.state;
    this.#behind.caughtUp(this.#simulation.now, false);
    for (const trigger of triggers) this.#latencies.push(this.#simulation.now - trigger);
  }

  /** The rules take effect. */
  #finish(request: SyncRequest, triggers: readonly SimTime[], duration: SimTime): void {
    this.#options.sync.commit(request);
    this.#committed = request.state;
    if (request.kind === 'full') this.#needsFullSync = false;
    this.#behind.caughtUp(this.#simulation.now, this.#changedIds.size > 0);
    for (const trigger of triggers) this.#latencies.push(this.#simulation.now - trigger);
    const ids = request.delta.upserted.map((port) => port.id);
    const what = `${request.kind} sync on ${this.#options.nodeName}`;
    this.#options.emit('sync_finished', `${what} finished after ${duration / NS_PER_MS} ms`, ids);
  }
}

/**
 * Usable endpoints of a plain service port [pkg/proxy/topology.go CategorizeEndpoints]: the ready ones, or if there is none those that
 * serve while they terminate. One address and port counts once.
 */
function usableEndpoints({ endpoints }: ServicePort): Endpoint[] {
  const ready = new Map<number, Endpoint>();
  const terminating = new Map<number, Endpoint>();
  for (const endpoint of endpoints) {
    const key = endpoint.address * 65536 + endpoint.port;
    if (endpoint.ready) ready.set(key, endpoint);
    else if (endpoint.serving && endpoint.terminating) terminating.set(key, endpoint);
  }
  return [...(ready.size > 0 ? ready : terminating).values()];
}

function durationOf(ns: number): SimTime {
  assert(ns >= 0, `a sync takes ${ns} ns`);
  return Math.round(ns);
}
