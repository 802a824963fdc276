/** Counts of one sync: what kube-proxy fed to iptables-restore, read back, and left in the kernel (engines/README.md, section 7.1). */
import { NO_SYNC_WORK } from '../../model/sync-report.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import { NS_PER_S } from '../../model/time.ts';
import type { SimTime } from '../../model/time.ts';
import type { ServiceTable } from './compile.ts';
import {
  ALWAYS_REWRITTEN_CHAINS,
  BUILT_IN_CHAINS,
  firewallRules,
  forwardRules,
  markMasqRules,
  postroutingRules,
} from './program/fixed-rules.ts';
import { nodePortDispatch } from './program/node-ports.ts';
import { deletionSize, emptyRestoreSize } from './restore-size.ts';

/** In nat, and in filter. */
interface Pair {
  readonly nat: number;
  readonly filter: number;
}

export class SyncCounter {
  readonly #table: ServiceTable;
  readonly #syncPeriodNs: SimTime;
  /** Jumps of built-in chains, chains that every sync writes, and rules in them that do not depend on Services. */
  readonly #jumps: Pair;
  readonly #fixedChains: Pair;
  readonly #fixedRules: Pair;
  /** Rules of KUBE-SERVICES that lead to node ports. */
  readonly #dispatchRules: number;
  readonly #fixedBytes: number;
  /** Lines that `iptables-save -t nat` would print: chain lines of kube-proxy's chains and all rules. */
  #savedLines = 0;
  #lastLook = -Infinity;

  constructor(table: ServiceTable) {
    this.#table = table;
    const { config } = table.facts;
    // In large-cluster mode stale chains are looked for no more often.
    this.#syncPeriodNs = config.syncPeriodSeconds * NS_PER_S;
    const jumps = (prefix: string): number =>
      BUILT_IN_CHAINS.filter(([name]) => name.startsWith(prefix)).reduce((sum, [, rules]) => sum + rules.length, 0);
    const chains = (prefix: string): number => ALWAYS_REWRITTEN_CHAINS.filter((name) => name.startsWith(prefix)).length;
    this.#jumps = { nat: jumps('nat/'), filter: jumps('filter/') };
    this.#fixedChains = { nat: chains('nat/'), filter: chains('filter/') };
    this.#fixedBytes = emptyRestoreSize(table.facts);
    this.#dispatchRules = nodePortDispatch(config).length;
    this.#fixedRules = {
      nat: [...nodePortDispatch(config), ...postroutingRules(config), ...markMasqRules(config)].length,
      filter: [...forwardRules(config), ...firewallRules(config)].length,
    };
  }

  /** After the table took the sync over: finds the stale chains. `written`: the slots whose own chains the sync wrote. */
  report(now: SimTime, kind: SyncReport['kind'], written: readonly number[], conntrackDeletes: number): SyncReport {
    const table = this.#table;
    const looks = !table.isLarge || now - this.#lastLook > this.#syncPeriodNs;
    const savedLines = looks ? this.#savedLines : 0;
    const found = looks ? table.staleChains.count : 0;
    const foundBytes = looks ? deletionSize(found, table.staleChains.nameLengths) : 0;
    if (looks) this.#lastLook = now;
    table.commit(looks);
    const { services, nodePorts, rejects, externalRejects, firewall, healthPorts } = table.chains;
    const shared = {
      nat: this.#fixedRules.nat + services.length + nodePorts.length,
      filter: this.#fixedRules.filter + rejects.length + externalRejects.length + firewall.length + healthPorts.length,
    };
    const installedNat = this.#jumps.nat + shared.nat + table.allOwnRules + table.staleChains.rules;
    const tableRules = installedNat + this.#jumps.filter + shared.filter;
    this.#savedLines = this.#fixedChains.nat + table.allOwnChains + table.staleChains.count + installedNat;
    const own =
      kind === 'full'
        ? { chains: table.allOwnChains, rules: table.allOwnRules, bytes: table.allOwnBytes }
        : ownOf(table, written);
    // `*table` and COMMIT of each table; a stale chain has a chain line and a line that deletes it.
    const filterLines = 2 + this.#fixedChains.filter + shared.filter;
    const natLines = 2 + this.#fixedChains.nat + own.chains + found + shared.nat + own.rules + found;
    return {
      ...NO_SYNC_WORK,
      kind,
      servicePorts: table.count,
      changedServicePorts: kind === 'full' ? table.count : written.length,
      rules: tableRules,
      tableRules,
      serviceRules: services.length + this.#dispatchRules,
      chainComments: !table.isLarge,
      restoreLines: filterLines + natLines,
      restoreBytes: this.#fixedBytes + table.allSharedBytes + own.bytes + foundBytes,
      savedLines,
      conntrackDeletes,
    };
  }
}

/** These service ports' own chains, and the rules in them. */
function ownOf(table: ServiceTable, slots: readonly number[]): { chains: number; rules: number; bytes: number } {
  let chains = 0;
  let rules = 0;
  let bytes = 0;
  for (const slot of slots) {
    chains += table.ownChains[slot];
    rules += table.ownRules[slot];
    bytes += table.ownBytes[slot];
  }
  return { chains, rules, bytes };
}
