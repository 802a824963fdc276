/** What one service port needs: virtual servers and ipset entries (kube-proxy pkg/proxy/ipvs/proxier.go syncProxyRules). */
import { cidrContainsIp } from '../../../model/ip-text.ts';
import type { ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import type { SetName } from './ip-sets.ts';
import type { Protocol, VirtualServerSpec } from './ipvs-table.ts';
import { FLAG_PERSISTENT, FLAG_SOURCE_HASH } from './ipvs-table.ts';

interface PlannedServer {
  readonly spec: VirtualServerSpec;
  /** Whether its address belongs on kube-ipvs0. */
  readonly isBound: boolean;
  /** Local endpoints are preferred: the internal policy for a ClusterIP, the external one for all else. */
  readonly onlyLocal: boolean;
}

/** A load balancer's address that the node itself may not reach (KUBE-IPVS-OUT-FILTER). */
export interface BlockedVip {
  readonly address: string;
  readonly protocol: Protocol;
  readonly port: number;
}

export interface ServicePlan {
  readonly servers: readonly PlannedServer[];
  readonly entries: readonly (readonly [SetName, string])[];
  readonly blockedForNode: readonly BlockedVip[];
}

export interface NodeView {
  readonly config: ProxyConfig;
  readonly scheduler: string;
  /** Addresses of this family on the node's interfaces but kube-ipvs0, without loopback. */
  readonly nodeAddresses: ReadonlySet<string>;
  /** Those that take node-port traffic. */
  readonly nodePortIps: readonly string[];
}

const NODE_PORT_SETS: Readonly<Record<Protocol, readonly [SetName, SetName]>> = {
  tcp: ['KUBE-NODE-PORT-TCP', 'KUBE-NODE-PORT-LOCAL-TCP'],
  udp: ['KUBE-NODE-PORT-UDP', 'KUBE-NODE-PORT-LOCAL-UDP'],
  sctp: ['KUBE-NODE-PORT-SCTP-HASH', 'KUBE-NODE-PORT-LOCAL-SCTP-HASH'],
};

export function planServicePort(svc: ServicePortConfig, node: NodeView): ServicePlan {
  const plan = new PlanWriter(svc, node);
  plan.addLoopBacks();
  plan.addClusterIp();
  for (const address of svc.externalIps) plan.addExternalIp(address);
  for (const address of svc.loadBalancerVips) plan.addLoadBalancer(address);
  if (svc.nodePort !== 0) {
    // Without an address for node ports kube-proxy leaves the rest of this service port out, the health check's port too.
    if (node.nodePortIps.length === 0) return plan;
    plan.addNodePort();
  }
  if (svc.healthCheckNodePort !== 0) {
    plan.entries.push(['KUBE-HEALTH-CHECK-NODE-PORT', `${svc.healthCheckNodePort}`]);
  }
  return plan;
}

class PlanWriter implements ServicePlan {
  readonly servers: PlannedServer[] = [];
  readonly entries: (readonly [SetName, string])[] = [];
  readonly blockedForNode: BlockedVip[] = [];
  readonly #svc: ServicePortConfig;
  readonly #node: NodeView;

  constructor(svc: ServicePortConfig, node: NodeView) {
    this.#svc = svc;
    this.#node = node;
  }

  /** For an endpoint that calls its own service: its packets come back to it, and must seem to come from the node. */
  addLoopBacks(): void {
    const { protocol, endpoints } = this.#svc;
    for (const { isLocal, address, port } of endpoints) {
      if (isLocal && port !== 0) this.entries.push(['KUBE-LOOP-BACK', `${address},${protocol}:${port},${address}`]);
    }
  }

  addClusterIp(): void {
    const { clusterIp, port, internalPolicyLocal } = this.#svc;
    this.entries.push(['KUBE-CLUSTER-IP', this.#ipPort(clusterIp)]);
    this.#addServer(clusterIp, port, true, internalPolicyLocal);
  }

  addExternalIp(address: string): void {
    const { port, externalPolicyLocal } = this.#svc;
    this.entries.push([externalPolicyLocal ? 'KUBE-EXTERNAL-IP-LOCAL' : 'KUBE-EXTERNAL-IP', this.#ipPort(address)]);
    this.#addServer(address, port, !this.#node.nodeAddresses.has(address), externalPolicyLocal);
  }

  addLoadBalancer(address: string): void {
    const { port, externalPolicyLocal, loadBalancerSourceRanges } = this.#svc;
    this.entries.push(['KUBE-LOAD-BALANCER', this.#ipPort(address)]);
    if (externalPolicyLocal) this.entries.push(['KUBE-LOAD-BALANCER-LOCAL', this.#ipPort(address)]);
    if (loadBalancerSourceRanges.length > 0) this.#addSourceRanges(address);
    this.#addServer(address, port, !this.#node.nodeAddresses.has(address), externalPolicyLocal);
  }

  #addSourceRanges(address: string): void {
    const { protocol, port, loadBalancerSourceRanges } = this.#svc;
    const { nodeIp } = this.#node.config;
    const ipPort = this.#ipPort(address);
    this.entries.push(['KUBE-LOAD-BALANCER-FW', ipPort]);
    for (const range of loadBalancerSourceRanges) {
      this.entries.push(['KUBE-LOAD-BALANCER-SOURCE-CIDR', `${ipPort},${range}`]);
    }
    // The node's own packets to the address have that very address as their source, for it is on kube-ipvs0.
    if (loadBalancerSourceRanges.some((range) => cidrContainsIp(range, nodeIp))) {
      this.entries.push(['KUBE-LOAD-BALANCER-SOURCE-IP', `${ipPort},${address}`]);
    } else {
      this.blockedForNode.push({ address, protocol, port });
    }
  }

  addNodePort(): void {
    const { nodePort, protocol, externalPolicyLocal } = this.#svc;
    const { nodePortIps } = this.#node;
    const entries = protocol === 'sctp' ? nodePortIps.map((ip) => `${ip},sctp:${nodePort}`) : [`${nodePort}`];
    const [set, localSet] = NODE_PORT_SETS[protocol];
    for (const entry of entries) this.entries.push([set, entry]);
    if (externalPolicyLocal) for (const entry of entries) this.entries.push([localSet, entry]);
    for (const ip of nodePortIps) this.#addServer(ip, nodePort, false, externalPolicyLocal);
  }

  #ipPort(address: string): string {
    return `${address},${this.#svc.protocol}:${this.#svc.port}`;
  }

  #addServer(address: string, port: number, isBound: boolean, onlyLocal: boolean): void {
    const { scheduler } = this.#node;
    const { protocol, affinitySeconds } = this.#svc;
    const flags = (affinitySeconds > 0 ? FLAG_PERSISTENT : 0) | (scheduler === 'mh' ? FLAG_SOURCE_HASH : 0);
    const spec = { address, protocol, port, scheduler, flags, timeoutSeconds: affinitySeconds };
    this.servers.push({ spec, isBound, onlyLocal });
  }
}
