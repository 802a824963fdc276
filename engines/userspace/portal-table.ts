/**
 * The open service ports of kube-proxy's process: their proxy ports, their balancers and their rules in the kernel, kept as the
 * process keeps them (pkg/proxy/userspace/proxier.go syncProxyRules, mergeService, unmergeService).
 */
import type { ClusterDelta, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_SCTP } from '../../model/protocol.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { shuffle } from '../../sim/rng.ts';
import { Balancer } from './balancer.ts';
import type { ChainRule } from './portal-chain.ts';
import { PortalChain } from './portal-chain.ts';
import type { PortalRule } from './portal-rules.ts';
import { CHAIN_COUNT, exposureOf, isSameConfig, isSameService, portalRules } from './portal-rules.ts';

/** net.ipv4.ip_local_port_range, from which the kernel gives a listener its port. */
export const FIRST_EPHEMERAL_PORT = 32_768;
export const EPHEMERAL_PORTS = 60_999 - FIRST_EPHEMERAL_PORT + 1;

/** iptablesInit: `iptables -N` for five chains, `-C` for five jumps that are there already. */
const INIT_COMMANDS = 10;
/** iptablesFlush: `iptables -F` for five chains. */
const FLUSH_COMMANDS = 5;
const JUMPS = 5;

/** A service port that the process listens for. */
export interface Portal {
  readonly svc: ServicePort;
  readonly proxyPort: number;
  readonly balancer: Balancer;
  readonly rules: readonly PortalRule[];
}

export class PortalTable {
  readonly chains: readonly PortalChain[] = Array.from({ length: CHAIN_COUNT }, () => new PortalChain());
  /** By id of the service port, in the order in which their rules were appended. */
  #open = new Map<number, Portal>();
  /** Every service port, also those without a portal. */
  #known = new Map<number, ServicePort>();
  #balancers = new Map<number, Balancer>();
  /** Slots of the chains' rules. */
  #portals: Portal[] = [];
  /** By proxyPortKey. */
  readonly #byProxyPort = new Map<number, Portal>();
  readonly #node: NodeSpec;
  readonly #endpointOrder: RandomStream;
  #nextPort = 0;
  #hasJumps = false;
  #commands = 0;

  constructor(node: NodeSpec, endpointOrder: RandomStream) {
    this.#node = node;
    this.#endpointOrder = endpointOrder;
  }

  get count(): number {
    return this.#known.size;
  }

  /** iptables commands of the last `restart`, `change` or `pass`. */
  get commands(): number {
    return this.#commands;
  }

  /** Rules in the kernel, jumps included. */
  get rules(): number {
    return JUMPS + this.chains.reduce((sum, chain) => sum + chain.length, 0);
  }

  /** In the order of their rules. */
  get open(): readonly Portal[] {
    return this.#portals;
  }

  portal(slot: number): Portal {
    return this.#portals[slot];
  }

  ofProxyPort(protocol: number, port: number): Portal | undefined {
    return this.#byProxyPort.get(protocol * 65536 + port);
  }

  /** The process is gone: no rule and no listener is left, the jumps of the built-in chains are. */
  clear(): void {
    this.#open = new Map();
    this.#known = new Map();
    this.#balancers = new Map();
    this.#byProxyPort.clear();
    this.#fillChains();
  }

  /** A process starts [NewProxier], and opens all service ports in a random order. */
  restart(servicePorts: readonly ServicePort[], serviceOrder: RandomStream): void {
    this.clear();
    this.#commands = INIT_COMMANDS + (this.#hasJumps ? 0 : JUMPS) + FLUSH_COMMANDS + INIT_COMMANDS;
    this.#hasJumps = true;
    const byId = new Map(servicePorts.map((svc) => [svc.id, svc]));
    const ids = [...byId.keys()].sort((a, b) => a - b);
    shuffle(ids, serviceOrder);
    for (const id of ids) this.#upsert(byId.get(id) as ServicePort);
    this.#finishPass();
  }

  /** What changed while the process ran; returns the service ports that it no longer listens for. Endpoints alone cause no pass over the rules. */
  change({ upserted, removedIds }: ClusterDelta): ServicePort[] {
    this.#commands = 0;
    let isPass = upserted.length + removedIds.length === 0;
    for (const svc of [...upserted].sort((a, b) => a.id - b.id)) if (this.#upsert(svc)) isPass = true;
    const removed: ServicePort[] = [];
    for (const id of removedIds) {
      const svc = this.#known.get(id);
      if (svc === undefined) continue;
      isPass = true;
      if (this.#open.has(id)) removed.push(svc);
      this.#close(id);
      this.#known.delete(id);
      this.#balancers.delete(id);
    }
    if (isPass) {
      this.#commands += INIT_COMMANDS;
      this.#finishPass();
    }
    return removed;
  }

  /** Says whether the Service itself is new or changed. */
  #upsert(svc: ServicePort): boolean {
    const before = this.#known.get(svc.id);
    this.#known.set(svc.id, svc);
    const balancer = this.#balancers.get(svc.id) ?? new Balancer(svc);
    this.#balancers.set(svc.id, balancer);
    balancer.update(svc, this.#node, this.#endpointOrder);
    if (before !== undefined && isSameConfig(before, svc)) {
      const portal = this.#open.get(svc.id);
      if (portal !== undefined) this.#register({ ...portal, svc });
      return !isSameService(before, svc);
    }
    this.#close(svc.id);
    this.#openPortal(svc, balancer);
    return true;
  }

  #openPortal(svc: ServicePort, balancer: Balancer): void {
    // The process has no socket for SCTP (proxysocket.go newProxySocket).
    if (svc.protocol === PROTOCOL_SCTP) return;
    const proxyPort = this.#allocatePort(svc.protocol);
    if (proxyPort === undefined) return;
    const portal = { svc, proxyPort, balancer, rules: portalRules(exposureOf(svc), proxyPort) };
    this.#register(portal);
    // `iptables -C`, then `-A`.
    this.#commands += 2 * portal.rules.length;
  }

  #register(portal: Portal): void {
    this.#open.set(portal.svc.id, portal);
    this.#byProxyPort.set(portal.svc.protocol * 65536 + portal.proxyPort, portal);
  }

  #close(id: number): void {
    const portal = this.#open.get(id);
    if (portal === undefined) return;
    this.#open.delete(id);
    this.#byProxyPort.delete(portal.svc.protocol * 65536 + portal.proxyPort);
    // `iptables -C`, then `-D`.
    this.#commands += 2 * portal.rules.length;
  }

  #allocatePort(protocol: number): number | undefined {
    for (let tried = 0; tried < EPHEMERAL_PORTS; tried++) {
      const port = FIRST_EPHEMERAL_PORT + this.#nextPort;
      this.#nextPort = (this.#nextPort + 1) % EPHEMERAL_PORTS;
      if (!this.#byProxyPort.has(protocol * 65536 + port)) return port;
    }
    return undefined;
  }

  /** ensurePortals: each rule of each open service port is checked once more. */
  #finishPass(): void {
    this.#fillChains();
    for (const portal of this.#portals) this.#commands += portal.rules.length;
  }

  #fillChains(): void {
    this.#portals = [...this.#open.values()];
    const rules: ChainRule[][] = this.chains.map(() => []);
    this.#portals.forEach((portal, slot) => {
      for (const rule of portal.rules) rules[rule.chain].push({ rule, protocol: portal.svc.protocol, slot });
    });
    this.chains.forEach((chain, i) => chain.fill(rules[i]));
  }
}
