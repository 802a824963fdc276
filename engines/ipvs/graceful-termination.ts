/** kube-proxy's list of real servers of weight 0 that wait for their connections to end (pkg/proxy/ipvs/graceful_termination.go). */
import { NS_PER_S } from '../../model/time.ts';
import type { SimTime } from '../../model/time.ts';
import type { RealServers } from './real-servers.ts';

/** rsCheckDeleteInterval: how often the list is looked at. */
const CHECK_PERIOD_NS = 60 * NS_PER_S;

export class GracefulTermination {
  readonly #servers: RealServers;
  #list: number[] = [];
  /** The latest time that the engine has been told. */
  readonly #latest = new Float64Array(1);

  constructor(servers: RealServers) {
    this.#servers = servers;
  }

  /** Instant of the next check, the first multiple of 60 s after the latest time; Infinity while the list is empty. */
  get nextCheck(): SimTime {
    if (this.#list.length === 0) return Infinity;
    return (Math.floor(this.#latest[0] / CHECK_PERIOD_NS) + 1) * CHECK_PERIOD_NS;
  }

  /** The engine has been told of `now`. */
  advanceClock(now: SimTime): void {
    this.#latest[0] = now;
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
    this.#latest[0] = this.nextCheck;
    this.#list = this.#list.filter((server) => {
      if (active[server] + inactive[server] !== 0) return true;
      deleteServer(server);
      return false;
    });
  }
}
