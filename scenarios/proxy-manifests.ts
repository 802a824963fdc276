/**
 * Kubernetes manifests made into the objects that a kube-proxy would watch in a cluster that runs them: all that it makes rules
 * from, of both families. What sweeps simulate of them is in manifests.ts.
 */
import { formatCidr, formatIpv4 } from '../model/address.ts';
import { canonicalCidr, canonicalIp, cidrContainsIp, familyOf, familyOfCidr } from '../model/ip-text.ts';
import { quote } from './errors.ts';
import { completeSlices } from './manifest-endpoints.ts';
import { clusterCidrOf, completeNodes } from './manifest-nodes.ts';
import { collectObjects } from './manifest-objects.ts';
import { allPods, mentionedNodes, observedNode, usedAddresses } from './manifest-placement.ts';
import { PodPlaces } from './manifest-pods.ts';
import { derivedSlices, givenSlices } from './proxy-slices.ts';
import { storeServices } from './proxy-services.ts';
import type { Cidr } from '../model/address.ts';
import type { IpFamily } from '../model/service-config.ts';
import type { KubernetesObject, ManifestFile } from './manifest-objects.ts';
import type { CompleteNode } from './manifest-nodes.ts';
import type { DeploymentObject, NodeObject } from './manifest-schema.ts';
import type { ServiceObject, SliceObject } from './proxy-object-schema.ts';

export interface ProxyManifests {
  readonly services: readonly ServiceObject[];
  readonly slices: readonly SliceObject[];
  readonly node: { readonly name: string; readonly zone: string; readonly addresses: readonly string[] };
  /** The range of all pods of a family; empty when it is not known. */
  readonly podCidrs: Readonly<Record<IpFamily, string>>;
  /** What is left out or taken for granted. */
  readonly notes: readonly string[];
  /** Addresses and ports that the manifests leave open, as they were chosen. */
  readonly assigned: readonly string[];
}

/** kind's range of IPv6 pods. */
const DEFAULT_IPV6_PODS = 'fd00:10:244::/56';
/** Where nodes have IPv6 addresses that nobody gave: the IPv4 address in the last 32 bits. */
const IPV6_NODES = 'fd00:10::';

/** `node` is the name of the observed one; the first by name unless given. Throws an InputError with the object's line. */
export function readProxyManifests(files: readonly ManifestFile[], node?: string): ProxyManifests {
  const objects = collectObjects(files);
  const notes = [...objects.warnings];
  const assigned: string[] = [];
  const mentioned = mentionedNodes(objects);
  const clusterCidr = wideEnough(clusterCidrOf(objects.nodes, notes), Math.max(objects.nodes.length, mentioned.length));
  const nodes = completeNodes(objects.nodes, mentioned, clusterCidr);
  const observed = observedNode(nodes, node);
  const services = storeServices(objects.services, { notes, assigned });

  const given = givenSlices(objects.endpointSlices, new Set(objects.services.map(nameOf)), notes);
  const ipv4Slices = completeSlices(objects.endpointSlices, objects.services, []);
  const places = new PodPlaces(nodes, usedAddresses(objects, nodes, ipv4Slices), clusterCidr);
  const sources = objects.deployments.map(podSource);
  const withService = services.map(({ source }) => ({ object: source }));
  const pods = allPods(objects, sources, withService, ipv4Slices, places, notes);
  const zones = new Map(nodes.map(({ name, zone }) => [name, zone]));
  return {
    services: services.map(({ object }) => object),
    slices: [...given, ...derivedSlices(services, pods, given, zones, notes)],
    node: { name: observed.name, zone: observed.zone, addresses: nodeAddresses(observed, objects.nodes) },
    podCidrs: { IPv4: formatCidr(clusterCidr), IPv6: ipv6PodsOf(objects.nodes, notes) },
    notes,
    assigned,
  };
}

function nameOf({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}

/** Rules need the pods of a Deployment and nothing else of it: what is odd elsewhere in it is no mistake here. */
function podSource(object: KubernetesObject<DeploymentObject>) {
  const { replicas, template } = object.data.spec;
  const labels = template.metadata?.labels ?? {};
  return { object, model: { namespace: object.namespace, name: object.name, replicas: replicas ?? 1, labels } };
}

/** The range with half of it room for a /24 on each node (see completeNodes). */
function wideEnough(range: Cidr, nodes: number): Cidr {
  let { address, mask, prefixLength } = range;
  while (prefixLength > 0 && (nodes + 1) * 512 > (~mask >>> 0) + 1) {
    prefixLength--;
    mask = prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0;
    address = (address & mask) >>> 0;
  }
  return { address, mask, prefixLength };
}

/** A node's InternalIPs; of one that has none, an address of each family is made up. */
function nodeAddresses(node: CompleteNode, objects: readonly KubernetesObject<NodeObject>[]): string[] {
  const object = objects.find((each) => each.name === node.name);
  const given = (object?.data.status?.addresses ?? []).flatMap(({ type, address }, i) => {
    if (type !== 'InternalIP') return [];
    const canonical = canonicalIp(address);
    if (canonical !== undefined) return [canonical];
    throw (object as KubernetesObject<NodeObject>).error(
      `An InternalIP of Node ${node.name} must be an IP address, got ${quote(address)}.`,
      ['status', 'addresses', i, 'address'],
    );
  });
  if (given.length > 0) return [...new Set(given)];
  const ipv4 = formatIpv4(node.address);
  return [ipv4, canonicalIp(`${IPV6_NODES}${ipv4}`) ?? ''];
}

/** kind's range, where no node has a block outside it; otherwise nobody knows. */
function ipv6PodsOf(nodes: readonly KubernetesObject<NodeObject>[], notes: string[]): string {
  let isKnown = true;
  for (const node of nodes) {
    const { podCIDR, podCIDRs } = node.data.spec ?? {};
    for (const text of new Set([podCIDR, ...(podCIDRs ?? [])])) {
      if (typeof text !== 'string' || !text.includes(':')) continue;
      const block = canonicalCidr(text);
      if (block === undefined || familyOfCidr(block) !== 'IPv6') {
        throw node.error(
          `The podCIDR of Node ${node.name} must be a block such as "fd00:10:244::/64", got ${quote(text)}.`,
          ['spec', 'podCIDRs'],
        );
      }
      isKnown &&= cidrContainsIp(DEFAULT_IPV6_PODS, block.split('/')[0]);
    }
  }
  if (isKnown) return canonicalCidr(DEFAULT_IPV6_PODS) ?? '';
  notes.push('The range of all IPv6 pods is not known; IPv6 rules detect no local traffic unless told the range.');
  return '';
}

/** The first address of a family; empty when there is none. */
export function addressOfFamily(addresses: readonly string[], family: IpFamily): string {
  return addresses.find((address) => familyOf(address) === family) ?? '';
}
