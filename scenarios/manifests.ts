/** Kubernetes manifests, or a dump of a cluster, made into what the simulation needs: service ports, endpoints, workloads, a node. */
import type { Cidr } from '../model/address.ts';
import type { ClusterState, NodeSpec } from '../model/cluster.ts';
import { FIRST_HEADLESS_ID } from '../model/workload.ts';
import type { WorkloadPlan } from '../model/workload.ts';
import { completeDeployment } from './manifest-deployments.ts';
import { completeSlices, joinEndpoints } from './manifest-endpoints.ts';
import { completeHeadless, serviceAliases } from './manifest-headless.ts';
import { clusterCidrOf, completeNodes } from './manifest-nodes.ts';
import { collectObjects } from './manifest-objects.ts';
import type { ManifestFile } from './manifest-objects.ts';
import { allPods, mentionedNodes, observedNode, usedAddresses } from './manifest-placement.ts';
import { PodPlaces, toModelPod } from './manifest-pods.ts';
import { completeServices } from './manifest-services.ts';

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
    node: {
      name: node.name,
      addresses: node.addresses,
      clusterCidr,
      ...(node.zone === '' ? {} : { zone: node.zone }),
    },
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
    podBlock: node.podBlock,
    warnings,
  };
}
