/** The typed form of an experiment: what `load.ts` makes of YAML, and what the rest of the project reads. Plain data, structured-cloneable. */
import type { Cidr } from '../model/address.ts';
import type { ClusterState, NodeSpec } from '../model/cluster.ts';
import type { FailureMode, ProbeSelection, SigtermMode } from '../model/churn.ts';
import type { EngineName } from '../model/engine-name.ts';
import type { KubeProxyBehaviour } from '../model/kube-proxy.ts';
import type { CostProfile } from '../model/profile.ts';
import type { TrafficDistribution } from '../model/topology-hints.ts';
import type { WorkloadPlan } from '../model/workload.ts';
import type { Reference } from './references.ts';

/** A cluster made up from numbers: service k has ClusterIP number k and its own pods. */
export interface SyntheticCluster {
  readonly kind: 'synthetic';
  readonly services: number;
  readonly endpointsPerService: number;
  /** Service ports a Service. */
  readonly ports: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  /** Share of services, in the order of their numbers, that are of type NodePort; 0 .. 1. */
  readonly nodePortRatio: number;
  /** Share of services, spread evenly, that have no endpoint; 0 .. 1. */
  readonly emptyRatio: number;
  /** Share of services, the first ones, with an address of a load balancer; and with an external IP; 0 .. 1. */
  readonly loadBalancerRatio: number;
  readonly externalIpRatio: number;
  /** Of services with a load balancer; empty = every source. */
  readonly sourceRanges: readonly Cidr[];
  readonly externalPolicyLocal: boolean;
  readonly internalPolicyLocal: boolean;
  /** Time-out of session affinity ClientIP; 0 = none. */
  readonly affinitySeconds: number;
  /** Hints of every endpoint. */
  readonly trafficDistribution: TrafficDistribution | undefined;
  readonly nodes: number;
  /** The pods of service k belong to a Deployment `svc-k`. */
  readonly deployments: boolean;
  readonly observedNodes: number;
}

/** A node whose rules are modelled, and its own block of pod addresses (spec.podCIDR), where its client pods live. */
export interface ObservedPlace {
  readonly node: NodeSpec;
  readonly podBlock: Cidr;
}

/** A cluster read from Kubernetes manifests; the objects are complete (defaults filled in). */
export interface ManifestCluster {
  readonly kind: 'manifests';
  /** Paths as given, for the record. */
  readonly files: readonly string[];
  readonly node: NodeSpec;
  readonly state: ClusterState;
  readonly workload: WorkloadPlan;
  /** Services of kube-proxy's own making up the crowd: synthetic services added beside the manifests' ones. */
  readonly extraServices: number;
  readonly extraEndpointsPerService: number;
  /** The observed node's own block of pod addresses (spec.podCIDR); client pods live here. Absent: 10.244.<node>.0/24. */
  readonly podBlock?: Cidr;
  /** Further observed nodes. */
  readonly others?: readonly ObservedPlace[];
}

export type ClusterSpec = SyntheticCluster | ManifestCluster;

export type DistributionSpec =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'exponential'; readonly mean: number }
  | { readonly kind: 'lognormal'; readonly median: number; readonly sigma: number }
  | { readonly kind: 'pareto'; readonly scale: number; readonly shape: number }
  | { readonly kind: 'empirical'; readonly values: readonly number[]; readonly weights: readonly number[] };

/** How a client writes the name of what it connects to; `absolute` is the fqdn with a dot at its end. */
type DnsNameForm = 'service' | 'namespace' | 'fqdn' | 'absolute' | 'srv' | 'external';

/** Name look-ups of pods before each connection. */
export interface DnsSpec {
  /** The Service that takes the queries. */
  readonly service: string;
  readonly name: DnsNameForm;
  readonly externalName: string;
  /** Absent: the clients are in the namespace of what they connect to. */
  readonly clientNamespace?: string;
  readonly clusterDomain: string;
  readonly ndots: number;
  /** Behind the cluster's domains. */
  readonly search: readonly string[];
  readonly aaaa: boolean;
  readonly timeoutSeconds: number;
  readonly attempts: number;
  readonly cache: 'none' | 'client' | 'node';
  readonly ttlSeconds: number;
  readonly externalTtlSeconds: number;
  readonly serverDelaySeconds: DistributionSpec;
  readonly upstreamDelaySeconds: DistributionSpec;
}

export interface TrafficSpec {
  /** Connections in all; arrivals stop after the last. */
  readonly connections: number;
  /** Poisson arrivals, a second. */
  readonly connectionsPerSecond: number;
  /** Packets a connection, both directions together, at least 1 (rounded to an integer). */
  readonly packetsPerConnection: DistributionSpec;
  /** Time between the packets of a connection, in seconds. */
  readonly packetGapSeconds: DistributionSpec;
  readonly popularity:
    | { readonly kind: 'uniform' }
    | { readonly kind: 'zipf'; readonly exponent: number }
    /** `ns/name:port`, `ns/name` or a bare Service name; for a synthetic cluster a number as text. */
    | { readonly kind: 'one'; readonly service: string };
  /** Share of connections that come from outside through a NodePort of a service that has one; 0 .. 1. */
  readonly nodePortRatio: number;
  /** Shares that come from outside to an address of a load balancer, and to an external IP, of a service that has one; 0 .. 1. */
  readonly loadBalancerRatio: number;
  readonly externalIpRatio: number;
  /** Addresses outside from which these come. */
  readonly externalClients: number;
  /** Share of connections whose client is a process of the node itself (OUTPUT path); the rest comes from pods on the node. */
  readonly hostClientRatio: number;
  /** Client pods on the observed node. */
  readonly clientPods: number;
  /** Only services of the manifests get traffic, not the synthetic crowd beside them. */
  readonly onlyManifestServices: boolean;
  /** Payload of a packet: a parameter of userspace mode alone. */
  readonly payloadBytes: number;
  /** The clients' Linux, [major, minor]; absent: a SYN is sent once. */
  readonly clientKernel?: readonly [number, number];
  /** From the first SYN until a client gives up; absent: as long as its kernel tries. */
  readonly connectTimeoutSeconds?: number;
  /** Further tries in place of a connection that failed, and the pause before the first of them. */
  readonly retries: number;
  readonly retryBackoffSeconds: number;
  /** Source ports that a client uses in turn; absent: the whole default range, whoever still has a port. */
  readonly clientPorts?: number;
  /** Absent: clients know the addresses. */
  readonly dns?: DnsSpec;
}

interface PodChurnSpec {
  readonly deployment: string;
  /** Ordinal among the running pods. */
  readonly pod: number;
  readonly atSeconds: number;
}

/** Churn that happens at a time. */
export type TimedChurnSpec =
  | { readonly kind: 'rolling_update'; readonly deployment: string; readonly atSeconds: number }
  | (PodChurnSpec & {
      readonly kind: 'probe_failure';
      readonly probe: ProbeSelection;
      readonly mode: FailureMode;
      readonly durationSeconds: number;
    })
  | (PodChurnSpec & {
      readonly kind: 'probe_flapping';
      readonly probe: ProbeSelection;
      readonly mode: FailureMode;
      readonly durationSeconds: number;
      readonly periodSeconds: number;
      readonly failingRatio: number;
    })
  | (PodChurnSpec & { readonly kind: 'crash' })
  | { readonly kind: 'scale'; readonly deployment: string; readonly replicas: number; readonly atSeconds: number }
  | {
      readonly kind: 'node_drain';
      readonly node: string;
      readonly atSeconds: number;
      readonly intervalSeconds: number;
      /** Absent: for good. */
      readonly durationSeconds: number | undefined;
    }
  | {
      readonly kind: 'node_failure';
      readonly node: string;
      readonly what: 'machine' | 'kubelet';
      readonly atSeconds: number;
      /** Absent: for good. */
      readonly durationSeconds: number | undefined;
      readonly graceSeconds: number;
      readonly evictionSeconds: number;
    }
  | {
      readonly kind: 'pod_churn';
      readonly perSecond: number;
      readonly atSeconds: number;
      /** Absent: to the end. */
      readonly durationSeconds: number | undefined;
    }
  | { readonly kind: 'proxy_restart'; readonly atSeconds: number; readonly downSeconds: number }
  | {
      readonly kind: 'sync_failure';
      readonly atSeconds: number;
      readonly durationSeconds: number;
      /** Absent: every observed node. */
      readonly node: string | undefined;
    };

/** How the pods of a Deployment behave from beginning to end. */
export interface PodsSpec {
  readonly kind: 'pods';
  readonly deployment: string;
  readonly startSeconds: DistributionSpec | undefined;
  readonly warmUpSeconds: DistributionSpec | undefined;
  readonly warmUpMode: FailureMode;
  readonly crashSeconds: DistributionSpec | undefined;
  readonly onSigterm: SigtermMode;
  readonly shutdownSeconds: DistributionSpec | undefined;
  readonly flapping:
    | {
        readonly probe: ProbeSelection;
        readonly mode: FailureMode;
        readonly periodSeconds: DistributionSpec;
        readonly failingRatio: number;
      }
    | undefined;
}

export type ChurnSpec = TimedChurnSpec | PodsSpec;

/** What counts as traffic of this cluster's pods; `cluster` is the cluster's own range. */
export type LocalDetection =
  | { readonly kind: 'cluster' }
  | { readonly kind: 'none' }
  | { readonly kind: 'cidr'; readonly cidr: Cidr }
  | { readonly kind: 'bridge' | 'prefix'; readonly name: string };

export interface ProxySpec {
  readonly kubeProxy: KubeProxyBehaviour;
  /** Absent: the version's default for the mode. */
  readonly minSyncPeriodSeconds: number | undefined;
  readonly syncPeriodSeconds: number;
  readonly masqueradeAll: boolean;
  readonly largeClusterEndpoints: number;
  readonly ipvsScheduler: string;
  readonly ipvsConnTabBits: number;
  /** Whose tables hold the rules of iptables mode: iptables-legacy's, or nftables' through iptables-nft. The rules are the same. */
  readonly iptablesBackend: 'legacy' | 'nft';
  /** Absent: what kube-proxy makes of it on this kernel. */
  readonly ipvsConnReuseMode: 0 | 1 | undefined;
  readonly nodeKernel: readonly [number, number];
  readonly evaluator: 'literal' | 'indexed';
  readonly masqueradeRandomFully: boolean;
  readonly localhostNodePorts: boolean;
  /** `primary`: the node's first address; absent: the mode's default. */
  readonly nodePortAddresses: 'primary' | readonly Cidr[] | undefined;
  readonly nfacct: boolean;
  readonly conntrackTcpLiberal: boolean;
  readonly conntrackMax: number;
  readonly serviceCidrs: readonly Cidr[];
  readonly localDetection: LocalDetection;
}

/** Delays of the control plane between a pod's change and kube-proxy, in seconds. */
export interface PropagationSpec {
  readonly statusUpdateSeconds: DistributionSpec;
  readonly endpointSliceSeconds: DistributionSpec;
  readonly watchSeconds: DistributionSpec;
  readonly podStartSeconds: DistributionSpec;
  readonly apiCallSeconds: DistributionSpec;
  readonly endpoints: EndpointsSpec;
}

/** What kube-controller-manager writes endpoints into, and how often. */
export interface EndpointsSpec {
  readonly api: 'slices' | 'endpoints';
  /** Of Endpoints objects, to 1,000 addresses. */
  readonly truncation: boolean;
  readonly maxPerSlice: number;
  /** endpoint-updates-batch-period */
  readonly batchSeconds: number;
}

/** One point of the sweep: everything that a trial needs besides engine, replication and seed. */
export interface PointSpec {
  readonly cluster: ClusterSpec;
  readonly traffic: TrafficSpec;
  readonly churn: readonly ChurnSpec[];
  readonly proxy: ProxySpec;
  readonly propagation: PropagationSpec;
  readonly profile: CostProfile;
  /** Simulated seconds; 0 = until the last connection has ended. */
  readonly durationSeconds: number;
  /** Bucket of timeline.csv in seconds; 0 = no timeline. */
  readonly timelineSeconds: number;
}

export interface Axis {
  /** As written, e.g. `services` or `proxy.min_sync_period_s`. */
  readonly name: string;
  readonly values: readonly (number | string | boolean)[];
}

export interface Experiment {
  readonly name: string;
  /** One sentence ending in a question mark. */
  readonly question: string;
  readonly isDefault: boolean;
  readonly engines: readonly EngineName[];
  readonly replications: number;
  readonly seed: number;
  readonly axes: readonly Axis[];
  /** Published points of this experiment's metrics. */
  readonly references: readonly Reference[];
  /** Path of the YAML file as given, and the text with the overrides applied: what the hash in manifest.json covers. */
  readonly file: string;
  readonly canonicalText: string;
  readonly warnings: readonly string[];
}
