/** The oracle's own small parts of nftables mode, against values that do not come from this project. */
import { describe, expect, it } from 'vitest';
import { JUMPS, MAP_LOOKUPS, RULES_EVALUATED, RULES_MATCHED } from '../../model/counters.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import type { ServicePort } from '../../model/cluster.ts';
import { Rng } from '../../sim/rng.ts';
import { DROP, dnatTo, goTo, inSet, jump, numgen, REJECT, RETURN, rule, update, vmap } from './nftables-rules.ts';
import type { Statement } from './nftables-rules.ts';
import { chainName, endpointName } from './nftables-services.ts';
import { ReferenceTable } from './nftables-table.ts';
import { NftWalk } from './nftables-walk.ts';
import type { Ruling } from './nftables-walk.ts';
import type { Packet } from './packet.ts';

const SVC1: ServicePort = {
  id: 0,
  namespace: 'ns1',
  name: 'svc1',
  portName: 'p80',
  protocol: PROTOCOL_TCP,
  clusterIp: 0xac1e0029,
  port: 80,
  nodePort: 0,
  endpoints: [],
};
const ENDPOINT = { address: 0x0ab40001, port: 80, nodeName: 'n', ready: true, serving: true, terminating: false };
const HERE = { address: 7, port: 80 };

function tableOf(chains: Readonly<Record<string, readonly (readonly Statement[])[]>>): ReferenceTable {
  const table = new ReferenceTable();
  for (const [name, rules] of Object.entries(chains)) {
    table.freshChain(name);
    for (const statements of rules) table.addRule(name, rule(statements, 3));
  }
  return table;
}

function walk(table: ReferenceTable, time = 0): { ruling: Ruling; work: number[] } {
  const packet: Packet = {
    time,
    protocol: PROTOCOL_TCP,
    flags: 0,
    fromHost: false,
    fromPod: true,
    src: { address: 1, port: 1 },
    dst: { address: 2, port: 80 },
    marked: false,
    state: 'NEW',
    dnat: false,
  };
  const work: number[] = [];
  const world = { table, isLocal: () => false, numgen: new Rng(1).stream('numgen') };
  const base = { type: 'nat', hook: 'prerouting', priority: -100 } as const;
  return { ruling: new NftWalk('base', base, packet, world, work).run(), work };
}

describe('names of nftables mode', () => {
  it('are those of kube-proxy', () => {
    expect(chainName('service', SVC1)).toBe('service-ULMVA6XW-ns1/svc1/tcp/p80');
    expect(endpointName('endpoint', SVC1, ENDPOINT)).toBe('endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80');
  });

  it('are cut to 240 bytes behind the prefix', () => {
    const long = chainName('service', { ...SVC1, namespace: 'n'.repeat(253) });
    expect(long).toHaveLength('service-'.length + 240);
    expect(long.endsWith('...')).toBe(true);
  });
});

describe('the walk', () => {
  it('comes back from a goto to where the chain in front would have come back to', () => {
    const table = tableOf({
      base: [[jump('a')], [dnatTo(HERE)]],
      a: [[goTo('b')], [DROP]],
      b: [[jump('c')], [goTo('c')], [DROP]],
      c: [[RETURN], [DROP]],
    });
    const { ruling, work } = walk(table);
    expect(ruling).toEqual({ kind: 'dnat', to: HERE, servicePortId: 3 });
    // base 2, a 1, b 2, c twice 1.
    expect([work[RULES_EVALUATED], work[RULES_MATCHED], work[JUMPS]]).toEqual([7, 7, 4]);
  });

  it('ends a rule at a look-up that finds nothing', () => {
    const table = tableOf({ base: [[vmap('services', true), DROP], [vmap('services', false)]], refuse: [[REJECT]] });
    table.addContainer('services', 'map', '');
    table.addElement('services', 'tcp . 80', { verdict: { kind: 'goto', chain: 'refuse' }, comment: '', owner: 4 });
    const { ruling, work } = walk(table);
    expect(ruling).toMatchObject({ kind: 'refuse', servicePortId: -1 });
    expect([work[RULES_EVALUATED], work[RULES_MATCHED], work[MAP_LOOKUPS]]).toEqual([3, 2, 2]);
  });

  it('remembers a client for as long as its set says', () => {
    const table = tableOf({
      base: [[inSet('saddr', 'affinity-x'), goTo('known')], [update('affinity-x')]],
      known: [[DROP]],
    });
    table.addContainer('affinity-x', 'set', '', 10);
    expect(walk(table, 0).ruling).toEqual({ kind: 'accept' });
    expect(walk(table, 10e9 - 1).ruling).toMatchObject({ kind: 'refuse' });
    expect(walk(table, 10e9).ruling).toEqual({ kind: 'accept' });
    expect(walk(table, 15e9).ruling).toMatchObject({ kind: 'refuse' });
  });

  it('draws a chain by the high bits of the draw', () => {
    const draw = Math.floor((new Rng(1).stream('numgen').nextUint32() * 3) / 4_294_967_296);
    const table = tableOf({ base: [[numgen(['a', 'b', 'c'])]] });
    for (const [i, name] of ['a', 'b', 'c'].entries()) {
      table.freshChain(name);
      table.addRule(name, rule([dnatTo({ address: 7, port: i })]));
    }
    expect(walk(table).ruling).toMatchObject({ to: { port: draw } });
  });
});
