/** Rare branches of nftables mode: what a campaign over whole worlds must have reached, and occasions that no single rule shows. */
import { cidrContains } from '../../model/address.ts';
import type { ServicePort } from '../../model/cluster.ts';
import type { World } from '../engine.ts';
import { extrasOf } from './endpoints.ts';
import { mark } from './marks.ts';
import type { Packet } from './packet.ts';

/** Beside those that all modes share. */
export const NFTABLES_MARKS: readonly string[] = [
  'a local endpoint wins over its duplicate',
  'a packet of a flow refused',
  'affinity expired',
  'affinity hit',
  'affinity renewed',
  'affinity set deleted',
  'affinity time-out changed',
  'answered sctp flow expired',
  'cluster IP masqueraded by address and port',
  'element changed',
  'element of firewall-ips: goto',
  'element of no-endpoint-nodeports: drop',
  'element of no-endpoint-nodeports: goto',
  'element of no-endpoint-services: drop',
  'element of no-endpoint-services: goto',
  'element of service-ips: goto',
  'element of service-nodeports: goto',
  'goto fell through',
  'hairpin',
  'hints for the node followed',
  'hints for the zone followed',
  'local endpoints beside the cluster ones',
  'node port on an address that takes none',
  'node port on loopback',
  'nothing to send',
  'random-fully',
  'refused in front of DNAT on OUTPUT',
  'short circuit for pods',
  'short circuit for this node',
  'source range accepted',
  'source range accepted a VIP',
  'source range refused',
  'stale chain deleted',
  'stale chain is too young',
  'stale chain used again',
  'stale chain waits anew',
  'stale udp flow, events: endpoint gone, address',
  'stale udp flow, events: endpoint gone, node port',
  'stale udp flow, events: first endpoint, address',
  'stale udp flow, events: first endpoint, node port',
  'stale udp flow, events: service port removed',
  'stale udp flow, reconcile: address and port',
  'stale udp flow, reconcile: node port',
  'table full',
  'table full for an invalid packet',
  'terminating local endpoints used',
  'unallocated address dropped behind DNAT on OUTPUT',
  'unallocated address dropped on FORWARD',
  'unallocated address dropped on OUTPUT',
  'unanswered sctp flow expired',
  'unused port rejected behind DNAT on OUTPUT',
  'unused port rejected on FORWARD',
  'unused port rejected on OUTPUT',
];

/** What a packet of no flow is about to meet, by its addresses. */
export function markOccasions(packet: Packet, world: World, services: readonly ServicePort[]): void {
  const { src, dst, protocol } = packet;
  const blocks = world.options.nodePortAddresses;
  for (const svc of services) {
    if (svc.protocol !== protocol) continue;
    if (svc.nodePort > 0 && dst.port === svc.nodePort) {
      const isOurs = world.node.addresses.includes(dst.address);
      if (isOurs && blocks.length > 0 && !blocks.some((block) => cidrContains(block, dst.address))) {
        mark('node port on an address that takes none');
      }
      if (dst.address >>> 24 === 0x7f) mark('node port on loopback');
    }
    const { loadBalancerVips, loadBalancerSourceRanges } = extrasOf(svc);
    const isRanged = loadBalancerSourceRanges.length > 0 && loadBalancerVips.includes(dst.address);
    if (!isRanged || dst.port !== svc.port || !loadBalancerVips.includes(src.address)) continue;
    const inRange = loadBalancerSourceRanges.some((range) => cidrContains(range, src.address));
    const nodeMayPass = loadBalancerSourceRanges.some((range) => cidrContains(range, world.node.addresses[0]));
    if (!inRange && nodeMayPass) mark('source range accepted a VIP');
  }
}
