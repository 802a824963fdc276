/** Runs engines of one mode side by side over random programs and finds the smallest program on which one of them differs. */
import { formatIpv4 } from '../../model/address.ts';
import { COUNTER_NAMES, COUNTER_STRIDE, Counters } from '../../model/counters.ts';
import { PacketBatch } from '../../model/packet.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import { VERDICT_FIELDS, VerdictBatch } from '../../model/verdict.ts';
import { Rng } from '../../sim/rng.ts';
import type { Engine, EngineFactory, EngineName, EngineOptions } from '../engine.ts';
import { generateProgram } from './generate.ts';
import type { WorldKind } from './generate-cluster.ts';
import { control } from './control-step.ts';
import { Dialogue } from './play.ts';
import { answersOf, programText } from './program.ts';
import type { PacketStep, Program, Step } from './program.ts';
import { shrink } from './shrink.ts';

export interface Contender {
  readonly name: string;
  readonly factory: EngineFactory;
  readonly evaluator?: EngineOptions['evaluator'];
}

export interface Disagreement {
  readonly engine: string;
  /** Index into the program's steps. */
  readonly step: number;
  readonly what: string;
}

export interface Mismatch extends Disagreement {
  readonly program: Program;
  /** Seed, difference and the shrunk program, to be printed. */
  readonly text: string;
}

export interface LockstepOptions {
  readonly mode: EngineName;
  /** The first is the reference. */
  readonly engines: readonly Contender[];
  readonly seed: number;
  readonly clusters: number;
  readonly packetsPerCluster: number;
  readonly world?: WorldKind;
}

const BATCH = 64;

interface Runner {
  readonly name: string;
  readonly engine: Engine;
  readonly verdicts: VerdictBatch;
  readonly work: Counters;
}

/** One program on all engines. The reference takes packets one by one, the others a batch at a time. */
class Lockstep {
  readonly #program: Program;
  readonly #reference: Runner;
  readonly #others: readonly Runner[];
  readonly #dialogue: Dialogue;
  readonly #oneVerdict = new VerdictBatch(1);
  readonly #oneWork = new Counters(1);
  readonly #batch = new PacketBatch(BATCH);

  constructor(program: Program, contenders: readonly Contender[]) {
    this.#program = program;
    this.#dialogue = new Dialogue(program.node.addresses);
    const runners = contenders.map(({ name, factory, evaluator }) => ({
      name,
      engine: factory({
        node: program.node,
        options: { ...program.options, evaluator: evaluator ?? 'literal' },
        rng: new Rng(program.seed),
        answers: answersOf(program),
      }),
      verdicts: new VerdictBatch(BATCH),
      work: new Counters(BATCH),
    }));
    this.#reference = runners[0];
    this.#others = runners.slice(1);
  }

  run(): Disagreement | undefined {
    const { steps } = this.#program;
    for (let i = 0; i < steps.length; i++) {
      const step = steps[i];
      let difference: Omit<Disagreement, 'step'> | undefined;
      if (step.kind === 'packet') {
        if (this.#send(step) && this.#batch.length === BATCH) difference = this.#flush();
      } else {
        difference = this.#flush() ?? this.#control(step);
      }
      if (i === steps.length - 1) difference ??= this.#flush();
      if (difference !== undefined) return { ...difference, step: i };
    }
    return undefined;
  }

  /** Hands a packet to the reference and puts it into the others' batch; false when there is nothing to answer. */
  #send(step: PacketStep): boolean {
    if (!this.#dialogue.load(step)) return false;
    const one = this.#dialogue.packets;
    copyPacket(one, 0, this.#batch, this.#batch.length);
    this.#oneWork.rows.fill(0xffffffff);
    this.#reference.engine.process(one, this.#oneVerdict, this.#oneWork);
    const verdict = this.#oneVerdict;
    const { verdicts, work } = this.#reference;
    for (const field of VERDICT_FIELDS) verdicts[field][this.#batch.length] = verdict[field][0];
    work.rows.set(this.#oneWork.rows, this.#batch.length * COUNTER_STRIDE);
    this.#batch.length++;
    this.#dialogue.remember(step, verdict);
    return true;
  }

  #flush(): Omit<Disagreement, 'step'> | undefined {
    const batch = this.#batch;
    const expected = this.#reference;
    if (batch.length === 0) return undefined;
    for (const other of this.#others) {
      other.work.rows.fill(0xffffffff);
      try {
        other.engine.process(batch, other.verdicts, other.work);
      } catch (error) {
        return { engine: other.name, what: `process threw ${String(error)}` };
      }
      for (let i = 0; i < batch.length; i++) {
        const what = packetDifference(expected, other, i);
        if (what !== undefined) return { engine: other.name, what: `${packetText(batch, i)}: ${what}` };
      }
    }
    batch.length = 0;
    return this.#timers();
  }

  #timers(): Omit<Disagreement, 'step'> | undefined {
    const expected = this.#reference.engine.nextTimer();
    for (const other of this.#others) {
      const actual = other.engine.nextTimer();
      if (actual !== expected) return { engine: other.name, what: `nextTimer: expected ${expected}, got ${actual}` };
    }
    return undefined;
  }

  #control(step: Exclude<Step, PacketStep>): Omit<Disagreement, 'step'> | undefined {
    if (step.kind === 'flush') return undefined;
    const call = ({ engine }: Runner): SyncReport | undefined => {
      if (step.kind === 'advance') engine.advance(step.at);
      else if (step.kind === 'interrupt') engine.interrupt?.(step.at);
      else return control(engine, step);
      return undefined;
    };
    const expected = call(this.#reference);
    for (const other of this.#others) {
      let actual: SyncReport | undefined;
      try {
        actual = call(other);
      } catch (error) {
        return { engine: other.name, what: `${step.kind} threw ${String(error)}` };
      }
      const what = reportDifference(expected, actual);
      if (what !== undefined) return { engine: other.name, what };
    }
    return this.#timers();
  }
}

function copyPacket(from: PacketBatch, i: number, to: PacketBatch, k: number): void {
  for (const field of PACKET_FIELDS) to[field][k] = from[field][i];
}

const PACKET_FIELDS = [
  'time',
  'srcAddress',
  'dstAddress',
  'srcPort',
  'dstPort',
  'protocol',
  'direction',
  'tcpFlags',
  'origin',
] as const;

function packetText(batch: PacketBatch, i: number): string {
  const src = `${formatIpv4(batch.srcAddress[i])}:${batch.srcPort[i]}`;
  const dst = `${formatIpv4(batch.dstAddress[i])}:${batch.dstPort[i]}`;
  return `packet ${batch.protocol[i]} ${src} -> ${dst} flags ${batch.tcpFlags[i]} origin ${batch.origin[i]} at ${batch.time[i]}`;
}

function packetDifference(expected: Runner, actual: Runner, i: number): string | undefined {
  const lines: string[] = [];
  for (const field of VERDICT_FIELDS) {
    const want = expected.verdicts[field][i];
    const got = actual.verdicts[field][i];
    if (want === got) continue;
    lines.push(
      field.endsWith('Address') ? `${field} ${formatIpv4(want)} != ${formatIpv4(got)}` : `${field} ${want} != ${got}`,
    );
  }
  for (let counter = 0; counter < COUNTER_STRIDE; counter++) {
    const want = expected.work.rows[i * COUNTER_STRIDE + counter];
    const got = actual.work.rows[i * COUNTER_STRIDE + counter];
    if (want !== got) lines.push(`${COUNTER_NAMES[counter]} ${want} != ${got}`);
  }
  return lines.length === 0 ? undefined : `expected != actual: ${lines.join(', ')}`;
}

function reportDifference(expected: SyncReport | undefined, actual: SyncReport | undefined): string | undefined {
  if (expected === undefined || actual === undefined) return undefined;
  const lines: string[] = [];
  for (const key of Object.keys(expected) as (keyof SyncReport)[]) {
    if (expected[key] !== actual[key]) lines.push(`${key} ${expected[key]} != ${actual[key]}`);
  }
  return lines.length === 0 ? undefined : `sync report, expected != actual: ${lines.join(', ')}`;
}

export function runProgram(program: Program, engines: readonly Contender[]): Disagreement | undefined {
  return new Lockstep(program, engines).run();
}

/** Runs `clusters` programs; the first difference is shrunk and returned. */
export function runLockstep(options: LockstepOptions): Mismatch | undefined {
  for (let cluster = 0; cluster < options.clusters; cluster++) {
    const seed = options.seed + cluster;
    const program = generateProgram({
      mode: options.mode,
      seed,
      packets: options.packetsPerCluster,
      ...(options.world === undefined ? {} : { world: options.world }),
    });
    const found = runProgram(program, options.engines);
    if (found === undefined) continue;
    const reference = options.engines[0];
    const culprit = options.engines.find((engine) => engine.name === found.engine) as Contender;
    const pair = [reference, culprit];
    const small = shrink(program, found.step, (candidate) => runProgram(candidate, pair) !== undefined);
    const difference = runProgram(small, pair) ?? found;
    const text = `${options.mode} lockstep, seed ${seed}: ${difference.engine} differs at step ${difference.step}: ${difference.what}\n${programText(small)}`;
    return { ...difference, program: small, text };
  }
  return undefined;
}
