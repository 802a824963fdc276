/** Costs of kube-proxy's syncs, and the guess of a sync's length that is needed when it begins. */
import type { SyncRequest } from '../control/proxier.ts';
import { predictSyncDurationNs, proxyBytes, syncDurationNs } from '../costs/sync-cost.ts';
import type { PendingChange, SyncSetup } from '../costs/sync-cost.ts';
import type { Cell } from '../model/observation.ts';
import type { SyncReport } from '../model/sync-report.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import type { PointSpec } from '../scenarios/spec.ts';
import { assert } from '../sim/assert.ts';
import type { Trial } from './sweep-plan.ts';

export class SyncLog {
  readonly #profile: PointSpec['profile'];
  readonly #engine: Trial['engine'];
  readonly #setup: SyncSetup;
  /** Every sync writes everything, whatever it is called for. */
  readonly #alwaysFull: boolean;
  #first: SyncReport | undefined;
  #last: SyncReport | undefined;
  #fullMs = 0;
  #cpuNs = 0;
  #operations = 0;
  #restoreLines = 0;
  #restoreBytes = 0;
  readonly #incrementalMs: number[] = [];
  #count = 0;
  /** Asked for again and again, by the number of changed service ports. */
  readonly #lengthsNs: Record<'full' | 'partial', number[]> = { full: [], partial: [] };
  #failures = 0;

  /** `endpoints`: as many as kube-proxy knows. */
  constructor(point: PointSpec, engine: Trial['engine'], endpoints: number) {
    this.#profile = point.profile;
    this.#engine = engine;
    this.#setup = { iptablesBackend: point.proxy.iptablesBackend, endpoints };
    this.#alwaysFull = engine === 'iptables' && !point.proxy.kubeProxy.iptablesPartialSync;
  }

  /** The report of the first sync, which is full. */
  get first(): SyncReport {
    assert(this.#first !== undefined, 'A trial begins with a full sync');
    return this.#first;
  }

  begin(request: SyncRequest): number {
    if (this.#last === undefined) return 0;
    const changed = request.delta.upserted.length + request.delta.removedIds.length;
    return this.#predictNs(this.#last, request.kind, changed);
  }

  /** How long a sync takes on a node that is like this one, by what its last sync wrote; to be asked at the end of a trial. */
  lengthNs(kind: 'full' | 'partial', changedServicePorts: number): number {
    const known = this.#lengthsNs[kind];
    known[changedServicePorts] ??= Math.round(this.#predictNs(this.#last ?? this.first, kind, changedServicePorts));
    return known[changedServicePorts];
  }

  #predictNs(last: SyncReport, kind: 'full' | 'partial', changedServicePorts: number): number {
    const change: PendingChange = {
      kind: this.#alwaysFull ? 'full' : kind,
      changedServicePorts,
      // Most changes that cause a sync are one pod's.
      changedEndpoints: changedServicePorts,
    };
    return predictSyncDurationNs(this.#profile, this.#engine, last, change, this.#setup);
  }

  record(report: SyncReport, full: boolean): void {
    const ns = syncDurationNs(this.#profile, report, this.#engine, this.#setup);
    this.#count++;
    this.#cpuNs += ns;
    this.#operations += operationsOf(report);
    this.#restoreLines += report.restoreLines;
    this.#restoreBytes += report.restoreBytes;
    if (this.#last === undefined) {
      this.#first = report;
      this.#fullMs = ns / NS_PER_MS;
    } else if (!full) this.#incrementalMs.push(ns / NS_PER_MS);
    this.#last = report;
  }

  get incrementalMs(): readonly number[] {
    return this.#incrementalMs;
  }

  /** A sync that was begun has failed after so long. It made no report: what it asked of the kernel is not known. */
  fail(durationNs: number): void {
    this.#failures++;
    this.#cpuNs += durationNs;
  }

  /** Over all syncs, the first one included, by column. */
  totals(): SyncTotals {
    return {
      sync_full_ms: this.#fullMs,
      syncs: this.#count,
      failed_syncs: this.#failures,
      sync_cpu_s: this.#cpuNs / NS_PER_S,
      sync_operations: this.#operations,
      restore_lines: this.#restoreLines,
      restore_bytes: this.#restoreBytes,
      kube_proxy_memory_bytes: proxyBytes(
        this.#profile,
        (this.#last ?? this.first).servicePorts,
        this.#setup.endpoints,
      ),
    };
  }
}

interface SyncTotals {
  readonly sync_full_ms: number;
  readonly syncs: number;
  readonly failed_syncs: number;
  readonly sync_cpu_s: number;
  readonly sync_operations: number;
  readonly restore_lines: number;
  readonly restore_bytes: number;
  readonly kube_proxy_memory_bytes: number;
}

/** Means over the observed nodes. Restore lines are null in a mode that feeds none to iptables-restore, their bytes in all but iptables mode. */
export function syncMetrics(logs: readonly SyncLog[]): Record<string, Cell> {
  const totals = logs.map((log) => log.totals());
  const mean = (column: keyof SyncTotals): number =>
    totals.reduce((sum, each) => sum + each[column], 0) / totals.length;
  const incremental = logs.flatMap((log) => log.incrementalMs);
  const restoreLines = mean('restore_lines');
  const restoreBytes = mean('restore_bytes');
  return {
    sync_full_ms: mean('sync_full_ms'),
    sync_incremental_mean_ms:
      incremental.length === 0 ? null : incremental.reduce((sum, ms) => sum + ms, 0) / incremental.length,
    syncs: mean('syncs'),
    failed_syncs: mean('failed_syncs'),
    sync_cpu_s: mean('sync_cpu_s'),
    sync_operations: mean('sync_operations'),
    kube_proxy_memory_bytes: mean('kube_proxy_memory_bytes'),
    restore_lines: restoreLines === 0 ? null : restoreLines,
    restore_bytes: restoreBytes === 0 ? null : restoreBytes,
  };
}

/** What a sync asks of the kernel one by one, restore lines apart. */
function operationsOf(report: SyncReport): number {
  return (
    report.netlinkRequests +
    report.netlinkReads +
    report.ipsetChanges +
    report.addressChanges +
    report.transactionOperations +
    report.iptablesCommands +
    report.conntrackDeletes
  );
}
