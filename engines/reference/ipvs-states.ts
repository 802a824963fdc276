/** States and time-outs of an IPVS connection (README 6; ip_vs_proto_tcp.c tcp_states, ip_vs_proto_udp.c, ip_vs_proto_sctp.c). */
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP } from '../../model/protocol.ts';

const STATES = ['NO', 'ES', 'SS', 'SR', 'FW', 'TW', 'CL', 'CW', 'LA', 'LI', 'SA'];

const IN: Record<string, string[]> = {
  syn: 'SR ES ES SR SR SR SR SR SR SR SR'.split(' '),
  fin: 'CL CW SS TW TW TW CL CW LA LI TW'.split(' '),
  ack: 'ES ES SS ES FW TW CL CW CL LI ES'.split(' '),
  rst: 'CL CL CL SR CL CL CL CL LA LI SR'.split(' '),
};

const OUT: Record<string, string[]> = {
  syn: 'SS ES SS SR SS SS SS SS SS LI SR'.split(' '),
  fin: 'TW FW SS TW FW TW CL TW LA LI TW'.split(' '),
  ack: 'ES ES SS ES FW TW CL CW LA ES ES'.split(' '),
  rst: 'CL CL SS CL CL TW CL CL CL CL CL'.split(' '),
};

const TIMEOUT_SECONDS: Record<string, number> = {
  NO: 2,
  ES: 900,
  SS: 120,
  SR: 60,
  FW: 120,
  TW: 120,
  CL: 10,
  CW: 60,
  LA: 30,
  LI: 120,
  SA: 120,
};
const UDP_TIMEOUT_SECONDS = 300;
/** IP_VS_SCTP_S_ESTABLISHED, the one state that is modelled. */
const SCTP_TIMEOUT_SECONDS = 900;
const ACTIVE = new Set(['ES', 'SS', 'SR', 'SA']);

function tcpIndex(flags: number): string {
  if ((flags & TCP_RST) !== 0) return 'rst';
  if ((flags & TCP_SYN) !== 0) return 'syn';
  if ((flags & TCP_FIN) !== 0) return 'fin';
  return (flags & TCP_ACK) !== 0 ? 'ack' : 'none';
}

/** State of a connection that has seen no packet; '' where the protocol has one state only. */
export function initialState(protocol: number): string {
  return protocol === PROTOCOL_TCP ? 'NO' : '';
}

/** The state after a packet of the client's (`in`) or of the server's. */
export function nextState(protocol: number, state: string, flags: number, direction: 'in' | 'out'): string {
  if (protocol !== PROTOCOL_TCP) return state;
  const row = (direction === 'in' ? IN : OUT)[tcpIndex(flags)];
  return row?.[STATES.indexOf(state)] ?? state;
}

export function timeoutSeconds(protocol: number, state: string): number {
  if (protocol === PROTOCOL_TCP) return TIMEOUT_SECONDS[state] ?? 0;
  return protocol === PROTOCOL_SCTP ? SCTP_TIMEOUT_SECONDS : UDP_TIMEOUT_SECONDS;
}

export function isActive(state: string): boolean {
  return ACTIVE.has(state);
}
