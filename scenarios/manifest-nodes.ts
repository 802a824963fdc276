/** Nodes with what a cluster would fill in: names, addresses, zones, blocks of pod addresses. */
import { cidrContains, formatCidr, parseCidr, parseIpv4 } from '../model/address.ts';
import type { Cidr } from '../model/address.ts';
import type { Node } from '../model/workload.ts';
import { syntheticNodes } from './cluster-builder.ts';
import { InputError, quote } from './errors.ts';
import type { KubernetesObject } from './manifest-objects.ts';
import type { NodeObject } from './manifest-schema.ts';

export interface CompleteNode extends Node {
  /** Every internal IPv4 address, the primary one first. */
  readonly addresses: readonly number[];
  readonly podBlock: Cidr;
  readonly schedulable: boolean;
}

/** kubeadm's usual pod range, and the addresses that the nodes of a made-up cluster have. */
const DEFAULT_CLUSTER_CIDR = parseCidr('10.244.0.0/16') as Cidr;
const DEFAULT_NODES = 3;

/** Nodes by name. Without Node objects: those whose names pods and endpoints mention, else three made-up ones. */
export function completeNodes(
  objects: readonly KubernetesObject<NodeObject>[],
  mentioned: readonly string[],
  clusterCidr: Cidr,
): CompleteNode[] {
  if (objects.length === 0) {
    return syntheticNodes(mentioned.length > 0 ? mentioned.length : DEFAULT_NODES).map((node, i) => ({
      ...node,
      name: mentioned[i] ?? node.name,
      addresses: [node.address],
      podBlock: nodeBlock(i + 1, clusterCidr),
      schedulable: true,
    }));
  }
  const used = new Set<number>();
  const parsed = objects.map((object) => ({ object, addresses: internalAddresses(object) }));
  for (const { object, addresses } of parsed) {
    for (const address of addresses) {
      if (used.has(address))
        throw object.error(`Node ${object.name} has an address that another node has, too.`, ['status', 'addresses']);
      used.add(address);
    }
  }
  let next = syntheticNodes(1)[0]?.address ?? 0;
  return parsed.map(({ object, addresses }, i) => {
    while (used.has(next)) next++;
    const own = addresses.length > 0 ? addresses : [next];
    for (const address of own) used.add(address);
    const labels = object.data.metadata.labels ?? {};
    return {
      name: object.name,
      address: own[0],
      addresses: own,
      zone: labels['topology.kubernetes.io/zone'] ?? labels['failure-domain.beta.kubernetes.io/zone'] ?? '',
      podBlock: givenBlock(object) ?? nodeBlock(i + 1, clusterCidr),
      schedulable: object.data.spec?.unschedulable !== true,
    };
  });
}

function internalAddresses(object: KubernetesObject<NodeObject>): number[] {
  const found: number[] = [];
  (object.data.status?.addresses ?? []).forEach((each, i) => {
    if (each.type !== 'InternalIP' || each.address.includes(':')) return;
    const address = parseIpv4(each.address);
    if (address === undefined) {
      throw object.error(`An InternalIP of Node ${object.name} must be an IP address, got ${quote(each.address)}.`, [
        'status',
        'addresses',
        i,
        'address',
      ]);
    }
    found.push(address);
  });
  return found;
}

function givenBlock(object: KubernetesObject<NodeObject>): Cidr | undefined {
  const texts = [object.data.spec?.podCIDR, ...(object.data.spec?.podCIDRs ?? [])];
  for (const text of texts) {
    if (typeof text !== 'string' || text === '' || text.includes(':')) continue;
    const block = parseCidr(text);
    if (block === undefined || block.prefixLength > 30) {
      throw object.error(
        `The podCIDR of Node ${object.name} must be an IPv4 block such as "10.244.1.0/24", got ${quote(text)}.`,
        ['spec', 'podCIDR'],
      );
    }
    return block;
  }
  return undefined;
}

/** The n-th /24 of the cluster's pods. The upper half of the pods' range is kept for those that start later. */
function nodeBlock(number: number, clusterCidr: Cidr): Cidr {
  const address = clusterCidr.address + number * 256;
  if (number * 512 >= blockSize(clusterCidr)) {
    throw new InputError(
      `The pod range ${formatCidr(clusterCidr)} is too small for ${number} nodes with a /24 each; give the nodes a podCIDR or the cluster a larger cluster_cidr.`,
      { path: ['cluster', 'cluster_cidr'] },
    );
  }
  return { address, mask: 0xffffff00, prefixLength: 24 };
}

/** The pods' range: 10.244.0.0/16, or what holds the blocks of the given nodes (at least a /16). */
export function clusterCidrOf(objects: readonly KubernetesObject<NodeObject>[], warnings: string[]): Cidr {
  const blocks = objects.map(givenBlock).filter((block) => block !== undefined);
  if (blocks.every((block) => cidrContains(DEFAULT_CLUSTER_CIDR, block.address))) return DEFAULT_CLUSTER_CIDR;
  const first = blocks[0].address;
  for (let prefixLength = 16; prefixLength > 0; prefixLength--) {
    const mask = (0xffffffff << (32 - prefixLength)) >>> 0;
    const range = { address: (first & mask) >>> 0, mask, prefixLength };
    if (!blocks.every((block) => cidrContains(range, block.address))) continue;
    warnings.push(
      `The range of all pods is taken as ${formatCidr(range)}, from the nodes' podCIDRs; "cluster_cidr" says it exactly.`,
    );
    return range;
  }
  return { address: 0, mask: 0, prefixLength: 0 };
}

export function blockSize(block: Cidr): number {
  return (~block.mask >>> 0) + 1;
}
