/** Kubernetes manifests, or a dump of a cluster, made into what the simulation needs: service ports, endpoints, workloads, a node. */
import type { Cidr } from '../model/address.ts';
import type { ClusterState, NodeSpec } from '../model/cluster.ts';
import type { WorkloadPlan } from '../model/workload.ts';
import { didYouMean, InputError, quote } from './errors.ts';
import { mapMatches, selectorMatches } from './labels.ts';
import { completeDeployment } from './manifest-deployments.ts';
import type { CompleteDeployment } from './manifest-deployments.ts';
import { completeSlices, joinEndpoints } from './manifest-endpoints.ts';
import type { SlicesByService } from './manifest-endpoints.ts';
import { clusterCidrOf, completeNodes } from './manifest-nodes.ts';
import type { CompleteNode } from './manifest-nodes.ts';
import { collectObjects, compareText, objectName } from './manifest-objects.ts';
import type { ManifestFile, ManifestObjects } from './manifest-objects.ts';
import { deploymentPods, givenPod, podAddress, PodPlaces, toModelPod } from './manifest-pods.ts';
import type { CompletePod, PodPlace } from './manifest-pods.ts';
import { completeServices } from './manifest-services.ts';
import type { CompleteService } from './manifest-services.ts';

export type { ManifestFile } from './manifest-objects.ts';

export interface ManifestOptions {
  /** Name of the observed node; the first by name unless given. */
  readonly node?: string | undefined;
  /** Range of all pods; from the nodes' podCIDRs, or 10.244.0.0/16, unless given. */
  readonly clusterCidr?: Cidr | undefined;
}

export interface ManifestResult {
  readonly node: NodeSpec;
  readonly state: ClusterState;
  readonly workload: WorkloadPlan;
  /** The observed node's own block of pod addresses. */
  readonly podBlock: Cidr;
  readonly warnings: readonly string[];
}

/** Pods of all Deployments together; more would outgrow the range of pod addresses. */
const POD_LIMIT = 20_000;

/**
 * Reads objects and fills in what the API server and the controllers would: namespaces, cluster IPs, node ports, pods,
 * endpoints. Every choice is by name, so one manifest gives one cluster. Throws an InputError with the object's line.
 */
export function readManifests(files: readonly ManifestFile[], options: ManifestOptions = {}): ManifestResult {
  const objects = collectObjects(files);
  const warnings = [...objects.warnings];
  const clusterCidr = options.clusterCidr ?? clusterCidrOf(objects.nodes, warnings);
  const nodes = completeNodes(objects.nodes, mentionedNodes(objects), clusterCidr);
  const node = observedNode(nodes, options.node);
  const services = completeServices(objects.services, warnings);
  const slices = completeSlices(objects.endpointSlices, objects.services, warnings);
  const deployments = objects.deployments.map((object) => completeDeployment(object, warnings));
  const places = new PodPlaces(nodes, usedAddresses(objects, nodes, slices), clusterCidr);
  const pods = allPods(objects, deployments, services, slices, places, warnings);
  const { servicePorts, bindings } = joinEndpoints(services, slices, pods, deployments, warnings);
  const running = pods.filter((pod) => pod.deployment >= 0 && pod.ready && !pod.terminating);
  return {
    node: { name: node.name, addresses: node.addresses, clusterCidr },
    state: { servicePorts },
    workload: {
      nodes: nodes.map(({ name, address, zone }) => ({ name, address, zone })),
      deployments: deployments.map((deployment) => deployment.model),
      pods: running.sort((a, b) => a.deployment - b.deployment).map(toModelPod),
      bindings,
      firstFreePodAddress: places.firstFree,
    },
    podBlock: node.podBlock,
    warnings,
  };
}

function mentionedNodes(objects: ManifestObjects): string[] {
  const names = new Set<string>();
  for (const pod of objects.pods) if (pod.data.spec.nodeName) names.add(pod.data.spec.nodeName);
  for (const slice of objects.endpointSlices) {
    for (const endpoint of slice.data.endpoints ?? []) if (endpoint.nodeName) names.add(endpoint.nodeName);
  }
  return [...names].sort(compareText);
}

function observedNode(nodes: readonly CompleteNode[], name: string | undefined): CompleteNode {
  if (name === undefined) return nodes[0];
  const node = nodes.find((each) => each.name === name);
  if (node !== undefined) return node;
  const names = nodes.map((each) => each.name);
  const shown = names.slice(0, 10).join(', ');
  throw new InputError(`There is no node ${quote(name)}; the cluster has ${shown}.${didYouMean(name, names)}`, {
    path: ['cluster', 'node'],
  });
}

function usedAddresses(objects: ManifestObjects, nodes: readonly CompleteNode[], slices: SlicesByService): Set<number> {
  const used = new Set<number>();
  for (const node of nodes) for (const address of node.addresses) used.add(address);
  for (const pod of objects.pods) {
    const address = podAddress(pod);
    if (address !== undefined) used.add(address);
  }
  for (const list of slices.values()) {
    for (const slice of list) for (const endpoint of slice.endpoints) used.add(endpoint.address);
  }
  return used;
}

/** Given pods, and for Deployments without any the pods that they would have made. */
function allPods(
  objects: ManifestObjects,
  deployments: readonly CompleteDeployment[],
  services: readonly CompleteService[],
  slices: SlicesByService,
  places: PodPlaces,
  warnings: string[],
): CompletePod[] {
  const pods: CompletePod[] = [];
  const given = deployments.map(() => 0);
  for (const object of objects.pods) {
    const labels = object.data.metadata.labels ?? {};
    const owner = deployments.findIndex(
      ({ object: each }) => each.namespace === object.namespace && selectorMatches(each.data.spec.selector, labels),
    );
    const pod = givenPod(object, owner, places);
    if (pod === undefined) continue;
    pods.push(pod);
    if (owner >= 0) given[owner] = given[owner] + 1;
  }
  let derived = 0;
  deployments.forEach((deployment, i) => {
    const count = given[i];
    const { model, object } = deployment;
    if (count > 0) {
      if (count !== model.replicas) {
        warnings.push(
          `Deployment ${objectName(object)} asks for ${model.replicas} replicas and ${count} of its pods are given; those given are used.`,
        );
      }
      return;
    }
    derived += model.replicas;
    if (derived > POD_LIMIT) {
      throw object.error(`The Deployments together ask for more than ${POD_LIMIT} pods.`, ['spec', 'replicas']);
    }
    pods.push(...deploymentPods(deployment, i, knownPlaces(deployment, deployments, services, slices), places));
  });
  return pods;
}

/** Where the pods of a Deployment are, if EndpointSlices of a Service that selects it alone say so. */
function knownPlaces(
  deployment: CompleteDeployment,
  deployments: readonly CompleteDeployment[],
  services: readonly CompleteService[],
  slices: SlicesByService,
): PodPlace[] {
  if (slices.size === 0) return [];
  const selects = ({ object }: CompleteService, { model }: CompleteDeployment): boolean =>
    object.namespace === model.namespace && mapMatches(object.data.spec.selector ?? {}, model.labels);
  const service = services.find(
    (each) =>
      slices.has(objectName(each.object)) &&
      selects(each, deployment) &&
      deployments.filter((other) => selects(each, other)).length === 1,
  );
  const found = new Map<number, PodPlace>();
  for (const slice of service === undefined ? [] : (slices.get(objectName(service.object)) ?? [])) {
    for (const { address, nodeName, ready, terminating } of slice.endpoints) {
      if (ready && !terminating) found.set(address, { address, nodeName });
    }
  }
  return [...found.values()];
}
