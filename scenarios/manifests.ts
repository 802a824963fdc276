/** Kubernetes manifests, or a dump of a cluster, made into what the simulation needs: service ports, endpoints, workloads, a node. */
import type { Cidr } from '../model/address.ts';
import type { ClusterState, NodeSpec } from '../model/cluster.ts';
import { FIRST_HEADLESS_ID } from '../model/workload.ts';
import type { WorkloadPlan } from '../model/workload.ts';
import { InputError } from './errors.ts';
import { completeDeployment } from './manifest-deployments.ts';
import type { CompleteDeployment } from './manifest-deployments.ts';
import { completeSlices, joinEndpoints } from './manifest-endpoints.ts';
import { completeHeadless, serviceAliases } from './manifest-headless.ts';
import { clusterCidrOf, completeNodes } from './manifest-nodes.ts';
import type { CompleteNode } from './manifest-nodes.ts';
import { collectObjects } from './manifest-objects.ts';
import type { ManifestFile, ManifestObjects } from './manifest-objects.ts';
import { allPods, mentionedNodes, observedNode, usedAddresses } from './manifest-placement.ts';
import { PodPlaces, toModelPod } from './manifest-pods.ts';
import { completeServices } from './manifest-services.ts';
import type { ObservedPlace } from './spec.ts';
import { cutOffHook, overrideDeployments } from './workload-overrides.ts';
import type { WorkloadOverrides } from './workload-overrides.ts';

export type { ManifestFile } from './manifest-objects.ts';

export interface ManifestOptions {
  /** Name of the observed node; the first by name unless given. */
  readonly node?: string | undefined;
  /** Range of all pods; from the nodes' podCIDRs, or 10.244.0.0/16, unless given. */
  readonly clusterCidr?: Cidr | undefined;
  /** In place of what the Deployments say. */
  readonly overrides?: WorkloadOverrides | undefined;
}

export interface ManifestResult {
  readonly node: NodeSpec;
  readonly state: ClusterState;
  readonly workload: WorkloadPlan;
  /** The observed node's own block of pod addresses. */
  readonly podBlock: Cidr;
  /** The other nodes: those that follow the observed one by name, and then those before it. */
  readonly otherNodes: readonly ObservedPlace[];
  readonly warnings: readonly string[];
}

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
  const written = objects.deployments.map((object) => completeDeployment(object, warnings));
  const deployments = withOverrides(written, objects, options.overrides ?? {}, warnings);
  const places = new PodPlaces(nodes, usedAddresses(objects, nodes, slices), clusterCidr);
  const pods = allPods(objects, deployments, services, slices, places, warnings);
  const zones = new Map(nodes.map(({ name, zone }) => [name, zone]));
  const { servicePorts, bindings } = joinEndpoints(services, slices, pods, deployments, zones, warnings);
  // Without DNS nobody asks for them, so that nothing is said of them here.
  const headless = joinEndpoints(
    completeHeadless(objects.services),
    slices,
    pods,
    deployments,
    zones,
    [],
    FIRST_HEADLESS_ID,
  );
  const aliases = serviceAliases(objects.services);
  const running = pods.filter((pod) => pod.deployment >= 0 && pod.ready && !pod.terminating);
  return {
    ...placeOf(node, clusterCidr),
    otherNodes: othersOf(nodes, node).map((each) => placeOf(each, clusterCidr)),
    state: { servicePorts },
    workload: {
      nodes: nodes.map(({ name, address, zone, schedulable }) => ({
        name,
        address,
        zone,
        ...(schedulable ? {} : { unschedulable: true }),
      })),
      deployments: deployments.map((deployment) => deployment.model),
      pods: running.sort((a, b) => a.deployment - b.deployment).map(toModelPod),
      bindings: [...bindings, ...headless.bindings],
      firstFreePodAddress: places.firstFree,
      ...(headless.servicePorts.length === 0 ? {} : { headlessPorts: headless.servicePorts }),
      ...(aliases.length === 0 ? {} : { aliases }),
    },
    warnings,
  };
}

function placeOf({ name, addresses, zone, podBlock }: CompleteNode, clusterCidr: Cidr): ObservedPlace {
  return { node: { name, addresses, clusterCidr, ...(zone === '' ? {} : { zone }) }, podBlock };
}

function othersOf(nodes: readonly CompleteNode[], node: CompleteNode): CompleteNode[] {
  const place = nodes.indexOf(node);
  return [...nodes.slice(place + 1), ...nodes.slice(0, place)];
}

function withOverrides(
  deployments: readonly CompleteDeployment[],
  objects: ManifestObjects,
  overrides: WorkloadOverrides,
  warnings: string[],
): CompleteDeployment[] {
  const givenKind = objects.pods.length > 0 ? 'Pods' : objects.endpointSlices.length > 0 ? 'EndpointSlices' : undefined;
  if (overrides.replicas !== undefined && givenKind !== undefined) {
    throw new InputError(
      `"cluster.replicas" is for pods that Deployments make; the manifests have ${givenKind} of their own.`,
      { path: ['cluster', 'replicas'] },
    );
  }
  const models = overrideDeployments(
    deployments.map(({ model }) => model),
    overrides,
  );
  for (const model of models) {
    const warning = cutOffHook(model);
    if (warning !== undefined) warnings.push(warning);
  }
  return deployments.map((deployment, i) => ({ ...deployment, model: models[i] }));
}
