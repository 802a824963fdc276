import { describe, expect, it } from 'vitest';
import { proxyBytes, syncDurationNs } from '../costs/sync-cost.ts';
import { NO_SYNC_WORK, type SyncReport } from '../model/sync-report.ts';
import { CLUSTER, HEAD, load } from '../scenarios/load-fixtures.ts';
import { SyncLog, syncMetrics } from './sync-log.ts';

const loaded = load(`${HEAD}${CLUSTER}`);

function report(work: Partial<SyncReport>): SyncReport {
  return {
    ...NO_SYNC_WORK,
    kind: 'full',
    servicePorts: 10,
    changedServicePorts: 1,
    rules: 50,
    tableRules: 40,
    ...work,
  };
}

describe('SyncLog', () => {
  it('adds up CPU time, operations and lines over all syncs, the first one included', () => {
    const point = loaded.resolvePoint({});
    const log = new SyncLog(point, 'iptables', 40);
    const reports = [
      report({ restoreLines: 100, restoreBytes: 9000 }),
      report({ restoreLines: 7, restoreBytes: 500, conntrackDeletes: 2 }),
      report({ restoreLines: 90 }),
    ];
    log.record(reports[0], true);
    log.record(reports[1], false);
    log.record(reports[2], true);
    const [first, partial, last] = reports.map((each) =>
      syncDurationNs(point.profile, each, 'iptables', { iptablesBackend: 'legacy', endpoints: 40 }),
    );
    expect(log.first).toBe(reports[0]);
    expect(syncMetrics([log])).toEqual({
      sync_full_ms: first / 1e6,
      sync_incremental_mean_ms: partial / 1e6,
      syncs: 3,
      failed_syncs: 0,
      sync_cpu_s: (first + partial + last) / 1e9,
      sync_operations: 2,
      restore_lines: 197,
      restore_bytes: 9500,
      kube_proxy_memory_bytes: proxyBytes(point.profile, reports[2].servicePorts, 40),
    });
  });

  it('counts failed syncs apart, with the time that they took', () => {
    const point = loaded.resolvePoint({});
    const log = new SyncLog(point, 'iptables', 0);
    const first = report({ restoreLines: 100 });
    log.record(first, true);
    log.fail(5e8);
    expect(syncMetrics([log])).toMatchObject({
      syncs: 1,
      failed_syncs: 1,
      sync_cpu_s: (syncDurationNs(point.profile, first, 'iptables') + 5e8) / 1e9,
      restore_lines: 100,
      sync_incremental_mean_ms: null,
    });
  });

  it('counts each kind of operation once, and no lines where none were fed', () => {
    const log = new SyncLog(loaded.resolvePoint({}), 'ipvs', 0);
    const work = { netlinkRequests: 1, netlinkReads: 2, ipsetChanges: 4, addressChanges: 8 };
    log.record(report({ ...work, transactionOperations: 16, iptablesCommands: 32, conntrackDeletes: 64 }), true);
    expect(syncMetrics([log])).toMatchObject({
      sync_operations: 127,
      restore_lines: null,
      sync_incremental_mean_ms: null,
    });
  });
});
