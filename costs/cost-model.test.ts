import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CONNECTION_CHAIN_ENTRIES,
  CONNTRACK_INSERTS,
  COUNTER_STRIDE,
  Counters,
  DESTINATIONS_EXAMINED,
  IPVS_CONNECTION_INSERTS,
  MAP_LOOKUPS,
  NAT_SETUPS,
  RECENT_LISTS_PASSED,
  RECENT_TESTS,
  RULES_EVALUATED,
  SERVICE_CHAIN_ENTRIES,
  SERVICE_RULES_SCANNED,
  STATISTIC_RULES,
  USERSPACE_COPIES,
} from '../model/counters.ts';
import { ENGINE_NAMES } from '../model/engine-name.ts';
import { ORIGIN_EXTERNAL, ORIGIN_HOST, ORIGIN_POD, PacketBatch } from '../model/packet.ts';
import { NO_SYNC_WORK } from '../model/sync-report.ts';
import type { SyncReport } from '../model/sync-report.ts';
import { OUTCOME_ACCEPT, OUTCOME_ENDPOINT, OUTCOME_REJECT, OUTCOME_REPLY, VerdictBatch } from '../model/verdict.ts';
import { costContext, SERVICE_RULE_BYTES } from './context.ts';
import type { CostContext } from './context.ts';
import { CostModel } from './cost-model.ts';
import { committedProfile, instructionProfile } from './test-data.ts';

const profile = committedProfile();
const context = (over: Partial<CostContext> = {}): CostContext => ({
  engine: 'iptables',
  iptablesBackend: 'legacy',
  serviceRules: 1000,
  serviceRuleBytes: SERVICE_RULE_BYTES,
  chainRules: 4000,
  chainComments: true,
  sameServiceProbability: 1,
  concurrentFlows: 1,
  otherMemoryBytes: 0,
  boundAddresses: 0,
  ipvsScheduler: 'rr',
  ipvsPath: 'kubeIpvs0',
  freshServerRatio: 0,
  payloadBytes: 1000,
  ...over,
});

interface Packet {
  readonly first: boolean;
  readonly outcome?: number;
  readonly counters: Readonly<Record<number, number>>;
}

function batchOf(list: readonly Packet[]) {
  const packets = new PacketBatch(list.length);
  packets.length = list.length;
  const verdicts = new VerdictBatch(list.length);
  const work = new Counters(list.length);
  list.forEach((packet, i) => {
    verdicts.first[i] = packet.first ? 1 : 0;
    verdicts.outcome[i] = packet.outcome ?? OUTCOME_ENDPOINT;
    for (const [counter, value] of Object.entries(packet.counters)) {
      work.rows[i * COUNTER_STRIDE + Number(counter)] = value;
    }
  });
  return { packets, verdicts, work };
}

function costsOf(list: readonly Packet[], over: Partial<CostContext> = {}): number[] {
  const { packets, verdicts, work } = batchOf(list);
  const out = new Float64Array(list.length);
  new CostModel(profile, context(over)).costs(packets, verdicts, work, out);
  return Array.from(out);
}

const costOf = (packet: Packet, over: Partial<CostContext> = {}): number => costsOf([packet], over)[0];
const hit = (scanned: number, statistic = 0): Packet => ({
  first: true,
  counters: {
    [SERVICE_RULES_SCANNED]: scanned,
    [STATISTIC_RULES]: statistic,
    [RULES_EVALUATED]: scanned + statistic + 11,
    [NAT_SETUPS]: 1,
  },
});

const anyPacket = fc
  .record({
    first: fc.boolean(),
    outcome: fc.constantFrom(OUTCOME_ACCEPT, OUTCOME_ENDPOINT, OUTCOME_REPLY, OUTCOME_REJECT),
    values: fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: COUNTER_STRIDE, maxLength: COUNTER_STRIDE }),
  })
  .map(({ first, outcome, values }): Packet => {
    // Rules of services and with `statistic` are a part of all rules.
    values[RULES_EVALUATED] = values[RULES_EVALUATED] + values[SERVICE_RULES_SCANNED] + values[STATISTIC_RULES];
    return { first, outcome, counters: { ...values } };
  });
const anyContext = fc.record({
  engine: fc.constantFrom(...ENGINE_NAMES),
  serviceRules: fc.constantFrom(0, 1, 1000, 15_000),
  chainRules: fc.constantFrom(0, 4000, 80_000),
  payloadBytes: fc.constantFrom(0, 1000, 64_000),
  sameServiceProbability: fc.constantFrom(0, 0.1, 1),
  otherMemoryBytes: fc.constantFrom(0, 1e6, 8e6),
  ipvsScheduler: fc.constantFrom('rr', 'wlc', 'twos'),
});

describe('CostModel', () => {
  it('never costs less for more work', () => {
    fc.assert(
      fc.property(
        anyPacket,
        anyContext,
        fc.nat(COUNTER_STRIDE - 1),
        fc.integer({ min: 1, max: 500 }),
        (packet, over, counter, more) => {
          const grown = { ...packet.counters };
          grown[counter] = (grown[counter] ?? 0) + more;
          // A counter of some rules grows the counter of all; an IPVS connection brings its own NAT set-up.
          const whole = counter === SERVICE_RULES_SCANNED || counter === STATISTIC_RULES ? RULES_EVALUATED : NAT_SETUPS;
          if ([SERVICE_RULES_SCANNED, STATISTIC_RULES, IPVS_CONNECTION_INSERTS].includes(counter)) {
            grown[whole] = (grown[whole] ?? 0) + more;
          }
          expect(costOf({ ...packet, counters: grown }, over)).toBeGreaterThanOrEqual(costOf(packet, over) - 1e-6);
        },
      ),
      { seed: 7, numRuns: 400 },
    );
  });

  it('gives a packet the same cost in any batch and any order', () => {
    fc.assert(
      fc.property(fc.array(anyPacket, { minLength: 1, maxLength: 8 }), anyContext, (list, over) => {
        const together = costsOf(list, over);
        expect(list.map((packet) => costOf(packet, over))).toEqual(together);
        expect(costsOf([...list].reverse(), over).reverse()).toEqual(together);
        expect(costsOf(list, over)).toEqual(together);
      }),
      { seed: 8, numRuns: 100 },
    );
  });

  it('writes nothing behind the batch', () => {
    const { packets, verdicts, work } = batchOf([hit(1), hit(2), hit(3)]);
    packets.length = 2;
    const out = new Float64Array(3).fill(-1);
    new CostModel(profile, context()).costs(packets, verdicts, work, out);
    expect(out[1]).toBeGreaterThan(0);
    expect(out[2]).toBe(-1);
  });

  it('without services costs the ruleset alone, with finite numbers everywhere', () => {
    const passing: Packet = { first: true, outcome: OUTCOME_ACCEPT, counters: { [RULES_EVALUATED]: 7 } };
    const none = costOf(passing, { serviceRules: 0, chainRules: 0 });
    expect(none).toBe(costOf(passing, { serviceRules: 30_000, chainRules: 120_000, sameServiceProbability: 0 }));
    expect(none).toBeGreaterThan(profile.packet.bareFirst.value);
    expect(none).toBeLessThan(2.2 * profile.packet.bareFirst.value);
    const ipvs = costOf(passing, { engine: 'ipvs', serviceRules: 0, chainRules: 0 });
    expect(Number.isFinite(ipvs)).toBe(true);
  });

  it('costs an established packet the same whatever services there are', () => {
    const established: Packet = { first: false, counters: { [RULES_EVALUATED]: 4 } };
    for (const engine of ENGINE_NAMES) {
      const few = costOf(established, { engine, serviceRules: 1, chainRules: 4 });
      expect(
        costOf(established, { engine, serviceRules: 30_000, chainRules: 120_000, sameServiceProbability: 0 }),
      ).toBe(few);
      expect(costOf(hit(1), { engine })).toBeGreaterThan(few);
    }
  });

  it('takes about 4 ns a rule while the scan fits the cache and about 20 ns when it does not', () => {
    const slope = (from: number, to: number) =>
      (costOf(hit(to), { serviceRules: to }) - costOf(hit(from), { serviceRules: from })) / (to - from);
    expect(slope(1, 7000)).toBeGreaterThan(3.8);
    expect(slope(1, 7000)).toBeLessThan(4.4);
    expect(slope(15_000, 30_000)).toBeGreaterThan(19);
    expect(slope(15_000, 30_000)).toBeLessThan(23);
    // Other memory makes the first rule cold already.
    const evicted = { serviceRules: 1000, otherMemoryBytes: 8 * 1024 * 1024 };
    expect((costOf(hit(1000), evicted) - costOf(hit(1), evicted)) / 999).toBeGreaterThan(18);
  });

  it('makes one walk dearer where long walks went before it', () => {
    const alone = costOf(hit(5000), { serviceRules: 15_000, sameServiceProbability: 1 });
    const among = costOf(hit(5000), { serviceRules: 15_000, chainRules: 0, sameServiceProbability: 0 });
    expect(among).toBeGreaterThan(1.5 * alone);
  });

  it('adds cold connection-tracking entries to established packets of many flows', () => {
    const established: Packet = { first: false, counters: { [RULES_EVALUATED]: 4 } };
    const many = costOf(established, { concurrentFlows: 8192 }) - costOf(established);
    expect(many).toBeCloseTo(profile.packet.conntrackCold.value, 6);
    expect(costOf(established, { concurrentFlows: 500 })).toBe(costOf(established));
  });

  it('turns IPVS chain entries and real servers into the instructions that were measured', () => {
    const base = { [IPVS_CONNECTION_INSERTS]: 1, [NAT_SETUPS]: 1, [RULES_EVALUATED]: 11 };
    const guest = instructionProfile();
    const instructions = (ipvsScheduler: string, first: boolean, counters: Record<number, number>): number => {
      const { packets, verdicts, work } = batchOf([{ first, counters }]);
      const out = new Float64Array(1);
      new CostModel(guest, context({ engine: 'ipvs', ipvsScheduler })).costs(packets, verdicts, work, out);
      return out[0];
    };
    const per = (scheduler: string, first: boolean, counter: number): number =>
      (instructions(scheduler, first, { ...base, [counter]: 100 }) - instructions(scheduler, first, base)) / 100;
    expect(per('rr', true, SERVICE_CHAIN_ENTRIES)).toBeCloseTo(13, 0);
    expect(2 * per('rr', true, CONNECTION_CHAIN_ENTRIES)).toBeCloseTo(18.9, 0);
    expect(per('rr', false, CONNECTION_CHAIN_ENTRIES)).toBeCloseTo(6.3, 1);
    expect(per('rr', true, DESTINATIONS_EXAMINED)).toBe(0);
    expect(per('lc', true, DESTINATIONS_EXAMINED)).toBeCloseTo(17, 1);
    expect(per('wlc', true, DESTINATIONS_EXAMINED)).toBeCloseTo(18.9, 1);
    // A scheduler that no profile has costs what wlc costs.
    expect(per('new', true, DESTINATIONS_EXAMINED)).toBe(per('wlc', true, DESTINATIONS_EXAMINED));
  });

  it('knows the bare packet and which path was measured', () => {
    const model = new CostModel(profile, context());
    expect(model.barePacket(true)).toBe(profile.packet.bareFirst.value);
    expect(model.barePacket(false)).toBe(profile.packet.bareEstablished.value);
    expect([ORIGIN_HOST, ORIGIN_POD, ORIGIN_EXTERNAL].map((origin) => model.pathMeasured(origin))).toEqual([
      true,
      false,
      false,
    ]);
    // A scheduler that was estimated from its algorithm was not measured, whatever the path.
    const scheduled = (ipvsScheduler: string) => new CostModel(profile, context({ engine: 'ipvs', ipvsScheduler }));
    expect(['wlc', 'mh', 'twos', 'fo'].map((name) => scheduled(name).pathMeasured(ORIGIN_HOST))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    // Nothing of userspace mode was measured.
    const userspace = new CostModel(profile, context({ engine: 'userspace' }));
    expect(userspace.pathMeasured(ORIGIN_HOST)).toBe(false);
  });

  it('adds the lock of `recent` and each list that is passed', () => {
    const plain = costOf(hit(10));
    const counters = { ...hit(10).counters, [RECENT_TESTS]: 2, [RECENT_LISTS_PASSED]: 500 };
    const { recentTest, recentList } = profile.iptables;
    expect(costOf({ first: true, counters }) - plain).toBeCloseTo(2 * recentTest.value + 500 * recentList.value, 6);
  });

  it('answers a refused packet in every mode at the same price', () => {
    for (const engine of ENGINE_NAMES) {
      const refused = costOf({ first: true, outcome: OUTCOME_REJECT, counters: {} }, { engine });
      const passed = costOf({ first: true, outcome: OUTCOME_ACCEPT, counters: {} }, { engine });
      expect(refused - passed, engine).toBeCloseTo(profile.packet.reject.value, 6);
    }
  });
});

describe('iptables-nft', () => {
  const nft = { iptablesBackend: 'nft' } as const;

  it('passes a rule at twice the price while hot, and hardly more when cold', () => {
    const slope = (over: Partial<CostContext>) =>
      (costOf(hit(5000), { serviceRules: 5000, ...over }) - costOf(hit(1), { serviceRules: 5000, ...over })) / 4999;
    expect(slope(nft) / slope({})).toBeGreaterThan(2);
    const evicted = { otherMemoryBytes: 8 * 1024 * 1024 };
    expect(slope({ ...nft, ...evicted })).toBeLessThan(slope(evicted));
  });

  it('leaves the other modes alone', () => {
    for (const engine of ['ipvs', 'nftables'] as const) {
      expect(costOf(hit(10), { engine, ...nft })).toBe(costOf(hit(10), { engine }));
    }
  });
});

describe('large-cluster mode', () => {
  it('saves the comments of a service own chains, one for each statistic rule, and none of KUBE-SERVICES', () => {
    const { comment } = profile.iptables;
    const saved = (statistic: number) =>
      costOf(hit(100, statistic)) - costOf(hit(100, statistic), { chainComments: false });
    expect(saved(50) - saved(0)).toBeCloseTo(50 * comment.value, 6);
    expect(saved(0)).toBeCloseTo(comment.value, 6);
    const knee = (chainComments: boolean) =>
      costOf(hit(12_000), { serviceRules: 12_000, chainComments }) -
      costOf(hit(1), { serviceRules: 12_000, chainComments });
    expect(knee(false)).toBeCloseTo(knee(true), 6);
  });
});

describe('instructions', () => {
  it('do not depend on caches', () => {
    const guest = instructionProfile();
    const cost = (over: Partial<CostContext>): number => {
      const { packets, verdicts, work } = batchOf([hit(15_000, 3)]);
      const out = new Float64Array(1);
      new CostModel(guest, context({ serviceRules: 15_000, ...over })).costs(packets, verdicts, work, out);
      return out[0];
    };
    const hot = cost({});
    expect(cost({ otherMemoryBytes: 8e6, concurrentFlows: 1e6, sameServiceProbability: 0 })).toBe(hot);
    expect(hot).toBeGreaterThan(15_000 * 26);
  });
});

describe('nftables mode', () => {
  const first = (lookups = 5): Packet => ({
    first: true,
    counters: { [RULES_EVALUATED]: 14, [MAP_LOOKUPS]: lookups, [NAT_SETUPS]: 1, [CONNTRACK_INSERTS]: 1 },
  });
  const established: Packet = { first: false, counters: { [RULES_EVALUATED]: 3 } };
  const among = (services: number): Partial<CostContext> => ({
    engine: 'nftables',
    serviceRules: 0,
    chainRules: 4 * services,
    sameServiceProbability: 1 / services,
  });

  it('is flat in services while one service is hit, and dearer by its distance when a random one is', () => {
    const one = (services: number) => costOf(first(), { ...among(services), sameServiceProbability: 1 });
    expect(one(20_000)).toBe(one(1));
    const costs = [10, 500, 2000, 5000, 10_000, 20_000, 200_000].map((services) => costOf(first(), among(services)));
    expect(costs[1]).toBe(costs[0]);
    expect([...costs].sort((a, b) => a - b)).toEqual(costs);
    expect(costs[5] / costs[0]).toBeGreaterThan(1.9);
    // Bounded: each line can come from memory once.
    const { coldServiceChains, farServiceChains } = profile.nftables;
    expect(costs[6] - costs[0]).toBeLessThan(coldServiceChains.value + farServiceChains.value);
  });

  it('costs a packet of no service the same whatever services there are, and an established one, too', () => {
    const passing: Packet = {
      first: true,
      outcome: OUTCOME_ACCEPT,
      counters: { [RULES_EVALUATED]: 11, [MAP_LOOKUPS]: 5 },
    };
    for (const packet of [passing, established]) {
      expect(costOf(packet, among(20_000))).toBe(costOf(packet, among(1)));
    }
  });

  it('pays for each look-up: affinity asks one set an endpoint', () => {
    const extra = costOf(first(105), among(1)) - costOf(first(5), among(1));
    expect(extra).toBeCloseTo(100 * profile.nftables.step.value, 6);
  });

  it('is evicted by other memory as a whole, and not twice', () => {
    const evicted = { otherMemoryBytes: 8 * 1024 * 1024 };
    const hot = costOf(first(), among(1));
    expect(costOf(first(), { ...among(1), ...evicted }) - hot).toBeCloseTo(profile.nftables.coldFirst.value, 6);
    const random = costOf(first(), { ...among(2000), ...evicted });
    expect(random).toBe(costOf(first(), { ...among(1), ...evicted }));
  });
});

describe('userspace mode', () => {
  const walk = { [SERVICE_RULES_SCANNED]: 10, [RULES_EVALUATED]: 20, [NAT_SETUPS]: 1 };
  const syn: Packet = { first: true, counters: { ...walk, [CONNTRACK_INSERTS]: 2 } };
  const data: Packet = { first: false, counters: { [USERSPACE_COPIES]: 1 } };

  it('walks its rules at the price of iptables rules and adds the connection to the endpoint', () => {
    const alone = costOf({ ...syn, counters: walk }, { engine: 'iptables', chainRules: 0 });
    const { packet, userspace } = profile;
    const second = packet.bareFirst.value + packet.conntrackFirst.value + packet.natHooksFirst.value;
    expect(costOf(syn, { engine: 'userspace', chainRules: 0 }) - alone).toBeCloseTo(
      second + userspace.connection.value,
      6,
    );
  });

  it('copies each payload by its bytes, which no other mode looks at', () => {
    const at = (payloadBytes: number, engine: CostContext['engine']) => costOf(data, { engine, payloadBytes });
    const { copy, copyByte } = profile.userspace;
    expect(at(2000, 'userspace') - at(1000, 'userspace')).toBeCloseTo(1000 * copyByte.value, 6);
    const established: Packet = { first: false, counters: {} };
    expect(at(0, 'userspace') - costOf(established, { engine: 'userspace' })).toBeCloseTo(copy.value, 6);
    for (const engine of ['iptables', 'ipvs', 'nftables'] as const) expect(at(64_000, engine)).toBe(at(0, engine));
  });

  it('dials again for a datagram whose socket was closed', () => {
    const redialled: Packet = { first: false, counters: { [USERSPACE_COPIES]: 1, [CONNTRACK_INSERTS]: 1 } };
    expect(costOf(redialled, { engine: 'userspace' })).toBeGreaterThan(
      costOf(data, { engine: 'userspace' }) + profile.userspace.connection.value,
    );
  });

  it('is the dearest mode for a packet that is carried, by far', () => {
    const established: Packet = { first: false, counters: { [RULES_EVALUATED]: 4 } };
    expect(costOf(data, { engine: 'userspace' })).toBeGreaterThan(3 * costOf(established));
  });
});

describe('costContext', () => {
  const report: SyncReport = {
    ...NO_SYNC_WORK,
    kind: 'full',
    servicePorts: 100,
    changedServicePorts: 100,
    rules: 523,
    tableRules: 523,
    serviceRules: 101,
    restoreLines: 900,
    addressesBound: 100,
  };

  it('splits the table into the scanned chain and the services own chains', () => {
    const made = costContext('iptables', report, { sameServiceProbability: 0.01 });
    expect(made.serviceRules).toBe(101);
    expect(made.chainRules).toBe(400);
    expect(made.chainComments).toBe(true);
    const large = costContext('iptables', { ...report, chainComments: false }, { sameServiceProbability: 1 });
    expect(large.chainComments).toBe(false);
    expect(costContext('ipvs', report, { sameServiceProbability: 1 }).serviceRules).toBe(0);
  });

  it('has no scanned chain in nftables mode, and every portal rule in userspace mode', () => {
    const nftables = costContext('nftables', { ...report, tableRules: 422 }, { sameServiceProbability: 1 });
    expect([nftables.serviceRules, nftables.chainRules]).toEqual([0, 400]);
    const userspace = costContext('userspace', { ...report, tableRules: 205 }, { sameServiceProbability: 1 });
    expect([userspace.serviceRules, userspace.chainRules]).toEqual([200, 0]);
  });

  it('takes a payload of 1,000 bytes unless it is told another', () => {
    const of = (payloadBytes?: number) =>
      costContext('userspace', report, {
        sameServiceProbability: 1,
        ...(payloadBytes === undefined ? {} : { payloadBytes }),
      }).payloadBytes;
    expect([of(), of(40)]).toEqual([1000, 40]);
  });
});
