/** The ipsets of IPVS mode: what kube-proxy wants in them, what the kernel holds, and how a packet is tested (README 6; pkg/proxy/ipvs/ipset.go). */
import { cidrContains, formatIpv4, parseCidr } from '../../model/address.ts';
import { PROTOCOL_SCTP } from '../../model/protocol.ts';
import type { Protocol } from '../../model/protocol.ts';
import { protocolName } from '../../model/protocol.ts';
import { mark } from './marks.ts';
import type { SetKey, TestedSet } from './netfilter.ts';
import type { Packet } from './packet.ts';

type SetType = 'hash:ip' | 'hash:ip,port' | 'hash:ip,port,ip' | 'hash:ip,port,net' | 'bitmap:port';

/** Name, type, and the comment of the rules that test the set; in kube-proxy's order. */
const SETS = [
  ['KUBE-LOOP-BACK', 'hash:ip,port,ip', 'Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose'],
  ['KUBE-CLUSTER-IP', 'hash:ip,port', 'Kubernetes service cluster ip + port for masquerade purpose'],
  ['KUBE-EXTERNAL-IP', 'hash:ip,port', 'Kubernetes service external ip + port for masquerade and filter purpose'],
  ['KUBE-EXTERNAL-IP-LOCAL', 'hash:ip,port', 'Kubernetes service external ip + port with externalTrafficPolicy=local'],
  ['KUBE-LOAD-BALANCER', 'hash:ip,port', 'Kubernetes service lb portal'],
  ['KUBE-LOAD-BALANCER-FW', 'hash:ip,port', 'Kubernetes service load balancer ip + port for load balancer with sourceRange'],
  ['KUBE-LOAD-BALANCER-LOCAL', 'hash:ip,port', 'Kubernetes service load balancer ip + port with externalTrafficPolicy=local'],
  ['KUBE-LOAD-BALANCER-SOURCE-IP', 'hash:ip,port,ip', 'Kubernetes service load balancer ip + port + source IP for packet filter purpose'],
  ['KUBE-LOAD-BALANCER-SOURCE-CIDR', 'hash:ip,port,net', 'Kubernetes service load balancer ip + port + source cidr for packet filter purpose'],
  ['KUBE-NODE-PORT-TCP', 'bitmap:port', 'Kubernetes nodeport TCP port for masquerade purpose'],
  ['KUBE-NODE-PORT-LOCAL-TCP', 'bitmap:port', 'Kubernetes nodeport TCP port with externalTrafficPolicy=local'],
  ['KUBE-NODE-PORT-UDP', 'bitmap:port', 'Kubernetes nodeport UDP port for masquerade purpose'],
  ['KUBE-NODE-PORT-LOCAL-UDP', 'bitmap:port', 'Kubernetes nodeport UDP port with externalTrafficPolicy=local'],
  ['KUBE-NODE-PORT-SCTP-HASH', 'hash:ip,port', "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'"],
  ['KUBE-NODE-PORT-LOCAL-SCTP-HASH', 'hash:ip,port', "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'"],
  ['KUBE-HEALTH-CHECK-NODE-PORT', 'bitmap:port', 'Kubernetes health check node port'],
  ['KUBE-IPVS-IPS', 'hash:ip', 'Addresses on the ipvs interface'],
] as const satisfies readonly (readonly [string, SetType, string])[]; // prettier-ignore

export type SetName = (typeof SETS)[number][0];

/** `10.0.0.1,tcp:80` */
export function ipPort(address: number, protocol: number, port: number): string {
  return `${formatIpv4(address)},${protocolName(protocol as Protocol)}:${port}`;
}

/** One set; entries are text, as `ipset` takes and prints them. */
class IpSet implements TestedSet {
  readonly name: SetName;
  readonly type: SetType;
  readonly comment: string;
  #wanted = new Set<string>();
  /** As the kernel prints them. */
  readonly #held = new Set<string>();

  constructor(name: SetName, type: SetType, comment: string) {
    this.name = name;
    this.type = type;
    this.comment = comment;
  }

  /** kube-proxy wants an entry, whether or not the kernel took it. */
  get isUsed(): boolean {
    return this.#wanted.size > 0;
  }

  get entries(): string[] {
    return [...this.#held].sort((a, b) => (a < b ? -1 : 1));
  }

  reset(): void {
    this.#wanted = new Set();
  }

  want(entry: string): void {
    this.#wanted.add(entry);
  }

  /** Deletes what is printed and not wanted, adds what is wanted and not printed; says how many entries that were [syncIPSetEntries]. */
  sync(): number {
    const stale = [...this.#held].filter((entry) => !this.#wanted.has(entry));
    const missing = [...this.#wanted].filter((entry) => !this.#held.has(entry));
    for (const entry of stale) this.#held.delete(entry);
    let added = 0;
    for (const entry of missing) {
      if (this.type === 'hash:ip,port,net' && entry.endsWith('/0')) {
        mark('source range of length 0 refused by the kernel');
        continue;
      }
      const printed = entry.replace(/\/32$/, '');
      if (stale.includes(printed)) mark('source range of one address written anew');
      this.#held.add(printed);
      added++;
    }
    return stale.length + added;
  }

  /** [ip_set_hash_ipport.c and its kin, ip_set_getport.c] */
  holds(key: SetKey, packet: Packet): boolean {
    const { src, dst, protocol } = packet;
    switch (key) {
      case 'dst-port':
        if (protocol === PROTOCOL_SCTP) mark('sctp packet asked of a port bitmap');
        return protocol !== PROTOCOL_SCTP && this.#held.has(`${dst.port}`);
      case 'dst-address':
        return this.#held.has(formatIpv4(dst.address));
      case 'dst,dst':
        return this.#held.has(ipPort(dst.address, protocol, dst.port));
      case 'src,dst':
        return this.#held.has(ipPort(src.address, protocol, dst.port));
      case 'dst,dst,src': {
        const service = ipPort(dst.address, protocol, dst.port);
        if (this.type === 'hash:ip,port,net') return this.#hasRange(`${service},`, src.address);
        return this.#held.has(`${service},${formatIpv4(src.address)}`);
      }
    }
  }

  #hasRange(service: string, address: number): boolean {
    for (const entry of this.#held) {
      if (!entry.startsWith(service)) continue;
      const range = entry.slice(service.length);
      const block = parseCidr(range.includes('/') ? range : `${range}/32`);
      if (block !== undefined && cidrContains(block, address)) return true;
    }
    return false;
  }

  /** Lines of `ipset save`. */
  saveLines(): string[] {
    const options = this.type === 'bitmap:port' ? 'range 0-65535' : 'family inet hashsize 1024 maxelem 65536';
    return [`create ${this.name} ${this.type} ${options}`, ...this.entries.map((entry) => `add ${this.name} ${entry}`)];
  }
}

export class IpSets {
  readonly #sets = new Map<string, IpSet>(SETS.map(([name, type, comment]) => [name, new IpSet(name, type, comment)]));

  /** For the walk through the rules. */
  get byName(): ReadonlyMap<string, TestedSet> {
    return this.#sets;
  }

  get(name: SetName): IpSet {
    return this.#sets.get(name) as IpSet;
  }

  reset(): void {
    for (const set of this.#sets.values()) set.reset();
  }

  /** Entries added and deleted. */
  sync(): number {
    let changes = 0;
    for (const set of this.#sets.values()) changes += set.sync();
    return changes;
  }

  saveLines(): string[] {
    return [...this.#sets.values()].flatMap((set) => set.saveLines());
  }
}
