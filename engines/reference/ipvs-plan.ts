/** What one service port asks of IPVS: virtual servers with their wanted real servers, and ipset entries (README 6; proxier.go syncProxyRules). */
import { cidrContains, formatCidr, formatIpv4 } from '../../model/address.ts';
import type { Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP } from '../../model/protocol.ts';
import type { EngineOptions } from '../engine.ts';
import { distinctEndpoints, endpointLists, extrasOf, isLocalEndpoint } from './endpoints.ts';
import { ipPort } from './ipvs-sets.ts';
import type { SetName } from './ipvs-sets.ts';
import { mark } from './marks.ts';
import type { Party } from './packet.ts';

interface WantedVirtual extends Party {
  readonly servers: readonly Endpoint[];
}

export interface Plan {
  readonly virtuals: readonly WantedVirtual[];
  readonly entries: readonly (readonly [SetName, string])[];
  /** Addresses that belong on kube-ipvs0. */
  readonly bound: readonly number[];
  /** VIPs whose source ranges leave the node out. */
  readonly closedToNode: readonly number[];
}

export function planOf(svc: ServicePort, node: NodeSpec, options: EngineOptions): Plan {
  const plan = new PlanMaker(svc, node);
  plan.loopBack();
  plan.clusterIp();
  plan.externalIps();
  plan.loadBalancerVips();
  const nodeAddresses = nodePortAddressesOf(node, options);
  if (svc.nodePort > 0) {
    // kube-proxy leaves the loop over the service port here, in front of the health check's port.
    if (nodeAddresses.length === 0) {
      mark('node port without a node address');
      return plan;
    }
    plan.nodePort(nodeAddresses);
  }
  plan.healthCheck();
  return plan;
}

function nodePortAddressesOf(node: NodeSpec, { nodePortAddresses }: EngineOptions): readonly number[] {
  if (nodePortAddresses.length === 0) return node.addresses;
  return node.addresses.filter((address) => nodePortAddresses.some((block) => cidrContains(block, address)));
}

class PlanMaker implements Plan {
  readonly virtuals: WantedVirtual[] = [];
  readonly entries: (readonly [SetName, string])[] = [];
  readonly bound: number[] = [];
  readonly closedToNode: number[] = [];
  readonly #svc: ServicePort;
  readonly #node: NodeSpec;

  constructor(svc: ServicePort, node: NodeSpec) {
    this.#svc = svc;
    this.#node = node;
  }

  loopBack(): void {
    const { protocol } = this.#svc;
    for (const endpoint of distinctEndpoints(this.#svc, this.#node)) {
      if (!isLocalEndpoint(endpoint, this.#node)) continue;
      const { address, port } = endpoint;
      this.entries.push(['KUBE-LOOP-BACK', `${ipPort(address, protocol, port)},${formatIpv4(address)}`]);
    }
  }

  clusterIp(): void {
    const { clusterIp, port } = this.#svc;
    this.#enter('KUBE-CLUSTER-IP', clusterIp);
    this.#bind(clusterIp);
    this.#virtual(clusterIp, port, extrasOf(this.#svc).internalPolicyLocal);
  }

  externalIps(): void {
    const { externalIps, externalPolicyLocal } = extrasOf(this.#svc);
    for (const address of externalIps) {
      this.#enter(externalPolicyLocal ? 'KUBE-EXTERNAL-IP-LOCAL' : 'KUBE-EXTERNAL-IP', address);
      this.#outside(address);
    }
  }

  loadBalancerVips(): void {
    const { loadBalancerVips, loadBalancerSourceRanges: ranges, externalPolicyLocal } = extrasOf(this.#svc);
    const { protocol, port } = this.#svc;
    const nodeMayUse = ranges.some((range) => cidrContains(range, this.#node.addresses[0] ?? 0));
    for (const vip of loadBalancerVips) {
      const service = ipPort(vip, protocol, port);
      this.#enter('KUBE-LOAD-BALANCER', vip);
      if (externalPolicyLocal) this.#enter('KUBE-LOAD-BALANCER-LOCAL', vip);
      if (ranges.length > 0) {
        this.#enter('KUBE-LOAD-BALANCER-FW', vip);
        for (const range of ranges) {
          this.entries.push(['KUBE-LOAD-BALANCER-SOURCE-CIDR', `${service},${formatCidr(range)}`]);
        }
        if (nodeMayUse) this.entries.push(['KUBE-LOAD-BALANCER-SOURCE-IP', `${service},${formatIpv4(vip)}`]);
        else this.closedToNode.push(vip);
      }
      this.#outside(vip);
    }
  }

  nodePort(nodeAddresses: readonly number[]): void {
    const { nodePort, protocol } = this.#svc;
    const { externalPolicyLocal } = extrasOf(this.#svc);
    const isSctp = protocol === PROTOCOL_SCTP;
    const name = isSctp ? 'SCTP-HASH' : protocol === PROTOCOL_TCP ? 'TCP' : 'UDP';
    const entries = isSctp ? nodeAddresses.map((address) => ipPort(address, protocol, nodePort)) : [`${nodePort}`];
    for (const entry of entries) {
      this.entries.push([`KUBE-NODE-PORT-${name}`, entry]);
      if (externalPolicyLocal) this.entries.push([`KUBE-NODE-PORT-LOCAL-${name}`, entry]);
    }
    for (const address of nodeAddresses) this.#virtual(address, nodePort, externalPolicyLocal);
  }

  healthCheck(): void {
    const { healthCheckNodePort } = extrasOf(this.#svc);
    if (healthCheckNodePort > 0) this.entries.push(['KUBE-HEALTH-CHECK-NODE-PORT', `${healthCheckNodePort}`]);
  }

  #enter(set: SetName, address: number): void {
    this.entries.push([set, ipPort(address, this.#svc.protocol, this.#svc.port)]);
  }

  /** An external IP or a VIP: on kube-ipvs0 unless the node has it. */
  #outside(address: number): void {
    if (this.#node.addresses.includes(address)) mark('external address of the node itself');
    else this.#bind(address);
    this.#virtual(address, this.#svc.port, extrasOf(this.#svc).externalPolicyLocal);
  }

  #bind(address: number): void {
    this.bound.push(address);
    this.entries.push(['KUBE-IPVS-IPS', formatIpv4(address)]);
  }

  /** A Local policy prefers the endpoints of this node, and does with the others where there is none [syncEndpoint]. */
  #virtual(address: number, port: number, isLocal: boolean): void {
    const { cluster, local } = endpointLists(this.#svc, this.#node);
    if (isLocal && local.length === 0 && cluster.length > 0) mark('fall-back to cluster endpoints');
    if (isLocal && local.length > 0 && local.length < cluster.length) mark('local endpoints preferred');
    this.virtuals.push({ address, port, servers: isLocal && local.length > 0 ? local : cluster });
  }
}
