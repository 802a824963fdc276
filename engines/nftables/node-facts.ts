/** What the rules know of the node and of kube-proxy's configuration, as numbers that a walk compares. */
import type { Cidr } from '../../model/address.ts';
import { cidrContains } from '../../model/address.ts';
import type { NodeSpec } from '../../model/cluster.ts';
import type { EngineOptions } from '../engine.ts';

/** How a rule tells the node's pods from other sources. */
export const DETECT_NOTHING = 0;
export const DETECT_CIDR = 1;
const DETECT_INTERFACE = 2;

/** What a rule `ct state new jump ...` of a filter base chain leads to. */
export const CHECK_FIREWALL = 0;
export const CHECK_NODE_PORT_ENDPOINTS = 1;
export const CHECK_SERVICE_ENDPOINTS = 2;
const CHECK_CLUSTER_IPS = 3;

/** The filter base chains' rules, hook by hook, in front of DNAT and behind it. */
interface FilterChains {
  readonly preroutingPreDnat: Uint8Array;
  readonly outputPreDnat: Uint8Array;
  readonly outputPostDnat: Uint8Array;
  readonly input: Uint8Array;
  readonly forward: Uint8Array;
}

export interface NodeFacts {
  /** Signed 32-bit, as all addresses here. */
  readonly addresses: Int32Array;
  readonly masqueradeAll: boolean;
  /** The masquerade rule of a cluster IP tests the port, too. */
  readonly testsClusterIpPort: boolean;
  readonly detector: number;
  readonly detectorAddress: number;
  readonly detectorMask: number;
  /** The set nodeport-ips; undefined where node ports are open on every address but loopback. */
  readonly nodePortIps: Int32Array | undefined;
  /** Pairs of masked address and mask. */
  readonly serviceCidrs: Int32Array;
  readonly chains: FilterChains;
}

/** setupNFTables: v1.31 has all filters of OUTPUT but one in front of DNAT. */
const FILTER_CHAINS: Readonly<Record<EngineOptions['kubeProxy']['nftablesBaseChains'], FilterChains>> = {
  'v1.35': {
    preroutingPreDnat: Uint8Array.of(CHECK_FIREWALL),
    outputPreDnat: Uint8Array.of(CHECK_FIREWALL),
    outputPostDnat: Uint8Array.of(CHECK_SERVICE_ENDPOINTS, CHECK_CLUSTER_IPS),
    input: Uint8Array.of(CHECK_NODE_PORT_ENDPOINTS, CHECK_SERVICE_ENDPOINTS),
    forward: Uint8Array.of(CHECK_SERVICE_ENDPOINTS, CHECK_CLUSTER_IPS),
  },
  'v1.31': {
    preroutingPreDnat: Uint8Array.of(CHECK_FIREWALL),
    outputPreDnat: Uint8Array.of(CHECK_SERVICE_ENDPOINTS, CHECK_FIREWALL),
    outputPostDnat: Uint8Array.of(CHECK_CLUSTER_IPS),
    input: Uint8Array.of(CHECK_NODE_PORT_ENDPOINTS, CHECK_SERVICE_ENDPOINTS),
    forward: Uint8Array.of(CHECK_SERVICE_ENDPOINTS, CHECK_CLUSTER_IPS),
  },
};

export function nodeFacts(node: NodeSpec, options: EngineOptions): NodeFacts {
  const cidr = node.podInterface === undefined ? node.clusterCidr : undefined;
  return {
    addresses: Int32Array.from(node.addresses, (address) => address | 0),
    masqueradeAll: options.masqueradeAll,
    testsClusterIpPort: options.kubeProxy.nftablesClusterIpPort,
    detector: node.podInterface !== undefined ? DETECT_INTERFACE : cidr === undefined ? DETECT_NOTHING : DETECT_CIDR,
    detectorAddress: (cidr?.address ?? 0) | 0,
    detectorMask: (cidr?.mask ?? 0) | 0,
    nodePortIps: nodePortIps(node, options.nodePortAddresses),
    serviceCidrs: blockPairs(options.serviceCidrs),
    chains: FILTER_CHAINS[options.kubeProxy.nftablesBaseChains],
  };
}

/** Whether kube-proxy writes a masquerade rule for cluster IPs. */
export function masqueradesClusterIps(facts: NodeFacts): boolean {
  return facts.masqueradeAll || facts.detector !== DETECT_NOTHING;
}

/** Masked address and mask of each block, one after the other. */
export function blockPairs(blocks: readonly Cidr[]): Int32Array {
  return Int32Array.from(blocks.flatMap(({ address, mask }) => [address | 0, mask | 0]));
}

export function inSomeBlock(pairs: Int32Array, address: number): boolean {
  for (let i = 0; i < pairs.length; i += 2) if ((address & pairs[i + 1]) === pairs[i]) return true;
  return false;
}

export function isLoopback(address: number): boolean {
  return address >>> 24 === 127;
}

/** `fib ... type local`, and where routing delivers: a node address or 127.0.0.0/8. */
export function isLocal(addresses: Int32Array, address: number): boolean {
  return holds(addresses, address) || isLoopback(address);
}

export function holds(addresses: Int32Array, address: number): boolean {
  for (let i = 0; i < addresses.length; i++) if (addresses[i] === address) return true;
  return false;
}

/** Loopback addresses are left out: node ports on localhost do not work in this mode. */
function nodePortIps(node: NodeSpec, blocks: readonly Cidr[]): Int32Array | undefined {
  if (blocks.length === 0 || blocks.some((block) => block.prefixLength === 0)) return undefined;
  const open = node.addresses.filter(
    (address) => !isLoopback(address) && blocks.some((block) => cidrContains(block, address)),
  );
  return Int32Array.from(open, (address) => address | 0);
}
