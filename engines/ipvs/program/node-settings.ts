/** What kube-proxy reads and sets on its node in IPVS mode, apart from rules (pkg/proxy/ipvs/proxier.go NewProxier, netlink_linux.go). */
import { cidrContainsIp, familyOf, familyOfCidr, isLoopbackIp } from '../../../model/ip-text.ts';
import type { ProxyConfig } from '../../../model/service-config.ts';

/** Scheduler modules of the kernel (net/netfilter/ipvs); kube-proxy does not start with one that is not there. */
export const IPVS_SCHEDULERS: readonly string[] = [
  'rr',
  'wrr',
  'lc',
  'wlc',
  'lblc',
  'lblcr',
  'dh',
  'sh',
  'mh',
  'sed',
  'nq',
  'fo',
  'ovf',
  'twos',
];

export interface Sysctl {
  /** Path below /proc/sys. */
  readonly name: string;
  readonly value: number;
}

/** In the order in which they are set at start. `kernel` is the version, [major, minor]. */
export function ipvsSysctls(strictArp: boolean, kernel: readonly [number, number]): Sysctl[] {
  const [major, minor] = kernel;
  const isAtLeast = (otherMajor: number, otherMinor: number): boolean =>
    major > otherMajor || (major === otherMajor && minor >= otherMinor);
  const sysctls: Sysctl[] = [{ name: 'net/ipv4/vs/conntrack', value: 1 }];
  // Before 4.1 the setting does too little; from 5.9 the kernel's default no longer drops a reused connection's first packet.
  if (isAtLeast(4, 1) && !isAtLeast(5, 9)) sysctls.push({ name: 'net/ipv4/vs/conn_reuse_mode', value: 0 });
  sysctls.push(
    { name: 'net/ipv4/vs/expire_nodest_conn', value: 1 },
    { name: 'net/ipv4/vs/expire_quiescent_template', value: 1 },
    { name: 'net/ipv4/ip_forward', value: 1 },
  );
  if (strictArp) {
    sysctls.push(
      { name: 'net/ipv4/conf/all/arp_ignore', value: 1 },
      { name: 'net/ipv4/conf/all/arp_announce', value: 2 },
    );
  }
  return sysctls;
}

/** Addresses of the proxy's family that are on other interfaces than kube-ipvs0: loopback and IPv6 link-local ones are left out. */
export function nodeAddressesOf(config: ProxyConfig): Set<string> {
  return new Set(config.interfaceAddresses.filter((address) => isUsable(address, config)));
}

/** Whether the address counts among a device's addresses (netlink_linux.go isValidForSet). */
export function isUsable(address: string, config: ProxyConfig): boolean {
  if (familyOf(address) !== config.ipFamily || isLoopbackIp(address)) return false;
  return !cidrContainsIp('fe80::/10', address);
}

/** Addresses that get a virtual server for each node port: all, or those in nodePortAddresses of this family, if it has any. */
export function nodePortIpsOf(config: ProxyConfig, nodeAddresses: ReadonlySet<string>): string[] {
  const cidrs = config.nodePortAddresses.filter((cidr) => familyOfCidr(cidr) === config.ipFamily);
  if (cidrs.length === 0) return [...nodeAddresses];
  return [...nodeAddresses].filter((address) => cidrs.some((cidr) => cidrContainsIp(cidr, address)));
}
