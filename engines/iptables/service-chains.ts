/** The chains that all service ports share, in service order, as indexes: what a walk through one of them would meet. */
import { ChainIndex } from './chain-index.ts';
import type { ServiceTable } from './compile.ts';
import { MARK_IN_DISPATCH } from './node-facts.ts';
import { W_BYTES, W_DPORT, W_DST, W_DST_MASK, W_PROTOCOL, RULE_STRIDE } from './rule-words.ts';
import { EXTERNAL_BYTES, SERVICE_BYTES } from './sizes.ts';
import {
  EXTERNAL_SERVICES,
  FILTER_SERVICES,
  HEALTH_PORTS,
  NAT_NODE_PORTS,
  NAT_SERVICES,
  PROXY_FIREWALL,
} from './special-ports.ts';

/** Rules that a plain service port has in the shared chains: one for its cluster IP and one for its node port, and with endpoints they are jumps. */
const HAS_RULE = 1;
const HAS_NODE_PORT = 2;
const HAS_ENDPOINTS = 4;

/**
 * The value of an indexed rule is the slot of a plain service port, or ~r for rule r of the table's special service ports. nat
 * KUBE-SERVICES is without its last rules.
 *
 * While all service ports are plain, as nearly all are, the indexes stay from sync to sync and a sync writes the new order alone.
 */
export class ServiceChains {
  readonly services = new ChainIndex(SERVICE_BYTES);
  readonly nodePorts = new ChainIndex(SERVICE_BYTES);
  readonly rejects = new ChainIndex(SERVICE_BYTES);
  readonly externalRejects = new ChainIndex(EXTERNAL_BYTES);
  readonly firewall = new ChainIndex(SERVICE_BYTES);
  readonly healthPorts = new ChainIndex(SERVICE_BYTES);
  /** By number of special-ports.ts. */
  readonly #all: ChainIndex[] = [];
  /** The literal evaluator wants the lengths alone. */
  readonly #isCounted: boolean;
  /** By slot, as it was when the chains were last built: HAS_* bits, cluster IP, protocol << 16 | port, node port. */
  #shape = new Uint8Array(0);
  #address = new Int32Array(0);
  #port = new Int32Array(0);
  #nodePort = new Uint16Array(0);
  /** Plain service ports by shape. */
  readonly #shapes = new Int32Array(8);
  /** By slot: place of its rule for the cluster IP, and for the node port. */
  #places = new Int32Array(0);
  #portPlaces = new Int32Array(0);
  /** The indexes hold the plain service ports as `#shape` says. */
  #isIndexed = false;
  readonly #moved: number[] = [];

  constructor(isCounted: boolean) {
    this.#isCounted = isCounted;
    this.#all[NAT_SERVICES] = this.services;
    this.#all[NAT_NODE_PORTS] = this.nodePorts;
    this.#all[FILTER_SERVICES] = this.rejects;
    this.#all[EXTERNAL_SERVICES] = this.externalRejects;
    this.#all[PROXY_FIREWALL] = this.firewall;
    this.#all[HEALTH_PORTS] = this.healthPorts;
  }

  /** After a sync: from the table and its order. `touched`: the slots that may differ from those at the sync before; absent: any. */
  build(table: ServiceTable, touched?: readonly number[]): void {
    this.#reserve(table.id.length);
    const { hasShared: hasSpecial } = table.special;
    if (hasSpecial || this.#isCounted) this.#isIndexed = false;
    this.#moved.length = 0;
    if (touched !== undefined) for (const slot of touched) this.#touch(table, slot);
    else for (let slot = 0; slot < table.servicePorts.length; slot++) this.#touch(table, slot);
    const isMarked = table.facts.clusterIpMark === MARK_IN_DISPATCH;
    if (this.#isCounted) this.#count(isMarked, table.special.sharedTotals);
    else if (hasSpecial || !this.#index(table)) this.#append(table, isMarked);
    else {
      this.#count(isMarked, table.special.sharedTotals);
      this.#place(table, isMarked ? 2 : 1);
    }
  }

  /** Takes a slot's rules over; what they were leaves the indexes. */
  #touch(table: ServiceTable, slot: number): void {
    const { protocol, clusterIp, port, nodePort, endpoints } = table;
    const isPlain = table.servicePorts[slot] !== undefined && table.special.length[slot] === 0;
    const ports = isPlain && nodePort[slot] !== 0 ? HAS_NODE_PORT : 0;
    const shape = isPlain ? HAS_RULE | ports | (endpoints.count[slot] > 0 ? HAS_ENDPOINTS : 0) : 0;
    const before = this.#shape[slot];
    const destination = (protocol[slot] << 16) | port[slot];
    const isSame =
      shape === before &&
      clusterIp[slot] === this.#address[slot] &&
      destination === this.#port[slot] &&
      nodePort[slot] === this.#nodePort[slot];
    if (isSame) return;
    if (this.#isIndexed && before !== 0) this.#forget(slot, before);
    this.#shapes[before]--;
    this.#shapes[shape]++;
    this.#shape[slot] = shape;
    this.#address[slot] = clusterIp[slot];
    this.#port[slot] = destination;
    this.#nodePort[slot] = nodePort[slot];
    if (this.#isIndexed && shape !== 0) this.#moved.push(slot);
  }

  #forget(slot: number, shape: number): void {
    const protocol = this.#port[slot] >>> 16;
    const [main, outside] = this.#chainsOf(shape);
    main.remove(protocol, this.#address[slot], this.#port[slot] & 0xffff, false);
    if ((shape & HAS_NODE_PORT) !== 0) outside.remove(protocol, 0, this.#nodePort[slot], true);
  }

  #learn(slot: number): boolean {
    const shape = this.#shape[slot];
    const protocol = this.#port[slot] >>> 16;
    const [main, outside] = this.#chainsOf(shape);
    const isNew = main.insert(protocol, this.#address[slot], this.#port[slot] & 0xffff, false, slot);
    return isNew && ((shape & HAS_NODE_PORT) === 0 || outside.insert(protocol, 0, this.#nodePort[slot], true, slot));
  }

  /** Of the cluster IP and of the node port. */
  #chainsOf(shape: number): readonly [ChainIndex, ChainIndex] {
    return (shape & HAS_ENDPOINTS) !== 0 ? [this.services, this.nodePorts] : [this.rejects, this.externalRejects];
  }

  /** Brings the indexes up to date. False when two service ports share a destination, which leaves the order of the chain to say whose it is. */
  #index(table: ServiceTable): boolean {
    if (!this.#isIndexed) {
      for (const chain of this.#all) chain.reset(0);
      this.#moved.length = 0;
      for (let slot = 0; slot < table.servicePorts.length; slot++) if (this.#shape[slot] !== 0) this.#moved.push(slot);
    }
    this.#isIndexed = false;
    for (const slot of this.#moved) if (!this.#learn(slot)) return false;
    this.#isIndexed = true;
    return true;
  }

  #count(isMarked: boolean, special: readonly number[]): void {
    const shapes = this.#shapes;
    const ready = shapes[HAS_RULE | HAS_ENDPOINTS] + shapes[HAS_RULE | HAS_NODE_PORT | HAS_ENDPOINTS];
    this.services.length = special[NAT_SERVICES] + (isMarked ? 2 * ready : ready);
    this.nodePorts.length = special[NAT_NODE_PORTS] + shapes[HAS_RULE | HAS_NODE_PORT | HAS_ENDPOINTS];
    this.rejects.length = special[FILTER_SERVICES] + shapes[HAS_RULE] + shapes[HAS_RULE | HAS_NODE_PORT];
    this.externalRejects.length = special[EXTERNAL_SERVICES] + shapes[HAS_RULE | HAS_NODE_PORT];
    this.firewall.length = special[PROXY_FIREWALL];
    this.healthPorts.length = special[HEALTH_PORTS];
    this.nodePorts.hasAny = this.nodePorts.length > 0;
    this.externalRejects.hasAny = this.externalRejects.length > 0;
  }

  /** Writes the places of all rules. `stride`: rules of a service port in nat KUBE-SERVICES, of which the last is indexed. */
  #place({ count, order }: ServiceTable, stride: number): void {
    const shape = this.#shape;
    const places = this.#places;
    const portPlaces = this.#portPlaces;
    let services = 0;
    let rejects = 0;
    let nodePorts = 0;
    let externalRejects = 0;
    for (let i = 0; i < count; i++) {
      const slot = order[i];
      const bits = shape[slot];
      if ((bits & HAS_ENDPOINTS) !== 0) {
        services += stride;
        places[slot] = services;
        if ((bits & HAS_NODE_PORT) !== 0) portPlaces[slot] = ++nodePorts;
      } else {
        places[slot] = ++rejects;
        if ((bits & HAS_NODE_PORT) !== 0) portPlaces[slot] = ++externalRejects;
      }
    }
  }

  /** Writes all indexes anew, rule by rule as the chains have them. */
  #append(table: ServiceTable, isMarked: boolean): void {
    const { count, order, special, protocol, clusterIp, port, nodePort } = table;
    this.#count(isMarked, special.sharedTotals);
    for (const chain of this.#all) chain.reset(chain.length);
    const usable = table.endpoints.count;
    for (let i = 0; i < count; i++) {
      const slot = order[i];
      if (special.length[slot] > 0) {
        this.#special(table, slot);
        continue;
      }
      if (usable[slot] > 0) {
        if (isMarked) this.services.appendHidden(SERVICE_BYTES);
        this.services.append(protocol[slot], clusterIp[slot], port[slot], slot, SERVICE_BYTES);
        if (nodePort[slot] !== 0) this.nodePorts.appendAny(protocol[slot], nodePort[slot], slot, SERVICE_BYTES);
      } else {
        this.rejects.append(protocol[slot], clusterIp[slot], port[slot], slot, SERVICE_BYTES);
        if (nodePort[slot] !== 0) this.externalRejects.appendAny(protocol[slot], nodePort[slot], slot, EXTERNAL_BYTES);
      }
    }
  }

  #special({ special }: ServiceTable, slot: number): void {
    const { words } = special.rules;
    const first = special.first[slot];
    for (let c = 0; c < this.#all.length; c++) {
      const end = first + special.sharedStart(slot, c + 1);
      for (let rule = first + special.sharedStart(slot, c); rule < end; rule++) {
        const base = rule * RULE_STRIDE;
        const chain = this.#all[c];
        const bytes = words[base + W_BYTES];
        const port = words[base + W_DPORT];
        const protocol = words[base + W_PROTOCOL];
        if (words[base + W_DST_MASK] === -1) chain.append(protocol, words[base + W_DST], port, ~rule, bytes);
        else chain.appendAny(protocol, port, ~rule, bytes);
      }
    }
  }

  #reserve(slots: number): void {
    if (this.#shape.length >= slots) return;
    this.#shape = copyOf(this.#shape, new Uint8Array(slots));
    this.#address = copyOf(this.#address, new Int32Array(slots));
    this.#port = copyOf(this.#port, new Int32Array(slots));
    this.#nodePort = copyOf(this.#nodePort, new Uint16Array(slots));
    this.#places = new Int32Array(slots);
    this.#portPlaces = new Int32Array(slots);
    this.services.places = this.rejects.places = this.#places;
    this.nodePorts.places = this.externalRejects.places = this.#portPlaces;
  }
}

function copyOf<T extends Int32Array | Uint16Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
