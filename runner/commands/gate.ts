/** `chainwalk gate`: a quick run of each default experiment, compared exactly with its baseline; or new baselines with a reason. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../../scenarios/errors.ts';
import { EXIT_CHECK_FAILED, EXIT_FAILED_TRIALS, EXIT_INTERRUPTED } from '../exit-codes.ts';
import {
  type Baseline,
  compareAll,
  formatDifference,
  readBaselines,
  readObservations,
  writeBaseline,
} from '../gate.ts';
import { projectRoot } from '../host.ts';
import { withInterrupt } from '../interrupt.ts';
import { assertWritable } from '../output-folder.ts';
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
  const folder = flags.baselines ?? join(projectRoot(), 'baselines');
  if (flags.update === true) {
    if ((flags.reason ?? '').trim() === '')
      throw new InputError('--update needs --reason TEXT: why the numbers change');
    if (flags.results !== undefined) {
      throw new InputError(
        '--update makes its own quick run, so that later gates can repeat it; it takes no --results',
      );
    }
    assertWritable(folder, '--baselines');
    await quickRun(flags.workers, (results, names) => {
      const rows = names.map((name) => readObservations(join(results, name)));
      names.forEach((name, i) => {
        writeBaseline(folder, name, flags.reason ?? '', rows[i] ?? []);
        process.stdout.write(`updated ${join(folder, `${name}.json`)}\n`);
      });
    });
    return;
  }
  const baselines = readBaselines(folder);
  if (flags.results !== undefined) {
    compare(
      baselines,
      flags.results,
      baselines.map((baseline) => baseline.experiment),
    );
  } else {
    await quickRun(flags.workers, (results, names) => compare(baselines, results, names));
  }
}

/** Runs the default experiments at quick size in a folder of their own, hands it on, and removes it. */
async function quickRun(workers: number, use: (results: string, names: readonly string[]) => void): Promise<void> {
  const plans = loadExperiments([], { quick: true }).map(planSweep);
  const out = mkdtempSync(join(tmpdir(), 'chainwalk-gate-'));
  try {
    const { finished, interrupted } = await withInterrupt(async (signal) => {
      const finished = await runSweep(plans, {
        out,
        workers,
        command: 'chainwalk gate',
        signal,
        stream: process.stderr,
        report: false,
      });
      return { finished, interrupted: signal.aborted };
    });
    const failed = finished.reduce((sum, result) => sum + result.failed, 0);
    if (interrupted) process.exitCode = EXIT_INTERRUPTED;
    else if (failed > 0) {
      process.stderr.write(`${failed} trials of the quick run failed: nothing was compared or updated\n`);
      process.exitCode = EXIT_FAILED_TRIALS;
    } else {
      use(
        out,
        plans.map((plan) => plan.experiment.name),
      );
    }
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

function compare(baselines: readonly Baseline[], results: string, names: readonly string[]): void {
  const differences = compareAll(
    baselines,
    new Map(names.map((name) => [name, readObservations(join(results, name))])),
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
