/** What every full sync writes whatever the Services are (kube-proxy setupNFTables; base chains of v1.35 and of v1.31). */
import { cidrContainsIp, familyOf, familyOfCidr, isLoopbackIp } from '../../../model/ip-text.ts';
import type { IpFamily, ProxyConfig } from '../../../model/service-config.ts';
import type { Statement } from './rules.ts';
import { buildRule, jump } from './rules.ts';
import type { BaseChain, ContainerSpec, NftOperation } from './table.ts';

export const MARK_CHAIN = 'mark-for-masquerade';
export const REJECT_CHAIN = 'reject-chain';

export const CLUSTER_IPS = 'cluster-ips';
export const SERVICE_IPS = 'service-ips';
export const SERVICE_NODE_PORTS = 'service-nodeports';
export const FIREWALL_IPS = 'firewall-ips';
export const NO_ENDPOINT_SERVICES = 'no-endpoint-services';
export const NO_ENDPOINT_NODE_PORTS = 'no-endpoint-nodeports';

const NODE_PORT_IPS = 'nodeport-ips';

const DNAT_PRIORITY = -100;
const SNAT_PRIORITY = 100;
const FILTER_PRIORITY = 0;

interface Jump {
  readonly from: string;
  readonly to: string;
  readonly newOnly: boolean;
}

/** The chains that hang on hooks, and what they jump to, in the order of setupNFTables. */
interface BaseSetup {
  readonly chains: readonly (readonly [string, BaseChain])[];
  readonly jumps: readonly Jump[];
}

const NAT_CHAINS: BaseSetup['chains'] = [
  ['nat-prerouting', { type: 'nat', hook: 'prerouting', priority: DNAT_PRIORITY }],
  ['nat-output', { type: 'nat', hook: 'output', priority: DNAT_PRIORITY }],
  ['nat-postrouting', { type: 'nat', hook: 'postrouting', priority: SNAT_PRIORITY }],
];
const NAT_JUMPS: readonly Jump[] = [
  { from: 'nat-output', to: 'services', newOnly: false },
  { from: 'nat-prerouting', to: 'services', newOnly: false },
  { from: 'nat-postrouting', to: 'masquerading', newOnly: false },
];

const BASE_SETUPS: Readonly<Record<ProxyConfig['kubeProxy']['nftablesBaseChains'], BaseSetup>> = {
  /** Filters that look at the destination a client asked for run before DNAT; those that reject must run in input, forward or output. */
  'v1.35': {
    chains: [
      ['filter-prerouting-pre-dnat', { type: 'filter', hook: 'prerouting', priority: DNAT_PRIORITY - 10 }],
      ['filter-output-pre-dnat', { type: 'filter', hook: 'output', priority: DNAT_PRIORITY - 10 }],
      ['filter-input', { type: 'filter', hook: 'input', priority: FILTER_PRIORITY }],
      ['filter-forward', { type: 'filter', hook: 'forward', priority: FILTER_PRIORITY }],
      ['filter-output', { type: 'filter', hook: 'output', priority: FILTER_PRIORITY }],
      ...NAT_CHAINS,
    ],
    jumps: [
      { from: 'filter-input', to: 'nodeport-endpoints-check', newOnly: true },
      { from: 'filter-input', to: 'service-endpoints-check', newOnly: true },
      { from: 'filter-forward', to: 'service-endpoints-check', newOnly: true },
      { from: 'filter-forward', to: 'cluster-ips-check', newOnly: true },
      { from: 'filter-output', to: 'service-endpoints-check', newOnly: true },
      { from: 'filter-output', to: 'cluster-ips-check', newOnly: true },
      { from: 'filter-prerouting-pre-dnat', to: 'firewall-check', newOnly: true },
      { from: 'filter-output-pre-dnat', to: 'firewall-check', newOnly: true },
      ...NAT_JUMPS,
    ],
  },
  /**
   * Before kubernetes PR 132456. In the output hook services without endpoints are refused in front of DNAT, so that the node's own
   * traffic does not take the short way around a Local policy.
   */
  'v1.31': {
    chains: [
      ['filter-prerouting', { type: 'filter', hook: 'prerouting', priority: DNAT_PRIORITY - 10 }],
      ['filter-input', { type: 'filter', hook: 'input', priority: DNAT_PRIORITY - 10 }],
      ['filter-forward', { type: 'filter', hook: 'forward', priority: DNAT_PRIORITY - 10 }],
      ['filter-output', { type: 'filter', hook: 'output', priority: DNAT_PRIORITY - 10 }],
      ['filter-output-post-dnat', { type: 'filter', hook: 'output', priority: DNAT_PRIORITY + 10 }],
      ...NAT_CHAINS,
    ],
    jumps: [
      { from: 'filter-input', to: 'nodeport-endpoints-check', newOnly: true },
      { from: 'filter-input', to: 'service-endpoints-check', newOnly: true },
      { from: 'filter-forward', to: 'service-endpoints-check', newOnly: true },
      { from: 'filter-output', to: 'service-endpoints-check', newOnly: true },
      { from: 'filter-prerouting', to: 'firewall-check', newOnly: true },
      { from: 'filter-output', to: 'firewall-check', newOnly: true },
      ...NAT_JUMPS,
      { from: 'filter-forward', to: 'cluster-ips-check', newOnly: true },
      { from: 'filter-output-post-dnat', to: 'cluster-ips-check', newOnly: true },
    ],
  },
};

/** The sets and maps whose elements are kept in step with the Services. */
export const TRACKED_CONTAINERS: readonly string[] = [
  CLUSTER_IPS,
  SERVICE_IPS,
  FIREWALL_IPS,
  NO_ENDPOINT_SERVICES,
  NO_ENDPOINT_NODE_PORTS,
  SERVICE_NODE_PORTS,
];

export function addressType(family: IpFamily): 'ipv4_addr' | 'ipv6_addr' {
  return family === 'IPv4' ? 'ipv4_addr' : 'ipv6_addr';
}

/** `recreateBaseChains` at kube-proxy's first sync: chains of another version may hang on other hooks or priorities. */
export function setupOperations(config: ProxyConfig, recreateBaseChains: boolean): NftOperation[] {
  const { chains, jumps } = BASE_SETUPS[config.kubeProxy.nftablesBaseChains];
  const operations: NftOperation[] = [{ verb: 'add', object: 'table', comment: 'rules for kube-proxy' }];
  if (recreateBaseChains) {
    for (const [name] of chains) {
      operations.push({ verb: 'add', object: 'chain', chain: { name, base: undefined, comment: '' } });
      operations.push({ verb: 'delete', object: 'chain', name });
    }
  }
  for (const [name, base] of chains) freshChain(operations, name, base);
  for (const name of new Set(jumps.map(({ to }) => to))) freshChain(operations, name);
  freshChain(operations, MARK_CHAIN);
  freshChain(operations, REJECT_CHAIN, undefined, 'helper for @no-endpoint-services / @no-endpoint-nodeports');
  for (const { from, to, newOnly } of jumps) {
    addRule(operations, config, from, newOnly ? [{ kind: 'ct-new' }, jump(to)] : [jump(to)]);
  }
  addMasquerading(operations, config);
  addClusterIpsCheck(operations, config);
  const nodePortMatch = addNodePortIps(operations, config);
  addDispatch(operations, config, nodePortMatch);
  return operations;
}

function addMasquerading(operations: NftOperation[], config: ProxyConfig): void {
  const mark = config.masqueradeMark;
  addRule(operations, config, MARK_CHAIN, [{ kind: 'set-mark', operator: 'or', mark }]);
  addRule(operations, config, 'masquerading', [
    { kind: 'mark-clear', mark },
    { kind: 'verdict', verdict: { kind: 'return' } },
  ]);
  // The mark goes, so that a packet that passes again is not masqueraded twice.
  addRule(operations, config, 'masquerading', [{ kind: 'set-mark', operator: 'xor', mark }]);
  addRule(operations, config, 'masquerading', [{ kind: 'masquerade' }]);
}

function addClusterIpsCheck(operations: NftOperation[], config: ProxyConfig): void {
  addContainer(operations, 'set', CLUSTER_IPS, addressType(config.ipFamily), 'Active ClusterIPs');
  addRule(
    operations,
    config,
    'cluster-ips-check',
    [
      { kind: 'address-set', field: 'daddr', set: CLUSTER_IPS },
      { kind: 'verdict', verdict: { kind: 'reject' } },
    ],
    'Reject traffic to invalid ports of ClusterIPs',
  );
  const blocks = config.serviceCidrs.filter((cidr) => familyOfCidr(cidr) === config.ipFamily);
  if (blocks.length === 0) return;
  addRule(
    operations,
    config,
    'cluster-ips-check',
    [
      { kind: 'address', field: 'daddr', negated: false, blocks, form: 'compact' },
      { kind: 'verdict', verdict: { kind: 'drop' } },
    ],
    'Drop traffic to unallocated ClusterIPs',
  );
}

interface NodePortMatch {
  /** Where a packet has yet to be routed. */
  readonly dispatch: readonly Statement[];
  /** In the input hook, where every packet is for this node. */
  readonly input: readonly Statement[];
}

/** The set of addresses that accept node ports, or its removal when every address does. */
function addNodePortIps(operations: NftOperation[], config: ProxyConfig): NodePortMatch {
  const { ipFamily } = config;
  addContainer(operations, 'set', NODE_PORT_IPS, addressType(ipFamily), 'IPs that accept NodePort traffic');
  const cidrs = config.nodePortAddresses.filter((cidr) => familyOfCidr(cidr) === ipFamily);
  const everything = ipFamily === 'IPv4' ? '0.0.0.0/0' : '::/0';
  if (cidrs.length === 0 || cidrs.includes(everything)) {
    operations.push({ verb: 'delete', object: 'container', kind: 'set', name: NODE_PORT_IPS });
    const loopback = ipFamily === 'IPv4' ? '127.0.0.0/8' : '::1';
    const notLoopback: Statement = {
      kind: 'address',
      field: 'daddr',
      negated: true,
      blocks: [loopback],
      form: 'single',
    };
    return { dispatch: [{ kind: 'fib-local', field: 'daddr' }, notLoopback], input: [notLoopback] };
  }
  operations.push({ verb: 'flush', object: 'container', kind: 'set', name: NODE_PORT_IPS });
  for (const key of nodePortIps(config, cidrs)) {
    const element = { key, verdict: undefined, comment: '' };
    operations.push({ verb: 'add', object: 'element', container: NODE_PORT_IPS, element });
  }
  const match: Statement = { kind: 'address-set', field: 'daddr', set: NODE_PORT_IPS };
  return { dispatch: [match], input: [match] };
}

/** Loopback addresses are left out: node ports on localhost do not work in this mode. */
function nodePortIps(config: ProxyConfig, cidrs: readonly string[]): Set<string> {
  const own = config.interfaceAddresses.filter((ip) => familyOf(ip) === config.ipFamily && !isLoopbackIp(ip));
  return new Set(cidrs.flatMap((cidr) => own.filter((ip) => cidrContainsIp(cidr, ip))));
}

function addDispatch(operations: NftOperation[], config: ProxyConfig, nodePorts: NodePortMatch): void {
  const byPort = 'inet_proto . inet_service : verdict';
  const byDestination = `${addressType(config.ipFamily)} . ${byPort}`;
  const noEndpoints = (what: string): string => `vmap to drop or reject packets to ${what} with no endpoints`;
  addContainer(operations, 'map', NO_ENDPOINT_SERVICES, byDestination, noEndpoints('services'));
  addContainer(operations, 'map', NO_ENDPOINT_NODE_PORTS, byPort, noEndpoints('service nodeports'));
  addContainer(
    operations,
    'map',
    FIREWALL_IPS,
    byDestination,
    'destinations that are subject to LoadBalancerSourceRanges',
  );
  addContainer(operations, 'map', SERVICE_IPS, byDestination, 'ClusterIP, ExternalIP and LoadBalancer IP traffic');
  addContainer(operations, 'map', SERVICE_NODE_PORTS, byPort, 'NodePort traffic');
  const destination = (map: string): Statement => ({ kind: 'dispatch', by: 'destination', map });
  const port = (map: string): Statement => ({ kind: 'dispatch', by: 'port', map });
  addRule(operations, config, REJECT_CHAIN, [{ kind: 'verdict', verdict: { kind: 'reject' } }]);
  addRule(operations, config, 'service-endpoints-check', [destination(NO_ENDPOINT_SERVICES)]);
  addRule(operations, config, 'nodeport-endpoints-check', [...nodePorts.input, port(NO_ENDPOINT_NODE_PORTS)]);
  addRule(operations, config, 'firewall-check', [destination(FIREWALL_IPS)]);
  addRule(operations, config, 'services', [destination(SERVICE_IPS)]);
  addRule(operations, config, 'services', [...nodePorts.dispatch, port(SERVICE_NODE_PORTS)]);
}

function freshChain(operations: NftOperation[], name: string, base?: BaseChain, comment = ''): void {
  operations.push({ verb: 'add', object: 'chain', chain: { name, base, comment } });
  operations.push({ verb: 'flush', object: 'chain', name });
}

function addRule(
  operations: NftOperation[],
  config: ProxyConfig,
  chain: string,
  statements: readonly Statement[],
  comment = '',
): void {
  operations.push({ verb: 'add', object: 'rule', chain, rule: buildRule(config.ipFamily, statements, comment) });
}

function addContainer(
  operations: NftOperation[],
  kind: ContainerSpec['kind'],
  name: string,
  type: string,
  comment: string,
): void {
  const container: ContainerSpec = { kind, name, type, flags: '', timeoutSeconds: 0, comment };
  operations.push({ verb: 'add', object: 'container', container });
}
