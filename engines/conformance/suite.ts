/** The one suite that every engine and evaluator runs, the oracle included. What an engine cannot do is left out by name, with a reason. */
import { describe, expect, it } from 'vitest';
import type { ServicePort } from '../../model/cluster.ts';
import { COUNTER_NAMES } from '../../model/counters.ts';
import { NS_PER_S } from '../../model/time.ts';
import type { Engine, EngineFactory, EngineOptions } from '../engine.ts';
import { IPVS_SCHEDULERS } from '../engine.ts';
import { unsupported } from '../unsupported.ts';
import type { CaseStep, ConformanceCase, Expectation } from './cases.ts';
import { CHANGE_CASES } from './change-cases.ts';
import { DELIVERY_CASES } from './delivery-cases.ts';
import { answer, CASE_NODE, makeEngine, send, sendAll, service } from './harness.ts';
import type { PacketWords, VerdictWords } from './harness.ts';
import { IPTABLES_ACCESS_CASES } from './iptables-access-cases.ts';
import { IPTABLES_AFFINITY_CASES } from './iptables-affinity-cases.ts';
import { IPTABLES_NODE_CASES } from './iptables-node-cases.ts';
import { IPVS_CASES } from './ipvs-cases.ts';
import { NFTABLES_CASES } from './nftables-cases.ts';
import { NFTABLES_POLICY_CASES } from './nftables-policy-cases.ts';
import { NFTABLES_SYNC_CASES } from './nftables-sync-cases.ts';
import { REFUSAL_CASES } from './refusal-cases.ts';
import { USERSPACE_CASES } from './userspace-cases.ts';
import { USERSPACE_DIAL_CASES } from './userspace-dial-cases.ts';
import { USERSPACE_LIFE_CASES } from './userspace-life-cases.ts';
import { WORK_CASES } from './work-cases.ts';

export interface ConformanceOptions {
  readonly name: string;
  readonly factory: EngineFactory;
  readonly evaluator?: EngineOptions['evaluator'];
  /** Cases left out, by exact name, and why. */
  readonly skip?: readonly { readonly reason: string; readonly cases: readonly string[] }[];
}

function checkVerdict(actual: VerdictWords, expected: Expectation): void {
  const { work, exactWork, dst, ...words } = expected;
  expect(actual).toMatchObject(words);
  if (typeof dst === 'string') expect(actual.dst).toBe(dst);
  else if (dst !== undefined) expect(dst).toContain(actual.dst);
  if (exactWork === true) {
    expect(actual.work).toEqual({ ...Object.fromEntries(COUNTER_NAMES.map((name) => [name, 0])), ...work });
  } else if (work !== undefined) expect(actual.work).toMatchObject(work);
}

function runStep(engine: Engine, step: CaseStep, sent: (VerdictWords | undefined)[]): VerdictWords | undefined {
  const now = Math.round(step.at * NS_PER_S);
  if ('sync' in step) expect(engine.sync({ servicePorts: step.sync }, now)).toMatchObject(step.report ?? {});
  else if ('apply' in step) {
    const report = engine.apply({ upserted: step.apply, removedIds: step.remove ?? [] }, now);
    expect(report).toMatchObject(step.report ?? {});
  } else if ('interrupt' in step) engine.interrupt?.(now);
  else if ('nextTimerSeconds' in step) {
    engine.advance(now);
    expect(engine.nextTimer()).toBe(step.nextTimerSeconds * NS_PER_S);
  } else {
    const to = 'answers' in step ? sent[step.answers] : undefined;
    const packet: PacketWords = 'answers' in step ? answer(to as VerdictWords, step) : step;
    const verdict = send(engine, packet);
    checkVerdict(verdict, step.expect);
    return verdict;
  }
  return undefined;
}

function runCase(engine: Engine, conformanceCase: ConformanceCase): void {
  engine.sync({ servicePorts: conformanceCase.services }, 0);
  const sent: (VerdictWords | undefined)[] = [];
  for (const step of conformanceCase.steps) sent.push(runStep(engine, step, sent));
}

/** Every service port of the case, at any time. */
function servicesOf({ services, steps }: ConformanceCase): ServicePort[] {
  const later = steps.flatMap((step) => ('sync' in step ? step.sync : 'apply' in step ? step.apply : []));
  return [...services, ...later];
}

const CASES: readonly ConformanceCase[] = [
  ...DELIVERY_CASES,
  ...REFUSAL_CASES,
  ...CHANGE_CASES,
  ...WORK_CASES,
  ...IPTABLES_ACCESS_CASES,
  ...IPTABLES_AFFINITY_CASES,
  ...IPTABLES_NODE_CASES,
  ...IPVS_CASES,
  ...NFTABLES_CASES,
  ...NFTABLES_POLICY_CASES,
  ...NFTABLES_SYNC_CASES,
  ...USERSPACE_CASES,
  ...USERSPACE_DIAL_CASES,
  ...USERSPACE_LIFE_CASES,
];

function connections(count: number, dst: string): PacketWords[] {
  return Array.from({ length: count }, (_, i) => ({
    at: i / 1e6,
    src: `10.244.${9 + (i >> 12)}.1:${1024 + (i & 4095)}`,
    dst,
    flags: 'SYN',
    origin: 'pod',
  }));
}

const THREE_ENDPOINTS = ['10.244.1.1:80', '10.244.1.2:80', '10.244.1.3:80'];

export function runConformance({ name, factory, evaluator = 'literal', skip = [] }: ConformanceOptions): void {
  const make = (options: Partial<EngineOptions> = {}, node = CASE_NODE, dead: readonly string[] = []): Engine =>
    makeEngine(factory, { ...options, evaluator }, node, 1, dead);
  const { name: mode, supports } = make();
  const skipped = new Map(skip.flatMap(({ reason, cases }) => cases.map((caseName) => [caseName, reason] as const)));
  const leftOut = new Map<string, string>();
  const test = (caseName: string, body: () => void, missing: readonly string[] = []): void => {
    const reason = skipped.get(caseName) ?? (missing.length > 0 ? `not modelled: ${missing.join(', ')}` : undefined);
    if (reason === undefined) it(caseName, body);
    else leftOut.set(caseName, reason);
  };

  describe(`conformance: ${name}`, () => {
    for (const conformanceCase of CASES) {
      const { name: caseName, mode: caseMode, options, node, deadEndpoints } = conformanceCase;
      if (caseMode !== mode && (caseMode !== 'both' || mode === 'userspace')) continue;
      const run = (): void => {
        runCase(make(options, node, deadEndpoints), conformanceCase);
      };
      test(caseName, run, unsupported(supports, servicesOf(conformanceCase)));
    }

    it('leaves out what it does not model, and nothing else', () => {
      // A case that has been renamed must not be left out by its old name.
      expect([...skipped.keys()].filter((caseName) => !leftOut.has(caseName))).toEqual([]);
    });

    test('spreads connections evenly over the endpoints', () => {
      const engine = make({ ipvsScheduler: 'rr' });
      engine.sync({ servicePorts: [service({ name: 'three', at: '10.96.0.1:80', endpoints: THREE_ENDPOINTS })] }, 0);
      const counts = new Map<string, number>();
      for (const { dst, work } of sendAll(engine, connections(6000, '10.96.0.1:80'))) {
        counts.set(dst, (counts.get(dst) ?? 0) + 1);
        // The first endpoint is one statistic rule away, the other two are behind two.
        if (mode === 'iptables') expect(work.statistic_rules).toBe(dst === THREE_ENDPOINTS[0] ? 1 : 2);
      }
      // Round robin is exact; a fair draw stays within five standard deviations (36.5) of 2000.
      for (const endpoint of THREE_ENDPOINTS) {
        const difference = Math.abs((counts.get(endpoint) ?? 0) - 2000);
        expect(difference).toBeLessThanOrEqual(mode === 'ipvs' || mode === 'userspace' ? 0 : 183);
      }
    });

    test('a batch of n equals n batches of one', () => {
      const services = [service({ name: 'three', at: '10.96.0.1:80', endpoints: THREE_ENDPOINTS })];
      const packets = [...connections(100, '10.96.0.1:80'), ...connections(100, '10.96.0.1:81')];
      packets.sort((a, b) => a.at - b.at);
      const together = make();
      const apart = make();
      together.sync({ servicePorts: services }, 0);
      apart.sync({ servicePorts: services }, 0);
      expect(sendAll(together, packets)).toEqual(packets.map((packet) => send(apart, packet)));
    });

    test('apply before the first sync is refused', () => {
      expect(() => make().apply({ upserted: [], removedIds: [] }, 0)).toThrow(Error);
    });

    test('two engines of one seed agree, packet for packet', () => {
      const services = [service({ name: 'three', at: '10.96.0.1:80', endpoints: THREE_ENDPOINTS })];
      const runs = [make(), make()].map((engine) => {
        engine.sync({ servicePorts: services }, 0);
        return sendAll(engine, connections(50, '10.96.0.1:80'));
      });
      expect(runs[0]).toEqual(runs[1]);
    });

    if (mode === 'ipvs') {
      for (const ipvsScheduler of IPVS_SCHEDULERS) {
        test(`scheduler ${ipvsScheduler} finds a server, and none when there is none`, () => {
          const engine = make({ ipvsScheduler });
          const full = service({ name: 'full', at: '10.96.0.1:80', endpoints: THREE_ENDPOINTS });
          const empty = service({ id: 1, name: 'empty', at: '10.96.0.2:80', endpoints: [] });
          engine.sync({ servicePorts: [full, empty] }, 0);
          for (const verdict of sendAll(engine, connections(6, '10.96.0.1:80'))) {
            expect(verdict.outcome).toBe('endpoint');
            expect(verdict.work.destinations_examined).toBeGreaterThan(0);
          }
          const [refused] = sendAll(engine, connections(1, '10.96.0.2:80'));
          expect(refused).toMatchObject({ outcome: 'reject', reason: 'no_endpoints', service: 1 });
        });
      }
    }
  });
}
