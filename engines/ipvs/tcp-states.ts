/**
 * TCP states of an IPVS connection: net/netfilter/ipvs/ip_vs_proto_tcp.c tcp_states (the default, not the "secure"
 * table), tcp_timeouts, tcp_state_idx, tcp_state_active_table; UDP from ip_vs_proto_udp.c udp_timeouts; of SCTP only the
 * state ESTABLISHED and its time-out (ip_vs_proto_sctp.c sctp_timeouts), because chunks are not modelled.
 */
import * as packetModel from '../../model/packet.ts';
import * as protocols from '../../model/protocol.ts';
import * as timeModel from '../../model/time.ts';

/* A module's own constants are part of the compiled code; V8 loads an imported one anew at each use. */
const { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } = packetModel;
const { PROTOCOL_SCTP, PROTOCOL_TCP } = protocols;
const { NS_PER_S } = timeModel;

export const STATE_NONE = 0;
export const STATE_ESTABLISHED = 1;
export const STATE_SYN_SENT = 2;
export const STATE_SYN_RECV = 3;
export const STATE_FIN_WAIT = 4;
export const STATE_TIME_WAIT = 5;
export const STATE_CLOSE = 6;
export const STATE_CLOSE_WAIT = 7;
export const STATE_LAST_ACK = 8;
/** The one state of a UDP connection, and of an SCTP one: they count as inactive. */
export const STATE_UDP = 11;
const STATE_SCTP = 12;
/** Not a connection but the template of a client with session affinity: its time-out is its own, and no server counts it. */
export const STATE_TEMPLATE = 13;

const TCP_STATES = 11;
const STATE_LETTERS = ['NO', 'ES', 'SS', 'SR', 'FW', 'TW', 'CL', 'CW', 'LA', 'LI', 'SA'];

/** Requests (client to server) move by the first table, replies by the second. */
export const TOWARDS_SERVER = 0;
export const TOWARDS_CLIENT = 1;

/** Rows: syn, fin, ack, rst of a direction; columns in the order of the states. */
const TRANSITIONS_TEXT = [
  'SR ES ES SR SR SR SR SR SR SR SR',
  'CL CW SS TW TW TW CL CW LA LI TW',
  'ES ES SS ES FW TW CL CW CL LI ES',
  'CL CL CL SR CL CL CL CL LA LI SR',
  'SS ES SS SR SS SS SS SS SS LI SR',
  'TW FW SS TW FW TW CL TW LA LI TW',
  'ES ES SS ES FW TW CL CW LA ES ES',
  'CL CL SS CL CL TW CL CL CL CL CL',
];

const TRANSITIONS = Uint8Array.from(
  TRANSITIONS_TEXT.flatMap((row) => row.split(' ').map((letters) => STATE_LETTERS.indexOf(letters))),
);

/** By state, in nanoseconds. */
export const STATE_TIMEOUTS_NS = Float64Array.from(
  [2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120, 300, 900].map((seconds) => seconds * NS_PER_S),
);

/** 1 for the states in which a connection counts as its real server's active one. */
export const STATE_IS_ACTIVE = Uint8Array.from([0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0]);

/** The state of a new connection; a TCP one is moved by its first packet. */
export function firstState(protocol: number): number {
  if (protocol === PROTOCOL_TCP) return STATE_NONE;
  return protocol === PROTOCOL_SCTP ? STATE_SCTP : STATE_UDP;
}

/** Whether packets move the state. */
export function isTcpState(state: number): boolean {
  return state < STATE_UDP;
}

/** The state after a packet with these flags; a packet with none of RST, SYN, FIN and ACK changes nothing. */
export function nextTcpState(state: number, direction: number, tcpFlags: number): number {
  let row: number;
  if ((tcpFlags & TCP_RST) !== 0) row = 3;
  else if ((tcpFlags & TCP_SYN) !== 0) row = 0;
  else if ((tcpFlags & TCP_FIN) !== 0) row = 1;
  else if ((tcpFlags & TCP_ACK) !== 0) row = 2;
  else return state;
  return TRANSITIONS[(direction * 4 + row) * TCP_STATES + state];
}
