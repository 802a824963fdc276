/** The rules that lead to one service port's proxy port (pkg/proxy/userspace/proxier.go openOnePortal, openNodePort). */
import { formatCidr } from '../../model/address.ts';
import type { ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';

/** The five chains, by index. */
export const PORTALS_CONTAINER = 0;
export const PORTALS_HOST = 1;
export const NODE_PORT_CONTAINER = 2;
export const NODE_PORT_HOST = 3;
export const NODE_PORT_NON_LOCAL = 4;
export const CHAIN_COUNT = 5;

const ENTRY = 112;
const COMMENT = 288;
const PORT_MATCH = 48;
const ADDRTYPE = 40;
const PHYSDEV = 104;
const STATE = 40;
const NAT_TARGET = 56;
const ACCEPT = 40;
const JUMP = 40;

/** Sizes of the jumps of built-in chains (engines/README.md sections 5 and 10.1). */
export const JUMP_BYTES = ENTRY + COMMENT + JUMP;
export const LOCAL_JUMP_BYTES = ENTRY + COMMENT + ADDRTYPE + JUMP;

/** A rule as a walk looks at it. Every rule tests protocol and destination port. */
export interface PortalRule<Address = number> {
  readonly chain: number;
  /** Destination address; undefined = any. */
  readonly address: Address | undefined;
  readonly port: number;
  /** `-m addrtype --dst-type LOCAL`. */
  readonly wantsLocal: boolean;
  /** `-m state --state NEW`. */
  readonly wantsNew: boolean;
  /** `-m physdev ! --physdev-is-in`: holds for every packet here, for none crosses a bridge's netfilter. */
  readonly hasPhysdev: boolean;
  readonly bytes: number;
}

/** Where a service port is reached, in numbers or in text. */
export interface Exposure<Address> {
  readonly clusterIp: Address;
  readonly port: number;
  readonly nodePort: number;
  readonly externalIps: readonly Address[];
  readonly loadBalancerVips: readonly Address[];
}

export function exposureOf(svc: ServicePort): Exposure<number> {
  const { externalIps, loadBalancerVips } = svc.extras ?? NO_SERVICE_EXTRAS;
  return { clusterIp: svc.clusterIp, port: svc.port, nodePort: svc.nodePort, externalIps, loadBalancerVips };
}

/** In the order in which they are appended. `proxyPort` is where the process listens for this service port. */
export function portalRules<Address>(svc: Exposure<Address>, proxyPort: number): PortalRule<Address>[] {
  const rules: PortalRule<Address>[] = [];
  const add = (chain: number, address: Address | undefined, port: number, extra: Partial<PortalRule> = {}): void => {
    const { wantsLocal = false, wantsNew = false, hasPhysdev = false } = extra;
    const bytes = ENTRY + COMMENT + PORT_MATCH + NAT_TARGET + (extra.bytes ?? 0);
    rules.push({ chain, address, port, wantsLocal, wantsNew, hasPhysdev, bytes });
  };
  const local = { wantsLocal: true, bytes: ADDRTYPE };
  const addPortal = (address: Address): void => {
    add(PORTALS_CONTAINER, address, svc.port);
    add(PORTALS_HOST, address, svc.port);
  };
  addPortal(svc.clusterIp);
  for (const address of svc.externalIps) {
    add(PORTALS_CONTAINER, address, svc.port, { hasPhysdev: true, bytes: PHYSDEV });
    add(PORTALS_CONTAINER, address, svc.port, local);
    add(PORTALS_HOST, address, svc.port, local);
  }
  for (const address of svc.loadBalancerVips) addPortal(address);
  if (svc.nodePort > 0) {
    add(NODE_PORT_CONTAINER, undefined, svc.nodePort);
    add(NODE_PORT_HOST, undefined, svc.nodePort);
    add(NODE_PORT_NON_LOCAL, undefined, proxyPort, { wantsNew: true, bytes: STATE + ACCEPT - NAT_TARGET });
  }
  return rules;
}

/** What kube-proxy compares before it closes a portal and opens it anew (proxier.go sameConfig). */
export function isSameConfig(a: ServicePort, b: ServicePort): boolean {
  const left = a.extras ?? NO_SERVICE_EXTRAS;
  const right = b.extras ?? NO_SERVICE_EXTRAS;
  return (
    a.protocol === b.protocol &&
    a.clusterIp === b.clusterIp &&
    a.port === b.port &&
    a.nodePort === b.nodePort &&
    isSameList(left.externalIps, right.externalIps) &&
    isSameList(left.loadBalancerVips, right.loadBalancerVips) &&
    left.affinitySeconds > 0 === right.affinitySeconds > 0
  );
}

/** Whether the Service object, as kube-proxy hears of it, is the same; its endpoints are objects of their own. */
export function isSameService(a: ServicePort, b: ServicePort): boolean {
  const left = a.extras ?? NO_SERVICE_EXTRAS;
  const right = b.extras ?? NO_SERVICE_EXTRAS;
  const blocks = left.loadBalancerSourceRanges;
  const otherBlocks = right.loadBalancerSourceRanges;
  return (
    isSameConfig(a, b) &&
    a.namespace === b.namespace &&
    a.name === b.name &&
    a.portName === b.portName &&
    left.affinitySeconds === right.affinitySeconds &&
    left.externalPolicyLocal === right.externalPolicyLocal &&
    left.internalPolicyLocal === right.internalPolicyLocal &&
    left.healthCheckNodePort === right.healthCheckNodePort &&
    isSameList(blocks.map(formatCidr), otherBlocks.map(formatCidr))
  );
}

function isSameList<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
