/** Compiles service ports to flat typed arrays: what both evaluators and the dump read (kube-proxy pkg/proxy/iptables/proxier.go syncProxyRules). */
import { formatIpv4 } from '../../model/address.ts';
import type { ClusterDelta, ClusterState, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_UDP } from '../../model/protocol.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { shuffle } from '../../sim/rng.ts';
import { ChainIndex } from './chain-index.ts';
import { endpointKey, keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import { EndpointChooser } from './endpoints.ts';
import { StaleChains, chainIdentity } from './stale-chains.ts';

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
  /** Usable endpoints of the slot are arena elements endpointStart .. endpointStart + endpointCount - 1. */
  endpointStart = new Uint32Array(16);
  endpointCount = new Uint32Array(16);
  /** Endpoints of any condition. */
  knownCount = new Uint32Array(16);
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
  readonly staleChains = new StaleChains();
  /** Endpoints summed over service ports: usable ones, and those of any condition. */
  usableEndpoints = 0;
  knownEndpoints = 0;
  /** Most usable endpoints that a service port has had. */
  maxEndpoints = 0;
  /** Rules at the head of a KUBE-SVC chain: 1 or 0. */
  readonly masqueradeRules: number;

  readonly #slotOf = new Map<number, number>();
  /** Ids in ascending order. */
  readonly #ids: number[] = [];
  readonly #freeSlots: number[] = [];
  readonly #chooser = new EndpointChooser();
  #arenaEnd = 0;
  #arenaGarbage = 0;

  constructor(masqueradeRules: number) {
    this.masqueradeRules = masqueradeRules;
  }

  /** Service ports known. */
  get count(): number {
    return this.#ids.length;
  }

  slotOf(id: number): number | undefined {
    return this.#slotOf.get(id);
  }

  /** `ip:port` of an arena element. */
  endpointText(at: number): string {
    return `${formatIpv4(this.endpointAddress[at])}:${this.endpointPort[at]}`;
  }

  /** Full sync. `largeClusterEndpoints` is the number above which kube-proxy leaves comments out. */
  replaceAll(state: ClusterState, largeClusterEndpoints: number, stream: RandomStream): void {
    const wanted = new Set<number>();
    for (const svc of state.servicePorts) {
      if (wanted.has(svc.id)) throw new Error(`Two service ports have the id ${svc.id}`);
      wanted.add(svc.id);
    }
    this.#removeIf((id) => !wanted.has(id));
    this.#reserveSlots(state.servicePorts.length);
    for (const svc of state.servicePorts) this.#upsert(svc);
    this.commented.fill(this.knownEndpoints > largeClusterEndpoints ? 0 : 1);
    this.#finish(stream);
  }

  /** Partial sync. Returns the slots written, each once. */
  change(delta: ClusterDelta, largeClusterEndpoints: number, stream: RandomStream): number[] {
    if (delta.removedIds.length > 0) {
      const removed = new Set(delta.removedIds);
      this.#removeIf((id) => removed.has(id));
    }
    for (const svc of delta.upserted) this.#upsert(svc);
    const commented = this.knownEndpoints > largeClusterEndpoints ? 0 : 1;
    const changed = [...new Set(delta.upserted.map((svc) => this.#slotOf.get(svc.id) as number))];
    for (const slot of changed) this.commented[slot] = commented;
    this.#finish(stream);
    return changed;
  }

  #finish(stream: RandomStream): void {
    // Sorting what is nearly sorted costs one pass.
    this.#ids.sort((a, b) => a - b);
    if (this.#arenaGarbage > 1024 && this.#arenaGarbage * 2 > this.#arenaEnd) this.#compact();
    this.#order(stream);
  }

  #upsert(svc: ServicePort): void {
    let slot = this.#slotOf.get(svc.id);
    this.#chooser.choose(svc.endpoints);
    if (slot === undefined) {
      slot = this.#freeSlots.pop() ?? this.servicePorts.length;
      if (slot >= this.id.length) this.#reserveSlots(slot + 1);
      this.#slotOf.set(svc.id, slot);
      this.#ids.push(svc.id);
      this.id[slot] = svc.id;
      this.endpointCount[slot] = 0;
      this.knownCount[slot] = 0;
    } else {
      const before = this.servicePorts[slot] as ServicePort;
      const renamed = chainIdentity('SVC', before) !== chainIdentity('SVC', svc);
      this.#retire(slot, before, renamed ? 0 : this.#chooser.count, renamed ? 0 : svc.nodePort);
    }
    if (this.staleChains.count > 0) this.#revive(svc);
    this.servicePorts[slot] = svc;
    this.protocol[slot] = svc.protocol;
    this.clusterIp[slot] = svc.clusterIp | 0;
    this.port[slot] = svc.port;
    this.nodePort[slot] = svc.nodePort;
    this.#writeEndpoints(slot);
  }

  #writeEndpoints(slot: number): void {
    const { keys, count, known } = this.#chooser;
    const before = this.endpointCount[slot];
    let start = this.endpointStart[slot];
    if (count > before) {
      this.#arenaGarbage += before;
      start = this.#arenaEnd;
      this.#arenaEnd += count;
      if (this.#arenaEnd > this.endpointPort.length) this.#growArena(this.#arenaEnd);
    } else {
      this.#arenaGarbage += before - count;
    }
    for (let i = 0; i < count; i++) {
      this.endpointAddress[start + i] = keyAddress(keys[i]) | 0;
      this.endpointPort[start + i] = keyPort(keys[i]);
    }
    this.endpointStart[slot] = start;
    this.endpointCount[slot] = count;
    this.usableEndpoints += count - before;
    this.knownEndpoints += known - this.knownCount[slot];
    this.knownCount[slot] = known;
    if (count > this.maxEndpoints) this.maxEndpoints = count;
  }

  #removeIf(gone: (id: number) => boolean): void {
    const ids = this.#ids;
    let kept = 0;
    for (const id of ids) {
      if (!gone(id)) {
        ids[kept++] = id;
        continue;
      }
      const slot = this.#slotOf.get(id) as number;
      this.#retire(slot, this.servicePorts[slot] as ServicePort, 0, 0);
      this.#slotOf.delete(id);
      this.servicePorts[slot] = undefined;
      this.#freeSlots.push(slot);
      this.usableEndpoints -= this.endpointCount[slot];
      this.knownEndpoints -= this.knownCount[slot];
      this.#arenaGarbage += this.endpointCount[slot];
      this.endpointCount[slot] = 0;
    }
    ids.length = kept;
  }

  /** Notes the chains that the slot's service port used and that are not used with the first `count` keys chosen. */
  #retire(slot: number, before: ServicePort, count: number, nodePort: number): void {
    const keys = this.#chooser.keys;
    const start = this.endpointStart[slot];
    const countBefore = this.endpointCount[slot];
    if (countBefore === 0) return;
    const commented = this.commented[slot] === 1;
    const written = { svc: before, commented, rules: 2 };
    if (count === 0) {
      const endpoints = Array.from({ length: countBefore }, (_, i) => this.endpointText(start + i));
      this.staleChains.add({ ...written, kind: 'SVC', endpoints, rules: this.masqueradeRules + countBefore });
    }
    if (before.nodePort !== 0 && (count === 0 || nodePort === 0)) {
      this.staleChains.add({ ...written, kind: 'EXT', endpoints: [] });
    }
    for (let i = start, k = 0; i < start + countBefore; i++) {
      const key = endpointKey(this.endpointAddress[i], this.endpointPort[i]);
      while (k < count && keys[k] < key) k++;
      if (k < count && keys[k] === key) continue;
      this.staleChains.add({ ...written, kind: 'SEP', endpoints: [this.endpointText(i)] });
    }
  }

  /** The chains of the endpoints just chosen are used, whatever they were. */
  #revive(svc: ServicePort): void {
    const { keys, count } = this.#chooser;
    if (count === 0) return;
    this.staleChains.revive(chainIdentity('SVC', svc));
    if (svc.nodePort !== 0) this.staleChains.revive(chainIdentity('EXT', svc));
    for (let i = 0; i < count; i++) {
      const endpoint = `${formatIpv4(keyAddress(keys[i]))}:${keyPort(keys[i])}`;
      this.staleChains.revive(chainIdentity('SEP', svc, endpoint));
    }
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
    this.knownCount = copyOf(this.knownCount, new Uint32Array(size));
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
