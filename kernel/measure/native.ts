/**
 * Measures the machine's own kernel: rules of our dump in a network namespace, packets of the load program through them, and between any
 * two rulesets the same packets in a second namespace that has no rules at all. Both have loopback alone.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { NamespaceSession } from '../namespace-session.ts';
import { controlOperations } from './control-plane.ts';
import type { ControlOperation, ControlRun, ControlSize } from './control-plane.ts';
import { buildLoadPrograms } from './load-programs.ts';
import { expectedSeconds, planOf, stepName } from './plan.ts';
import type {
  BaselinesStep,
  ControlStep,
  EndpointsStep,
  MeasuredEngine,
  PlanSize,
  PositionsStep,
  Step,
} from './plan.ts';
import { directPoints, endpointPoints, nativeEffort, positionPoints } from './points.ts';
import type { PacketPoint } from './points.ts';
import type { RowFile } from './row-file.ts';
import { NANOSECONDS, summaryOfRuns } from './rows.ts';
import type { Point } from './rows.ts';
import { ipvsRuleset, ruleset } from './rulesets.ts';
import type { PacketEngine, Ruleset } from './rulesets.ts';
import { readCommandTimes, readSamples } from './samples.ts';
import type { CommandTimes } from './samples.ts';
import { stepsProgress } from './steps-progress.ts';
import { Interrupted } from './tool.ts';

const NETWORK = 127;
const BATCH = 32;
const COMMAND_SECONDS = 120;
/** Far beyond any plan; for the case that nobody is there to end a namespace. */
const LIFETIME_SECONDS = 3 * 3600;
/** A control-plane step that took so long is the last of its engine with that many endpoints; runs of one operation stop earlier. */
const SLOW_STEP_SECONDS = 45;
const SLOW_OPERATION_SECONDS = 15;

export interface NativeRun {
  readonly size: PlanSize;
  readonly engines: readonly MeasuredEngine[];
  /** They were asked for by name, and must work. Otherwise what the kernel lacks is left out, with a line that says so. */
  readonly named: boolean;
  /** The processor that packets are sent on. */
  readonly cpu: number;
  readonly rows: RowFile;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** The kernel lacks what was asked for, or all of it. */
export class KernelLacks extends Error {
  override readonly name = 'KernelLacks';
}

export interface NativeOutcome {
  /** Steps that failed; each has been told. */
  readonly failed: number;
}

/** Rejects with Interrupted, KernelLacks or CompilerError; rows so far are written. Whatever happens, nothing is left running. */
export async function measureNative(run: NativeRun): Promise<NativeOutcome> {
  const folder = mkdtempSync(join(tmpdir(), `chainwalk-measure-${process.pid}-`));
  const bench = new Bench(folder, run.cpu);
  const onAbort = (): void => void bench.close();
  run.signal.addEventListener('abort', onAbort, { once: true });
  try {
    await buildLoadPrograms(folder, ['packets', 'stopwatch'], 'dynamic', run.signal);
    const steps = planOf(run.size, await possibleEngines(bench, run));
    return await measureSteps(bench, steps, run);
  } catch (error) {
    // A namespace that was killed makes its command fail: the interrupt is the reason.
    throw run.signal.aborted ? new Interrupted() : error;
  } finally {
    run.signal.removeEventListener('abort', onAbort);
    await bench.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measureSteps(bench: Bench, steps: readonly Step[], run: NativeRun): Promise<NativeOutcome> {
  const progress = stepsProgress(
    steps.reduce((sum, step) => sum + expectedSeconds(step), 0),
    run.say,
  );
  const given = new Set<string>();
  let failed = 0;
  for (const step of steps) {
    if (given.has(familyOf(step))) continue;
    progress.begin(stepName(step), expectedSeconds(step));
    const begin = performance.now();
    try {
      await measureStep(bench, step, run.rows);
    } catch (error) {
      if (run.signal.aborted) throw error;
      failed++;
      given.add(familyOf(step));
      progress.say(`  failed, and larger ones are left out: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (step.kind === 'control' && performance.now() - begin > SLOW_STEP_SECONDS * 1000) given.add(familyOf(step));
  }
  return { failed };
}

/** Steps that differ in size alone. */
function familyOf(step: Step): string {
  switch (step.kind) {
    case 'baselines':
      return 'baselines';
    case 'control':
      return `${step.size.engine} control ${step.size.endpoints}`;
    default:
      return `${step.rules.engine} ${step.kind} ${step.rules.comments}`;
  }
}

async function measureStep(bench: Bench, step: Step, rows: RowFile): Promise<void> {
  switch (step.kind) {
    case 'baselines':
      return measureBaselines(bench, step, rows);
    case 'positions':
    case 'endpoints':
      return measurePackets(bench, step, rows);
    case 'control':
      return measureControl(bench, step, rows);
  }
}

/** One rule with a state makes the kernel track connections; a chain in the nat table registers its hooks. */
async function measureBaselines(bench: Bench, { engine }: BaselinesStep, rows: RowFile): Promise<void> {
  const { tracking, natHooks } = engine === 'nft' ? NFT_BASELINES : IPTABLES_BASELINES;
  await bench.renew();
  await bench.send(directPoints(NETWORK, 'none', ['flush=0']), rows, 'bare');
  await bench.load(LOADERS[engine], tracking);
  await bench.send(directPoints(NETWORK, 'conntrack'), rows);
  await bench.load(`${LOADERS[engine]}${engine === 'nft' ? '' : ' --noflush'}`, natHooks);
  await bench.send(directPoints(NETWORK, 'conntrack+nat'), rows);
}

const IPTABLES_BASELINES = {
  tracking: '*filter\n-A INPUT -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n',
  natHooks: '*nat\n:EMPTY - [0:0]\nCOMMIT\n',
};
const NFT_BASELINES = {
  tracking: `table ip baseline {
  chain input { type filter hook input priority 0; ct state new accept; }
  chain forward { type filter hook forward priority 0; }
  chain output { type filter hook output priority 0; }
}
`,
  natHooks: `table ip baseline {
  chain nat-prerouting { type nat hook prerouting priority -100; }
  chain nat-input { type nat hook input priority 100; }
  chain nat-output { type nat hook output priority -100; }
  chain nat-postrouting { type nat hook postrouting priority 100; }
}
`,
};

/** The bare namespace first, so that every ruleset has a baseline of its own time beside it. */
async function measurePackets(bench: Bench, step: PositionsStep | EndpointsStep, rows: RowFile): Promise<void> {
  const rules = ruleset(NETWORK, step.rules);
  await bench.renew();
  await bench.load(LOADERS[rules.engine], rules.text);
  await bench.send(directPoints(NETWORK, 'none', ['flush=0']), rows, 'bare');
  await bench.send(packetPoints(step, rules), rows);
}

function packetPoints(step: PositionsStep | EndpointsStep, rules: Ruleset): PacketPoint[] {
  if (step.kind === 'endpoints') return endpointPoints(NETWORK, rules, ENDPOINTS_EFFORT);
  const effort = nativeEffort(rules.services);
  return positionPoints(NETWORK, rules, { effort, evict: step.evict, manyFlows: step.manyFlows, naming: 'words' });
}

/** Many: each packet draws its endpoint. */
const ENDPOINTS_EFFORT = { packets: 8192, repeats: 5 };

async function measureControl(bench: Bench, { size }: ControlStep, rows: RowFile): Promise<void> {
  await bench.renew();
  for (const operation of controlOperations(NETWORK, size)) {
    const times: CommandTimes[] = [];
    let rulesEvaluated = 0;
    let seconds = 0;
    for (const control of operation.runs) {
      const taken = await bench.time(control);
      times.push(taken);
      rulesEvaluated = control.rulesWritten;
      seconds += taken.wall;
      if (seconds > SLOW_OPERATION_SECONDS) break;
    }
    for (const clock of ['wall', 'user', 'sys'] as const) {
      const summary = summaryOfRuns(times.map((each) => each[clock]));
      rows.add(controlPoint(size, operation, rulesEvaluated), summary, { name: `${clock}_s`, digits: 5 });
    }
    if (seconds > SLOW_STEP_SECONDS) return;
  }
}

function controlPoint(size: ControlSize, operation: ControlOperation, rulesEvaluated: number): Point {
  const { engine, services, endpoints } = size;
  const { name, comments } = operation;
  return {
    engine,
    mode: 'sync',
    services,
    endpoints,
    position: name,
    rulesEvaluated,
    statisticRules: 0,
    comments,
    variant: name,
  };
}

const LOADERS: Readonly<Record<PacketEngine, string>> = {
  'ipt-legacy': 'iptables-legacy-restore',
  'ipt-nft': 'iptables-nft-restore',
  nft: 'nft -f -',
};

/** Engines whose smallest rules this kernel takes, of those wanted. */
async function possibleEngines(bench: Bench, run: NativeRun): Promise<MeasuredEngine[]> {
  const possible: MeasuredEngine[] = [];
  const refusals: string[] = [];
  for (const engine of run.engines) {
    const refusal = await refusalOf(bench, engine);
    if (refusal === undefined) possible.push(engine);
    else refusals.push(`${engine} (${refusal})`);
  }
  if (refusals.length > 0 && (run.named || possible.length === 0)) {
    throw new KernelLacks(
      `this kernel cannot run ${refusals.join(', ')}: load the modules of netfilter (modprobe ip_tables nf_tables ip_set) or run a kernel that has them`,
    );
  }
  for (const refusal of refusals) run.say(`left out, for this kernel cannot run it: ${refusal}`);
  return possible;
}

/** What the tool said when it could not load a Service with two endpoints. */
async function refusalOf(bench: Bench, engine: MeasuredEngine): Promise<string | undefined> {
  await bench.renew();
  try {
    if (engine === 'ipset') await bench.load('ipset restore', ipvsRuleset(NETWORK, 1, 1).sets);
    else if (engine !== 'ipvs') {
      await bench.load(LOADERS[engine], ruleset(NETWORK, { engine, services: 1, endpoints: 2, comments: true }).text);
    }
    return undefined;
  } catch (error) {
    if (bench.isClosed) throw error;
    return error instanceof Error ? error.message.split('\n')[0] : String(error);
  }
}

/** What the command prints; throws where it fails, by its `name`. */
async function succeed(session: NamespaceSession, command: string, name = command): Promise<string> {
  const { status, stdout, stderr } = await session.run(command, COMMAND_SECONDS);
  if (status !== 0) throw new Error(`${name} ended with ${status}: ${stderr.trim().slice(0, 300)}`);
  return stdout;
}

/** The two namespaces, and the files that go in and out of them. */
class Bench {
  readonly #folder: string;
  readonly #cpu: number;
  #bare: NamespaceSession | undefined;
  #ruled: NamespaceSession | undefined;
  #sessions = 0;
  isClosed = false;

  constructor(folder: string, cpu: number) {
    this.#folder = folder;
    this.#cpu = cpu;
  }

  /** Another namespace for rules, in the place of the one before. */
  async renew(): Promise<void> {
    await this.#ruled?.close();
    this.#ruled = this.#open();
  }

  /** Rules from text; waits until the kernel has come to rest. */
  async load(command: string, text: string): Promise<void> {
    writeFileSync(join(this.#folder, INPUT), text);
    const begin = performance.now();
    await succeed(this.#ruledSession(), `${command} < ${INPUT}`, command);
    await pause(performance.now() - begin < 500 ? 100 : 500);
  }

  async send(points: readonly PacketPoint[], rows: RowFile, where: 'ruled' | 'bare' = 'ruled'): Promise<void> {
    const session = where === 'ruled' ? this.#ruledSession() : (this.#bare ??= this.#open());
    for (const { point, load } of points) {
      const command = ['./packets', ...load, `cpu=${this.#cpu}`, `batch=${BATCH}`].join(' ');
      rows.add(point, readSamples(await succeed(session, command)).summary, NANOSECONDS);
    }
  }

  async time({ untimed, command, input }: ControlRun): Promise<CommandTimes> {
    if (untimed !== undefined) {
      writeFileSync(join(this.#folder, INPUT), untimed.input);
      await succeed(this.#ruledSession(), `${untimed.command} < ${INPUT}`, untimed.command);
    }
    writeFileSync(join(this.#folder, INPUT), input);
    return readCommandTimes(await succeed(this.#ruledSession(), `./stopwatch ${INPUT} ${command}`, command));
  }

  /** Ends all that runs; nothing is opened afterwards. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all([this.#ruled?.close(), this.#bare?.close()]);
  }

  #ruledSession(): NamespaceSession {
    return (this.#ruled ??= this.#open());
  }

  #open(): NamespaceSession {
    if (this.isClosed) throw new Error('the measurement has ended');
    return new NamespaceSession(this.#folder, `session-${this.#sessions++}`, LIFETIME_SECONDS);
  }
}

const INPUT = 'input';
