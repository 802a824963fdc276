/** The two evaluators are one engine: every verdict and every counter of the literal walk is that of the indexed one. */
import { describe, expect, it } from 'vitest';
import { COUNTER_NAMES, COUNTER_STRIDE, Counters, PORT_TRIES } from '../../model/counters.ts';
import { PacketBatch } from '../../model/packet.ts';
import { VERDICT_FIELDS, VerdictBatch } from '../../model/verdict.ts';
import { Rng } from '../../sim/rng.ts';
import type { EngineOptions } from '../engine.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import { syntheticWorld } from '../synthetic.ts';
import { createIptablesEngine } from './engine.ts';
import { randomDelta, randomPackets, randomState } from './random-world.ts';
import { SCANNING } from './rule-arrays.ts';
import { HAS_SIMD } from './scan.ts';

const BATCH = 200;
/** What a campaign must have met at least once; one that does not is no evidence. */
class Marks {
  readonly seen = new Set<string>();

  add(verdicts: VerdictBatch, work: Counters, i: number): void {
    this.seen.add(`outcome ${verdicts.outcome[i]}`);
    this.seen.add(`reason ${verdicts.reason[i]}`);
    if (verdicts.masqueraded[i] === 1) this.seen.add('masqueraded');
    for (let c = 0; c < COUNTER_STRIDE; c++) {
      if (work.rows[i * COUNTER_STRIDE + c] > 0) this.seen.add(COUNTER_NAMES[c]);
    }
    if (work.rows[i * COUNTER_STRIDE + PORT_TRIES] > 1) this.seen.add('second port try');
  }
}

interface Life {
  readonly seed: number;
  readonly options: Partial<EngineOptions>;
  readonly hasDetector: boolean;
  readonly isPlain: boolean;
  /** Syncs and applies between two batches of packets. */
  readonly changes: number;
}

function run({ seed, options, hasDetector, isPlain, changes }: Life, marks: Marks): void {
  const stream = new Rng(seed).stream('test');
  const engines = (['literal', 'indexed'] as const).map((evaluator) => {
    const world = syntheticWorld({ ...options, evaluator }, seed);
    const { name, addresses } = world.node;
    return createIptablesEngine(hasDetector ? world : { ...world, node: { name, addresses } });
  });
  const results = engines.map(() => ({ verdicts: new VerdictBatch(BATCH), work: new Counters(BATCH) }));
  let packets = new PacketBatch(BATCH);
  let earlier: { packets: PacketBatch; verdicts: VerdictBatch } | undefined;
  let time = 0;
  for (let round = 0; round < 8; round++) {
    for (let change = 0; change < changes; change++) {
      const full = (round === 0 && change === 0) || stream.below(4 * changes) === 0;
      const input = full ? randomState(stream, isPlain) : undefined;
      const delta = full ? undefined : randomDelta(stream, isPlain);
      const reports = engines.map((engine) =>
        input === undefined ? engine.apply(delta ?? { upserted: [], removedIds: [] }, time) : engine.sync(input, time),
      );
      expect(reports[0]).toEqual(reports[1]);
    }
    expect(engines[0].dump('kernel')).toBe(engines[1].dump('kernel'));
    time = randomPackets(packets, BATCH, time, stream, earlier, isPlain);
    engines.forEach((engine, k) => engine.process(packets, results[k].verdicts, results[k].work));
    const [literal, indexed] = results;
    for (let i = 0; i < BATCH; i++) {
      const at = `seed ${seed}, round ${round}, packet ${i}`;
      for (const field of VERDICT_FIELDS) {
        if (literal.verdicts[field][i] !== indexed.verdicts[field][i]) {
          expect.fail(`${at}: ${field} ${literal.verdicts[field][i]} / ${indexed.verdicts[field][i]}`);
        }
      }
      for (let c = 0; c < COUNTER_STRIDE; c++) {
        const row = i * COUNTER_STRIDE + c;
        if (literal.work.rows[row] !== indexed.work.rows[row]) {
          expect.fail(`${at}: ${COUNTER_NAMES[c]} ${literal.work.rows[row]} / ${indexed.work.rows[row]}`);
        }
      }
      marks.add(indexed.verdicts, indexed.work, i);
    }
    const verdicts = new VerdictBatch(BATCH);
    for (const field of VERDICT_FIELDS) verdicts[field].set(indexed.verdicts[field]);
    earlier = { packets, verdicts };
    packets = new PacketBatch(BATCH);
  }
}

describe('literal and indexed evaluator', () => {
  it('agree in every verdict and counter over random clusters, changes and packets', () => {
    const marks = new Marks();
    for (let seed = 1; seed <= 60; seed++) {
      const options = {
        masqueradeAll: seed % 5 === 0,
        largeClusterEndpoints: seed % 2 === 0 ? 12 : 1000,
        masqueradeRandomFully: seed % 10 > 0,
      };
      run({ seed, options, hasDetector: seed % 7 !== 0, isPlain: seed <= 40, changes: 1 }, marks);
    }
    // So many changes that the arrays of rules and endpoints are compacted again and again.
    run({ seed: 61, options: {}, hasDetector: true, isPlain: false, changes: 100 }, marks);
    const wanted = [
      ...['outcome 0', 'outcome 1', 'outcome 2', 'outcome 3', 'outcome 4'],
      ...['reason 0', 'reason 1', 'reason 2', 'reason 5', 'reason 6', 'reason 7', 'masqueraded'],
      ...[
        'service_rules_scanned',
        'statistic_rules',
        'jumps',
        'rule_bytes',
        'nat_setups',
        'port_tries',
        'recent_tests',
        'recent_lists_passed',
        'second port try',
      ],
    ];
    expect(wanted.filter((mark) => !marks.seen.has(mark))).toEqual([]);
    const foreign = [...marks.seen].filter((mark) => /ipset|probes|entries|destinations|ipvs/.test(mark));
    expect(foreign).toEqual([]);
  });

  it.each([true, false])('agree however short the chain that is scanned is, with vectors: %s', (usesSimd) => {
    const before = { ...SCANNING };
    Object.assign(SCANNING, { usesSimd: usesSimd && HAS_SIMD, fewestRules: 0, shortChain: 0 });
    const marks = new Marks();
    for (let seed = 62; seed <= 72; seed++) {
      const kubeProxy = {
        ...DEFAULT_ENGINE_OPTIONS.kubeProxy,
        masqueradeRules: seed % 2 ? 'dispatch' : 'service',
      } as const;
      run({ seed, options: { kubeProxy }, hasDetector: true, isPlain: seed % 3 === 0, changes: 3 }, marks);
    }
    Object.assign(SCANNING, before);
    expect(marks.seen.size).toBeGreaterThan(15);
  });
});
