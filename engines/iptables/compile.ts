/** Compiles service ports to flat typed arrays: what both evaluators and the dump read (kube-proxy pkg/proxy/iptables/proxier.go syncProxyRules). */
import type { ClusterDelta, ClusterState, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_UDP } from '../../model/protocol.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { shuffle } from '../../sim/rng.ts';
import { chooseEndpoints, keyAddress, keyPort } from './endpoints.ts';

/** One hash of (protocol, address, port) to a slot and its place (1 = first) in a chain of the service rules. */
export class ChainIndex {
  /** Stride 4: address, protocol << 16 | port, slot, place. An unused cell has place 0. */
  #cells = new Int32Array(64);
  #mask = 15;
  /** Rules in the chain. */
  length = 0;

  /** Empties the index for up to `count` rules. */
  reset(count: number): void {
    let size = 16;
    while (size < count * 2) size *= 2;
    if (size * 4 > this.#cells.length) this.#cells = new Int32Array(size * 4);
    else this.#cells.fill(0);
    this.#mask = this.#cells.length / 4 - 1;
    this.length = 0;
  }

  /** Appends a rule to the chain. A second rule for one destination is behind the first and never reached. */
  append(protocol: number, address: number, port: number, slot: number): void {
    this.length++;
    const cell = this.#cell(protocol, address, port);
    const cells = this.#cells;
    if (cells[cell + 3] !== 0) return;
    cells[cell] = address | 0;
    cells[cell + 1] = (protocol << 16) | port;
    cells[cell + 2] = slot;
    cells[cell + 3] = this.length;
  }

  /** Handle of the first rule for this destination, or -1. */
  find(protocol: number, address: number, port: number): number {
    const cell = this.#cell(protocol, address, port);
    return this.#cells[cell + 3] === 0 ? -1 : cell;
  }

  slot(handle: number): number {
    return this.#cells[handle + 2];
  }
  /** Rules visited up to and including this one. */
  place(handle: number): number {
    return this.#cells[handle + 3];
  }

  #cell(protocol: number, address: number, port: number): number {
    const cells = this.#cells;
    const second = (protocol << 16) | port;
    const first = address | 0;
    let h = Math.imul(first, 0x9e3779b1) ^ Math.imul(second, 0x85ebca77);
    h ^= h >>> 15;
    h = Math.imul(h, 0x2c1b3c6d);
    let cell = ((h ^ (h >>> 13)) & this.#mask) * 4;
    while (cells[cell + 3] !== 0 && (cells[cell] !== first || cells[cell + 1] !== second)) {
      cell = (cell + 4) & (cells.length - 1);
    }
    return cell;
  }
}

/**
 * Service ports in slots, their endpoints in one arena, and the four chains that grow with services in the order of the
 * last sync. A slot keeps its endpoints until its service port is upserted or removed, as a partial sync leaves the
 * service's own chains alone; the order and the chains are made anew at every sync.
 */
export class ServiceTable {
  /** Per slot. `undefined` where the slot is not in use. */
  readonly servicePorts: (ServicePort | undefined)[] = [];
  id = new Int32Array(16);
  protocol = new Uint8Array(16);
  clusterIp = new Int32Array(16);
  port = new Uint16Array(16);
  nodePort = new Uint16Array(16);
  /** Endpoints of the slot are arena elements endpointStart .. endpointStart + endpointCount - 1. */
  endpointStart = new Uint32Array(16);
  endpointCount = new Uint32Array(16);
  /** 1 when the KUBE-SVC and KUBE-SEP rules carry comments: those of the sync that wrote them. */
  commented = new Uint8Array(16);
  /** Arena. Addresses as signed 32-bit integers. */
  endpointAddress = new Int32Array(64);
  endpointPort = new Uint16Array(64);
  /** Slots in service order, `count` of them. */
  order = new Uint32Array(16);
  /** nat KUBE-SERVICES without its last rule, nat KUBE-NODEPORTS, filter KUBE-SERVICES, filter KUBE-EXTERNAL-SERVICES. */
  readonly services = new ChainIndex();
  readonly nodePorts = new ChainIndex();
  readonly rejects = new ChainIndex();
  readonly externalRejects = new ChainIndex();
  /** Usable endpoints summed over service ports. */
  usableEndpoints = 0;
  /** Most endpoints that a service port has had. */
  maxEndpoints = 0;

  readonly #slotOf = new Map<number, number>();
  /** Ids in ascending order. */
  #ids: number[] = [];
  readonly #freeSlots: number[] = [];
  #arenaEnd = 0;
  #arenaGarbage = 0;

  /** Service ports known. */
  get count(): number {
    return this.#ids.length;
  }

  slotOf(id: number): number | undefined {
    return this.#slotOf.get(id);
  }

  /** Full sync. Slots that are written are 0 .. servicePorts.length - 1. */
  replaceAll(state: ClusterState, largeClusterEndpoints: number, stream: RandomStream): void {
    this.servicePorts.length = 0;
    this.#slotOf.clear();
    this.#freeSlots.length = 0;
    this.#arenaEnd = 0;
    this.#arenaGarbage = 0;
    this.usableEndpoints = 0;
    this.#ids = [];
    this.#reserveSlots(state.servicePorts.length);
    for (const svc of state.servicePorts) {
      if (this.#slotOf.has(svc.id)) throw new Error(`Two service ports have the id ${svc.id}`);
      this.#write(svc);
      this.#ids.push(svc.id);
    }
    this.#ids.sort((a, b) => a - b);
    this.commented.fill(this.usableEndpoints > largeClusterEndpoints ? 0 : 1);
    this.#order(stream);
  }

  /** Partial sync. Returns the slots written, in ascending order of id. */
  change(delta: ClusterDelta, largeClusterEndpoints: number, stream: RandomStream): number[] {
    for (const id of delta.removedIds) this.#remove(id);
    for (const svc of delta.upserted) {
      if (this.#slotOf.has(svc.id)) this.#forget(this.#slotOf.get(svc.id) as number);
      else this.#ids.push(svc.id);
      this.#write(svc);
    }
    this.#ids.sort((a, b) => a - b);
    const commented = this.usableEndpoints > largeClusterEndpoints ? 0 : 1;
    const changed = delta.upserted.map((svc) => this.#slotOf.get(svc.id) as number);
    for (const slot of changed) this.commented[slot] = commented;
    if (this.#arenaGarbage > 1024 && this.#arenaGarbage * 2 > this.#arenaEnd) this.#compact();
    this.#order(stream);
    return changed;
  }

  #write(svc: ServicePort): void {
    const slot = this.#freeSlots.pop() ?? this.servicePorts.length;
    if (slot >= this.id.length) this.#reserveSlots(slot + 1);
    this.servicePorts[slot] = svc;
    this.#slotOf.set(svc.id, slot);
    this.id[slot] = svc.id;
    this.protocol[slot] = svc.protocol;
    this.clusterIp[slot] = svc.clusterIp | 0;
    this.port[slot] = svc.port;
    this.nodePort[slot] = svc.nodePort;
    const keys = chooseEndpoints(svc.endpoints);
    const count = keys.length;
    const start = this.#arenaEnd;
    if (start + count > this.endpointPort.length) this.#growArena(start + count);
    for (let i = 0; i < count; i++) {
      this.endpointAddress[start + i] = keyAddress(keys[i]) | 0;
      this.endpointPort[start + i] = keyPort(keys[i]);
    }
    this.#arenaEnd += count;
    this.endpointStart[slot] = start;
    this.endpointCount[slot] = count;
    this.usableEndpoints += count;
    if (count > this.maxEndpoints) this.maxEndpoints = count;
  }

  #remove(id: number): void {
    const slot = this.#slotOf.get(id);
    // Added and removed between two syncs: kube-proxy never sees it.
    if (slot === undefined) return;
    this.#forget(slot);
    let low = 0;
    let high = this.#ids.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ids[middle] < id) low = middle + 1;
      else high = middle;
    }
    this.#ids.splice(low, 1);
  }

  #forget(slot: number): void {
    this.#slotOf.delete(this.id[slot]);
    this.servicePorts[slot] = undefined;
    this.#freeSlots.push(slot);
    this.usableEndpoints -= this.endpointCount[slot];
    this.#arenaGarbage += this.endpointCount[slot];
    this.endpointCount[slot] = 0;
  }

  /** Draws the service order and builds the four chains from it. */
  #order(stream: RandomStream): void {
    const count = this.#ids.length;
    if (this.order.length < count) this.order = new Uint32Array(count * 2);
    const order = this.order.subarray(0, count);
    for (let i = 0; i < count; i++) order[i] = this.#slotOf.get(this.#ids[i]) as number;
    shuffle(order, stream);
    this.services.reset(count);
    this.nodePorts.reset(count);
    this.rejects.reset(count);
    this.externalRejects.reset(count);
    for (let i = 0; i < count; i++) {
      const slot = order[i];
      const usable = this.endpointCount[slot] > 0;
      const protocol = this.protocol[slot];
      const chain = usable ? this.services : this.rejects;
      chain.append(protocol, this.clusterIp[slot], this.port[slot], slot);
      if (this.nodePort[slot] === 0) continue;
      const nodeChain = usable ? this.nodePorts : this.externalRejects;
      nodeChain.append(protocol, 0, this.nodePort[slot], slot);
    }
  }

  /** Closes the gaps that rewritten service ports have left. */
  #compact(): void {
    const address = new Int32Array(this.endpointAddress.length);
    const port = new Uint16Array(this.endpointPort.length);
    let end = 0;
    for (const slot of this.#slotOf.values()) {
      const start = this.endpointStart[slot];
      const count = this.endpointCount[slot];
      address.set(this.endpointAddress.subarray(start, start + count), end);
      port.set(this.endpointPort.subarray(start, start + count), end);
      this.endpointStart[slot] = end;
      end += count;
    }
    this.endpointAddress = address;
    this.endpointPort = port;
    this.#arenaEnd = end;
    this.#arenaGarbage = 0;
  }

  #growArena(needed: number): void {
    const address = new Int32Array(needed * 2);
    address.set(this.endpointAddress);
    this.endpointAddress = address;
    const port = new Uint16Array(needed * 2);
    port.set(this.endpointPort);
    this.endpointPort = port;
  }

  #reserveSlots(needed: number): void {
    if (needed <= this.id.length) return;
    const size = Math.max(needed, this.id.length * 2);
    this.id = copyOf(this.id, new Int32Array(size));
    this.protocol = copyOf(this.protocol, new Uint8Array(size));
    this.clusterIp = copyOf(this.clusterIp, new Int32Array(size));
    this.port = copyOf(this.port, new Uint16Array(size));
    this.nodePort = copyOf(this.nodePort, new Uint16Array(size));
    this.endpointStart = copyOf(this.endpointStart, new Uint32Array(size));
    this.endpointCount = copyOf(this.endpointCount, new Uint32Array(size));
    this.commented = copyOf(this.commented, new Uint8Array(size));
  }
}

function copyOf<T extends Int32Array | Uint32Array | Uint16Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** Whether a delta, applied to the table as it stands, touches a UDP service port. */
export function touchesUdp(table: ServiceTable, delta: ClusterDelta): boolean {
  if (delta.upserted.some((svc) => svc.protocol === PROTOCOL_UDP)) return true;
  return delta.removedIds.some((id) => {
    const slot = table.slotOf(id);
    return slot !== undefined && table.protocol[slot] === PROTOCOL_UDP;
  });
}
