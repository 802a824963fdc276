/**
 * The IPVS hooks for one packet (net/netfilter/ipvs/ip_vs_core.c ip_vs_in_hook, ip_vs_out_hook): the reply look-up, the
 * request look-up, scheduling.
 */
import * as counters from '../../model/counters.ts';
import type { PacketBatch } from '../../model/packet.ts';
import * as packetModel from '../../model/packet.ts';
import * as protocols from '../../model/protocol.ts';
import type { ConnectionTable } from './connection-table.ts';
import type { IpvsMatch, WalkedPacket } from './literal-walk.ts';
import type { RealServers } from './real-servers.ts';
import type { Scheduler } from './schedulers/scheduler.ts';
import * as tables from './service-table.ts';
import type { ServiceTable } from './service-table.ts';
import * as states from './tcp-states.ts';

/* A module's own constants are part of the compiled code; V8 loads an imported one anew at each use. */
const {
  CONNECTION_CHAIN_ENTRIES,
  DESTINATIONS_EXAMINED,
  HASH_PROBES,
  IPVS_CONNECTION_INSERTS,
  NAT_SETUPS,
  SERVICE_CHAIN_ENTRIES,
} = counters;
const { TCP_ACK, TCP_RST, TCP_SYN } = packetModel;
const { PROTOCOL_TCP } = protocols;
const { NONE, UNKNOWN } = tables;
const { STATE_CLOSE, STATE_TIME_WAIT, TOWARDS_CLIENT, TOWARDS_SERVER } = states;

/** IPVS leaves the packet alone. */
export const IPVS_PASS = 0;
/** A request: `connection` translates it to its real server. */
export const IPVS_REQUEST = 1;
/** No real server is available for the virtual server of `servicePortId`. */
const IPVS_NO_SERVER = 2;
/** The real server of its connection has been deleted; the connection is gone, too, and its flow must be forgotten. */
export const IPVS_SERVER_GONE = 3;
/** A SYN that has ended the old connection of its port; its flow is held to the old server and must be forgotten. */
export const IPVS_PORT_REUSED = 4;
type IpvsVerdict = 0 | 1 | 2 | 3 | 4;

/** What connection tracking has of a packet: nothing, an entry that it is about to create, or one from before. */
export const UNTRACKED = 0;
export const TRACKED_NEW = 1;
export const TRACKED_OLD = 2;
export type Tracking = 0 | 1 | 2;

/** What the kernel does with a SYN that finds a connection. */
export interface ReusePolicy {
  /** It may take the place of a closed one. */
  readonly ofClosed: boolean;
  /** It may take the place of one whose server has weight 0. */
  readonly ofQuiesced: boolean;
  /** It is dropped from this on. */
  readonly dropsFrom: Tracking;
  /** Any packet that finds a connection whose server was deleted is dropped from this on; else it is scheduled anew. */
  readonly goneDropsFrom: Tracking;
}

/**
 * conn_reuse_mode guards everything until Linux 5.16 (c95c07836fa4 takes weight 0 out of it); a SYN that opens a flow of its own passes from
 * 5.9 on (f0a5e4d7a594, uses_old_conntrack), before all that are tracked are dropped (f719e3754ee2). So does, from 5.9 on, a packet of such
 * a flow whose server was deleted (04231e52d355, expire_nodest_conn).
 */
export function reusePolicy(mode: 0 | 1, [major, minor]: readonly [number, number]): ReusePolicy {
  const version = major * 1000 + minor;
  return {
    ofClosed: mode === 1,
    ofQuiesced: mode === 1 || version >= 5016,
    dropsFrom: version >= 5009 ? TRACKED_OLD : TRACKED_NEW,
    goneDropsFrom: version >= 5009 ? TRACKED_OLD : UNTRACKED,
  };
}

export class Forwarding {
  /** Of the latest request: its connection's slot, and the service port. */
  connection = NONE;
  servicePortId = -1;

  readonly #isLiteral: boolean;
  readonly #services: ServiceTable;
  readonly #servers: RealServers;
  readonly #connections: ConnectionTable;
  readonly #scheduler: Scheduler;
  readonly #reuse: ReusePolicy;
  /** Of each packet that was prepared. */
  #servicesAhead = new Int32Array(0);
  #sourceBuckets = new Int32Array(0);
  #destinationBuckets = new Int32Array(0);

  constructor(
    isLiteral: boolean,
    servers: RealServers,
    connections: ConnectionTable,
    scheduler: Scheduler,
    reuse: ReusePolicy,
  ) {
    this.#isLiteral = isLiteral;
    this.#services = servers.services;
    this.#servers = servers;
    this.#connections = connections;
    this.#scheduler = scheduler;
    this.#reuse = reuse;
  }

  /** Packets to come: looks up the virtual servers of those that may open a connection. */
  prepare(packets: PacketBatch): void {
    if (packets.length > this.#servicesAhead.length) {
      this.#servicesAhead = new Int32Array(packets.capacity);
      this.#sourceBuckets = new Int32Array(packets.capacity);
      this.#destinationBuckets = new Int32Array(packets.capacity);
    }
    this.#connections.prepare(packets, this.#sourceBuckets, this.#destinationBuckets);
    if (this.#isLiteral) return;
    this.#services.lookUpAll(packets, this.#servicesAhead);
    this.#scheduler.touch?.(this.#servicesAhead, packets.length);
  }

  /** Packet `i` of those that were prepared is in hand now. */
  begin(packet: WalkedPacket, i: number): void {
    packet.service = this.#isLiteral ? UNKNOWN : this.#servicesAhead[i];
    packet.sourceBucket = this.#sourceBuckets[i];
    packet.destinationBucket = this.#destinationBuckets[i];
  }

  /** conntrack has given the packet another destination than the one that it came with. */
  destinationChanged(packet: WalkedPacket): void {
    packet.destinationBucket = this.#connections.bucket(packet.dstAddress, packet.dstPort, packet.protocol);
  }

  /** The packet as a reply of a connection: its slot, moved by the packet, or -1. Counters go to rows[row + ...]. */
  reply(packet: WalkedPacket, rows: Uint32Array, row: number): number {
    const connections = this.#connections;
    const { destinationBucket, protocol, srcAddress, srcPort, dstAddress, dstPort } = packet;
    const slot = connections.findReplyIn(destinationBucket, protocol, srcAddress, srcPort, dstAddress, dstPort);
    rows[row + HASH_PROBES]++;
    rows[row + CONNECTION_CHAIN_ENTRIES] += connections.entriesPassed;
    if (slot !== NONE) connections.packet(slot, TOWARDS_CLIENT, packet.tcpFlags);
    return slot;
  }

  /** xt_ipvs.c ipvs_mt: is the packet, with its addresses as they are now, of a connection to that virtual server? */
  readonly isOfVirtualServer: IpvsMatch = (packet, vip, rows, row) => {
    if (!packet.isOfIpvs || packet.protocol !== vip.protocol) return false;
    const connections = this.#connections;
    const { protocol, srcAddress, srcPort, dstAddress, dstPort } = packet;
    // conn_out_get of the header turned round.
    const slot = connections.findReply(protocol, dstAddress, dstPort, srcAddress, srcPort);
    rows[row + HASH_PROBES]++;
    rows[row + CONNECTION_CHAIN_ENTRIES] += connections.entriesPassed;
    return (
      slot !== NONE &&
      connections.virtualAddress(slot) === (vip.address | 0) &&
      connections.virtualPort(slot) === vip.port
    );
  };

  /** The service port that has the packet's destination, or -1. */
  servicePortOf({ protocol, dstAddress, dstPort }: WalkedPacket): number {
    const service = this.#services.lookup(protocol, dstAddress, dstPort);
    return service === NONE ? -1 : this.#services.servicePortId[service];
  }

  /** The packet as a request, after `reply` missed. Sets `connection` and `servicePortId`. */
  request(packet: WalkedPacket, tracking: Tracking, rows: Uint32Array, row: number): IpvsVerdict {
    const connections = this.#connections;
    const { sourceBucket, protocol, srcAddress, srcPort, dstAddress, dstPort, tcpFlags } = packet;
    const slot = connections.findRequestIn(sourceBucket, protocol, srcAddress, srcPort, dstAddress, dstPort);
    rows[row + HASH_PROBES]++;
    rows[row + CONNECTION_CHAIN_ENTRIES] += connections.entriesPassed;
    this.connection = slot;
    if (slot !== NONE) {
      const server = connections.server(slot);
      const opens = protocol === PROTOCOL_TCP && (tcpFlags & (TCP_SYN | TCP_ACK)) === TCP_SYN;
      this.servicePortId = connections.servicePortId(slot);
      if (opens && this.#isReused(slot)) {
        connections.remove(slot);
        if (tracking >= this.#reuse.dropsFrom) return IPVS_PORT_REUSED;
      } else {
        if (this.#servers.isLive(server)) {
          connections.packet(slot, TOWARDS_SERVER, tcpFlags);
          return IPVS_REQUEST;
        }
        connections.remove(slot);
        if (tracking >= this.#reuse.goneDropsFrom) return IPVS_SERVER_GONE;
      }
    }
    // tcp_conn_schedule asks for a SYN, with or without ACK, and no RST.
    if (protocol === PROTOCOL_TCP && (tcpFlags & (TCP_SYN | TCP_RST)) !== TCP_SYN) return IPVS_PASS;
    return this.#schedule(packet, rows, row);
  }

  /** ip_vs_in_hook, is_new_conn_expected: a connection that a template controls is never taken for a closed one. */
  #isReused(slot: number): boolean {
    const connections = this.#connections;
    const reuse = this.#reuse;
    if (reuse.ofQuiesced && this.#servers.weight[connections.server(slot)] === 0) return true;
    const state = connections.state[slot];
    return reuse.ofClosed && (state === STATE_TIME_WAIT || state === STATE_CLOSE) && !connections.isControlled(slot);
  }

  #schedule(packet: WalkedPacket, rows: Uint32Array, row: number): IpvsVerdict {
    const services = this.#services;
    const { protocol, srcAddress, srcPort, dstAddress, dstPort } = packet;
    let { service } = packet;
    rows[row + HASH_PROBES]++;
    if (this.#isLiteral) {
      service = services.findLiteral(protocol, dstAddress, dstPort);
      rows[row + SERVICE_CHAIN_ENTRIES] += services.entriesPassed;
    } else {
      if (service === UNKNOWN) service = services.lookup(protocol, dstAddress, dstPort);
      rows[row + SERVICE_CHAIN_ENTRIES] += services.passedTo(service, protocol, dstAddress, dstPort);
    }
    if (service === NONE) return IPVS_PASS;
    const connections = this.#connections;
    const id = services.servicePortId[service];
    this.servicePortId = id;
    let template = NONE;
    let server: number;
    if (services.affinitySeconds[service] > 0) {
      template = this.#template(service, packet, rows, row);
      server = template === NONE ? NONE : connections.server(template);
    } else server = this.#choose(service, packet, rows, row);
    if (server === NONE) return IPVS_NO_SERVER;
    const { tcpFlags, sourceBucket } = packet;
    const slot = connections.add(
      protocol,
      srcAddress,
      srcPort,
      dstAddress,
      dstPort,
      server,
      id,
      template,
      tcpFlags,
      sourceBucket,
    );
    if (template !== NONE) connections.renewTemplate(template);
    rows[row + IPVS_CONNECTION_INSERTS]++;
    rows[row + NAT_SETUPS]++;
    this.connection = slot;
    return IPVS_REQUEST;
  }

  /** ip_vs_sched_persist: the client's template, or a new one with the scheduler's choice; NONE when there is no real server. */
  #template(service: number, packet: WalkedPacket, rows: Uint32Array, row: number): number {
    const connections = this.#connections;
    const servers = this.#servers;
    const { protocol, srcAddress, dstAddress, dstPort } = packet;
    const known = connections.findTemplate(protocol, srcAddress, dstAddress, dstPort);
    rows[row + HASH_PROBES]++;
    rows[row + CONNECTION_CHAIN_ENTRIES] += connections.entriesPassed;
    if (known !== NONE) {
      // kube-proxy sets expire_quiescent_template: a server of weight 0 gets no more clients, old ones included.
      const server = connections.server(known);
      if (servers.isLive(server) && servers.weight[server] > 0) return known;
      connections.invalidateTemplate(known);
    }
    const server = this.#choose(service, packet, rows, row);
    if (server === NONE) return NONE;
    const id = this.servicePortId;
    const seconds = this.#services.affinitySeconds[service];
    rows[row + IPVS_CONNECTION_INSERTS]++;
    return connections.addTemplate(protocol, srcAddress, dstAddress, dstPort, server, id, seconds);
  }

  #choose(service: number, packet: WalkedPacket, rows: Uint32Array, row: number): number {
    const scheduler = this.#scheduler;
    const { srcAddress, srcPort, dstAddress } = packet;
    // A time is boxed when a call passes it on.
    const server = scheduler.readsClock
      ? scheduler.schedule(service, srcAddress, srcPort, dstAddress, this.#connections.now)
      : scheduler.schedule(service, srcAddress, srcPort, dstAddress, 0);
    rows[row + DESTINATIONS_EXAMINED] += scheduler.examined;
    return server;
  }
}
