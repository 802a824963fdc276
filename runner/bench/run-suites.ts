/** Runs suites one after the other, each in a fresh process: no suite meets code that another has warmed up or memory that it has left. */
import { join } from 'node:path';
import { formatNs, formatNumber } from '../../reports/charts/words.ts';
import type { HostRow } from '../../reports/host-time.ts';
import { hostSeconds, projectRoot, startNode } from '../host.ts';
import type { BenchSize, JobRun, Missing } from './run-suite.ts';
import type { GrowthBar } from './suite.ts';
import type { SuiteMessage } from './suite-process.ts';

export interface SuitesRun {
  readonly suites: {
    readonly name: string;
    readonly question: string;
    readonly growthBars: readonly GrowthBar[];
    readonly seconds: number;
  }[];
  readonly rows: HostRow[];
  readonly missing: Missing[];
  /** Contenders that do not agree, peers that fail, bugs: a line or a stack each. */
  readonly failures: string[];
}

export interface SuitesOptions {
  readonly size: BenchSize;
  readonly signal: AbortSignal;
  /** Of Node, before the module: of a profile. */
  readonly nodeFlags?: readonly string[];
  /** Our contender alone. */
  readonly ourselves?: boolean;
  readonly say: (line: string) => void;
}

/** Never two at once. A suite that fails leaves the others alone; `onSuite` is told after each. */
export async function runSuites(
  names: readonly string[],
  options: SuitesOptions,
  onSuite: (run: SuitesRun) => void,
): Promise<SuitesRun> {
  const run: SuitesRun = { suites: [], rows: [], missing: [], failures: [] };
  for (const name of names) {
    if (options.signal.aborted) break;
    const start = hostSeconds();
    const told = await runProcess(name, options, run);
    run.suites.push({ name, ...told, seconds: Math.round((hostSeconds() - start) * 10) / 10 });
    onSuite(run);
  }
  return run;
}

/** What a suite says of itself. */
interface Told {
  readonly question: string;
  readonly growthBars: readonly GrowthBar[];
}

/** Adds to `run` what the process of a suite tells of jobs, and gives what it tells of itself. */
function runProcess(name: string, options: SuitesOptions, run: SuitesRun): Promise<Told> {
  const { size, signal, nodeFlags = [], ourselves = false, say } = options;
  // Compiled code, also when a test runs this from the sources: hot loops are not the same in the test runner.
  const module = join(projectRoot(), 'dist', 'runner', 'bench', 'suite-process.js');
  const child = startNode(module, [name, size, ...(ourselves ? ['ourselves'] : [])], {
    execArgv: ['--expose-gc', ...nodeFlags],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const stop = (): void => void child.kill();
  signal.addEventListener('abort', stop);
  let told: Told = { question: '', growthBars: [] };
  let failed = false;
  const fail = (reason: string): void => {
    failed = true;
    run.failures.push(reason);
    say(`error: ${reason}`);
  };
  child.on('message', (message: SuiteMessage) => {
    switch (message.kind) {
      case 'suite':
        told = { question: message.question, growthBars: message.growthBars };
        break;
      case 'job':
        run.rows.push(...message.run.rows);
        run.missing.push(...message.run.missing);
        say(jobLine(message.job, message.run));
        break;
      default:
        fail(message.reason);
    }
  });
  return new Promise((done, error) => {
    child.on('error', error);
    child.on('close', (code, killedBy) => {
      signal.removeEventListener('abort', stop);
      if (code !== 0 && !failed && !signal.aborted)
        fail(`The process of the suite "${name}" ended with ${killedBy ?? `exit code ${code}`}`);
      done(told);
    });
  });
}

/** "queue, exponential, 1000 pending events: 61 ns; 0.71 x std::priority_queue (4.2 s)". */
function jobLine(job: string, { rows, seconds }: JobRun): string {
  const [ours, ...others] = rows;
  const ratios = others.map(({ contender, median_ratio }) => `${formatNumber(median_ratio ?? 0)} x ${contender}`);
  const time = formatNs(ours.operation_median_ns).replace('\u00a0', ' ');
  return `${job}: ${[time, ...ratios].join('; ')} (${seconds.toFixed(1)} s)`;
}
