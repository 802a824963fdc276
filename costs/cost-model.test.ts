import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CONNECTION_CHAIN_ENTRIES,
  COUNTER_STRIDE,
  Counters,
  DESTINATIONS_EXAMINED,
  IPVS_CONNECTION_INSERTS,
  NAT_SETUPS,
  RULES_EVALUATED,
  SERVICE_CHAIN_ENTRIES,
  SERVICE_RULES_SCANNED,
  STATISTIC_RULES,
} from '../model/counters.ts';
import { ORIGIN_EXTERNAL, ORIGIN_HOST, ORIGIN_POD, PacketBatch } from '../model/packet.ts';
import { NO_SYNC_WORK } from '../model/sync-report.ts';
import type { SyncReport } from '../model/sync-report.ts';
import { OUTCOME_ACCEPT, OUTCOME_ENDPOINT, VerdictBatch } from '../model/verdict.ts';
import { costContext, SERVICE_RULE_BYTES } from './context.ts';
import type { CostContext } from './context.ts';
import { CostModel } from './cost-model.ts';
import { committedProfile } from './test-data.ts';

const profile = committedProfile();
const context = (over: Partial<CostContext> = {}): CostContext => ({
  engine: 'iptables',
  serviceRules: 1000,
  serviceRuleBytes: SERVICE_RULE_BYTES,
  chainRules: 4000,
  sameServiceProbability: 1,
  concurrentFlows: 1,
  otherMemoryBytes: 0,
  boundAddresses: 0,
  ipvsScheduler: 'rr',
  freshServerRatio: 0,
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
    outcome: fc.constantFrom(OUTCOME_ACCEPT, OUTCOME_ENDPOINT),
    values: fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: COUNTER_STRIDE, maxLength: COUNTER_STRIDE }),
  })
  .map(({ first, outcome, values }): Packet => {
    // Rules of services and with `statistic` are a part of all rules.
    values[RULES_EVALUATED] = values[RULES_EVALUATED] + values[SERVICE_RULES_SCANNED] + values[STATISTIC_RULES];
    return { first, outcome, counters: { ...values } };
  });
const anyContext = fc.record({
  engine: fc.constantFrom('iptables' as const, 'ipvs' as const),
  serviceRules: fc.constantFrom(0, 1, 1000, 15_000),
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
    expect(none).toBeGreaterThan(profile.packet.bareFirstNs.value);
    expect(none).toBeLessThan(2.2 * profile.packet.bareFirstNs.value);
    const ipvs = costOf(passing, { engine: 'ipvs', serviceRules: 0, chainRules: 0 });
    expect(Number.isFinite(ipvs)).toBe(true);
  });

  it('costs an established packet the same whatever services there are', () => {
    const established: Packet = { first: false, counters: { [RULES_EVALUATED]: 4 } };
    for (const engine of ['iptables', 'ipvs'] as const) {
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
    expect(many).toBeCloseTo(profile.packet.conntrackColdNs.value, 6);
    expect(costOf(established, { concurrentFlows: 500 })).toBe(costOf(established));
  });

  it('turns IPVS chain entries and real servers into the instructions that were measured', () => {
    const base = { [IPVS_CONNECTION_INSERTS]: 1, [NAT_SETUPS]: 1, [RULES_EVALUATED]: 11 };
    const model = (ipvsScheduler: string) => new CostModel(profile, context({ engine: 'ipvs', ipvsScheduler }));
    const instructions = (scheduler: string, first: boolean, counters: Record<number, number>): number =>
      model(scheduler).ipvsInstructions(first, batchOf([{ first, counters }]).work.rows, 0);
    const per = (scheduler: string, first: boolean, counter: number): number =>
      (instructions(scheduler, first, { ...base, [counter]: 100 }) - instructions(scheduler, first, base)) / 100;
    expect(per('rr', true, SERVICE_CHAIN_ENTRIES)).toBeCloseTo(13, 1);
    expect(2 * per('rr', true, CONNECTION_CHAIN_ENTRIES)).toBeCloseTo(18.9, 0);
    expect(per('rr', false, CONNECTION_CHAIN_ENTRIES)).toBeCloseTo(6.3, 1);
    expect(per('rr', true, DESTINATIONS_EXAMINED)).toBe(0);
    expect(per('lc', true, DESTINATIONS_EXAMINED)).toBeCloseTo(17, 1);
    expect(per('wlc', true, DESTINATIONS_EXAMINED)).toBeCloseTo(18.9, 1);
    expect(per('twos', true, DESTINATIONS_EXAMINED)).toBe(per('wlc', true, DESTINATIONS_EXAMINED));
  });

  it('knows the bare packet and which path was measured', () => {
    const model = new CostModel(profile, context());
    expect(model.barePacketNs(true)).toBe(profile.packet.bareFirstNs.value);
    expect(model.barePacketNs(false)).toBe(profile.packet.bareEstablishedNs.value);
    expect([ORIGIN_HOST, ORIGIN_POD, ORIGIN_EXTERNAL].map((origin) => model.pathMeasured(origin))).toEqual([
      true,
      false,
      false,
    ]);
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
    restoreLines: 900,
    addressesBound: 100,
  };

  it('splits the table into the scanned chain and the services own chains', () => {
    const made = costContext('iptables', report, { sameServiceProbability: 0.01 });
    expect(made.serviceRules).toBe(100);
    expect(made.chainRules).toBe(400);
    expect(costContext('ipvs', report, { sameServiceProbability: 1 }).serviceRules).toBe(0);
  });
});
