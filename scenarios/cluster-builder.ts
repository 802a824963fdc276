/** A cluster's spec made into service ports, endpoints and workloads. Pure: nothing of a cluster is drawn at random. */
import { parseCidr } from '../model/address.ts';
import type { Cidr } from '../model/address.ts';
import type { ClusterState, Endpoint, EndpointHints, NodeSpec, ServiceExtras, ServicePort } from '../model/cluster.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../model/protocol.ts';
import { distributionHints } from '../model/topology-hints.ts';
import type { Node, WorkloadPlan } from '../model/workload.ts';
import type { Rng } from '../sim/rng.ts';
import type { ClusterSpec, ManifestCluster, ObservedPlace, SyntheticCluster } from './spec.ts';
import { syntheticWorkload } from './synthetic-workload.ts';

export interface BuiltCluster {
  readonly node: NodeSpec;
  readonly state: ClusterState;
  readonly workload: WorkloadPlan;
  readonly warnings: readonly string[];
  /** Service ports with ids below this are those of manifests; 0 in a synthetic cluster. */
  readonly manifestServicePorts: number;
  /** The observed node's own block of pod addresses: client pods live here, where no endpoint does. */
  readonly podBlock: Cidr;
  /** Further observed nodes. */
  readonly others: readonly ObservedPlace[];
}

/** The cluster as each observed node sees it, the first one first. */
export function viewsOf(cluster: BuiltCluster): BuiltCluster[] {
  return [cluster, ...cluster.others.map((place) => ({ ...cluster, ...place }))];
}

/** 10.96.0.0: the first service address of kubeadm's default service range, 10.96.0.0/12. */
const SERVICE_RANGE = cidr('10.96.0.0/12');
/** Pods of synthetic services: consecutive addresses, 2^23 of them. The 10.244 and 10.255 parts are kept for others. */
const SYNTHETIC_PODS = cidr('10.128.0.0/9');
const SYNTHETIC_CLIENTS = cidr('10.255.0.0/16');
/** The i-th further observed node has the i-th 256 addresses from here on. */
const OTHER_CLIENTS = cidr('10.254.0.0/16');
const FIRST_NODE = 0xc0a8000b; // 192.168.0.11
const FIRST_NODE_PORT = 30000;
/** Halves of the shared address space, 100.64.0.0/10 (RFC 6598), for addresses of load balancers and external IPs. */
const LOAD_BALANCERS = cidr('100.64.0.0/11');
const EXTERNAL_IPS = cidr('100.96.0.0/11');
const SERVICE_PORT = 80;
const TARGET_PORT = 8080;
/** Extra services of a manifest cluster take addresses from 10.100.0.1 on, apart from the assigned ones of the manifests. */
const FIRST_EXTRA_SERVICE = 0x0a640001;

/** `rng` is part of the contract of all planners; a cluster takes nothing from it, so equal specs give equal clusters. */
export function buildCluster(spec: ClusterSpec, rng?: Rng): BuiltCluster;
export function buildCluster(spec: ClusterSpec): BuiltCluster {
  return spec.kind === 'synthetic' ? buildSynthetic(spec) : buildFromManifests(spec);
}

function buildSynthetic(spec: SyntheticCluster): BuiltCluster {
  const nodes = syntheticNodes(spec.nodes);
  const crowd = buildCrowd({
    spec,
    namespace: 'synthetic',
    firstId: 0,
    firstServiceAddress: SERVICE_RANGE.address + 1,
    nodes,
    used: new Set(),
  });
  const { servicePorts, nextPodAddress } = crowd;
  const observed = nodes.slice(0, spec.observedNodes).map(({ name, address, zone }, i) => ({
    node: { name, addresses: [address], clusterCidr: SYNTHETIC_PODS, zone },
    podBlock: i === 0 ? SYNTHETIC_CLIENTS : clientBlock(i - 1),
  }));
  return {
    ...observed[0],
    others: observed.slice(1),
    state: { servicePorts },
    workload: spec.deployments
      ? syntheticWorkload(spec, servicePorts, nodes, nextPodAddress, TARGET_PORT)
      : { nodes, deployments: [], pods: [], bindings: [], firstFreePodAddress: nextPodAddress },
    warnings: [],
    manifestServicePorts: 0,
  };
}

function clientBlock(i: number): Cidr {
  return { address: OTHER_CLIENTS.address + 256 * i, mask: 0xffffff00, prefixLength: 24 };
}

/** Nodes `node-1` .. `node-n` at 192.168.0.11 and up, in zones a, b, c in turn. */
export function syntheticNodes(count: number): Node[] {
  const zones = ['a', 'b', 'c'] as const;
  return Array.from({ length: count }, (_, i) => ({
    name: `node-${i + 1}`,
    address: FIRST_NODE + i,
    zone: zones[i % 3],
  }));
}

function buildFromManifests(spec: ManifestCluster): BuiltCluster {
  const own = spec.state.servicePorts;
  const podBlock = spec.podBlock ?? blockOfNode(spec);
  const base = {
    workload: spec.workload,
    warnings: [],
    manifestServicePorts: own.length,
    podBlock,
    others: spec.others ?? [],
  };
  if (spec.extraServices === 0) return { ...base, node: spec.node, state: spec.state };
  const used = new Set<number>(spec.node.addresses);
  const namespaces = new Set<string>();
  for (const svc of own) {
    used.add(svc.clusterIp);
    namespaces.add(svc.namespace);
    for (const endpoint of svc.endpoints) used.add(endpoint.address);
  }
  for (const pod of spec.workload.pods) used.add(pod.address);
  for (const node of spec.workload.nodes) used.add(node.address);
  let namespace = 'synthetic';
  for (let i = 2; namespaces.has(namespace); i++) namespace = `synthetic-${i}`;
  const crowd = buildCrowd({
    spec: { ...PLAIN_SERVICES, services: spec.extraServices, endpointsPerService: spec.extraEndpointsPerService },
    namespace,
    firstId: own.length,
    firstServiceAddress: FIRST_EXTRA_SERVICE,
    nodes: spec.workload.nodes,
    used,
  });
  // The crowd's pods are pods of this cluster, so the cluster's block has to hold them as well.
  const widened = (node: NodeSpec): NodeSpec =>
    node.clusterCidr === undefined ? node : { ...node, clusterCidr: SYNTHETIC_PODS };
  const others = base.others.map((place) => ({ ...place, node: widened(place.node) }));
  return { ...base, others, node: widened(spec.node), state: { servicePorts: [...own, ...crowd.servicePorts] } };
}

function blockOfNode(spec: ManifestCluster): Cidr {
  const index = Math.max(
    0,
    spec.workload.nodes.findIndex((node) => node.name === spec.node.name),
  );
  return { address: 0x0af40000 + (((index + 1) & 255) << 8), mask: 0xffffff00, prefixLength: 24 };
}

type CrowdSpec = Omit<SyntheticCluster, 'kind' | 'nodes' | 'deployments' | 'observedNodes'>;

/** ClusterIP Services of one TCP port and nothing special. */
export const PLAIN_SERVICES: Omit<CrowdSpec, 'services' | 'endpointsPerService'> = {
  ports: 1,
  protocol: 'tcp',
  nodePortRatio: 0,
  emptyRatio: 0,
  loadBalancerRatio: 0,
  externalIpRatio: 0,
  sourceRanges: [],
  externalPolicyLocal: false,
  internalPolicyLocal: false,
  affinitySeconds: 0,
  trafficDistribution: undefined,
};

interface Crowd {
  readonly spec: CrowdSpec;
  readonly namespace: string;
  readonly firstId: number;
  readonly firstServiceAddress: number;
  readonly nodes: readonly Node[];
  /** Addresses that something else has; they are passed over. */
  readonly used: ReadonlySet<number>;
}

const PROTOCOLS = { tcp: PROTOCOL_TCP, udp: PROTOCOL_UDP, sctp: PROTOCOL_SCTP } as const;

/** Service k is `svc-k`; its pods follow those of service k-1, on the nodes in turn. */
function buildCrowd(crowd: Crowd): { servicePorts: ServicePort[]; nextPodAddress: number } {
  const { spec, used, nodes } = crowd;
  const withNodePort = Math.ceil(spec.services * spec.nodePortRatio);
  // Nodes are few and pods many: one object of hints for each node.
  const hints = nodes.map(({ name, zone }) => distributionHints(spec.trafficDistribution, name, zone));
  const servicePorts: ServicePort[] = [];
  let clusterIp = crowd.firstServiceAddress - 1;
  let podAddress = SYNTHETIC_PODS.address;
  let podNumber = 0;
  let nodePort = FIRST_NODE_PORT;
  // Health-check ports are of TCP, whatever the services are.
  let healthCheckPort = FIRST_NODE_PORT + (spec.protocol === 'tcp' ? withNodePort * spec.ports : 0);
  for (let k = 0; k < spec.services; k++) {
    do clusterIp++;
    while (used.has(clusterIp));
    const empty = Math.floor((k + 1) * spec.emptyRatio) > Math.floor(k * spec.emptyRatio);
    const pods: { address: number; node: number }[] = [];
    for (let e = empty ? spec.endpointsPerService : 0; e < spec.endpointsPerService; e++) {
      do podAddress++;
      while (used.has(podAddress));
      pods.push({ address: podAddress, node: podNumber % nodes.length });
      podNumber++;
    }
    const extras = extrasOf(spec, k, healthCheckPort);
    if (extras !== undefined && extras.healthCheckNodePort > 0) healthCheckPort++;
    for (let port = 0; port < spec.ports; port++) {
      servicePorts.push({
        id: crowd.firstId + servicePorts.length,
        namespace: crowd.namespace,
        name: `svc-${k + 1}`,
        portName: spec.ports === 1 ? '' : `p${port}`,
        protocol: PROTOCOLS[spec.protocol],
        clusterIp,
        port: SERVICE_PORT + port,
        nodePort: k < withNodePort ? nodePort++ : 0,
        ...(extras === undefined ? {} : { extras }),
        endpoints: pods.map((pod) =>
          readyEndpoint(pod.address, TARGET_PORT + port, nodes[pod.node].name, hints[pod.node]),
        ),
      });
    }
  }
  return { servicePorts, nextPodAddress: podAddress + 1 };
}

/**
 * Of service number k, from 0. Those of type LoadBalancer allocate no node ports of their own (allocateLoadBalancerNodePorts false);
 * `node_port_ratio` gives them. `healthCheckPort` is the next free one.
 */
function extrasOf(spec: CrowdSpec, k: number, healthCheckPort: number): ServiceExtras | undefined {
  const hasLoadBalancer = k < Math.ceil(spec.services * spec.loadBalancerRatio);
  const hasExternalIp = k < Math.ceil(spec.services * spec.externalIpRatio);
  const isOutside = hasLoadBalancer || hasExternalIp || k < Math.ceil(spec.services * spec.nodePortRatio);
  const externalPolicyLocal = spec.externalPolicyLocal && isOutside;
  const isSpecial = hasLoadBalancer || hasExternalIp || externalPolicyLocal;
  if (!isSpecial && !spec.internalPolicyLocal && spec.affinitySeconds === 0) return undefined;
  return {
    externalIps: hasExternalIp ? [EXTERNAL_IPS.address + 1 + k] : [],
    loadBalancerVips: hasLoadBalancer ? [LOAD_BALANCERS.address + 1 + k] : [],
    loadBalancerSourceRanges: hasLoadBalancer ? spec.sourceRanges : [],
    externalPolicyLocal,
    internalPolicyLocal: spec.internalPolicyLocal,
    affinitySeconds: spec.affinitySeconds,
    healthCheckNodePort: hasLoadBalancer && externalPolicyLocal ? healthCheckPort : 0,
  };
}

function readyEndpoint(address: number, port: number, nodeName: string, hints: EndpointHints | undefined): Endpoint {
  const endpoint = { address, port, nodeName, ready: true, serving: true, terminating: false };
  return hints === undefined ? endpoint : { ...endpoint, hints };
}

function cidr(text: string): Cidr {
  return parseCidr(text) as Cidr;
}
