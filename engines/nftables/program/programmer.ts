/** kube-proxy's nftables mode: turns Services into transactions on one table and keeps what lives from sync to sync. */
import type { ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import type { EndpointNames } from './names.ts';
import { NameCache, isAffinitySetName, isServiceChainName } from './names.ts';
import { NftablesProgram } from './program.ts';
import { writeServicePort } from './service-rules.ts';
import { setupOperations } from './setup.ts';
import { SyncWriter } from './sync-writer.ts';
import type { NftOperation } from './table.ts';
import { NftTable } from './table.ts';
import { readTable } from './table-text.ts';

/** Kernels before 6.2 let go of a deleted map element's chain a little late, so stale chains wait this long. */
const STALE_CHAIN_SECONDS = 1;

export interface SyncChange {
  /** Everything is written again. The first sync always is full. */
  readonly full: boolean;
  /** `ns/name` of Services that changed since the last sync, or whose endpoints did; deleted ones too. */
  readonly changed: ReadonlySet<string>;
  /** Simulated time, in seconds; never goes back. */
  readonly nowSeconds: number;
}

export class NftablesProgrammer {
  readonly #config: ProxyConfig;
  readonly #table = new NftTable();
  readonly #names = new NameCache();
  /** Emptied chains and when they were last found stale, in seconds. */
  readonly #staleChains = new Map<string, number>();
  #syncedOnce = false;

  /** `kernelBefore` is a dump (`add ...` lines) of the table that an earlier kube-proxy left behind. */
  constructor(config: ProxyConfig, kernelBefore?: string) {
    this.#config = config;
    if (kernelBefore !== undefined) readTable(config.ipFamily, kernelBefore, this.#table);
  }

  /** Brings the table in step with all of `services`. Service ports come in an order that does not change from sync to sync. */
  sync(services: readonly ServicePortConfig[], change: SyncChange): NftablesProgram {
    const full = change.full || !this.#syncedOnce;
    const cleanup = this.#deleteAgedChains(change.nowSeconds);
    const setup = full ? setupOperations(this.#config, !this.#syncedOnce) : [];
    const writer = new SyncWriter(this.#table, setup);
    const existingChains = [...this.#table.chains.keys()].filter(isServiceChainName);
    const existingSets = [...this.#table.containers.keys()].filter(isAffinitySetName);

    let internal = 0;
    let external = 0;
    for (const svc of services) {
      const result = writeServicePort(svc, {
        config: this.#config,
        names: this.#names,
        writer,
        keepChains: !full && !change.changed.has(`${svc.namespace}/${svc.name}`),
        keepEndpointChain: (names, hasAffinity) => this.#adopts(names, hasAffinity),
      });
      if (result.noLocalInternal) internal++;
      if (result.noLocalExternal) external++;
    }

    const stale = writer.dropStale(existingChains, existingSets);
    this.#staleChains.clear();
    for (const name of stale) this.#staleChains.set(name, change.nowSeconds);
    for (const operation of writer.operations) this.#table.apply(operation);
    this.#names.endSync();
    this.#syncedOnce = true;
    return new NftablesProgram(this.#config, this.#table, cleanup, writer.operations, { internal, external });
  }

  /** A transaction of its own, before the main one. */
  #deleteAgedChains(nowSeconds: number): NftOperation[] {
    const operations: NftOperation[] = [];
    for (const [name, since] of this.#staleChains) {
      if (nowSeconds - since < STALE_CHAIN_SECONDS) continue;
      operations.push({ verb: 'delete', object: 'chain', name });
      this.#staleChains.delete(name);
    }
    for (const operation of operations) this.#table.apply(operation);
    return operations;
  }

  /**
   * At start-up an endpoint chain found in the kernel is not written again: its name says all that its rules hold, but for affinity,
   * which shows in whether its set is there. An empty chain is one that was stale when the earlier kube-proxy ended: it is written.
   */
  #adopts(names: EndpointNames, hasAffinity: boolean): boolean {
    if (this.#syncedOnce) return false;
    const rules = this.#table.chains.get(names.chain)?.rules ?? [];
    return rules.length > 0 && this.#table.containers.has(names.affinitySet) === hasAffinity;
  }
}
