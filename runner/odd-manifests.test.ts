/** Manifests of unknown origin: whatever the API server would take, every mode compiles, for both families. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hostPort } from '../model/service-config.ts';
import { manifestInput } from './program-input.ts';
import { compileProgram, FORMS, MODES } from './programs.ts';

type Value = null | boolean | number | string | Value[] | { [key: string]: Value };

const maybe = <T extends Value>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 2 });
const addresses = (...texts: string[]) => fc.subarray(texts);
const protocol = fc.constantFrom('TCP', 'UDP', 'SCTP', null);
const labels = fc.constantFrom({ app: 'web' }, { app: 'web', tier: 'front' }, { app: 'db' }, {});
const namespace = fc.constantFrom<Value>('default', 'kube-system', 'a-0', null);
const nodeName = fc.constantFrom<Value>('node-1', 'worker.example.org', 'nobody', null);

/** Drops keys without a value. */
function some(object: Record<string, Value | undefined>): { [key: string]: Value } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [key: string]: Value;
  };
}

const servicePort = fc.record({
  named: fc.boolean(),
  protocol,
  targetPort: maybe(fc.constantFrom<Value>(0, '', 'http', 'dns-udp', 'nowhere', 8080, null)),
  hasNodePort: fc.boolean(),
});

const service = fc.record({
  namespace,
  type: fc.constantFrom<Value>('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName', null),
  ip: fc.constantFrom('none', 'empty', 'absent', 'ipv4', 'ipv6', 'both', 'both-ipv6-first'),
  families: maybe(fc.constantFrom<Value>(['IPv4'], ['IPv6'], ['IPv6', 'IPv4'], null)),
  policy: maybe(fc.constantFrom<Value>('SingleStack', 'PreferDualStack', 'RequireDualStack', null)),
  ports: fc.array(servicePort, { minLength: 1, maxLength: 5 }),
  selector: maybe(labels),
  external: maybe(addresses('192.0.2.1', '192.0.2.2', '2001:db8::1', '2001:DB8:0::0001', '10.96.0.1')),
  ranges: maybe(addresses(' 10.0.0.0/8', '0.0.0.0/0', '2001:db8::/32', '::/0', '192.168.0.11/32')),
  ingress: maybe(
    fc.subarray<Value>([
      { ip: '203.0.113.1' },
      { ip: '203.0.113.1' },
      { ip: '2001:db8::99', ipMode: 'VIP' },
      { ip: '203.0.113.2', ipMode: 'Proxy' },
      { hostname: 'lb.example.org', ports: [] },
      { ip: '' },
    ]),
  ),
  externalPolicy: maybe(fc.constantFrom<Value>('Local', 'Cluster', null)),
  internalPolicy: maybe(fc.constantFrom<Value>('Local', 'Cluster', null)),
  affinity: maybe(fc.constantFrom<Value>('ClientIP', 'None')),
  timeout: maybe(fc.integer({ min: 1, max: 86_400 })),
  allocates: maybe(fc.boolean()),
  publishes: maybe(fc.boolean()),
  distribution: maybe(fc.constantFrom<Value>('PreferClose', 'PreferSameNode', 'Whatever', null)),
});
type Of<T> = T extends fc.Arbitrary<infer V> ? V : never;

/** Index `i` keeps names, addresses and node ports apart, as the API server would. */
function serviceObject(shape: Of<typeof service>, i: number): Value {
  const outside = shape.type === 'NodePort' || shape.type === 'LoadBalancer';
  const [v4, v6] = [`10.96.1.${i}`, `FD00:10:96::0A${i.toString(16).padStart(2, '0')}`];
  const given = {
    none: ['None'],
    empty: [''],
    absent: undefined,
    ipv4: [v4],
    ipv6: [v6],
    both: [v4, v6],
    'both-ipv6-first': [v6, v4],
  }[shape.ip];
  const ports = shape.ports.map((port, k) =>
    some({
      name: port.named || shape.ports.length > 1 ? ['http', 'https', 'dns', 'p-4', 'x5'][k] : undefined,
      protocol: port.protocol,
      port: k % 2 === 0 ? 80 + k : 53,
      targetPort: port.targetPort,
      nodePort: outside && port.hasNodePort ? 30_000 + 10 * i + k : undefined,
      appProtocol: 'kubernetes.io/h2c',
    }),
  );
  // One number for two ports is legal for two protocols only.
  const numbers = shape.ports.map((port, k) => `${k % 2 === 0 ? 80 + k : 53}/${port.protocol ?? 'TCP'}`);
  const legal = ports.filter((_, k) => numbers.indexOf(numbers[k]) === k);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: some({ name: `svc-${i}`, namespace: shape.namespace, annotations: { note: 'x' }, uid: '1-2' }),
    spec: some({
      type: shape.type,
      clusterIP: shape.type === 'ExternalName' ? undefined : given?.[0],
      clusterIPs: shape.type === 'ExternalName' || shape.ip === 'empty' ? undefined : given,
      externalName: shape.type === 'ExternalName' ? 'example.org' : undefined,
      ipFamilies: shape.families,
      ipFamilyPolicy: shape.policy,
      ports: shape.type === 'ExternalName' && i % 2 === 0 ? undefined : legal,
      selector: shape.selector,
      externalIPs: shape.external,
      loadBalancerSourceRanges: shape.ranges,
      externalTrafficPolicy: shape.externalPolicy,
      internalTrafficPolicy: shape.internalPolicy,
      sessionAffinity: shape.affinity,
      sessionAffinityConfig: shape.timeout === undefined ? undefined : { clientIP: { timeoutSeconds: shape.timeout } },
      allocateLoadBalancerNodePorts: shape.allocates,
      publishNotReadyAddresses: shape.publishes,
      trafficDistribution: shape.distribution,
      someNewField: { of: ['the', 'future'] },
    }),
    status: some({ loadBalancer: some({ ingress: shape.ingress }) }),
  };
}

const slice = fc.record({
  namespace,
  service: fc.constantFrom<Value>('svc-0', 'svc-1', 'svc-2', 'svc-99', ''),
  type: fc.constantFrom('IPv4', 'IPv6', 'FQDN'),
  ports: maybe(
    fc.array(
      fc.record({
        name: fc.constantFrom<Value>('', null, 'http', 'dns'),
        protocol,
        port: fc.constantFrom<Value>(8080, 53, null),
      }),
      { maxLength: 3 },
    ),
  ),
  endpoints: fc.array(
    fc.record({
      host: fc.integer({ min: 1, max: 6 }),
      ready: fc.constantFrom<Value>(true, false, null),
      serving: fc.constantFrom<Value>(true, false, null),
      terminating: fc.constantFrom<Value>(true, false, null),
      nodeName,
      zones: maybe(fc.subarray<Value>([{ name: 'a' }, { name: 'b' }])),
    }),
    { maxLength: 4 },
  ),
});

function sliceObject(shape: Of<typeof slice>, i: number): Value {
  const address = (host: number): string =>
    ({ IPv4: `10.244.9.${host}`, IPv6: `fd00:10:244:9::${host}`, FQDN: `h${host}.example.org` })[shape.type] ?? '';
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: some({
      name: `slice-${i}`,
      namespace: shape.namespace,
      labels: shape.service === '' ? null : { 'kubernetes.io/service-name': shape.service },
    }),
    addressType: shape.type,
    ports: shape.ports === undefined ? null : shape.ports,
    endpoints: shape.endpoints.map(({ host, ready, serving, terminating, nodeName: node, zones }) =>
      some({
        addresses: [address(host), address(host + 1)],
        conditions: { ready, serving, terminating },
        nodeName: node,
        hints: zones === undefined ? null : { forZones: zones },
        targetRef: { kind: 'Pod', name: 'x' },
      }),
    ),
  };
}

const container: Value = {
  name: 'c',
  image: 'x',
  ports: [
    { name: 'http', containerPort: 8080 },
    { name: 'dns-udp', containerPort: 53, protocol: 'UDP' },
  ],
  readinessProbe: { httpGet: { port: 'no-such-port' } },
};

const deployment = fc
  .record({ namespace, labels, replicas: fc.constantFrom<Value>(0, 1, 3, null) })
  .map(({ namespace: ns, labels: own, replicas }) => (i: number): Value => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: `d-${i}`, namespace: ns },
    spec: {
      replicas,
      selector: { matchLabels: { ...own, n: `${i}` } },
      template: { metadata: { labels: { ...own, n: `${i}` } }, spec: { containers: [container], hostNetwork: true } },
    },
  }));

const pod = fc
  .record({ namespace, labels, nodeName, ips: addresses('10.244.1.9', 'fd00:10:244:1::9') })
  .map(({ namespace: ns, labels: own, nodeName: node, ips }) => (i: number): Value => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `p-${i}`, namespace: ns, labels: own },
    spec: { nodeName: node, containers: [container] },
    status: { phase: i % 3 === 0 ? 'Pending' : 'Running', podIPs: ips.map((ip) => ({ ip })) },
  }));

const node = fc
  .record({ ips: addresses('192.168.0.7', 'fd00:10::7'), blocks: addresses('10.244.7.0/24', 'fd00:10:244:7::/64') })
  .map(({ ips, blocks }) => (i: number): Value => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: i === 0 ? 'node-1' : `n${i}` },
    // One node only has these, as addresses are unique.
    spec: i === 0 ? { podCIDRs: blocks } : {},
    status: { addresses: i === 0 ? ips.map((address) => ({ type: 'InternalIP', address })) : [] },
  }));

const foreign = fc.constantFrom<Value>(
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' }, data: { experiment: 'no' } },
  { apiVersion: 'serving.knative.dev/v1', kind: 'Service', metadata: { name: 'k' }, spec: {} },
  { apiVersion: 'example.org/stable', kind: 'Prod', metadata: null },
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'system:x' } },
  { apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { generateName: 'x-' } },
  { apiVersion: 'v1', kind: 'ConfigMapList', items: [{ metadata: { name: 'inner' } }] },
);

const manifests = fc
  .record({
    services: fc.array(service, { maxLength: 8 }),
    slices: fc.array(slice, { maxLength: 5 }),
    deployments: fc.array(deployment, { maxLength: 2 }),
    pods: fc.array(pod, { maxLength: 3 }),
    nodes: fc.array(node, { maxLength: 3 }),
    foreign: fc.array(foreign, { maxLength: 3 }),
    form: fc.constantFrom('documents', 'list'),
  })
  .map((shape) => {
    const objects = [
      ...shape.foreign,
      ...shape.services.map(serviceObject),
      ...shape.slices.map(sliceObject),
      ...shape.deployments.map((make, i) => make(i)),
      ...shape.pods.map((make, i) => make(i)),
      ...shape.nodes.map((make, i) => make(i)),
    ];
    if (shape.form === 'list') return JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
    return `# nothing here\n---\n${objects.map((object) => JSON.stringify(object)).join('\n---\n')}\n---\n`;
  });

describe('manifests of unknown origin', () => {
  it('compile in every mode and family, and a packet to each port finds its way', () => {
    let ports = 0;
    fc.assert(
      fc.property(manifests, fc.constantFrom('IPv4' as const, 'IPv6' as const), (text, family) => {
        for (const mode of MODES) {
          const input = manifestInput([{ path: 'odd.yaml', text }], { engine: mode }, family);
          ports += input.services.length;
          const program = compileProgram(mode, input);
          for (const form of FORMS) expect(program.dump(form)).not.toMatch(/undefined|NaN|\[object/);
          const dump = program.dump('kernel');
          // kube-proxy's process of userspace mode has no sockets for SCTP.
          const seen = input.services.filter(({ protocol }) => mode !== 'userspace' || protocol !== 'sctp');
          for (const svc of seen) {
            expect(dump).toContain(svc.clusterIp);
            const trace = program.trace({
              sourceIp: family === 'IPv4' ? '10.244.200.7' : 'fd00:10:244::200:7',
              protocol: svc.protocol,
              destIp: svc.clusterIp,
              destPort: svc.port,
            });
            const known = svc.endpoints.map(({ address, port }) => hostPort(address, port));
            for (const endpoint of trace.endpoints) expect(known).toContain(endpoint);
            expect(trace.endpoints.length === 0).toBe(trace.verdict !== 'ACCEPT');
          }
        }
      }),
      { numRuns: 150, seed: 3 },
    );
    expect(ports).toBeGreaterThan(900);
  });
});
