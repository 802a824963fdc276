/** The shape of an experiment file: strict keys in snake_case, defaults, and limits that refuse absurd numbers. */
import { z } from 'zod';

/** Largest number of values on one axis of a sweep. */
export const AXIS_LIMIT = 10_000;
/** Endpoints of a cluster made up from numbers. */
export const ENDPOINT_LIMIT = 2_000_000;
const SECONDS_LIMIT = 1e6;

const IPVS_SCHEDULER_NAMES = [
  'rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'sh', 'dh', 'mh', 'lblc', 'lblcr', 'fo', 'ovf', 'twos',
] as const; // prettier-ignore

const ratio = z.number().min(0).max(1);
const seconds = z.number().min(0).max(SECONDS_LIMIT);
const positive = z.number().positive().max(1e9);
const count = (max: number) => z.int().min(0).max(max);

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
  protocol: z.enum(['tcp', 'udp']).default('tcp'),
  node_port_ratio: ratio.default(0).describe('Share of services that are of type NodePort, the first ones'),
  empty_ratio: ratio.default(0).describe('Share of services without endpoints, spread evenly'),
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
  cluster_cidr: z.string().optional().describe('Pod addresses of the cluster; 10.244.0.0/16 unless given'),
  extra_services: count(500_000).optional().describe('Synthetic services beside those of the manifests'),
  extra_endpoints_per_service: count(10_000).optional(),
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
  host_client_ratio: ratio.default(0).describe('Share of connections from a process of the node itself'),
  client_pods: z.int().min(1).max(200).default(8).describe('Client pods on the observed node'),
  only_manifest_services: z.boolean().default(false),
});

const deployment = z.string().min(1).describe('Name of a Deployment, or namespace/name');
const churn = z.strictObject({
  rolling_update: z.strictObject({ deployment, at_s: seconds }).optional(),
  probe_failure: z
    .strictObject({
      deployment,
      pod: count(100_000).default(0).describe('Ordinal among the running pods'),
      probe: z.enum(['readiness', 'liveness']).default('readiness'),
      mode: z.enum(['error', 'refuse', 'hang']).default('error'),
      at_s: seconds,
      duration_s: z.number().positive().max(SECONDS_LIMIT),
    })
    .optional(),
  scale: z.strictObject({ deployment, replicas: count(10_000), at_s: seconds }).optional(),
});

const proxy = z.strictObject({
  min_sync_period_s: seconds.default(1),
  sync_period_s: z.number().positive().max(SECONDS_LIMIT).default(30),
  masquerade_all: z.boolean().default(false),
  large_cluster_endpoints: count(100_000_000).default(1000),
  ipvs_scheduler: z.enum(IPVS_SCHEDULER_NAMES).default('rr'),
  ipvs_conn_tab_bits: z.int().min(8).max(27).default(12),
  evaluator: z.enum(['literal', 'indexed']).default('indexed'),
});

/** Medians of the control plane of a small idle cluster; assumptions, to be replaced where a cluster was measured. */
const propagation = z.strictObject({
  status_update_s: distribution.default({ distribution: 'lognormal', median: 0.01, sigma: 0.5 }),
  endpoint_slice_s: distribution.default({ distribution: 'lognormal', median: 0.02, sigma: 0.5 }),
  watch_s: distribution.default({ distribution: 'lognormal', median: 0.005, sigma: 0.5 }),
  pod_start_s: distribution.default({ distribution: 'lognormal', median: 1.5, sigma: 0.3 }),
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
    .array(z.enum(['iptables', 'ipvs']))
    .min(1)
    .refine((names) => new Set(names).size === names.length, 'must name each engine once')
    .default(['iptables', 'ipvs']),
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
