/** kube-proxy's list of real servers of weight 0 that wait for their connections to end (pkg/proxy/ipvs/graceful_termination.go). */
import { NS_PER_S } from '../../model/time.ts';
import type { SimTime } from '../../model/time.ts';
import type { RealServers } from './real-servers.ts';

/** rsCheckDeleteInterval: how often the list is looked at. */
const CHECK_PERIOD_NS = 60 * NS_PER_S;

export class GracefulTermination {
  readonly #servers: RealServers;
  #list: number[] = [];
  #nextCheck: SimTime = Infinity;

  constructor(servers: RealServers) {
    this.#servers = servers;
  }

  /** Instant of the next check; Infinity while the list is empty. */
  get nextCheck(): SimTime {
    return this.#list.length === 0 ? Infinity : this.#nextCheck;
  }

  /** The engine has been told of `now`: the next check is the first multiple of 60 s after it. */
  advanceClock(now: SimTime): void {
    this.#nextCheck = (Math.floor(now / CHECK_PERIOD_NS) + 1) * CHECK_PERIOD_NS;
  }

  /** The server now has weight 0 and waits. */
  add(server: number): void {
    this.#servers.terminating[server] = 1;
    this.#list.push(server);
  }

  remove(server: number): void {
    this.#list = this.#list.filter((other) => other !== server);
  }

  /** Servers were deleted with their virtual server: they leave the list. */
  removeDeleted(): void {
    const { terminating } = this.#servers;
    this.#list = this.#list.filter((server) => terminating[server] === 1);
  }

  /** tryDeleteRs: hands over the listed servers that have no connection left. */
  check(deleteServer: (server: number) => void): void {
    const { active, inactive } = this.#servers;
    this.#list = this.#list.filter((server) => {
      if (active[server] + inactive[server] !== 0) return true;
      deleteServer(server);
      return false;
    });
    this.#nextCheck += CHECK_PERIOD_NS;
  }
}
