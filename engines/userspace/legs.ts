/** Which two connections the process copies between: pairs of connection-tracking entries, by slot. */
import type { ConntrackTable } from '../conntrack/table.ts';

/** net.Conn deadline of a UDP client (kube-proxy --udp-timeout, 250 ms unless set). */
const UDP_IDLE_NS = 250_000_000;

/**
 * Leg 1 is the client's connection, leg 2 the one to the endpoint. The partner stands in the entry's word of the engine's own, which
 * is -1 in a new entry; so a pair in which one slot was given to another flow is broken.
 */
export class Legs {
  readonly #conntrack: ConntrackTable;
  /** Process that made the leg in this slot. */
  #process = new Int32Array(1024);
  #isServerSide = new Uint8Array(1024);
  /** Of leg 2: time of its last packet. */
  #lastPacket = new Float64Array(1024);
  #currentProcess = 1;

  constructor(conntrack: ConntrackTable) {
    this.#conntrack = conntrack;
  }

  /** The process is gone, and all of its connections with it. */
  forgetAll(): void {
    this.#currentProcess++;
  }

  join(leg1: number, leg2: number, now: number): void {
    this.#grow(leg1 > leg2 ? leg1 : leg2);
    this.#conntrack.setAux(leg1, leg2);
    this.#conntrack.setAux(leg2, leg1);
    this.#process[leg1] = this.#process[leg2] = this.#currentProcess;
    this.#isServerSide[leg1] = 0;
    this.#isServerSide[leg2] = 1;
    this.#lastPacket[leg2] = now;
  }

  /** Whether the entry was made as a leg 2, by this process or an earlier one. */
  isServerSide(entry: number): boolean {
    return this.#conntrack.aux(entry) >= 0 && this.#isServerSide[entry] === 1;
  }

  /** The other leg while both are alive and the process that joined them is; else -1. */
  partner(entry: number, now: number): number {
    const conntrack = this.#conntrack;
    const other = conntrack.aux(entry);
    if (other < 0 || this.#process[entry] !== this.#currentProcess) return -1;
    return conntrack.aux(other) === entry && conntrack.expiry(other) > now ? other : -1;
  }

  /** UDP: the socket of leg 2 has been closed for want of packets. */
  isIdle(leg2: number, now: number): boolean {
    return now - this.#lastPacket[leg2] >= UDP_IDLE_NS;
  }

  touch(leg2: number, now: number): void {
    this.#lastPacket[leg2] = now;
  }

  #grow(entry: number): void {
    if (entry < this.#process.length) return;
    let size = this.#process.length;
    while (size <= entry) size *= 2;
    const process = new Int32Array(size);
    process.set(this.#process);
    this.#process = process;
    const isServerSide = new Uint8Array(size);
    isServerSide.set(this.#isServerSide);
    this.#isServerSide = isServerSide;
    const lastPacket = new Float64Array(size);
    lastPacket.set(this.#lastPacket);
    this.#lastPacket = lastPacket;
  }
}
