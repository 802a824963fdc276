import { describe, expect, it } from 'vitest';
import { cidrContains, formatIpv4, parseCidr } from '../model/address.ts';
import type { Cidr } from '../model/address.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../model/protocol.ts';
import { Rng } from '../sim/rng.ts';
import { buildCluster, PLAIN_SERVICES } from './cluster-builder.ts';
import { readManifests } from './manifests.ts';
import type { ManifestCluster, SyntheticCluster } from './spec.ts';

const base: SyntheticCluster = {
  kind: 'synthetic',
  services: 10,
  endpointsPerService: 3,
  nodes: 3,
  deployments: false,
  observedNodes: 1,
  ...PLAIN_SERVICES,
};

const MANIFEST = `apiVersion: v1
kind: Service
metadata: { name: web }
spec: { clusterIP: 10.100.0.2, ports: [{ port: 80 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ port: 8080 }]
endpoints: [{ addresses: [10.128.0.2], nodeName: n1 }]
`;

function manifestCluster(extraServices: number, extraEndpointsPerService: number): ManifestCluster {
  const { node, state, workload, podBlock } = readManifests([{ path: 'm.yaml', text: MANIFEST }]);
  return {
    kind: 'manifests',
    files: ['m.yaml'],
    node,
    state,
    workload,
    podBlock,
    extraServices,
    extraEndpointsPerService,
  };
}

describe('a synthetic cluster', () => {
  it('has consecutive cluster IPs, one a service, and pods of its own for each', () => {
    const { state, node } = buildCluster(base, new Rng(1));
    const [first, second] = state.servicePorts;
    expect(first).toMatchObject({
      id: 0,
      namespace: 'synthetic',
      name: 'svc-1',
      portName: '',
      port: 80,
      nodePort: 0,
      protocol: PROTOCOL_TCP,
    });
    expect(state.servicePorts.map((svc) => formatIpv4(svc.clusterIp))).toEqual(
      Array.from({ length: 10 }, (_, i) => `10.96.0.${i + 1}`),
    );
    expect(first?.endpoints.map((each) => `${formatIpv4(each.address)}:${each.port}@${each.nodeName}`)).toEqual([
      '10.128.0.1:8080@node-1',
      '10.128.0.2:8080@node-2',
      '10.128.0.3:8080@node-3',
    ]);
    expect(second?.endpoints[0]).toMatchObject({ ready: true, serving: true, terminating: false });
    expect(node).toEqual({
      name: 'node-1',
      addresses: [0xc0a8000b],
      clusterCidr: parseCidr('10.128.0.0/9'),
      zone: 'a',
    });
  });

  it('repeats a service for each of its ports, with the same pods', () => {
    const { state } = buildCluster({ ...base, services: 2, ports: 3, protocol: 'udp' });
    expect(state.servicePorts.map((svc) => [svc.id, svc.name, svc.portName, svc.port, svc.protocol])).toEqual([
      [0, 'svc-1', 'p0', 80, PROTOCOL_UDP],
      [1, 'svc-1', 'p1', 81, PROTOCOL_UDP],
      [2, 'svc-1', 'p2', 82, PROTOCOL_UDP],
      [3, 'svc-2', 'p0', 80, PROTOCOL_UDP],
      [4, 'svc-2', 'p1', 81, PROTOCOL_UDP],
      [5, 'svc-2', 'p2', 82, PROTOCOL_UDP],
    ]);
    const [a, b] = state.servicePorts;
    expect(a?.endpoints.map((each) => each.address)).toEqual(b?.endpoints.map((each) => each.address));
    expect(b?.endpoints[0]?.port).toBe(8081);
  });

  it('gives node ports to the first services and spreads empty ones evenly', () => {
    const { state } = buildCluster({ ...base, nodePortRatio: 0.25, emptyRatio: 0.3 });
    expect(state.servicePorts.map((svc) => svc.nodePort)).toEqual([30000, 30001, 30002, 0, 0, 0, 0, 0, 0, 0]);
    const empty = state.servicePorts.flatMap((svc, i) => (svc.endpoints.length === 0 ? [i] : []));
    expect(empty).toEqual([3, 6, 9]);
  });

  it('gives load balancers and external IPs to the first services, each in a range of its own', () => {
    const ranges = [parseCidr('203.0.113.0/24') as Cidr];
    const spec = { ...base, loadBalancerRatio: 0.2, externalIpRatio: 0.1, sourceRanges: ranges };
    const { state } = buildCluster(spec);
    expect(state.servicePorts.map((svc) => svc.extras?.loadBalancerVips.map(formatIpv4))).toEqual([
      ['100.64.0.1'],
      ['100.64.0.2'],
      ...Array.from({ length: 8 }, () => undefined),
    ]);
    expect(state.servicePorts[0]?.extras).toEqual({
      externalIps: [0x64600001],
      loadBalancerVips: [0x64400001],
      loadBalancerSourceRanges: ranges,
      externalPolicyLocal: false,
      internalPolicyLocal: false,
      affinitySeconds: 0,
      healthCheckNodePort: 0,
    });
    expect(state.servicePorts[1]?.extras?.externalIps).toEqual([]);
  });

  it('applies the external policy where there is a way in, with a health-check port for each load balancer', () => {
    const spec = { ...base, ports: 2, nodePortRatio: 0.3, loadBalancerRatio: 0.2, externalPolicyLocal: true };
    const { state } = buildCluster(spec);
    const firstPorts = state.servicePorts.filter((_, i) => i % 2 === 0);
    expect(firstPorts.map((svc) => svc.extras?.externalPolicyLocal)).toEqual([
      true,
      true,
      true,
      ...Array.from({ length: 7 }, () => undefined),
    ]);
    // Three services of two ports have the node ports 30000 to 30005; a health check is shared by both ports.
    expect(state.servicePorts.slice(0, 6).map((svc) => [svc.nodePort, svc.extras?.healthCheckNodePort])).toEqual([
      [30000, 30006],
      [30001, 30006],
      [30002, 30007],
      [30003, 30007],
      [30004, 0],
      [30005, 0],
    ]);
    const udp = buildCluster({ ...spec, protocol: 'udp' }).state.servicePorts[0];
    expect([udp?.nodePort, udp?.extras?.healthCheckNodePort]).toEqual([30000, 30000]);
  });

  it('applies the internal policy and affinity everywhere', () => {
    const { state } = buildCluster({ ...base, internalPolicyLocal: true, affinitySeconds: 60 });
    expect(
      state.servicePorts.every((svc) => svc.extras?.internalPolicyLocal && svc.extras.affinitySeconds === 60),
    ).toBe(true);
  });

  it('hints endpoints for their zone, and for their node if asked to', () => {
    const hints = (trafficDistribution: SyntheticCluster['trafficDistribution']) =>
      buildCluster({ ...base, trafficDistribution }).state.servicePorts[0]?.endpoints.map((each) => each.hints);
    expect(hints(undefined)).toEqual([undefined, undefined, undefined]);
    expect(hints('PreferSameZone')).toEqual(['a', 'b', 'c'].map((zone) => ({ zones: [zone], nodes: [] })));
    expect(hints('PreferSameNode')?.[1]).toEqual({ zones: ['b'], nodes: ['node-2'] });
  });

  it('may be of SCTP', () => {
    expect(buildCluster({ ...base, protocol: 'sctp' }).state.servicePorts[0]?.protocol).toBe(PROTOCOL_SCTP);
  });

  it('never gives an address twice, nor one that a client pod or a new pod gets', () => {
    const { state, workload, podBlock } = buildCluster({ ...base, services: 3000 });
    const seen = new Set<number>();
    for (const svc of state.servicePorts) for (const each of svc.endpoints) seen.add(each.address);
    expect(seen.size).toBe(9000);
    expect(Math.max(...seen)).toBeLessThan(workload.firstFreePodAddress);
    expect([...seen].some((address) => cidrContains(podBlock, address))).toBe(false);
  });

  it('is built of 20,000 services with 10 endpoints each', () => {
    const { state } = buildCluster({ ...base, services: 20_000, endpointsPerService: 10 });
    expect(state.servicePorts.length).toBe(20_000);
    expect(state.servicePorts.at(-1)?.endpoints.length).toBe(10);
    expect(formatIpv4(state.servicePorts.at(-1)?.clusterIp ?? 0)).toBe('10.96.78.32');
  });

  it('takes nothing from chance', () => {
    expect(buildCluster(base, new Rng(1))).toEqual(buildCluster(base, new Rng(2)));
  });
});

describe('a cluster of manifests', () => {
  it('is what the manifests say when there is no crowd', () => {
    const spec = manifestCluster(0, 2);
    const built = buildCluster(spec);
    expect(built.state).toBe(spec.state);
    expect(built.node).toBe(spec.node);
    expect(built.manifestServicePorts).toBe(1);
  });

  it('gets a crowd after its own ids, around its own addresses', () => {
    const built = buildCluster(manifestCluster(3, 2));
    expect(
      built.state.servicePorts.map((svc) => [svc.id, `${svc.namespace}/${svc.name}`, formatIpv4(svc.clusterIp)]),
    ).toEqual([
      [0, 'default/web', '10.100.0.2'],
      [1, 'synthetic/svc-1', '10.100.0.1'],
      [2, 'synthetic/svc-2', '10.100.0.3'],
      [3, 'synthetic/svc-3', '10.100.0.4'],
    ]);
    const pods = built.state.servicePorts.flatMap((svc) => svc.endpoints.map((each) => formatIpv4(each.address)));
    expect(pods).toEqual([
      '10.128.0.2',
      '10.128.0.1',
      '10.128.0.3',
      '10.128.0.4',
      '10.128.0.5',
      '10.128.0.6',
      '10.128.0.7',
    ]);
    for (const svc of built.state.servicePorts) {
      for (const each of svc.endpoints) expect(cidrContains(built.node.clusterCidr as Cidr, each.address)).toBe(true);
    }
  });
});
