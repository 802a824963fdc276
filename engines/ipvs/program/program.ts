/** What the kernel holds after a sync of kube-proxy in IPVS mode: data, native text, and packets followed through it. */
import type { ProxyConfig } from '../../../model/service-config.ts';
import { hostPort } from '../../../model/service-config.ts';
import type { IpSets, SetName, SetType } from './ip-sets.ts';
import type { Protocol, VirtualServer } from './ipvs-table.ts';
import { FLAG_PERSISTENT } from './ipvs-table.ts';
import type { SyncOperations } from './programmer.ts';
import { BUILT_IN_RULES } from './rule-writer.ts';
import type { RuleSet } from './rules.ts';
import { ruleText } from './rules.ts';
import type { Flow, FlowTrace } from './trace.ts';
import { traceFlow } from './trace.ts';

export interface SetView {
  readonly kernelName: string;
  readonly type: SetType;
  /** What the kernel holds, as kube-proxy wrote it, sorted by text. */
  readonly entries: readonly string[];
  /** What it refused: a source range of length 0, or more entries than a set's maximum. kube-proxy only logs that. */
  readonly refused: readonly string[];
  /** The lines of `ipset save`. */
  readonly saveLines: readonly string[];
}

export interface ProgramParts {
  readonly config: ProxyConfig;
  readonly virtualServers: readonly VirtualServer[];
  readonly boundAddresses: readonly string[];
  readonly sets: IpSets;
  readonly rules: RuleSet;
  readonly operations: SyncOperations;
  readonly draining: readonly string[];
  readonly noLocalEndpoints: { readonly internal: number; readonly external: number };
}

const TABLES = ['filter', 'nat'] as const;
const SERVICE_OPTIONS: Readonly<Record<Protocol, string>> = { tcp: '-t', udp: '-u', sctp: '--sctp-service' };
/** Names of a scheduler's flags (IP_VS_SVC_F_SCHED1 to 3) in ipvsadm. */
const SCHEDULER_FLAGS: readonly { readonly bit: number; readonly name: string; readonly sourceHash?: string }[] = [
  { bit: 0x8, name: 'flag-1', sourceHash: 'fallback' },
  { bit: 0x10, name: 'flag-2', sourceHash: 'port' },
  { bit: 0x20, name: 'flag-3' },
];

export class IpvsProgram {
  /** Of both families, in byte order of their text; real servers in the kernel's order. */
  readonly virtualServers: readonly VirtualServer[];
  /** On kube-ipvs0, sorted by text. */
  readonly boundAddresses: readonly string[];
  /** Every set, empty or not, by its IPv4 name. */
  readonly ipsets: ReadonlyMap<SetName, SetView>;
  /** kube-proxy's own chains by `table/CHAIN`; the built-in ones are in BUILT_IN_RULES. */
  readonly rules: RuleSet;
  readonly operations: Readonly<SyncOperations>;
  /** Real servers in graceful termination, as `ip:port/TCP/ip:port`. */
  readonly draining: readonly string[];
  /** Services, not ports, whose Local policy finds endpoints only on other nodes (sync_proxy_rules_no_local_endpoints_total). */
  readonly noLocalEndpoints: { readonly internal: number; readonly external: number };
  readonly #config: ProxyConfig;
  #chains: ReadonlyMap<string, readonly string[]> | undefined;

  constructor(parts: ProgramParts) {
    this.#config = parts.config;
    this.virtualServers = sortedBy(parts.virtualServers, serviceText);
    this.boundAddresses = sortedBy(parts.boundAddresses, (address) => address);
    this.ipsets = new Map(
      [...parts.sets].map(([name, set]) => {
        const { kernelName, definition, entries, refused } = set;
        return [name, { kernelName, type: definition.type, entries, refused, saveLines: set.saveLines() }];
      }),
    );
    this.rules = parts.rules;
    this.operations = parts.operations;
    this.draining = parts.draining;
    this.noLocalEndpoints = parts.noLocalEndpoints;
  }

  /** Rule texts (`-A CHAIN ...`) by `table/CHAIN`. */
  get chains(): ReadonlyMap<string, readonly string[]> {
    this.#chains ??= chainTexts(this.rules);
    return this.#chains;
  }

  /** `ipvsadm -S -n`, which `ipvsadm -R` reads. */
  ipvsText(): string {
    return this.virtualServers.flatMap(virtualServerLines).map(line).join('');
  }

  /** `ipset save`, which `ipset restore` reads. */
  ipsetText(): string {
    return [...this.ipsets.values()].flatMap(({ saveLines }) => saveLines.map(line)).join('');
  }

  /** What kube-proxy feeds to `iptables-restore --noflush --counters`, in canonical order (its own begins with nat). */
  restoreText(): string {
    return TABLES.map((table) => tableText(table, [], this.chains)).join('');
  }

  /** The same with the jumps from built-in chains: loadable into empty tables. */
  kernelText(): string {
    const builtIn = chainTexts(BUILT_IN_RULES);
    const all = new Map([...builtIn, ...this.chains]);
    return TABLES.map((table) => tableText(table, [...builtIn.keys()], all)).join('');
  }

  /** Follows a flow's first packet. See trace.ts. */
  trace(flow: Flow): FlowTrace {
    return traceFlow(this, this.#config, flow);
  }
}

function virtualServerLines(virtual: VirtualServer): string[] {
  const service = serviceText(virtual);
  const words = [`-A ${service} -s ${virtual.scheduler}`];
  if ((virtual.flags & FLAG_PERSISTENT) !== 0) words.push(`-p ${virtual.timeoutSeconds}`);
  const flags = schedulerFlags(virtual);
  if (flags.length > 0) words.push(`-b ${flags.join(',')}`);
  const servers = virtual.realServers.map(
    ({ address, port, weight }) => `-a ${service} -r ${hostPort(address, port)} -m -w ${weight}`,
  );
  return [words.join(' '), ...servers];
}

function serviceText({ protocol, address, port }: VirtualServer): string {
  return `${SERVICE_OPTIONS[protocol]} ${hostPort(address, port)}`;
}

function schedulerFlags({ scheduler, flags }: VirtualServer): string[] {
  const hashes = scheduler === 'sh' || scheduler === 'mh';
  return SCHEDULER_FLAGS.filter(({ bit }) => (flags & bit) !== 0).map(({ name, sourceHash }) =>
    hashes && sourceHash !== undefined ? `${scheduler}-${sourceHash}` : name,
  );
}

function chainTexts(rules: RuleSet): ReadonlyMap<string, readonly string[]> {
  return new Map([...rules].map(([chain, list]) => [chain, list.map((rule) => ruleText(bareName(chain), rule))]));
}

/** KUBE-SERVICES first, the other chains by name; built-in ones before them. */
function tableText(table: string, builtIn: readonly string[], chains: ReadonlyMap<string, readonly string[]>): string {
  const isOf = (chain: string): boolean => chain.startsWith(`${table}/`);
  const hooks = builtIn.filter(isOf);
  const own = sortedBy(
    [...chains.keys()].filter((chain) => isOf(chain) && !hooks.includes(chain)),
    (chain) => (bareName(chain) === 'KUBE-SERVICES' ? '' : chain),
  );
  const lines = [
    `*${table}`,
    ...hooks.map((chain) => `:${bareName(chain)} ACCEPT [0:0]`),
    ...own.map((chain) => `:${bareName(chain)} - [0:0]`),
    ...[...hooks, ...own].flatMap((chain) => chains.get(chain) ?? []),
    'COMMIT',
  ];
  return lines.map(line).join('');
}

function bareName(chain: string): string {
  return chain.slice(chain.indexOf('/') + 1);
}

function line(text: string): string {
  return `${text}\n`;
}

/** Texts are ASCII, so that this is byte order. */
function sortedBy<T>(items: readonly T[], key: (item: T) => string): T[] {
  const keyed = items.map((item) => ({ item, text: key(item) }));
  return keyed.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0)).map(({ item }) => item);
}
