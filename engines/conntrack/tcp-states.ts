/** The TCP state machine of connection tracking as flat tables (net/netfilter/nf_conntrack_proto_tcp.c, tcp_conntracks). */
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import { NS_PER_S } from '../../model/time.ts';

/** Columns of the table. NONE is that of a packet that belongs to no entry yet. */
export const TCP_STATES = [
  'none',
  'syn_sent',
  'syn_recv',
  'established',
  'fin_wait',
  'close_wait',
  'last_ack',
  'time_wait',
  'close',
  'syn_sent2',
] as const;
export const TCP_NONE = 0;
export const TCP_TIME_WAIT = 7;
export const TCP_CLOSE = 8;
/** The packet does not fit the flow: ctstate INVALID. */
export const TCP_INVALID = 10;
/** The packet passes; state and expiry stay. */
export const TCP_IGNORED = 11;

/** Rows of the table; a packet with none of the four flags has none and is INVALID. */
export const ROW_SYN = 0;
const ROW_SYN_ACK = 1;
const ROW_FIN = 2;
const ROW_ACK = 3;
const ROW_RST = 4;
export const ROW_NONE = 5;
const TCP_ROWS = 5;
const COLUMNS = TCP_STATES.length;

const CODES = ['NO', 'SS', 'SR', 'ES', 'FW', 'CW', 'LA', 'TW', 'CL', 'S2', 'IV', 'IG'];

const ORIGINAL = [
  'SS SS IG IG IG IG IG SS SS S2',
  'IV IV SR IV IV IV IV IV IV SR',
  'IV IV FW FW LA LA LA TW CL IV',
  'ES IV ES ES CW CW TW TW CL IV',
  'IV CL CL CL CL CL CL CL CL CL',
];
const REPLY = [
  'IV S2 IV IV IV IV IV SS IV S2',
  'IV SR IG IG IG IG IG IG IG SR',
  'IV IV FW FW LA LA LA TW CL IV',
  'IV IG SR ES CW CW TW TW CL IG',
  'IV CL CL CL CL CL CL CL CL CL',
];

/** Next state at [(reply ? 50 : 0) + row * 10 + state]; TCP_INVALID and TCP_IGNORED are answers, too. */
export const TCP_NEXT: Uint8Array = Uint8Array.from(
  [...ORIGINAL, ...REPLY].flatMap((row) => row.split(' ').map((code) => CODES.indexOf(code))),
);

/** Nanoseconds until an entry expires, by the state that it has moved to. */
export const TCP_TIMEOUT_NS: Float64Array = Float64Array.from(
  [0, 120, 60, 86400, 120, 3600, 30, 120, 10, 120],
  (seconds) => seconds * NS_PER_S,
);

/** Row of a flags byte (get_conntrack_index): RST, else SYN with ACK, else SYN, else FIN, else ACK. */
export const TCP_ROW_OF_FLAGS: Uint8Array = Uint8Array.from({ length: 256 }, (_, flags) => {
  if (flags & TCP_RST) return ROW_RST;
  if (flags & TCP_SYN) return flags & TCP_ACK ? ROW_SYN_ACK : ROW_SYN;
  if (flags & TCP_FIN) return ROW_FIN;
  return flags & TCP_ACK ? ROW_ACK : ROW_NONE;
});

/** First index of TCP_NEXT's second half. */
export const TCP_REPLY_OFFSET = TCP_ROWS * COLUMNS;
export const TCP_COLUMNS = COLUMNS;
