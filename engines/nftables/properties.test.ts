/** Properties of the nftables engine: a partial sync comes to what a full one does, choice is fair, and unrelated Services do not show. */
import { describe, expect, it } from 'vitest';
import type { ServicePort } from '../../model/cluster.ts';
import { Counters } from '../../model/counters.ts';
import { ORIGIN_POD, PacketBatch, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import { OUTCOME_ENDPOINT, VerdictBatch } from '../../model/verdict.ts';
import { chiSquaredScore } from '../../sim/chi-squared.ts';
import { Rng } from '../../sim/rng.ts';
import { control, isControl, KnownServices } from '../conformance/control-step.ts';
import { generateProgram } from '../conformance/generate.ts';
import type { Program } from '../conformance/program.ts';
import type { Engine } from '../engine.ts';
import { CLUSTER_IP_BASE, readyEndpoint, syntheticService, syntheticWorld } from '../synthetic.ts';
import { createNftablesEngine } from './engine.ts';
import { Player } from '../conformance/play.ts';

function engineOf({ node, options, seed }: Program): Engine {
  return createNftablesEngine({ node, options: { ...options, evaluator: 'indexed' }, rng: new Rng(seed) });
}

describe('partial and full sync', () => {
  it('a life of partial syncs leaves the table, the counts and the verdicts of one full sync', () => {
    let applies = 0;
    let packets = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const program = generateProgram({ mode: 'nftables', seed, packets: 800, world: 'whole' });
      const partial = engineOf(program);
      const services = new KnownServices();
      let end = 0;
      for (const step of program.steps) {
        end = step.at;
        if (!isControl(step)) continue;
        control(partial, step);
        services.take(step);
        if (step.kind === 'apply') applies++;
      }
      const full = engineOf(program);
      const whole = full.sync({ servicePorts: services.inOrder() }, end);
      // A second later stale chains are gone.
      const report = partial.apply({ upserted: [], removedIds: [] }, end + NS_PER_S);
      expect(report, `seed ${seed}`).toMatchObject({ rules: whole.rules, tableRules: whole.tableRules });
      expect(partial.dump('kernel'), `seed ${seed}`).toBe(full.dump('kernel'));
      const players = [new Player(program.node.addresses), new Player(program.node.addresses)] as const;
      for (const step of program.steps) {
        if (step.kind !== 'packet') continue;
        const later = { ...step, at: step.at + end + 2 * NS_PER_S };
        const line = players[0].send(partial, later);
        if (line !== '') packets++;
        expect(players[1].send(full, later), `seed ${seed}`).toBe(line);
      }
    }
    expect(applies).toBeGreaterThan(500);
    expect(packets).toBeGreaterThan(20_000);
  });
});

describe('unrelated Services', () => {
  /** Names, addresses and ports that no random program uses; some without endpoints, with affinity, with Local policies. */
  function strangers(count: number): ServicePort[] {
    return Array.from({ length: count }, (_, i) => ({
      ...syntheticService({
        id: 1000 + i,
        nodePort: i % 2 === 0 ? 32_000 + i : 0,
        endpoints: i % 5 === 0 ? [] : [readyEndpoint(0x0a010000 + i, 80), readyEndpoint(0x0a020000 + i, 80)],
        extras: {
          externalIps: [0xac180000 + i],
          externalPolicyLocal: i % 3 === 0,
          affinitySeconds: i % 4 === 0 ? 60 : 0,
          loadBalancerVips: [0xac190000 + i],
          loadBalancerSourceRanges: i % 7 === 0 ? [{ address: 0x08000000, mask: 0xff000000, prefixLength: 8 }] : [],
        },
      }),
      namespace: 'strangers',
      clusterIp: CLUSTER_IP_BASE + i,
    }));
  }

  it('change no verdict and no counter', () => {
    const more = strangers(200);
    let packets = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const program = generateProgram({ mode: 'nftables', seed, packets: 400, world: 'whole' });
      const alone = engineOf(program);
      const crowded = engineOf(program);
      const players = [new Player(program.node.addresses), new Player(program.node.addresses)] as const;
      for (const [i, step] of program.steps.entries()) {
        if (step.kind === 'sync') {
          alone.sync(step.state, step.at);
          crowded.sync({ servicePorts: [...step.state.servicePorts, ...more] }, step.at);
        } else if (step.kind === 'apply') {
          alone.apply(step.delta, step.at);
          // Some of them come and go with the rest.
          const removedIds = i % 2 === 0 ? [1000 + (i % 200)] : [];
          const upserted = i % 2 === 0 ? [] : [more[i % 200]];
          crowded.apply(
            {
              upserted: [...step.delta.upserted, ...upserted],
              removedIds: [...step.delta.removedIds, ...removedIds],
            },
            step.at,
          );
        } else if (step.kind === 'packet') {
          const line = players[0].send(alone, step);
          if (line !== '') packets++;
          expect(players[1].send(crowded, step), `seed ${seed}, step ${i}`).toBe(line);
        }
      }
    }
    expect(packets).toBeGreaterThan(10_000);
  });
});

describe('choice of an endpoint', () => {
  const CONNECTIONS = 20_000;
  /** A score of 4 standard deviations: by chance once in 30,000 for one size, once in 4,000 for all eight. */
  const SCORE_MAX = 4;

  for (const count of [2, 3, 5, 7, 10, 33, 100, 1000]) {
    it(`is uniform over ${count}`, () => {
      const engine = createNftablesEngine(syntheticWorld({}, count));
      const endpoints = Array.from({ length: count }, (_, k) => readyEndpoint(0x0a010000 + k, 8080));
      engine.sync({ servicePorts: [syntheticService({ id: 0, endpoints })] }, 0);
      const packets = new PacketBatch(1);
      const verdicts = new VerdictBatch(1);
      const work = new Counters(1);
      const chosen = new Uint32Array(count);
      packets.length = 1;
      packets.protocol[0] = PROTOCOL_TCP;
      packets.tcpFlags[0] = TCP_SYN;
      packets.origin[0] = ORIGIN_POD;
      packets.dstAddress[0] = CLUSTER_IP_BASE;
      packets.dstPort[0] = 80;
      for (let i = 0; i < CONNECTIONS; i++) {
        packets.srcAddress[0] = 0x0ac80000 + (i >> 8);
        packets.srcPort[0] = 1024 + (i & 255);
        engine.process(packets, verdicts, work);
        expect(verdicts.outcome[0]).toBe(OUTCOME_ENDPOINT);
        chosen[verdicts.dstAddress[0] - 0x0a010000]++;
      }
      const expected = new Float64Array(count).fill(CONNECTIONS / count);
      const score = chiSquaredScore(chosen, expected);
      expect(score).toBeLessThan(SCORE_MAX);
      expect(score).toBeGreaterThan(-SCORE_MAX);
    });
  }
});
