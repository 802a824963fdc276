/**
 * kube-proxy in iptables mode on one node: turns what it knows of Services into rules, sync after sync, and keeps what the kernel
 * holds in between (kube-proxy pkg/proxy/iptables/proxier.go syncProxyRules).
 */
import { compareBytes } from '../../../model/ip-text.ts';
import type { ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import { portNameText } from '../../../model/service-config.ts';
import { assert } from '../../../sim/assert.ts';
import {
  ALWAYS_REWRITTEN_CHAINS,
  BUILT_IN_CHAINS,
  firewallRules,
  forwardRules,
  markMasqRules,
  postroutingRules,
} from './fixed-rules.ts';
import { nodePortDispatch } from './node-ports.ts';
import { IptablesProgram } from './program.ts';
import type { Rule, RuleSet } from './rules.ts';
import type { ServicePortRules } from './service-rules.ts';
import { servicePortRules } from './service-rules.ts';

export interface SyncChange {
  /** Rewrite everything: a first sync, a retry after a failure, a change of the node's labels, rules found deleted. */
  readonly full: boolean;
  /** `namespace/name` of each Service that changed, or whose endpoints did, since the last sync. */
  readonly changed: ReadonlySet<string>;
  /** Simulated time; tells when a large cluster's stale chains may be deleted. */
  readonly nowSeconds: number;
}

/** A service port as it was last written. */
interface WrittenPort {
  readonly service: string;
  readonly rules: ServicePortRules;
}

export class IptablesProgrammer {
  private readonly config: ProxyConfig;
  private written = new Map<string, WrittenPort>();
  /** Chains of Services in the nat table of the kernel, stale ones included. */
  private kernelChains: ReadonlyMap<string, readonly Rule[]> = new Map<string, readonly Rule[]>();
  /** `nowSeconds` of the last sync that looked for stale chains. */
  lastChainCleanupSeconds = -Infinity;
  private needsFullSync = true;

  constructor(config: ProxyConfig) {
    this.config = config;
  }

  /** The first sync is always a full one. Services of a partial sync that `change` does not name must be as they were. */
  sync(services: readonly ServicePortConfig[], change: SyncChange): IptablesProgram {
    // Before KEP-3453 every sync wrote the chains of all Services.
    const full = change.full || this.needsFullSync || !this.config.kubeProxy.iptablesPartialSync;
    const large = countEndpoints(services) > this.config.largeClusterEndpoints;
    const rewritten = this.writePorts(services, full, change.changed, large);
    const active = new Map<string, readonly Rule[]>();
    for (const { rules } of this.written.values()) for (const [chain, own] of rules.chains) active.set(chain, own);

    const stale = [...this.kernelChains.keys()].filter((chain) => !active.has(chain));
    // In a large cluster listing the kernel's chains is too dear for every sync.
    const cleansUp = !large || change.nowSeconds - this.lastChainCleanupSeconds > this.config.syncPeriodSeconds;
    const kept = cleansUp ? [] : stale.map((chain) => [chain, this.kernelChains.get(chain) ?? []] as const);
    this.kernelChains = new Map([...active, ...kept]);
    if (cleansUp) this.lastChainCleanupSeconds = change.nowSeconds;
    this.needsFullSync = false;

    const ports = [...this.written.values()];
    const shared = sharedChains(
      this.config,
      ports.map(({ rules }) => rules),
    );
    return new IptablesProgram({
      config: this.config,
      full,
      kernel: kernelState(shared, this.kernelChains),
      rewritten: [...ALWAYS_REWRITTEN_CHAINS, ...rewritten.map((chain) => `nat/${chain}`)],
      deleted: cleansUp ? stale : [],
      stale: cleansUp ? [] : stale,
      noLocalEndpoints: {
        internal: ports.filter(({ rules }) => rules.noLocalInternal).length,
        external: ports.filter(({ rules }) => rules.noLocalExternal).length,
      },
    });
  }

  /** Brings `written` up to date, in canonical order, and returns the Services' chains that this sync writes. */
  private writePorts(
    services: readonly ServicePortConfig[],
    full: boolean,
    changed: ReadonlySet<string>,
    large: boolean,
  ): string[] {
    const before = this.written;
    const rewritten: string[] = [];
    this.written = new Map();
    for (const { service, svc } of inCanonicalOrder(services)) {
      const key = `${portNameText(svc)}/${svc.protocol}`;
      assert(!this.written.has(key), `service port ${key} is given twice`);
      if (full || changed.has(service)) {
        const rules = servicePortRules(svc, this.config, !large);
        this.written.set(key, { service, rules });
        for (const [chain] of rules.chains) rewritten.push(chain);
      } else {
        const unchanged = before.get(key);
        assert(unchanged !== undefined, `service port ${key} is new in a partial sync but not among the changed`);
        this.written.set(key, unchanged);
      }
    }
    return rewritten;
  }
}

/**
 * kube-proxy walks its map of Services in an order that is new at each sync. The canonical order is by the Service's name as it
 * stands in the comments.
 */
function inCanonicalOrder(services: readonly ServicePortConfig[]): { service: string; svc: ServicePortConfig }[] {
  const named = services.map((svc) => ({ service: `${svc.namespace}/${svc.name}`, svc }));
  return named.sort((a, b) => compareBytes(a.service, b.service));
}

/** Usable or not: the threshold counts what is known, not what is written. */
function countEndpoints(services: readonly ServicePortConfig[]): number {
  return services.reduce((sum, svc) => sum + svc.endpoints.length, 0);
}

function kernelState(shared: RuleSet, kernelChains: ReadonlyMap<string, readonly Rule[]>): RuleSet {
  const kernel = new Map<string, readonly Rule[]>(BUILT_IN_CHAINS);
  for (const [chain, rules] of shared) kernel.set(chain, rules);
  for (const [chain, rules] of kernelChains) kernel.set(`nat/${chain}`, rules);
  return kernel;
}

/** The state of the kernel in which these service ports, as written, and these stale chains of the nat table are installed. */
export function kernelProgram(
  config: ProxyConfig,
  ports: readonly ServicePortRules[],
  stale: readonly (readonly [string, readonly Rule[]])[],
): IptablesProgram {
  const own = ports.flatMap(({ chains }) => chains);
  return new IptablesProgram({
    config,
    full: true,
    kernel: kernelState(sharedChains(config, ports), new Map([...own, ...stale])),
    rewritten: [...ALWAYS_REWRITTEN_CHAINS, ...own.map(([chain]) => `nat/${chain}`)],
    deleted: [],
    stale: stale.map(([chain]) => chain),
    noLocalEndpoints: {
      internal: ports.filter(({ noLocalInternal }) => noLocalInternal).length,
      external: ports.filter(({ noLocalExternal }) => noLocalExternal).length,
    },
  });
}

/** The chains that every sync writes: the fixed rules, and those of the service ports. */
function sharedChains(config: ProxyConfig, ports: readonly ServicePortRules[]): Map<string, Rule[]> {
  const chains = new Map<string, Rule[]>(ALWAYS_REWRITTEN_CHAINS.map((chain) => [chain, []]));
  const append = (chain: string, added: readonly Rule[]): void => {
    const rules = chains.get(chain);
    assert(rules !== undefined, `${chain} is a shared chain`);
    rules.push(...added);
  };
  append('filter/KUBE-FIREWALL', firewallRules(config));
  append('filter/KUBE-FORWARD', forwardRules(config));
  append('nat/KUBE-MARK-MASQ', markMasqRules(config));
  append('nat/KUBE-POSTROUTING', postroutingRules(config));
  for (const { shared } of ports) for (const [chain, added] of shared) append(chain, [added]);
  append('nat/KUBE-SERVICES', nodePortDispatch(config));
  return chains;
}
