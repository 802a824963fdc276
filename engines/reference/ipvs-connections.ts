/** The IPVS connection table: 2^bits chains of connections, newest first (README 6; ip_vs_conn.c, ip_vs_proto_tcp.c). */
import { CONNECTION_CHAIN_ENTRIES, HASH_PROBES, IPVS_CONNECTION_INSERTS } from '../../model/counters.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import { mark } from './marks.ts';
import type { RealServer, VirtualServer } from './ipvs-servers.ts';
import { count, sameParty } from './packet.ts';
import type { Packet, Party, Work } from './packet.ts';

export interface Connection {
  readonly protocol: number;
  readonly client: Party;
  readonly virtual: Party;
  readonly server: RealServer;
  readonly servicePortId: number;
  /** Short name of the TCP state; '' for UDP. */
  state: string;
  expires: number;
}

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
const ACTIVE = new Set(['ES', 'SS', 'SR', 'SA']);
const SECOND = 1e9;

function tcpIndex(flags: number): string {
  if ((flags & TCP_RST) !== 0) return 'rst';
  if ((flags & TCP_SYN) !== 0) return 'syn';
  if ((flags & TCP_FIN) !== 0) return 'fin';
  return (flags & TCP_ACK) !== 0 ? 'ack' : 'none';
}

function rotl(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** jhash_3words of include/linux/jhash.h. */
function jhash3(word1: number, word2: number, word3: number, initval: number): number {
  const start = (initval + 0xdeadbeef + (3 << 2)) | 0;
  let a = (word1 + start) | 0;
  let b = (word2 + start) | 0;
  let c = (word3 + start) | 0;
  c = ((c ^ b) - rotl(b, 14)) | 0;
  a = ((a ^ c) - rotl(c, 11)) | 0;
  b = ((b ^ a) - rotl(a, 25)) | 0;
  c = ((c ^ b) - rotl(b, 16)) | 0;
  a = ((a ^ c) - rotl(c, 4)) | 0;
  b = ((b ^ a) - rotl(a, 14)) | 0;
  c = ((c ^ b) - rotl(b, 24)) | 0;
  return c >>> 0;
}

export class ConnectionTable {
  readonly #chains = new Map<number, Connection[]>();
  readonly #buckets: number;
  readonly #initval: number;
  /** No connection expires before this; only saves looking. */
  #noExpiryBefore = Infinity;

  constructor(bits: number, initval: number) {
    this.#buckets = 1 << bits;
    this.#initval = initval;
  }

  #bucket(client: Party, protocol: number): number {
    return jhash3(client.address, client.port, protocol, this.#initval) % this.#buckets;
  }

  #find(client: Party, protocol: number, matches: (c: Connection) => boolean, work: Work): Connection | undefined {
    count(work, HASH_PROBES);
    for (const connection of this.#chains.get(this.#bucket(client, protocol)) ?? []) {
      count(work, CONNECTION_CHAIN_ENTRIES);
      if (connection.protocol !== protocol || !sameParty(connection.client, client)) continue;
      if (matches(connection)) return connection;
    }
    return undefined;
  }

  /** [ip_vs_conn_out_get] */
  findReply(packet: Packet, work: Work): Connection | undefined {
    return this.#find(packet.dst, packet.protocol, (c) => sameParty(c.server, packet.src), work);
  }

  /** [ip_vs_conn_in_get] */
  findRequest(packet: Packet, work: Work): Connection | undefined {
    return this.#find(packet.src, packet.protocol, (c) => sameParty(c.virtual, packet.dst), work);
  }

  add(packet: Packet, virtual: VirtualServer, server: RealServer, work: Work): Connection {
    count(work, IPVS_CONNECTION_INSERTS);
    const connection: Connection = {
      protocol: packet.protocol,
      client: packet.src,
      virtual: packet.dst,
      server,
      servicePortId: virtual.servicePortId,
      state: packet.protocol === PROTOCOL_TCP ? 'NO' : '',
      expires: Infinity,
    };
    server.inactive++;
    const bucket = this.#bucket(connection.client, connection.protocol);
    const chain = this.#chains.get(bucket);
    if (chain === undefined) this.#chains.set(bucket, [connection]);
    else chain.unshift(connection);
    return connection;
  }

  /** Moves the state by one packet and renews the timeout [set_tcp_state]. */
  move(connection: Connection, packet: Packet, direction: 'in' | 'out'): void {
    let seconds = UDP_TIMEOUT_SECONDS;
    if (connection.protocol === PROTOCOL_TCP) {
      const row = (direction === 'in' ? IN : OUT)[tcpIndex(packet.flags)];
      this.#setState(connection, row?.[STATES.indexOf(connection.state)] ?? connection.state);
      seconds = TIMEOUT_SECONDS[connection.state] ?? 0;
    }
    connection.expires = packet.time + seconds * SECOND;
    this.#noExpiryBefore = Math.min(this.#noExpiryBefore, connection.expires);
  }

  #setState(connection: Connection, state: string): void {
    const { server } = connection;
    const was = ACTIVE.has(connection.state);
    const is = ACTIVE.has(state);
    connection.state = state;
    if (was === is) return;
    server.active += is ? 1 : -1;
    server.inactive += is ? -1 : 1;
  }

  remove(connection: Connection): void {
    const chain = this.#chains.get(this.#bucket(connection.client, connection.protocol)) ?? [];
    chain.splice(chain.indexOf(connection), 1);
    if (ACTIVE.has(connection.state)) connection.server.active--;
    else connection.server.inactive--;
  }

  /** Removes every connection whose timeout has run out by `now`. */
  expire(now: number): void {
    if (now < this.#noExpiryBefore) return;
    this.#noExpiryBefore = Infinity;
    for (const chain of this.#chains.values()) {
      for (const connection of [...chain]) {
        if (connection.expires <= now) {
          mark(`connection expired ${connection.state}`);
          this.remove(connection);
        } else this.#noExpiryBefore = Math.min(this.#noExpiryBefore, connection.expires);
      }
    }
  }
}
