/** Rare branches of nftables mode: kinds of rules that held, and occasions that no single rule shows. */
import { cidrContains } from '../../model/address.ts';
import type { ServicePort } from '../../model/cluster.ts';
import type { World } from '../engine.ts';
import { extrasOf } from './endpoints.ts';
import { mark } from './marks.ts';
import type { NftRule, Statement } from './nftables-rules.ts';
import type { Packet } from './packet.ts';

/** A rule that held all through: the kind of its chain, and what its statements are. */
export function markRule(chain: string, { statements }: NftRule): void {
  const isOfService = chain.includes('/');
  mark(`${isOfService ? chain.slice(0, chain.indexOf('-')) : chain}: ${statements.map(kindOf).join(' ')}`);
}

function kindOf(statement: Statement): string {
  switch (statement.kind) {
    case 'blocks': {
      const what = statement.looksUp ? 'braces' : statement.blocks[0].prefixLength === 32 ? 'address' : 'block';
      return `${statement.not ? '! ' : ''}${statement.field} ${what}`;
    }
    case 'in set':
      return `${statement.field} @${statement.set.replace(/-.*\/.*/, '')}`;
    case 'fib local':
      return `${statement.field} local`;
    case 'from pod interface':
      return statement.not ? '! iifname' : 'iifname';
    case 'protocol':
      return statement.dport === undefined ? 'protocol' : 'port';
    case 'verdict':
      return statement.verdict.kind;
    case 'vmap':
      return `@${statement.map}`;
    default:
      return statement.kind;
  }
}

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
