import { describe, expect, it } from 'vitest';
import { formatIpv4 } from '../model/address.ts';
import { formatInputError, InputError } from './errors.ts';
import { deployment, read as readForSweeps, service, slice } from './manifest-fixtures.ts';
import { readProxyManifests } from './proxy-manifests.ts';
import { serviceConfigs } from './service-config.ts';
import type { IpFamily } from '../model/service-config.ts';

const read = (text: string, node?: string) => readProxyManifests([{ path: 'm.yaml', text }], node);

function configs(text: string, ipFamily: IpFamily = 'IPv4') {
  const { services, slices, node } = read(text);
  return serviceConfigs(services, slices, { ipFamily, nodeName: node.name });
}

const endpoints = (text: string, family: IpFamily = 'IPv4') =>
  configs(text, family).map((svc) => svc.endpoints.map(({ address, port }) => `${address} ${port}`));

function failure(text: string): string {
  try {
    read(text);
  } catch (error) {
    if (error instanceof InputError) return formatInputError(error);
    throw error;
  }
  throw new Error('Nothing was refused');
}

describe('Services', () => {
  it('get the cluster IPs, node ports and endpoints that a sweep gives them', () => {
    const text = `${Array.from({ length: 40 }, (_, i) =>
      service({ name: `svc-${i}`, spec: 'type: NodePort\n  ports: [{ port: 80, targetPort: 0 }]' }),
    ).join('')}${deployment()}`;
    const simulated = readForSweeps(text).state.servicePorts;
    expect(simulated.length).toBe(40);
    expect(
      configs(text).map((svc) => [svc.clusterIp, svc.nodePort, svc.endpoints.map((each) => each.address)]),
    ).toEqual(
      simulated.map((svc) => [
        formatIpv4(svc.clusterIp),
        svc.nodePort,
        svc.endpoints.map((each) => formatIpv4(each.address)),
      ]),
    );
  });

  it('keep what sweeps leave out', () => {
    const text = `${service({
      spec: `type: LoadBalancer
  externalTrafficPolicy: Local
  internalTrafficPolicy: Local
  sessionAffinity: ClientIP
  sessionAffinityConfig: { clientIP: { timeoutSeconds: 30 } }
  externalIPs: [192.0.2.1, "2001:db8::1"]
  loadBalancerSourceRanges: [" 10.0.0.0/8"]
  healthCheckNodePort: 31000
  ports: [{ name: s, protocol: SCTP, port: 9, nodePort: 30009 }]`,
    })}status: { loadBalancer: { ingress: [{ ip: 203.0.113.1 }, { ip: 203.0.113.2, ipMode: Proxy }] } }\n${deployment()}`;
    expect(configs(text)).toMatchObject([
      {
        protocol: 'sctp',
        nodePort: 30009,
        externalIps: ['192.0.2.1'],
        loadBalancerVips: ['203.0.113.1'],
        loadBalancerSourceRanges: ['10.0.0.0/8'],
        externalPolicyLocal: true,
        internalPolicyLocal: true,
        affinitySeconds: 30,
        healthCheckNodePort: 31000,
        endpoints: [{ isLocal: true }, { isLocal: false }, { isLocal: false }],
      },
    ]);
  });

  it('have the families that they ask for', () => {
    const families = (spec: string) => {
      const text = service({ spec: `${spec}\n  ports: [{ port: 80 }]` });
      return [configs(text).length, configs(text, 'IPv6').length];
    };
    expect(families('type: ClusterIP')).toEqual([1, 0]);
    expect(families('ipFamilies: [IPv6]')).toEqual([0, 1]);
    expect(families('ipFamilyPolicy: PreferDualStack')).toEqual([1, 1]);
    expect(families('ipFamilyPolicy: SingleStack')).toEqual([1, 0]);
    expect(families('clusterIP: "FD00::7"')).toEqual([0, 1]);
    expect(families('clusterIP: "fd00::7"\n  clusterIPs: ["fd00::7", 10.96.3.3]')).toEqual([1, 1]);
    const six = configs(service({ spec: 'ipFamilies: [IPv6]\n  ports: [{ port: 80 }]' }), 'IPv6')[0];
    expect(six?.clusterIp).toMatch(/^fd00:10:96::[0-9a-f]{3,4}$/);
  });

  it('never share an assigned address of IPv6, nor a health-check port with a node port', () => {
    const spec = `type: LoadBalancer\n  externalTrafficPolicy: Local\n  ipFamilies: [IPv6]\n  ports: [{ port: 80 }]`;
    const all = configs(Array.from({ length: 300 }, (_, i) => service({ name: `s${i}`, spec })).join(''), 'IPv6');
    expect(new Set(all.map((svc) => svc.clusterIp)).size).toBe(300);
    const ports = all.flatMap((svc) => [svc.nodePort, svc.healthCheckNodePort]);
    expect(new Set(ports).size).toBe(600);
    expect(ports.every((port) => port >= 30_000 && port <= 32_767)).toBe(true);
  });

  it('say what was assigned, and what is left out', () => {
    const text = `${service({ spec: 'clusterIP: 10.96.0.9\n  type: NodePort\n  ports: [{ port: 80 }]' })}${service({
      name: 'none',
      spec: 'clusterIP: None',
    })}${service({ name: 'ext', spec: 'type: ExternalName' })}${deployment()}`;
    const { assigned, notes } = read(text);
    expect(assigned).toEqual([expect.stringMatching(/^Service default\/web: node port 3\d{4} for 80\/TCP$/)]);
    expect(notes).toEqual([
      'Service default/ext is of type ExternalName; kube-proxy makes no rules for it.',
      'Service default/none is headless; kube-proxy makes no rules for it.',
    ]);
  });
});

describe('endpoints', () => {
  const dual = service({ spec: 'ipFamilyPolicy: PreferDualStack\n  ports: [{ port: 80 }]' });

  it('come from selectors in both families, and from given slices in theirs alone', () => {
    expect(endpoints(`${dual}${deployment({ replicas: 1 })}`)).toEqual([['10.244.1.2 80']]);
    expect(endpoints(`${dual}${deployment({ replicas: 1 })}`, 'IPv6')).toEqual([['fd00:10:244::af4:102 80']]);
    const given = `${dual}${deployment({ replicas: 1 })}${slice('[{ addresses: [10.9.9.9] }]', '[{ port: 1 }]')}`;
    expect(endpoints(given)).toEqual([['10.9.9.9 1']]);
    // The slice says where the Deployment's pod is, so that its IPv6 address follows.
    expect(endpoints(given, 'IPv6')).toEqual([['fd00:10:244::a09:909 80']]);
  });

  it('are the addresses of given Pods, whatever their family', () => {
    const pod = (ips: string) =>
      `---\napiVersion: v1\nkind: Pod\nmetadata: { name: p, labels: { app: web } }\nspec: { nodeName: n, containers: [{ name: c }] }\nstatus: { podIPs: [${ips}] }\n`;
    expect(endpoints(`${dual}${pod('{ ip: "FD00::5" }')}`)).toEqual([[]]);
    expect(endpoints(`${dual}${pod('{ ip: "FD00::5" }')}`, 'IPv6')).toEqual([['fd00::5 80']]);
    expect(endpoints(`${dual}${pod('{ ip: 10.1.1.1 }, { ip: "fd00::5" }')}`)).toEqual([['10.1.1.1 80']]);
  });

  it('resolve names by protocol, pod by pod; a name that no pod has is no mistake', () => {
    const container = 'ports: [{ name: dns, containerPort: 53, protocol: UDP }]';
    const named = (protocol: string) =>
      `${service({ spec: `ports: [{ port: 5353, protocol: ${protocol}, targetPort: dns }]` })}${deployment({ replicas: 1, container })}`;
    expect(endpoints(named('UDP'))).toEqual([['10.244.1.2 53']]);
    expect(endpoints(named('SCTP'))).toEqual([[]]);
    expect(read(named('SCTP')).notes).toEqual([
      'No container that Service default/web selects has a port named "dns" of SCTP; port 5353 has no endpoints.',
    ]);
  });

  it('get the hints that trafficDistribution asks for', () => {
    const close = service({ spec: 'trafficDistribution: PreferClose\n  ports: [{ port: 80 }]' });
    const hints = configs(`${close}${deployment({ replicas: 2 })}`)[0]?.endpoints.map((each) => each.zoneHints);
    expect(hints).toEqual([['a'], ['b']]);
  });

  it('need no Deployment without flaws', () => {
    const odd = deployment({ replicas: 1, container: 'readinessProbe: { httpGet: { port: nowhere } }' });
    expect(endpoints(`${service()}${odd}`)).toEqual([['10.244.1.2 80']]);
  });

  it('find room on hundreds of nodes', () => {
    const many = Array.from({ length: 400 }, (_, i) => `{ addresses: [10.9.${i >> 8}.${i & 255}], nodeName: n${i} }`);
    const { podCidrs, node } = read(`${service()}${slice(`[${many.join(', ')}]`)}`, 'n399');
    expect(podCidrs.IPv4).toBe('10.244.0.0/14');
    expect(node.name).toBe('n399');
  });
});

describe('Nodes', () => {
  const node = (spec: string, addresses: string) =>
    `---\napiVersion: v1\nkind: Node\nmetadata: { name: n }\nspec: ${spec}\nstatus: { addresses: [${addresses}] }\n`;

  it('have the addresses that they give, of both families, or made-up ones', () => {
    expect(read(node('{}', '')).node.addresses).toEqual(['192.168.0.11', 'fd00:10::c0a8:b']);
    const six = '{ type: InternalIP, address: "FD00::1" }, { type: ExternalIP, address: 192.0.2.7 }';
    expect(read(node('{}', six)).node.addresses).toEqual(['fd00::1']);
  });

  it('tell the range of IPv6 pods only where it is the usual one', () => {
    expect(read(node('{ podCIDRs: ["fd00:10:244:3::/64"] }', '')).podCidrs.IPv6).toBe('fd00:10:244::/56');
    const elsewhere = read(node('{ podCIDRs: ["2001:db8::/64"] }', ''));
    expect(elsewhere.podCidrs.IPv6).toBe('');
    expect(elsewhere.notes).toEqual([expect.stringContaining('IPv6 pods is not known')]);
  });
});

describe('bad input', () => {
  const spec = (line: string) => service({ spec: `type: LoadBalancer\n  ${line}\n  ports: [{ port: 80 }]` });
  it.each([
    [
      'an external IP',
      spec('externalIPs: [1.2.3]'),
      /^m\.yaml:9:17: "spec\.externalIPs" of Service default\/web .*"1\.2\.3"/,
    ],
    [
      'a source range',
      spec('loadBalancerSourceRanges: [10.0.0.0]'),
      /^m\.yaml:9:30: .*loadBalancerSourceRanges.*default\/web/,
    ],
    [
      'a cluster IP of IPv6',
      spec('clusterIP: "fd00::g"'),
      /^m\.yaml:9:14: The clusterIP of Service default\/web .*"fd00::g"/,
    ],
    ['a second cluster IP', spec('clusterIPs: [10.96.1.1, 10.96.1]'), /^m\.yaml:9:27: .*default\/web.*"10\.96\.1"/],
    [
      'two cluster IPs of one family',
      spec('clusterIPs: [10.96.1.1, 10.96.1.2]'),
      /^m\.yaml:9:27: .*IPv4 is given twice/,
    ],
    [
      'an ingress address',
      `${spec('externalIPs: []')}status: { loadBalancer: { ingress: [{ ip: lb.example.org }] } }\n`,
      /^m\.yaml:11:43: "status\.loadBalancer\.ingress\.ip" of Service default\/web .*"lb\.example\.org"/,
    ],
    [
      'an address of another family',
      `${service()}${slice('[{ addresses: ["fd00::1"] }]')}`,
      /^m\.yaml:15:\d+: .*web-1 must be an IPv4 address/,
    ],
    [
      'one cluster IP of IPv6 twice',
      `${service({ name: 'a', spec: 'clusterIP: "fd00::7"\n  ports: [{ port: 80 }]' })}${service({ name: 'b', spec: 'clusterIP: "FD00:0::7"\n  ports: [{ port: 80 }]' })}`,
      /^m\.yaml:17:14: The clusterIP fd00::7 of Service default\/b is already that of default\/a/,
    ],
    [
      'a health-check port that is a node port',
      `${service({ name: 'a', spec: 'type: NodePort\n  ports: [{ port: 80, nodePort: 30001 }]' })}${service({
        name: 'b',
        spec: 'type: LoadBalancer\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 30001\n  ports: [{ port: 80 }]',
      })}`,
      /^m\.yaml:19:24: The healthCheckNodePort 30001 of Service default\/b is already a node port of default\/a/,
    ],
  ])('refuses %s', (_, text, message) => {
    expect(failure(text)).toMatch(message);
  });
});
