/** The connections that kube-proxy's process opens to endpoints (pkg/proxy/userspace/proxysocket.go tryConnect). */
import { CONNTRACK_LOOKUPS, NAT_SETUPS } from '../../model/counters.ts';
import { ORIGIN_HOST, PacketBatch, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import type { SimTime } from '../../model/time.ts';
import { REASON_NO_ANSWER, REASON_NO_ENDPOINTS } from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { CT_NEW } from '../conntrack/table.ts';
import type { ConntrackTable } from '../conntrack/table.ts';
import { keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import type { Hooks } from './hooks.ts';
import type { Portal } from './portal-table.ts';
import { EPHEMERAL_PORTS, FIRST_EPHEMERAL_PORT } from './portal-table.ts';

/** endpointDialTimeout has four elements. */
const TRIES = 4;

export interface DialerParts {
  readonly conntrack: ConntrackTable;
  readonly hooks: Hooks;
  /** The node's first address. */
  readonly nodeAddress: number;
  readonly answers: ((address: number, port: number) => boolean) | undefined;
  /** For the kernel's search when the reply tuple is taken. */
  readonly portStream: RandomStream;
}

export class Dialer {
  readonly #parts: DialerParts;
  readonly #segment = new PacketBatch(1);
  #nextPort = 0;
  /** After a dial that failed: REASON_*. */
  reason = REASON_NO_ANSWER;

  constructor(parts: DialerParts) {
    this.#parts = parts;
    this.#segment.length = 1;
    this.#segment.origin[0] = ORIGIN_HOST;
  }

  /** A connection for `client` to an endpoint that answers: its entry, or -1. Adds to the counters that start at rows[row]. */
  dial(portal: Portal, client: number, now: SimTime, rows: Uint32Array, row: number): number {
    const { conntrack, hooks, nodeAddress, answers } = this.#parts;
    const { protocol } = portal.svc;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const key = portal.balancer.next(client, now, attempt > 0);
      if (key < 0) {
        this.reason = REASON_NO_ENDPOINTS;
        return -1;
      }
      const address = keyAddress(key);
      const port = keyPort(key);
      if (!this.#openSocket(protocol, address, port, now, rows, row)) continue;
      const packet = hooks.packet;
      packet.protocol = protocol;
      packet.dst = address | 0;
      packet.dstPort = port;
      packet.isNew = true;
      // The walk is paid for; a target that would lead back to the process is not taken.
      hooks.natDestination(true, rows, row);
      const own = this.#segment.srcPort[0];
      if (!conntrack.chooseSource(nodeAddress, address, port, this.#parts.portStream, rows, row)) continue;
      if (conntrack.chosenPort !== own) rows[row + NAT_SETUPS]++;
      if (protocol === PROTOCOL_TCP && answers?.(address, port) === false) continue;
      return conntrack.confirm(address, port, nodeAddress, conntrack.chosenPort, 0, portal.svc.id, rows, row);
    }
    this.reason = REASON_NO_ANSWER;
    return -1;
  }

  /** A later packet of the connection `entry`, sent by the process: moves its state. */
  send(entry: number, flags: number, now: SimTime, rows: Uint32Array, row: number): void {
    const { conntrack } = this.#parts;
    const segment = this.#segment;
    segment.time[0] = now;
    segment.protocol[0] = conntrack.protocol(entry);
    segment.srcAddress[0] = conntrack.originalSrcAddress(entry);
    segment.srcPort[0] = conntrack.originalSrcPort(entry);
    segment.dstAddress[0] = conntrack.originalDstAddress(entry);
    segment.dstPort[0] = conntrack.originalDstPort(entry);
    segment.tcpFlags[0] = flags;
    conntrack.track(segment, 0, rows, row);
  }

  /** The process answers the client of `entry`: moves its state. */
  answer(entry: number, flags: number, now: SimTime, rows: Uint32Array, row: number): void {
    const { conntrack } = this.#parts;
    const segment = this.#segment;
    segment.time[0] = now;
    segment.protocol[0] = conntrack.protocol(entry);
    segment.srcAddress[0] = conntrack.endpointAddress(entry);
    segment.srcPort[0] = conntrack.endpointPort(entry);
    segment.dstAddress[0] = conntrack.translatedAddress(entry);
    segment.dstPort[0] = conntrack.translatedPort(entry);
    segment.tcpFlags[0] = flags;
    conntrack.track(segment, 0, rows, row);
  }

  /** The next free source port, and the look-up of its first packet. False when the table has no room for it. */
  #openSocket(protocol: number, address: number, port: number, now: SimTime, rows: Uint32Array, row: number): boolean {
    const { conntrack, nodeAddress } = this.#parts;
    const segment = this.#segment;
    segment.time[0] = now;
    segment.protocol[0] = protocol;
    segment.srcAddress[0] = nodeAddress;
    segment.dstAddress[0] = address;
    segment.dstPort[0] = port;
    segment.tcpFlags[0] = protocol === PROTOCOL_TCP ? TCP_SYN : 0;
    for (let tried = 0; tried < EPHEMERAL_PORTS; tried++) {
      const source = FIRST_EPHEMERAL_PORT + this.#nextPort;
      this.#nextPort = (this.#nextPort + 1) % EPHEMERAL_PORTS;
      if (conntrack.isUsed(protocol, nodeAddress, source, address, port)) continue;
      segment.srcPort[0] = source;
      return conntrack.track(segment, 0, rows, row) === CT_NEW;
    }
    // Every port leads to this endpoint already; the look-up that said so last is counted.
    rows[row + CONNTRACK_LOOKUPS]++;
    return false;
  }
}
