/** kube-proxy's own process in userspace mode: what it listens for, its balancers, and its passes over the rules (README 10.1, 10.3, 10.4). */
import type { ClusterDelta, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_SCTP } from '../../model/protocol.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { extrasOf } from './endpoints.ts';
import { mark } from './marks.ts';
import type { IptablesCommands, PlacedRule } from './userspace-rules.ts';
import { rulesOf } from './userspace-rules.ts';
import { RoundRobin } from './userspace-balancer.ts';

const FIRST_PORT = 32_768;
const LAST_PORT = 60_999;

/** Hands out ports in turn, from the first again after the last; what is taken is passed over. */
export class PortCounter {
  #next = FIRST_PORT;

  /** Undefined when all are taken. */
  take(isTaken: (port: number) => boolean): number | undefined {
    for (let tried = FIRST_PORT; tried <= LAST_PORT; tried++) {
      const port = this.#next;
      this.#next = port === LAST_PORT ? FIRST_PORT : port + 1;
      if (!isTaken(port)) return port;
    }
    return undefined;
  }
}

/** An open service port: the process listens at `proxyPort` for it. */
export interface Listener {
  readonly svc: ServicePort;
  readonly proxyPort: number;
  readonly rules: readonly PlacedRule[];
}

export interface ProcessParts {
  readonly node: NodeSpec;
  readonly iptables: IptablesCommands;
  /** They live longer than one process does: the kernel gives the ports out. */
  readonly proxyPorts: PortCounter;
  readonly endpointOrder: RandomStream;
}

export class ProxyProcess {
  readonly #parts: ProcessParts;
  readonly #known = new Map<number, ServicePort>();
  readonly #listeners = new Map<number, Listener>();
  readonly #balancers = new Map<number, RoundRobin>();

  /** NewProxier: chains and jumps, and no rule of an earlier process. */
  constructor(parts: ProcessParts) {
    this.#parts = parts;
    parts.iptables.init();
    parts.iptables.flush();
  }

  get servicePorts(): number {
    return this.#known.size;
  }

  /** The first pass, over all that the API server has. */
  begin(inServiceOrder: readonly ServicePort[]): void {
    this.#parts.iptables.init();
    for (const svc of inServiceOrder) {
      this.#tellBalancer(svc);
      this.#merge(svc);
      this.#known.set(svc.id, svc);
    }
    this.#ensurePortals();
  }

  /** Says which service ports were removed that the process had listened for. */
  change({ upserted, removedIds }: ClusterDelta): ServicePort[] {
    const inOrder = [...upserted].sort((a, b) => a.id - b.id);
    const removed = removedIds.flatMap((id) => this.#known.get(id) ?? []);
    const isEmpty = upserted.length + removedIds.length === 0;
    const isPass = isEmpty || removed.length > 0 || inOrder.some((svc) => this.#isChanged(svc));
    for (const svc of inOrder) this.#tellBalancer(svc);
    if (!isPass) mark('no pass for endpoints alone');
    else this.#parts.iptables.init();
    for (const svc of inOrder) {
      this.#merge(svc);
      this.#known.set(svc.id, svc);
    }
    const stopped = removed.filter((svc) => this.#unmerge(svc));
    if (isPass) this.#ensurePortals();
    return stopped;
  }

  balancerOf(svc: ServicePort): RoundRobin {
    return this.#balancers.get(svc.id) as RoundRobin;
  }

  listenerAt(protocol: number, proxyPort: number): Listener | undefined {
    return [...this.#listeners.values()].find((each) => each.svc.protocol === protocol && each.proxyPort === proxyPort);
  }

  #tellBalancer(svc: ServicePort): void {
    const { node, endpointOrder } = this.#parts;
    const balancer = this.#balancers.get(svc.id) ?? new RoundRobin(svc);
    this.#balancers.set(svc.id, balancer);
    balancer.update(svc, node, endpointOrder);
  }

  /** The Service itself, not its endpoints alone, is new or changed: that is what a pass is made for. */
  #isChanged(svc: ServicePort): boolean {
    const before = this.#known.get(svc.id);
    return before === undefined || serviceText(before) !== serviceText(svc);
  }

  /** mergeService */
  #merge(svc: ServicePort): void {
    const { node, iptables, proxyPorts } = this.#parts;
    const before = this.#known.get(svc.id);
    if (before !== undefined && listenText(before) === listenText(svc)) {
      if (serviceText(before) !== serviceText(svc)) mark('service changed in what this mode does not know');
      const listener = this.#listeners.get(svc.id);
      if (listener !== undefined) this.#listeners.set(svc.id, { ...listener, svc });
      return;
    }
    const old = this.#listeners.get(svc.id);
    if (old !== undefined) {
      const isLast = [...this.#listeners.keys()].at(-1) === svc.id;
      mark(isLast ? 'service port reopened' : "service port reopened at the chains' end");
      this.#close(old);
    }
    if (svc.protocol === PROTOCOL_SCTP) {
      mark('no socket for sctp');
      return;
    }
    const isTaken = (port: number): boolean => this.listenerAt(svc.protocol, port) !== undefined;
    const proxyPort = proxyPorts.take(isTaken);
    if (proxyPort === undefined) return;
    const rules = rulesOf(svc, { address: node.addresses[0], port: proxyPort });
    for (const rule of rules) iptables.ensureRule(rule);
    this.#listeners.set(svc.id, { svc, proxyPort, rules });
  }

  /** unmergeService; says whether the process had listened for it. */
  #unmerge(svc: ServicePort): boolean {
    const listener = this.#listeners.get(svc.id);
    if (listener !== undefined) this.#close(listener);
    this.#known.delete(svc.id);
    this.#balancers.delete(svc.id);
    return listener !== undefined;
  }

  #close(listener: Listener): void {
    for (const rule of listener.rules) this.#parts.iptables.deleteRule(rule);
    this.#listeners.delete(listener.svc.id);
  }

  #ensurePortals(): void {
    for (const { rules } of this.#listeners.values()) for (const rule of rules) this.#parts.iptables.ensureRule(rule);
  }
}

/** sameConfig: what decides how the process listens for a service port. */
function listenText(svc: ServicePort): string {
  const { externalIps, loadBalancerVips, affinitySeconds } = extrasOf(svc);
  return JSON.stringify([
    svc.protocol,
    svc.clusterIp,
    svc.port,
    svc.nodePort,
    externalIps,
    loadBalancerVips,
    affinitySeconds > 0,
  ]);
}

/** All of a service port but its endpoints. */
function serviceText(svc: ServicePort): string {
  const { loadBalancerSourceRanges, externalPolicyLocal, internalPolicyLocal, affinitySeconds, healthCheckNodePort } =
    extrasOf(svc);
  return JSON.stringify([
    listenText(svc),
    [svc.namespace, svc.name, svc.portName],
    loadBalancerSourceRanges.map(({ address, prefixLength }) => [address, prefixLength]),
    [externalPolicyLocal, internalPolicyLocal, affinitySeconds, healthCheckNodePort],
  ]);
}
