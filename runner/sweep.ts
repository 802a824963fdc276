/** `sweep`: runs experiments one after another and leaves a results folder for each, then the report over all. */
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { statedRanges } from '../costs/range.ts';
import type { CostProfile } from '../model/profile.ts';
import { formatSummary, type SummaryRow } from '../reports/csv.ts';
import { renderExperiment, renderIndex } from '../reports/html/report.ts';
import { writeFileAtomic } from '../reports/results.ts';
import type { Validation } from '../reports/validation.ts';
import { ownAxes } from './columns.ts';
import { poolExecutor, type Executor, type TrialOutcome } from './executor.ts';
import { findingsOf, type Finding } from './findings.ts';
import { commit, hostSeconds, machine, projectRoot, versions } from './host.ts';
import { Journal } from './journal.ts';
import { axisColumns } from './observe.ts';
import { assertWritable } from './output-folder.ts';
import { readValidation } from './profile-validation.ts';
import { startProgress } from './progress.ts';
import { referencesOf } from './reference-rows.ts';
import { readSite } from './site.ts';
import { summarize } from './summarize.ts';
import { expectedSeconds, type SweepPlan, type Trial } from './sweep-plan.ts';

export interface SweepOptions {
  readonly out: string;
  /** Worker threads, at least 1. */
  readonly workers: number;
  /** As typed, for the record. */
  readonly command: string;
  readonly signal: AbortSignal;
  readonly stream: NodeJS.WriteStream;
  /** Skips charts and HTML. */
  readonly report: boolean;
}

export interface ExperimentResult {
  readonly experiment: string;
  readonly folder: string;
  readonly findings: readonly Finding[];
  readonly summary: readonly SummaryRow[];
  readonly failed: number;
}

export async function runSweep(plans: readonly SweepPlan[], options: SweepOptions): Promise<ExperimentResult[]> {
  assertWritable(options.out, '--out');
  // A report over experiments that this sweep is about to replace would be out of date.
  rmSync(join(options.out, 'report.html'), { force: true });
  const trials = plans.flatMap((plan) => plan.trials);
  const progress = startProgress(
    trials.length,
    trials.reduce((sum, trial) => sum + expectedSeconds(trial), 0),
    options.stream,
  );
  // One pool for all experiments: its threads load their modules once, and what they have compiled stays.
  const threads = Math.min(options.workers, Math.max(...plans.map((plan) => plan.trials.length)));
  const executor = poolExecutor(join(projectRoot(), 'dist', 'runner', 'worker.js'), threads);
  const results: ExperimentResult[] = [];
  try {
    for (const plan of plans) {
      if (options.signal.aborted) break;
      results.push(await runExperiment(plan, executor, options, progress));
    }
  } finally {
    progress.stop();
    await executor.close();
  }
  if (options.report && results.length > 0) {
    await renderIndex(
      options.out,
      results.map((result) => result.folder),
      readSite(),
    );
  }
  return results;
}

async function runExperiment(
  plan: SweepPlan,
  executor: Executor,
  options: SweepOptions,
  progress: ReturnType<typeof startProgress>,
): Promise<ExperimentResult> {
  const { experiment, trials } = plan;
  const start = hostSeconds();
  // Read before any trial runs: a file that is wrong should not cost a sweep.
  const validation = validationOf(plan);
  const folder = join(options.out, experiment.name);
  const axisNames = ownAxes(trials[0]?.values ?? {});
  const units = [...new Set(trials.map((trial) => trial.point.profile.unit))];
  const hasRig = trials.some(({ point }) => point.profile.unit === 'ns' && point.profile.rig !== undefined);
  const journal = new Journal(folder, axisNames, { units, hasRig });
  const failures: FailureNote[] = [];
  const onOutcome = (outcome: TrialOutcome): void => {
    const { trial } = outcome;
    if (outcome.status === 'ok') journal.append(outcome.result);
    else {
      const failure = noteOf(trial, outcome.reason);
      failures.push(failure);
      journal.append({ index: trial.index, observation: failedRow(trial, outcome.reason), timeline: [] });
      progress.say(`Failed: ${experiment.name} ${describe(trial)}: ${outcome.reason}`);
    }
    progress.done(`${experiment.name} ${describe(trial)}`, expectedSeconds(trial));
  };
  await executor.run(byExpectedTime(trials), onOutcome, options.signal);
  journal.finish();
  const observations = journal.observations();
  const summary = summarize(observations, axisNames, hasRig);
  writeFileAtomic(join(folder, 'summary.csv'), formatSummary(summary, axisNames));
  const findings = findingsOf(summary, experiment.engines, journal.timeline(), trials[0]?.point.churn);
  failures.sort((a, b) => a.trial - b.trial);
  const manifest = {
    ...manifestOf(plan, options, findings),
    ...(validation === undefined ? {} : { validation }),
    references: referencesOf(experiment, summary),
    elapsed_s: Number((hostSeconds() - start).toFixed(1)),
    status: options.signal.aborted ? 'interrupted' : 'complete',
    trials: { total: trials.length, ok: observations.length - failures.length, failed: failures.length },
    failures,
  };
  writeFileAtomic(join(folder, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  if (options.report && summary.length > 0) await renderExperiment(folder, readSite());
  return { experiment: experiment.name, folder, findings, summary, failed: failures.length };
}

interface FailureNote {
  readonly trial: number;
  readonly services: unknown;
  readonly engine: string;
  readonly replication: number;
  readonly reason: string;
}

function noteOf(trial: Trial, reason: string): FailureNote {
  return {
    trial: trial.index,
    services: servicesOf(trial),
    engine: trial.engine,
    replication: trial.replication,
    reason,
  };
}

/** A failed trial is a row, too: what it was and why it failed, no metric. */
function failedRow(trial: Trial, reason: string) {
  const { cluster } = trial.point;
  return {
    experiment: trial.experiment,
    engine: trial.engine,
    profile: trial.point.profile.name,
    services: servicesOf(trial),
    endpoints_per_service: cluster.kind === 'synthetic' ? cluster.endpointsPerService : null,
    replication: trial.replication,
    seed: trial.seed,
    status: 'failed',
    ...axisColumns(trial),
    failure_reason: reason,
  };
}

function servicesOf(trial: Trial): number | null {
  const { cluster } = trial.point;
  return cluster.kind === 'synthetic' ? cluster.services : null;
}

function describe(trial: Trial): string {
  const values = Object.entries(trial.values).map(([name, value]) => `${name}=${value}`);
  return [...values, trial.engine, `#${trial.replication}`].join(' ');
}

/** Longest first, so that no worker is left alone with a large trial at the end; ties in the plan's order. */
function byExpectedTime(trials: readonly Trial[]): Trial[] {
  return [...trials].sort((a, b) => expectedSeconds(b) - expectedSeconds(a) || a.index - b.index);
}

function manifestOf(plan: SweepPlan, options: SweepOptions, findings: readonly Finding[]) {
  const { experiment, trials } = plan;
  const text = experiment.canonicalText;
  const profile = trials[0]?.point.profile;
  return {
    experiment: experiment.name,
    question: experiment.question,
    scenario_file: experiment.file,
    scenario_text: text,
    scenario_sha256: createHash('sha256').update(text).digest('hex'),
    seed: experiment.seed,
    commit: commit(),
    versions: versions(),
    machine: machine(),
    command: options.command,
    workers: options.workers,
    axes: experiment.axes,
    engines: experiment.engines,
    replications: experiment.replications,
    profile: profileNote(profile),
    findings,
    warnings: experiment.warnings,
  };
}

/** What was measured on which kernel. */
function profileSources(profile: CostProfile): string[] {
  const measured = `${profile.kernel}; ${profile.nftVersion}`;
  if (profile.unit === 'instructions') return [`instructions: ${measured}`];
  return [`iptables, nftables: ${measured}`, `IPVS: ${profile.ipvsBridge.from.kernel}`];
}

function profileNote(profile: CostProfile | undefined) {
  if (profile === undefined) return { name: '' };
  return {
    name: profile.name,
    title: profile.description,
    sources: profileSources(profile),
    ranges: statedRanges(profile),
  };
}

/** The errors of the first point's profile, where it was validated. */
function validationOf({ experiment, trials }: SweepPlan): Validation | undefined {
  const file = experiment.profileFiles.get(trials[0]?.point.profile.name ?? '');
  return file === undefined ? undefined : readValidation(file);
}
