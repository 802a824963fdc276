/** What look-ups of names cost a trial's clients: queries, answers that helped nobody, and the time until a connection could begin. */
import type { Cell } from '../model/observation.ts';
import { NS_PER_MS, type SimTime } from '../model/time.ts';
import { quantileSorted, sortAscending } from './statistics.ts';

export class DnsMeter {
  /** Connections whose client looked a name up, once each whatever their retries. */
  connections = 0;
  /** Datagrams sent to the server, each with one question. */
  queries = 0;
  /** Answers that came and said that there is no such name. */
  nxdomainAnswers = 0;
  /** Attempts that nobody answered (or not wholly) within their time. */
  timeouts = 0;
  /** Look-ups that gave a client the address of a pod that did not listen, or was gone, when it had it. */
  staleAnswers = 0;
  readonly #delaysMs: number[] = [];

  /** A look-up has ended, with an address or without. */
  ended(delayNs: SimTime): void {
    this.#delaysMs.push(delayNs / NS_PER_MS);
  }

  /** Takes over what another node's clients asked. */
  absorb(other: DnsMeter): void {
    this.connections += other.connections;
    this.queries += other.queries;
    this.nxdomainAnswers += other.nxdomainAnswers;
    this.timeouts += other.timeouts;
    this.staleAnswers += other.staleAnswers;
    for (const ms of other.#delaysMs) this.#delaysMs.push(ms);
  }

  metrics(): Record<string, Cell> {
    const n = this.#delaysMs.length;
    const delays = sortAscending(Float64Array.from(this.#delaysMs));
    return {
      dns_queries: this.queries,
      dns_queries_per_connection_mean: this.connections === 0 ? null : this.queries / this.connections,
      dns_nxdomain_answers: this.nxdomainAnswers,
      dns_timeouts: this.timeouts,
      dns_stale_answers: this.staleAnswers,
      dns_delay_mean_ms: n === 0 ? null : delays.reduce((sum, ms) => sum + ms, 0) / n,
      dns_delay_p99_ms: n === 0 ? null : quantileSorted(delays, n, 0.99),
    };
  }
}
