import { describe, expect, it } from 'vitest';
import { formatIpv4 } from '../../model/address.ts';
import type { Endpoint, NodeSpec, ServiceExtras } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { Rng } from '../../sim/rng.ts';
import { endpointKey, keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import { ChosenEndpoints } from './endpoints.ts';
import type { EndpointList } from './endpoints.ts';
import { endpoint, ip, servicePort } from './test-cluster.ts';

describe('endpointKey', () => {
  it('orders as the text does, byte by byte, and can be read back', () => {
    const random = new Rng(2).stream('endpoints');
    const few = [0, 1, 2, 9, 10, 11, 19, 99, 100, 101, 109, 110, 199, 255];
    const octet = (): number => few[random.below(few.length)];
    const ports = [1, 8, 80, 81, 800, 808, 8080, 9, 65535];
    const all = Array.from({ length: 600 }, () => {
      const address = ((octet() << 24) | (octet() << 16) | (octet() << 8) | octet()) >>> 0;
      return { address, port: ports[random.below(ports.length)] };
    });
    for (const { address, port } of all) {
      const key = endpointKey(address, port);
      expect([keyAddress(key), keyPort(key)]).toEqual([address, port]);
    }
    const text = (e: { address: number; port: number }): string => `${formatIpv4(e.address)}:${e.port}`;
    const byKey = [...all].sort((a, b) => endpointKey(a.address, a.port) - endpointKey(b.address, b.port)).map(text);
    const byText = all.map(text).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    expect(byKey).toEqual(byText);
  });
});

const NODE: NodeSpec = { name: 'node-a', addresses: [ip('192.168.0.1')], zone: 'a' };
const HERE = { nodeName: 'node-a' };
const STOPPING = { ready: false, serving: true, terminating: true };
const NOT_READY = { ready: false, serving: true, terminating: false };

/** Of a service port: the endpoints of a virtual server under the Cluster policy, under Local, and those of this node. */
function choose(endpoints: Endpoint[], extras?: Partial<ServiceExtras>, chosen = new ChosenEndpoints(NODE)) {
  const changes = extras === undefined ? {} : { extras: { ...NO_SERVICE_EXTRAS, ...extras } };
  chosen.choose(servicePort(7, { endpoints, nodePort: 30080, ...changes }));
  const own: string[] = [];
  chosen.forEachOwn((address, port) => own.push(`${formatIpv4(address)}:${port}`));
  return { cluster: texts(chosen.wanted(false)), local: texts(chosen.wanted(true)), own };
}

function texts({ keys, count }: EndpointList): string[] {
  return Array.from(keys.subarray(0, count), (key) => `${formatIpv4(keyAddress(key))}:${keyPort(key)}`);
}

describe('ChosenEndpoints', () => {
  it('takes the ready ones, else those that terminate but serve, else none', () => {
    const chosen = new ChosenEndpoints(NODE);
    const two = [endpoint('10.0.0.2'), endpoint('10.0.0.10'), endpoint('10.0.0.3', 8080, STOPPING)];
    expect(choose(two, undefined, chosen).cluster).toEqual(['10.0.0.10:8080', '10.0.0.2:8080']);
    const one = [endpoint('10.0.0.3', 8080, STOPPING), endpoint('10.0.0.4', 8080, NOT_READY)];
    expect(choose(one, undefined, chosen).cluster).toEqual(['10.0.0.3:8080']);
    expect(choose([endpoint('10.0.0.4', 8080, NOT_READY)], undefined, chosen).cluster).toEqual([]);
  });

  it('lets a local one win of equal addresses, else the first, with its conditions', () => {
    const gone = { ready: false, serving: false, terminating: false };
    const endpoints = [
      endpoint('10.0.0.1', 80, gone),
      endpoint('10.0.0.1', 80, HERE),
      endpoint('10.0.0.2', 80, gone),
      endpoint('10.0.0.2', 80),
    ];
    expect(choose(endpoints)).toEqual({ cluster: ['10.0.0.1:80'], local: ['10.0.0.1:80'], own: ['10.0.0.1:80'] });
  });

  it('prefers local ones under a Local policy, and falls back to all of them', () => {
    const there = endpoint('10.0.0.1');
    const here = endpoint('10.0.0.2', 8080, HERE);
    const policy = { externalPolicyLocal: true };
    expect(choose([there, here], policy)).toEqual({
      cluster: ['10.0.0.1:8080', '10.0.0.2:8080'],
      local: ['10.0.0.2:8080'],
      own: ['10.0.0.2:8080'],
    });
    expect(choose([there], policy).local).toEqual(['10.0.0.1:8080']);
    expect(choose([there, { ...here, ...NOT_READY }], policy)).toEqual({
      cluster: ['10.0.0.1:8080'],
      local: ['10.0.0.1:8080'],
      own: ['10.0.0.2:8080'],
    });
  });

  it('follows hints, and looks again when the service port is another', () => {
    const chosen = new ChosenEndpoints(NODE);
    const hinted = (address: string, zone: string): Endpoint =>
      endpoint(address, 8080, { hints: { zones: [zone], nodes: [] } });
    expect(choose([hinted('10.0.0.1', 'a'), hinted('10.0.0.2', 'b')], {}, chosen).cluster).toEqual(['10.0.0.1:8080']);
    expect(choose([hinted('10.0.0.1', 'b'), hinted('10.0.0.2', 'a')], {}, chosen).cluster).toEqual(['10.0.0.2:8080']);
    expect(choose([endpoint('10.0.0.3')], {}, chosen).cluster).toEqual(['10.0.0.3:8080']);
  });

  it('sorts long lists like short ones', () => {
    const endpoints = Array.from({ length: 200 }, (_, k) =>
      endpoint(`10.0.${k % 7}.${(k * 37) % 251}`, 80, { nodeName: k % 2 ? 'node-a' : '' }),
    );
    const { cluster } = choose(endpoints);
    expect(cluster).toHaveLength(200);
    expect(cluster).toEqual([...cluster].sort((a, b) => (a < b ? -1 : 1)));
  });
});
