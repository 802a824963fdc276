/**
 * The Kubernetes objects that kube-proxy watches, as far as it reads them. Looser than the API server where kube-proxy is: absent
 * and null fields, Service ports without a number. Two forms: lenient (other fields tolerated) and strict (fields the API knows).
 */
import { z } from 'zod';

const optional = <T extends z.ZodType>(schema: T) => schema.nullish();
const unread = z.unknown().optional();
const port = optional(z.int().min(0).max(65535));
const protocol = optional(z.enum(['TCP', 'UDP', 'SCTP']));
const texts = optional(z.array(z.string()));

type ObjectMaker = <T extends z.core.$ZodLooseShape>(shape: T) => z.ZodObject<T>;

function metadata(object: ObjectMaker) {
  return object({
    name: z.string().min(1),
    namespace: optional(z.string().min(1)),
    labels: optional(z.record(z.string(), z.string())),
    annotations: unread,
    creationTimestamp: unread,
    deletionGracePeriodSeconds: unread,
    deletionTimestamp: unread,
    finalizers: unread,
    generateName: unread,
    generation: unread,
    managedFields: unread,
    ownerReferences: unread,
    resourceVersion: unread,
    selfLink: unread,
    uid: unread,
  });
}

function servicePort(object: ObjectMaker) {
  return object({
    name: optional(z.string()),
    protocol,
    port,
    nodePort: port,
    targetPort: unread,
    appProtocol: unread,
  });
}

function serviceSpec(object: ObjectMaker) {
  const clientIp = object({ timeoutSeconds: optional(z.int().min(1).max(86_400)) });
  return object({
    type: optional(z.enum(['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'])),
    clusterIP: optional(z.string()),
    clusterIPs: texts,
    ports: optional(z.array(servicePort(object))),
    externalIPs: texts,
    loadBalancerSourceRanges: texts,
    externalTrafficPolicy: optional(z.enum(['Cluster', 'Local'])),
    internalTrafficPolicy: optional(z.enum(['Cluster', 'Local'])),
    sessionAffinity: optional(z.enum(['None', 'ClientIP'])),
    sessionAffinityConfig: optional(object({ clientIP: optional(clientIp) })),
    healthCheckNodePort: port,
    allocateLoadBalancerNodePorts: unread,
    externalName: unread,
    ipFamilies: unread,
    ipFamilyPolicy: unread,
    loadBalancerClass: unread,
    loadBalancerIP: unread,
    publishNotReadyAddresses: unread,
    selector: unread,
    trafficDistribution: unread,
  });
}

function service(object: ObjectMaker) {
  const ingress = object({
    ip: optional(z.string()),
    ipMode: optional(z.enum(['VIP', 'Proxy'])),
    hostname: unread,
    ports: unread,
  });
  return object({
    apiVersion: z.literal('v1'),
    kind: z.literal('Service'),
    metadata: metadata(object),
    spec: serviceSpec(object),
    status: optional(
      object({ loadBalancer: optional(object({ ingress: optional(z.array(ingress)) })), conditions: unread }),
    ),
  });
}

function endpointSlice(object: ObjectMaker) {
  const named = optional(z.array(object({ name: z.string() })));
  const endpoint = object({
    addresses: z.array(z.string()),
    conditions: optional(
      object({
        ready: optional(z.boolean()),
        serving: optional(z.boolean()),
        terminating: optional(z.boolean()),
      }),
    ),
    nodeName: optional(z.string()),
    zone: optional(z.string()),
    hints: optional(object({ forZones: named, forNodes: named })),
    deprecatedTopology: unread,
    hostname: unread,
    targetRef: unread,
  });
  return object({
    apiVersion: z.enum(['discovery.k8s.io/v1', 'discovery.k8s.io/v1beta1']),
    kind: z.literal('EndpointSlice'),
    metadata: metadata(object),
    addressType: optional(z.enum(['IPv4', 'IPv6', 'FQDN'])),
    ports: optional(z.array(object({ name: optional(z.string()), protocol, port, appProtocol: unread }))),
    endpoints: optional(z.array(endpoint)),
  });
}

const lenient: ObjectMaker = (shape) => z.object(shape);
const strict: ObjectMaker = (shape) => z.strictObject(shape);

export const SERVICE_SCHEMAS = { lenient: service(lenient), strict: service(strict) };
export const SLICE_SCHEMAS = { lenient: endpointSlice(lenient), strict: endpointSlice(strict) };

export type ServiceObject = z.output<(typeof SERVICE_SCHEMAS)['lenient']>;
export type SliceObject = z.output<(typeof SLICE_SCHEMAS)['lenient']>;
