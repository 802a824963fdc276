import { describe, expect, it } from 'vitest';
import { parseCidr } from '../../model/address.ts';
import type { Cidr } from '../../model/address.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { Rng } from '../../sim/rng.ts';
import { FlagTable } from './flag-table.ts';
import * as sets from './ipsets.ts';
import { IpSets } from './ipsets.ts';
import { ip } from './test-cluster.ts';

describe('FlagTable', () => {
  it('agrees with a plain map, past its first capacity', () => {
    const random = new Rng(3).stream('flags');
    const table = new FlagTable();
    const plain = new Map<string, number>();
    for (let step = 0; step < 2000; step++) {
      const key = [random.below(40) * 0x01010101, random.below(30), random.below(3)] as const;
      const flag = 1 << random.below(8);
      const known = plain.get(key.join()) ?? 0;
      expect(table.get(...key)).toBe(known);
      expect(table.add(...key, flag)).toBe((known & flag) === 0);
      plain.set(key.join(), known | flag);
    }
    expect(table.size).toBe(plain.size);
    expect(plain.size).toBeGreaterThan(500);
    table.clear();
    expect([table.size, table.get(0x01010101, 1, 1)]).toEqual([0, 0]);
  });
});

const VIP = ip('198.51.100.1');

function cidr(text: string): Cidr {
  return parseCidr(text) ?? { address: 0, mask: 0, prefixLength: 0 };
}

/** One filling. */
function fill(ipSets: IpSets, add: (filled: IpSets) => void): number {
  ipSets.begin();
  add(ipSets);
  ipSets.finish();
  return ipSets.changes;
}

describe('IpSets', () => {
  it('count what each filling adds and deletes, set by set', () => {
    const ipSets = new IpSets();
    const first = (filled: IpSets): void => {
      filled.addDestination(sets.SET_CLUSTER_IP, PROTOCOL_TCP, VIP, 80);
      filled.addDestination(sets.SET_EXTERNAL_IP, PROTOCOL_TCP, VIP, 80);
      filled.addNodePort(PROTOCOL_TCP, 30080, true, []);
      filled.addLocalEndpoint(PROTOCOL_TCP, VIP, 80);
      filled.addBoundAddress(VIP);
    };
    expect(fill(ipSets, first)).toBe(6);
    expect(ipSets.addressChanges).toBe(1);
    expect(fill(ipSets, first)).toBe(0);
    // Another protocol, no Local policy, a hash in place of bitmaps.
    const second = (filled: IpSets): void => {
      filled.addDestination(sets.SET_CLUSTER_IP, PROTOCOL_UDP, VIP, 80);
      filled.addNodePort(PROTOCOL_SCTP, 30080, false, [1, 2]);
      filled.addBoundAddress(VIP);
    };
    expect(fill(ipSets, second)).toBe(5 + 3);
    expect(ipSets.boundAddresses).toBe(1);
    expect(ipSets.isEmpty(sets.SET_EXTERNAL_IP)).toBe(true);
    expect(ipSets.isEmpty(sets.SET_NODE_PORT_TCP)).toBe(true);
    expect(ipSets.destinationFlags(2, PROTOCOL_SCTP, 30080)).toBe(sets.destinationBit(sets.SET_NODE_PORT_SCTP));
    expect(ipSets.portFlags(PROTOCOL_TCP, 30080)).toBe(0);
  });

  it('find a source in ranges of any length; the kernel refuses length 0 and prints length 32 otherwise', () => {
    const ipSets = new IpSets();
    const ranges = ['10.0.0.0/8', '192.168.4.0/22', '203.0.113.9/32', '128.0.0.0/1'].map(cidr);
    const filling = (filled: IpSets): void => {
      for (const range of [...ranges, ...ranges]) filled.addSourceRange(PROTOCOL_TCP, VIP, 80, range);
    };
    expect(fill(ipSets, filling)).toBe(4);
    expect(fill(ipSets, filling)).toBe(2);
    const isIn = (source: string, port = 80): boolean => ipSets.inSourceRanges(VIP, PROTOCOL_TCP, port, ip(source));
    expect(['10.255.0.1', '192.168.7.255', '203.0.113.9', '255.0.0.1'].map((source) => isIn(source))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect([isIn('11.0.0.1'), isIn('127.0.0.1'), isIn('10.255.0.1', 81)]).toEqual([false, false, false]);
    expect(fill(ipSets, (filled) => filled.addSourceRange(PROTOCOL_TCP, VIP, 80, cidr('0.0.0.0/0')))).toBe(4);
    expect(ipSets.isEmpty(sets.SET_SOURCE_CIDR)).toBe(false);
    expect(isIn('10.255.0.1')).toBe(false);
  });
});
