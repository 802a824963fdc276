/**
 * CPU time of a sync of kube-proxy: its own walk, its tools (iptables-restore, iptables-save, ipset) and the kernel.
 *
 * iptables-legacy has no incremental change: iptables-restore reads the whole table, changes it, and the kernel checks and
 * replaces all of it (net/ipv4/netfilter/ip_tables.c do_replace, translate_table). So a sync of one changed service costs
 * O(all rules). For each line iptables-restore also looks chains up in an index whose search grows with the number of chains
 * (libiptc iptcc_chain_index), hence the product lines x rules.
 */
import type { CostProfile } from '../model/profile.ts';
import type { SyncReport } from '../model/sync-report.ts';

/** The parts of a sync's duration, in nanoseconds of CPU time. */
export interface SyncParts {
  readonly proxyNs: number;
  readonly restoreNs: number;
  readonly saveNs: number;
  readonly netlinkNs: number;
  readonly ipsetNs: number;
  readonly addressNs: number;
  readonly conntrackNs: number;
}

export function syncParts(profile: CostProfile, report: SyncReport, engine: 'iptables' | 'ipvs'): SyncParts {
  const c = profile.sync;
  const perInstruction = c.nsPerInstruction.value;
  const serviceRules = engine === 'iptables' ? report.servicePorts : 0;
  return {
    proxyNs: report.servicePorts * c.proxyServicePortNs.value,
    restoreNs: report.restoreLines === 0 ? 0 : restoreNs(profile, report.restoreLines, report.tableRules, serviceRules),
    saveNs: report.savedLines === 0 ? 0 : c.execNs.value + report.savedLines * c.saveLineNs.value,
    netlinkNs:
      perInstruction *
      (report.netlinkRequests * c.netlinkRequestInstructions.value +
        report.netlinkReads * c.netlinkReadInstructions.value),
    ipsetNs: report.ipsetChanges * c.execNs.value,
    addressNs: perInstruction * addressInstructions(profile, report.addressChanges, report.addressesBound),
    conntrackNs: perInstruction * report.conntrackDeletes * c.conntrackDeleteInstructions.value,
  };
}

/** Nanoseconds of CPU time, rounded to an integer so that it can be a SimTime. */
export function syncDurationNs(profile: CostProfile, report: SyncReport, engine: 'iptables' | 'ipvs'): number {
  const p = syncParts(profile, report, engine);
  return Math.round(p.proxyNs + p.restoreNs + p.saveNs + p.netlinkNs + p.ipsetNs + p.addressNs + p.conntrackNs);
}

/** One iptables-restore --noflush of `lines` lines into a table that has `tableRules` rules, `serviceRules` of them in KUBE-SERVICES. */
export function restoreNs(profile: CostProfile, lines: number, tableRules: number, serviceRules: number): number {
  const c = profile.sync;
  return (
    c.execNs.value +
    lines * c.restoreLineNs.value +
    tableRules * c.tableRuleNs.value +
    serviceRules * c.serviceRuleNs.value +
    lines * tableRules * c.lineTimesTableRuleNs.value
  );
}

/** Each address is compared with those already on the device (net/ipv4/devinet.c __inet_insert_ifa), so n of them take O(n^2). */
export function addressInstructions(profile: CostProfile, changes: number, boundAfter: number): number {
  const c = profile.sync;
  const meanBound = (boundAfter + Math.max(0, boundAfter - changes)) / 2;
  return changes * (c.addressInstructions.value + meanBound * c.addressTimesBoundInstructions.value);
}

/** What kube-proxy knows has changed when it begins a sync. */
export interface PendingChange {
  readonly kind: 'full' | 'partial';
  readonly changedServicePorts: number;
  /** Endpoints that come or go among them. */
  readonly changedEndpoints: number;
}

/** Table headers, COMMITs, chain declarations and rules of kube-proxy's own that a restore always has. */
const FIXED_RESTORE_LINES = 50;

/** The report that a sync will probably give, from the last one. Exact reports come from the engine; this is for planning only. */
export function predictSyncReport(engine: 'iptables' | 'ipvs', last: SyncReport, change: PendingChange): SyncReport {
  const unchanged = {
    ...last,
    kind: change.kind,
    changedServicePorts: change.changedServicePorts,
    conntrackDeletes: 0,
  };
  if (engine === 'ipvs') {
    // kube-proxy visits every virtual server and reads it and its real servers (proxier.go syncService, syncEndpoint).
    return {
      ...unchanged,
      netlinkRequests: change.changedEndpoints,
      ipsetChanges: Math.min(last.ipsetChanges, change.changedEndpoints),
      addressChanges: 0,
    };
  }
  const chainRules = Math.max(0, last.tableRules - last.servicePorts);
  const perServicePort = last.servicePorts === 0 ? 0 : chainRules / last.servicePorts;
  // E endpoints make 1 + 3E rules in 1 + E chains, and a chain is a line, too: of r rules, (4r + 2) / 3 lines.
  const linesEach = (4 * perServicePort + 2) / 3;
  const rewritten =
    change.kind === 'full' ? last.servicePorts : Math.min(change.changedServicePorts, last.servicePorts);
  return {
    ...unchanged,
    restoreLines: Math.round(FIXED_RESTORE_LINES + last.servicePorts + rewritten * linesEach),
    savedLines: last.savedLines,
  };
}

/**
 * An estimate of a sync's duration for the moment when kube-proxy begins it, before the engine is told. The cost that is
 * recorded for the sync comes from its true report afterwards.
 */
export function predictSyncDurationNs(
  profile: CostProfile,
  engine: 'iptables' | 'ipvs',
  last: SyncReport,
  change: PendingChange,
): number {
  return syncDurationNs(profile, predictSyncReport(engine, last, change), engine);
}
