import { describe, expect, it } from 'vitest';
import { CLUSTER, fails, HEAD, load, MANIFEST } from './load-fixtures.ts';

describe('wrong keys and values', () => {
  it.each([
    [
      'an unknown key',
      `${HEAD}cluster:\n  synthetic:\n    servces: 10\n`,
      'e.yaml:5:5: Unknown key "servces" in cluster.synthetic. Expected one of services, endpoints_per_service, ports, protocol, node_port_ratio, load_balancer_ratio, external_ip_ratio, source_ranges, external_traffic_policy, internal_traffic_policy, session_affinity_s, topology, empty_ratio, deployments, nodes. Did you mean "services"?',
    ],
    [
      'a missing key',
      'experiment: x\ncluster:\n  synthetic: { services: 1 }\n',
      'e.yaml:1:1: "question" is missing; expected text.',
    ],
    [
      'a wrong type',
      `${HEAD}cluster:\n  synthetic:\n    services: many\n`,
      'e.yaml:5:15: "cluster.synthetic.services" must be a number, got "many".',
    ],
    [
      'nothing',
      `${HEAD}cluster:\n  synthetic:\n    services:\n`,
      /^e\.yaml:5:\d+: "cluster\.synthetic\.services" must be a number, got nothing\.$/,
    ],
    [
      'a negative number',
      `${HEAD}cluster:\n  synthetic:\n    services: -5\n`,
      'e.yaml:5:15: "cluster.synthetic.services" must be at least 1, got -5.',
    ],
    [
      'an absurd number',
      `${HEAD}cluster:\n  synthetic:\n    services: 1000000000000\n`,
      'e.yaml:5:15: "cluster.synthetic.services" must be at most 500000, got 1000000000000.',
    ],
    ['a fraction', `${HEAD}${CLUSTER}replications: 1.5\n`, 'e.yaml:6:15: "replications" must be an integer, got 1.5.'],
    ['NaN', `${HEAD}${CLUSTER}duration_s: .nan\n`, 'e.yaml:6:13: "duration_s" must be a number, got NaN.'],
    ['infinity', `${HEAD}${CLUSTER}duration_s: .inf\n`, 'e.yaml:6:13: "duration_s" must be a number, got Infinity.'],
    [
      'a list for a mapping',
      `${HEAD}${CLUSTER}traffic: [1]\n`,
      'e.yaml:6:10: "traffic" must be a mapping, got a list ([1]).',
    ],
    [
      'an unknown engine',
      `${HEAD}${CLUSTER}engines: [iptables, ipsv]\n`,
      'e.yaml:6:21: "engines.1" must be one of iptables, ipvs, nftables, userspace, got "ipsv". Did you mean "ipvs"?',
    ],
    [
      'an engine twice',
      `${HEAD}${CLUSTER}engines: [ipvs, ipvs]\n`,
      'e.yaml:6:10: "engines" must name each engine once, got a list (["ipvs","ipvs"]).',
    ],
    [
      'a name with a slash',
      'experiment: ../../etc\nquestion: Why?\ncluster: { synthetic: { services: 1 } }\n',
      /^e\.yaml:1:13: "experiment" must be lower-case letters/,
    ],
    [
      'a question that is none',
      `experiment: x\nquestion: Because.\n${CLUSTER}`,
      /^e\.yaml:2:11: "question" must be one line that ends in a question mark/,
    ],
    [
      'an unknown distribution',
      `${HEAD}${CLUSTER}traffic:\n  packet_gap_s: { distribution: normal, mean: 1 }\n`,
      /^e\.yaml:7:33: "traffic\.packet_gap_s\.distribution" must be one of constant, exponential, .* got "normal"/,
    ],
    [
      'a distribution with a foreign key',
      `${HEAD}${CLUSTER}traffic:\n  packet_gap_s: { distribution: exponential, mean: 1, sigma: 2 }\n`,
      /^e\.yaml:7:55: Unknown key "sigma" in traffic\.packet_gap_s/,
    ],
    [
      'weights that do not fit',
      `${HEAD}${CLUSTER}traffic:\n  packet_gap_s: { distribution: empirical, values: [1, 2], weights: [1] }\n`,
      /^e\.yaml:7:69: "weights" must have one entry a value \(2\), got 1/,
    ],
    [
      'an unknown popularity',
      `${HEAD}${CLUSTER}traffic:\n  popularity: unifrom\n`,
      'e.yaml:7:15: "traffic.popularity" must be "uniform" or a mapping, got "unifrom". Did you mean "uniform"?',
    ],
    [
      'less than one packet',
      `${HEAD}${CLUSTER}traffic:\n  packets_per_connection: 0\n`,
      /^e\.yaml:7:27: .* must be at least 1, got 0/,
    ],
    [
      'ratios beyond 1',
      `${HEAD}${CLUSTER}traffic: { node_port_ratio: 0.7, host_client_ratio: 0.7 }\n`,
      /together must be at most 1/,
    ],
    [
      'node ports that nobody has',
      `${HEAD}${CLUSTER}traffic:\n  node_port_ratio: 0.5\n`,
      /^e\.yaml:7:20: .*no service has a node port/,
    ],
    [
      'too many node ports',
      `${HEAD}cluster:\n  synthetic: { services: 5000, node_port_ratio: 1 }\n`,
      /^e\.yaml:4:49: 5000 node ports are asked for/,
    ],
    [
      'too many endpoints',
      `${HEAD}cluster:\n  synthetic: { services: 500000, endpoints_per_service: 10 }\n`,
      /^e\.yaml:4:26: .* make 5000000 endpoints; at most 2000000/,
    ],
    [
      'a service that is not there',
      `${HEAD}${CLUSTER}traffic:\n  popularity: { one: 11 }\n`,
      /^e\.yaml:7:22: There is no Service "11"; .* 1 to 10/,
    ],
    [
      'both kinds of cluster',
      `${HEAD}cluster:\n  synthetic: { services: 1 }\n  manifests: [a.yaml]\n`,
      /^e\.yaml:4:3: "cluster" must have either/,
    ],
    ['neither kind of cluster', `${HEAD}cluster: {}\n`, /^e\.yaml:3:10: "cluster" must have either/],
    [
      'churn without Deployments',
      `${HEAD}${CLUSTER}churn:\n  - rolling_update: { deployment: a, at_s: 1 }\n`,
      /^e\.yaml:7:3: Churn needs Deployments/,
    ],
    [
      'failing syncs of a synthetic node that is not observed',
      `${HEAD}${CLUSTER}churn:\n  - sync_failure: { at_s: 1, duration_s: 5, node: node-9 }\n`,
      /^e\.yaml:7:51: .*observed is node-1/,
    ],
    [
      'an unknown profile',
      `${HEAD}${CLUSTER}profile: linux-6.18-nativ\n`,
      /^e\.yaml:6:10: There is no cost profile "linux-6\.18-nativ"; .* Did you mean "linux-6\.18-native"\?$/,
    ],
    [
      'userspace mode with a profile in instructions',
      `${HEAD}${CLUSTER}engines: [ipvs, userspace]\nkubeProxy: v1.25\nprofile: linux-6.1-instructions\n`,
      /^e\.yaml:6:17: The profile "linux-6\.1-instructions" is in instructions and has no costs of userspace mode\./,
    ],
    [
      'an unknown path of a sweep',
      `${HEAD}${CLUSTER}sweep:\n  proxy.min_sync_perod_s: [1]\n`,
      /^e\.yaml:7:27: Unknown key "min_sync_perod_s" in proxy\. .*"min_sync_period_s"\?$/,
    ],
    [
      'a value of a sweep',
      `${HEAD}${CLUSTER}sweep:\n  services: [1, 0]\n`,
      /^e\.yaml:7:13: "cluster\.synthetic\.services" must be at least 1, got 0/,
    ],
    [
      'a range',
      `${HEAD}${CLUSTER}sweep:\n  services: 1..\n`,
      /^e\.yaml:7:13: The range "1\.\." of "services" is not understood/,
    ],
    [
      'a sweep of lists',
      `${HEAD}${CLUSTER}sweep:\n  services: [[1]]\n`,
      /^e\.yaml:7:13: The sweep of "services" must be values or a range/,
    ],
    [
      'two axes of one key',
      `${HEAD}${CLUSTER}sweep:\n  services: [1]\n  cluster.synthetic.services: [2]\n`,
      /^e\.yaml:8:3: .* sweep the same key/,
    ],
    [
      'too many points',
      `${HEAD}${CLUSTER}sweep:\n  services: 1..1000\n  endpoints_per_service: 1..1000\n`,
      /^e\.yaml:6:1: The sweep has more than 100000 points/,
    ],
  ])('refuses %s', (_, text, message) => {
    const got = fails(text);
    if (typeof message === 'string') expect(got).toBe(message);
    else expect(got).toMatch(message);
  });
});

describe('wrong manifests and churn', () => {
  const text = (rest: string) => `${HEAD}cluster:\n  manifests: [web.yaml]\n${rest}`;
  const files = { 'web.yaml': MANIFEST };

  it.each([
    [
      'an unknown Deployment',
      'churn:\n  - rolling_update: { deployment: wbe, at_s: 1 }\n',
      'e.yaml:6:35: There is no Deployment "wbe"; the cluster has web. Did you mean "web"?',
    ],
    [
      'a pod that is not there',
      'churn:\n  - probe_failure: { deployment: web, pod: 2, at_s: 1, duration_s: 1 }\n',
      /^e\.yaml:6:44: Deployment "default\/web" has 2 pods, numbered from 0; there is no pod 2/,
    ],
    [
      'a probe that is not there',
      'churn:\n  - probe_failure: { deployment: web, probe: liveness, at_s: 1, duration_s: 1 }\n',
      /^e\.yaml:6:46: Deployment "default\/web" has no livenessProbe/,
    ],
    [
      'two kinds in one entry',
      'churn:\n  - { rolling_update: { deployment: web, at_s: 1 }, scale: { deployment: web, replicas: 1, at_s: 1 } }\n',
      /^e\.yaml:6:5: An entry of "churn" must have exactly one/,
    ],
    [
      'an unknown node',
      'churn:\n  - node_drain: { node: node-22, at_s: 1 }\n',
      'e.yaml:6:25: There is no node "node-22"; the cluster has node-1, node-2, node-3. Did you mean "node-2"?',
    ],
    [
      'the end of the observed node',
      'churn:\n  - node_failure: { node: node-1, at_s: 1 }\n',
      /^e\.yaml:6:27: The machine of "node-1" cannot fail: it is an observed node/,
    ],
    [
      'failing syncs of a node that is not observed',
      'churn:\n  - sync_failure: { at_s: 1, duration_s: 5, node: node-2 }\n',
      /^e\.yaml:6:51: The kube-proxy of "node-2" is not observed, .*; observed is node-1\. Did you mean "node-1"\?$/,
    ],
    [
      'failing syncs without an end',
      'churn:\n  - sync_failure: { at_s: 1 }\n',
      /^e\.yaml:6:19: .*duration_s" is missing/,
    ],
    [
      'a kind of failure that does not exist',
      'churn:\n  - probe_flapping: { deployment: web, mode: hangs, at_s: 1, duration_s: 9, period_s: 2 }\n',
      /^e\.yaml:6:46: .*one of error, refuse, hang, probe_error, got "hangs"\. Did you mean "hang"\?$/,
    ],
    [
      'a misspelt key of pods',
      'churn:\n  - pods: { deployment: web, warmup_s: 1 }\n',
      /^e\.yaml:6:30: Unknown key "warmup_s" in churn\.0\.pods\. .*"warm_up_s"\?$/,
    ],
    [
      'pods that do nothing',
      'churn:\n  - pods: { deployment: web }\n',
      /^e\.yaml:6:11: "churn\.0\.pods" must have one of start_s, warm_up_s, crash_after_s, on_sigterm, shutdown_s, flapping\.$/,
    ],
    [
      'two behaviours of one Deployment',
      'churn:\n  - pods: { deployment: web, start_s: 1 }\n  - pods: { deployment: default/web, start_s: 1 }\n',
      /^e\.yaml:7:25: The pods of Deployment "default\/web" have a behaviour already/,
    ],
    [
      'flapping of a probe that is not there',
      'churn:\n  - pods: { deployment: web, flapping: { probe: startup, period_s: 5 } }\n',
      /^e\.yaml:6:40: Deployment "default\/web" has no startupProbe that could fail/,
    ],
    [
      'flapping without a period',
      'churn:\n  - pods: { deployment: web, flapping: { period_s: 0 } }\n',
      /^e\.yaml:6:52: "churn\.0\.pods\.flapping\.period_s" must be above 0, got 0\.$/,
    ],
    [
      'an unknown Service',
      'traffic:\n  popularity: { one: wed }\n',
      'e.yaml:6:22: There is no Service "wed" in the cluster. Did you mean "web"?',
    ],
    [
      'node ports that nobody has',
      'traffic:\n  node_port_ratio: 1\n',
      /^e\.yaml:6:20: .*no Service of the manifests has a node port/,
    ],
  ])('refuses %s', (_, rest, message) => {
    const got = fails(text(rest), {}, files);
    if (typeof message === 'string') expect(got).toBe(message);
    else expect(got).toMatch(message);
  });

  it('names a missing manifest at its place in the experiment', () => {
    expect(fails(text(''))).toBe('e.yaml:4:15: The manifest "web.yaml" cannot be used: No such file.');
  });

  it('points into the manifest for what is wrong there', () => {
    const broken = MANIFEST.replace('port: 80 }] }', 'port: 99999 }] }');
    expect(fails(text(''), {}, { 'web.yaml': broken })).toBe(
      'web.yaml:17:49: In Service web: "spec.ports.0.port" must be at most 65535, got 99999.',
    );
  });

  it('refuses an unknown node and a range that is none', () => {
    const withKey = (line: string) => `${HEAD}cluster:\n  manifests: [web.yaml]\n  ${line}\n`;
    expect(fails(withKey('node: node-9'), {}, files)).toMatch(
      /^e\.yaml:5:9: There is no node "node-9"; the cluster has node-1, node-2, node-3\./,
    );
    expect(fails(withKey('cluster_cidr: 10.0.0.0'), {}, files)).toMatch(/^e\.yaml:5:17: .* must be an IPv4 block/);
    expect(fails(`${HEAD}${CLUSTER}  node: x\n`)).toMatch(/belongs to a cluster of manifests/);
  });

  it('warns of churn after the end', () => {
    const loaded = load(text('duration_s: 5\nchurn:\n  - rolling_update: { deployment: web, at_s: 6 }\n'), {}, files);
    expect(loaded.warnings).toEqual([
      'The rolling_update of web at 6 s comes after the end at 5 s and does not happen.',
    ]);
  });
});
