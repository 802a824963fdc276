/** The connections that kube-proxy's process copies between, and how it dials (README 10.2; pkg/proxy/userspace/proxysocket.go). */
import { CONNTRACK_INSERTS, CONNTRACK_LOOKUPS, NAT_SETUPS } from '../../model/counters.ts';
import { TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { REASON_NO_ANSWER, REASON_NO_ENDPOINTS } from '../../model/verdict.ts';
import type { Entry, ReferenceConntrack } from './conntrack.ts';
import { inverse } from './conntrack.ts';
import { mark } from './marks.ts';
import { count } from './packet.ts';
import type { Packet, Party, Work } from './packet.ts';
import type { Listener, ProxyProcess } from './userspace-process.ts';
import { PortCounter } from './userspace-process.ts';

/** endpointDialTimeout has so many elements. */
const TRIES = 4;
/** udpIdleTimeout */
const UDP_IDLE_NS = 250e6;

/** A client's connection to the process (leg 1), and the process's to an endpoint (leg 2). */
export interface Proxied {
  readonly process: ProxyProcess;
  readonly leg1: Entry;
  readonly leg2: Entry;
  lastPacket: number;
}

/** A packet of a process of the node. */
export function ownPacket(src: Party, dst: Party, protocol: number, flags: number, time: number): Packet {
  return { time, protocol, flags, fromHost: true, fromPod: false, src, dst, marked: false, state: 'NEW', dnat: false };
}

export interface ConnectionParts {
  readonly conntrack: ReferenceConntrack;
  readonly nodeAddress: number;
  readonly answers: (endpoint: Party) => boolean;
  /** Counts what a packet meets in nat OUTPUT. */
  readonly walkNatOutput: (packet: Packet, work: Work) => void;
}

export class Connections {
  readonly #parts: ConnectionParts;
  readonly #sourcePorts = new PortCounter();
  /** By either leg. That of a leg 1 is its last one. */
  readonly #byLeg = new WeakMap<Entry, Proxied>();

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
  }

  /** Whether the process, this or an earlier one, made that connection. */
  isLeg2(entry: Entry): boolean {
    return this.#byLeg.get(entry)?.leg2 === entry;
  }

  /** The pair that the leg belongs to, while the running process still copies between both; else undefined. */
  whole(leg: Entry, running: ProxyProcess, now: number): Proxied | undefined {
    const pair = this.#byLeg.get(leg);
    if (pair === undefined) return undefined;
    if (pair.process !== running) {
      mark('leg of an earlier process');
      return undefined;
    }
    const { conntrack } = this.#parts;
    const isAlive = conntrack.isLive(pair.leg1, now) && conntrack.isLive(pair.leg2, now);
    if (!isAlive) {
      mark('leg without its partner');
      return undefined;
    }
    if (pair.leg1.original.protocol !== PROTOCOL_UDP) return pair;
    if (running.listenerAt(PROTOCOL_UDP, pair.leg1.reply.src.port) === undefined) {
      mark('udp leg of a closed proxy port');
      return undefined;
    }
    if (this.#byLeg.get(pair.leg1) !== pair || now - pair.lastPacket >= UDP_IDLE_NS) {
      mark(leg === pair.leg1 ? 'udp socket idle' : 'reply to a closed socket');
      return undefined;
    }
    return pair;
  }

  /** tryConnect for the client of `leg1`: the pair, or the reason why there is none. */
  dial(process: ProxyProcess, listener: Listener, leg1: Entry, now: number, work: Work): Proxied | number {
    const { svc } = listener;
    let failures = 0;
    for (; failures < TRIES; failures++) {
      const endpoint = process.balancerOf(svc).next(leg1.original.src.address, now, failures > 0);
      if (endpoint === undefined) return REASON_NO_ENDPOINTS;
      const leg2 = this.#connect(endpoint, svc.protocol, svc.id, now, work);
      if (leg2 === undefined) continue;
      if (failures > 0) mark('dial passed an endpoint');
      const pair = { process, leg1, leg2, lastPacket: now };
      this.#byLeg.set(leg1, pair);
      this.#byLeg.set(leg2, pair);
      return pair;
    }
    mark('four dials failed');
    return REASON_NO_ANSWER;
  }

  /** One connection, or undefined. */
  #connect(endpoint: Party, protocol: number, servicePortId: number, now: number, work: Work): Entry | undefined {
    const { conntrack, nodeAddress, answers, walkNatOutput } = this.#parts;
    const port = this.#sourcePorts.take((candidate) => {
      const isTaken = conntrack.isUsed(
        { protocol, src: { address: nodeAddress, port: candidate }, dst: endpoint },
        now,
      );
      if (isTaken) mark('source port of a dial passed over');
      return isTaken;
    });
    if (port === undefined) {
      count(work, CONNTRACK_LOOKUPS);
      return undefined;
    }
    const flags = protocol === PROTOCOL_TCP ? TCP_SYN : 0;
    const packet = ownPacket({ address: nodeAddress, port }, endpoint, protocol, flags, now);
    const received = conntrack.receive(packet, work);
    if (received.kind !== 'new') {
      mark('table full at a dial');
      return undefined;
    }
    walkNatOutput(packet, work);
    const original = { protocol, src: packet.src, dst: packet.dst };
    const reply = conntrack.uniqueReply(inverse(original), now, work);
    if (reply === undefined) return undefined;
    if (reply.dst.port !== port) {
      mark('reply tuple of a dial taken');
      count(work, NAT_SETUPS);
    }
    if (protocol === PROTOCOL_TCP && !answers(endpoint)) {
      mark('endpoint does not answer');
      return undefined;
    }
    count(work, CONNTRACK_INSERTS);
    const { tcpState } = received;
    return conntrack.confirm(
      { original, reply, tcpState, dnat: false, ipvs: false, masqueraded: false, servicePortId },
      now,
    );
  }
}
