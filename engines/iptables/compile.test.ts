/** The service order, the indexes of unusual clusters, and the memory of many rules. */
import { describe, expect, it } from 'vitest';
import { COUNTER_STRIDE, Counters } from '../../model/counters.ts';
import type { ServicePort } from '../../model/cluster.ts';
import { ORIGIN_POD, PacketBatch, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import { VerdictBatch } from '../../model/verdict.ts';
import { RandomStream, shuffle } from '../../sim/rng.ts';
import { StaleFlows } from '../conntrack/stale-flows.ts';
import type { Engine } from '../engine.ts';
import { CLUSTER_IP_BASE, readyEndpoint, syntheticService, syntheticServices, syntheticWorld } from '../synthetic.ts';
import { ServiceTable } from './compile.ts';
import { createIptablesEngine } from './engine.ts';
import { nodeFacts } from './node-facts.ts';
import { RuleSet } from './rules.ts';
import { POD } from './send.ts';

const STATE = [1, 2, 3, 4] as const;

function emptyTable(): ServiceTable {
  const { node, options } = syntheticWorld({ evaluator: 'literal' });
  return new ServiceTable(nodeFacts(node, options), new StaleFlows('reconcile', node.name));
}

function one(id: number, change: Partial<ServicePort> = {}): ServicePort {
  return { ...syntheticService({ id, endpoints: [readyEndpoint(POD + 100 + id, 8080)] }), ...change };
}

/** Ids in the table's service order. */
function orderOf(table: ServiceTable): number[] {
  return [...table.order.subarray(0, table.count)].map((slot) => table.id[slot]);
}

function shuffled(ids: readonly number[], stream: RandomStream): number[] {
  const order = Uint32Array.from(ids).sort((a, b) => a - b);
  shuffle(order, stream);
  return [...order];
}

describe('the service order', () => {
  it('is a permutation of the ids in ascending order, however they come', () => {
    const table = emptyTable();
    const stream = new RandomStream(...STATE);
    const twin = new RandomStream(...STATE);
    let ids = Array.from({ length: 300 }, (_, i) => 1000 - 3 * i);
    table.replaceAll({ servicePorts: ids.map((id) => one(id)) }, stream);
    expect(orderOf(table)).toEqual(shuffled(ids, twin));
    // A few out of order, an id that is not small, and some that go.
    const added = [501, 3, 5_000_000, 500, 500_001];
    const removed = ids.filter((id) => id % 5 === 0);
    table.change({ upserted: added.map((id) => one(id)), removedIds: removed }, true, stream);
    ids = ids.filter((id) => id % 5 !== 0).concat(added);
    expect(orderOf(table)).toEqual(shuffled(ids, twin));
    // Back in reverse, and the large id gone.
    table.change({ upserted: [...removed].reverse().map((id) => one(id)), removedIds: [5_000_000] }, true, stream);
    ids = ids.filter((id) => id !== 5_000_000).concat(removed);
    expect(orderOf(table)).toEqual(shuffled(ids, twin));
  });

  it('refuses two service ports of one id', () => {
    const twice = { servicePorts: [one(1), one(2), one(1)] };
    expect(() => emptyTable().replaceAll(twice, new RandomStream(...STATE))).toThrow('Two service ports have the id 1');
  });
});

/** Counters and verdicts of a SYN from a pod to port 80 of each of the first `services` cluster IPs. */
function answers(engine: Engine, services: number, seconds: number): string {
  const packets = new PacketBatch(services);
  packets.length = services;
  for (let i = 0; i < services; i++) {
    packets.time[i] = seconds * NS_PER_S;
    packets.srcAddress[i] = POD;
    packets.srcPort[i] = 1000 + i;
    packets.dstAddress[i] = CLUSTER_IP_BASE + i;
    packets.dstPort[i] = 80;
    packets.protocol[i] = PROTOCOL_TCP;
    packets.tcpFlags[i] = TCP_SYN;
    packets.origin[i] = ORIGIN_POD;
  }
  const verdicts = new VerdictBatch(services);
  const work = new Counters(services);
  engine.process(packets, verdicts, work);
  return JSON.stringify([
    [...work.rows.subarray(0, services * COUNTER_STRIDE)],
    [...verdicts.servicePortId.subarray(0, services)],
    [...verdicts.dstAddress.subarray(0, services)],
  ]);
}

describe('the indexes', () => {
  it('are the literal walk’s even while two service ports share a destination, and after', () => {
    const engines = (['literal', 'indexed'] as const).map((evaluator) =>
      createIptablesEngine(syntheticWorld({ evaluator })),
    );
    const services = 40;
    let seconds = 0;
    const agree = (): void => {
      seconds += 1000;
      const [literal, indexed] = engines.map((engine) => answers(engine, services, seconds));
      expect(indexed).toBe(literal);
    };
    const servicePorts = Array.from({ length: services }, (_, id) =>
      one(id, { nodePort: id % 2 === 0 ? 30_000 + id : 0 }),
    );
    for (const engine of engines) engine.sync({ servicePorts }, 0);
    agree();
    const taken = one(7, { clusterIp: CLUSTER_IP_BASE + 5, name: 'taker' });
    for (const upserted of [[taken], [taken, one(3, { endpoints: [] })], [one(9)]]) {
      for (const engine of engines) engine.apply({ upserted, removedIds: [] }, seconds);
      agree();
    }
    for (const engine of engines) engine.apply({ upserted: [], removedIds: [5, 12] }, seconds);
    agree();
    // They change places in one change.
    const swapped = [one(1, { clusterIp: CLUSTER_IP_BASE + 2 }), one(2, { clusterIp: CLUSTER_IP_BASE + 1 })];
    for (const engine of engines) engine.apply({ upserted: swapped, removedIds: [] }, seconds);
    agree();
  });
});

describe('memory', () => {
  it('of the rules of 50,000 service ports with 10 endpoints each is below 32 MB', () => {
    const table = emptyTable();
    table.replaceAll({ servicePorts: syntheticServices(50_000, 10) }, new RandomStream(...STATE));
    const rules = new RuleSet(table);
    rules.update();
    expect(table.allOwnRules + table.chains.services.length).toBeGreaterThan(1_600_000);
    expect(rules.bytes).toBeLessThan(32e6);
  });
});
