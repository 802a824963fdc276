/** The nftables engine as a whole: session affinity through syncs, memory of long lives, what it refuses. */
import { describe, expect, it } from 'vitest';
import type { Endpoint, ServicePort } from '../../model/cluster.ts';
import { Counters } from '../../model/counters.ts';
import { ORIGIN_POD, PacketBatch } from '../../model/packet.ts';
import { PROTOCOL_UDP } from '../../model/protocol.ts';
import type { SimTime } from '../../model/time.ts';
import { NS_PER_S } from '../../model/time.ts';
import { VerdictBatch } from '../../model/verdict.ts';
import type { Engine } from '../engine.ts';
import { CLUSTER_IP_BASE, readyEndpoint, syntheticService, syntheticServices, syntheticWorld } from '../synthetic.ts';
import { createNftablesEngine } from './engine.ts';

const POD = 0x0a010000;
const CLIENT = 0x0ac80001;
const TIMEOUT_S = 100;

function endpoints(...numbers: readonly number[]): Endpoint[] {
  return numbers.map((k) => readyEndpoint(POD + k, 8080));
}

function sticky(list: readonly Endpoint[], more: Partial<ServicePort> = {}): ServicePort {
  const svc = syntheticService({ id: 0, endpoints: list, extras: { affinitySeconds: TIMEOUT_S } });
  return { ...svc, protocol: PROTOCOL_UDP, ...more };
}

/** Where one packet of a new flow from the client ends up: the endpoint's number. */
class Client {
  readonly #packets = new PacketBatch(1);
  readonly #verdicts = new VerdictBatch(1);
  readonly #work = new Counters(1);
  readonly #engine: Engine;
  #port = 1024;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  connect(at: SimTime): number {
    const packets = this.#packets;
    packets.length = 1;
    packets.time[0] = at;
    packets.protocol[0] = PROTOCOL_UDP;
    packets.origin[0] = ORIGIN_POD;
    packets.srcAddress[0] = CLIENT;
    packets.srcPort[0] = this.#port++;
    packets.dstAddress[0] = CLUSTER_IP_BASE;
    packets.dstPort[0] = 80;
    this.#engine.process(packets, this.#verdicts, this.#work);
    return this.#verdicts.dstAddress[0] - POD;
  }

  /** The endpoints that `count` connections at one time get. */
  connectAll(at: SimTime, count: number): Set<number> {
    return new Set(Array.from({ length: count }, () => this.connect(at)));
  }
}

describe('session affinity', () => {
  const many = endpoints(...Array.from({ length: 50 }, (_, k) => k));

  it('keeps a client with its endpoint until its last connection is a time-out old', () => {
    const engine = createNftablesEngine(syntheticWorld());
    const client = new Client(engine);
    engine.sync({ servicePorts: [sticky(many)] }, 0);
    const first = client.connect(0);
    for (let s = 0; s < 1000; s += TIMEOUT_S - 1) expect(client.connect(s * NS_PER_S)).toBe(first);
    const last = Math.ceil(1000 / (TIMEOUT_S - 1) - 1) * (TIMEOUT_S - 1) * NS_PER_S;
    expect(client.connect(last + TIMEOUT_S * NS_PER_S - 1)).toBe(first);
    // 1 in 50 would stay by chance; the seed decides.
    expect(client.connect(last + 2 * TIMEOUT_S * NS_PER_S)).not.toBe(first);
  });

  it('outlives syncs, other endpoints and another id of the same name, but not its own endpoint', () => {
    const engine = createNftablesEngine(syntheticWorld());
    const client = new Client(engine);
    engine.sync({ servicePorts: [sticky(many)] }, 0);
    const first = client.connect(0);
    const stays = (): void => {
      expect(client.connectAll(1, 20)).toEqual(new Set([first]));
    };
    engine.sync({ servicePorts: [sticky(many)] }, 0);
    stays();
    engine.apply({ upserted: [sticky(endpoints(first, 90, 91, 92))], removedIds: [] }, 0);
    stays();
    engine.apply({ upserted: [sticky(endpoints(first, 93, 94), { id: 9 })], removedIds: [0] }, 0);
    stays();
    engine.apply({ upserted: [sticky(endpoints(93, 94), { id: 9 })], removedIds: [] }, 0);
    expect([93, 94]).toContain(client.connect(1));
    // Its set was deleted with it, so nothing leads back to the first.
    const second = client.connect(1);
    engine.apply({ upserted: [sticky(endpoints(first, 93, 94), { id: 9 })], removedIds: [] }, 0);
    expect(client.connectAll(1, 20)).toEqual(new Set([second]));
  });

  it('is forgotten when it is switched off and on again', () => {
    const engine = createNftablesEngine(syntheticWorld());
    const client = new Client(engine);
    engine.sync({ servicePorts: [sticky(many)] }, 0);
    expect(client.connectAll(0, 20).size).toBe(1);
    const plain = { ...syntheticService({ id: 0, endpoints: many }), protocol: PROTOCOL_UDP } as const;
    engine.apply({ upserted: [plain], removedIds: [] }, 0);
    expect(client.connectAll(0, 40).size).toBeGreaterThan(10);
    engine.apply({ upserted: [sticky(many)], removedIds: [] }, 0);
    expect(client.connectAll(0, 20).size).toBe(1);
  });

  it('a changed time-out holds from the next connection on', () => {
    const engine = createNftablesEngine(syntheticWorld());
    const client = new Client(engine);
    const lasting = { extras: { ...sticky([]).extras, affinitySeconds: 1000 } as NonNullable<ServicePort['extras']> };
    engine.sync({ servicePorts: [sticky(many)] }, 0);
    const first = client.connect(0);
    engine.apply({ upserted: [sticky(many, lasting)], removedIds: [] }, NS_PER_S);
    // The element still ends after the old time; by then another connection has renewed it with the new one.
    expect(client.connect(99 * NS_PER_S)).toBe(first);
    expect(client.connect(1098 * NS_PER_S)).toBe(first);
  });
});

describe('long lives', () => {
  it('a thousand rounds of churn leave no rules, elements or stale chains behind', () => {
    const engine = createNftablesEngine(syntheticWorld());
    const services = syntheticServices(200, 5, { affinitySeconds: 60, externalPolicyLocal: true });
    const first = engine.sync({ servicePorts: services }, 0);
    const dump = engine.dump('kernel');
    for (let round = 1; round <= 1000; round++) {
      const svc = services[(round * 7) % 200];
      const at = round * 2 * NS_PER_S;
      const shrunk = { ...svc, endpoints: round % 3 === 0 ? [] : svc.endpoints.slice(round % 5) };
      if (round % 4 === 0) engine.apply({ upserted: [], removedIds: [svc.id] }, at);
      else engine.apply({ upserted: [shrunk], removedIds: [] }, at);
      engine.apply({ upserted: [svc], removedIds: [] }, at + NS_PER_S);
    }
    const last = engine.apply({ upserted: [], removedIds: [] }, 3000 * NS_PER_S);
    expect(last).toMatchObject({ rules: first.rules, tableRules: first.tableRules, servicePorts: 200 });
    expect(engine.dump('kernel')).toBe(dump);
    const idle = engine.apply({ upserted: [], removedIds: [] }, 3001 * NS_PER_S);
    expect(idle).toMatchObject({ transactions: 0, transactionOperations: 0 });
  });
});

describe('what is refused', () => {
  it('a node without an address, and two service ports of one id', () => {
    const world = syntheticWorld();
    expect(() => createNftablesEngine({ ...world, node: { ...world.node, addresses: [] } })).toThrow('no address');
    const twice = [syntheticService({ id: 3, endpoints: [] }), syntheticService({ id: 3, endpoints: [] })];
    expect(() => createNftablesEngine(world).sync({ servicePorts: twice }, 0)).toThrow('id 3');
  });
});
