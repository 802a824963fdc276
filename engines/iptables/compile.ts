/** Compiles service ports to flat typed arrays: what both evaluators and the dump read (kube-proxy pkg/proxy/iptables/proxier.go syncProxyRules). */
import type { ClusterDelta, ClusterState, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_UDP } from '../../model/protocol.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { shuffle } from '../../sim/rng.ts';
import type { StaleFlows } from '../conntrack/stale-flows.ts';
import { endpointKey, keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import { EndpointArena } from './endpoint-arena.ts';
import { EndpointChooser } from './endpoints.ts';
import type { NodeFacts } from './node-facts.ts';
import { MARK_IN_CHAIN, isPlain } from './node-facts.ts';
import { RecentLists } from './recent-lists.ts';
import { ServiceChains } from './service-chains.ts';
import { lengthOfAddress, lengthOfPort, PlainSizes } from './restore-size.ts';
import { SlotOfId } from './slot-of-id.ts';
import { SpecialPorts } from './special-ports.ts';
import { EXTERNAL_PART, SERVICE_PART, StaleChains, chainOwner, endpointPart } from './stale-chains.ts';

/** Ids that may come out of order in a sync without all being sorted. */
const MOST_MISPLACED = 64;

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
  readonly chains: ServiceChains;
  readonly staleChains = new StaleChains();
  /** Summed over service ports: endpoints of any condition, own chains, rules in them. */
  knownEndpoints = 0;
  allOwnChains = 0;
  allOwnRules = 0;
  allSharedBytes = 0;
  allOwnBytes = 0;

  readonly #slotOf = new SlotOfId();
  /** Slots in ascending order of id, `count` of them, unless ids have come out of order since the last sync. */
  #sorted = new Uint32Array(16);
  #isSorted = true;
  #misplaced = 0;
  /** The first `count` elements of `order` and of `#sorted`. */
  #inOrder = this.order.subarray(0, 0);
  #inSorted = this.#sorted.subarray(0, 0);
  /** Service ports known. */
  count = 0;
  /** Slots not in use. */
  readonly freeSlots: number[] = [];
  /** By slot: the sync that has met it. */
  #met = new Uint32Array(16);
  #syncs = 0;
  readonly #chooser: EndpointChooser;
  readonly #staleFlows: StaleFlows;
  readonly #plainSizes: PlainSizes;
  /** By slot: 1 when its own chains and their sizes are those of its service port. */
  #isWritten = new Uint8Array(16);

  constructor(facts: NodeFacts, staleFlows: StaleFlows) {
    this.facts = facts;
    this.#staleFlows = staleFlows;
    this.#plainSizes = new PlainSizes(facts);
    this.#chooser = new EndpointChooser(facts.node);
    this.special = new SpecialPorts(facts, this.lists);
    this.chains = new ServiceChains(facts.options.evaluator === 'literal');
  }

  /** kube-proxy's large-cluster mode. */
  get isLarge(): boolean {
    return this.knownEndpoints > this.facts.options.largeClusterEndpoints;
  }

  /** Full sync. */
  replaceAll({ servicePorts }: ClusterState, stream: RandomStream): void {
    this.#syncs++;
    let known = 0;
    let previous = -1;
    let isAscending = true;
    for (const { id } of servicePorts) {
      if (id <= previous) isAscending = false;
      previous = id;
      const slot = this.#slotOf.get(id);
      if (slot < 0) continue;
      known++;
      this.#met[slot] = this.#syncs;
    }
    if (!isAscending) refuseDuplicates(servicePorts);
    if (known < this.count) this.#removeAll((slot) => this.#met[slot] !== this.#syncs);
    this.#reserveSlots(servicePorts.length);
    for (const svc of servicePorts) this.#upsert(svc);
    this.#finish(undefined, stream);
  }

  /** Sync after a change. Returns the slots that a partial one wrote, each once. */
  change(delta: ClusterDelta, isPartial: boolean, stream: RandomStream): number[] {
    this.#syncs++;
    const touched: number[] = [];
    for (const id of delta.removedIds) {
      const slot = this.#slotOf.get(id);
      if (slot < 0 || this.#met[slot] === this.#syncs) continue;
      this.#met[slot] = this.#syncs;
      touched.push(slot);
    }
    if (touched.length > 0) this.#removeAll((slot) => this.#met[slot] === this.#syncs);
    const written: number[] = [];
    this.#syncs++;
    for (const svc of delta.upserted) {
      const slot = this.#upsert(svc);
      if (this.#met[slot] === this.#syncs) continue;
      this.#met[slot] = this.#syncs;
      written.push(slot);
    }
    if (isPartial) this.#finish(written, stream, touched.length === 0 ? written : touched.concat(written));
    else this.#finish(undefined, stream);
    return written;
  }

  /** After stale chains were looked for or not: what the kernel holds is settled. `found`: they are deleted. */
  commit(found: boolean): void {
    if (found) {
      this.special.release(this.staleChains.lists());
      this.staleChains.clear();
    }
    this.lists.commit();
  }

  /** `written`: slots whose own chains are written, absent: all. `touched`: those that may differ from what they were. */
  #finish(written: readonly number[] | undefined, stream: RandomStream, touched?: readonly number[]): void {
    const commented = this.isLarge ? 0 : 1;
    if (written !== undefined) for (const slot of written) this.#write(slot, commented);
    else for (let slot = 0; slot < this.servicePorts.length; slot++) this.#write(slot, commented);
    const { count } = this;
    this.endpoints.compact(this.#sorted, count);
    this.special.compact();
    if (this.order.length < count) this.order = new Uint32Array(count * 2);
    if (this.#inOrder.length !== count || this.#inOrder.buffer !== this.order.buffer) {
      this.#inOrder = this.order.subarray(0, count);
    }
    if (this.#inSorted.length !== count || this.#inSorted.buffer !== this.#sorted.buffer) {
      this.#inSorted = this.#sorted.subarray(0, count);
    }
    if (!this.#isSorted) this.#inSorted.sort((a, b) => this.id[a] - this.id[b]);
    this.#isSorted = true;
    this.#misplaced = 0;
    this.#inOrder.set(this.#inSorted);
    shuffle(this.#inOrder, stream);
    this.chains.build(this, touched);
  }

  /** The own chains of a slot, if it is in use, as far as they differ from what was written before. */
  #write(slot: number, commented: number): void {
    const svc = this.servicePorts[slot];
    if (svc === undefined || (this.#isWritten[slot] === 1 && this.commented[slot] === commented)) return;
    this.#isWritten[slot] = 1;
    this.commented[slot] = commented;
    if (isPlain(svc, this.facts)) this.#sizePlain(slot, svc, commented === 1);
    else this.#compileSpecial(slot, svc, commented === 1);
  }

  /** Returns the slot. */
  #upsert(svc: ServicePort): number {
    const known = this.#slotOf.get(svc.id);
    const before = known < 0 ? undefined : this.servicePorts[known];
    if (before === svc && (this.staleChains.count === 0 || !this.staleChains.has(chainOwner(svc)))) {
      if (svc.protocol === PROTOCOL_UDP) this.#staleFlows.note(before, svc);
      return known;
    }
    this.#chooser.choose(svc);
    const plain = isPlain(svc, this.facts);
    const slot = known < 0 ? this.#newSlot(svc.id) : known;
    if (svc.protocol === PROTOCOL_UDP) this.#staleFlows.note(before, svc);
    let revives = true;
    if (before !== undefined) {
      if (plain && isPlain(before, this.facts) && haveOneOwner(before, svc)) {
        if (this.#staysAsItIs(slot, before, svc)) return slot;
        // None of the chains that it leaves now is one that it uses.
        revives = this.staleChains.count > 0 && this.staleChains.has(chainOwner(svc));
        this.#retireUnused(slot, before, svc.nodePort !== 0);
      } else if (before !== svc || plain) {
        this.#retire(slot, before);
      }
    }
    this.servicePorts[slot] = svc;
    this.#isWritten[slot] = 0;
    this.protocol[slot] = svc.protocol;
    this.clusterIp[slot] = svc.clusterIp | 0;
    this.port[slot] = svc.port;
    this.nodePort[slot] = svc.nodePort;
    this.#setKnown(slot);
    if (plain) this.#writePlain(slot, svc, revives);
    else this.endpoints.clear(slot);
    return slot;
  }

  /** A plain service port of the same name has the same rules as before: the new object is taken over and nothing else done. */
  #staysAsItIs(slot: number, before: ServicePort, svc: ServicePort): boolean {
    const { keys, count } = this.#chooser.used;
    const isSame =
      this.staleChains.count === 0 &&
      before.clusterIp === svc.clusterIp &&
      before.port === svc.port &&
      before.nodePort === svc.nodePort &&
      this.endpoints.holds(slot, keys, count);
    if (!isSame) return false;
    this.servicePorts[slot] = svc;
    this.#setKnown(slot);
    return true;
  }

  #setKnown(slot: number): void {
    const { known } = this.#chooser;
    this.knownEndpoints += known - this.knownCount[slot];
    this.knownCount[slot] = known;
  }

  #newSlot(id: number): number {
    const slot = this.freeSlots.pop() ?? this.servicePorts.length;
    if (slot >= this.id.length) this.#reserveSlots(slot + 1);
    this.#slotOf.set(id, slot);
    this.id[slot] = id;
    this.#sorted[this.count++] = slot;
    if (this.#isSorted) this.#moveToItsPlace(id, slot);
    return slot;
  }

  /** The last of the sorted slots may have an id that is not the largest. Few such are moved, and many left for `#finish` to sort. */
  #moveToItsPlace(id: number, slot: number): void {
    const sorted = this.#sorted;
    const last = this.count - 1;
    if (last === 0 || this.id[sorted[last - 1]] < id) return;
    if (++this.#misplaced > MOST_MISPLACED) {
      this.#isSorted = false;
      return;
    }
    let low = 0;
    let high = last;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.id[sorted[middle]] < id) low = middle + 1;
      else high = middle;
    }
    sorted.copyWithin(low + 1, low, last);
    sorted[low] = slot;
  }

  #writePlain(slot: number, svc: ServicePort, revives: boolean): void {
    const { keys, count } = this.#chooser.used;
    this.endpoints.write(slot, keys, count);
    const external = svc.nodePort === 0 || count === 0 ? 0 : 1;
    const mark = this.facts.clusterIpMark === MARK_IN_CHAIN ? 1 : 0;
    this.#setOwn(slot, count === 0 ? 0 : 1 + external + count, count === 0 ? 0 : mark + 3 * count + 2 * external);
    if (count > 0 && revives && this.staleChains.count > 0) this.#revive(svc);
  }

  #compileSpecial(slot: number, svc: ServicePort, commented: boolean): void {
    const before = this.special.get(slot);
    if (before !== undefined && before.svc === svc && before.commented === commented) return;
    const { chains, ownRules, size } = this.special.compile(slot, svc, commented);
    this.#setOwn(slot, chains.length, ownRules);
    this.#setBytes(slot, size.shared, size.own);
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
    const { shared, own } = this.#plainSizes.size(svc, commented, count[slot], addresses, ports);
    this.#setBytes(slot, shared, own);
  }

  #setBytes(slot: number, shared: number, own: number): void {
    this.allSharedBytes += shared - this.sharedBytes[slot];
    this.allOwnBytes += own - this.ownBytes[slot];
    this.sharedBytes[slot] = shared;
    this.ownBytes[slot] = own;
  }

  /** Takes the service ports of these slots out, in ascending order of id. */
  #removeAll(isGone: (slot: number) => boolean): void {
    const sorted = this.#sorted;
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      const slot = sorted[i];
      if (isGone(slot)) this.#remove(slot);
      else sorted[kept++] = slot;
    }
    this.count = kept;
  }

  #remove(slot: number): void {
    const svc = this.servicePorts[slot] as ServicePort;
    this.#staleFlows.note(svc, undefined);
    this.#retire(slot, svc);
    this.#slotOf.delete(this.id[slot]);
    this.servicePorts[slot] = undefined;
    this.freeSlots.push(slot);
    this.knownEndpoints -= this.knownCount[slot];
    this.knownCount[slot] = 0;
    this.endpoints.clear(slot);
    this.#setOwn(slot, 0, 0);
    this.#setBytes(slot, 0, 0);
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
    const commented = this.commented[slot] === 1;
    const external = svc.nodePort === 0 ? 0 : 1;
    if (count === 0) {
      const rules = this.ownRules[slot] - 2 * countBefore - 2 * external;
      this.staleChains.addPlain(svc, commented, rules, SERVICE_PART);
    }
    if (external === 1 && (count === 0 || !hasNodePort)) this.staleChains.addPlain(svc, commented, 2, EXTERNAL_PART);
    for (let i = first, k = 0; i < first + countBefore; i++) {
      const key = endpointKey(address[i], port[i]);
      while (k < count && keys[k] < key) k++;
      if (k < count && keys[k] === key) continue;
      this.staleChains.addPlain(svc, commented, 2, endpointPart(address[i], port[i]));
    }
  }

  /** The chains of the endpoints just chosen are used, whatever they were. */
  #revive(svc: ServicePort): void {
    const owner = chainOwner(svc);
    if (!this.staleChains.has(owner)) return;
    const { keys, count } = this.#chooser.used;
    this.#revivePlain(owner, svc, SERVICE_PART);
    if (svc.nodePort !== 0) this.#revivePlain(owner, svc, EXTERNAL_PART);
    for (let i = 0; i < count; i++) this.#revivePlain(owner, svc, endpointPart(keyAddress(keys[i]), keyPort(keys[i])));
  }

  #revivePlain(owner: string, svc: ServicePort, part: number): void {
    const chain = this.staleChains.revivePlain(owner, svc, part);
    if (chain !== undefined) this.special.release(chain.lists);
  }

  #reviveChain(owner: string, name: string): void {
    const chain = this.staleChains.revive(owner, name);
    if (chain !== undefined) this.special.release(chain.lists);
  }

  #reserveSlots(needed: number): void {
    if (needed <= this.id.length) return;
    const size = Math.max(needed, this.id.length * 2);
    this.id = copyOf(this.id, new Int32Array(size));
    this.#sorted = copyOf(this.#sorted, new Uint32Array(size));
    this.#met = copyOf(this.#met, new Uint32Array(size));
    this.#isWritten = copyOf(this.#isWritten, new Uint8Array(size));
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

function haveOneOwner(a: ServicePort, b: ServicePort): boolean {
  const isEqual = a.name === b.name && a.namespace === b.namespace && a.portName === b.portName && a.protocol === b.protocol; // prettier-ignore
  return isEqual || chainOwner(a) === chainOwner(b);
}

function refuseDuplicates(servicePorts: readonly ServicePort[]): void {
  const ids = new Set<number>();
  for (const { id } of servicePorts) {
    if (ids.has(id)) throw new Error(`Two service ports have the id ${id}`);
    ids.add(id);
  }
}
