/**
 * kube-proxy in IPVS mode (pkg/proxy/ipvs/proxier.go syncProxyRules): keeps what the kernel holds and brings it to what the services
 * want. There are no partial syncs: each one goes over everything.
 */
import { canonicalIp, cidrContainsIp, familyOf } from '../../../model/ip-text.ts';
import type { EndpointConfig, ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import { hostPort } from '../../../model/service-config.ts';
import { assert } from '../../../sim/assert.ts';
import type { EndpointCategories } from '../../proxy/topology.ts';
import { categorizeEndpoints } from '../../proxy/topology.ts';
import type { Deletion } from './graceful-termination.ts';
import { GracefulTermination, RETRY_SECONDS } from './graceful-termination.ts';
import { createIpSets } from './ip-sets.ts';
import type { IpSets } from './ip-sets.ts';
import type {
  ConnectionCounts,
  InitialVirtualServer,
  RealServerKey,
  VirtualServerKey,
  VirtualServerSpec,
} from './ipvs-table.ts';
import { IpvsTable, virtualServerName } from './ipvs-table.ts';
import { IPVS_SCHEDULERS, isUsable, nodeAddressesOf, nodePortIpsOf } from './node-settings.ts';
import { IpvsProgram } from './program.ts';
import { writeRules } from './rule-writer.ts';
import type { RuleSet } from './rules.ts';
import type { BlockedVip, NodeView } from './service-plan.ts';
import { planServicePort } from './service-plan.ts';

/** What is in the kernel when kube-proxy starts, of both families. */
export interface KernelState {
  readonly virtualServers?: readonly InitialVirtualServer[];
  /** On kube-ipvs0. */
  readonly boundAddresses?: readonly string[];
  /** Entries by the sets' IPv4 names. */
  readonly ipsets?: ReadonlyMap<string, readonly string[]>;
}

export interface SyncChange {
  readonly full: boolean;
  readonly changed: ReadonlySet<string>;
  readonly nowSeconds: number;
}

/** What a sync did to the kernel: each ipset entry and each netlink request is a call of its own. */
export interface SyncOperations {
  virtualServersAdded: number;
  virtualServersUpdated: number;
  virtualServersDeleted: number;
  realServersAdded: number;
  realServersDeleted: number;
  weightsSet: number;
  addressesBound: number;
  addressesUnbound: number;
  ipsetEntriesAdded: number;
  ipsetEntriesDeleted: number;
}

export type VirtualServerAction = 'none' | 'add' | 'edit' | 'bind' | 'add+bind' | 'edit+bind';

export class IpvsProgrammer {
  readonly #config: ProxyConfig;
  readonly #scheduler: string;
  readonly #table: IpvsTable;
  readonly #bound: Set<string>;
  readonly #sets: IpSets;
  readonly #termination: GracefulTermination;
  #isFirstSync = true;
  #nextRetrySeconds = Number.POSITIVE_INFINITY;
  #operations = noOperations();
  readonly #noLocalEndpoints = { internal: new Set<string>(), external: new Set<string>() };

  constructor(config: ProxyConfig, kernel: KernelState = {}) {
    this.#config = config;
    this.#scheduler = config.ipvsScheduler === '' ? 'rr' : config.ipvsScheduler;
    assert(IPVS_SCHEDULERS.includes(this.#scheduler), `"${this.#scheduler}" is no scheduler of IPVS`);
    this.#table = new IpvsTable(kernel.virtualServers);
    this.#bound = new Set(kernel.boundAddresses?.map((address) => canonicalIp(address) ?? address));
    this.#sets = createIpSets(config.ipFamily, kernel.ipsets);
    this.#termination = new GracefulTermination(this.#table);
  }

  /** The kernel's IPVS state as it is now, connections included: what another kube-proxy would find. */
  get kernelState(): KernelState & { readonly virtualServers: readonly InitialVirtualServer[] } {
    const virtualServers = this.#table.virtualServers().map((virtual) => ({
      ...virtual,
      realServers: virtual.realServers.map((real) => ({ ...real, ...this.#table.connections(virtual, real) })),
    }));
    const ipsets = new Map([...this.#sets].map(([name, set]) => [name, set.entries]));
    return { virtualServers, boundAddresses: [...this.#bound], ipsets };
  }

  /** Real servers that wait at weight 0 for their connections to end, as `ip:port/TCP/ip:port`. */
  get draining(): readonly string[] {
    return this.#termination.names;
  }

  /** Seconds at which the next look at the draining servers is due; Infinity when there are none. */
  get nextRetrySeconds(): number {
    return this.#termination.isEmpty ? Number.POSITIVE_INFINITY : this.#nextRetrySeconds;
  }

  /** Connections that the kernel counts on a real server; kube-proxy reads them before it deletes one. */
  setConnections(virtual: VirtualServerKey, real: RealServerKey, counts: ConnectionCounts): void {
    this.#table.setConnections(virtual, real, counts);
  }

  /**
   * Time passes: each minute from the first sync on, draining servers without connections are deleted. Gives their number. `sync` does this
   * for its own time.
   */
  tick(nowSeconds: number): number {
    if (nowSeconds < this.#nextRetrySeconds) return 0;
    const periods = Math.floor((nowSeconds - this.#nextRetrySeconds) / RETRY_SECONDS) + 1;
    this.#nextRetrySeconds += periods * RETRY_SECONDS;
    return this.#termination.retry();
  }

  /** `change` is of no use but for its time: everything is synced. */
  sync(services: readonly ServicePortConfig[], change: SyncChange): IpvsProgram {
    if (this.#isFirstSync) this.#nextRetrySeconds = change.nowSeconds + RETRY_SECONDS;
    this.tick(change.nowSeconds);
    this.#operations = noOperations();
    this.#noLocalEndpoints.internal.clear();
    this.#noLocalEndpoints.external.clear();
    for (const set of this.#sets.values()) set.reset();

    const wantedServers = new Set<string>();
    const wantedAddresses = new Set<string>();
    const blockedForNode: BlockedVip[] = [];
    const node = this.#lookAtNode();
    for (const svc of services) this.#syncServicePort(svc, node, wantedServers, wantedAddresses, blockedForNode);

    for (const address of wantedAddresses) this.#sets.get('KUBE-IPVS-IPS')?.want(address);
    for (const set of this.#sets.values()) {
      const { added, deleted } = set.sync();
      this.#operations.ipsetEntriesAdded += added;
      this.#operations.ipsetEntriesDeleted += deleted;
    }
    const rules = writeRules(this.#config, this.#sets, blockedForNode);
    this.#unbindSurplus(wantedAddresses);
    this.#deleteLegacyServers(wantedServers);
    this.#isFirstSync = false;
    return this.#program(rules);
  }

  /** Makes one virtual server as desired and binds its address (syncService). Real servers are left alone. */
  syncVirtualServer(desired: VirtualServerSpec, bindAddress: boolean): VirtualServerAction {
    let action: 'none' | 'add' | 'edit' = 'none';
    const current = this.#table.virtualServer(desired);
    if (current === undefined) {
      this.#table.addVirtualServer(desired);
      this.#operations.virtualServersAdded++;
      action = 'add';
    } else if (!isSameSpec(current, desired)) {
      this.#table.updateVirtualServer(desired);
      this.#operations.virtualServersUpdated++;
      action = 'edit';
    }
    if (!bindAddress || this.#bound.has(desired.address)) return action;
    this.#bound.add(desired.address);
    this.#operations.addressesBound++;
    return action === 'none' ? 'bind' : `${action}+bind`;
  }

  /** Takes one real server away as a sync would (GracefulDeleteRS). */
  gracefulDelete(virtual: VirtualServerKey, real: RealServerKey): Deletion {
    const result = this.#termination.delete(virtual, real);
    if (result === 'deleted') this.#operations.realServersDeleted++;
    if (result === 'draining') this.#operations.weightsSet++;
    return result;
  }

  #lookAtNode(): NodeView {
    const nodeAddresses = nodeAddressesOf(this.#config);
    const nodePortIps = nodePortIpsOf(this.#config, nodeAddresses);
    return { config: this.#config, scheduler: this.#scheduler, nodeAddresses, nodePortIps };
  }

  #syncServicePort(
    svc: ServicePortConfig,
    node: NodeView,
    wantedServers: Set<string>,
    wantedAddresses: Set<string>,
    blockedForNode: BlockedVip[],
  ): void {
    const plan = planServicePort(svc, node);
    const categories = categorizeEndpoints(svc, this.#config.zone, this.#config.nodeName);
    for (const [set, entry] of plan.entries) this.#sets.get(set)?.want(entry);
    for (const { spec, isBound, onlyLocal } of plan.servers) {
      this.syncVirtualServer(spec, isBound);
      wantedServers.add(virtualServerName(spec));
      if (isBound) wantedAddresses.add(spec.address);
      this.#syncRealServers(spec, this.#chooseEndpoints(svc, categories, onlyLocal));
    }
    blockedForNode.push(...plan.blockedForNode);
  }

  /** A Local policy without local endpoints falls back to those of the cluster, unlike in the other modes. */
  #chooseEndpoints(
    svc: ServicePortConfig,
    { cluster, local, hasAny }: EndpointCategories,
    onlyLocal: boolean,
  ): readonly EndpointConfig[] {
    if (!onlyLocal) return cluster;
    if (local.length > 0) return local;
    if (hasAny && svc.internalPolicyLocal) this.#noLocalEndpoints.internal.add(`${svc.namespace}/${svc.name}`);
    if (hasAny && svc.externalPolicyLocal) this.#noLocalEndpoints.external.add(`${svc.namespace}/${svc.name}`);
    return cluster;
  }

  /** syncEndpoint. Only the first sync looks at weights: a restarted kube-proxy does not know which servers were draining. */
  #syncRealServers(virtual: VirtualServerSpec, wanted: readonly EndpointConfig[]): void {
    const before = this.#table.realServers(virtual);
    for (const { address, port } of wanted) {
      const server = { address, port, weight: 1 };
      const current = this.#table.realServer(virtual, server);
      if (current !== undefined) {
        if (this.#isFirstSync && current.weight !== 1) {
          this.#table.setWeight(virtual, server, 1);
          this.#operations.weightsSet++;
        }
        if (!this.#termination.has(virtual, server)) continue;
        this.#termination.deleteNow(virtual, server);
        this.#operations.realServersDeleted++;
      }
      this.#table.addRealServer(virtual, server);
      this.#operations.realServersAdded++;
    }
    const names = new Set(wanted.map(({ address, port }) => hostPort(address, port)));
    for (const real of before) {
      if (names.has(hostPort(real.address, real.port)) || this.#termination.has(virtual, real)) continue;
      this.gracefulDelete(virtual, real);
    }
  }

  #unbindSurplus(wanted: ReadonlySet<string>): void {
    for (const address of this.#bound) {
      if (wanted.has(address) || !isUsable(address, this.#config)) continue;
      this.#bound.delete(address);
      this.#operations.addressesUnbound++;
    }
  }

  /** cleanLegacyService: also virtual servers that others made, but for excluded blocks and the other family. */
  #deleteLegacyServers(wanted: ReadonlySet<string>): void {
    for (const virtual of this.#table.virtualServers()) {
      if (this.#config.excludeCidrs.some((cidr) => cidrContainsIp(cidr, virtual.address))) continue;
      if (familyOf(virtual.address) !== this.#config.ipFamily || wanted.has(virtualServerName(virtual))) continue;
      this.#table.deleteVirtualServer(virtual);
      this.#operations.virtualServersDeleted++;
    }
  }

  #program(rules: RuleSet): IpvsProgram {
    const { internal, external } = this.#noLocalEndpoints;
    return new IpvsProgram({
      config: this.#config,
      virtualServers: this.#table.virtualServers(),
      boundAddresses: [...this.#bound],
      sets: this.#sets,
      rules,
      operations: { ...this.#operations },
      draining: this.draining,
      noLocalEndpoints: { internal: internal.size, external: external.size },
    });
  }
}

function noOperations(): SyncOperations {
  return {
    virtualServersAdded: 0,
    virtualServersUpdated: 0,
    virtualServersDeleted: 0,
    realServersAdded: 0,
    realServersDeleted: 0,
    weightsSet: 0,
    addressesBound: 0,
    addressesUnbound: 0,
    ipsetEntriesAdded: 0,
    ipsetEntriesDeleted: 0,
  };
}

function isSameSpec(a: VirtualServerSpec, b: VirtualServerSpec): boolean {
  return a.scheduler === b.scheduler && a.flags === b.flags && a.timeoutSeconds === b.timeoutSeconds;
}
