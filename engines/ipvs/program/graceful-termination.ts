/**
 * How kube-proxy takes a real server away without cutting its connections (pkg/proxy/ipvs/graceful_termination.go): weight 0 as long as
 * there are any, looked at again each minute. There is no time limit.
 */
import { assert } from '../../../sim/assert.ts';
import type { IpvsTable, RealServerKey, VirtualServerKey } from './ipvs-table.ts';
import { realServerName } from './ipvs-table.ts';

/** rsCheckDeleteInterval. */
export const RETRY_SECONDS = 60;

/** `absent`: there was no such real server, and nothing was done. */
export type Deletion = 'deleted' | 'draining' | 'absent';

interface Entry {
  readonly virtual: VirtualServerKey;
  readonly real: RealServerKey;
}

export class GracefulTermination {
  readonly #table: IpvsTable;
  readonly #list = new Map<string, Entry>();

  constructor(table: IpvsTable) {
    this.#table = table;
  }

  get isEmpty(): boolean {
    return this.#list.size === 0;
  }

  /** Names as realServerName gives them. */
  get names(): string[] {
    return [...this.#list.keys()];
  }

  has(virtual: VirtualServerKey, real: RealServerKey): boolean {
    return this.#list.has(realServerName(virtual, real));
  }

  /** GracefulDeleteRS. */
  delete(virtual: VirtualServerKey, real: RealServerKey): Deletion {
    const result = this.#tryDelete(virtual, real);
    if (result !== 'draining') return result;
    this.#table.setWeight(virtual, real, 0);
    this.#list.set(realServerName(virtual, real), { virtual, real });
    return 'draining';
  }

  /** The address is wanted again: deleted whatever its connections, for the caller to add anew (MoveRSOutofGracefulDeleteList). */
  deleteNow(virtual: VirtualServerKey, real: RealServerKey): void {
    const isListed = this.#list.delete(realServerName(virtual, real));
    assert(isListed, `${realServerName(virtual, real)} is not in graceful termination`);
    this.#table.deleteRealServer(virtual, real);
  }

  /**
   * The check of each minute; gives the number of deleted servers. An entry whose virtual server is gone only leaves the list; if that virtual
   * server and its real server came back meanwhile, the check deletes the latter although it is wanted, and the next sync repairs it.
   */
  retry(): number {
    let deleted = 0;
    for (const [name, { virtual, real }] of [...this.#list]) {
      const result = this.#tryDelete(virtual, real);
      if (result === 'draining') continue;
      this.#list.delete(name);
      if (result === 'deleted') deleted++;
    }
    return deleted;
  }

  /** deleteRsFunc: UDP and SCTP servers go at once (IsRsGracefulTerminationNeeded). */
  #tryDelete(virtual: VirtualServerKey, real: RealServerKey): Deletion {
    if (this.#table.realServer(virtual, real) === undefined) return 'absent';
    const { activeConn, inactConn } = this.#table.connections(virtual, real);
    if (virtual.protocol === 'tcp' && activeConn + inactConn !== 0) return 'draining';
    this.#table.deleteRealServer(virtual, real);
    return 'deleted';
  }
}
