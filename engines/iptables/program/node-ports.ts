/**
 * On which of the node's addresses NodePorts answer (kube-proxy pkg/proxy/util/nodeport_addresses.go; pkg/proxy/iptables/proxier.go
 * NewProxier, syncProxyRules).
 */
import { cidrContainsIp, familyOfCidr, isLoopbackIp } from '../../../model/ip-text.ts';
import type { ProxyConfig } from '../../../model/service-config.ts';
import type { Match, Rule } from './rules.ts';
import { comment, destination, jump, rule } from './rules.ts';

const LAST_RULE_COMMENT = 'kubernetes service nodeports; NOTE: this must be the last rule in this chain';

/** The blocks of nodePortAddresses for one family; none given means every address. */
function blocks(config: ProxyConfig): readonly string[] {
  const own = config.nodePortAddresses.filter((block) => familyOfCidr(block) === config.ipFamily);
  if (own.length > 0) return own;
  return [config.ipFamily === 'IPv4' ? '0.0.0.0/0' : '::/0'];
}

function matchesAll(nodePortBlocks: readonly string[]): boolean {
  return nodePortBlocks.some((block) => block === '0.0.0.0/0' || block === '::/0');
}

/** Whether NodePorts answer on 127.0.0.0/8: switched on, IPv4, and not excluded by nodePortAddresses. */
export function hasLocalhostNodePorts(config: ProxyConfig): boolean {
  if (!config.localhostNodePorts || config.ipFamily !== 'IPv4') return false;
  return blocks(config).some((block) => isLoopbackIp(block.split('/')[0]) || cidrContainsIp(block, '127.0.0.0'));
}

/** Whether a rule of its own in KUBE-NODEPORTS counts what comes to a node port by 127.0.0.0/8 (v1.32 and later). */
export function hasLocalhostCounter(config: ProxyConfig): boolean {
  return config.nfacct.localhostNodePorts && hasLocalhostNodePorts(config);
}

/** The last rules of nat KUBE-SERVICES. kube-proxy writes several addresses in an order that is new at each sync; here it is theirs. */
export function nodePortDispatch(config: ProxyConfig): readonly Rule[] {
  const nodePortBlocks = blocks(config);
  const localhost = hasLocalhostNodePorts(config);
  if (matchesAll(nodePortBlocks)) {
    const matches: Match[] = [comment(LAST_RULE_COMMENT), { kind: 'destinationIsLocal' }];
    if (config.ipFamily === 'IPv6') matches.push(destination('::1/128', true));
    else if (!localhost) matches.push(destination('127.0.0.0/8', true));
    return [rule(jump('KUBE-NODEPORTS'), ...matches)];
  }
  const addresses = new Set(
    nodePortBlocks.flatMap((block) => config.interfaceAddresses.filter((address) => cidrContainsIp(block, address))),
  );
  return [...addresses]
    .filter((address) => localhost || !isLoopbackIp(address))
    .map((address) => rule(jump('KUBE-NODEPORTS'), comment(LAST_RULE_COMMENT), destination(address)));
}
