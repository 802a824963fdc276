/** Connection tracking as a Map from tuple text to entry, with lazy expiry (README 3). */
import { CONNTRACK_LOOKUPS, PORT_TRIES } from '../../model/counters.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { mark } from './marks.ts';
import { count } from './packet.ts';
import type { Packet, Party, Work } from './packet.ts';

export interface Tuple {
  readonly protocol: number;
  readonly src: Party;
  readonly dst: Party;
}

export interface Entry {
  readonly original: Tuple;
  readonly reply: Tuple;
  /** TCP state's short name; '' for UDP and SCTP. */
  tcpState: string;
  expires: number;
  replySeen: boolean;
  /** The destination was translated by the nat table. */
  readonly dnat: boolean;
  /** The creating packet had an IPVS connection as a request. */
  readonly ipvs: boolean;
  readonly masqueraded: boolean;
  readonly servicePortId: number;
}

export type Received =
  /** Of no flow, and there is no room for another. */
  { readonly kind: 'full' } | Tracked;

export type Tracked =
  | { readonly kind: 'invalid' }
  | { readonly kind: 'new'; readonly tcpState: string }
  | { readonly kind: 'hit'; readonly entry: Entry; readonly isReply: boolean };

const STATE_NAMES = ['NO', 'SS', 'SR', 'ES', 'FW', 'CW', 'LA', 'TW', 'CL', 'S2'];

const ORIGINAL: Record<string, string[]> = {
  syn: 'SS SS IG IG IG IG IG SS SS S2'.split(' '),
  synack: 'IV IV SR IV IV IV IV IV IV SR'.split(' '),
  fin: 'IV IV FW FW LA LA LA TW CL IV'.split(' '),
  ack: 'ES IV ES ES CW CW TW TW CL IV'.split(' '),
  rst: 'IV CL CL CL CL CL CL CL CL CL'.split(' '),
};

const REPLY: Record<string, string[]> = {
  syn: 'IV S2 IV IV IV IV IV SS IV S2'.split(' '),
  synack: 'IV SR IG IG IG IG IG IG IG SR'.split(' '),
  fin: 'IV IV FW FW LA LA LA TW CL IV'.split(' '),
  ack: 'IV IG SR ES CW CW TW TW CL IG'.split(' '),
  rst: 'IV CL CL CL CL CL CL CL CL CL'.split(' '),
};
const TCP_TIMEOUT_SECONDS: Record<string, number> = {
  SS: 120,
  SR: 60,
  ES: 86400,
  FW: 120,
  CW: 3600,
  LA: 30,
  TW: 120,
  CL: 10,
  S2: 120,
};

/** Before and after a reply was seen [nf_conntrack_proto_udp.c, nf_conntrack_proto_sctp.c COOKIE_WAIT and ESTABLISHED]. */
const UDP_TIMEOUT_SECONDS = { unanswered: 30, answered: 120 };
const SCTP_TIMEOUT_SECONDS = { unanswered: 3, answered: 210 };

const SECOND = 1e9;

function timeoutSeconds(protocol: number, tcpState: string, replySeen: boolean): number {
  if (protocol === PROTOCOL_TCP) return TCP_TIMEOUT_SECONDS[tcpState];
  const timeouts = protocol === PROTOCOL_SCTP ? SCTP_TIMEOUT_SECONDS : UDP_TIMEOUT_SECONDS;
  return replySeen ? timeouts.answered : timeouts.unanswered;
}

function tcpIndex(flags: number): string {
  if ((flags & TCP_RST) !== 0) return 'rst';
  if ((flags & TCP_SYN) !== 0) return (flags & TCP_ACK) !== 0 ? 'synack' : 'syn';
  if ((flags & TCP_FIN) !== 0) return 'fin';
  if ((flags & TCP_ACK) !== 0) return 'ack';
  return 'none';
}

function nextState(table: Record<string, string[]>, flags: number, from: string): string {
  return table[tcpIndex(flags)]?.[STATE_NAMES.indexOf(from)] ?? 'IV';
}

function tupleText(tuple: Tuple): string {
  return `${tuple.protocol} ${tuple.src.address}:${tuple.src.port} ${tuple.dst.address}:${tuple.dst.port}`;
}

export function inverse(tuple: Tuple): Tuple {
  return { protocol: tuple.protocol, src: tuple.dst, dst: tuple.src };
}

function expiryMark({ original: { protocol }, tcpState, replySeen }: Entry): string {
  if (protocol === PROTOCOL_TCP) return `tcp flow expired in ${tcpState}`;
  if (protocol === PROTOCOL_UDP) return 'udp flow expired';
  return replySeen ? 'answered sctp flow expired' : 'unanswered sctp flow expired';
}

export class ReferenceConntrack {
  readonly #originals = new Map<string, Entry>();
  readonly #replies = new Map<string, Entry>();
  readonly #portStream: RandomStream;
  readonly #maxEntries: number;

  constructor(portStream: RandomStream, maxEntries: number) {
    this.#portStream = portStream;
    this.#maxEntries = maxEntries;
  }

  /** Finds the packet's flow and moves its state [nf_conntrack_in]. */
  receive(packet: Packet, work: Work): Received {
    const tuple = { protocol: packet.protocol, src: packet.src, dst: packet.dst };
    const found = this.#find(tuple, packet.time, work);
    const isTcp = packet.protocol === PROTOCOL_TCP;
    if (found === undefined) return this.#miss(packet);
    if (isTcp && tcpIndex(packet.flags) === 'none') return { kind: 'invalid' };
    const { entry, isReply } = found;
    if (!isTcp) {
      if (isReply) entry.replySeen = true;
      this.#renew(entry, packet.time);
      return { kind: 'hit', entry, isReply };
    }
    if (tcpIndex(packet.flags) === 'syn' && (entry.tcpState === 'TW' || entry.tcpState === 'CL')) {
      mark(isReply ? 'closed flow reopened by the server' : 'closed flow reopened');
      this.delete(entry);
      return this.#miss(packet);
    }
    const next = nextState(isReply ? REPLY : ORIGINAL, packet.flags, entry.tcpState);
    if (next === 'IV') {
      mark('invalid in a flow');
      return { kind: 'invalid' };
    }
    if (isReply) entry.replySeen = true;
    if (next === 'IG') mark(isReply ? 'ignored reply' : 'ignored original');
    if (next !== 'IG') {
      entry.tcpState = next;
      this.#renew(entry, packet.time);
    }
    return { kind: 'hit', entry, isReply };
  }

  /** The kernel makes room for the entry before it asks the protocol [resolve_normal_ct, init_conntrack]. */
  #miss(packet: Packet): Received {
    const isTcp = packet.protocol === PROTOCOL_TCP;
    const state = isTcp ? nextState(ORIGINAL, packet.flags, 'NO') : '';
    if (this.#isFull(packet.time)) {
      mark(state === 'IV' ? 'table full for an invalid packet' : 'table full');
      return { kind: 'full' };
    }
    return state === 'IV' ? { kind: 'invalid' } : { kind: 'new', tcpState: state };
  }

  #isFull(now: number): boolean {
    if (this.#originals.size < this.#maxEntries) return false;
    let live = 0;
    for (const entry of this.#originals.values()) if (entry.expires > now) live++;
    if (live < this.#maxEntries) mark('table full but for expired entries');
    return live >= this.#maxEntries;
  }

  #renew(entry: Entry, now: number): void {
    entry.expires = now + timeoutSeconds(entry.original.protocol, entry.tcpState, entry.replySeen) * SECOND;
  }

  #find(tuple: Tuple, now: number, work: Work): { entry: Entry; isReply: boolean } | undefined {
    count(work, CONNTRACK_LOOKUPS);
    const text = tupleText(tuple);
    const original = this.#alive(this.#originals.get(text), now);
    if (original !== undefined) return { entry: original, isReply: false };
    const reply = this.#alive(this.#replies.get(text), now);
    return reply === undefined ? undefined : { entry: reply, isReply: true };
  }

  #alive(entry: Entry | undefined, now: number): Entry | undefined {
    if (entry === undefined || entry.expires > now) return entry;
    mark(expiryMark(entry));
    this.delete(entry);
    return undefined;
  }

  /** Whether a live entry has this tuple, in either direction; not counted. */
  isUsed(tuple: Tuple, now: number): boolean {
    return this.#find(tuple, now, []) !== undefined;
  }

  /**
   * The reply tuple of a new flow that passes POSTROUTING: `wanted`, or `wanted` with another destination port when it is
   * taken; undefined when the search gave up [get_unique_tuple, nf_nat_l4proto_unique_tuple]. `randomFully`: MASQUERADE
   * --random-fully asks for another port at once, taken or not.
   */
  uniqueReply(wanted: Tuple, now: number, work: Work, randomFully = false): Tuple | undefined {
    if (randomFully) mark('random-fully');
    else if (this.#find(wanted, now, work) === undefined) return wanted;
    const sourcePort = wanted.dst.port;
    let min = 1024;
    let max = 65535;
    if (sourcePort < 512) {
      min = 1;
      max = 511;
    } else if (sourcePort < 1024) {
      min = 600;
      max = 1023;
    }
    const size = max - min + 1;
    let attempts = Math.min(size, 128);
    for (;;) {
      let offset = this.#portStream.nextUint32() & 0xffff;
      for (let i = 0; i < attempts; i++) {
        const port = min + (offset % size);
        const candidate = { ...wanted, dst: { address: wanted.dst.address, port } };
        count(work, PORT_TRIES);
        if (this.#find(candidate, now, work) === undefined) {
          mark(attempts < 128 ? 'source port found in a later round' : 'source port found');
          return candidate;
        }
        offset = (offset + 1) & 0xffff;
      }
      if (attempts >= size || attempts < 16) {
        mark('source port search gave up');
        return undefined;
      }
      attempts = attempts >> 1;
    }
  }

  /** Makes a flow known [nf_conntrack_confirm]. */
  confirm(entry: Omit<Entry, 'expires' | 'replySeen'>, now: number): Entry {
    const kept: Entry = { ...entry, expires: now, replySeen: false };
    this.#renew(kept, now);
    this.#originals.set(tupleText(kept.original), kept);
    this.#replies.set(tupleText(kept.reply), kept);
    return kept;
  }

  isLive(entry: Entry, now: number): boolean {
    return this.#originals.get(tupleText(entry.original)) === entry && entry.expires > now;
  }

  delete(entry: Entry): void {
    if (this.#originals.get(tupleText(entry.original)) === entry) this.#originals.delete(tupleText(entry.original));
    if (this.#replies.get(tupleText(entry.reply)) === entry) this.#replies.delete(tupleText(entry.reply));
  }

  /** The live UDP flows; they may be deleted while they are gone through. */
  udpEntries(now: number): Entry[] {
    return [...this.#originals.values()].filter(
      (entry) => entry.original.protocol === PROTOCOL_UDP && entry.expires > now,
    );
  }
}
