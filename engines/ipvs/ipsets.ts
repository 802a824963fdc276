/** The ipsets of IPVS mode (pkg/proxy/ipvs/ipset.go) as the data path tests them: a few hash tables with a flag a set. */
import type { Cidr } from '../../model/address.ts';
import type { PacketBatch } from '../../model/packet.ts';
import * as protocols from '../../model/protocol.ts';
import { FlagTable } from './flag-table.ts';

/* A module's own constants are part of the compiled code; V8 loads an imported one anew at each use. */
const { PROTOCOL_SCTP, PROTOCOL_TCP } = protocols;

/* Sets of type hash:ip,port. */
export const SET_CLUSTER_IP = 0;
export const SET_EXTERNAL_IP = 1;
export const SET_EXTERNAL_IP_LOCAL = 2;
export const SET_LOAD_BALANCER = 3;
export const SET_LOAD_BALANCER_LOCAL = 4;
export const SET_LOAD_BALANCER_FW = 5;
export const SET_NODE_PORT_SCTP = 6;
export const SET_NODE_PORT_LOCAL_SCTP = 7;
/* Sets of type bitmap:port. */
export const SET_NODE_PORT_TCP = 8;
export const SET_NODE_PORT_LOCAL_TCP = 9;
export const SET_NODE_PORT_UDP = 10;
export const SET_NODE_PORT_LOCAL_UDP = 11;
export const SET_HEALTH_CHECK_NODE_PORT = 12;
/* hash:ip,port,ip, hash:ip,port,net and hash:ip. */
export const SET_LOOP_BACK = 13;
export const SET_SOURCE_IP = 14;
export const SET_SOURCE_CIDR = 15;
export const SET_IPVS_IPS = 16;
const SETS = 17;

/** Bit of a hash:ip,port set in `destinationFlags`. */
export function destinationBit(set: number): number {
  return 1 << set;
}

/** Bit of a bitmap in `portFlags`. */
export function portBit(set: number): number {
  return 1 << (set - SET_NODE_PORT_TCP);
}

const LOOP_BACK_FLAG = 1;
const SOURCE_IP_FLAG = 2;
const PRESENT = 1;
/** An entry that kube-proxy deletes and adds at every sync. */
const REWRITTEN = 2;
const ADDRESS_BITS = 32;

/** Protocol and port in one word of 24 bits. */
function serviceWord(protocol: number, port: number): number {
  return (protocol << 16) | port;
}

/** The block of that length in which the address is. */
function masked(address: number, prefixLength: number): number {
  return prefixLength === 0 ? 0 : (address & (0xffffffff << (ADDRESS_BITS - prefixLength))) >>> 0;
}

/** One filling of the sets. */
class Contents {
  /** (address, protocol and port): the hash:ip,port sets. */
  readonly destinations = new FlagTable();
  /** By port: the bitmaps. */
  readonly ports = new Uint8Array(65536);
  /** (address, protocol and port, source): LOOP-BACK and SOURCE-IP. */
  readonly sources = new FlagTable();
  /** (address, prefix length with protocol and port, masked source): SOURCE-CIDR. */
  readonly ranges = new FlagTable();
  /** IPVS-IPS. */
  readonly addresses = new FlagTable();
  /** By set: entries that kube-proxy asks for. */
  readonly wanted = new Uint32Array(SETS);
  /** Prefix lengths in `ranges`. */
  readonly rangeLengths: number[] = [];
  hasPorts = false;

  clear(): void {
    this.destinations.clear();
    this.sources.clear();
    this.ranges.clear();
    this.addresses.clear();
    this.wanted.fill(0);
    this.rangeLengths.length = 0;
    if (this.hasPorts) this.ports.fill(0);
    this.hasPorts = false;
  }
}

/** A sync calls `begin`, adds what it wants and calls `finish`; look-ups see the new contents from `finish` on. */
export class IpSets {
  /** Entries added or deleted by the latest `finish` over all sets, and addresses of IPVS-IPS alone. */
  changes = 0;
  addressChanges = 0;

  #current = new Contents();
  #next = new Contents();

  begin(): void {
    this.#next.clear();
  }

  /** An entry of a hash:ip,port set. */
  addDestination(set: number, protocol: number, address: number, port: number): void {
    const next = this.#next;
    if (next.destinations.add(address, serviceWord(protocol, port), 0, destinationBit(set))) next.wanted[set]++;
  }

  /** In the protocol's NODE-PORT set, and in its NODE-PORT-LOCAL set where the external policy is Local. */
  addNodePort(protocol: number, port: number, isLocal: boolean, addresses: readonly number[]): void {
    if (protocol === PROTOCOL_SCTP) {
      for (const address of addresses) {
        this.addDestination(SET_NODE_PORT_SCTP, protocol, address, port);
        if (isLocal) this.addDestination(SET_NODE_PORT_LOCAL_SCTP, protocol, address, port);
      }
      return;
    }
    const isTcp = protocol === PROTOCOL_TCP;
    this.#addPort(isTcp ? SET_NODE_PORT_TCP : SET_NODE_PORT_UDP, port);
    if (isLocal) this.#addPort(isTcp ? SET_NODE_PORT_LOCAL_TCP : SET_NODE_PORT_LOCAL_UDP, port);
  }

  addHealthCheckNodePort(port: number): void {
    this.#addPort(SET_HEALTH_CHECK_NODE_PORT, port);
  }

  /** LOOP-BACK: an endpoint of this node, whatever its conditions. */
  addLocalEndpoint(protocol: number, address: number, port: number): void {
    const next = this.#next;
    const isNew = next.sources.add(address, serviceWord(protocol, port), address, LOOP_BACK_FLAG);
    if (isNew) next.wanted[SET_LOOP_BACK]++;
  }

  /** LOAD-BALANCER-SOURCE-IP: the node's own packets to the address, which have it as their source. */
  addSourceIp(protocol: number, address: number, port: number): void {
    const next = this.#next;
    const isNew = next.sources.add(address, serviceWord(protocol, port), address, SOURCE_IP_FLAG);
    if (isNew) next.wanted[SET_SOURCE_IP]++;
  }

  /**
   * LOAD-BALANCER-SOURCE-CIDR. The kernel refuses a range of length 0. It lists one of a single address without its length, which
   * kube-proxy takes for another entry (ipset.go syncIPSetEntries): deleted and added at every sync.
   */
  addSourceRange(protocol: number, address: number, port: number, { prefixLength, address: block }: Cidr): void {
    const next = this.#next;
    next.wanted[SET_SOURCE_CIDR]++;
    if (prefixLength === 0) return;
    const word = ((prefixLength << 24) | serviceWord(protocol, port)) >>> 0;
    next.ranges.add(address, word, block, prefixLength === ADDRESS_BITS ? REWRITTEN : PRESENT);
    if (!next.rangeLengths.includes(prefixLength)) next.rangeLengths.push(prefixLength);
  }

  /** IPVS-IPS: an address that belongs on kube-ipvs0. */
  addBoundAddress(address: number): void {
    const next = this.#next;
    if (next.addresses.add(address, 0, 0, PRESENT)) next.wanted[SET_IPVS_IPS]++;
  }

  finish(): void {
    const old = this.#current;
    const next = this.#next;
    this.addressChanges = difference(old.addresses, next.addresses);
    this.changes =
      this.addressChanges +
      difference(old.destinations, next.destinations) +
      difference(old.sources, next.sources) +
      difference(old.ranges, next.ranges, ~REWRITTEN) +
      (old.hasPorts || next.hasPorts ? portDifference(old.ports, next.ports) : 0);
    this.#current = next;
    this.#next = old;
  }

  /** Instead of `begin` and all that follows: the same contents as before. What kube-proxy rewrites at every sync, it rewrites. */
  keep(): void {
    const { ranges } = this.#current;
    this.addressChanges = 0;
    this.changes = difference(ranges, ranges, ~REWRITTEN);
  }

  /** Whether kube-proxy takes the set for an empty one: it does not look at what the kernel refused. */
  isEmpty(set: number): boolean {
    return this.#current.wanted[set] === 0;
  }

  /** Addresses on kube-ipvs0. */
  get boundAddresses(): number {
    return this.#current.addresses.size;
  }

  /** `destinationBit` of each hash:ip,port set that has the entry. */
  destinationFlags(address: number, protocol: number, port: number): number {
    return this.#current.destinations.get(address, serviceWord(protocol, port), 0);
  }

  /** flags[i] becomes the `destinationFlags` of packet i. A loop of its own, so that several look-ups wait for memory together. */
  destinationFlagsOfAll(packets: PacketBatch, flags: Int32Array): void {
    const { destinations } = this.#current;
    const { length, dstAddress, protocol, dstPort } = packets;
    for (let i = 0; i < length; i++)
      flags[i] = destinations.get(dstAddress[i], serviceWord(protocol[i], dstPort[i]), 0);
  }

  /** `portBit` of each bitmap that has the port: none of an SCTP packet (ip_set_getport.c ip_set_get_ip_port). */
  portFlags(protocol: number, port: number): number {
    return protocol === PROTOCOL_SCTP ? 0 : this.#current.ports[port];
  }

  inLoopBack(dstAddress: number, protocol: number, dstPort: number, srcAddress: number): boolean {
    return (this.#current.sources.get(dstAddress, serviceWord(protocol, dstPort), srcAddress) & LOOP_BACK_FLAG) !== 0;
  }

  inSourceIp(dstAddress: number, protocol: number, dstPort: number, srcAddress: number): boolean {
    return (this.#current.sources.get(dstAddress, serviceWord(protocol, dstPort), srcAddress) & SOURCE_IP_FLAG) !== 0;
  }

  /** One probe for each prefix length that occurs (ip_set_hash_gen.h mtype_test_cidrs). */
  inSourceRanges(dstAddress: number, protocol: number, dstPort: number, srcAddress: number): boolean {
    const { ranges, rangeLengths } = this.#current;
    const service = serviceWord(protocol, dstPort);
    for (let i = 0; i < rangeLengths.length; i++) {
      const length = rangeLengths[i];
      if (ranges.get(dstAddress, ((length << 24) | service) >>> 0, masked(srcAddress, length)) !== 0) return true;
    }
    return false;
  }

  /** Whether the address is on kube-ipvs0. */
  isBound(address: number): boolean {
    return this.#current.addresses.get(address, 0, 0) !== 0;
  }

  #addPort(set: number, port: number): void {
    const next = this.#next;
    const bit = portBit(set);
    next.hasPorts = true;
    if ((next.ports[port] & bit) !== 0) return;
    next.ports[port] |= bit;
    next.wanted[set]++;
  }
}

/** Flags in one table but not in the other; those outside `comparable` are never in both. */
function difference(old: FlagTable, next: FlagTable, comparable = 0xff): number {
  const [allNext, common] = next.countFlags(old, comparable);
  const [allOld] = old.countFlags(next, 0);
  return allOld + allNext - 2 * common;
}

function portDifference(old: Uint8Array, next: Uint8Array): number {
  let changes = 0;
  for (let port = 0; port < old.length; port++) {
    for (let bits = old[port] ^ next[port]; bits > 0; bits &= bits - 1) changes++;
  }
  return changes;
}
