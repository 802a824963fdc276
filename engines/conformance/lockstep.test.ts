/** The lockstep itself: it finds planted faults, shrinks them, repeats itself; and an exhaustive run over short flag sequences. */
import { describe, expect, it } from 'vitest';
import {
  COUNTER_STRIDE,
  DESTINATIONS_EXAMINED,
  RECENT_LISTS_PASSED,
  RULES_EVALUATED,
  USERSPACE_COPIES,
} from '../../model/counters.ts';
import { ORIGIN_POD, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import { NS_PER_S } from '../../model/time.ts';
import { OUTCOME_REJECT } from '../../model/verdict.ts';
import { Rng } from '../../sim/rng.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import type { Engine, EngineFactory, EngineName } from '../engine.ts';
import { createIptablesEngine } from '../iptables/engine.ts';
import { createIpvsEngine } from '../ipvs/engine.ts';
import { createNftablesEngine } from '../nftables/engine.ts';
import { referenceIptables } from '../reference/iptables.ts';
import { referenceIpvs } from '../reference/ipvs.ts';
import { referenceNftables } from '../reference/nftables.ts';
import { referenceUserspace } from '../reference/userspace.ts';
import { createUserspaceEngine } from '../userspace/engine.ts';
import { modelsWholeWorlds } from './campaign.ts';
import { dumpDifference } from './dumps.ts';
import { generateProgram } from './generate.ts';
import type { WorldKind } from './generate-cluster.ts';
import { CASE_NODE, ipv4, makeEngine, service } from './harness.ts';
import { runLockstep, runProgram } from './lockstep.ts';
import type { Contender } from './lockstep.ts';
import { programText } from './program.ts';
import type { Program, Step } from './program.ts';

const MODES = [
  { mode: 'iptables', reference: referenceIptables, factory: createIptablesEngine },
  { mode: 'ipvs', reference: referenceIpvs, factory: createIpvsEngine },
  { mode: 'nftables', reference: referenceNftables, factory: createNftablesEngine },
  { mode: 'userspace', reference: referenceUserspace, factory: createUserspaceEngine },
] as const;
const REFERENCES = {
  iptables: referenceIptables,
  ipvs: referenceIpvs,
  nftables: referenceNftables,
  userspace: referenceUserspace,
} as const;

/** The oracle with one fault. */
function faulty(factory: EngineFactory, change: (engine: Engine) => Partial<Engine>): EngineFactory {
  return (world) => {
    const engine = factory(world);
    const whole: Engine = {
      name: engine.name,
      supports: engine.supports,
      sync: (state, now) => engine.sync(state, now),
      apply: (delta, now) => engine.apply(delta, now),
      advance: (now) => {
        engine.advance(now);
      },
      nextTimer: () => engine.nextTimer(),
      process: (packets, verdicts, work) => {
        engine.process(packets, verdicts, work);
      },
      dump: (form) => engine.dump(form),
      interrupt: (now) => engine.interrupt?.(now),
    };
    return { ...whole, ...change(engine) };
  };
}

interface Fault {
  readonly name: string;
  readonly mode: keyof typeof REFERENCES;
  readonly world?: WorldKind;
  readonly change: (engine: Engine) => Partial<Engine>;
}

const FAULTS: readonly Fault[] = [
  {
    name: 'the first list of affinity always at hand',
    mode: 'iptables',
    world: 'whole',
    change: (engine) => ({
      process: (packets, verdicts, work) => {
        engine.process(packets, verdicts, work);
        for (let i = 0; i < packets.length; i++) {
          const at = i * COUNTER_STRIDE + RECENT_LISTS_PASSED;
          if (work.rows[at] === 2) work.rows[at] = 1;
        }
      },
    }),
  },
  {
    name: 'one rule too many for rejected packets',
    mode: 'iptables',
    change: (engine) => ({
      process: (packets, verdicts, work) => {
        engine.process(packets, verdicts, work);
        for (let i = 0; i < packets.length; i++) {
          if (verdicts.outcome[i] === OUTCOME_REJECT) work.rows[i * COUNTER_STRIDE + RULES_EVALUATED]++;
        }
      },
    }),
  },
  {
    name: 'a second server never looked at',
    mode: 'ipvs',
    change: (engine) => ({
      process: (packets, verdicts, work) => {
        engine.process(packets, verdicts, work);
        for (let i = 0; i < packets.length; i++) {
          const at = i * COUNTER_STRIDE + DESTINATIONS_EXAMINED;
          work.rows[at] = Math.min(1, work.rows[at]);
        }
      },
    }),
  },
  {
    name: 'no conntrack deletes reported',
    mode: 'iptables',
    change: (engine) => ({ apply: (delta, now) => ({ ...engine.apply(delta, now), conntrackDeletes: 0 }) }),
  },
  {
    name: 'a timer that is a nanosecond late',
    mode: 'ipvs',
    change: (engine) => ({ nextTimer: () => engine.nextTimer() + 1 }),
  },
  {
    name: 'a removed service that stays',
    mode: 'iptables',
    change: (engine) => ({ apply: (delta, now) => engine.apply({ ...delta, removedIds: [] }, now) }),
  },
  {
    name: 'a process that is never interrupted',
    mode: 'userspace',
    change: () => ({ interrupt: () => undefined }),
  },
  {
    name: 'a copy too many',
    mode: 'userspace',
    change: (engine) => ({
      process: (packets, verdicts, work) => {
        engine.process(packets, verdicts, work);
        for (let i = 0; i < packets.length; i++) {
          if (packets.tcpFlags[i] === TCP_RST) work.rows[i * COUNTER_STRIDE + USERSPACE_COPIES] = 1;
        }
      },
    }),
  },
];

describe('lockstep', () => {
  for (const { name, mode, world = 'plain', change } of FAULTS) {
    it(`finds and shrinks a planted fault: ${name}`, () => {
      const factory = REFERENCES[mode];
      const engines: Contender[] = [
        { name: 'reference', factory },
        { name: 'faulty', factory: faulty(factory, change) },
      ];
      const mismatch = runLockstep({ mode, engines, seed: 1, clusters: 50, packetsPerCluster: 300, world });
      expect(mismatch?.engine).toBe('faulty');
      expect(mismatch?.program.steps.length).toBeLessThanOrEqual(5);
      expect(mismatch?.text).toMatch(/^\w+ lockstep, seed \d+: faulty differs at step \d+: /);
    });
  }

  it('makes the same program of the same seed', () => {
    const [one, two] = [1, 2].map(() => programText(generateProgram({ mode: 'ipvs', seed: 42, packets: 200 })));
    expect(one).toBe(two);
    expect(programText(generateProgram({ mode: 'ipvs', seed: 43, packets: 200 }))).not.toBe(one);
  });

  // Those of userspace mode are compared to the letter in lockstep-userspace.test.ts.
  for (const { mode, reference, factory } of MODES.filter((each) => each.mode !== 'userspace')) {
    it(`${mode}: dumps agree with the oracle's after a full sync`, () => {
      const isWhole =
        modelsWholeWorlds(makeEngine(factory).supports) && modelsWholeWorlds(makeEngine(reference).supports);
      const world = isWhole ? 'whole' : 'plain';
      for (let seed = 1; seed <= 100; seed++) {
        const { node, options, steps } = generateProgram({ mode, seed, packets: 0, world });
        const [expected, actual] = [reference, factory].map((make) => {
          const engine = make({ node, options: { ...options, evaluator: 'literal' }, rng: new Rng(seed) });
          const [first] = steps;
          if (first?.kind === 'sync') engine.sync(first.state, 0);
          return engine.dump('restore');
        });
        expect(dumpDifference(expected ?? '', actual ?? '', () => true)).toBeUndefined();
      }
    });
  }

  for (const { mode, reference, factory } of MODES) {
    for (const [gaps, length] of [
      [[1], 4],
      [[1, 10, 30, 60, 120], 3],
    ] as const) {
      it(`${mode}: every sequence of ${length} TCP packets, ${gaps.join(', ')} s apart`, () => {
        for (const program of exhaustive(mode, gaps, length)) {
          const found = runProgram(program, [
            { name: 'reference', factory: reference },
            { name: 'literal', factory, evaluator: 'literal' },
            { name: 'indexed', factory, evaluator: 'indexed' },
          ]);
          expect(
            found === undefined ? undefined : `${programTextUpTo(program, found.step)}\n${found.what}`,
          ).toBeUndefined();
        }
      });
    }
  }
});

function programTextUpTo(program: Program, step: number): string {
  return programText({ ...program, steps: program.steps.slice(0, step + 1) }).slice(-2000);
}

const SYMBOLS = [TCP_SYN, TCP_SYN | TCP_ACK, TCP_FIN | TCP_ACK, TCP_ACK, TCP_RST, 0].flatMap((flags) => [
  { flags, isReply: false },
  { flags, isReply: true },
]);

/** All words of `length` symbols, each a flow of its own, side by side; one program for each choice of the gaps in time. */
function* exhaustive(mode: EngineName, gaps: readonly number[], length: number): Generator<Program> {
  const words = Array.from({ length: SYMBOLS.length ** length }, (_, word) => word);
  for (let choice = 0; choice < gaps.length ** (length - 1); choice++) {
    const state = {
      servicePorts: [service({ name: 'one', at: '10.96.0.1:80', endpoints: ['10.244.1.1:80', '10.244.1.2:80'] })],
    };
    const steps: Step[] = [{ kind: 'sync', at: 0, state }];
    let at = 0;
    for (let k = 0; k < length; k++) {
      if (k > 0) at += gaps[Math.floor(choice / gaps.length ** (k - 1)) % gaps.length] * NS_PER_S;
      for (const word of words) {
        const symbol = SYMBOLS[Math.floor(word / SYMBOLS.length ** k) % SYMBOLS.length];
        // A client for each word: no two flows share a tuple.
        const srcAddress = ipv4('10.244.128.0') + (word >> 2);
        steps.push({
          kind: 'packet',
          at,
          protocol: 6,
          srcAddress,
          srcPort: 40000 + (word & 3),
          dstAddress: ipv4('10.96.0.1'),
          dstPort: 80,
          origin: ORIGIN_POD,
          ...symbol,
        });
      }
    }
    yield { mode, seed: 1, node: CASE_NODE, options: DEFAULT_ENGINE_OPTIONS, steps };
  }
}
