/** `chainwalk sweep`: runs experiments, then prints what they showed and where the report is. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import pc from 'picocolors';
import { findingsTable } from '../findings-table.ts';
import { EXIT_FAILED_TRIALS, EXIT_INTERRUPTED } from '../exit-codes.ts';
import { withInterrupt } from '../interrupt.ts';
import { planSweep } from '../sweep-plan.ts';
import { runSweep, type ExperimentResult } from '../sweep.ts';
import { loadExperiments, type ScenarioOptions } from './experiments.ts';

interface SweepFlags extends ScenarioOptions {
  readonly out: string;
  readonly workers: number;
  readonly report: boolean;
}

export async function sweepCommand(files: string[], flags: SweepFlags): Promise<void> {
  const plans = loadExperiments(files, flags).map(planSweep);
  const { results, interrupted } = await withInterrupt(async (signal) => {
    const results = await runSweep(plans, {
      out: flags.out,
      workers: flags.workers,
      command: `chainwalk ${process.argv.slice(2).join(' ')}`,
      signal,
      stream: process.stderr,
      report: flags.report,
    });
    return { results, interrupted: signal.aborted };
  });
  printFindings(results);
  const failed = results.reduce((sum, result) => sum + result.failed, 0);
  if (failed > 0)
    process.stdout.write(`\n${pc.red(`${failed} trials failed`)}: see status and failure_reason in observations.csv\n`);
  const report = join(flags.out, 'report.html');
  if (flags.report && existsSync(report)) process.stdout.write(`\nReport: ${report}\n`);
  if (interrupted) {
    process.stderr.write('Interrupted: the results hold what had finished.\n');
    process.exitCode = EXIT_INTERRUPTED;
  } else if (failed > 0) process.exitCode = EXIT_FAILED_TRIALS;
}

function printFindings(results: readonly ExperimentResult[]): void {
  for (const result of results) {
    process.stdout.write(`\n${pc.bold(result.experiment)}  ${result.folder}\n`);
    for (const finding of result.findings) process.stdout.write(`  - ${finding.text}\n`);
  }
  const summaries = results.map((result) => result.summary).filter((summary) => summary.length > 0);
  if (summaries.length > 0) process.stdout.write(`\n${findingsTable(summaries)}\n`);
}
