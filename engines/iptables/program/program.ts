/** What one sync of kube-proxy in iptables mode wrote, and what the kernel holds after it: rules, their text, and packet walks over them. */
import { compareBytes } from '../../../model/ip-text.ts';
import type { ProxyConfig } from '../../../model/service-config.ts';
import type { Explanation, ExplainOptions } from './explain.ts';
import { explainFlow } from './explain.ts';
import { BUILT_IN_CHAINS } from './fixed-rules.ts';
import type { Rule, RuleSet } from './rules.ts';
import { ruleText } from './rules.ts';
import type { Flow, FlowTrace } from './trace.ts';
import { traceFlow } from './trace.ts';

export interface RuleCounts {
  readonly filterChains: number;
  readonly filterRules: number;
  readonly natChains: number;
  readonly natRules: number;
}

export interface ProgramParts {
  readonly config: ProxyConfig;
  readonly full: boolean;
  /** Every chain, built-in ones included, as `table/CHAIN`. */
  readonly kernel: RuleSet;
  /** `table/CHAIN` of each chain that the sync flushed and wrote anew. */
  readonly rewritten: readonly string[];
  /** Chains of the nat table, without the table's name: deleted by this sync. */
  readonly deleted: readonly string[];
  /** Likewise: no longer used, but still in the kernel (large clusters). */
  readonly stale: readonly string[];
  readonly noLocalEndpoints: { readonly internal: number; readonly external: number };
}

const TABLES = ['filter', 'nat'] as const;

export class IptablesProgram {
  /** A full sync, asked for or because it was the first. */
  readonly full: boolean;
  /** The kernel's rules after the sync by `table/CHAIN`, built-in chains and stale chains included. */
  readonly rules: RuleSet;
  readonly rewrittenChains: readonly string[];
  readonly deletedChains: readonly string[];
  readonly staleChains: readonly string[];
  /** Service ports whose Local policy finds endpoints only on other nodes (sync_proxy_rules_no_local_endpoints_total). */
  readonly noLocalEndpoints: { readonly internal: number; readonly external: number };
  /**
   * The full state that kube-proxy wants, whatever this sync wrote of it, without built-in and stale chains
   * (sync_proxy_rules_iptables_total).
   */
  readonly counts: RuleCounts;
  /** What this sync wrote, deletions not counted (sync_proxy_rules_iptables_last). */
  readonly writtenCounts: RuleCounts;
  private readonly config: ProxyConfig;
  private texts: ReadonlyMap<string, readonly string[]> | undefined;

  constructor(parts: ProgramParts) {
    this.config = parts.config;
    this.full = parts.full;
    this.rules = parts.kernel;
    this.rewrittenChains = parts.rewritten;
    this.deletedChains = [...parts.deleted].sort(compareBytes);
    this.staleChains = [...parts.stale].sort(compareBytes);
    this.noLocalEndpoints = parts.noLocalEndpoints;
    const notWanted = new Set([
      ...BUILT_IN_CHAINS.map(([chain]) => chain),
      ...parts.stale.map((chain) => `nat/${chain}`),
    ]);
    this.counts = countRules(
      this.rules,
      [...this.rules.keys()].filter((chain) => !notWanted.has(chain)),
    );
    this.writtenCounts = countRules(this.rules, this.rewrittenChains);
  }

  /** The kernel's rules as text (`-A CHAIN ...`) by `table/CHAIN`. */
  get chains(): ReadonlyMap<string, readonly string[]> {
    this.texts ??= new Map([...this.rules].map(([chain, rules]) => [chain, chainText(chain, rules)]));
    return this.texts;
  }

  /** What kube-proxy feeds to `iptables-restore --noflush --counters` in this sync, in canonical order. */
  restoreText(): string {
    const written = new Set([...this.rewrittenChains, ...this.deletedChains.map((chain) => `nat/${chain}`)]);
    return TABLES.map((table) => {
      const chains = inCanonicalOrder(table, written);
      const lines = [`*${table}`, ...chains.map((chain) => `:${bareName(chain)} - [0:0]`)];
      for (const chain of chains) lines.push(...chainText(chain, this.rules.get(chain) ?? []));
      if (table === 'nat') for (const chain of this.deletedChains) lines.push(`-X ${chain}`);
      return [...lines, 'COMMIT', ''].join('\n');
    }).join('');
  }

  /** The complete state of both tables, loadable by iptables-restore (IPv6: ip6tables-restore) into empty ones. */
  kernelText(): string {
    const builtIn = new Set(BUILT_IN_CHAINS.map(([chain]) => chain));
    return TABLES.map((table) => {
      const hooks = BUILT_IN_CHAINS.map(([chain]) => chain).filter((chain) => chain.startsWith(`${table}/`));
      const chains = inCanonicalOrder(
        table,
        [...this.rules.keys()].filter((chain) => !builtIn.has(chain)),
      );
      const lines = [`*${table}`, ...hooks.map((chain) => `:${bareName(chain)} ACCEPT [0:0]`)];
      // One by one: a large cluster has more chains than a call may have arguments.
      for (const chain of chains) lines.push(`:${bareName(chain)} - [0:0]`);
      for (const chain of [...hooks, ...chains]) lines.push(...chainText(chain, this.rules.get(chain) ?? []));
      return [...lines, 'COMMIT', ''].join('\n');
    }).join('');
  }

  /** Everything that a first packet could meet: all endpoints that may be picked, and filter verdicts. See trace.ts. */
  trace(flow: Flow): FlowTrace {
    return traceFlow(this.rules, this.onThisNode(flow));
  }

  /** One walk of a first packet through the kernel's hooks, rule by rule. See explain.ts. */
  explain(flow: Flow, options: ExplainOptions = {}): Explanation {
    return explainFlow(this.rules, this.onThisNode(flow), options);
  }

  private onThisNode(flow: Flow): Flow {
    return { localIps: this.config.interfaceAddresses, ...flow };
  }
}

function countRules(rules: RuleSet, chains: readonly string[]): RuleCounts {
  const counts = { filterChains: 0, filterRules: 0, natChains: 0, natRules: 0 };
  for (const chain of chains) {
    const count = rules.get(chain)?.length ?? 0;
    if (chain.startsWith('filter/')) {
      counts.filterChains++;
      counts.filterRules += count;
    } else {
      counts.natChains++;
      counts.natRules += count;
    }
  }
  return counts;
}

function bareName(chain: string): string {
  return chain.slice(chain.indexOf('/') + 1);
}

function chainText(chain: string, rules: readonly Rule[]): string[] {
  const name = bareName(chain);
  return rules.map((rule) => ruleText(name, rule));
}

/** KUBE-NODEPORTS, then KUBE-SERVICES, then the others by name. */
function inCanonicalOrder(table: string, chains: Iterable<string>): string[] {
  const rank = (chain: string): number =>
    chain.endsWith('/KUBE-NODEPORTS') ? 0 : chain.endsWith('/KUBE-SERVICES') ? 1 : 2;
  return [...chains]
    .filter((chain) => chain.startsWith(`${table}/`))
    .sort((a, b) => rank(a) - rank(b) || compareBytes(a, b));
}
