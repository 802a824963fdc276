/** The oracle's own small parts, against values that do not come from this project. */
import { describe, expect, it } from 'vitest';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import type { Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { Rng } from '../../sim/rng.ts';
import { endpointLists, usableEndpoints } from './endpoints.ts';
import { endpointChain, serviceChain } from './iptables-chains.ts';
import { maglevTable, MAGLEV_SIZE } from './maglev.ts';
import { ruleBytes, walk } from './netfilter.ts';
import type { Rule, Surroundings, Target } from './netfilter.ts';
import type { Packet } from './packet.ts';
import { RecentLists } from './recent.ts';

const READY = { nodeName: 'n', ready: true, serving: true, terminating: false };
const NODE: NodeSpec = { name: 'n', addresses: [] };
const SVC1: ServicePort = {
  id: 0,
  namespace: 'ns1',
  name: 'svc1',
  portName: 'p80',
  protocol: PROTOCOL_TCP,
  clusterIp: 0x0a600001,
  port: 80,
  nodePort: 0,
  endpoints: [{ ...READY, address: 0x0ab40001, port: 80 }],
};

describe('reference', () => {
  it('names chains as kube-proxy does', () => {
    expect(serviceChain(SVC1)).toBe('KUBE-SVC-XPGD46QRK7WJZT7O');
    expect(SVC1.endpoints.map((endpoint) => endpointChain(SVC1, endpoint))).toEqual(['KUBE-SEP-SXIVWICOYRO3J4NJ']);
  });

  it('orders endpoints by text, not by number', () => {
    const endpoints = [
      { ...READY, address: 0x0a010101, port: 11 },
      { ...READY, address: 0x0a01010b, port: 11 },
      { ...READY, address: 0x0a010102, port: 80 },
    ];
    const ordered = usableEndpoints({ ...SVC1, endpoints }, NODE).map((e) => e.address & 255);
    expect(ordered).toEqual([11, 1, 2]);
  });

  it('sums a rule from its parts', () => {
    const rule: Rule = {
      matches: [
        { kind: 'comment', text: 'x' },
        { kind: 'transport', dport: 80 },
      ],
      target: { kind: 'jump', chain: 'KUBE-SVC-X' },
      servicePortId: 0,
    };
    expect(ruleBytes(rule)).toBe(488);
  });

  it.each([
    ['-m sctp', { protocol: PROTOCOL_SCTP, matches: [{ kind: 'transport', dport: 80 }] }, 328],
    ['-m udp', { protocol: PROTOCOL_UDP, matches: [{ kind: 'transport', dport: 80 }] }, 48],
    ['-m recent', { matches: [{ kind: 'recent set', list: 'KUBE-SEP-X' }] }, 264],
    ['-m nfacct', { matches: [{ kind: 'nfacct', name: 'x' }] }, 72],
    ['-m addrtype', { matches: [{ kind: 'src-local' }] }, 40],
    ['-i', { fromPod: { name: 'cni0' }, matches: [] }, 0],
  ] as const)('%s is as long as the kernel header says', (_, words, bytes) => {
    // Measured by sizeof() against the uapi headers linux/netfilter/xt_*.h, with the 32 bytes of xt_entry_match.
    const rule: Rule = { ...words, target: { kind: 'none' }, servicePortId: -1 };
    expect(ruleBytes(rule)).toBe(112 + bytes + 40);
  });

  it('follows node hints, then zone hints, where every ready endpoint has some', () => {
    const hinted = (last: number, zones: string[], nodes: string[]): Endpoint => ({
      ...READY,
      address: 0x0a010100 + last,
      port: 80,
      hints: { zones, nodes },
    });
    const used = (endpoints: Endpoint[], node: NodeSpec): number[] =>
      endpointLists({ ...SVC1, endpoints }, node).cluster.map((e) => e.address & 255);
    const both = [hinted(1, ['a'], ['n']), hinted(2, ['b'], ['m'])];
    expect(used(both, NODE)).toEqual([1]);
    expect(used(both, { ...NODE, name: 'o', zone: 'b' })).toEqual([2]);
    expect(used(both, { ...NODE, name: 'o' })).toEqual([1, 2]);
    expect(used([...both, { ...READY, address: 0x0a010103, port: 80 }], { ...NODE, zone: 'b' })).toEqual([1, 2, 3]);
  });

  it('goes on after the jump at a RETURN and at the end of a chain', () => {
    const rule = (target: Target): Rule => ({ matches: [], target, servicePortId: -1 });
    const table = new Map([
      ['INPUT', [rule({ kind: 'jump', chain: 'A' }), rule({ kind: 'jump', chain: 'B' }), rule({ kind: 'DROP' })]],
      ['A', [rule({ kind: 'RETURN' }), rule({ kind: 'ACCEPT' })]],
      ['B', [rule({ kind: 'MARK or' })]],
    ]);
    const packet: Packet = {
      time: 0,
      protocol: PROTOCOL_TCP,
      flags: 0,
      fromHost: false,
      fromPod: false,
      src: { address: 1, port: 1 },
      dst: { address: 2, port: 2 },
      marked: false,
      state: 'NEW',
      dnat: false,
    };
    const world: Surroundings = {
      isLocal: () => false,
      sets: new Map(),
      statistic: new Rng(1).stream('statistic'),
      recent: new RecentLists(),
      serviceChains: new Set(),
    };
    const work: number[] = [];
    expect(walk(table, 'INPUT', packet, world, work)).toEqual({ kind: 'drop', chain: 'INPUT', servicePortId: -1 });
    expect(work[0]).toBe(5);
    expect(packet.marked).toBe(true);
  });

  it('fills every row of a Maglev table, evenly', () => {
    const table = maglevTable([1, 2, 3].map((n) => ({ address: 0x0a000000 + n, port: 80 })));
    const counts = [0, 1, 2].map((server) => table.filter((row) => row === server).length);
    expect(counts.reduce((a, b) => a + b)).toBe(MAGLEV_SIZE);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
  });
});
