/** The packets of a connection as they enter the node, one after the other. */
import {
  DIRECTION_ORIGINAL,
  DIRECTION_REPLY,
  ORIGIN_EXTERNAL,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
  type PacketBatch,
} from '../model/packet.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import type { SimTime } from '../model/time.ts';
import { MARK_CLOSING, type ConnectionPool } from './connection-pool.ts';

/** Even ones go to the endpoint, odd ones come back. */
export function isReply(number: number): boolean {
  return (number & 1) === 1;
}

/** Packet `number` of the connection becomes packet `i` of the batch. `refused`: a reset. */
export function fillPacket(
  packets: PacketBatch,
  i: number,
  pool: ConnectionPool,
  slot: number,
  number: number,
  now: SimTime,
  refused: boolean,
): void {
  const reply = isReply(number);
  packets.time[i] = now;
  packets.protocol[i] = pool.protocol[slot];
  packets.direction[i] = reply ? DIRECTION_REPLY : DIRECTION_ORIGINAL;
  if (reply) {
    packets.origin[i] = ORIGIN_EXTERNAL;
    packets.srcAddress[i] = pool.endpointAddress[slot];
    packets.srcPort[i] = pool.endpointPort[slot];
    packets.dstAddress[i] = pool.translatedAddress[slot];
    packets.dstPort[i] = pool.translatedPort[slot];
  } else {
    packets.origin[i] = pool.origin[slot];
    packets.srcAddress[i] = pool.clientAddress[slot];
    packets.srcPort[i] = pool.clientPort[slot];
    packets.dstAddress[i] = pool.dstAddress[slot];
    packets.dstPort[i] = pool.dstPort[slot];
  }
  let flags = 0;
  if (pool.protocol[slot] === PROTOCOL_TCP) {
    const resets = refused || (pool.marks[slot] & MARK_CLOSING) !== 0;
    flags = resets ? TCP_RST | TCP_ACK : tcpFlags(number, pool.packets[slot]);
  }
  packets.tcpFlags[i] = flags;
}

/** Flags of packet `number` of `count`: SYN, SYN+ACK, ACK, data both ways, FIN both ways, last ACK where the count allows. */
export function tcpFlags(number: number, count: number): number {
  if (number === 0) return TCP_SYN;
  if (number === 1) return TCP_SYN | TCP_ACK;
  const from = firstFin(count);
  if (number === from || number === from + 1) return TCP_FIN | TCP_ACK;
  return TCP_ACK;
}

/** Number of the packet that says one side has sent everything; a short connection has none. */
export function firstFin(count: number): number {
  if (count < 5) return count;
  return count >= 6 ? count - 3 : count - 2;
}
