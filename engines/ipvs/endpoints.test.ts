import { describe, expect, it } from 'vitest';
import { formatIpv4 } from '../../model/address.ts';
import { Rng } from '../../sim/rng.ts';
import { endpointKey, keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import { UsableEndpoints } from './endpoints.ts';
import { endpoint } from './test-cluster.ts';

function chosen(usable: UsableEndpoints): string[] {
  return Array.from(usable.keys.subarray(0, usable.count), (key) => `${formatIpv4(keyAddress(key))}:${keyPort(key)}`);
}

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

describe('UsableEndpoints', () => {
  it('takes the ready ones, else those that terminate but serve, else none', () => {
    const usable = new UsableEndpoints();
    const terminating = { ready: false, serving: true, terminating: true };
    const notReady = { ready: false, serving: true, terminating: false };
    usable.choose([endpoint('10.0.0.2'), endpoint('10.0.0.10'), endpoint('10.0.0.3', 8080, terminating)]);
    expect(chosen(usable)).toEqual(['10.0.0.10:8080', '10.0.0.2:8080']);
    usable.choose([endpoint('10.0.0.3', 8080, terminating), endpoint('10.0.0.4', 8080, notReady)]);
    expect(chosen(usable)).toEqual(['10.0.0.3:8080']);
    usable.choose([endpoint('10.0.0.4', 8080, notReady)]);
    expect(usable.count).toBe(0);
  });

  it('keeps the first of equal addresses, with its conditions and its node', () => {
    const usable = new UsableEndpoints();
    const gone = { ready: false, serving: false, terminating: false };
    usable.choose([
      endpoint('10.0.0.1', 80, { nodeName: 'node-a' }),
      endpoint('10.0.0.1', 80),
      endpoint('10.0.0.2', 80, gone),
      endpoint('10.0.0.2', 80),
    ]);
    expect(chosen(usable)).toEqual(['10.0.0.1:80']);
  });

  it('sorts long lists like short ones', () => {
    const usable = new UsableEndpoints();
    usable.choose(
      Array.from({ length: 200 }, (_, k) =>
        endpoint(`10.0.${k % 7}.${(k * 37) % 251}`, 80, { nodeName: k % 2 ? 'node-a' : '' }),
      ),
    );
    const texts = chosen(usable);
    expect(texts).toEqual([...texts].sort((a, b) => (a < b ? -1 : 1)));
  });
});
