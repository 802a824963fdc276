/** The kernel's IPVS table as kube-proxy sees it over netlink: virtual servers, their real servers, and connection counts. */
import { canonicalIp } from '../../../model/ip-text.ts';
import { hostPort } from '../../../model/service-config.ts';
import { assert } from '../../../sim/assert.ts';

export type Protocol = 'tcp' | 'udp' | 'sctp';

/** Persistent: a client stays with its real server (IP_VS_SVC_F_PERSISTENT). */
export const FLAG_PERSISTENT = 0x1;
/** The source port counts in the hash of scheduler `mh` (IP_VS_SVC_F_SCHED2). The kernel's own flag "hashed" (0x2) is left out. */
export const FLAG_SOURCE_HASH = 0x10;

export interface VirtualServerKey {
  readonly address: string;
  readonly protocol: Protocol;
  readonly port: number;
}

export interface VirtualServerSpec extends VirtualServerKey {
  readonly scheduler: string;
  readonly flags: number;
  /** Of persistence; 0 without it. */
  readonly timeoutSeconds: number;
}

export interface RealServerKey {
  readonly address: string;
  readonly port: number;
}

export interface RealServer extends RealServerKey {
  readonly weight: number;
}

export interface VirtualServer extends VirtualServerSpec {
  /** In the kernel's order, new ones last. */
  readonly realServers: readonly RealServer[];
}

export interface ConnectionCounts {
  readonly activeConn: number;
  readonly inactConn: number;
}

/** A virtual server found at start; connections of its real servers may be given. */
export interface InitialVirtualServer extends VirtualServerSpec {
  readonly realServers?: readonly (RealServer & Partial<ConnectionCounts>)[];
}

/** `10.0.0.1:80/TCP`: kube-proxy's name of a virtual server (pkg/proxy/ipvs/util/ipvs.go VirtualServer.String). */
export function virtualServerName(server: VirtualServerKey): string {
  return `${hostPort(server.address, server.port)}/${server.protocol.toUpperCase()}`;
}

/** kube-proxy's name of a real server of a virtual server (graceful_termination.go GetUniqueRSName). */
export function realServerName(virtual: VirtualServerKey, real: RealServerKey): string {
  return `${virtualServerName(virtual)}/${hostPort(real.address, real.port)}`;
}

interface Held {
  spec: VirtualServerSpec;
  /** By `ip:port`, in the kernel's order. */
  readonly realServers: Map<string, RealServer>;
}

const NO_CONNECTIONS: ConnectionCounts = { activeConn: 0, inactConn: 0 };

export class IpvsTable {
  readonly #servers = new Map<string, Held>();
  /** Apart from the real servers, because connections outlive them: a server that comes back gets its old ones (ip_vs_trash_get_dest). */
  readonly #connections = new Map<string, ConnectionCounts>();

  constructor(initial: readonly InitialVirtualServer[] = []) {
    for (const { realServers = [], ...spec } of initial) {
      const virtual = { ...spec, address: canonical(spec.address) };
      this.addVirtualServer(virtual);
      for (const { activeConn = 0, inactConn = 0, weight, ...real } of realServers) {
        const server = { address: canonical(real.address), port: real.port, weight };
        this.addRealServer(virtual, server);
        this.setConnections(virtual, server, { activeConn, inactConn });
      }
    }
  }

  /** In no meaningful order: the kernel lists its hash table. */
  virtualServers(): VirtualServer[] {
    return [...this.#servers.values()].map(({ spec, realServers }) => ({
      ...spec,
      realServers: [...realServers.values()],
    }));
  }

  virtualServer(key: VirtualServerKey): VirtualServerSpec | undefined {
    return this.#servers.get(virtualServerName(key))?.spec;
  }

  /** Empty where there is no such virtual server, as a netlink dump is. */
  realServers(key: VirtualServerKey): RealServer[] {
    return [...(this.#servers.get(virtualServerName(key))?.realServers.values() ?? [])];
  }

  realServer(key: VirtualServerKey, server: RealServerKey): RealServer | undefined {
    return this.#servers.get(virtualServerName(key))?.realServers.get(textOf(server));
  }

  addVirtualServer(spec: VirtualServerSpec): void {
    const name = virtualServerName(spec);
    assert(!this.#servers.has(name), `virtual server ${name} is there already`);
    this.#servers.set(name, { spec: onlySpec(spec), realServers: new Map() });
  }

  /** The real servers stay. */
  updateVirtualServer(spec: VirtualServerSpec): void {
    this.#held(spec).spec = onlySpec(spec);
  }

  deleteVirtualServer(key: VirtualServerKey): void {
    this.#servers.delete(virtualServerName(key));
  }

  addRealServer(key: VirtualServerKey, server: RealServer): void {
    const { realServers } = this.#held(key);
    assert(!realServers.has(textOf(server)), `real server ${realServerName(key, server)} is there already`);
    realServers.set(textOf(server), server);
  }

  deleteRealServer(key: VirtualServerKey, server: RealServerKey): void {
    this.#held(key).realServers.delete(textOf(server));
  }

  setWeight(key: VirtualServerKey, { address, port }: RealServerKey, weight: number): void {
    assert(
      this.realServer(key, { address, port }) !== undefined,
      `no real server ${realServerName(key, { address, port })}`,
    );
    this.#held(key).realServers.set(textOf({ address, port }), { address, port, weight });
  }

  connections(key: VirtualServerKey, server: RealServerKey): ConnectionCounts {
    return this.#connections.get(realServerName(key, server)) ?? NO_CONNECTIONS;
  }

  setConnections(key: VirtualServerKey, server: RealServerKey, counts: ConnectionCounts): void {
    const name = realServerName(key, server);
    if (counts.activeConn + counts.inactConn === 0) this.#connections.delete(name);
    else this.#connections.set(name, counts);
  }

  #held(key: VirtualServerKey): Held {
    const held = this.#servers.get(virtualServerName(key));
    assert(held !== undefined, `no virtual server ${virtualServerName(key)}`);
    return held;
  }
}

function onlySpec({ address, protocol, port, scheduler, flags, timeoutSeconds }: VirtualServerSpec): VirtualServerSpec {
  return { address, protocol, port, scheduler, flags, timeoutSeconds };
}

function textOf(server: RealServerKey): string {
  return hostPort(server.address, server.port);
}

function canonical(text: string): string {
  const address = canonicalIp(text);
  assert(address !== undefined, `"${text}" is no address`);
  return address;
}
