/** The IPVS connection table: 2^bits chains of connections and persistence templates, newest first (README 6; ip_vs_conn.c). */
import { CONNECTION_CHAIN_ENTRIES, HASH_PROBES, IPVS_CONNECTION_INSERTS } from '../../model/counters.ts';
import { initialState, isActive, nextState, timeoutSeconds } from './ipvs-states.ts';
import { mark } from './marks.ts';
import type { RealServer, VirtualServer } from './ipvs-servers.ts';
import { count, sameParty } from './packet.ts';
import type { Packet, Party, Work } from './packet.ts';

interface Entry {
  readonly protocol: number;
  readonly client: Party;
  readonly virtual: Party;
  readonly server: RealServer;
  expires: number;
}

export interface Connection extends Entry {
  readonly kind: 'connection';
  readonly servicePortId: number;
  /** Short name of the TCP state; '' for UDP and SCTP. */
  state: string;
  /** The template that it was made from. */
  readonly template: Template | undefined;
}

/** Client address with port 0 -> real server. */
export interface Template extends Entry {
  readonly kind: 'template';
  timeoutSeconds: number;
  isValid: boolean;
  readonly controlled: Set<Connection>;
}

const SECOND = 1e9;
/** Of a template whose time has run out while it controls connections [ip_vs_conn_expire]. */
const DELAYED_TIMEOUT_SECONDS = 60;

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
  readonly #chains = new Map<number, (Connection | Template)[]>();
  readonly #buckets: number;
  readonly #initval: number;
  /** Nothing expires before this; only saves looking. */
  #noExpiryBefore = Infinity;

  constructor(bits: number, initval: number) {
    this.#buckets = 1 << bits;
    this.#initval = initval;
  }

  #chain(client: Party, protocol: number): (Connection | Template)[] {
    const bucket = jhash3(client.address, client.port, protocol, this.#initval) % this.#buckets;
    let chain = this.#chains.get(bucket);
    if (chain === undefined) {
      chain = [];
      this.#chains.set(bucket, chain);
    }
    return chain;
  }

  #find<E extends Connection | Template>(
    client: Party,
    protocol: number,
    matches: (entry: Connection | Template) => entry is E,
    work: Work,
  ): E | undefined {
    count(work, HASH_PROBES);
    for (const entry of this.#chain(client, protocol)) {
      count(work, CONNECTION_CHAIN_ENTRIES);
      if (entry.protocol === protocol && sameParty(entry.client, client) && matches(entry)) return entry;
    }
    return undefined;
  }

  /** [ip_vs_conn_out_get] */
  findReply({ src, dst, protocol }: Packet, work: Work): Connection | undefined {
    const isAnswered = (e: Connection | Template): e is Connection =>
      e.kind === 'connection' && sameParty(e.server, src);
    return this.#find(dst, protocol, isAnswered, work);
  }

  /** [ip_vs_conn_in_get] */
  findRequest({ src, dst, protocol }: Packet, work: Work): Connection | undefined {
    const isAsked = (e: Connection | Template): e is Connection => e.kind === 'connection' && sameParty(e.virtual, dst);
    return this.#find(src, protocol, isAsked, work);
  }

  /** The connection of a packet that IPVS has translated already [ip_vs_conn_out_get of the inverted header]. */
  findTranslated({ src, dst, protocol }: Packet, work: Work): Connection | undefined {
    const isServed = (e: Connection | Template): e is Connection => e.kind === 'connection' && sameParty(e.server, dst);
    return this.#find(src, protocol, isServed, work);
  }

  /** [ip_vs_ct_in_get] */
  findTemplate({ src, dst, protocol }: Packet, work: Work): Template | undefined {
    const isOfVirtual = (e: Connection | Template): e is Template =>
      e.kind === 'template' && e.isValid && sameParty(e.virtual, dst);
    return this.#find({ address: src.address, port: 0 }, protocol, isOfVirtual, work);
  }

  #insert(entry: Connection | Template, work: Work): void {
    count(work, IPVS_CONNECTION_INSERTS);
    this.#chain(entry.client, entry.protocol).unshift(entry);
  }

  #setExpiry(entry: Connection | Template, expires: number): void {
    entry.expires = expires;
    this.#noExpiryBefore = Math.min(this.#noExpiryBefore, expires);
  }

  /** For the packet that opens it; a template's time begins anew. */
  add(
    packet: Packet,
    virtual: VirtualServer,
    server: RealServer,
    template: Template | undefined,
    work: Work,
  ): Connection {
    const connection: Connection = {
      kind: 'connection',
      protocol: packet.protocol,
      client: packet.src,
      virtual: packet.dst,
      server,
      servicePortId: virtual.servicePortId,
      state: initialState(packet.protocol),
      template,
      expires: Infinity,
    };
    server.inactive++;
    this.#insert(connection, work);
    if (template !== undefined) {
      template.controlled.add(connection);
      this.#setExpiry(template, packet.time + template.timeoutSeconds * SECOND);
    }
    return connection;
  }

  addTemplate({ protocol, src, dst }: Packet, virtual: VirtualServer, server: RealServer, work: Work): Template {
    const template: Template = {
      kind: 'template',
      protocol,
      client: { address: src.address, port: 0 },
      virtual: dst,
      server,
      timeoutSeconds: virtual.affinitySeconds,
      isValid: true,
      controlled: new Set(),
      expires: Infinity,
    };
    server.templates++;
    this.#insert(template, work);
    return template;
  }

  /** Hashed anew under a port that no look-up asks for; its client's port was 0 before [ip_vs_check_template]. */
  invalidate(template: Template): void {
    template.isValid = false;
    const chain = this.#chain(template.client, template.protocol);
    chain.splice(chain.indexOf(template), 1);
    chain.unshift(template);
  }

  /** Moves the state by one packet and renews the timeout [set_tcp_state]. */
  move(connection: Connection, packet: Packet, direction: 'in' | 'out'): void {
    this.#setState(connection, nextState(connection.protocol, connection.state, packet.flags, direction));
    this.#setExpiry(connection, packet.time + timeoutSeconds(connection.protocol, connection.state) * SECOND);
  }

  #setState(connection: Connection, state: string): void {
    const { server } = connection;
    const was = isActive(connection.state);
    const is = isActive(state);
    connection.state = state;
    if (was === is) return;
    server.active += is ? 1 : -1;
    server.inactive += is ? -1 : 1;
  }

  remove(entry: Connection | Template): void {
    const chain = this.#chain(entry.client, entry.protocol);
    chain.splice(chain.indexOf(entry), 1);
    if (entry.kind === 'template') {
      entry.server.templates--;
      return;
    }
    if (isActive(entry.state)) entry.server.active--;
    else entry.server.inactive--;
    entry.template?.controlled.delete(entry);
  }

  /** Removes whatever has run out of time by `now`. */
  expire(now: number): void {
    if (now < this.#noExpiryBefore) return;
    const entries = [...this.#chains.values()].flat();
    // Templates first, which ask who was there at their own time; the connections that are due now still tell when they go.
    for (const entry of entries)
      if (entry.kind === 'template' && entry.expires <= now) this.#expireTemplate(entry, now);
    for (const entry of entries) {
      if (entry.kind !== 'connection' || entry.expires > now) continue;
      mark(`connection expired ${expiryName(entry)}`);
      this.remove(entry);
    }
    this.#noExpiryBefore = Infinity;
    for (const { expires } of [...this.#chains.values()].flat()) {
      this.#noExpiryBefore = Math.min(this.#noExpiryBefore, expires);
    }
  }

  #expireTemplate(template: Template, now: number): void {
    while (template.expires <= now) {
      const { expires } = template;
      if (![...template.controlled].some((connection) => connection.expires > expires)) {
        mark(template.isValid ? 'template expired' : 'invalid template expired');
        this.remove(template);
        return;
      }
      mark(template.isValid ? 'template kept by its connections' : 'invalid template kept by its connections');
      template.timeoutSeconds = DELAYED_TIMEOUT_SECONDS;
      template.expires += DELAYED_TIMEOUT_SECONDS * SECOND;
    }
  }
}

function expiryName({ protocol, state }: Connection): string {
  if (state !== '') return state;
  return protocol === 17 ? 'UDP' : 'SCTP';
}
