/**
 * CPU time of a sync of kube-proxy: its own walk, its tools (iptables-restore, iptables-save, ipset) and the kernel.
 *
 * iptables-legacy has no incremental change: iptables-restore reads the whole table, changes it, and the kernel checks and
 * replaces all of it (net/ipv4/netfilter/ip_tables.c do_replace, translate_table). So a sync of one changed service costs
 * O(all rules). For each line iptables-restore also looks chains up in an index whose search grows with the number of chains
 * (libiptc iptcc_chain_index), hence the product lines x rules.
 *
 * nftables changes what differs, but not for nothing: nft reads the table before it writes, the kernel checks it as a whole, and
 * each anonymous map (one a service chain) gets a name and a handle by a search through the list of those that are there and of
 * what is not committed yet (net/netfilter/nf_tables_api.c nf_tables_set_alloc_name, nft_set_lookup_byid). So a table of n services
 * that is written at once takes O(n^2).
 */
import type { EngineName } from '../model/engine-name.ts';
import type { CostProfile } from '../model/profile.ts';
import type { SyncReport } from '../model/sync-report.ts';

/** The parts of a sync's duration, in nanoseconds of CPU time. `nftNs`: transactions; `listNs`: listings of the table; `commandNs`: `iptables`, a rule each. */
export interface SyncParts {
  readonly proxyNs: number;
  readonly restoreNs: number;
  readonly saveNs: number;
  readonly netlinkNs: number;
  readonly ipsetNs: number;
  readonly addressNs: number;
  readonly conntrackNs: number;
  readonly nftNs: number;
  readonly listNs: number;
  readonly commandNs: number;
}

export function syncParts(profile: CostProfile, report: SyncReport, engine: EngineName): SyncParts {
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
    nftNs: nftNs(profile, report),
    listNs: engine === 'nftables' ? listingNs(profile, report.tableRules, report.servicePorts) : 0,
    commandNs: report.iptablesCommands * (c.execNs.value + report.tableRules * c.commandTableRuleNs.value),
  };
}

/** Nanoseconds of CPU time, rounded to an integer so that it can be a SimTime. */
export function syncDurationNs(profile: CostProfile, report: SyncReport, engine: EngineName): number {
  const p = syncParts(profile, report, engine);
  return Math.round(
    p.proxyNs +
      p.restoreNs +
      p.saveNs +
      p.netlinkNs +
      p.ipsetNs +
      p.addressNs +
      p.conntrackNs +
      p.nftNs +
      p.listNs +
      p.commandNs,
  );
}

/** One `nft -f` with `operations` into a table that has `tableRules` rules afterwards and `mapsThere` anonymous maps, the mean while it makes `mapsMade`. */
export function transactionNs(
  profile: CostProfile,
  operations: number,
  tableRules: number,
  mapsMade: number,
  mapsThere: number,
): number {
  const c = profile.nftSync;
  return (
    profile.sync.execNs.value +
    tableRules * c.tableRuleNs.value +
    tableRules * tableRules * c.tableRuleSquaredNs.value +
    operations * c.operationNs.value +
    mapsMade * mapsThere * c.mapTimesMapsNs.value +
    mapsMade * operations * c.mapTimesOperationsNs.value
  );
}

/** A listing of the table's chains and sets: netlink dumps begin at the head of the list with each message, hence the square. */
export function listingNs(profile: CostProfile, tableRules: number, servicePorts: number): number {
  const c = profile.nftSync;
  const one =
    profile.sync.execNs.value +
    tableRules * c.listRuleNs.value +
    servicePorts * servicePorts * c.listServicesSquaredNs.value;
  return c.listings.value * one;
}

/**
 * Each service port that is written makes an anonymous map. A first sync begins without any; where the table was there before, its
 * maps stay until the commit, and such a sync takes up to three times as long.
 */
function nftNs(profile: CostProfile, report: SyncReport): number {
  if (report.transactions === 0) return 0;
  const made = report.changedServicePorts;
  const there = report.kind === 'full' ? made / 2 : report.servicePorts + made / 2;
  // Transactions before the main one delete stale chains alone.
  const others = (report.transactions - 1) * transactionNs(profile, 0, report.tableRules, 0, 0);
  return transactionNs(profile, report.transactionOperations, report.tableRules, made, there) + others;
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
export function predictSyncReport(engine: EngineName, last: SyncReport, change: PendingChange): SyncReport {
  const unchanged = {
    ...last,
    kind: change.kind,
    changedServicePorts: change.changedServicePorts,
    conntrackDeletes: 0,
  };
  switch (engine) {
    case 'iptables':
      return { ...unchanged, restoreLines: restoreLines(last, change) };
    case 'ipvs':
      // kube-proxy visits every virtual server and reads it and its real servers (proxier.go syncService, syncEndpoint).
      return {
        ...unchanged,
        netlinkRequests: change.changedEndpoints,
        ipsetChanges: Math.min(last.ipsetChanges, change.changedEndpoints),
        addressChanges: 0,
      };
    case 'nftables':
      return { ...unchanged, transactions: 1, transactionOperations: nftOperations(last, change) };
    case 'userspace':
      // A full sync checks each rule once more; a change of endpoints alone tells the balancer and touches no rule.
      return { ...unchanged, iptablesCommands: change.kind === 'full' ? last.tableRules : 0 };
  }
}

function restoreLines(last: SyncReport, change: PendingChange): number {
  const chainRules = Math.max(0, last.tableRules - last.servicePorts);
  const perServicePort = last.servicePorts === 0 ? 0 : chainRules / last.servicePorts;
  // E endpoints make 1 + 3E rules in 1 + E chains, and a chain is a line, too: of r rules, (4r + 2) / 3 lines.
  const linesEach = (4 * perServicePort + 2) / 3;
  return Math.round(FIXED_RESTORE_LINES + last.servicePorts + rewritten(last, change) * linesEach);
}

/** E endpoints make 2 + 2E rules in 1 + E chains; a chain that is written again is added, flushed and filled: two operations a rule. */
function nftOperations(last: SyncReport, change: PendingChange): number {
  const perServicePort = last.servicePorts === 0 ? 0 : last.tableRules / last.servicePorts;
  return Math.round(2 * perServicePort * rewritten(last, change));
}

function rewritten(last: SyncReport, change: PendingChange): number {
  return change.kind === 'full' ? last.servicePorts : Math.min(change.changedServicePorts, last.servicePorts);
}

/**
 * An estimate of a sync's duration for the moment when kube-proxy begins it, before the engine is told. The cost that is
 * recorded for the sync comes from its true report afterwards.
 */
export function predictSyncDurationNs(
  profile: CostProfile,
  engine: EngineName,
  last: SyncReport,
  change: PendingChange,
): number {
  return syncDurationNs(profile, predictSyncReport(engine, last, change), engine);
}
