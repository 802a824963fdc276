/** The keys of a golden folder's files, each one known: an unknown key is a mistake that gets named. */
import { z } from 'zod';

const portNumber = z.int().min(0).max(65535);
const count = z.int().min(0);
const protocol = z.string().regex(/^(tcp|udp|sctp)$/i, 'must be TCP, UDP or SCTP');
const optionalText = z.string().nullish();

const proxySchema = z.strictObject({
  mode: z.enum(['iptables', 'ipvs', 'nftables']).optional(),
  /** A version of kube-proxy, such as v1.31; the current one unless given. */
  kubeProxy: z.union([z.string(), z.number()]).optional(),
  ipFamily: z.enum(['IPv4', 'IPv6']).optional(),
  nodeName: optionalText,
  nodeIP: optionalText,
  zone: optionalText,
  detectLocalCIDR: optionalText,
  detectLocalBridge: optionalText,
  detectLocalInterfacePrefix: optionalText,
  masqueradeAll: z.boolean().optional(),
  masqueradeMark: optionalText,
  iptablesHasRandomFully: z.boolean().optional(),
  localhostNodePorts: z.boolean().optional(),
  nodePortAddresses: z.array(z.string()).nullish(),
  interfaceAddresses: z.array(z.string()).nullish(),
  nodeAddresses: z.array(z.string()).nullish(),
  nfacct: z
    .strictObject({
      ct_state_invalid_dropped_pkts: z.boolean().optional(),
      localhost_nps_accepted_pkts: z.boolean().optional(),
    })
    .optional(),
  conntrackTCPLiberal: z.boolean().optional(),
  serviceCIDRs: z.array(z.string()).nullish(),
  scheduler: optionalText,
  strictARP: z.boolean().optional(),
  excludeCIDRs: z.array(z.string()).nullish(),
  syncPeriodSeconds: count.optional(),
  largeClusterEndpointsThreshold: count.optional(),
});
export type GoldenProxy = z.output<typeof proxySchema>;

/** What kube-proxy's tests leave out of a flow: TCP, and no masquerading. */
const flowSchema = z.strictObject({
  name: z.string().optional(),
  sourceIP: z.string(),
  protocol: protocol.default('tcp'),
  destIP: z.string(),
  destPort: portNumber,
  output: z.string(),
  masq: z.boolean().default(false),
  note: z.string().optional(),
});
export type GoldenFlow = z.output<typeof flowSchema>;

export const flowsFileSchema = z.strictObject({
  localIPs: z.array(z.string()),
  flows: z.array(flowSchema),
  note: z.string().optional(),
});
export type GoldenFlows = z.output<typeof flowsFileSchema>;

const syncKind = z.enum(['full', 'partial', 'full (forced)', 'full-after-failed-partial']);
/** A number, or `setupOps + N`: N more than an initial sync with no Services takes. */
const operations = z.union([count, z.string().regex(/^setupOps( \+ \d+)?$/, 'must be a number or "setupOps + N"')]);

const expectShape = {
  contains: z.array(z.string()).optional(),
  notContains: z.array(z.string()).optional(),
  sepDnatLines: count.optional(),
  commented: count.optional(),
  sync: syncKind.optional(),
  flow: flowSchema.optional(),
  natKubeServicesRuleForLBIP: z.boolean().optional(),
  natRulesTotalMetric: count.nullish(),
  lastTransactionOperations: operations.nullish(),
  syncProxyRulesNoLocalEndpointsTotal: z.strictObject({ internal: count, external: count }).optional(),
};
export const expectSchema = z.strictObject({ ...expectShape, note: z.string().optional() });
export type GoldenExpect = z.output<typeof expectSchema>;

const objectName = z.strictObject({
  kind: z.enum(['Service', 'EndpointSlice']),
  namespace: z.string().optional(),
  name: z.string(),
});
export type GoldenObjectName = z.output<typeof objectName>;

const changes = {
  /** Kubernetes objects: typed in a second pass. */
  apply: z.array(z.unknown()).nullish(),
  delete: z.array(objectName).nullish(),
  title: z.string().optional(),
  note: z.string().optional(),
};

const stepSchema = z.strictObject({
  ...changes,
  ...expectShape,
  step: z.int().min(0),
  expected: z.string().optional(),
  ageStaleChainsSeconds: count.optional(),
  secondsSinceLastChainCleanup: count.optional(),
  expect: expectSchema.optional(),
});

const thenSchema = z.strictObject({
  ...changes,
  ...expectShape,
  expect: expectSchema.optional(),
});

const heading = { golden: z.string(), source: z.string(), note: z.string().optional() };

export const syncInputSchema = z.strictObject({
  ...heading,
  proxy: proxySchema,
  objects: z.array(z.unknown()).optional(),
  steps: z.array(stepSchema).optional(),
  kernelBefore: z.string().optional(),
  secondsSinceLastChainCleanup: count.optional(),
  expect: expectSchema.optional(),
  then: z.array(thenSchema).optional(),
});
export type SyncInput = z.output<typeof syncInputSchema>;

export const hashInputSchema = z.strictObject({
  ...heading,
  inputs: z.array(z.strictObject({ servicePortName: z.string(), protocol, endpoint: z.string().nullish() })).min(1),
});
const hashExpectedSchema = z.strictObject({
  source: z.string().optional(),
  hash: z.string().optional(),
  note: z.string().optional(),
  cases: z.array(
    z.strictObject({ servicePortName: z.string(), protocol, endpoint: z.string().nullish(), hash16: z.string() }),
  ),
});

export const nameInputSchema = z.strictObject({ ...heading, names: z.array(z.string()).min(1) });
const nameExpectedSchema = z.strictObject({
  source: z.string().optional(),
  hash: z.string().optional(),
  note: z.string().optional(),
  cases: z.array(z.strictObject({ name: z.string(), hash8: z.string() })),
});

export const probabilityInputSchema = z.strictObject({ ...heading, n: z.array(z.int().min(1)).min(1) });
const probabilityExpectedSchema = z.strictObject({
  source: z.string().optional(),
  note: z.string().optional(),
  probability: z.record(z.string(), z.string()),
  alsoTrue: z.literal('strictly increasing as n falls from 100000 to 2').optional(),
});

export const orderInputSchema = z.strictObject({
  ...heading,
  nodeName: z.string(),
  cases: z.array(z.strictObject({ name: z.string(), slices: z.array(z.unknown()) })).min(1),
});
const orderExpectedSchema = z.strictObject({
  note: z.string().optional(),
  cases: z.array(
    z.strictObject({
      name: z.string(),
      endpoints: z.record(z.string(), z.array(z.string())),
      localReadyEndpoints: z.record(z.string(), count).nullish(),
    }),
  ),
});

const countCase = { services: count, endpointsPerService: count };
export const countsInputSchema = z.strictObject({
  ...heading,
  proxy: proxySchema,
  generator: z.strictObject({ 'service i': z.string(), 'endpoint j of each service': z.string() }),
  cases: z.array(z.strictObject(countCase)).min(1),
});
const countsExpectedSchema = z.strictObject({
  note: z.string().optional(),
  cases: z.array(z.strictObject({ ...countCase, filterRules: count, natRules: count })),
});

const realServerName = z.strictObject({ address: z.string(), port: portNumber });
const serverFlags = z.union([count, z.enum(['hashed', 'persistent'])]);
export const legacyInputSchema = z.strictObject({
  ...heading,
  proxy: proxySchema,
  activeServices: z.array(z.string()),
  currentServices: z
    .array(
      z.strictObject({
        name: z.string(),
        address: z.string(),
        protocol,
        port: portNumber,
        scheduler: z.string(),
        flags: serverFlags.optional(),
        timeout: count.optional(),
        realServers: z.array(realServerName.extend({ weight: count.optional() })).optional(),
      }),
    )
    .min(1),
});
const legacyExpectedSchema = z.strictObject({
  note: z.string().optional(),
  remaining: z.array(z.string()),
  deleted: z.array(z.string()),
});

export const gracefulInputSchema = z.strictObject({
  ...heading,
  cases: z
    .array(
      z.strictObject({
        name: z.string(),
        virtualServer: z.string(),
        realServerInKernel: realServerName.extend({ weight: count, activeConn: count, inactiveConn: count }),
        request: realServerName,
      }),
    )
    .min(1),
});
const gracefulExpectedSchema = z.strictObject({
  note: z.string().optional(),
  cases: z.array(
    z.strictObject({ name: z.string(), result: z.enum(['deleted', 'kept']), weightAfter: count.nullable() }),
  ),
});

const virtualServer = z.strictObject({
  address: z.string(),
  protocol,
  port: portNumber,
  scheduler: z.string(),
  flags: serverFlags,
  timeout: count.optional(),
});
export type GoldenVirtualServer = z.output<typeof virtualServer>;
export const syncServiceInputSchema = z.strictObject({
  ...heading,
  cases: z
    .array(
      z.strictObject({
        case: count,
        existing: virtualServer.nullable(),
        desired: virtualServer,
        bindAddr: z.boolean(),
        alreadyBound: z.array(z.string()),
      }),
    )
    .min(1),
});
const syncServiceExpectedSchema = z.strictObject({
  note: z.string().optional(),
  cases: z.array(
    z.strictObject({ case: count, virtualServers: z.array(virtualServer), action: z.string().optional() }),
  ),
});

const ipvsShape = {
  complete: z.boolean().optional(),
  virtualServers: z
    .array(
      z.strictObject({
        ip: z.string(),
        port: portNumber,
        protocol,
        scheduler: z.string(),
        flags: serverFlags,
        timeout: count,
        realServers: z.array(realServerName.extend({ weight: count })),
      }),
    )
    .optional(),
  virtualServerCount: count.optional(),
  realServers: z.array(z.string()).optional(),
  realServersInOrder: z.array(z.string()).optional(),
  ipsets: z.record(z.string(), z.array(z.string())).optional(),
  iptablesChains: z.record(z.string(), z.array(z.strictObject({ jump: z.string(), matchSet: z.string() }))).optional(),
  'kube-ipvs0 addresses': z.array(z.string()).optional(),
  note: z.string().optional(),
};
export const ipvsExpectedSchema = z.strictObject({
  ...ipvsShape,
  steps: z.array(z.strictObject({ ...ipvsShape, step: z.int().min(0) })).optional(),
});
export type IpvsExpected = Omit<z.output<typeof ipvsExpectedSchema>, 'steps'>;

/** `expected.json` by the kind of case. */
export const EXPECTED_SCHEMAS = {
  hashes: hashExpectedSchema,
  names: nameExpectedSchema,
  probability: probabilityExpectedSchema,
  order: orderExpectedSchema,
  counts: countsExpectedSchema,
  legacy: legacyExpectedSchema,
  graceful: gracefulExpectedSchema,
  syncService: syncServiceExpectedSchema,
  sync: ipvsExpectedSchema,
};

export const chainsSchema = z.record(z.string(), z.array(z.string()));
