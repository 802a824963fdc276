/** `chainwalk gate`: a quick run of each experiment that has a baseline, compared exactly; or new baselines with a reason. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../../scenarios/errors.ts';
import { EXIT_CHECK_FAILED } from '../exit-codes.ts';
import { compareWithBaseline, formatDifference, readBaselines, readObservations, writeBaseline } from '../gate.ts';
import { projectRoot } from '../host.ts';
import { planSweep } from '../sweep-plan.ts';
import { runSweep } from '../sweep.ts';
import { loadExperiments } from './experiments.ts';

interface GateFlags {
  readonly results?: string;
  readonly baselines?: string;
  readonly update?: boolean;
  readonly reason?: string;
  readonly workers: number;
}

export async function gateCommand(flags: GateFlags): Promise<void> {
  if (flags.update === true && (flags.reason ?? '').trim() === '') {
    throw new InputError('--update needs --reason TEXT: why the numbers change');
  }
  const baselineFolder = flags.baselines ?? join(projectRoot(), 'baselines');
  if (flags.results !== undefined) {
    settle(flags, baselineFolder, flags.results);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'chainwalk-gate-'));
  try {
    await quickRun(folder, flags.workers);
    settle(flags, baselineFolder, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function quickRun(out: string, workers: number): Promise<void> {
  const plans = loadExperiments([], { quick: true }).map(planSweep);
  await runSweep(plans, {
    out,
    workers,
    command: 'chainwalk gate',
    signal: new AbortController().signal,
    stream: process.stderr,
    report: false,
  });
}

function settle(flags: GateFlags, baselineFolder: string, results: string): void {
  if (flags.update === true) {
    mkdirSync(baselineFolder, { recursive: true });
    for (const { name } of loadExperiments([], { quick: true })) {
      writeBaseline(baselineFolder, name, flags.reason ?? '', readObservations(join(results, name)));
      process.stdout.write(`updated ${join(baselineFolder, `${name}.json`)}\n`);
    }
    return;
  }
  const baselines = readBaselines(baselineFolder);
  const differences = baselines.flatMap((baseline) =>
    compareWithBaseline(baseline, readObservations(join(results, baseline.experiment))),
  );
  for (const difference of differences.slice(0, 50)) {
    process.stdout.write(`${formatDifference(difference, differences)}\n`);
  }
  if (differences.length > 50) process.stdout.write(`... and ${differences.length - 50} more\n`);
  const trials = baselines.reduce((sum, baseline) => sum + baseline.trials.length, 0);
  if (differences.length > 0) {
    process.stdout.write(
      `changed: ${differences.length} values differ from the baselines (${trials} trials compared)\n`,
    );
    process.exitCode = EXIT_CHECK_FAILED;
  } else {
    process.stdout.write(
      `passed: ${trials} trials of ${baselines.length} experiments equal their baselines in every value\n`,
    );
  }
}
