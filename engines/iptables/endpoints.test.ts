import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatIpv4, parseIpv4 } from '../../model/address.ts';
import type { Endpoint } from '../../model/cluster.ts';
import { endpointKey, keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import { syntheticService } from '../synthetic.ts';
import { EndpointChooser } from './endpoints.ts';

const address = fc.oneof(fc.integer({ min: 0, max: 0xffffffff }), fc.constantFrom(0x0a010101, 0x0a01010b, 0x0a00000a));
const port = fc.oneof(fc.integer({ min: 0, max: 65535 }), fc.constantFrom(1, 11, 8, 80, 800, 8080));

function endpoint(text: string, conditions: Partial<Endpoint> = {}): Endpoint {
  const [ip, portText] = text.split(':');
  const parsed = parseIpv4(ip);
  if (parsed === undefined) throw new Error(`"${ip}" is not an address`);
  return {
    address: parsed,
    port: Number(portText),
    nodeName: '',
    ready: true,
    serving: true,
    terminating: false,
    ...conditions,
  };
}

function choose(endpoints: readonly Endpoint[], zone = 'a'): EndpointChooser {
  const chooser = new EndpointChooser({ name: 'here', addresses: [], zone });
  chooser.choose(syntheticService({ id: 1, endpoints }));
  return chooser;
}

function chosen(endpoints: readonly Endpoint[], zone = 'a'): string[] {
  const chooser = choose(endpoints, zone);
  return [...chooser.used.keys.subarray(0, chooser.used.count)].map(
    (key) => `${formatIpv4(keyAddress(key))}:${keyPort(key)}`,
  );
}

describe('endpoint keys', () => {
  it('order as the texts ip:port do byte-wise, and turn back', () => {
    fc.assert(
      fc.property(address, port, address, port, (a, p, b, q) => {
        const [x, y] = [endpointKey(a, p), endpointKey(b, q)];
        const [s, t] = [`${formatIpv4(a)}:${p}`, `${formatIpv4(b)}:${q}`];
        expect(Math.sign(x - y)).toBe(s < t ? -1 : s > t ? 1 : 0);
        expect([keyAddress(x), keyPort(x)]).toEqual([a, p]);
      }),
      { numRuns: 2000 },
    );
  });

  it('order whole lists, short and long', () => {
    for (const count of [20, 300]) {
      const texts = Array.from(
        { length: count },
        (_, i) => `10.${i % 13}.${(i * 7) % 256}.${(i * 37) % 256}:${80 + i}`,
      );
      const expected = [...texts].sort((a, b) => (a < b ? -1 : 1));
      expect(chosen(texts.map((text) => endpoint(text)))).toEqual(expected);
    }
  });
});

describe('chosen endpoints', () => {
  it('sort 10.1.1.11:11 before 10.1.1.1:11, as the upstream test does', () => {
    expect(chosen([endpoint('10.1.1.1:11'), endpoint('10.1.1.11:11')])).toEqual(['10.1.1.11:11', '10.1.1.1:11']);
  });

  it('are the ready ones while there is one', () => {
    const stopping = endpoint('10.0.0.2:80', { ready: false, terminating: true });
    expect(chosen([stopping, endpoint('10.0.0.1:80')])).toEqual(['10.0.0.1:80']);
    expect(chosen([stopping])).toEqual(['10.0.0.2:80']);
    expect(chosen([{ ...stopping, serving: false }])).toEqual([]);
    expect(chosen([{ ...stopping, terminating: false }])).toEqual([]);
  });

  it('of one ip:port the first counts, whatever its condition, unless another is local', () => {
    const unready = endpoint('10.0.0.1:80', { ready: false, serving: false });
    const local = endpoint('10.0.0.1:80', { nodeName: 'here' });
    expect(chosen([unready, endpoint('10.0.0.1:80'), endpoint('10.0.0.2:80')])).toEqual(['10.0.0.2:80']);
    expect(chosen([unready, local, endpoint('10.0.0.2:80')])).toEqual(['10.0.0.1:80', '10.0.0.2:80']);
    expect(chosen([{ ...unready, nodeName: 'here' }, local, endpoint('10.0.0.2:80')])).toEqual(['10.0.0.2:80']);
    expect(choose([unready, endpoint('10.0.0.1:80'), endpoint('10.0.0.2:80')]).known).toBe(2);
  });

  it('are those hinted for the zone', () => {
    const hinted = (text: string, zone: string): Endpoint => endpoint(text, { hints: { zones: [zone], nodes: [] } });
    const endpoints = [hinted('10.0.0.1:80', 'a'), hinted('10.0.0.2:80', 'b'), hinted('10.0.0.3:80', 'a')];
    expect(chosen(endpoints)).toEqual(['10.0.0.1:80', '10.0.0.3:80']);
    expect(chosen(endpoints, 'b')).toEqual(['10.0.0.2:80']);
    expect(chosen(endpoints, 'c')).toHaveLength(3);
    expect(choose(endpoints).known).toBe(3);
  });
});
