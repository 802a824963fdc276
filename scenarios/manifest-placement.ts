/** The pods of a cluster of manifests: those given, and those that Deployments would have made; and where they are. */
import { didYouMean, InputError, quote } from './errors.ts';
import { mapMatches, selectorMatches } from './labels.ts';
import type { SlicesByService } from './manifest-endpoints.ts';
import type { CompleteNode } from './manifest-nodes.ts';
import { compareText, objectName } from './manifest-objects.ts';
import type { ManifestObjects } from './manifest-objects.ts';
import { deploymentPods, givenPod, podAddress } from './manifest-pods.ts';
import type { CompletePod, PodPlace, PodPlaces, PodSource } from './manifest-pods.ts';
import type { CompleteService } from './manifest-services.ts';

/** Pods of all Deployments together; more would outgrow the range of pod addresses. */
const POD_LIMIT = 20_000;

export function mentionedNodes(objects: ManifestObjects): string[] {
  const names = new Set<string>();
  for (const pod of objects.pods) if (pod.data.spec.nodeName) names.add(pod.data.spec.nodeName);
  for (const slice of objects.endpointSlices) {
    for (const endpoint of slice.data.endpoints ?? []) if (endpoint.nodeName) names.add(endpoint.nodeName);
  }
  return [...names].sort(compareText);
}

export function observedNode(nodes: readonly CompleteNode[], name: string | undefined): CompleteNode {
  if (name === undefined) return nodes[0];
  const node = nodes.find((each) => each.name === name);
  if (node !== undefined) return node;
  const names = nodes.map((each) => each.name);
  const shown = names.slice(0, 10).join(', ');
  throw new InputError(`There is no node ${quote(name)}; the cluster has ${shown}.${didYouMean(name, names)}`, {
    path: ['cluster', 'node'],
  });
}

export function usedAddresses(
  objects: ManifestObjects,
  nodes: readonly CompleteNode[],
  slices: SlicesByService,
): Set<number> {
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
export function allPods(
  objects: ManifestObjects,
  deployments: readonly PodSource[],
  services: readonly Pick<CompleteService, 'object'>[],
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
  deployment: PodSource,
  deployments: readonly PodSource[],
  services: readonly Pick<CompleteService, 'object'>[],
  slices: SlicesByService,
): PodPlace[] {
  if (slices.size === 0) return [];
  const selects = ({ object }: Pick<CompleteService, 'object'>, { model }: PodSource): boolean =>
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
