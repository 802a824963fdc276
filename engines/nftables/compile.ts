/** Compiles service ports to typed arrays and counts what kube-proxy sends for it (kube-proxy pkg/proxy/nftables/proxier.go syncProxyRules). */
import type { Cidr } from '../../model/address.ts';
import { cidrContains } from '../../model/address.ts';
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS, servicePortName } from '../../model/cluster.ts';
import { protocolName } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import { endpointKey, keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import type { KeyList } from '../proxy/plain-endpoints.ts';
import { externallyAccessible } from '../proxy/topology.ts';
import { AffinitySets } from './affinity-sets.ts';
import {
  AFFINITY,
  EXTERNAL_LOCAL,
  HAS_ANY,
  HAS_EXTERNAL,
  HAS_INTERNAL,
  INTERNAL_LOCAL,
  ServiceElements,
  USES_EXTERNAL,
  USES_FIREWALL,
} from './elements.ts';
import { EndpointLists } from './endpoints.ts';
import type { NodeFacts } from './node-facts.ts';
import { DETECT_NOTHING, blockPairs, masqueradesClusterIps } from './node-facts.ts';
import { ServiceNames } from './service-names.ts';
import { ServiceSlots } from './service-slots.ts';
import type { ChainKind } from './stale-chains.ts';
import { StaleChains } from './stale-chains.ts';

/**
 * A slot belongs to a name (namespace, name, port name, protocol), as chains and affinity sets do: a service port that takes over the
 * name of one that leaves in the same sync finds its chains and sets there. Freed slots are used again by later syncs only.
 */
export class ServiceTable {
  readonly slots = new ServiceSlots();
  readonly elements = new ServiceElements();
  readonly affinity = new AffinitySets();
  readonly staleChains = new StaleChains();
  /** Rules in all chains of service ports. */
  rules = 0;

  readonly #facts: NodeFacts;
  readonly #nodeAddress: number;
  readonly #lists: EndpointLists;
  readonly #names = new ServiceNames();
  readonly #slotOf = new Map<number, number>();
  /** Per slot; undefined where the slot is not in use. */
  readonly #servicePorts: (ServicePort | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  /** Slots whose service port left in this sync. */
  readonly #departed = new Set<number>();
  /** Endpoints that the slot had before it was rewritten, and their sets. */
  readonly #old = { keys: new Float64Array(64), sets: new Int32Array(64), count: 0 };
  /** Sets of `#lists.reachable`. */
  #newSets = new Int32Array(64);
  #deletedSets = 0;

  constructor(node: NodeSpec, facts: NodeFacts) {
    this.#facts = facts;
    this.#nodeAddress = node.addresses[0];
    this.#lists = new EndpointLists(node);
  }

  /** Service ports known. */
  get count(): number {
    return this.#slotOf.size;
  }

  /** In no particular order. */
  ids(): Iterable<number> {
    return this.#slotOf.keys();
  }

  servicePort(id: number): ServicePort | undefined {
    const slot = this.#slotOf.get(id);
    return slot === undefined ? undefined : this.#servicePorts[slot];
  }

  /**
   * Takes a sync over: `upserted` has each id once. Returns the operations of the main transaction, the fixed part and the flushing
   * of stale chains not among them. A full sync writes every service port; another one those of the Services that changed.
   */
  change(upserted: readonly ServicePort[], removedIds: Iterable<number>, full: boolean): number {
    const changed = new Set<string>();
    this.elements.begin();
    this.#deletedSets = 0;
    for (const id of removedIds) this.#depart(id, changed);
    for (const svc of upserted) {
      const slot = this.#slotOf.get(svc.id);
      if (slot !== undefined && identityOf(svc) !== this.#names.identity(slot)) this.#depart(svc.id, changed);
    }
    for (const svc of upserted) {
      this.#write(this.#attach(svc), svc);
      changed.add(serviceOf(svc));
    }
    this.#release();
    let operations = this.elements.finish((slot) => this.#names.comment(slot)) + this.#deletedSets;
    if (full) for (const slot of this.#slotOf.values()) operations += this.slots.operations[slot];
    else for (const name of changed) operations += this.#operationsOf(name);
    return operations;
  }

  #operationsOf(service: string): number {
    let operations = 0;
    for (const slot of this.#names.slotsOf(service)) operations += this.slots.operations[slot];
    return operations;
  }

  /** The service port leaves its name; whether another one takes it over shows later in the sync. */
  #depart(id: number, changed: Set<string>): void {
    const slot = this.#slotOf.get(id);
    if (slot === undefined) return;
    const svc = this.#servicePorts[slot] as ServicePort;
    this.elements.release(svc, slot, this.slots.flags[slot]);
    this.#slotOf.delete(id);
    this.#departed.add(slot);
    changed.add(serviceOf(svc));
  }

  /** The slot of the service port's name, with no elements claimed. */
  #attach(svc: ServicePort): number {
    const identity = identityOf(svc);
    let slot = this.#names.slot(identity);
    if (slot === undefined) {
      slot = this.#freeSlots.pop() ?? this.#servicePorts.length;
      this.slots.reserve(slot + 1);
      this.#names.add(slot, identity, serviceOf(svc), servicePortName(svc));
    } else if (!this.#departed.delete(slot)) {
      if (this.#slotOf.get(svc.id) !== slot) throw new Error(`Two service ports have the name "${identity}"`);
      this.elements.release(this.#servicePorts[slot] as ServicePort, slot, this.slots.flags[slot]);
    }
    this.#slotOf.set(svc.id, slot);
    this.slots.id[slot] = svc.id;
    return slot;
  }

  #write(slot: number, svc: ServicePort): void {
    const { slots } = this;
    const before = this.#servicePorts[slot];
    const lists = this.#lists;
    lists.choose(svc);
    const flags = flagsOf(svc, lists);
    if (before !== undefined) this.#retireChains(slot, before, flags);
    if (this.staleChains.count > 0) this.#reviveChains(slot, flags);
    this.#readOld(slot);
    this.#matchSets(slot, before, (svc.extras?.affinitySeconds ?? 0) * NS_PER_S);
    slots.resize(slot, lists.cluster.count, lists.local.count);
    this.#writeList(slots.start[slot], lists.cluster);
    this.#writeList(slots.start[slot] + lists.cluster.count, lists.local);
    slots.clusterIp[slot] = svc.clusterIp | 0;
    slots.port[slot] = svc.port;
    slots.flags[slot] = flags;
    slots.entryRule[slot] = (flags & HAS_INTERNAL) !== 0 && masqueradesClusterIps(this.#facts) ? 1 : 0;
    slots.allowedSources[slot] = (flags & USES_FIREWALL) === 0 ? undefined : this.#allowedSources(svc);
    this.#countRules(slot, flags);
    this.elements.claim(svc, slot, flags);
    this.#servicePorts[slot] = svc;
  }

  /** Rules of the chains, and the operations that write them: a chain is added and flushed, a set is added. */
  #countRules(slot: number, flags: number): void {
    const { cluster, local, reachable } = this.#lists;
    const affinity = (flags & AFFINITY) === 0 ? 0 : 1;
    let chains = reachable.count;
    let rules = this.slots.entryRule[slot] + reachable.count * (2 + affinity);
    for (const { count } of [cluster, local]) {
      if (count === 0) continue;
      chains++;
      rules += 1 + affinity * count;
    }
    if ((flags & USES_EXTERNAL) !== 0) {
      chains++;
      const shortCircuits = this.#facts.detector === DETECT_NOTHING ? 2 : 3;
      rules += ((flags & EXTERNAL_LOCAL) === 0 ? 1 : shortCircuits) + ((flags & HAS_EXTERNAL) === 0 ? 0 : 1);
    }
    if ((flags & USES_FIREWALL) !== 0) {
      chains++;
      rules++;
    }
    this.rules += rules - this.slots.rules[slot];
    this.slots.rules[slot] = rules;
    this.slots.operations[slot] = 2 * chains + rules + affinity * reachable.count;
  }

  /** A node that may reach the load balancer sends to itself from the VIP where the VIP is one of its addresses. */
  #allowedSources(svc: ServicePort): Int32Array {
    const { loadBalancerSourceRanges: ranges, loadBalancerVips } = svc.extras ?? NO_SERVICE_EXTRAS;
    const nodeAllowed = ranges.some((range) => cidrContains(range, this.#nodeAddress));
    const vips: Cidr[] = loadBalancerVips.map((address) => ({ address, mask: 0xffffffff, prefixLength: 32 }));
    return blockPairs(nodeAllowed ? [...ranges, ...vips] : ranges);
  }

  /** The chains, other than endpoints', that the slot used and that it does not use with these flags and lists. */
  #retireChains(slot: number, before: ServicePort, flags: number): void {
    const identity = this.#names.identity(slot);
    const now = this.#lists;
    const used = chainsOf(this.slots.flags[slot], this.slots.clusterCount[slot], this.slots.localCount[slot]);
    const uses = chainsOf(flags, now.cluster.count, now.local.count);
    for (const kind of used) {
      if (!uses.includes(kind)) this.staleChains.add(identity, { kind, svc: before, endpoint: 0 });
    }
  }

  #reviveChains(slot: number, flags: number): void {
    const identity = this.#names.identity(slot);
    const { cluster, local, reachable } = this.#lists;
    for (const kind of chainsOf(flags, cluster.count, local.count)) this.staleChains.revive(identity, kind);
    for (let i = 0; i < reachable.count; i++) this.staleChains.revive(identity, 'endpoint', reachable.keys[i]);
  }

  /** Reads the slot's reachable endpoints into #old, sorted: both lists merged, what they share once. */
  #readOld(slot: number): void {
    const { slots } = this;
    const old = this.#old;
    const start = slots.start[slot];
    const middle = start + slots.clusterCount[slot];
    const end = middle + slots.localCount[slot];
    if (end - start > old.keys.length) {
      old.keys = new Float64Array((end - start) * 2);
      old.sets = new Int32Array((end - start) * 2);
    }
    old.count = 0;
    let c = start;
    let l = middle;
    while (c < middle || l < end) {
      const clusterKey = c < middle ? this.#keyAt(c) : Infinity;
      const localKey = l < end ? this.#keyAt(l) : Infinity;
      const key = clusterKey < localKey ? clusterKey : localKey;
      old.sets[old.count] = slots.affinitySet[key === clusterKey ? c : l];
      old.keys[old.count++] = key;
      if (key === clusterKey) c++;
      if (key === localKey) l++;
    }
  }

  #keyAt(at: number): number {
    return endpointKey(this.slots.endpointAddress[at], this.slots.endpointPort[at]);
  }

  /** A set whose endpoint stays keeps what it remembers. Endpoints that are gone leave a stale chain. */
  #matchSets(slot: number, before: ServicePort | undefined, timeoutNs: number): void {
    const { keys, count } = this.#lists.reachable;
    const old = this.#old;
    if (count > this.#newSets.length) this.#newSets = new Int32Array(count * 2);
    let o = 0;
    for (let i = 0; i <= count; i++) {
      const key = i < count ? keys[i] : Infinity;
      for (; o < old.count && old.keys[o] < key; o++) this.#retireEndpoint(slot, before, o);
      if (i === count) break;
      let set = -1;
      if (o < old.count && old.keys[o] === key) set = old.sets[o++];
      if (timeoutNs === 0) {
        if (set >= 0) this.#deleteSet(set);
        set = -1;
      } else if (set < 0) set = this.affinity.create(timeoutNs);
      else this.affinity.setTimeoutNs(set, timeoutNs);
      this.#newSets[i] = set;
    }
  }

  #retireEndpoint(slot: number, before: ServicePort | undefined, o: number): void {
    const { keys, sets } = this.#old;
    if (before !== undefined) {
      this.staleChains.add(this.#names.identity(slot), { kind: 'endpoint', svc: before, endpoint: keys[o] });
    }
    if (sets[o] >= 0) this.#deleteSet(sets[o]);
  }

  #deleteSet(set: number): void {
    this.affinity.delete(set);
    this.#deletedSets++;
  }

  /** Writes a list, a part of the reachable endpoints in the same order, to the arena. */
  #writeList(start: number, list: KeyList): void {
    const { slots } = this;
    const all = this.#lists.reachable.keys;
    for (let i = 0, r = 0; i < list.count; i++, r++) {
      const key = list.keys[i];
      while (all[r] !== key) r++;
      slots.endpointAddress[start + i] = keyAddress(key) | 0;
      slots.endpointPort[start + i] = keyPort(key);
      slots.affinitySet[start + i] = this.#newSets[r];
    }
  }

  /** Frees the slots whose names nobody took over. */
  #release(): void {
    for (const slot of this.#departed) {
      const svc = this.#servicePorts[slot] as ServicePort;
      const { flags, clusterCount, localCount } = this.slots;
      const identity = this.#names.identity(slot);
      for (const kind of chainsOf(flags[slot], clusterCount[slot], localCount[slot])) {
        this.staleChains.add(identity, { kind, svc, endpoint: 0 });
      }
      this.#readOld(slot);
      for (let o = 0; o < this.#old.count; o++) this.#retireEndpoint(slot, svc, o);
      this.rules -= this.slots.rules[slot];
      this.slots.clear(slot);
      this.#names.remove(slot);
      this.#servicePorts[slot] = undefined;
      this.#freeSlots.push(slot);
    }
    this.#departed.clear();
    this.slots.compact(this.#slotOf.values());
  }
}

function flagsOf(svc: ServicePort, lists: EndpointLists): number {
  const extras = svc.extras ?? NO_SERVICE_EXTRAS;
  const noneLocal = lists.local.count === 0;
  let flags = 0;
  if (extras.externalPolicyLocal) flags |= EXTERNAL_LOCAL;
  if (extras.internalPolicyLocal) flags |= INTERNAL_LOCAL;
  if (extras.affinitySeconds > 0) flags |= AFFINITY;
  // Whether or not there are endpoints.
  if (extras.loadBalancerVips.length > 0 && extras.loadBalancerSourceRanges.length > 0) flags |= USES_FIREWALL;
  if (!lists.hasAny) return flags;
  flags |= HAS_ANY;
  if (!(extras.internalPolicyLocal && noneLocal)) flags |= HAS_INTERNAL;
  if (!(extras.externalPolicyLocal && noneLocal)) flags |= HAS_EXTERNAL;
  // Also without endpoints for outside traffic: the short circuits for pods and for this node are in it.
  if (externallyAccessible({ ...extras, nodePort: svc.nodePort })) flags |= USES_EXTERNAL;
  return flags;
}

function chainsOf(flags: number, clusterCount: number, localCount: number): ChainKind[] {
  const kinds: ChainKind[] = [];
  if (clusterCount > 0) kinds.push('cluster');
  if (localCount > 0) kinds.push('local');
  if ((flags & USES_EXTERNAL) !== 0) kinds.push('external');
  if ((flags & USES_FIREWALL) !== 0) kinds.push('firewall');
  return kinds;
}

function identityOf(svc: ServicePort): string {
  return `${svc.namespace}/${svc.name}/${protocolName(svc.protocol)}/${svc.portName}`;
}

/** kube-proxy tells changes by Service: all ports of one that changed are written. */
function serviceOf(svc: ServicePort): string {
  return `${svc.namespace}/${svc.name}`;
}
