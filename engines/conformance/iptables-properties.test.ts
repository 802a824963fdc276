/** What must hold of iptables mode whatever the cluster: syncs commute with changes, choice is even, strangers change nothing. */
import { describe, expect, it } from 'vitest';
import type { ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { RECENT_TESTS, STATISTIC_RULES } from '../../model/counters.ts';
import { ORIGIN_POD, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import type { VerdictField } from '../../model/verdict.ts';
import { VERDICT_FIELDS } from '../../model/verdict.ts';
import { Rng } from '../../sim/rng.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import { createIptablesEngine } from '../iptables/engine.ts';
import type { ControlStep } from './control-step.ts';
import { control, isControl, KnownServices } from './control-step.ts';
import { generateProgram } from './generate.ts';
import type { LonePacket, Verdict } from './play.ts';
import { Sender } from './play.ts';

/** Fields that no choice of an endpoint changes. */
const SURE_FIELDS = ['outcome', 'reason', 'servicePortId'] as const;

interface Answer {
  readonly verdict: Verdict;
  /** A rule of chance was visited, or a list that chance has filled. */
  readonly involvesChance: boolean;
}

const sender = new Sender();

function send(engine: Engine, packet: LonePacket): Answer {
  const verdict = sender.send(engine, packet);
  const { rows } = sender.work;
  return { verdict, involvesChance: rows[STATISTIC_RULES] + rows[RECENT_TESTS] > 0 };
}

function pickOf(answer: Answer, fields: readonly VerdictField[]): number[] {
  return fields.map((field) => answer.verdict[field]);
}

describe('sync, then apply', () => {
  it('leaves the rules and the verdicts of one sync of the result', () => {
    let compared = 0;
    let sure = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const program = generateProgram({ mode: 'iptables', seed, packets: 800, world: 'whole' });
      // Stale chains go at every sync, every packet finds a free port, and no packet is too many.
      const options: EngineOptions = {
        ...program.options,
        evaluator: seed % 2 === 0 ? 'literal' : 'indexed',
        largeClusterEndpoints: 1000,
        masqueradeRandomFully: false,
        conntrackMax: DEFAULT_ENGINE_OPTIONS.conntrackMax,
      };
      const life = createIptablesEngine({ node: program.node, options, rng: new Rng(seed) });
      const services = new KnownServices();
      for (const step of program.steps.filter(isControl)) {
        control(life, { ...step, at: 0 });
        services.take(step);
      }
      const fresh = createIptablesEngine({ node: program.node, options, rng: new Rng(seed) });
      fresh.sync({ servicePorts: services.inOrder() }, 0);
      expect(life.dump('kernel'), `seed ${seed}`).toBe(fresh.dump('kernel'));
      // A source port of its own for each packet, so that no two flows meet.
      let srcPort = 1024;
      for (const step of program.steps) {
        if (step.kind !== 'packet' || step.isReply) continue;
        const packet = { ...step, at: 0, flags: TCP_SYN, srcPort: srcPort++ };
        const [after, at] = [life, fresh].map((engine) => send(engine, packet));
        expect(after.involvesChance).toBe(at.involvesChance);
        const fields = at.involvesChance ? SURE_FIELDS : VERDICT_FIELDS;
        expect(pickOf(after, fields), `seed ${seed}, packet ${srcPort - 1025}`).toEqual(pickOf(at, fields));
        compared++;
        if (!at.involvesChance) sure++;
      }
    }
    expect(compared).toBeGreaterThan(10_000);
    expect(sure).toBeGreaterThan(5_000);
  });
});

/** The 99.9 % points of chi-squared with 1 to 9 degrees of freedom. */
const CHI_SQUARED_999 = [10.828, 13.816, 16.266, 18.467, 20.515, 22.458, 24.322, 26.124, 27.877];

describe('choice of an endpoint', () => {
  const node = { name: 'node-a', addresses: [0xc0a80001] };
  const FLOWS = 20_000;

  it.each([
    ['plain', undefined],
    ['special', { ...NO_SERVICE_EXTRAS, externalIps: [0xcb007101] }],
  ] as const)('is even, %s service port', (_, extras) => {
    for (let n = 2; n <= 10; n++) {
      const endpoints = Array.from({ length: n }, (_unused, k) => ({
        address: 0x0af40101 + k,
        port: 80,
        nodeName: 'node-b',
        ready: true,
        serving: true,
        terminating: false,
      }));
      const svc: ServicePort = {
        id: 1,
        namespace: 'ns',
        name: 'svc',
        portName: '',
        protocol: PROTOCOL_TCP,
        clusterIp: 0x0a600001,
        port: 80,
        nodePort: 0,
        ...(extras === undefined ? {} : { extras }),
        endpoints,
      };
      const engine = createIptablesEngine({ node, options: DEFAULT_ENGINE_OPTIONS, rng: new Rng(n) });
      engine.sync({ servicePorts: [svc] }, 0);
      const hits = new Float64Array(n);
      for (let flow = 0; flow < FLOWS; flow++) {
        const { verdict } = send(engine, {
          at: 0,
          protocol: PROTOCOL_TCP,
          srcAddress: 0x0af50000 + flow,
          srcPort: 40_000,
          dstAddress: svc.clusterIp,
          dstPort: svc.port,
          flags: TCP_SYN,
          origin: ORIGIN_POD,
        });
        hits[verdict.dstAddress - 0x0af40101]++;
      }
      const expected = FLOWS / n;
      const chiSquared = hits.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
      expect(chiSquared, `${n} endpoints`).toBeLessThan(CHI_SQUARED_999[n - 2]);
    }
  });
});

/** Service ports that no packet of a random program asks for. */
function strangers(): ServicePort[] {
  return Array.from({ length: 7 }, (_, k) => ({
    id: 100_000 + k,
    namespace: 'strangers',
    name: `svc${k}`,
    portName: 'p',
    protocol: k % 2 === 0 ? PROTOCOL_TCP : PROTOCOL_UDP,
    clusterIp: 0xac1f0001 + k,
    port: 7000 + k,
    nodePort: k % 3 === 0 ? 32_000 + k : 0,
    ...(k < 3 ? {} : { extras: { ...NO_SERVICE_EXTRAS, externalIps: [0xc0000201 + k], affinitySeconds: 60 } }),
    // One of them has no endpoints.
    endpoints: Array.from({ length: k }, (_unused, e) => ({
      address: 0x0af40900 + 16 * k + e,
      port: 80,
      nodeName: e === 0 ? 'node-a' : 'node-b',
      ready: true,
      serving: true,
      terminating: false,
    })),
  }));
}

/** A sync that has these service ports, too. */
function withMore(step: ControlStep, more: readonly ServicePort[]): ControlStep {
  return step.kind === 'sync' ? { ...step, state: { servicePorts: [...step.state.servicePorts, ...more] } } : step;
}

describe('service ports that nobody asks for', () => {
  it('change no verdict and no endpoint', () => {
    const extra = strangers();
    let compared = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const { node, options: drawn, steps } = generateProgram({ mode: 'iptables', seed, packets: 400, world: 'whole' });
      const options: EngineOptions = { ...drawn, evaluator: seed % 2 === 0 ? 'literal' : 'indexed' };
      const [alone, among] = [1, 2].map(() => createIptablesEngine({ node, options, rng: new Rng(seed) }));
      for (const step of steps) {
        if (isControl(step)) {
          control(alone, step);
          control(among, withMore(step, extra));
        }
        if (step.kind !== 'packet' || step.isReply) continue;
        const expected = send(alone, step);
        expect(send(among, step), `seed ${seed} at ${step.at}`).toEqual(expected);
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(10_000);
  });
});
