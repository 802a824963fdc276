/** The ipsets of IPVS mode: names, types and entries (kube-proxy pkg/proxy/ipvs/ipset.go, pkg/proxy/ipvs/ipset/ipset.go). */
import type { IpFamily } from '../../../model/service-config.ts';

export type SetType = 'hash:ip' | 'hash:ip,port' | 'hash:ip,port,ip' | 'hash:ip,port,net' | 'bitmap:port';

export interface SetDefinition {
  readonly name: string;
  readonly type: SetType;
  /** In the rules that test the set. */
  readonly comment: string;
}

/** In the order of kube-proxy's ipsetInfo. */
const DEFINITIONS = [
  ['KUBE-LOOP-BACK', 'hash:ip,port,ip', 'Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose'],
  ['KUBE-CLUSTER-IP', 'hash:ip,port', 'Kubernetes service cluster ip + port for masquerade purpose'],
  ['KUBE-EXTERNAL-IP', 'hash:ip,port', 'Kubernetes service external ip + port for masquerade and filter purpose'],
  ['KUBE-EXTERNAL-IP-LOCAL', 'hash:ip,port', 'Kubernetes service external ip + port with externalTrafficPolicy=local'],
  ['KUBE-LOAD-BALANCER', 'hash:ip,port', 'Kubernetes service lb portal'],
  [
    'KUBE-LOAD-BALANCER-FW',
    'hash:ip,port',
    'Kubernetes service load balancer ip + port for load balancer with sourceRange',
  ],
  [
    'KUBE-LOAD-BALANCER-LOCAL',
    'hash:ip,port',
    'Kubernetes service load balancer ip + port with externalTrafficPolicy=local',
  ],
  [
    'KUBE-LOAD-BALANCER-SOURCE-IP',
    'hash:ip,port,ip',
    'Kubernetes service load balancer ip + port + source IP for packet filter purpose',
  ],
  [
    'KUBE-LOAD-BALANCER-SOURCE-CIDR',
    'hash:ip,port,net',
    'Kubernetes service load balancer ip + port + source cidr for packet filter purpose',
  ],
  ['KUBE-NODE-PORT-TCP', 'bitmap:port', 'Kubernetes nodeport TCP port for masquerade purpose'],
  ['KUBE-NODE-PORT-LOCAL-TCP', 'bitmap:port', 'Kubernetes nodeport TCP port with externalTrafficPolicy=local'],
  ['KUBE-NODE-PORT-UDP', 'bitmap:port', 'Kubernetes nodeport UDP port for masquerade purpose'],
  ['KUBE-NODE-PORT-LOCAL-UDP', 'bitmap:port', 'Kubernetes nodeport UDP port with externalTrafficPolicy=local'],
  [
    'KUBE-NODE-PORT-SCTP-HASH',
    'hash:ip,port',
    "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'",
  ],
  [
    'KUBE-NODE-PORT-LOCAL-SCTP-HASH',
    'hash:ip,port',
    "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'",
  ],
  ['KUBE-HEALTH-CHECK-NODE-PORT', 'bitmap:port', 'Kubernetes health check node port'],
  ['KUBE-IPVS-IPS', 'hash:ip', 'Addresses on the ipvs interface'],
] as const satisfies readonly (readonly [string, SetType, string])[];

/** The IPv4 name, which also keys the IPv6 set. */
export type SetName = (typeof DEFINITIONS)[number][0];

export const SET_DEFINITIONS: readonly (SetDefinition & { readonly name: SetName })[] = DEFINITIONS.map(
  ([name, type, comment]) => ({ name, type, comment }),
);

/** Longest name of a set that the kernel takes (IPSET_MAXNAMELEN less its end). */
const MAX_NAME_LENGTH = 31;
/** maxelem of a hash as kube-proxy creates it; the kernel refuses further elements. */
const MAX_ELEMENTS = 65536;

/** `KUBE-CLUSTER-IP`, for IPv6 `KUBE-6-CLUSTER-IP` (NewIPSet). */
export function setNameOf(name: SetName, family: IpFamily): string {
  return family === 'IPv4' ? name : name.replace('KUBE-', 'KUBE-6-').slice(0, MAX_NAME_LENGTH);
}

export interface SetChange {
  readonly added: number;
  readonly deleted: number;
}

export class IpSet {
  readonly definition: SetDefinition;
  /** As the kernel knows it. */
  readonly kernelName: string;
  readonly #family: IpFamily;
  #wanted = new Set<string>();
  /** The kernel's elements by the text in which `ipset list` prints them, with the text that was asked for. */
  readonly #held: Map<string, string>;
  #refused: string[] = [];

  constructor(definition: SetDefinition & { readonly name: SetName }, family: IpFamily, held: readonly string[] = []) {
    this.definition = definition;
    this.kernelName = setNameOf(definition.name, family);
    this.#family = family;
    this.#held = new Map(held.map((entry) => [this.#printed(entry), entry]));
  }

  reset(): void {
    this.#wanted = new Set();
  }

  want(entry: string): void {
    this.#wanted.add(entry);
  }

  /** As kube-proxy sees it, which does not look whether the kernel took the entries. */
  get isEmpty(): boolean {
    return this.#wanted.size === 0;
  }

  /** What the kernel holds, as asked for, sorted. */
  get entries(): string[] {
    return [...this.#held.values()].sort(byText);
  }

  /** What the kernel refused in the last sync, sorted: a source range of length 0, or more than the set's maximum. */
  get refused(): readonly string[] {
    return this.#refused;
  }

  /** What the kernel holds, as `ipset save` prints it, sorted. */
  get printedEntries(): string[] {
    return [...this.#held.keys()].sort(byText);
  }

  /**
   * Makes the kernel's set the wanted one, entry by entry (syncIPSetEntries). kube-proxy compares texts: the kernel prints a source range
   * of a single address without its length, so such an entry is deleted and added at every sync.
   */
  sync(): SetChange {
    const stale = [...this.#held.keys()].filter((printed) => !this.#wanted.has(printed));
    for (const printed of stale) this.#held.delete(printed);
    const missing = [...this.#wanted].filter((entry) => !this.#held.has(entry)).sort(byText);
    this.#refused = [];
    for (const entry of missing) {
      if (this.#isTaken(entry)) this.#held.set(this.#printed(entry), entry);
      else this.#refused.push(entry);
    }
    return { added: missing.length - this.#refused.length, deleted: stale.length };
  }

  /** `create` and `add` lines of `ipset save`, the hash as kube-proxy creates it. */
  saveLines(): string[] {
    const options =
      this.definition.type === 'bitmap:port'
        ? 'range 0-65535'
        : `family ${this.#family === 'IPv4' ? 'inet' : 'inet6'} hashsize 1024 maxelem ${MAX_ELEMENTS}`;
    const create = `create ${this.kernelName} ${this.definition.type} ${options}`;
    return [create, ...this.printedEntries.map((entry) => `add ${this.kernelName} ${entry}`)];
  }

  #isTaken(entry: string): boolean {
    if (this.definition.type === 'bitmap:port') return true;
    if (this.definition.type === 'hash:ip,port,net' && entry.endsWith('/0')) return false;
    return this.#held.size < MAX_ELEMENTS;
  }

  #printed(entry: string): string {
    if (this.definition.type === 'bitmap:port') return entry;
    const whole = this.#family === 'IPv4' ? '/32' : '/128';
    return entry.endsWith(whole) ? entry.slice(0, -whole.length) : entry;
  }
}

export type IpSets = ReadonlyMap<SetName, IpSet>;

/** `held`: entries found in the kernel, by IPv4 set name. */
export function createIpSets(family: IpFamily, held: ReadonlyMap<string, readonly string[]> = new Map()): IpSets {
  return new Map(
    SET_DEFINITIONS.map((definition) => [definition.name, new IpSet(definition, family, held.get(definition.name))]),
  );
}

/** Entries are ASCII, so that this is Go's order of strings too. */
function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
