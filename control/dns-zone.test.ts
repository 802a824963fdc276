import { describe, expect, it } from 'vitest';
import type { ServicePort } from '../model/cluster.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../model/protocol.ts';
import { DnsZone } from './dns-zone.ts';
import type { DnsAnswer, DnsEndpoint, DnsType } from './dns-zone.ts';

const VIP = 0x0a600001;
const HOST = 0xc0000201;

function port(
  id: number,
  name: string,
  portName: string,
  number: number,
  changes: Partial<ServicePort> = {},
): ServicePort {
  return {
    id,
    namespace: 'shop',
    name,
    portName,
    protocol: PROTOCOL_TCP,
    clusterIp: VIP,
    port: number,
    nodePort: 0,
    endpoints: [],
    ...changes,
  };
}

const headless = { clusterIp: 0 };
const endpoints = new Map<number, readonly DnsEndpoint[]>([
  [0, [{ address: 0x0af40105, port: 8080 }]],
  [
    10,
    [
      { address: 0x0af40107, port: 9090, hostname: 'db-0' },
      { address: 0x0af40108, port: 9090 },
    ],
  ],
  [
    11,
    [
      { address: 0x0af40107, port: 9091, hostname: 'db-0' },
      { address: 0x0af40108, port: 9091 },
    ],
  ],
]);

const zone = new DnsZone({
  clusterDomain: 'cluster.local',
  servicePorts: [
    port(0, 'cart', 'http', 80),
    port(1, 'cart', 'dns', 53, { protocol: PROTOCOL_UDP }),
    port(2, 'plain', '', 8080, { clusterIp: VIP + 1 }),
    port(10, 'db', 'sql', 9090, headless),
    port(11, 'db', 'metrics', 9091, headless),
    port(12, 'empty', '', 80, headless),
    port(13, 'portless', '', 0, headless),
  ],
  aliases: [
    { namespace: 'shop', name: 'pay', target: 'API.example.com.' },
    { namespace: 'shop', name: 'mine', target: 'cart.shop.svc.cluster.local' },
    { namespace: 'shop', name: 'nowhere', target: 'no.such.name' },
    { namespace: 'shop', name: 'loop', target: 'loop.shop.svc.cluster.local' },
  ],
  outside: new Map([['api.example.com', HOST]]),
  endpointsOf: (id) => (id === 13 ? [{ address: 0x0af40109, port: 0 }] : (endpoints.get(id) ?? [])),
});

const ask = (name: string, type: DnsType = 'A'): DnsAnswer => zone.answer(name, type);
const below = (name: string): string => `${name}.shop.svc.cluster.local`;
const codes = (...names: string[]): string[] =>
  names.map((name) => {
    const { code, records } = ask(name);
    return code === 'NXDOMAIN' ? code : records.length === 0 ? 'NODATA' : 'records';
  });

describe('DnsZone', () => {
  it('gives a Service its cluster IP once, in any case, with a dot at the end or without', () => {
    const once = { code: 'NOERROR', records: [{ type: 'A', address: VIP }], upstream: false };
    expect(ask(below('cart'))).toEqual(once);
    expect(ask('CART.Shop.svc.Cluster.Local.')).toEqual(once);
    expect(ask(below('cart'), 'AAAA')).toEqual({ code: 'NOERROR', records: [], upstream: false });
  });

  it('knows names that exist without records from names that do not', () => {
    expect(codes('cluster.local', 'svc.cluster.local', 'shop.svc.cluster.local')).toEqual([
      'NODATA',
      'NODATA',
      'NODATA',
    ]);
    expect(codes('other.svc.cluster.local', 'cart.other.svc.cluster.local', below('no'))).toEqual(
      Array(3).fill('NXDOMAIN'),
    );
    // Too long, and a kind that is not `svc`.
    expect(codes(below('a.b.c.cart'), 'cart.shop.pod.cluster.local', 'www.example.com.cluster.local')).toEqual(
      Array(3).fill('NXDOMAIN'),
    );
    expect(codes('www.example.com.shop.svc.cluster.local', 'xcluster.local')).toEqual(['NXDOMAIN', 'NXDOMAIN']);
  });

  it('has SRV records for named ports under port and protocol', () => {
    expect(ask(`_http._tcp.${below('cart')}`, 'SRV').records).toEqual([
      { type: 'SRV', target: below('cart'), port: 80, weight: 100 },
    ]);
    expect(ask(`_HTTP._TCP.${below('cart')}`, 'SRV').records).toHaveLength(1);
    expect(ask(`_http._udp.${below('cart')}`, 'SRV').code).toBe('NXDOMAIN');
    // A port without a name has none of its own; the Service's name stands for all its ports.
    expect(ask(`_http._tcp.${below('plain')}`, 'SRV').code).toBe('NXDOMAIN');
    expect(ask(below('cart'), 'SRV').records).toEqual([
      { type: 'SRV', target: below('cart'), port: 80, weight: 50 },
      { type: 'SRV', target: below('cart'), port: 53, weight: 50 },
    ]);
  });

  it('names the ready endpoints of a headless Service', () => {
    expect(ask(below('db')).records).toEqual([
      { type: 'A', address: 0x0af40107 },
      { type: 'A', address: 0x0af40108 },
    ]);
    expect(ask(`db-0.${below('db')}`).records).toEqual([{ type: 'A', address: 0x0af40107 }]);
    expect(ask(`10-244-1-8.${below('db')}`).records).toEqual([{ type: 'A', address: 0x0af40108 }]);
    // An endpoint with a hostname does not go by its address.
    expect(codes(`10-244-1-7.${below('db')}`)).toEqual(['NXDOMAIN']);
    expect(ask(`_sql._tcp.${below('db')}`, 'SRV').records).toEqual([
      { type: 'SRV', target: `db-0.${below('db')}`, port: 9090, weight: 50 },
      { type: 'SRV', target: `10-244-1-8.${below('db')}`, port: 9090, weight: 50 },
    ]);
    expect(ask(below('db'), 'SRV').records).toHaveLength(4);
  });

  it('does not know a headless Service without ready endpoints, and has no SRV record without ports', () => {
    expect(codes(below('empty'))).toEqual(['NXDOMAIN']);
    expect(ask(below('portless')).records).toEqual([{ type: 'A', address: 0x0af40109 }]);
    expect(ask(below('portless'), 'SRV')).toEqual({ code: 'NOERROR', records: [], upstream: false });
  });

  it('names an endpoint of a Service with a cluster IP, too', () => {
    expect(ask(`10-244-1-5.${below('cart')}`).records).toEqual([{ type: 'A', address: 0x0af40105 }]);
  });

  it('follows an ExternalName', () => {
    expect(ask(below('pay'))).toEqual({
      code: 'NOERROR',
      records: [
        { type: 'CNAME', target: 'api.example.com' },
        { type: 'A', address: HOST },
      ],
      upstream: true,
    });
    expect(ask(below('mine'))).toMatchObject({
      records: [{ type: 'CNAME' }, { type: 'A', address: VIP }],
      upstream: false,
    });
    expect(ask(below('nowhere')).records).toEqual([{ type: 'CNAME', target: 'no.such.name' }]);
    expect(codes(below('loop'), `x.${below('pay')}`)).toEqual(['NODATA', 'NXDOMAIN']);
    expect(ask(below('pay'), 'SRV').records).toEqual([]);
  });

  it('asks outside for all other names, of which only the given ones exist', () => {
    expect(ask('api.example.com')).toEqual({
      code: 'NOERROR',
      records: [{ type: 'A', address: HOST }],
      upstream: true,
    });
    expect(ask('api.example.com', 'AAAA')).toEqual({ code: 'NOERROR', records: [], upstream: true });
    expect(ask('cart')).toEqual({ code: 'NXDOMAIN', records: [], upstream: true });
  });
});
