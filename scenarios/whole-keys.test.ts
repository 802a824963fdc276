/** Keys of an experiment for what Services, traffic and kube-proxy have beside the plain: good values, and mistakes with their place. */
import { describe, expect, it } from 'vitest';
import { parseCidr } from '../model/address.ts';
import { CLUSTER, fails, HEAD, load } from './load-fixtures.ts';

/** `lines` stand in cluster.synthetic from line 6 on, `others` at the top after them. */
const text = (lines: readonly string[], others = '') =>
  `${HEAD}${CLUSTER}${lines.map((line) => `    ${line}\n`).join('')}${others}`;
const point = (lines: readonly string[], others = '') => load(text(lines, others)).resolvePoint({});

describe('cluster.synthetic', () => {
  it('takes what services have beside cluster IPs', () => {
    const { cluster } = point([
      'protocol: sctp',
      'load_balancer_ratio: 0.5',
      'external_ip_ratio: 0.25',
      'source_ranges: [203.0.113.9/24]',
      'external_traffic_policy: local',
      'internal_traffic_policy: local',
      'session_affinity_s: 60',
      'topology: same_node',
    ]);
    expect(cluster).toMatchObject({
      protocol: 'sctp',
      loadBalancerRatio: 0.5,
      externalIpRatio: 0.25,
      sourceRanges: [parseCidr('203.0.113.0/24')],
      externalPolicyLocal: true,
      internalPolicyLocal: true,
      affinitySeconds: 60,
      trafficDistribution: 'PreferSameNode',
    });
  });

  it('has nothing of it by default', () => {
    expect(point([]).cluster).toMatchObject({
      loadBalancerRatio: 0,
      externalIpRatio: 0,
      sourceRanges: [],
      externalPolicyLocal: false,
      internalPolicyLocal: false,
      affinitySeconds: 0,
      trafficDistribution: undefined,
    });
  });

  it('may be swept by any of them', () => {
    const loaded = load(text([], 'sweep: { cluster.synthetic.session_affinity_s: [0, 10800] }\n'));
    const spec = loaded.resolvePoint({ 'cluster.synthetic.session_affinity_s': 10_800 }).cluster;
    expect(spec).toMatchObject({ affinitySeconds: 10_800 });
  });

  it.each([
    [
      ['source_ranges: [10.0.0.0]'],
      '',
      'e.yaml:6:21: "cluster.synthetic.source_ranges.0" must be an IPv4 block such as "10.0.0.0/8", got "10.0.0.0". Did you mean "10.0.0.0/32"?',
    ],
    [
      ['source_ranges: [10.0.0.0/8, "::/0"]'],
      '',
      'e.yaml:6:33: "cluster.synthetic.source_ranges.1" must be an IPv4 block such as "10.0.0.0/8", got "::/0".',
    ],
    [
      ['external_traffic_policy: Locl'],
      '',
      'e.yaml:6:30: "cluster.synthetic.external_traffic_policy" must be one of cluster, local, got "Locl". Did you mean "local"?',
    ],
    [
      ['session_affinity_s: 86401'],
      '',
      'e.yaml:6:25: "cluster.synthetic.session_affinity_s" must be at most 86400, got 86401.',
    ],
    [
      ['load_balancer_ratio: 1.5'],
      '',
      'e.yaml:6:26: "cluster.synthetic.load_balancer_ratio" must be at most 1, got 1.5.',
    ],
    [
      ['topology: same_rack'],
      '',
      /^e\.yaml:6:15: "cluster\.synthetic\.topology" must be one of none, same_zone, same_node, got "same_rack"\./,
    ],
    [
      ['session_afinity_s: 60'],
      '',
      /^e\.yaml:6:5: Unknown key "session_afinity_s" in cluster\.synthetic\. .* Did you mean "session_affinity_s"\?$/,
    ],
  ])('refuses %j', (lines, others, message) => {
    const got = fails(text(lines, others));
    if (typeof message === 'string') expect(got).toBe(message);
    else expect(got).toMatch(message);
  });

  it('refuses more health-check ports than there are node ports', () => {
    const many = `${HEAD}cluster:\n  synthetic:\n    services: 3000\n    load_balancer_ratio: 1\n    external_traffic_policy: local\n`;
    expect(fails(many)).toMatch(/^e\.yaml:6:26: 3000 health-check node ports .* has 2768\.$/);
    expect(load(many.replace('local', 'cluster')).resolvePoint({}).cluster.kind).toBe('synthetic');
  });
});

describe('traffic from outside', () => {
  it('takes a share for each way in, and the number of clients', () => {
    const others =
      'traffic: { load_balancer_ratio: 0.5, external_ip_ratio: 0.2, node_port_ratio: 0.1, host_client_ratio: 0.2, external_clients: 20 }\n';
    const lines = ['node_port_ratio: 1', 'load_balancer_ratio: 1', 'external_ip_ratio: 1'];
    expect(point(lines, others).traffic).toMatchObject({
      nodePortRatio: 0.1,
      loadBalancerRatio: 0.5,
      externalIpRatio: 0.2,
      externalClients: 20,
    });
  });

  it.each([
    ['load_balancer_ratio', 'an address of a load balancer'],
    ['external_ip_ratio', 'an external IP'],
    ['node_port_ratio', 'a node port'],
  ])('refuses %s where no service has %s', (key, what) => {
    expect(fails(text([], `traffic:\n  ${key}: 0.5\n`))).toBe(
      `e.yaml:7:${key.length + 5}: "traffic.${key}" is above 0 and "cluster.synthetic.${key}" is 0: no service has ${what}.`,
    );
    const manifest = 'apiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec: { ports: [{ port: 80 }] }\n';
    const experiment = `${HEAD}cluster: { manifests: [m.yaml] }\ntraffic:\n  ${key}: 0.5\n`;
    expect(fails(experiment, {}, { 'm.yaml': manifest })).toBe(
      `e.yaml:5:${key.length + 5}: "traffic.${key}" is above 0 and no Service of the manifests has ${what}.`,
    );
  });

  it('refuses shares of more than all connections', () => {
    const lines = ['load_balancer_ratio: 1', 'external_ip_ratio: 1'];
    expect(fails(text(lines, 'traffic:\n  load_balancer_ratio: 0.8\n  external_ip_ratio: 0.4\n'))).toMatch(
      /^e\.yaml:9:24: "load_balancer_ratio" and "external_ip_ratio" together must be at most 1, got 1\.2/,
    );
    expect(fails(text([], 'traffic: { external_clients: 509 }\n'))).toMatch(/must be at most 508, got 509/);
  });
});

describe('proxy', () => {
  const proxy = (lines: string) => point([], `proxy:\n  ${lines}\n`).proxy;

  it('takes every setting', () => {
    expect(
      proxy(
        'masquerade_random_fully: false\n  localhost_node_ports: false\n  node_port_addresses: [192.168.0.0/16]\n  nfacct: true\n  conntrack_tcp_liberal: true\n  conntrack_max: 1000\n  service_cidrs: [10.96.0.0/12]',
      ),
    ).toMatchObject({
      masqueradeRandomFully: false,
      localhostNodePorts: false,
      nodePortAddresses: [parseCidr('192.168.0.0/16')],
      nfacct: true,
      conntrackTcpLiberal: true,
      conntrackMax: 1000,
      serviceCidrs: [parseCidr('10.96.0.0/12')],
      localDetection: { kind: 'cluster' },
      minSyncPeriodSeconds: undefined,
    });
    expect(proxy('node_port_addresses: [primary]').nodePortAddresses).toBe('primary');
    expect(proxy('nfacct: false')).toMatchObject({ ipvsConnReuseMode: undefined, nodeKernel: [6, 18] });
    expect(proxy('{ ipvs_conn_reuse_mode: 0, node_kernel: "5.4" }')).toMatchObject({
      ipvsConnReuseMode: 0,
      nodeKernel: [5, 4],
    });
  });

  it.each([
    ['cidr', { kind: 'cluster' }],
    ['none', { kind: 'none' }],
    ['{ cidr: 10.0.0.0/8 }', { kind: 'cidr', cidr: parseCidr('10.0.0.0/8') }],
    ['{ bridge: cni0 }', { kind: 'bridge', name: 'cni0' }],
    ['{ prefix: veth }', { kind: 'prefix', name: 'veth' }],
  ])('detects local traffic by %s', (written, detection) => {
    expect(proxy(`detect_local: ${written}`).localDetection).toEqual(detection);
  });

  it.each([
    [
      'detect_local: cdir',
      /^e\.yaml:7:17: "proxy\.detect_local" must be "cidr" or "none" or a mapping, got "cdir"\. Did you mean "cidr"\?$/,
    ],
    [
      'detect_local: { cidr: 10.0.0.0 }',
      /^e\.yaml:7:25: "proxy\.detect_local\.cidr" must be an IPv4 block .* Did you mean "10\.0\.0\.0\/32"\?$/,
    ],
    [
      'detect_local: { bridge: "cni 0" }',
      /^e\.yaml:7:27: "proxy\.detect_local\.bridge" must be the name of an interface, at most 15 characters, got "cni 0"\.$/,
    ],
    [
      'node_port_addresses: [primary, 10.0.0.0/8]',
      /^e\.yaml:7:24: "proxy\.node_port_addresses" must be "primary" alone, or blocks\.$/,
    ],
    ['service_cidrs: [10.96.0.0/33]', /^e\.yaml:7:19: "proxy\.service_cidrs\.0" must be an IPv4 block/],
    ['ipvs_conn_reuse_mode: 2', /^e\.yaml:7:25: "proxy\.ipvs_conn_reuse_mode" must be .*0.*1.*"default".*got 2\.$/],
    ['node_kernel: "3.10"', /^e\.yaml:7:16: "proxy\.node_kernel" must be at least 4\.1, got 3\.10\.$/],
    ['node_kernel: 6.18', /^e\.yaml:7:16: "proxy\.node_kernel" must be/],
    ['conntrack_max: 0', /^e\.yaml:7:18: "proxy\.conntrack_max" must be at least 1, got 0\.$/],
  ])('refuses %s', (line, message) => {
    expect(fails(text([], `proxy:\n  ${line}\n`))).toMatch(message);
  });
});
