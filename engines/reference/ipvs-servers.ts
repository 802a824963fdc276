/** Virtual and real servers of IPVS, and how one is deleted and comes back (README 6, 7.4). */
import { mark } from './marks.ts';
import type { Party } from './packet.ts';
import type { Scheduler } from './schedulers.ts';

export interface RealServer extends Party {
  /** The virtual server's text and `ip:port`: how a returning server finds its old self. */
  readonly key: string;
  weight: number;
  active: number;
  inactive: number;
  /** Persistence templates that lead here; they count in neither of the above. */
  templates: number;
  deleted: boolean;
}

export interface VirtualServer extends Party {
  readonly protocol: number;
  servicePortId: number;
  /** Time-out of persistence; 0 without it. */
  affinitySeconds: number;
  /** New ones at the tail. */
  servers: RealServer[];
  readonly scheduler: Scheduler;
}

export function virtualText(protocol: number, party: Party): string {
  return `${protocol} ${party.address}:${party.port}`;
}

/** 256 chains of virtual servers, newest first [ip_vs_svc_hashkey, ip_vs_svc_hash]. */
export class ServiceTable {
  readonly #chains: VirtualServer[][] = Array.from({ length: 256 }, () => []);

  #chain(protocol: number, party: Party): VirtualServer[] {
    const bucket = (protocol ^ party.address ^ (party.port >> 8) ^ party.port) & 255;
    return this.#chains[bucket] ?? [];
  }

  /** The virtual server, if there is one, and the entries passed to find it or to know. */
  find(protocol: number, party: Party): { virtual: VirtualServer | undefined; passed: number } {
    const chain = this.#chain(protocol, party);
    const place = chain.findIndex(
      (v) => v.protocol === protocol && v.address === party.address && v.port === party.port,
    );
    if (place < 0) return { virtual: undefined, passed: chain.length };
    return { virtual: chain[place], passed: place + 1 };
  }

  add(virtual: VirtualServer): void {
    this.#chain(virtual.protocol, virtual).unshift(virtual);
  }

  remove(virtual: VirtualServer): void {
    const chain = this.#chain(virtual.protocol, virtual);
    chain.splice(chain.indexOf(virtual), 1);
  }

  all(): VirtualServer[] {
    return this.#chains.flat();
  }
}

/** Real servers, by key, that were deleted while connections or templates led to them [dest_trash, ip_vs_trash_get_dest]. */
export class Trash {
  readonly #byKey = new Map<string, RealServer>();

  addServer(virtual: VirtualServer, party: Party): void {
    const key = `${virtualText(virtual.protocol, virtual)} ${party.address}:${party.port}`;
    const old = this.#byKey.get(key);
    let server: RealServer = {
      key,
      address: party.address,
      port: party.port,
      weight: 1,
      active: 0,
      inactive: 0,
      templates: 0,
      deleted: false,
    };
    if (old !== undefined && old.active + old.inactive + old.templates > 0) {
      mark(old.active + old.inactive > 0 ? 'server back with its connections' : 'server back with its templates alone');
      server = old;
    }
    this.#byKey.delete(key);
    server.deleted = false;
    server.weight = 1;
    virtual.servers.push(server);
    virtual.scheduler.listChanged();
  }

  removeServer(virtual: VirtualServer, server: RealServer): void {
    virtual.scheduler.removing(virtual, server);
    virtual.servers = virtual.servers.filter((other) => other !== server);
    virtual.scheduler.listChanged();
    server.deleted = true;
    this.#byKey.set(server.key, server);
  }
}
