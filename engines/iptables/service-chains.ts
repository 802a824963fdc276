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

/**
 * The value of an indexed rule is the slot of a plain service port, or ~r for rule r of the table's special service ports. nat
 * KUBE-SERVICES is without its last rules.
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

  constructor() {
    this.#all[NAT_SERVICES] = this.services;
    this.#all[NAT_NODE_PORTS] = this.nodePorts;
    this.#all[FILTER_SERVICES] = this.rejects;
    this.#all[EXTERNAL_SERVICES] = this.externalRejects;
    this.#all[PROXY_FIREWALL] = this.firewall;
    this.#all[HEALTH_PORTS] = this.healthPorts;
  }

  /** Builds all of them from the table and its order. */
  build(table: ServiceTable): void {
    const { count, order, special, protocol, clusterIp, port, nodePort } = table;
    const marked = table.facts.clusterIpMark === MARK_IN_DISPATCH;
    const plainRules = [marked ? 2 * count : count, count, count, count, 0, 0];
    this.#all.forEach((chain, i) => {
      chain.reset(plainRules[i] + special.sharedTotals[i]);
    });
    const hasSpecial = special.sharedTotals.some((total) => total > 0);
    const usable = table.endpoints.count;
    for (let i = 0; i < count; i++) {
      const slot = order[i];
      if (hasSpecial && special.length[slot] > 0) {
        this.#special(table, slot);
        continue;
      }
      if (usable[slot] > 0) {
        if (marked) this.services.appendHidden(SERVICE_BYTES);
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
}
