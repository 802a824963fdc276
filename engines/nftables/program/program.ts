/** The outcome of one sync: the two transactions, and the table as it then is. */
import type { ProxyConfig } from '../../../model/service-config.ts';
import type { NftOperation, NftTable } from './table.ts';
import { loadableText, operationText, tableText } from './table-text.ts';
import type { TraceFlow, TraceResult } from './trace.ts';
import { traceFlow } from './trace.ts';

export class NftablesProgram {
  /** Live: the next sync of the same programmer changes it. */
  readonly table: NftTable;
  /** Service ports that have endpoints, but none on this node, where their policy asks for one (kube-proxy's metric). */
  readonly noLocalEndpoints: { readonly internal: number; readonly external: number };
  readonly #config: ProxyConfig;
  readonly #cleanup: readonly NftOperation[];
  readonly #transaction: readonly NftOperation[];

  constructor(
    config: ProxyConfig,
    table: NftTable,
    cleanup: readonly NftOperation[],
    transaction: readonly NftOperation[],
    noLocalEndpoints: NftablesProgram['noLocalEndpoints'],
  ) {
    this.#config = config;
    this.table = table;
    this.#cleanup = cleanup;
    this.#transaction = transaction;
    this.noLocalEndpoints = noLocalEndpoints;
  }

  /** Adds, flushes and deletes in the main transaction; 0 when nothing changed. */
  get operations(): number {
    return this.#transaction.length;
  }

  /** The main transaction in `nft` syntax, in order. */
  get transaction(): readonly string[] {
    return this.#text(this.#transaction);
  }

  /** The transaction before it, which deletes chains that have been stale for long enough. */
  get cleanup(): readonly string[] {
    return this.#text(this.#cleanup);
  }

  /** The table in canonical order, one object a line. */
  dumpText(): string {
    return tableText(this.#config.ipFamily, this.table);
  }

  /** A script for `nft -f` that leaves exactly this table. */
  kernelText(): string {
    return loadableText(this.#config.ipFamily, this.table);
  }

  trace(flow: TraceFlow): TraceResult {
    return traceFlow(this.#config.ipFamily, this.table, flow);
  }

  #text(operations: readonly NftOperation[]): readonly string[] {
    return operations.map((operation) => operationText(this.#config.ipFamily, operation));
  }
}
