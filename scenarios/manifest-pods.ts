/** Pods: those given, and those that Deployments would have made, on nodes and with addresses. */
import { cidrContains, parseIpv4 } from '../model/address.ts';
import type { Cidr } from '../model/address.ts';
import { canonicalIp } from '../model/ip-text.ts';
import type { Deployment, Pod } from '../model/workload.ts';
import { hashText, nameSuffix } from './allocate.ts';
import { quote } from './errors.ts';
import { blockSize } from './manifest-nodes.ts';
import type { CompleteNode } from './manifest-nodes.ts';
import { objectName } from './manifest-objects.ts';
import type { KubernetesObject } from './manifest-objects.ts';
import type { Container, DeploymentObject, PodObject } from './manifest-schema.ts';

/** A kubelet runs at most 110 pods unless told otherwise; the rest of a block is for client pods. */
const PODS_A_NODE = 110;

/** Hands out nodes in turn and pod addresses: from a node's block, then from the range that all nodes share. */
export class PodPlaces {
  readonly #nodes: readonly CompleteNode[];
  readonly #used: Set<number>;
  readonly #placed: number[];
  readonly #next: number[];
  #turn = 0;
  #shared: number;

  constructor(nodes: readonly CompleteNode[], used: Set<number>, clusterCidr: Cidr) {
    const open = nodes.filter((node) => node.schedulable);
    this.#nodes = open.length > 0 ? open : nodes;
    this.#used = used;
    this.#placed = this.#nodes.map(() => 0);
    this.#next = this.#nodes.map((node) => node.podBlock.address + 2);
    this.#shared = clusterCidr.address + blockSize(clusterCidr) / 2 + 1;
    // New pods count up from here, so it has to lie above whatever has an address there already.
    for (const address of used)
      if (address >= this.#shared && cidrContains(clusterCidr, address)) this.#shared = address + 1;
  }

  next(nodeName: string | undefined): PodPlace {
    const turn = this.#turn++ % this.#nodes.length;
    const named = this.#nodes.findIndex((node) => node.name === nodeName);
    const index = named >= 0 ? named : turn;
    const node = this.#nodes[index];
    return { nodeName: nodeName ?? node.name, address: this.#address(index, node) };
  }

  #address(index: number, node: CompleteNode): number {
    const last = node.podBlock.address + blockSize(node.podBlock) - 2;
    let address = this.#next[index];
    while (this.#used.has(address)) address++;
    if (this.#placed[index] >= PODS_A_NODE || address > last) address = this.#shared++;
    else this.#next[index] = address + 1;
    this.#placed[index] = this.#placed[index] + 1;
    this.#used.add(address);
    return address;
  }

  get firstFree(): number {
    return this.#shared;
  }
}

/** A pod beside what the control plane needs of it: its labels and named ports select it. */
export interface CompletePod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly containers: readonly Container[];
  readonly address: number;
  readonly nodeName: string;
  readonly ready: boolean;
  readonly terminating: boolean;
  /** Index of its Deployment, or -1. */
  readonly deployment: number;
  /** Addresses of both families in the Pod's status, canonical; absent when there are none. */
  readonly givenIps?: readonly string[];
}

/** What a Deployment's pods are made from. */
export interface PodSource {
  readonly object: KubernetesObject<DeploymentObject>;
  readonly model: Pick<Deployment, 'namespace' | 'name' | 'replicas' | 'labels'>;
}

export interface PodPlace {
  readonly nodeName: string;
  readonly address: number;
}

/** The pods that a Deployment's ReplicaSet has made, named as it would name them. `known` places (from EndpointSlices) are used first. */
export function deploymentPods(
  deployment: PodSource,
  index: number,
  known: readonly PodPlace[],
  places: PodPlaces,
): CompletePod[] {
  const { object, model } = deployment;
  const { template } = object.data.spec;
  const set = `${model.name}-${nameSuffix(`${model.namespace}/${model.name}/${hashText(JSON.stringify(template))}`, 10)}`;
  return Array.from({ length: model.replicas }, (_, i) => ({
    namespace: model.namespace,
    name: `${set}-${nameSuffix(`${model.namespace}/${set}/${i}`, 5)}`,
    labels: model.labels,
    containers: template.spec.containers,
    ...(known[i] ?? places.next(template.spec.nodeName ?? undefined)),
    ready: true,
    terminating: false,
    deployment: index,
  }));
}

/** A given Pod; `undefined` when it has ended. `place` gives it a node and an address if it has none. */
export function givenPod(
  object: KubernetesObject<PodObject>,
  deployment: number,
  places: PodPlaces,
): CompletePod | undefined {
  const { metadata, spec, status } = object.data;
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return undefined;
  const ready = (status?.conditions ?? []).find((condition) => condition.type === 'Ready');
  const address = podAddress(object);
  const givenIps = podIps(object);
  const place = address === undefined || !spec.nodeName ? places.next(spec.nodeName ?? undefined) : undefined;
  return {
    namespace: object.namespace,
    name: object.name,
    labels: metadata.labels ?? {},
    containers: spec.containers,
    address: address ?? (place?.address as number),
    nodeName: spec.nodeName ?? (place?.nodeName as string),
    ready: ready === undefined ? status?.phase === undefined || status.phase === 'Running' : ready.status === 'True',
    terminating: typeof metadata.deletionTimestamp === 'string',
    deployment,
    ...(givenIps.length === 0 ? {} : { givenIps }),
  };
}

/** The IPv4 address in a Pod's status, if it has one. */
export function podAddress(object: KubernetesObject<PodObject>): number | undefined {
  const ipv4 = podIps(object).find((address) => !address.includes(':'));
  return ipv4 === undefined ? undefined : parseIpv4(ipv4);
}

/** Every address in a Pod's status, canonical. */
function podIps(object: KubernetesObject<PodObject>): string[] {
  const { status } = object.data;
  const texts = [status?.podIP, ...(status?.podIPs ?? []).map((each) => each.ip)];
  return texts.flatMap((text) => {
    if (typeof text !== 'string' || text === '') return [];
    const address = canonicalIp(text);
    if (address !== undefined) return [address];
    const path = text === status?.podIP ? ['status', 'podIP'] : ['status', 'podIPs'];
    throw object.error(`The podIP of Pod ${objectName(object)} must be an IP address, got ${quote(text)}.`, path);
  });
}

export function toModelPod(pod: CompletePod): Pod {
  return { name: pod.name, address: pod.address, nodeName: pod.nodeName, deployment: pod.deployment };
}
