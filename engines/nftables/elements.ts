/** The sets and maps whose elements follow the service ports, and what each service port wants in them (kube-proxy pkg/proxy/nftables/proxier.go syncProxyRules). */
import type { ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { ElementMap } from './element-map.ts';

/** What follows from a service port's endpoints and policies: bits of `flags`. */
export const HAS_ANY = 1;
export const HAS_INTERNAL = 2;
export const HAS_EXTERNAL = 4;
export const USES_EXTERNAL = 8;
export const USES_FIREWALL = 16;
export const EXTERNAL_LOCAL = 32;
export const INTERNAL_LOCAL = 64;
export const AFFINITY = 128;

/** A value of service-ips, service-nodeports and firewall-ips: slot << 2 | the chain that it goes to. */
const TO_CLUSTER = 0;
export const TO_LOCAL = 1;
export const TO_EXTERNAL = 2;
const TO_FIREWALL = 3;

/** A value of the no-endpoint maps: slot << 1 | what becomes of the packet. */
const REFUSED = 0;
export const DROPPED = 1;

/** Every bit of the value names a chain, or one bit the verdict. */
const CHAIN_VERDICT = -1;
const REFUSAL_VERDICT = 1;
const NO_VERDICT = 0;

export class ServiceElements {
  readonly clusterIps = new ElementMap({ verdictMask: NO_VERDICT });
  readonly serviceIps = new ElementMap({ verdictMask: CHAIN_VERDICT });
  readonly firewallIps = new ElementMap({ verdictMask: CHAIN_VERDICT });
  readonly noEndpointServices = new ElementMap({ verdictMask: REFUSAL_VERDICT, commented: true });
  readonly noEndpointNodePorts = new ElementMap({ verdictMask: REFUSAL_VERDICT, commented: true });
  readonly serviceNodePorts = new ElementMap({ verdictMask: CHAIN_VERDICT });

  readonly #all = [
    this.clusterIps,
    this.serviceIps,
    this.firewallIps,
    this.noEndpointServices,
    this.noEndpointNodePorts,
    this.serviceNodePorts,
  ];

  get count(): number {
    let count = 0;
    for (const map of this.#all) count += map.count;
    return count;
  }

  begin(): void {
    for (const map of this.#all) map.begin();
  }

  finish(commentOf: (slot: number) => string): number {
    let operations = 0;
    for (const map of this.#all) operations += map.finish(commentOf);
    return operations;
  }

  claim(svc: ServicePort, slot: number, flags: number): void {
    this.#visit(svc, slot, flags, true);
  }

  /** The service port as it was claimed for. */
  release(svc: ServicePort, slot: number, flags: number): void {
    this.#visit(svc, slot, flags, false);
  }

  /** In the order in which kube-proxy asks for the elements. */
  #visit(svc: ServicePort, slot: number, flags: number, claims: boolean): void {
    const { externalIps, loadBalancerVips } = svc.extras ?? NO_SERVICE_EXTRAS;
    const { id } = svc;
    const service = serviceWord(svc.protocol, svc.port);
    const clusterIp = svc.clusterIp | 0;
    const closed = (slot << 1) | ((flags & HAS_ANY) === 0 ? REFUSED : DROPPED);
    const toExternal = (slot << 2) | TO_EXTERNAL;
    const anyEndpoint = (flags & HAS_ANY) !== 0;
    const closedOutside = (flags & HAS_EXTERNAL) === 0;

    want(this.clusterIps, claims, clusterIp, 0, 0, id);
    if ((flags & HAS_INTERNAL) !== 0) {
      const chain = (flags & INTERNAL_LOCAL) === 0 ? TO_CLUSTER : TO_LOCAL;
      want(this.serviceIps, claims, clusterIp, service, (slot << 2) | chain, id);
    } else want(this.noEndpointServices, claims, clusterIp, service, closed, id);

    for (const ip of externalIps) {
      if (anyEndpoint) want(this.serviceIps, claims, ip | 0, service, toExternal, id);
      if (closedOutside) want(this.noEndpointServices, claims, ip | 0, service, closed, id);
    }
    for (const vip of loadBalancerVips) {
      if (anyEndpoint) want(this.serviceIps, claims, vip | 0, service, toExternal, id);
      if (closedOutside) want(this.noEndpointServices, claims, vip | 0, service, closed, id);
      if ((flags & USES_FIREWALL) !== 0) {
        want(this.firewallIps, claims, vip | 0, service, (slot << 2) | TO_FIREWALL, id);
      }
    }
    if (svc.nodePort === 0) return;
    // Source ranges do not hold for node ports.
    const nodePort = serviceWord(svc.protocol, svc.nodePort);
    if (anyEndpoint) want(this.serviceNodePorts, claims, 0, nodePort, toExternal, id);
    if (closedOutside) want(this.noEndpointNodePorts, claims, 0, nodePort, closed, id);
  }
}

/** Protocol and port of a key. */
export function serviceWord(protocol: number, port: number): number {
  return (protocol << 16) | port;
}

function want(map: ElementMap, claims: boolean, address: number, service: number, value: number, id: number): void {
  if (claims) map.claim(address, service, value, id);
  else map.release(address, service, value, id);
}
