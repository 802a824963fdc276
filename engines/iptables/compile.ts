/** Compiles service ports to flat typed arrays: what both evaluators and the dump read (kube-proxy pkg/proxy/iptables/proxier.go syncProxyRules). */
import type { ClusterDelta, ClusterState, ServicePort } from '../../model/cluster.ts';
import { servicePortName } from '../../model/cluster.ts';
import { protocolName } from '../../model/protocol.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { shuffle } from '../../sim/rng.ts';
import type { StaleFlows } from '../conntrack/stale-flows.ts';
import { endpointKey, keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import { EndpointArena } from './endpoint-arena.ts';
import { EndpointChooser } from './endpoints.ts';
import { endpointChainName, endpointText, externalChainName, serviceChainName } from './names.ts';
import type { NodeFacts } from './node-facts.ts';
import { MARK_IN_CHAIN, isPlain } from './node-facts.ts';
import { RecentLists } from './recent-lists.ts';
import { ServiceChains } from './service-chains.ts';
import { lengthOfAddress, lengthOfPort, PlainSizes } from './restore-size.ts';
import type { RestoreSize } from './restore-size.ts';
import { SpecialPorts } from './special-ports.ts';
import { StaleChains, chainOwner } from './stale-chains.ts';

const NO_LISTS: readonly number[] = [];

/**
 * Service ports in slots, and the chains that grow with services in the order of the last sync. A slot keeps its own chains until its
 * service port is upserted or removed, as a partial sync leaves them alone; the order and the shared chains are made anew at every
 * sync. A plain service port has its endpoints in the arena, any other has its rules as words.
 */
export class ServiceTable {
  readonly facts: NodeFacts;
  /** Per slot. `undefined` where the slot is not in use. */
  readonly servicePorts: (ServicePort | undefined)[] = [];
  id = new Int32Array(16);
  protocol = new Uint8Array(16);
  clusterIp = new Int32Array(16);
  port = new Uint16Array(16);
  nodePort = new Uint16Array(16);
  /** Endpoints of any condition. */
  knownCount = new Uint32Array(16);
  /** 1 when the endpoint rules carry comments: those of the sync that wrote them. */
  commented = new Uint8Array(16);
  /** The service port's own chains, and rules in them. */
  ownChains = new Uint32Array(16);
  ownRules = new Uint32Array(16);
  /** Bytes of restore input as of the sync that wrote it: of its rules in shared chains, and of its own chains. */
  sharedBytes = new Uint32Array(16);
  ownBytes = new Uint32Array(16);
  /** Usable endpoints of plain service ports; a special one has none here. */
  readonly endpoints = new EndpointArena();
  readonly special: SpecialPorts;
  readonly lists = new RecentLists();
  /** Slots in service order, `count` of them. */
  order = new Uint32Array(16);
  readonly chains = new ServiceChains();
  readonly staleChains = new StaleChains();
  /** Summed over service ports: endpoints of any condition, own chains, rules in them. */
  knownEndpoints = 0;
  allOwnChains = 0;
  allOwnRules = 0;
  allSharedBytes = 0;
  allOwnBytes = 0;

  readonly #slotOf = new Map<number, number>();
  /** Ids in ascending order. */
  readonly #ids: number[] = [];
  /** Slots not in use. */
  readonly freeSlots: number[] = [];
  readonly #chooser: EndpointChooser;
  readonly #staleFlows: StaleFlows;
  readonly #plainSizes: PlainSizes;

  constructor(facts: NodeFacts, staleFlows: StaleFlows) {
    this.facts = facts;
    this.#staleFlows = staleFlows;
    this.#plainSizes = new PlainSizes(facts);
    this.#chooser = new EndpointChooser(facts.node);
    this.special = new SpecialPorts(facts, this.lists);
  }

  /** Service ports known. */
  get count(): number {
    return this.#ids.length;
  }

  /** kube-proxy's large-cluster mode. */
  get isLarge(): boolean {
    return this.knownEndpoints > this.facts.options.largeClusterEndpoints;
  }

  /** Full sync. */
  replaceAll(state: ClusterState, stream: RandomStream): void {
    const wanted = new Set<number>();
    for (const svc of state.servicePorts) {
      if (wanted.has(svc.id)) throw new Error(`Two service ports have the id ${svc.id}`);
      wanted.add(svc.id);
    }
    this.#removeIf((id) => !wanted.has(id));
    this.#reserveSlots(state.servicePorts.length);
    for (const svc of state.servicePorts) this.#upsert(svc);
    this.#finish([...this.#slotOf.values()], stream);
  }

  /** Sync after a change. Returns the slots written, each once; all of them where `isPartial` does not hold. */
  change(delta: ClusterDelta, isPartial: boolean, stream: RandomStream): number[] {
    if (delta.removedIds.length > 0) {
      const removed = new Set(delta.removedIds);
      this.#removeIf((id) => removed.has(id));
    }
    for (const svc of delta.upserted) this.#upsert(svc);
    const upserted = new Set(delta.upserted.map((svc) => this.#slotOf.get(svc.id) as number));
    const written = isPartial ? [...upserted] : [...this.#slotOf.values()];
    this.#finish(written, stream);
    return written;
  }

  /** After stale chains were looked for or not: what the kernel holds is settled. `found`: they are deleted. */
  commit(found: boolean): void {
    if (found) {
      for (const chain of this.staleChains.all()) this.special.release(chain);
      this.staleChains.clear();
    }
    this.lists.commit();
  }

  #finish(written: readonly number[], stream: RandomStream): void {
    const commented = this.isLarge ? 0 : 1;
    for (const slot of written) {
      this.commented[slot] = commented;
      const svc = this.servicePorts[slot] as ServicePort;
      if (isPlain(svc, this.facts)) this.#sizePlain(slot, svc, commented === 1);
      else this.#compileSpecial(slot, svc, commented === 1);
    }
    // Sorting what is nearly sorted costs one pass.
    this.#ids.sort((a, b) => a - b);
    this.endpoints.compact(this.#slotOf.values());
    this.special.compact();
    const count = this.#ids.length;
    if (this.order.length < count) this.order = new Uint32Array(count * 2);
    const order = this.order.subarray(0, count);
    for (let i = 0; i < count; i++) order[i] = this.#slotOf.get(this.#ids[i]) as number;
    shuffle(order, stream);
    this.chains.build(this);
  }

  #upsert(svc: ServicePort): void {
    let slot = this.#slotOf.get(svc.id);
    this.#chooser.choose(svc);
    const plain = isPlain(svc, this.facts);
    if (slot === undefined) {
      slot = this.freeSlots.pop() ?? this.servicePorts.length;
      if (slot >= this.id.length) this.#reserveSlots(slot + 1);
      this.#slotOf.set(svc.id, slot);
      this.#ids.push(svc.id);
      this.id[slot] = svc.id;
      this.#staleFlows.note(undefined, svc);
    } else {
      const before = this.servicePorts[slot] as ServicePort;
      this.#staleFlows.note(before, svc);
      if (plain && isPlain(before, this.facts) && chainOwner(before) === chainOwner(svc)) {
        this.#retireUnused(slot, before, svc.nodePort !== 0);
      } else if (before !== svc || plain) {
        this.#retire(slot, before);
      }
    }
    this.servicePorts[slot] = svc;
    this.protocol[slot] = svc.protocol;
    this.clusterIp[slot] = svc.clusterIp | 0;
    this.port[slot] = svc.port;
    this.nodePort[slot] = svc.nodePort;
    this.knownEndpoints += this.#chooser.known - this.knownCount[slot];
    this.knownCount[slot] = this.#chooser.known;
    if (plain) this.#writePlain(slot, svc);
    else this.endpoints.clear(slot);
  }

  #writePlain(slot: number, svc: ServicePort): void {
    const { keys, count } = this.#chooser.used;
    this.endpoints.write(slot, keys, count);
    const external = svc.nodePort === 0 || count === 0 ? 0 : 1;
    const mark = this.facts.clusterIpMark === MARK_IN_CHAIN ? 1 : 0;
    this.#setOwn(slot, count === 0 ? 0 : 1 + external + count, count === 0 ? 0 : mark + 3 * count + 2 * external);
    if (count > 0 && this.staleChains.count > 0) this.#revive(svc);
  }

  #compileSpecial(slot: number, svc: ServicePort, commented: boolean): void {
    const before = this.special.get(slot);
    if (before !== undefined && before.svc === svc && before.commented === commented) return;
    const { chains, ownRules, size } = this.special.compile(slot, svc, commented);
    this.#setOwn(slot, chains.length, ownRules);
    this.#setBytes(slot, size);
    const owner = chainOwner(svc);
    if (!this.staleChains.has(owner)) return;
    for (const { name } of chains) this.#reviveChain(owner, name);
  }

  #setOwn(slot: number, chains: number, rules: number): void {
    this.allOwnChains += chains - this.ownChains[slot];
    this.allOwnRules += rules - this.ownRules[slot];
    this.ownChains[slot] = chains;
    this.ownRules[slot] = rules;
  }

  #sizePlain(slot: number, svc: ServicePort, commented: boolean): void {
    const { address, port, start, count } = this.endpoints;
    const end = start[slot] + count[slot];
    let addresses = 0;
    let ports = 0;
    for (let i = start[slot]; i < end; i++) {
      addresses += lengthOfAddress(address[i]);
      ports += lengthOfPort(port[i]);
    }
    this.#setBytes(slot, this.#plainSizes.size(svc, commented, count[slot], addresses, ports));
  }

  #setBytes(slot: number, { shared, own }: RestoreSize): void {
    this.allSharedBytes += shared - this.sharedBytes[slot];
    this.allOwnBytes += own - this.ownBytes[slot];
    this.sharedBytes[slot] = shared;
    this.ownBytes[slot] = own;
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
      const svc = this.servicePorts[slot] as ServicePort;
      this.#staleFlows.note(svc, undefined);
      this.#retire(slot, svc);
      this.#slotOf.delete(id);
      this.servicePorts[slot] = undefined;
      this.freeSlots.push(slot);
      this.knownEndpoints -= this.knownCount[slot];
      this.knownCount[slot] = 0;
      this.endpoints.clear(slot);
      this.#setOwn(slot, 0, 0);
      this.#setBytes(slot, { shared: 0, own: 0 });
    }
    ids.length = kept;
  }

  /** None of the slot's chains is used as it is; those that the next service port has are revived when it is written. */
  #retire(slot: number, svc: ServicePort): void {
    const special = this.special.take(slot);
    if (special === undefined) {
      this.#retirePlain(slot, svc, 0, false);
      return;
    }
    const { commented } = special;
    for (const { name, rules, lists } of special.chains) this.staleChains.add({ name, rules, lists, commented, svc: special.svc }); // prettier-ignore
  }

  /** Of a plain service port that stays one: its chains that the endpoints just chosen do not use. */
  #retireUnused(slot: number, before: ServicePort, hasNodePort: boolean): void {
    this.#retirePlain(slot, before, this.#chooser.used.count, hasNodePort);
  }

  /** The chains that are not used with the first `count` keys chosen. */
  #retirePlain(slot: number, svc: ServicePort, count: number, hasNodePort: boolean): void {
    const { keys } = this.#chooser.used;
    const { address, port, start, count: counts } = this.endpoints;
    const first = start[slot];
    const countBefore = counts[slot];
    if (countBefore === 0) return;
    const name = servicePortName(svc);
    const protocol = protocolName(svc.protocol);
    const written = { svc, commented: this.commented[slot] === 1, rules: 2, lists: NO_LISTS };
    const external = svc.nodePort === 0 ? 0 : 1;
    if (count === 0) {
      const rules = this.ownRules[slot] - 2 * countBefore - 2 * external;
      this.staleChains.add({ ...written, name: serviceChainName(name, protocol), rules });
    }
    if (external === 1 && (count === 0 || !hasNodePort)) {
      this.staleChains.add({ ...written, name: externalChainName(name, protocol) });
    }
    for (let i = first, k = 0; i < first + countBefore; i++) {
      const key = endpointKey(address[i], port[i]);
      while (k < count && keys[k] < key) k++;
      if (k < count && keys[k] === key) continue;
      this.staleChains.add({ ...written, name: endpointChainName(name, protocol, this.endpoints.text(i)) });
    }
  }

  /** The chains of the endpoints just chosen are used, whatever they were. */
  #revive(svc: ServicePort): void {
    const owner = chainOwner(svc);
    if (!this.staleChains.has(owner)) return;
    const { keys, count } = this.#chooser.used;
    const name = servicePortName(svc);
    const protocol = protocolName(svc.protocol);
    this.#reviveChain(owner, serviceChainName(name, protocol));
    if (svc.nodePort !== 0) this.#reviveChain(owner, externalChainName(name, protocol));
    for (let i = 0; i < count; i++) {
      const text = endpointText(keyAddress(keys[i]), keyPort(keys[i]));
      this.#reviveChain(owner, endpointChainName(name, protocol, text));
    }
  }

  #reviveChain(owner: string, name: string): void {
    const chain = this.staleChains.revive(owner, name);
    if (chain !== undefined) this.special.release(chain);
  }

  #reserveSlots(needed: number): void {
    if (needed <= this.id.length) return;
    const size = Math.max(needed, this.id.length * 2);
    this.id = copyOf(this.id, new Int32Array(size));
    this.protocol = copyOf(this.protocol, new Uint8Array(size));
    this.clusterIp = copyOf(this.clusterIp, new Int32Array(size));
    this.port = copyOf(this.port, new Uint16Array(size));
    this.nodePort = copyOf(this.nodePort, new Uint16Array(size));
    this.knownCount = copyOf(this.knownCount, new Uint32Array(size));
    this.commented = copyOf(this.commented, new Uint8Array(size));
    this.ownChains = copyOf(this.ownChains, new Uint32Array(size));
    this.ownRules = copyOf(this.ownRules, new Uint32Array(size));
    this.sharedBytes = copyOf(this.sharedBytes, new Uint32Array(size));
    this.ownBytes = copyOf(this.ownBytes, new Uint32Array(size));
    this.endpoints.reserveSlots(size);
    this.special.reserveSlots(size);
  }
}

function copyOf<T extends Int32Array | Uint32Array | Uint16Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
