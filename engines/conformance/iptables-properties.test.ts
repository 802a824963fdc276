/** What must hold of iptables mode whatever the cluster: syncs commute with changes, choice is even, strangers change nothing. */
import { describe, expect, it } from 'vitest';
import type { ClusterDelta, ClusterState, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { Counters, RECENT_TESTS, STATISTIC_RULES } from '../../model/counters.ts';
import { ORIGIN_POD, PacketBatch, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { VerdictBatch } from '../../model/verdict.ts';
import { Rng } from '../../sim/rng.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import { createIptablesEngine } from '../iptables/engine.ts';
import { generateProgram } from './generate.ts';
import type { PacketStep, Step } from './program.ts';

const FIELDS = [
  'outcome',
  'reason',
  'first',
  'masqueraded',
  'srcAddress',
  'srcPort',
  'dstAddress',
  'dstPort',
  'servicePortId',
] as const;
/** Fields that no choice of an endpoint changes. */
const SURE_FIELDS = ['outcome', 'reason', 'servicePortId'] as const;

interface Answer {
  readonly verdict: Readonly<Record<(typeof FIELDS)[number], number>>;
  /** A rule of chance was visited, or a list that chance has filled. */
  readonly involvesChance: boolean;
}

const one = new PacketBatch(1);
const oneVerdict = new VerdictBatch(1);
const oneWork = new Counters(1);

function send(engine: Engine, packet: Omit<PacketStep, 'kind' | 'isReply'>): Answer {
  one.length = 1;
  one.time[0] = packet.at;
  one.srcAddress[0] = packet.srcAddress;
  one.srcPort[0] = packet.srcPort;
  one.dstAddress[0] = packet.dstAddress;
  one.dstPort[0] = packet.dstPort;
  one.protocol[0] = packet.protocol;
  one.tcpFlags[0] = packet.flags;
  one.origin[0] = packet.origin;
  engine.process(one, oneVerdict, oneWork);
  const verdict = Object.fromEntries(FIELDS.map((field) => [field, oneVerdict[field][0]])) as Answer['verdict'];
  return { verdict, involvesChance: oneWork.rows[STATISTIC_RULES] + oneWork.rows[RECENT_TESTS] > 0 };
}

function pickOf(answer: Answer, fields: readonly (typeof FIELDS)[number][]): number[] {
  return fields.map((field) => answer.verdict[field]);
}

/** What the cluster is once the delta is applied. */
function changed(state: ClusterState, { upserted, removedIds }: ClusterDelta): ClusterState {
  const services = new Map(state.servicePorts.map((svc) => [svc.id, svc]));
  for (const id of removedIds) services.delete(id);
  for (const svc of upserted) services.set(svc.id, svc);
  return { servicePorts: [...services.values()].sort((a, b) => a.id - b.id) };
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
      let state: ClusterState = { servicePorts: [] };
      for (const step of program.steps) {
        if (step.kind === 'sync') life.sync((state = step.state), 0);
        else if (step.kind === 'apply') {
          life.apply(step.delta, 0);
          state = changed(state, step.delta);
        }
      }
      const fresh = createIptablesEngine({ node: program.node, options, rng: new Rng(seed) });
      fresh.sync(state, 0);
      expect(life.dump('kernel'), `seed ${seed}`).toBe(fresh.dump('kernel'));
      // A source port of its own for each packet, so that no two flows meet.
      let srcPort = 1024;
      for (const step of program.steps) {
        if (step.kind !== 'packet' || step.isReply) continue;
        const packet = { ...step, at: 0, flags: TCP_SYN, srcPort: srcPort++ };
        const [after, at] = [life, fresh].map((engine) => send(engine, packet));
        expect(after.involvesChance).toBe(at.involvesChance);
        const fields = at.involvesChance ? SURE_FIELDS : FIELDS;
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

function control(engine: Engine, step: Step, extra: readonly ServicePort[]): void {
  if (step.kind === 'sync') engine.sync({ servicePorts: [...step.state.servicePorts, ...extra] }, step.at);
  else if (step.kind === 'apply') engine.apply(step.delta, step.at);
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
        control(alone, step, []);
        control(among, step, extra);
        if (step.kind !== 'packet' || step.isReply) continue;
        const expected = send(alone, step);
        expect(send(among, step), `seed ${seed} at ${step.at}`).toEqual(expected);
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(10_000);
  });
});
