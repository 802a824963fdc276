/** What Services of manifests have beside cluster IPs and node ports, as sweeps get it. */
import { describe, expect, it } from 'vitest';
import { formatCidr, formatIpv4 } from '../model/address.ts';
import { PROTOCOL_SCTP } from '../model/protocol.ts';
import { deployment, failure, read, service, slice } from './manifest-fixtures.ts';

/** The one service port's extras, addresses as text; `undefined` for a plain one. */
function extras(spec: string, status = '') {
  const svc = read(`${service({ spec })}${status}${deployment()}`).state.servicePorts[0];
  if (svc?.extras === undefined) return undefined;
  const { externalIps, loadBalancerVips, loadBalancerSourceRanges, ...others } = svc.extras;
  return {
    ...others,
    externalIps: externalIps.map(formatIpv4),
    loadBalancerVips: loadBalancerVips.map(formatIpv4),
    ranges: loadBalancerSourceRanges.map(formatCidr),
  };
}

const PORTS = 'ports: [{ port: 80 }]';
const INGRESS =
  'status: { loadBalancer: { ingress: [{ ip: 1.2.3.4 }, { ip: 1.2.3.5, ipMode: Proxy }, { ip: 1.2.3.6, ipMode: VIP }] } }\n';

describe('extras of a Service', () => {
  it('are absent for a plain one', () => {
    expect(extras(PORTS)).toBeUndefined();
    expect(extras(`sessionAffinity: None\n  externalTrafficPolicy: Cluster\n  ${PORTS}`)).toBeUndefined();
  });

  it('hold external IPs, read as leniently as kube-proxy does, of IPv4 alone', () => {
    expect(extras(`externalIPs: [192.0.2.7, 010.0.0.1, "2001:db8::1"]\n  ${PORTS}`)?.externalIps).toEqual([
      '192.0.2.7',
      '10.0.0.1',
    ]);
  });

  it('hold the ingress addresses that count, and source ranges', () => {
    const found = extras(
      `type: LoadBalancer\n  loadBalancerSourceRanges: [" 10.1.2.3/8", 1.2.3.4/32]\n  ${PORTS}`,
      INGRESS,
    );
    expect(found).toMatchObject({
      loadBalancerVips: ['1.2.3.4', '1.2.3.6'],
      ranges: ['10.0.0.0/8', '1.2.3.4/32'],
      externalPolicyLocal: false,
      healthCheckNodePort: 0,
    });
  });

  it.each([
    ['type: ClusterIP', undefined],
    ['type: ClusterIP\n  externalIPs: [192.0.2.7]', true],
    ['type: NodePort', true],
    ['type: LoadBalancer', true],
  ])('hold externalTrafficPolicy Local where it applies: %j', (spec, applies) => {
    expect(extras(`${spec}\n  externalTrafficPolicy: Local\n  ${PORTS}`)?.externalPolicyLocal).toBe(applies);
  });

  it('hold internalTrafficPolicy Local and affinity with its default of three hours', () => {
    expect(extras(`internalTrafficPolicy: Local\n  sessionAffinity: ClientIP\n  ${PORTS}`)).toMatchObject({
      internalPolicyLocal: true,
      affinitySeconds: 10_800,
    });
    const short = `sessionAffinity: ClientIP\n  sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } }\n  ${PORTS}`;
    expect(extras(short)?.affinitySeconds).toBe(60);
  });

  it('hold a health-check port where the API server keeps one, given or assigned', () => {
    const local = 'type: LoadBalancer\n  externalTrafficPolicy: Local';
    expect(extras(`${local}\n  healthCheckNodePort: 30500\n  ${PORTS}`)?.healthCheckNodePort).toBe(30_500);
    const assigned = extras(`${local}\n  ${PORTS}`)?.healthCheckNodePort ?? 0;
    expect(assigned).toBeGreaterThanOrEqual(30_086);
    expect(assigned).toBeLessThanOrEqual(32_767);
    expect(extras(`type: NodePort\n  externalTrafficPolicy: Local\n  ${PORTS}`)?.healthCheckNodePort).toBe(0);
    // Somebody's node port by number is never taken.
    const thief = service({ name: 'a', spec: `type: NodePort\n  ports: [{ port: 80, nodePort: ${assigned} }]` });
    const moved = read(`${service({ spec: `${local}\n  ${PORTS}` })}${thief}${deployment()}`).state.servicePorts[1];
    expect(moved?.extras?.healthCheckNodePort).not.toBe(assigned);
  });

  it('are shared by all ports, SCTP ones included', () => {
    const spec = 'externalIPs: [192.0.2.7]\n  ports: [{ name: a, port: 80 }, { name: b, port: 81, protocol: SCTP }]';
    const { state } = read(`${service({ spec })}${deployment()}`);
    expect(
      state.servicePorts.map((svc) => [svc.portName, svc.protocol === PROTOCOL_SCTP, svc.endpoints.length]),
    ).toEqual([
      ['a', false, 3],
      ['b', true, 3],
    ]);
    expect(state.servicePorts[1]?.extras).toEqual(state.servicePorts[0]?.extras);
  });

  it('match an SCTP container port and an SCTP port of a slice by name', () => {
    const spec = 'ports: [{ name: s, port: 81, protocol: SCTP, targetPort: sig }]';
    const container = '{ name: web, ports: [{ name: sig, containerPort: 9000, protocol: SCTP }] }';
    const derived = read(`${service({ spec })}${deployment({ container })}`).state.servicePorts[0];
    expect(derived?.endpoints.map((each) => each.port)).toEqual([9000, 9000, 9000]);
    const given = `${service({ spec })}${slice('[{ addresses: [10.0.0.1] }]', '[{ name: s, port: 9001, protocol: SCTP }]')}`;
    expect(read(given).state.servicePorts[0]?.endpoints.map((each) => each.port)).toEqual([9001]);
  });

  it.each([
    [
      `externalIPs: [1.2.3.4, 300.1.1.1]\n  ${PORTS}`,
      '',
      'm.yaml:8:26: "spec.externalIPs" of Service default/web must be an IP address, got "300.1.1.1".',
    ],
    [
      `loadBalancerSourceRanges: [10.0.0.0]\n  ${PORTS}`,
      '',
      'm.yaml:8:30: "spec.loadBalancerSourceRanges" of Service default/web must be blocks such as "10.0.0.0/8", got "10.0.0.0".',
    ],
    [
      `type: LoadBalancer\n  ${PORTS}`,
      'status: { loadBalancer: { ingress: [{ ip: nowhere }] } }\n',
      'm.yaml:10:43: "status.loadBalancer.ingress.ip" of Service default/web must be an IP address, got "nowhere".',
    ],
  ])('are refused where they are no address: %j', (spec, status, message) => {
    expect(failure(`${service({ spec })}${status}${deployment()}`)).toBe(message);
  });
});

describe('hints', () => {
  const hintsOf = (text: string) => read(text).state.servicePorts[0]?.endpoints.map((each) => each.hints);
  const spread = (distribution: string) =>
    `${service({ spec: `trafficDistribution: ${distribution}\n  ${PORTS}` })}${deployment()}`;

  it.each(['PreferClose', 'PreferSameZone'])("of %s are each pod's own zone", (distribution) => {
    expect(hintsOf(spread(distribution))).toEqual(['a', 'b', 'c'].map((zone) => ({ zones: [zone], nodes: [] })));
  });

  it('of PreferSameNode are its zone and its node', () => {
    expect(hintsOf(spread('PreferSameNode'))?.[1]).toEqual({ zones: ['b'], nodes: ['node-2'] });
  });

  it('need a zone label for a zone hint', () => {
    const node = '---\napiVersion: v1\nkind: Node\nmetadata: { name: n1 }\n';
    expect(hintsOf(`${spread('PreferClose')}${node}`)).toEqual([undefined, undefined, undefined]);
    expect(hintsOf(`${spread('PreferSameNode')}${node}`)?.[0]).toEqual({ zones: [], nodes: ['n1'] });
    expect(read(`${spread('PreferClose')}${node}`).node).not.toHaveProperty('zone');
  });

  it('of given slices are kept', () => {
    const endpoints =
      '[{ addresses: [10.0.0.1], hints: { forZones: [{ name: a }, { name: b }], forNodes: [{ name: n1 }] } }, { addresses: [10.0.0.2], hints: {} }]';
    expect(hintsOf(`${service()}${slice(endpoints)}`)).toEqual([{ zones: ['a', 'b'], nodes: ['n1'] }, undefined]);
  });

  it('reach the bindings, so that later pods have them as well', () => {
    expect(read(spread('PreferSameNode')).workload.bindings[0]?.trafficDistribution).toBe('PreferSameNode');
    expect(read(`${service()}${deployment()}`).workload.bindings[0]).not.toHaveProperty('trafficDistribution');
    // Slices that are hinted without a trafficDistribution: topology-aware routing.
    const pods = [1, 2, 3].map(
      (i) => `{ addresses: [10.0.0.${i}], nodeName: n${i}, hints: { forZones: [{ name: a }] } }`,
    );
    const aware = `${service()}${slice(`[${pods.join(', ')}]`)}${deployment()}`;
    expect(read(aware).workload.bindings[0]?.trafficDistribution).toBe('PreferSameZone');
  });

  it('meet the zone of the observed node', () => {
    expect(read(spread('PreferClose')).node.zone).toBe('a');
    expect(read(spread('PreferClose'), { node: 'node-3' }).node.zone).toBe('c');
  });
});
