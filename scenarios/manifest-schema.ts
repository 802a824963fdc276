/** The fields of Kubernetes objects that are read. Other fields are tolerated; a wrong type of a field that is read is an error. */
import { z } from 'zod';

/** The API server takes null for absent. */
const optional = <T extends z.ZodType>(schema: T) => schema.nullish();
const labels = optional(z.record(z.string(), z.string()));
const portNumber = z.int().min(1).max(65535);
const portReference = z.union([portNumber, z.string().min(1).max(63)]);
/** The API server takes 0 and "" for absent. */
const targetPort = z.union([z.int().min(0).max(65535), z.string().max(63)]);
export const intOrPercent = z.union([
  z.int().min(0).max(100_000),
  z.string().regex(/^\d{1,5}%$/, 'must be an integer or a percentage such as "25%"'),
]);
const protocol = optional(z.enum(['TCP', 'UDP', 'SCTP']));
const secondsInt = optional(z.int().min(0).max(1_000_000));

const dnsName = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'must be lower-case letters, digits, "-" and "."')
  .max(253);

const metadataSchema = z.object({
  name: dnsName,
  namespace: optional(dnsName.max(63)),
  labels,
  deletionTimestamp: optional(z.string()),
});

const selectorSchema = z.object({
  matchLabels: labels,
  matchExpressions: optional(
    z.array(
      z.object({
        key: z.string().min(1),
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: optional(z.array(z.string())),
      }),
    ),
  ),
});
export type LabelSelector = z.output<typeof selectorSchema>;

const probeSchema = z.object({
  httpGet: optional(z.object({ path: optional(z.string()), port: portReference })),
  tcpSocket: optional(z.object({ port: portReference })),
  exec: optional(z.object({ command: optional(z.array(z.string())) })),
  grpc: optional(z.object({ port: portNumber })),
  periodSeconds: secondsInt,
  timeoutSeconds: secondsInt,
  initialDelaySeconds: secondsInt,
  successThreshold: secondsInt,
  failureThreshold: secondsInt,
});
export type ProbeObject = z.output<typeof probeSchema>;

const containerSchema = z.object({
  name: optional(z.string()),
  ports: optional(
    z.array(z.object({ name: optional(z.string()), containerPort: portNumber, protocol, hostPort: optional(z.int()) })),
  ),
  readinessProbe: optional(probeSchema),
  livenessProbe: optional(probeSchema),
  startupProbe: optional(probeSchema),
  lifecycle: optional(
    z.object({
      preStop: optional(
        z.object({
          sleep: optional(z.object({ seconds: z.int().min(0).max(1_000_000) })),
          exec: optional(z.object({ command: optional(z.array(z.string())) })),
          httpGet: optional(z.object({})),
          tcpSocket: optional(z.object({})),
        }),
      ),
    }),
  ),
});
export type Container = z.output<typeof containerSchema>;

const podSpecSchema = z.object({
  containers: z.array(containerSchema).min(1).max(100),
  terminationGracePeriodSeconds: secondsInt,
  hostNetwork: optional(z.boolean()),
  nodeName: optional(z.string()),
});

export const deploymentSchema = z.object({
  metadata: metadataSchema,
  spec: z.object({
    replicas: optional(z.int().min(0).max(10_000)),
    selector: selectorSchema,
    template: z.object({ metadata: optional(z.object({ labels })), spec: podSpecSchema }),
    strategy: optional(
      z.object({
        type: optional(z.enum(['RollingUpdate', 'Recreate'])),
        rollingUpdate: optional(z.object({ maxSurge: optional(intOrPercent), maxUnavailable: optional(intOrPercent) })),
      }),
    ),
    minReadySeconds: secondsInt,
    progressDeadlineSeconds: optional(z.int().min(0).max(2_147_483_647)),
  }),
});
export type DeploymentObject = z.output<typeof deploymentSchema>;

const ingressSchema = z.object({ ip: optional(z.string()), ipMode: optional(z.enum(['VIP', 'Proxy'])) });
const trafficPolicy = optional(z.enum(['Cluster', 'Local']));
export const serviceSchema = z.object({
  metadata: metadataSchema,
  spec: z.object({
    type: optional(z.enum(['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'])),
    clusterIP: optional(z.string()),
    clusterIPs: optional(z.array(z.string())),
    externalName: optional(z.string()),
    ipFamilies: optional(z.array(z.enum(['IPv4', 'IPv6']))),
    ipFamilyPolicy: optional(z.enum(['SingleStack', 'PreferDualStack', 'RequireDualStack'])),
    selector: labels,
    ports: optional(
      z
        .array(
          z.object({
            name: optional(z.string().max(63)),
            protocol,
            port: portNumber,
            targetPort: optional(targetPort),
            nodePort: optional(z.int().min(0).max(65535)),
          }),
        )
        .max(1000),
    ),
    sessionAffinity: optional(z.enum(['None', 'ClientIP'])),
    sessionAffinityConfig: optional(
      z.object({ clientIP: optional(z.object({ timeoutSeconds: optional(z.int().min(1).max(86_400)) })) }),
    ),
    healthCheckNodePort: optional(z.int().min(0).max(65535)),
    externalTrafficPolicy: trafficPolicy,
    internalTrafficPolicy: trafficPolicy,
    externalIPs: optional(z.array(z.string())),
    loadBalancerSourceRanges: optional(z.array(z.string())),
    allocateLoadBalancerNodePorts: optional(z.boolean()),
    publishNotReadyAddresses: optional(z.boolean()),
    trafficDistribution: optional(z.string()),
  }),
  status: optional(
    z.object({
      loadBalancer: optional(z.object({ ingress: optional(z.array(ingressSchema)) })),
    }),
  ),
});
export type ServiceObject = z.output<typeof serviceSchema>;

const hintNames = optional(z.array(z.object({ name: z.string() })));
export const endpointSliceSchema = z.object({
  metadata: metadataSchema,
  addressType: z.enum(['IPv4', 'IPv6', 'FQDN']),
  endpoints: optional(
    z.array(
      z.object({
        addresses: z.array(z.string()).min(1).max(100),
        conditions: optional(
          z.object({
            ready: optional(z.boolean()),
            serving: optional(z.boolean()),
            terminating: optional(z.boolean()),
          }),
        ),
        nodeName: optional(z.string()),
        hostname: optional(z.string()),
        hints: optional(z.object({ forZones: hintNames, forNodes: hintNames })),
      }),
    ),
  ),
  ports: optional(z.array(z.object({ name: optional(z.string()), protocol, port: optional(portNumber) }))),
});
export type EndpointSliceObject = z.output<typeof endpointSliceSchema>;

export const podSchema = z.object({
  metadata: metadataSchema,
  spec: podSpecSchema,
  status: optional(
    z.object({
      phase: optional(z.string()),
      podIP: optional(z.string()),
      podIPs: optional(z.array(z.object({ ip: optional(z.string()) }))),
      conditions: optional(z.array(z.object({ type: z.string(), status: z.string() }))),
    }),
  ),
});
export type PodObject = z.output<typeof podSchema>;

export const nodeSchema = z.object({
  metadata: metadataSchema,
  spec: optional(
    z.object({
      podCIDR: optional(z.string()),
      podCIDRs: optional(z.array(z.string())),
      unschedulable: optional(z.boolean()),
    }),
  ),
  status: optional(z.object({ addresses: optional(z.array(z.object({ type: z.string(), address: z.string() }))) })),
});
export type NodeObject = z.output<typeof nodeSchema>;
