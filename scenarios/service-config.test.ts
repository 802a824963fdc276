import { describe, expect, it } from 'vitest';
import { InputError } from './errors.ts';
import { ProxyObjects } from './proxy-objects.ts';
import { endpointsByPort, readProxyObject, serviceConfigs } from './service-config.ts';
import { hostPort } from '../model/service-config.ts';
import type { ServiceObject, SliceObject } from './service-config.ts';
import type { IpFamily, ServicePortConfig } from '../model/service-config.ts';

function service(name: string, spec: object, status?: object): ServiceObject {
  const data = { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'ns1', name }, spec, status };
  return readProxyObject(data, 'strict') as ServiceObject;
}

function slice(name: string, of: string, endpoints: readonly object[], more: object = {}): SliceObject {
  const data = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace: 'ns1', name, labels: { 'kubernetes.io/service-name': of } },
    addressType: 'IPv4',
    ports: [{ name: 'http', protocol: 'TCP', port: 80 }],
    endpoints,
    ...more,
  };
  return readProxyObject(data, 'strict') as SliceObject;
}

function configs(services: ServiceObject[], slices: SliceObject[] = [], ipFamily: IpFamily = 'IPv4') {
  return serviceConfigs(services, slices, { ipFamily, nodeName: 'n1' });
}

function only(svc: ServiceObject, ipFamily: IpFamily = 'IPv4'): ServicePortConfig {
  const all = configs([svc], [], ipFamily);
  expect(all).toHaveLength(1);
  return all[0];
}

const http = { name: 'http', protocol: 'TCP', port: 80 };

describe('services', () => {
  it('skips headless, addressless and ExternalName ones, and those of the other family', () => {
    const ports = [http];
    expect(configs([service('a', { clusterIP: 'None', ports })])).toEqual([]);
    expect(configs([service('a', { clusterIP: '', ports })])).toEqual([]);
    expect(configs([service('a', { ports })])).toEqual([]);
    expect(
      configs([service('a', { type: 'ExternalName', externalName: 'x.y', clusterIP: '10.0.0.1', ports })]),
    ).toEqual([]);
    expect(configs([service('a', { clusterIP: 'fd00::1', ports })])).toEqual([]);
    expect(configs([service('a', { clusterIP: '10.0.0.1' })])).toEqual([]);
  });

  it('sees a dual-stack Service in each family by the address of that family', () => {
    const dual = service('a', {
      clusterIP: '10.0.0.1',
      clusterIPs: ['10.0.0.1', 'fd00::1'],
      ipFamilies: ['IPv4', 'IPv6'],
      ports: [http],
      externalIPs: ['192.0.2.1', '2001:db8::1'],
      loadBalancerSourceRanges: ['203.0.113.0/24', ' 2001:db8::/64 '],
    });
    expect(only(dual)).toMatchObject({
      clusterIp: '10.0.0.1',
      externalIps: ['192.0.2.1'],
      loadBalancerSourceRanges: ['203.0.113.0/24'],
    });
    expect(only(dual, 'IPv6')).toMatchObject({
      clusterIp: 'fd00::1',
      externalIps: ['2001:db8::1'],
      loadBalancerSourceRanges: ['2001:db8::/64'],
    });
  });

  it('re-prints addresses and blocks canonically', () => {
    const svc = service(
      'a',
      {
        type: 'LoadBalancer',
        clusterIP: '172.030.000.041',
        ports: [{ ...http, nodePort: 3001 }],
        externalIPs: ['192.168.099.011'],
        loadBalancerSourceRanges: ['203.000.113.007/025'],
      },
      { loadBalancer: { ingress: [{ ip: '001.002.003.004' }] } },
    );
    expect(only(svc)).toMatchObject({
      clusterIp: '172.30.0.41',
      externalIps: ['192.168.99.11'],
      loadBalancerVips: ['1.2.3.4'],
      loadBalancerSourceRanges: ['203.0.113.0/25'],
      nodePort: 3001,
    });
  });

  it('counts ingress addresses with an ip whose mode is not Proxy', () => {
    const ingress = [
      { ip: '1.1.1.1' },
      { ip: '2.2.2.2', ipMode: 'VIP' },
      { ip: '3.3.3.3', ipMode: 'Proxy' },
      { hostname: 'x' },
    ];
    const svc = service(
      'a',
      { type: 'LoadBalancer', clusterIP: '10.0.0.1', ports: [http] },
      { loadBalancer: { ingress } },
    );
    expect(only(svc).loadBalancerVips).toEqual(['1.1.1.1', '2.2.2.2']);
  });

  it.each([
    ['LoadBalancer', undefined, true, 30000],
    ['NodePort', undefined, true, 0],
    ['ClusterIP', ['192.0.2.1'], true, 0],
    ['ClusterIP', undefined, false, 0],
    // Even where the external address is another family's.
    ['ClusterIP', ['2001:db8::1'], true, 0],
  ])('takes external Local for type %s with %s as %s, health check port %s', (type, externalIPs, local, health) => {
    const svc = service('a', {
      type,
      clusterIP: '10.0.0.1',
      ports: [http],
      externalIPs,
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 30000,
    });
    expect(only(svc)).toMatchObject({ externalPolicyLocal: local, healthCheckNodePort: health });
  });

  it('drops the health check port under the Cluster policy', () => {
    const svc = service('a', {
      type: 'LoadBalancer',
      clusterIP: '10.0.0.1',
      ports: [http],
      healthCheckNodePort: 30000,
    });
    expect(only(svc)).toMatchObject({ externalPolicyLocal: false, healthCheckNodePort: 0 });
  });

  it('reads affinity with its default, and the internal policy', () => {
    const spec = { clusterIP: '10.0.0.1', ports: [http], sessionAffinity: 'ClientIP', internalTrafficPolicy: 'Local' };
    expect(only(service('a', spec))).toMatchObject({ affinitySeconds: 10_800, internalPolicyLocal: true });
    const config = { sessionAffinityConfig: { clientIP: { timeoutSeconds: 30 } } };
    expect(only(service('a', { ...spec, ...config })).affinitySeconds).toBe(30);
    expect(only(service('a', { ...spec, ...config, sessionAffinity: 'None' })).affinitySeconds).toBe(0);
  });

  it('gives one service port for each port, in order, Services by name; ports may lack name, number and protocol', () => {
    const two = service('b', { clusterIP: '10.0.0.2', ports: [http, { name: 'dns', protocol: 'UDP', port: 53 }] });
    const bare = service('a', { clusterIP: '10.0.0.1', ports: [{ targetPort: 80 }] });
    expect(configs([two, bare]).map((svc) => [svc.name, svc.portName, svc.protocol, svc.port])).toEqual([
      ['a', '', 'tcp', 0],
      ['b', 'http', 'tcp', 80],
      ['b', 'dns', 'udp', 53],
    ]);
  });

  it.each([
    [{ clusterIP: '10.0.0.300', ports: [http] }, '"spec.clusterIP" of Service ns1/a must be an IP address'],
    [{ clusterIP: '10.0.0.1', ports: [http], externalIPs: ['x'] }, '"spec.externalIPs" of Service ns1/a'],
    [{ clusterIP: '10.0.0.1', ports: [http], loadBalancerSourceRanges: ['10.0.0.0'] }, 'must be CIDR blocks'],
  ])('names the malformed address in %j', (spec, message) => {
    expect(() => configs([service('a', spec)])).toThrow(message);
  });

  it('names an unknown protocol, field and kind', () => {
    expect(() => service('a', { ports: [{ protocol: 'ICMP' }] })).toThrow(
      '"spec.ports.0.protocol" must be one of TCP, UDP, SCTP',
    );
    expect(() => service('a', { clusterIp: '10.0.0.1' })).toThrow('Unknown key "clusterIp"');
    expect(() => readProxyObject({ kind: 'Pod' }, 'strict')).toThrow(InputError);
    const data = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' }, spec: { novelty: 1 } };
    expect(readProxyObject(data, 'lenient').metadata.name).toBe('a');
  });
});

describe('endpoints', () => {
  const svc = service('a', { clusterIP: '10.0.0.1', ports: [http] });
  const texts = (slices: SliceObject[]): string[] =>
    configs([svc], slices)[0].endpoints.map((e) => `${hostPort(e.address, e.port)}${e.isLocal ? '*' : ''}`);

  it('stand in byte order of ip:port', () => {
    const addresses = ['10.1.1.1', '10.1.1.11', '10.0.0.2', '10.0.0.10', '9.0.0.1'];
    expect(
      texts([
        slice(
          's',
          'a',
          addresses.map((address) => ({ addresses: [address] })),
        ),
      ]),
    ).toEqual(['10.0.0.10:80', '10.0.0.2:80', '10.1.1.11:80', '10.1.1.1:80', '9.0.0.1:80']);
  });

  it('take absent conditions for ready, serving, not terminating, and an absent node for elsewhere', () => {
    const slices = [
      slice('s', 'a', [
        { addresses: ['10.0.0.1'] },
        { addresses: ['10.0.0.2'], conditions: { ready: false }, nodeName: 'n1' },
        { addresses: ['10.0.0.3'], conditions: { ready: null, serving: false, terminating: true }, nodeName: 'n2' },
      ]),
    ];
    const flags = configs([svc], slices)[0].endpoints.map((e) => [e.isLocal, e.ready, e.serving, e.terminating]);
    expect(flags).toEqual([
      [false, true, true, false],
      [true, false, true, false],
      [false, true, false, true],
    ]);
  });

  it('join across slices by label, port name and protocol; the number is the slice’s', () => {
    const slices = [
      slice('s1', 'a', [{ addresses: ['10.0.0.1'] }], { ports: [{ name: 'http', port: 8080 }] }),
      slice('s2', 'a', [{ addresses: ['10.0.0.2'] }], { ports: [{ name: 'http', protocol: 'UDP', port: 80 }] }),
      slice('s3', 'a', [{ addresses: ['10.0.0.3'] }], { ports: [{ name: 'other', port: 80 }] }),
      slice('s4', 'b', [{ addresses: ['10.0.0.4'] }]),
      slice('s5', 'a', [{ addresses: ['10.0.0.5', '10.0.0.6'] }]),
      slice('s6', 'a', [{ addresses: ['10.0.0.7'] }, { addresses: [] }], { ports: [{ name: 'http', port: 0 }] }),
      slice('s7', 'a', [{ addresses: ['x.example'] }], { addressType: 'FQDN' }),
    ];
    expect(texts(slices)).toEqual(['10.0.0.1:8080', '10.0.0.5:80']);
  });

  it('collapse duplicates, a local one winning, addresses being canonical', () => {
    const slices = [
      slice('s1', 'a', [{ addresses: ['10.0.0.1'], conditions: { ready: false } }]),
      slice('s2', 'a', [{ addresses: ['010.0.0.1'], nodeName: 'n1' }]),
      slice('s3', 'a', [{ addresses: ['10.0.0.1'], nodeName: 'n2' }]),
    ];
    expect(texts(slices)).toEqual(['10.0.0.1:80*']);
    expect(texts([...slices].reverse())).toEqual(['10.0.0.1:80*']);
  });

  it('of the other family belong to the other kube-proxy', () => {
    const slices = [slice('s', 'a', [{ addresses: ['fd00::1'] }, { addresses: ['10.0.0.1'] }])];
    expect([...endpointsByPort(slices, { ipFamily: 'IPv6', nodeName: 'n1' }).keys()]).toEqual(['ns1/a:http/TCP']);
    expect(texts(slices)).toEqual(['10.0.0.1:80']);
  });

  it('carry hints', () => {
    const hints = { forZones: [{ name: 'z1' }], forNodes: [{ name: 'n1' }] };
    const [endpoint] = configs([svc], [slice('s', 'a', [{ addresses: ['10.0.0.1'], hints }])])[0].endpoints;
    expect(endpoint).toMatchObject({ zoneHints: ['z1'], nodeHints: ['n1'] });
  });
});

describe('ProxyObjects', () => {
  const svc = service('a', { clusterIP: '10.0.0.1', ports: [http] });
  const endpoint = { addresses: ['10.0.0.1'], nodeName: 'n2' };

  function world(): ProxyObjects {
    const objects = new ProxyObjects({ ipFamily: 'IPv4', nodeName: 'n1' });
    objects.apply(svc);
    objects.apply(slice('s', 'a', [endpoint]));
    expect([...objects.takeChanges()]).toEqual(['ns1/a']);
    expect([...objects.takeChanges()]).toEqual([]);
    return objects;
  }

  it('tells a change that kube-proxy acts on from one that it ignores', () => {
    const objects = world();
    objects.apply(service('a', { clusterIP: '10.0.0.1', ports: [{ ...http, targetPort: 1 }], selector: { app: 'x' } }));
    objects.apply(slice('s', 'a', [{ ...endpoint, targetRef: { kind: 'Pod' } }]));
    expect([...objects.takeChanges()]).toEqual([]);
    objects.apply(slice('s', 'a', [{ ...endpoint, nodeName: 'n3' }]));
    expect([...objects.takeChanges()]).toEqual(['ns1/a']);
  });

  it('names deleted Services, and Services that a slice left or joined', () => {
    const objects = world();
    objects.apply(slice('s', 'b', [endpoint]));
    expect([...objects.takeChanges()]).toEqual(['ns1/a', 'ns1/b']);
    expect(objects.delete('Service', 'ns1/a')).toBe(true);
    expect(objects.delete('Service', 'ns1/a')).toBe(false);
    expect([...objects.takeChanges()]).toEqual(['ns1/a']);
    expect(objects.configs()).toEqual([]);
  });

  it('does not see slices and Services of the other family', () => {
    const objects = world();
    objects.apply(service('six', { clusterIP: 'fd00::1', ports: [http] }));
    objects.apply(slice('s6', 'a', [{ addresses: ['fd00::2'] }], { addressType: 'IPv6' }));
    expect([...objects.takeChanges()]).toEqual([]);
  });
});
