/** Counts of one sync: what kube-proxy fed to iptables-restore, read back, and left in the kernel (engines/README.md, section 7.1). */
import { NO_SYNC_WORK } from '../../model/sync-report.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import { NS_PER_S } from '../../model/time.ts';
import type { SimTime } from '../../model/time.ts';
import type { ServiceTable } from './compile.ts';

/** kube-proxy's syncPeriod: in large-cluster mode stale chains are looked for no more often. */
const SYNC_PERIOD_NS = 30 * NS_PER_S;

/** nat: KUBE-SERVICES' last rule, KUBE-POSTROUTING 3, KUBE-MARK-MASQ 1. */
const NAT_FIXED_RULES = 5;
/** filter: KUBE-FORWARD 3, KUBE-FIREWALL 1. */
const FILTER_FIXED_RULES = 4;
const NAT_JUMPS = 3;
const FILTER_JUMPS = 11;
const NAT_FIXED_CHAINS = 4;
const FILTER_CHAINS = 6;

export class SyncCounter {
  readonly #table: ServiceTable;
  /** Lines that `iptables-save -t nat` would print: chain lines of kube-proxy's chains and all rules. */
  #savedLines = 0;
  #lastLook = -Infinity;

  constructor(table: ServiceTable) {
    this.#table = table;
  }

  /** After the table took the sync over: finds the stale chains. `changed`: slots of a partial sync. */
  report(now: SimTime, large: boolean, changed: readonly number[] | undefined, conntrackDeletes: number): SyncReport {
    const table = this.#table;
    const looks = !large || now - this.#lastLook > SYNC_PERIOD_NS;
    const savedLines = looks ? this.#savedLines : 0;
    let found = 0;
    if (looks) {
      this.#lastLook = now;
      found = table.staleChains.count;
      table.staleChains.clear();
    }
    const services = table.services.length;
    const filterRules = FILTER_FIXED_RULES + table.rejects.length + table.externalRejects.length;
    const natRules = NAT_FIXED_RULES + services + table.nodePorts.length;
    const all = { chains: services + table.nodePorts.length + table.usableEndpoints, rules: 0 };
    all.rules = services * table.masqueradeRules + 3 * table.usableEndpoints + 2 * table.nodePorts.length;
    const written = changed === undefined ? all : chainsOf(table, changed);
    const installedNat = NAT_JUMPS + natRules + all.rules + table.staleChains.rules;
    const tableRules = installedNat + FILTER_JUMPS + filterRules;
    this.#savedLines = NAT_FIXED_CHAINS + all.chains + table.staleChains.count + installedNat;
    return {
      ...NO_SYNC_WORK,
      kind: changed === undefined ? 'full' : 'partial',
      servicePorts: table.count,
      changedServicePorts: changed === undefined ? table.count : changed.length,
      rules: tableRules,
      tableRules,
      restoreLines:
        1 +
        FILTER_CHAINS +
        filterRules +
        1 +
        1 +
        NAT_FIXED_CHAINS +
        written.chains +
        found +
        natRules +
        written.rules +
        found +
        1,
      savedLines,
      conntrackDeletes,
    };
  }
}

/** KUBE-SVC, KUBE-EXT and KUBE-SEP chains of these service ports, and the rules in them. */
function chainsOf(table: ServiceTable, slots: readonly number[]): { chains: number; rules: number } {
  let chains = 0;
  let rules = 0;
  for (const slot of slots) {
    const count = table.endpointCount[slot];
    if (count === 0) continue;
    const external = table.nodePort[slot] === 0 ? 0 : 1;
    chains += 1 + external + count;
    rules += table.masqueradeRules + 3 * count + 2 * external;
  }
  return { chains, rules };
}
