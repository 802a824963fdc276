/** The shape of an experiment file: strict keys in snake_case, defaults, and limits that refuse absurd numbers. */
import { z } from 'zod';
import { ENGINE_NAMES } from '../model/engine-name.ts';
import type { EngineName } from '../model/engine-name.ts';
import { intOrPercent } from './manifest-schema.ts';
import { referenceList } from './reference-schema.ts';

/** Largest number of values on one axis of a sweep. */
export const AXIS_LIMIT = 10_000;
/** Endpoints of a cluster made up from numbers. */
export const ENDPOINT_LIMIT = 2_000_000;
const SECONDS_LIMIT = 1e6;
/** Addresses outside the cluster from which connections come: all of TEST-NET-2 and TEST-NET-3. */
export const EXTERNAL_CLIENT_LIMIT = 508;
/** Ports of Linux' default net.ipv4.ip_local_port_range, 32768 to 60999. */
export const CLIENT_PORT_LIMIT = 28_232;
/** Unless an experiment names engines; those of them that its versions of kube-proxy have. */
export const DEFAULT_ENGINES: readonly EngineName[] = ['iptables', 'ipvs', 'nftables'];

const IPVS_SCHEDULER_NAMES = [
  'rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'sh', 'dh', 'mh', 'lblc', 'lblcr', 'fo', 'ovf', 'twos',
] as const; // prettier-ignore

/** Major and minor version of Linux. */
const KERNEL = /^\d+\.\d+$/;

const ratio = z.number().min(0).max(1);
const seconds = z.number().min(0).max(SECONDS_LIMIT);
const positive = z.number().positive().max(1e9);
const count = (max: number) => z.int().min(0).max(max);
const blocks = z.array(z.string().min(1)).max(1000);
const probeCount = z.int().min(1).max(86_400);
const policy = z.enum(['cluster', 'local']).default('cluster');
const interfaceName = z.string().regex(/^[^\s/"+*]{1,15}$/, 'must be the name of an interface, at most 15 characters');

const distributionForms = z.discriminatedUnion('distribution', [
  z.strictObject({ distribution: z.literal('constant'), value: z.number().min(0).max(1e9) }),
  z.strictObject({ distribution: z.literal('exponential'), mean: positive }),
  z.strictObject({ distribution: z.literal('lognormal'), median: positive, sigma: z.number().min(0).max(10) }),
  z.strictObject({ distribution: z.literal('pareto'), scale: positive, shape: z.number().positive().max(1000) }),
  z.strictObject({
    distribution: z.literal('empirical'),
    values: z.array(z.number().min(0).max(1e9)).min(1).max(10_000),
    weights: z.array(z.number().min(0).max(1e9)).min(1).max(10_000).optional(),
  }),
]);

/** A plain number is a constant. */
const distribution = z
  .union([z.number().min(0).max(1e9), distributionForms])
  .describe('A number, or a distribution: constant, exponential, lognormal, pareto, empirical');
export type DistributionInput = z.output<typeof distribution>;

const synthetic = z.strictObject({
  services: z.int().min(1).max(500_000).describe('Services; service k has the k-th address after 10.96.0.0'),
  endpoints_per_service: count(10_000).default(2).describe('Pods of each service; no pod serves two services'),
  ports: z.int().min(1).max(100).default(1).describe('Service ports a service'),
  protocol: z.enum(['tcp', 'udp', 'sctp']).default('tcp'),
  node_port_ratio: ratio.default(0).describe('Share of services that are of type NodePort, the first ones'),
  load_balancer_ratio: ratio
    .default(0)
    .describe('Share of services that have an address of a load balancer, the first ones'),
  external_ip_ratio: ratio.default(0).describe('Share of services that have an external IP, the first ones'),
  source_ranges: blocks
    .default([])
    .describe('loadBalancerSourceRanges of services with a load balancer; [] = everybody'),
  external_traffic_policy: policy.describe('Of services that can be reached from outside'),
  internal_traffic_policy: policy,
  session_affinity_s: count(86_400).default(0).describe('Time-out of session affinity ClientIP; 0 = none'),
  topology: z
    .enum(['none', 'same_zone', 'same_node'])
    .default('none')
    .describe('Hints of the endpoints, as trafficDistribution asks for them'),
  empty_ratio: ratio.default(0).describe('Share of services without endpoints, spread evenly'),
  deployments: z
    .boolean()
    .default(false)
    .describe('The pods of service k belong to a Deployment "svc-k", without probes; churn needs it'),
  nodes: z.int().min(1).max(5000).default(3),
});

const cluster = z.strictObject({
  synthetic: synthetic.optional().describe('A cluster made up from numbers'),
  manifests: z
    .array(z.string().min(1))
    .min(1)
    .max(1000)
    .optional()
    .describe('Files of Kubernetes objects, relative to this file'),
  node: z.string().min(1).optional().describe('Name of the observed node; the first by name unless given'),
  observed_nodes: z
    .int()
    .min(1)
    .max(100)
    .default(1)
    .describe(
      'Nodes with rules and traffic of their own: that one and the following ones; the others only get the writes',
    ),
  cluster_cidr: z.string().optional().describe('Pod addresses of the cluster; 10.244.0.0/16 unless given'),
  extra_services: count(500_000).optional().describe('Synthetic services beside those of the manifests'),
  extra_endpoints_per_service: count(10_000).optional(),
  replicas: count(10_000).optional().describe('Of every Deployment of the manifests, in place of its own'),
  pre_stop_s: seconds.optional().describe('Length of a preStop sleep, in place of the hooks of the manifests'),
  grace_s: count(86_400).optional().describe('terminationGracePeriodSeconds of every Deployment'),
  max_surge: intOrPercent.optional().describe('Of every rolling update: a number of pods or a percentage, "25%"'),
  max_unavailable: intOrPercent.optional().describe('The same'),
  readiness_probe: z
    .strictObject({
      kind: z.enum(['httpGet', 'tcpSocket', 'exec', 'grpc']).optional(),
      period_s: probeCount.optional(),
      timeout_s: probeCount.optional(),
      initial_delay_s: count(86_400).optional(),
      success_threshold: probeCount.optional(),
      failure_threshold: probeCount.optional(),
    })
    .optional()
    .describe('Fields of every readinessProbe of the manifests, in place of their own'),
});

const domain = z
  .string()
  .regex(/^[A-Za-z0-9_]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9_])?$/, 'must be a name such as "cluster.local"');

/** Limits are glibc's [resolv/resolv.h RES_MAXNDOTS, RES_MAXRETRANS, RES_MAXRETRY] and the API server's for searches. */
const dns = z.strictObject({
  service: z.string().min(1).default('kube-system/kube-dns').describe('The Service that takes the queries, over UDP'),
  name: z
    .enum(['service', 'namespace', 'fqdn', 'absolute', 'srv', 'external'])
    .default('service')
    .describe(
      'How clients write the name: cart; cart.shop; cart.shop.svc.cluster.local; the same with a dot at its end; the SRV record of the named port; a host outside',
    ),
  external_name: z
    .string()
    .regex(/^[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?\.?$/, 'must be the name of a host')
    .default('api.example.com')
    .describe('The host outside, for name: external; a dot at its end keeps the search list out'),
  client_namespace: z.string().min(1).max(63).optional().describe("The clients' namespace; the target's unless given"),
  cluster_domain: domain.default('cluster.local'),
  ndots: count(15).default(5).describe('Names with fewer dots are looked for in the search list first'),
  search: z.array(domain).max(29).default([]).describe("Domains behind the cluster's three in the search list"),
  aaaa: z.boolean().default(true).describe('Clients ask for AAAA along with A, from one socket'),
  timeout_s: z.int().min(1).max(30).default(5).describe('How long a client waits for the answers to an attempt'),
  attempts: z.int().min(1).max(5).default(2).describe('Attempts for each name'),
  cache: z
    .enum(['none', 'client', 'node'])
    .default('none')
    .describe('Who keeps answers for their TTL: nobody, each client, the node for all its clients'),
  ttl_s: count(3600).default(5).describe("Of the cluster's records; kubeadm sets 30"),
  external_ttl_s: count(86_400).default(30).describe('Of records from outside'),
  server_delay_s: distribution
    .default({ distribution: 'lognormal', median: 0.0003, sigma: 0.5 })
    .describe('From a query to its answer, the way through the network included'),
  upstream_delay_s: distribution
    .default({ distribution: 'lognormal', median: 0.01, sigma: 0.5 })
    .describe('Beside it, for a name that is not of the cluster'),
});

const traffic = z.strictObject({
  connections: z.int().min(1).max(10_000_000).default(1000),
  connections_per_s: z.number().positive().max(1e7).default(1000).describe('Poisson arrivals a second'),
  packets_per_connection: distribution.default(10).describe('Both directions together, at least 1'),
  packet_gap_s: distribution.default(0.001).describe('Time between the packets of a connection'),
  popularity: z
    .union([
      z.literal('uniform'),
      z.strictObject({ zipf: z.number().positive().max(10) }),
      z.strictObject({ one: z.union([z.string().min(1), z.int().min(1)]) }),
    ])
    .default('uniform'),
  node_port_ratio: ratio.default(0).describe('Share of connections from outside through a node port'),
  load_balancer_ratio: ratio.default(0).describe('Share of connections from outside to an address of a load balancer'),
  external_ip_ratio: ratio.default(0).describe('Share of connections from outside to an external IP'),
  external_clients: z
    .int()
    .min(1)
    .max(EXTERNAL_CLIENT_LIMIT)
    .default(EXTERNAL_CLIENT_LIMIT)
    .describe('Clients outside the cluster; 203.0.113.1 and up, from the 255th on 198.51.100.1 and up'),
  host_client_ratio: ratio.default(0).describe('Share of connections from a process of the node itself'),
  client_pods: z.int().min(1).max(200).default(8).describe('Client pods on the observed node'),
  only_manifest_services: z.boolean().default(false),
  payload_bytes: z
    .int()
    .min(0)
    .max(65_535)
    .default(1000)
    .describe('Payload of a packet; only userspace mode, which copies it, cares'),
  client_kernel: z
    .string()
    .regex(KERNEL, 'must be a Linux version such as "6.1", in quotes')
    .optional()
    .describe(
      "The clients' Linux, which sends SYNs again: before 6.5 after 1, 3, 7 s; from 6.5 after 1, 2, 3, 4, 5, 7 s",
    ),
  connect_timeout_s: z
    .number()
    .positive()
    .max(SECONDS_LIMIT)
    .optional()
    .describe('How long a client waits for an answer to its SYN; unless given as long as its kernel sends'),
  retries: count(10).default(0).describe('New connections that a client tries in place of one that failed'),
  retry_backoff_s: seconds.default(0.1).describe('Pause before the first retry, doubled before each further one'),
  client_ports: z
    .int()
    .min(1)
    .max(CLIENT_PORT_LIMIT)
    .optional()
    .describe(
      'Source ports that a client uses in turn, from 32768 up; a port is taken again once its connection is over',
    ),
  dns: dns.optional().describe('Pods look names up before they connect; unless given they know the addresses'),
});

const deployment = z.string().min(1).describe('Name of a Deployment, or namespace/name');
const node = z.string().min(1).describe('Name of a node');
const pod = count(100_000).default(0).describe('Ordinal among the running pods');
const probe = z.enum(['readiness', 'liveness', 'startup', 'all']).default('readiness');
const failureMode = z.enum(['error', 'refuse', 'hang', 'probe_error']).default('error');
const duration = z.number().positive().max(SECONDS_LIMIT);
const cycle = z.number().min(0.001).max(SECONDS_LIMIT);
const probeFault = { deployment, pod, probe, mode: failureMode, at_s: seconds, duration_s: duration };
const churn = z.strictObject({
  rolling_update: z.strictObject({ deployment, at_s: seconds }).optional(),
  probe_failure: z.strictObject(probeFault).optional().describe("A pod's answers to probes fail; it goes on serving"),
  probe_flapping: z
    .strictObject({ ...probeFault, period_s: cycle, failing_ratio: ratio.default(0.5) })
    .optional()
    .describe('They fail at the beginning of each period'),
  crash: z.strictObject({ deployment, pod, at_s: seconds }).optional().describe("A pod's process ends of itself"),
  scale: z.strictObject({ deployment, replicas: count(10_000), at_s: seconds }).optional(),
  pods: z
    .strictObject({
      deployment,
      start_s: distribution.optional().describe("From a container's start to its process listening"),
      warm_up_s: distribution.optional().describe('From then on the readiness check fails for so long'),
      warm_up_mode: failureMode,
      crash_after_s: distribution.optional().describe('From listening to the process ending of itself'),
      on_sigterm: z
        .enum(['close', 'lame_duck', 'ignore', 'exit'])
        .default('close')
        .describe(
          'close: no new connections, the others are served for shutdown_s; lame_duck: new ones, too; exit: it ends at once; ignore: it works on until SIGKILL',
        ),
      shutdown_s: distribution
        .optional()
        .describe(
          'From SIGTERM to the end of a process that closes or is a lame duck; 0.1 s unless given, cut off by SIGKILL',
        ),
      flapping: z
        .strictObject({ probe, mode: failureMode, period_s: distribution, failing_ratio: ratio.default(0.5) })
        .optional()
        .describe('Answers to probes fail at the end of each period; each pod has a phase of its own'),
    })
    .optional()
    .describe('How the processes of a Deployment behave, drawn anew for each start of a container'),
  node_drain: z
    .strictObject({
      node,
      at_s: seconds,
      interval_s: seconds.default(0).describe('From one eviction to the next'),
      duration_s: duration.optional().describe('Until the node is uncordoned; never unless given'),
    })
    .optional()
    .describe('kubectl drain: no new pods, and those that are there are evicted'),
  node_failure: z
    .strictObject({
      node,
      what: z.enum(['machine', 'kubelet']).default('machine').describe('kubelet: the pods go on serving'),
      at_s: seconds,
      duration_s: duration.optional().describe('Until it is back; never unless given'),
      grace_s: seconds.default(40).describe('node-monitor-grace-period of the node controller'),
      eviction_s: seconds.default(300).describe('tolerationSeconds of the pods for a node that is unreachable'),
    })
    .optional()
    .describe("The node's kubelet is not heard of any more"),
  pod_churn: z
    .strictObject({
      per_s: z.number().positive().max(100_000).describe('Pods deleted a second, at random times'),
      at_s: seconds.default(0),
      duration_s: duration.optional().describe('Until the end of the trial unless given'),
    })
    .optional()
    .describe('Pods of all Deployments are deleted at random, and their ReplicaSets make new ones'),
  proxy_restart: z
    .strictObject({ at_s: seconds, down_s: seconds.default(1).describe('From its end to its next start') })
    .optional()
    .describe('kube-proxy on the observed node stops and starts again'),
  sync_failure: z
    .strictObject({ at_s: seconds, duration_s: duration, node: node.optional() })
    .optional()
    .describe('Syncs of kube-proxy that would end in this time fail: they take as long, and change no rule'),
});

const proxy = z.strictObject({
  min_sync_period_s: seconds.optional().describe("kube-proxy's default unless given: 1 s, in some old versions 0"),
  sync_period_s: z.number().positive().max(SECONDS_LIMIT).default(30),
  minimize_iptables_restore: z
    .boolean()
    .optional()
    .describe(
      'iptables mode writes the rules of changed services alone; unless given as the version does (from v1.27 on)',
    ),
  masquerade_all: z.boolean().default(false),
  large_cluster_endpoints: count(100_000_000).default(1000),
  ipvs_scheduler: z.enum(IPVS_SCHEDULER_NAMES).default('rr'),
  ipvs_conn_tab_bits: z.int().min(8).max(27).default(12),
  iptables_backend: z.enum(['legacy', 'nft']).default('legacy'),
  ipvs_conn_reuse_mode: z
    .union([z.literal(0), z.literal(1), z.literal('default')])
    .default('default')
    .describe(
      'net.ipv4.vs.conn_reuse_mode; default is what kube-proxy makes of it: 0 before Linux 5.9, 1 from there on',
    ),
  node_kernel: z
    .string()
    .regex(KERNEL, 'must be a Linux version such as "6.18", in quotes')
    .default('6.18')
    .describe("The nodes' Linux, 4.1 or later; IPVS mode's treatment of reused ports depends on it"),
  evaluator: z.enum(['literal', 'indexed']).default('indexed'),
  masquerade_random_fully: z.boolean().default(true).describe('iptables writes MASQUERADE --random-fully'),
  localhost_node_ports: z.boolean().default(true),
  node_port_addresses: blocks
    .optional()
    .describe(
      'Where node ports are open: blocks, or "primary"; all addresses unless given, in nftables mode "primary"',
    ),
  nfacct: z.boolean().default(false).describe('The node has the counters of xt_nfacct'),
  conntrack_tcp_liberal: z.boolean().default(false).describe('nf_conntrack_tcp_be_liberal'),
  conntrack_max: z.int().min(1).max(1e9).default(131_072).describe('nf_conntrack_max'),
  service_cidrs: blocks
    .default([])
    .describe('Service ranges that kube-proxy knows; nftables mode drops what they do not use'),
  detect_local: z
    .union([
      z.enum(['cidr', 'none']),
      z.strictObject({ cidr: z.string().min(1) }),
      z.strictObject({ bridge: interfaceName }),
      z.strictObject({ prefix: interfaceName }),
    ])
    .default('cidr')
    .describe("What counts as a pod's traffic: cidr is the cluster's range of pods"),
});

/** Medians of the control plane of a small idle cluster; assumptions, to be replaced where a cluster was measured. */
const propagation = z.strictObject({
  status_update_s: distribution.default({ distribution: 'lognormal', median: 0.01, sigma: 0.5 }),
  endpoint_slice_s: distribution.default({ distribution: 'lognormal', median: 0.02, sigma: 0.5 }),
  watch_s: distribution.default({ distribution: 'lognormal', median: 0.005, sigma: 0.5 }),
  pod_start_s: distribution.default({ distribution: 'lognormal', median: 1.5, sigma: 0.3 }),
  api_call_s: distribution.default(0).describe('To make a pod; a ReplicaSet makes 1, then 2, 4, ... at a time'),
  endpoints_api: z
    .enum(['slices', 'endpoints'])
    .default('slices')
    .describe('What kube-proxy watches: EndpointSlices, or one Endpoints object a Service, as before v1.19'),
  endpoints_truncation: z.boolean().default(true).describe('An Endpoints object holds 1,000 addresses at most'),
  max_endpoints_per_slice: z.int().min(1).max(1000).default(100),
  endpoint_batch_s: seconds
    .default(0)
    .describe("From the first change of a Service's pods to the look at all that have changed by then"),
});

const scalar = z.union([z.number(), z.string(), z.boolean()]);

const experiment = z.strictObject({
  experiment: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be lower-case letters, digits and hyphens, at most 63')
    .describe('Name, also of its folder of results'),
  question: z
    .string()
    .regex(/^\S[^\n]*\?\s*$/, 'must be one line that ends in a question mark')
    .describe('What the experiment asks, one sentence'),
  default: z.boolean().default(false).describe('Part of a sweep that names no file'),
  engines: z
    .array(z.enum(ENGINE_NAMES))
    .min(1)
    .refine((names) => new Set(names).size === names.length, 'must name each engine once')
    .default([...DEFAULT_ENGINES]),
  kubeProxy: z
    .union([z.string(), z.number()])
    .optional()
    .describe('Version of kube-proxy, such as v1.31; the current one unless given'),
  replications: z.int().min(1).max(1000).default(1),
  seed: z.int().min(0).default(1),
  profile: z.string().min(1).default('linux-6.18-native').describe('Cost profile: a name in profiles/, or a file'),
  cluster,
  sweep: z
    .record(z.string(), z.union([z.array(scalar).min(1).max(AXIS_LIMIT), scalar]))
    .default({})
    .describe(
      'Dotted path of a key -> its values: a list, or a range such as "1..50000:log10x3", "1..10", "1..100:lin5"',
    ),
  traffic: traffic.default(() => traffic.parse({})),
  churn: z.array(churn).max(1000).default([]),
  proxy: proxy.default(() => proxy.parse({})),
  propagation: propagation.default(() => propagation.parse({})),
  duration_s: seconds.default(0).describe('Simulated seconds; 0 = until the last connection has ended'),
  timeline_s: seconds.default(0).describe('Bucket of timeline.csv; 0 = no timeline'),
  reference: referenceList
    .default([])
    .describe("Published points beside the model's: drawn in the charts, reported by `validate --published`"),
  quick: z
    .strictObject({
      overrides: z
        .record(z.string(), z.json())
        .describe('Dotted path -> value that --quick sets; on a swept path, its values'),
    })
    .optional(),
});

export const experimentSchema = experiment;
export type ExperimentInput = z.output<typeof experiment>;

/** JSON Schema of an experiment file, for editors. */
export function experimentJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(experiment, { io: 'input' }) as Record<string, unknown>;
  return { ...schema, title: 'chainwalk experiment' };
}
