/** Counts of one sync (engines/README.md, section 9.4). */
import { NO_SYNC_WORK } from '../../model/sync-report.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import type { ProxyConfig } from '../../model/service-config.ts';
import type { ServiceTable } from './compile.ts';
import { setupOperations } from './program/setup.ts';

export interface SyncWork {
  readonly kind: SyncReport['kind'];
  readonly changedServicePorts: number;
  /** Chains deleted as stale for long enough: a transaction of their own. */
  readonly deletedChains: number;
  /** Of the main transaction, without the fixed part and without flushing stale chains. */
  readonly operations: number;
  readonly flushedChains: number;
  readonly conntrackDeletes: number;
}

export class SyncCounter {
  readonly #table: ServiceTable;
  /** Operations of the fixed part at a life's first sync and at later full ones, and the rules that it leaves. */
  readonly #firstSetup: number;
  readonly #laterSetup: number;
  readonly #fixedRules: number;
  #syncs = 0;

  constructor(table: ServiceTable, config: ProxyConfig) {
    this.#table = table;
    this.#firstSetup = setupOperations(config, true).length;
    const setup = setupOperations(config, false);
    this.#laterSetup = setup.length;
    this.#fixedRules = setup.filter(({ object }) => object === 'rule').length;
  }

  /** After the table took the sync over. */
  report(work: SyncWork): SyncReport {
    const table = this.#table;
    const setup = work.kind === 'partial' ? 0 : this.#syncs === 0 ? this.#firstSetup : this.#laterSetup;
    this.#syncs++;
    const main = setup + work.operations + work.flushedChains;
    const tableRules = this.#fixedRules + table.rules;
    return {
      ...NO_SYNC_WORK,
      kind: work.kind,
      servicePorts: table.count,
      changedServicePorts: work.changedServicePorts,
      rules: tableRules + table.elements.count,
      tableRules,
      // An empty transaction is not sent (knftables Run).
      transactions: (work.deletedChains > 0 ? 1 : 0) + (main > 0 ? 1 : 0),
      transactionOperations: work.deletedChains + main,
      conntrackDeletes: work.conntrackDeletes,
    };
  }
}
