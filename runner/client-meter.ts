/** What a trial's clients saw: attempts, how failed ones failed, connections that were cut, and how long the first answer took. */
import type { Cell } from '../model/observation.ts';
import { NS_PER_MS, type SimTime } from '../model/time.ts';
import { quantileSorted, sortAscending } from './statistics.ts';

export class ClientMeter {
  /** Attempts to connect, retries included. */
  attempts = 0;
  /** Connections that got an endpoint with a process, at whatever attempt. */
  established = 0;
  /** Failed for good: by a reset or an ICMP error; without any answer. */
  refused = 0;
  timedOut = 0;
  /** Cut once established: by a reset of the pod (or of kube-proxy, in userspace mode); by silence. */
  reset = 0;
  silent = 0;
  /** Connections that went on to an endpoint after the rules had let go of it. */
  onRemovedPods = 0;
  /** Packets of clients that were sent to an endpoint whose pod was not ready, listening or not. */
  stalePackets = 0;
  retransmittedSyns = 0;
  /** From the first SYN to the one that was answered, of each established connection; recorded where clients wait at all. */
  readonly #delays: Float64Array[] = [];
  #used = 0;

  answered(delayNs: SimTime): void {
    this.#addDelay(delayNs / NS_PER_MS);
  }

  /** Takes over what another node's clients saw. */
  absorb(other: ClientMeter): void {
    for (const name of COUNTS) this[name] += other[name];
    for (let i = 0; i < other.#used; i++) this.#addDelay(other.#delays[Math.floor(i / CHUNK)][i % CHUNK]);
  }

  /** `waits`: clients send SYNs again or try again; else delays and repeats do not apply. */
  metrics(connections: number, failed: number, waits: boolean): Record<string, Cell> {
    const n = this.#used;
    const waiting = connections - this.established - failed;
    const delays = new Float64Array(n);
    this.#delays.forEach((chunk, i) => delays.set(chunk.subarray(0, Math.min(CHUNK, n - i * CHUNK)), i * CHUNK));
    sortAscending(delays);
    return {
      availability_ratio: connections === 0 ? null : 1 - (failed + waiting) / connections,
      connection_attempts: this.attempts,
      refused_connections: this.refused,
      timed_out_connections: this.timedOut,
      waiting_connections: waits ? waiting : null,
      reset_connections: this.reset,
      silent_connections: this.silent,
      removed_pod_connections: this.onRemovedPods,
      stale_packets: this.stalePackets,
      retransmitted_syns: waits ? this.retransmittedSyns : null,
      first_byte_delay_mean_ms: n === 0 ? null : delays.reduce((sum, ms) => sum + ms, 0) / n,
      first_byte_delay_p99_ms: n === 0 ? null : quantileSorted(delays, n, 0.99),
    };
  }

  #addDelay(ms: number): void {
    if (this.#used % CHUNK === 0) this.#delays.push(new Float64Array(CHUNK));
    this.#delays[this.#delays.length - 1][this.#used % CHUNK] = ms;
    this.#used++;
  }
}

const CHUNK = 4096;

const COUNTS = [
  'attempts',
  'established',
  'refused',
  'timedOut',
  'reset',
  'silent',
  'onRemovedPods',
  'stalePackets',
  'retransmittedSyns',
] as const satisfies readonly (keyof ClientMeter)[];
