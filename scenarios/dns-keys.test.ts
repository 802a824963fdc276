/** `traffic.dns`: good values, and mistakes with their place; what of it needs the cluster. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { buildCluster } from './cluster-builder.ts';
import { CLUSTER, fails, HEAD, load, MANIFEST } from './load-fixtures.ts';
import { trafficTargets } from './traffic.ts';

const DNS = readFileSync(new URL('clusters/alpaca-dns.yaml', import.meta.url), 'utf8');
const SEED = readFileSync(new URL('clusters/alpaca-bandicoot.yaml', import.meta.url), 'utf8');
const files = { 'web.yaml': MANIFEST, 'dns.yaml': DNS, 'seed.yaml': SEED };
const MANIFESTS = 'cluster: { manifests: [seed.yaml, dns.yaml] }\n';

const text = (dns: string, cluster = MANIFESTS, traffic = '') =>
  `${HEAD}${cluster}traffic: { connections: 5, dns: { ${dns} }${traffic} }\n`;
const point = (dns: string, cluster = MANIFESTS, traffic = '') =>
  load(text(dns, cluster, traffic), {}, files).resolvePoint({});

describe('traffic.dns', () => {
  it('is off unless given, and complete when it is', () => {
    expect(load(`${HEAD}${MANIFESTS}`, {}, files).resolvePoint({}).traffic).not.toHaveProperty('dns');
    expect(point('').traffic.dns).toEqual({
      service: 'kube-system/kube-dns',
      name: 'service',
      externalName: 'api.example.com',
      clusterDomain: 'cluster.local',
      ndots: 5,
      search: [],
      aaaa: true,
      timeoutSeconds: 5,
      attempts: 2,
      cache: 'none',
      ttlSeconds: 5,
      externalTtlSeconds: 30,
      serverDelaySeconds: { kind: 'lognormal', median: 0.0003, sigma: 0.5 },
      upstreamDelaySeconds: { kind: 'lognormal', median: 0.01, sigma: 0.5 },
    });
  });

  it('reaches the spec, and may be swept', () => {
    const keys =
      'name: external, external_name: www.example.org., client_namespace: shop, cluster_domain: k8s.test, ndots: 2, search: [a.test], aaaa: false, timeout_s: 1, attempts: 3, cache: node, ttl_s: 30, external_ttl_s: 60, server_delay_s: 0.001, upstream_delay_s: { distribution: exponential, mean: 0.02 }';
    expect(point(keys).traffic.dns).toMatchObject({
      name: 'external',
      externalName: 'www.example.org.',
      clientNamespace: 'shop',
      clusterDomain: 'k8s.test',
      ndots: 2,
      search: ['a.test'],
      aaaa: false,
      timeoutSeconds: 1,
      attempts: 3,
      cache: 'node',
      ttlSeconds: 30,
      externalTtlSeconds: 60,
      serverDelaySeconds: { kind: 'constant', value: 0.001 },
      upstreamDelaySeconds: { kind: 'exponential', mean: 0.02 },
    });
    const swept = load(`${text('')}sweep: { traffic.dns.name: [fqdn, absolute] }\n`, {}, files);
    expect(swept.resolvePoint({ 'traffic.dns.name': 'absolute' }).traffic.dns?.name).toBe('absolute');
  });

  it('lets traffic go to headless Services, and to the server of names only when it is named', () => {
    const names = (traffic: string, dns = true): string[] => {
      const { traffic: spec, cluster } = dns
        ? point('', MANIFESTS, traffic)
        : load(`${HEAD}${MANIFESTS}`, {}, files).resolvePoint({});
      return trafficTargets(spec, buildCluster(cluster)).map((svc) => svc.name);
    };
    expect(names('')).toEqual(['alpaca-service', 'bandicoot-service', 'alpaca-headless']);
    expect(names(', popularity: { one: alpaca-headless }')).toEqual(['alpaca-headless']);
    expect(names(', popularity: { one: "kube-dns:dns-tcp" }')).toEqual(['kube-dns']);
    expect(names('', false)).not.toContain('alpaca-headless');
  });

  it.each([
    ['name: short', '"traffic.dns.name" must be'],
    ['ndots: 16', '"traffic.dns.ndots" must be'],
    ['timeout_s: 0.5', '"traffic.dns.timeout_s" must be'],
    ['attempts: 6', '"traffic.dns.attempts" must be'],
    ['external_name: "a b"', 'must be the name of a host'],
    ['search: [".corp"]', 'must be a name such as "cluster.local"'],
    [
      'server_delay_s: { distribution: empirical, values: [1, 2], weights: [1] }',
      '"weights" must have one entry a value',
    ],
    ['servcie: a', 'Did you mean "service"?'],
    ['service: kube-system/kube-dsn', 'There is no Service "kube-system/kube-dsn" in the cluster. Did you mean'],
    ['service: alpaca-service', 'The Service "alpaca-service" has no port of UDP'],
    ['name: srv', 'The port of Service "default/alpaca-service" has no name'],
  ])('refuses %s', (keys, message) => {
    const failure = fails(text(keys), {}, files);
    expect(failure).toContain('e.yaml:4:');
    expect(failure).toContain(message);
  });

  it('says what a cluster without CoreDNS lacks', () => {
    const failure = fails(text('', 'cluster: { manifests: [web.yaml] }\n'), {}, files);
    expect(failure).toContain('e.yaml:4:33: There is no Service "kube-system/kube-dns" in the cluster.');
    expect(failure).toContain('"traffic.dns" needs a Service in front of CoreDNS; clusters/alpaca-dns.yaml has one.');
    expect(fails(text('', CLUSTER))).toContain('this one is synthetic');
    const headless = `${HEAD}${MANIFESTS}traffic: { popularity: { one: default/alpaca-headless } }\n`;
    expect(fails(headless, {}, files)).toContain(
      'e.yaml:4:31: The Service "default/alpaca-headless" is headless: clients find its pods by name, which needs "traffic.dns".',
    );
  });
});

describe('manifests', () => {
  const read = (more: string) => {
    const cluster = load(
      `${HEAD}cluster: { manifests: [seed.yaml, more.yaml] }\n`,
      {},
      { ...files, 'more.yaml': more },
    );
    return buildCluster(cluster.resolvePoint({}).cluster).workload;
  };
  const service = (name: string, spec: string) =>
    `apiVersion: v1\nkind: Service\nmetadata: { name: ${name} }\nspec: { ${spec} }\n---\n`;

  it('keep headless Services apart from service ports, with endpoints and bindings of their own', () => {
    const { headlessPorts = [], bindings } = read(
      service('db', 'clusterIP: None, selector: { app: alpaca }, ports: [{ name: sql, port: 80, targetPort: 8080 }]') +
        service('none', 'clusterIP: None, selector: { app: nobody }'),
    );
    expect(headlessPorts.map(({ id, name, clusterIp, port }) => [id, name, clusterIp, port])).toEqual([
      [1_000_000_000, 'db', 0, 80],
      [1_000_000_001, 'none', 0, 0],
    ]);
    expect(headlessPorts[0].endpoints.map((endpoint) => endpoint.port)).toEqual([8080, 8080, 8080]);
    expect(bindings.filter((binding) => binding.servicePortId >= 1_000_000_000)).toEqual([
      { servicePortId: 1_000_000_000, deployment: 0, targetPort: 8080, protocol: 6 },
    ]);
    expect(read(service('a', 'ports: [{ port: 1 }]'))).not.toHaveProperty('headlessPorts');
  });

  it('name hosts by ExternalName, and endpoints by their hostname', () => {
    const slice = `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: db-1, labels: { kubernetes.io/service-name: db } }
addressType: IPv4
ports: [{ name: sql, port: 5432 }]
endpoints: [{ addresses: [10.9.0.1], hostname: db-0 }, { addresses: [10.9.0.2] }]
---
`;
    const { headlessPorts = [], aliases } = read(
      service('db', 'clusterIP: None, ports: [{ name: sql, port: 5432 }]') +
        slice +
        service('pay', 'type: ExternalName, externalName: api.example.com'),
    );
    expect(headlessPorts[0].endpoints.map((endpoint) => endpoint.hostname)).toEqual(['db-0', undefined]);
    expect(aliases).toEqual([{ namespace: 'default', name: 'pay', target: 'api.example.com' }]);
    const wrong = { ...files, 'more.yaml': service('pay', 'type: ExternalName, externalName: "a b"') };
    expect(fails(`${HEAD}cluster: { manifests: [more.yaml] }\n`, {}, wrong)).toContain(
      'The externalName of Service default/pay must be the name of a host, got "a b"',
    );
  });
});
