/** What every full sync writes whatever the Services are (README 9.1; proxier.go setupNFTables). */
import { cidrContains, formatIpv4 } from '../../model/address.ts';
import type { Cidr } from '../../model/address.ts';
import type { NodeSpec } from '../../model/cluster.ts';
import type { KubeProxyBehaviour } from '../../model/kube-proxy.ts';
import type { EngineOptions } from '../engine.ts';
import {
  addressIn,
  CT_NEW,
  daddrInRanges,
  DROP,
  fibLocal,
  inSet,
  jump,
  markClear,
  markWord,
  MASQUERADE,
  REJECT,
  RETURN,
  rule,
  setMark,
  vmap,
} from './nftables-rules.ts';
import type { Statement } from './nftables-rules.ts';
import type { BaseChain, ReferenceTable } from './nftables-table.ts';

type BaseChains = readonly (readonly [name: string, base: BaseChain, jumpsTo: readonly string[]])[];

const NAT_CHAINS: BaseChains = [
  ['nat-prerouting', { type: 'nat', hook: 'prerouting', priority: -100 }, ['services']],
  ['nat-output', { type: 'nat', hook: 'output', priority: -100 }, ['services']],
  ['nat-postrouting', { type: 'nat', hook: 'postrouting', priority: 100 }, ['masquerading']],
];

const TO_INPUT = ['nodeport-endpoints-check', 'service-endpoints-check'];
const TO_OTHERS = ['service-endpoints-check', 'cluster-ips-check'];

const BASE_CHAINS: Readonly<Record<KubeProxyBehaviour['nftablesBaseChains'], BaseChains>> = {
  'v1.35': [
    ['filter-prerouting-pre-dnat', { type: 'filter', hook: 'prerouting', priority: -110 }, ['firewall-check']],
    ['filter-output-pre-dnat', { type: 'filter', hook: 'output', priority: -110 }, ['firewall-check']],
    ['filter-input', { type: 'filter', hook: 'input', priority: 0 }, TO_INPUT],
    ['filter-forward', { type: 'filter', hook: 'forward', priority: 0 }, TO_OTHERS],
    ['filter-output', { type: 'filter', hook: 'output', priority: 0 }, TO_OTHERS],
    ...NAT_CHAINS,
  ],
  'v1.31': [
    ['filter-prerouting', { type: 'filter', hook: 'prerouting', priority: -110 }, ['firewall-check']],
    ['filter-input', { type: 'filter', hook: 'input', priority: -110 }, TO_INPUT],
    ['filter-forward', { type: 'filter', hook: 'forward', priority: -110 }, TO_OTHERS],
    [
      'filter-output',
      { type: 'filter', hook: 'output', priority: -110 },
      ['service-endpoints-check', 'firewall-check'],
    ],
    ['filter-output-post-dnat', { type: 'filter', hook: 'output', priority: -90 }, ['cluster-ips-check']],
    ...NAT_CHAINS,
  ],
};

const JUMPED_TO = [
  'nodeport-endpoints-check',
  'service-endpoints-check',
  'cluster-ips-check',
  'firewall-check',
  'services',
  'masquerading',
];

/** The containers that are kept in step with the Services. */
export const TRACKED = [
  'cluster-ips',
  'service-ips',
  'firewall-ips',
  'no-endpoint-services',
  'no-endpoint-nodeports',
  'service-nodeports',
];

const LOOPBACK: Cidr = { address: 0x7f000000, mask: 0xff000000, prefixLength: 8 };

/** `isFirst`: the first sync of a life makes the base chains anew. */
export function setUp(table: ReferenceTable, node: NodeSpec, options: EngineOptions, isFirst: boolean): void {
  const baseChains = BASE_CHAINS[options.kubeProxy.nftablesBaseChains];
  // The table itself.
  table.operations++;
  if (isFirst) table.operations += 2 * baseChains.length;
  for (const [name, base] of baseChains) table.freshChain(name, { base, comment: '' });
  for (const name of JUMPED_TO) table.freshChain(name);
  table.freshChain('mark-for-masquerade');
  table.freshChain('reject-chain', { comment: 'helper for @no-endpoint-services / @no-endpoint-nodeports' });
  for (const [name, { type }, targets] of baseChains) {
    for (const target of targets) table.addRule(name, rule(type === 'nat' ? [jump(target)] : [CT_NEW, jump(target)]));
  }
  const mark = markWord(options.masqueradeBit);
  table.addRule('mark-for-masquerade', rule([setMark('or', mark)]));
  table.addRule('masquerading', rule([markClear(mark), RETURN]));
  table.addRule('masquerading', rule([setMark('xor', mark)]));
  table.addRule('masquerading', rule([MASQUERADE]));

  const clusterIps = inSet('daddr', 'cluster-ips');
  table.addContainer('cluster-ips', 'set', 'type ipv4_addr ; comment "Active ClusterIPs" ;');
  table.addRule('cluster-ips-check', rule([clusterIps, REJECT], -1, 'Reject traffic to invalid ports of ClusterIPs'));
  if (options.serviceCidrs.length > 0) {
    const inRanges = daddrInRanges(options.serviceCidrs);
    table.addRule('cluster-ips-check', rule([inRanges, DROP], -1, 'Drop traffic to unallocated ClusterIPs'));
  }
  addDispatch(table, addNodePortIps(table, node, options));
}

/** What tells an address that takes node ports: before routing, and in the input hook. */
function addNodePortIps(
  table: ReferenceTable,
  node: NodeSpec,
  options: EngineOptions,
): { dispatch: Statement[]; input: Statement[] } {
  const blocks = options.nodePortAddresses;
  table.addContainer('nodeport-ips', 'set', 'type ipv4_addr ; comment "IPs that accept NodePort traffic" ;');
  if (blocks.length === 0 || blocks.some((block) => block.prefixLength === 0)) {
    table.deleteContainer('nodeport-ips');
    const notLoopback = addressIn('daddr', LOOPBACK, true);
    return { dispatch: [fibLocal('daddr'), notLoopback], input: [notLoopback] };
  }
  table.flushContainer('nodeport-ips');
  for (const address of new Set(node.addresses)) {
    if (!blocks.some((block) => cidrContains(block, address)) || cidrContains(LOOPBACK, address)) continue;
    table.addElement('nodeport-ips', formatIpv4(address), { comment: '', owner: -1 });
  }
  const takesNodePorts = inSet('daddr', 'nodeport-ips');
  return { dispatch: [takesNodePorts], input: [takesNodePorts] };
}

function addDispatch(table: ReferenceTable, nodePort: { dispatch: Statement[]; input: Statement[] }): void {
  const byPort = 'type inet_proto . inet_service : verdict ;';
  const byAddress = 'type ipv4_addr . inet_proto . inet_service : verdict ;';
  const addMap = (name: string, type: string, comment: string): void => {
    table.addContainer(name, 'map', `${type} comment "${comment}" ;`);
  };
  addMap('no-endpoint-services', byAddress, 'vmap to drop or reject packets to services with no endpoints');
  addMap('no-endpoint-nodeports', byPort, 'vmap to drop or reject packets to service nodeports with no endpoints');
  addMap('firewall-ips', byAddress, 'destinations that are subject to LoadBalancerSourceRanges');
  addMap('service-ips', byAddress, 'ClusterIP, ExternalIP and LoadBalancer IP traffic');
  addMap('service-nodeports', byPort, 'NodePort traffic');
  table.addRule('reject-chain', rule([REJECT]));
  table.addRule('service-endpoints-check', rule([vmap('no-endpoint-services', true)]));
  table.addRule('nodeport-endpoints-check', rule([...nodePort.input, vmap('no-endpoint-nodeports', false)]));
  table.addRule('firewall-check', rule([vmap('firewall-ips', true)]));
  table.addRule('services', rule([vmap('service-ips', true)]));
  table.addRule('services', rule([...nodePort.dispatch, vmap('service-nodeports', false)]));
}
