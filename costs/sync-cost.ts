/**
 * CPU time of a sync of kube-proxy: its own walk, its tools (iptables-restore, iptables-save, ipset) and the kernel.
 *
 * iptables-legacy has no incremental change: iptables-restore reads the whole table, changes it, and the kernel checks and
 * replaces all of it (net/ipv4/netfilter/ip_tables.c do_replace, translate_table). So a sync of one changed service costs
 * O(all rules). The tool looks up by name the chain that a rule jumps to, and puts each chain that it writes into a list (libiptc
 * iptcc_find_label, iptcc_insert_chain): hence rules of KUBE-SERVICES x chains, and the square of the chains written.
 *
 * nftables changes what differs, but not for nothing: nft reads the table before it writes, the kernel checks it as a whole, and
 * each anonymous map (one a service chain) gets a name and a handle by a search through the list of those that are there and of
 * what is not committed yet (net/netfilter/nf_tables_api.c nf_tables_set_alloc_name, nft_set_lookup_byid). So a table of n services
 * that is written at once takes O(n^2).
 */
import type { EngineName } from '../model/engine-name.ts';
import type { CostProfile, RestoreCosts } from '../model/profile.ts';
import type { SyncReport } from '../model/sync-report.ts';
import type { IptablesBackend } from './context.ts';
import { instructionsOf } from './ipvs-cost-model.ts';

/**
 * The parts of a sync's CPU time, in the profile's unit. `nft`: transactions; `list`: listings of the table; `command`: `iptables`, a
 * rule each; `netlink`, `address` and `conntrack` from counted instructions.
 */
export interface SyncParts {
  readonly proxy: number;
  readonly restore: number;
  readonly save: number;
  readonly netlink: number;
  readonly ipset: number;
  readonly address: number;
  readonly conntrack: number;
  readonly nft: number;
  readonly list: number;
  readonly command: number;
}

/** What a sync's report does not say. */
export interface SyncSetup {
  readonly iptablesBackend: IptablesBackend;
  /** Endpoints that kube-proxy knows, all of which it walks through at each sync. */
  readonly endpoints: number;
}

const PLAIN_SETUP: SyncSetup = { iptablesBackend: 'legacy', endpoints: 0 };

export function syncParts(
  profile: CostProfile,
  report: SyncReport,
  engine: EngineName,
  { iptablesBackend, endpoints }: SyncSetup = PLAIN_SETUP,
): SyncParts {
  const { ipvs } = instructionsOf(profile);
  const perInstruction = profile.unit === 'ns' ? profile.ipvsBridge.syncNsPerInstruction.value : 1;
  const { exec } = profile.proxy;
  const costs = restoreCosts(profile, iptablesBackend);
  return {
    proxy: report.servicePorts * profile.proxy.servicePort.value + endpoints * profile.proxy.endpoint.value,
    restore: report.restoreLines === 0 ? 0 : restoreCost(profile, restoreWork(report), iptablesBackend),
    save: report.savedLines === 0 ? 0 : saveCost(profile, report.savedLines, iptablesBackend),
    netlink:
      perInstruction * (report.netlinkRequests * ipvs.addRequest.value + report.netlinkReads * ipvs.readRequest.value),
    ipset: report.ipsetChanges * exec.value,
    address: perInstruction * addressInstructions(profile, report.addressChanges, report.addressesBound),
    conntrack: perInstruction * report.conntrackDeletes * ipvs.conntrackDelete.value,
    nft: nftCost(profile, report),
    list: engine === 'nftables' ? listingCost(profile, report.tableRules, report.servicePorts) : 0,
    command: report.iptablesCommands * (exec.value + report.tableRules * costs.commandTableRule.value),
  };
}

/** Nanoseconds of CPU time, rounded to an integer so that it can be a SimTime. */
export function syncDurationNs(
  profile: CostProfile,
  report: SyncReport,
  engine: EngineName,
  setup: SyncSetup = PLAIN_SETUP,
): number {
  const p = syncParts(profile, report, engine, setup);
  const sum = p.proxy + p.restore + p.save + p.netlink + p.ipset + p.address + p.conntrack + p.nft + p.list + p.command;
  return Math.round(syncNs(profile, sum));
}

/** How long a sync's cost, in the profile's unit, takes on its machine or rig. */
export function syncNs(profile: CostProfile, cost: number): number {
  return (
    cost * (profile.unit === 'ns' ? (profile.rig?.syncTimeRatio.value ?? 1) : profile.clock.syncNsPerInstruction.value)
  );
}

/** One `nft -f`: what it changes, and the table that it changes. */
export interface NftTransaction {
  readonly operations: number;
  /** Rules of the table afterwards. */
  readonly tableRules: number;
  /** Anonymous maps that it makes, and how many are there in the mean while it does. */
  readonly mapsMade: number;
  readonly mapsThere: number;
}

export function transactionCost(profile: CostProfile, work: NftTransaction): number {
  const c = profile.nftSync;
  const { operations, tableRules, mapsMade, mapsThere } = work;
  return (
    profile.proxy.exec.value +
    tableRules * c.tableRule.value +
    tableRules * tableRules * (c.tableRuleSquared.value + (mapsMade > 0 ? c.validatedRuleSquared.value : 0)) +
    operations * c.operation.value +
    mapsMade * mapsThere * c.mapTimesMaps.value +
    mapsMade * operations * c.mapTimesOperations.value
  );
}

/** kube-proxy's listings of the table at a sync. */
function listingCost(profile: CostProfile, tableRules: number, servicePorts: number): number {
  return profile.nftSync.listings.value * oneListingCost(profile, tableRules, servicePorts);
}

/** A listing of the table's chains and sets: netlink dumps begin at the head of the list with each message, hence the square. */
export function oneListingCost(profile: CostProfile, tableRules: number, servicePorts: number): number {
  const c = profile.nftSync;
  return (
    profile.proxy.exec.value + tableRules * c.listRule.value + servicePorts * servicePorts * c.listServicesSquared.value
  );
}

/**
 * Each service port that is written makes an anonymous map. A first sync begins without any; where the table was there before, its
 * maps stay until the commit, and such a sync takes up to three times as long.
 */
function nftCost(profile: CostProfile, report: SyncReport): number {
  if (report.transactions === 0) return 0;
  const { tableRules, transactionOperations: operations, changedServicePorts: mapsMade } = report;
  const mapsThere = report.kind === 'full' ? mapsMade / 2 : report.servicePorts + mapsMade / 2;
  // Transactions before the main one delete stale chains alone.
  const others =
    (report.transactions - 1) * transactionCost(profile, { operations: 0, tableRules, mapsMade: 0, mapsThere: 0 });
  return transactionCost(profile, { operations, tableRules, mapsMade, mapsThere }) + others;
}

/** One iptables-restore --noflush: what it is fed, and the table that it changes. */
export interface RestoreWork {
  readonly lines: number;
  /** Rules and chains of the table afterwards, and how many of the rules are in KUBE-SERVICES. */
  readonly tableRules: number;
  readonly tableChains: number;
  readonly serviceRules: number;
  /** Chains that it writes. */
  readonly writtenChains: number;
}

/**
 * A service port of E endpoints has 1 + E chains of 1 + 3E rules together, so chains are a third of those rules and two thirds of a
 * chain for each service; the same of the lines that are written.
 */
function restoreWork(report: SyncReport): RestoreWork {
  const { restoreLines: lines, tableRules, serviceRules } = report;
  const chainsOf = (rules: number, services: number): number => Math.max(0, (rules + 2 * services) / 3);
  const writtenServices = Math.min(report.changedServicePorts, serviceRules);
  const written = Math.max(0, lines - FIXED_RESTORE_LINES - serviceRules);
  return {
    lines,
    tableRules,
    tableChains: chainsOf(tableRules - serviceRules, serviceRules),
    serviceRules,
    writtenChains: Math.max(0, (written + 2 * writtenServices) / 4),
  };
}

/** iptables-legacy's commit costs all rules of the table; iptables-nft sends the kernel what differs. */
export function restoreCost(profile: CostProfile, work: RestoreWork, backend: IptablesBackend): number {
  const c = restoreCosts(profile, backend);
  return (
    profile.proxy.exec.value +
    work.lines * c.restoreLine.value +
    work.tableRules * c.tableRule.value +
    work.serviceRules * c.serviceRule.value +
    work.serviceRules * work.tableChains * c.serviceRuleTimesChain.value +
    work.writtenChains * work.writtenChains * c.chainSquared.value
  );
}

/** One iptables-save that prints `lines` lines. */
export function saveCost(profile: CostProfile, lines: number, backend: IptablesBackend): number {
  return profile.proxy.exec.value + lines * restoreCosts(profile, backend).saveLine.value;
}

function restoreCosts(profile: CostProfile, backend: IptablesBackend): RestoreCosts {
  return backend === 'nft' ? profile.iptablesNftSync : profile.iptablesSync;
}

/** Each address is compared with those already on the device (net/ipv4/devinet.c __inet_insert_ifa), so n of them take O(n^2). */
export function addressInstructions(profile: CostProfile, changes: number, boundAfter: number): number {
  const { ipvs } = instructionsOf(profile);
  const meanBound = (boundAfter + Math.max(0, boundAfter - changes)) / 2;
  return changes * (ipvs.address.value + meanBound * ipvs.addressTimesBound.value);
}

/** `rules` rules put one by one into an empty table, each by an `iptables` command that reads and replaces all that are there. */
export function oneByOneCost(profile: CostProfile, rules: number, backend: IptablesBackend): number {
  const { commandTableRule } = restoreCosts(profile, backend);
  return rules * profile.proxy.exec.value + ((rules * (rules + 1)) / 2) * commandTableRule.value;
}

/** Bytes that kube-proxy's own process holds. */
export function proxyBytes(profile: CostProfile, servicePorts: number, endpoints: number): number {
  const { processBytes, servicePortBytes, endpointBytes } = profile.proxy;
  return processBytes.value + servicePorts * servicePortBytes.value + endpoints * endpointBytes.value;
}

/** Bytes that one more service port takes, with so many endpoints. */
export function proxyBytesPerService(profile: CostProfile, endpoints: number): number {
  return proxyBytes(profile, 1, endpoints) - proxyBytes(profile, 0, 0);
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
      return { ...unchanged, iptablesCommands: userspaceCommands(last, change) };
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

/**
 * A process that starts adds each rule (two commands) and checks it once more; a sync that nobody asked for checks each rule; a change
 * of endpoints alone tells the balancer and touches no rule.
 */
function userspaceCommands(last: SyncReport, change: PendingChange): number {
  if (change.kind === 'full') return 3 * last.tableRules;
  return change.changedServicePorts === 0 ? last.tableRules : 0;
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
  setup: SyncSetup = PLAIN_SETUP,
): number {
  return syncDurationNs(profile, predictSyncReport(engine, last, change), engine, setup);
}
