/** `chainwalk validate`: a profile against measured rows, the error of each, and one line for each engine and mode. */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pc from 'picocolors';
import { significant } from '../../costs/calibrate.ts';
import { heldOutValidations } from '../../costs/held-out.ts';
import type { HeldOut } from '../../costs/held-out.ts';
import { notModelled } from '../../costs/not-modelled.ts';
import { validateProfile } from '../../costs/validate.ts';
import type { ErrorSummary, Validation } from '../../costs/validate.ts';
import type { CostProfile } from '../../model/profile.ts';
import { InputError } from '../../scenarios/errors.ts';
import { loadProfile } from '../../scenarios/load-profile.ts';
import { poolExecutor } from '../executor.ts';
import { EXIT_CHECK_FAILED } from '../exit-codes.ts';
import { projectRoot } from '../host.ts';
import { withInterrupt } from '../interrupt.ts';
import { readMeasuredFiles } from '../measured-file.ts';
import { assertWritable } from '../output-folder.ts';
import { publishedReport } from '../published-report.ts';
import { alignedTable } from '../text-table.ts';
import { percent, signedPercent, summaryLine } from '../validation-text.ts';

interface ValidateFlags {
  /** True without a file: the points that come with chainwalk alone. */
  readonly published?: true | readonly string[];
  readonly workers: number;
  readonly measured?: readonly string[];
  readonly profile: string;
  readonly json?: boolean;
  readonly heldOut?: boolean;
  readonly out?: string;
  readonly maxMedian?: number;
  readonly minCoverage?: number;
}

export async function validateCommand(flags: ValidateFlags): Promise<void> {
  if (flags.published !== undefined) {
    if (flags.measured !== undefined) {
      throw new InputError('--measured and --published are two questions; expected one of them.');
    }
    await validatePublished(flags.published === true ? [] : flags.published, flags);
    return;
  }
  if (flags.measured === undefined) {
    throw new InputError(
      'Nothing to validate against; expected --measured FILE.csv with rows of `chainwalk measure`, or --published.',
    );
  }
  const profile = loadProfile(flags.profile);
  if (flags.out !== undefined) assertWritable(dirname(flags.out), '--out');
  const rows = readMeasuredFiles(flags.measured);
  const validation = validateProfile(profile, rows);
  const heldOut = flags.heldOut === true ? heldOutValidations(profile, rows) : [];
  const all = { profile, validation, heldOut };
  process.stdout.write(
    flags.json === true
      ? `${JSON.stringify(toJson(all), null, 2)}
`
      : toText(all),
  );
  if (flags.out !== undefined)
    writeFileSync(
      flags.out,
      `${JSON.stringify(summaryDocument(all), null, 2)}
`,
    );
  const failures = failedBounds(validation.overall, flags);
  for (const failure of failures) process.stderr.write(`${pc.red('failed:')} ${failure}\n`);
  if (failures.length > 0) process.exitCode = EXIT_CHECK_FAILED;
}

/** Points of publications, those that numbers were fitted to and those that were not; some of them need trials. */
async function validatePublished(files: readonly string[], { workers, json, maxMedian }: ValidateFlags): Promise<void> {
  const executor = poolExecutor(join(projectRoot(), 'dist', 'runner', 'worker.js'), workers);
  const report = await withInterrupt((signal) =>
    publishedReport(files, { executor, signal, stream: process.stderr, json: json === true }),
  ).finally(() => executor.close());
  process.stdout.write(report.text);
  for (const { source, metric, error_ratio: error } of report.failures) {
    const how = error === null ? 'has no prediction' : `is off by ${signedPercent(error)}`;
    process.stderr.write(
      `${pc.red('failed:')} ${metric} of ${source} ${how}, though it is a point to calibrate with\n`,
    );
  }
  const worst = Math.max(...report.summaries.map(({ median }) => 100 * (median ?? 0)));
  const isFar = maxMedian !== undefined && worst > maxMedian;
  if (isFar) process.stderr.write(`${pc.red('failed:')} a median |error| is above --max-median ${maxMedian} %\n`);
  if (report.failures.length > 0 || isFar) process.exitCode = EXIT_CHECK_FAILED;
}

function failedBounds(overall: ErrorSummary, { maxMedian, minCoverage }: ValidateFlags): string[] {
  const failures: string[] = [];
  const median = 100 * (overall.medianErrorRatio ?? Infinity);
  if (maxMedian !== undefined && median > maxMedian) {
    failures.push(`median |error| is ${percent(overall.medianErrorRatio)}, above --max-median ${maxMedian} %`);
  }
  const coverage = overall.of === 0 ? 0 : (100 * overall.rows) / overall.of;
  if (minCoverage !== undefined && coverage < minCoverage) {
    failures.push(`${significant(coverage, 4)} % of the rows are predicted, below --min-coverage ${minCoverage} %`);
  }
  return failures;
}

/** What is shown of a profile: its errors on all rows, and on rows that were held out of fits. */
interface Validated {
  readonly profile: CostProfile;
  readonly validation: Validation;
  readonly heldOut: readonly HeldOut[];
}

function toText({ validation, heldOut }: Validated): string {
  const { judged, listed, unpredicted } = validation;
  const parts = [
    alignedTable(
      ['row', 'unit', 'measured', 'predicted', 'error'],
      judged.map((each) => [
        each.point,
        each.unit,
        String(significant(each.measured, 5)),
        String(significant(each.predicted, 5)),
        signedPercent(each.errorRatio),
      ]),
    ),
  ];
  if (listed.length > 0) {
    const rows = listed.map((each) => [
      each.point,
      each.unit,
      String(significant(each.measured, 5)),
      String(significant(each.predicted, 5)),
      each.reason,
    ]);
    parts.push(`Listed, not judged:\n${alignedTable(['row', 'unit', 'measured', 'predicted', 'reason'], rows)}`);
  }
  if (unpredicted.length > 0) {
    const rows = unpredicted.map((each) => [each.point, each.row.place, each.reason]);
    parts.push(`Not predicted:\n${alignedTable(['row', 'place', 'reason'], rows)}`);
  }
  for (const split of heldOut) {
    const { name, fitted, tested, unidentified } = split;
    const open = unidentified.length === 0 ? '' : ` (taken from the profile: ${unidentified.join(', ')})`;
    parts.push(
      `Held out ${name}: fitted to ${fitted} rows, tested on ${tested}${open}\n${summaryLines(split.validation)}`,
    );
  }
  return `${parts.join('\n')}\n${summaryLines(validation)}`;
}

/** One line for each engine and mode, and one overall. */
function summaryLines({ groups, overall }: Validation): string {
  const lines = groups.map((group) => `${group.engine} ${group.mode}: ${summaryLine(group)}\n`);
  return `${lines.join('')}overall: ${summaryLine(overall)}\n`;
}

/** For a file that is kept: no digits that nobody reads. */
function rounded(summary: ErrorSummary) {
  const digits = (ratio: number | null): number | null => (ratio === null ? null : significant(ratio));
  return summaryJson({
    ...summary,
    medianErrorRatio: digits(summary.medianErrorRatio),
    p90ErrorRatio: digits(summary.p90ErrorRatio),
    maxErrorRatio: digits(summary.maxErrorRatio),
  });
}

function summaryJson(summary: ErrorSummary) {
  return {
    rows: summary.rows,
    of: summary.of,
    judged: summary.judged,
    median_error_ratio: summary.medianErrorRatio,
    p90_error_ratio: summary.p90ErrorRatio,
    max_error_ratio: summary.maxErrorRatio,
  };
}

/** The file beside a profile that reports show: errors by engine and mode, without the rows. */
function summaryDocument({ profile, validation, heldOut }: Validated) {
  const splits = [
    { name: 'all rows', validation },
    ...heldOut.map((split) => ({ name: `held out: ${split.name}`, validation: split.validation })),
  ];
  return {
    profile: profile.name,
    splits: splits.map(({ name, validation: { groups, overall } }) => ({
      name,
      groups: groups.map(({ engine, mode, ...summary }) => ({ engine, mode, ...rounded(summary) })),
      overall: rounded(overall),
    })),
    not_modelled: notModelled(profile),
  };
}

function toJson({ profile, validation, heldOut }: Validated) {
  const { judged, listed, unpredicted, groups, overall } = validation;
  const row = ({ row: r, point }: Validation['unpredicted'][number]) => ({
    place: r.place,
    point,
    engine: r.engine,
    mode: r.mode,
    services: r.services,
    endpoints_per_service: r.endpointsPerService,
    position: r.position,
    comments: r.comments,
    variant: r.variant,
  });
  return {
    profile: profile.name,
    rows: judged.map((each) => ({
      ...row({ ...each, reason: '' }),
      unit: each.unit,
      measured: each.measured,
      predicted: each.predicted,
      error_ratio: each.errorRatio,
    })),
    listed: listed.map((each) => ({
      ...row(each),
      unit: each.unit,
      measured: each.measured,
      predicted: each.predicted,
      reason: each.reason,
    })),
    not_predicted: unpredicted.map((each) => ({ ...row(each), reason: each.reason })),
    groups: groups.map(({ engine, mode, ...summary }) => ({ engine, mode, ...summaryJson(summary) })),
    overall: summaryJson(overall),
    ...(heldOut.length === 0
      ? {}
      : {
          held_out: heldOut.map((split) => ({
            name: split.name,
            fitted: split.fitted,
            tested: split.tested,
            unidentified: split.unidentified,
            groups: split.validation.groups.map(({ engine, mode, ...each }) => ({
              engine,
              mode,
              ...summaryJson(each),
            })),
            overall: summaryJson(split.validation.overall),
          })),
        }),
  };
}
