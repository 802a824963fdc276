import { describe, expect, it } from 'vitest';
import { deployment, failure, read, service, slice } from './manifest-fixtures.ts';

describe('warnings', () => {
  it.each([
    [
      'a selector of nothing',
      service(),
      'The selector app=web of Service default/web selects no pod; it has no endpoints.',
    ],
    [
      'no selector',
      service().replace('selector: { app: web }', 'type: ClusterIP'),
      'Service default/web has neither a selector nor EndpointSlices; it has no endpoints.',
    ],
    [
      'a kind that is not modelled',
      'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\n',
      'Ignored ConfigMap/settings: objects of kind ConfigMap are not modelled.',
    ],
    [
      "another group's Service",
      'apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: { name: k }\n',
      'Ignored Service/k: objects of kind Service are not modelled.',
    ],
    [
      'an unusual node port',
      `${service({ spec: 'type: NodePort\n  ports: [{ port: 80, nodePort: 8080 }]' })}${deployment()}`,
      "The nodePort 8080 of Service default/web is outside 30000-32767, the API server's default range; it is taken as it is.",
    ],
    [
      'a slice of nobody',
      slice('[]'),
      'EndpointSlice default/web-1 belongs to the Service default/web, which is not in the manifests; it is ignored.',
    ],
  ])('say what is done about %s', (_, text, warning) => {
    expect(read(text).warnings).toEqual([warning]);
  });

  it.each([
    ['clusterIPs: [10.96.7.7, "fd00::1"]', 'its IPv6 ClusterIP is not modelled; only the IPv4 one is.'],
    ['externalIPs: [1.2.3.4, "2001:db8::1"]', '"2001:db8::1": IPv6 is not modelled; only IPv4 is.'],
    ['loadBalancerSourceRanges: [1.2.3.0/24, "::/0"]', '"::/0": IPv6 is not modelled; only IPv4 is.'],
    [
      'trafficDistribution: PreferClosed',
      'trafficDistribution "PreferClosed" is not known; endpoints of all zones are used. Expected one of PreferClose, PreferSameZone, PreferSameNode. Did you mean "PreferClose"?',
    ],
  ])('name a feature that no engine models: %s', (line, warning) => {
    const result = read(`${service({ spec: `type: NodePort\n  ${line}\n  ports: [{ port: 80 }]` })}${deployment()}`);
    expect(result.warnings).toEqual([`Service default/web: ${warning}`]);
    expect(result.state.servicePorts.length).toBe(1);
  });

  it.each([
    'sessionAffinity: ClientIP',
    'externalTrafficPolicy: Local',
    'internalTrafficPolicy: Local',
    'externalIPs: [1.2.3.4]',
    'trafficDistribution: PreferClose',
    'loadBalancerSourceRanges: [1.2.3.0/24]',
  ])('say nothing of %s, which is modelled', (line) => {
    const text = `${service({ spec: `type: NodePort\n  ${line}\n  ports: [{ port: 80, protocol: SCTP }]` })}${deployment()}`;
    expect(read(text).warnings).toEqual([]);
  });

  it.each([
    deployment({ spec: 'strategy: { type: Recreate }' }),
    deployment({ spec: 'progressDeadlineSeconds: 60' }),
    deployment({ container: 'startupProbe: { exec: { command: [cat, /tmp/up] } }' }),
  ])('say nothing of what the control plane models', (text) => {
    expect(read(text).warnings).toEqual([]);
  });

  it('name a Service that is left out for having IPv6 alone', () => {
    const six = read(service({ spec: 'clusterIP: "fd00::7"\n  ports: [{ port: 80 }]' }));
    expect(six.state.servicePorts).toEqual([]);
    expect(six.warnings).toEqual([
      'Service default/web has only an IPv6 ClusterIP; IPv6 is not modelled, the Service is left out.',
    ]);
  });

  it('count what they do not name', () => {
    const many = Array.from(
      { length: 15 },
      (_, i) => `---\napiVersion: v1\nkind: Secret\nmetadata: { name: s${i} }\n`,
    ).join('');
    expect(read(many).warnings).toEqual([expect.stringMatching(/^Ignored Secret\/s0, .*Secret\/s9 and 5 more: /)]);
  });
});

describe('errors', () => {
  const nodePort = (name: string, protocol: string) =>
    service({ name, spec: `type: NodePort\n  ports:\n    - { port: 80, protocol: ${protocol}, nodePort: 30080 }` });

  it.each([
    [
      'one nodePort twice',
      `${nodePort('a', 'TCP')}${nodePort('b', 'TCP')}`,
      'm.yaml:20:44: The nodePort 30080/TCP of Service default/b is already that of default/a (m.yaml:2).',
    ],
    [
      'a bad cluster IP',
      service({ spec: 'clusterIP: 10.96.0.999\n  ports: [{ port: 80 }]' }),
      'm.yaml:8:14: The clusterIP of Service default/web must be an IP address, "None" or "", got "10.96.0.999".',
    ],
    [
      'a cluster IP of nobody',
      service({ spec: 'clusterIP: 127.0.0.1\n  ports: [{ port: 80 }]' }),
      /^m\.yaml:8:14: .* ordinary unicast address/,
    ],
    [
      'one cluster IP twice',
      ['a', 'b'].map((name) => service({ name, spec: 'clusterIP: 10.96.0.10\n  ports: [{ port: 80 }]' })).join(''),
      'm.yaml:17:14: The clusterIP 10.96.0.10 of Service default/b is already that of default/a (m.yaml:2).',
    ],
    [
      'one object twice',
      `${service()}${service()}`,
      'm.yaml:13:9: Service default/web is given twice; the first is at m.yaml:2.',
    ],
    [
      'a port out of range',
      service({ spec: 'ports: [{ port: 70000 }]' }),
      'm.yaml:8:19: In Service web: "spec.ports.0.port" must be at most 65535, got 70000.',
    ],
    [
      'a port that is text',
      service({ spec: 'ports: [{ port: "80" }]' }),
      'm.yaml:8:19: In Service web: "spec.ports.0.port" must be a number, got "80".',
    ],
    ['no ports', service({ spec: 'type: ClusterIP' }), /^m\.yaml:7:3: Service default\/web has no "ports"/],
    [
      'ports without names',
      service({ spec: 'ports: [{ port: 80 }, { port: 81 }]' }),
      /^m\.yaml:8:11: A port of Service default\/web has no name/,
    ],
    [
      'one port name twice',
      service({ spec: 'ports: [{ name: a, port: 80 }, { name: a, port: 81 }]' }),
      /^m\.yaml:8:42: The port name "a" stands twice/,
    ],
    [
      'one port twice',
      service({ spec: 'ports: [{ name: a, port: 80 }, { name: b, port: 80 }]' }),
      /^m\.yaml:8:51: The port 80\/TCP stands twice/,
    ],
    [
      'a nodePort of a ClusterIP Service',
      service({ spec: 'ports: [{ port: 80, nodePort: 30000 }]' }),
      /^m\.yaml:8:33: .* is of type ClusterIP/,
    ],
    [
      'an unknown protocol',
      service({ spec: 'ports: [{ port: 80, protocol: tcp }]' }),
      /^m\.yaml:8:33: .* must be one of TCP, UDP, SCTP, got "tcp"\. Did you mean "TCP"\?$/,
    ],
    [
      'an unknown type',
      service({ spec: 'type: NodPort\n  ports: [{ port: 80 }]' }),
      /^m\.yaml:8:9: .*Did you mean "NodePort"\?$/,
    ],
    ['no kind', 'apiVersion: v1\nmetadata: { name: a }\n', /^m\.yaml:1:1: "kind" is missing/],
    [
      'a misspelt kind',
      'apiVersion: v1\nkind: Servce\nmetadata: { name: a }\n',
      'm.yaml:2:7: Unknown kind "Servce". Did you mean "Service"?',
    ],
    [
      'no apiVersion',
      'kind: Service\nmetadata: { name: a }\n',
      /^m\.yaml:1:1: "apiVersion" is missing in this Service/,
    ],
    [
      'an apiVersion of no shape',
      'apiVersion: one\nkind: Service\nmetadata: { name: a }\n',
      /^m\.yaml:1:13: "apiVersion" must be text such as/,
    ],
    [
      'an old apiVersion',
      'apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: { name: a }\n',
      /^m\.yaml:1:13: .* must be "apps\/v1" \(older versions are no longer served\), got "apps\/v1beta1"/,
    ],
    [
      'no name',
      'apiVersion: v1\nkind: Service\nmetadata: {}\nspec: {}\n',
      /^m\.yaml:3:11: In this Service: "metadata\.name" is missing/,
    ],
    [
      'a label that is a number',
      service().replace('{ app: web }', '{ app: 1 }'),
      /^m\.yaml:7:20: In Service web: "spec\.selector\.app" must be text, got 1/,
    ],
    [
      'negative replicas',
      deployment({ replicas: -1 }),
      /^m\.yaml:6:13: In Deployment web: "spec\.replicas" must be at least 0, got -1/,
    ],
    ['absurd replicas', deployment({ replicas: 1_000_000 }), /must be at most 10000, got 1000000/],
    [
      'a selector that misses',
      deployment().replace('{ app: web }', '{ app: wab }'),
      /^m\.yaml:7:13: The selector of Deployment default\/web does not match/,
    ],
    [
      'a strategy that cannot move',
      deployment({ spec: 'strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } }' }),
      /^m\.yaml:8:30: .* both 0/,
    ],
    [
      'a percentage that is none',
      deployment({ spec: 'strategy: { rollingUpdate: { maxSurge: many } }' }),
      /^m\.yaml:8:42: .*"spec\.strategy\.rollingUpdate\.maxSurge"/,
    ],
    [
      'a probe without a handler',
      deployment({ container: 'readinessProbe: { periodSeconds: 1 }' }),
      /^m\.yaml:14:27: A probe of Deployment default\/web must have exactly one/,
    ],
    [
      "a probe's port that nobody has",
      deployment({ container: 'readinessProbe: { tcpSocket: { port: http } }' }),
      /^m\.yaml:14:48: The probe's port "http" is no port name/,
    ],
    [
      'an address that is none',
      `${service()}${slice('[{ addresses: [10.0.0] }]')}`,
      /^m\.yaml:15:\d+: An address of EndpointSlice default\/web-1 must be an IPv4 address, got "10\.0\.0"/,
    ],
    ['a scalar', 'hello\n', 'm.yaml:1:1: A Kubernetes object must be a mapping, got "hello".'],
    [
      'a List without items',
      'apiVersion: v1\nkind: List\n',
      'm.yaml:1:1: A List must have "items", a list of objects.',
    ],
    [
      'duplicate keys in JSON',
      '{"apiVersion": "v1", "kind": "Service", "kind": "Pod"}',
      'm.yaml:1:41: The same key stands twice in this mapping.',
    ],
  ])('refuse %s', (_, text, message) => {
    const got = failure(text);
    if (typeof message === 'string') expect(got).toBe(message);
    else expect(got).toMatch(message);
  });

  it('point into a List, and into a large JSON dump', () => {
    const items = Array.from({ length: 2000 }, (_, i) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: `svc-${i}` },
      spec: { ports: [{ port: i === 1999 ? 0 : 80 }] },
    }));
    const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items }, null, 1);
    expect(text.length).toBeGreaterThan(200_000);
    expect(failure(text)).toMatch(
      /^m\.yaml:28000:15: In Service svc-1999: "spec\.ports\.0\.port" must be at least 1, got 0\.$/,
    );
  });
});
