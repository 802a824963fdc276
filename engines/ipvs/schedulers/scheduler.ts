/** What the IPVS schedulers have in common (kernel struct ip_vs_scheduler). */
import type { SimTime } from '../../../model/time.ts';
import type { RealServers } from '../real-servers.ts';
import type { ServiceTable } from '../service-table.ts';

/**
 * A scheduler picks a real server for a new connection. State of its own is kept in arrays by the virtual server's
 * slot. The hooks are the kernel's init_service, done_service, add_dest/upd_dest and del_dest; a scheduler has those
 * that it needs.
 */
export abstract class Scheduler {
  /** List elements looked at by the latest `schedule`: DESTINATIONS_EXAMINED. */
  examined = 0;
  /** Whether `schedule` looks at the time. */
  readonly readsClock: boolean = false;
  protected readonly servers: RealServers;
  protected readonly services: ServiceTable;

  constructor(servers: RealServers) {
    this.servers = servers;
    this.services = servers.services;
  }

  /** A virtual server was added; its list is still empty. */
  serviceAdded?(service: number): void;
  /** A virtual server is about to go; its list is empty. */
  serviceRemoved?(service: number): void;
  /** Called after a real server was added, after its weight changed and after it was taken out of the list. */
  listChanged?(service: number): void;
  /** Called before `server` is taken out of its list. */
  serverRemoved?(service: number, server: number): void;

  /**
   * Packets to virtual servers services[0 .. length - 1] (or none: negative) are about to be scheduled, perhaps: reads what `schedule` will
   * read, so that several packets wait for memory together.
   */
  touch?(services: Int32Array, length: number): void;

  /** The real server's slot, or -1 when none is available. Sets `examined`. Addresses (signed or unsigned) and ports are the packet's. */
  abstract schedule(service: number, srcAddress: number, srcPort: number, dstAddress: number, now: SimTime): number;
}
