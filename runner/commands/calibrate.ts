/** `chainwalk calibrate`: a profile fitted to measured rows, written as YAML. */
import { basename, dirname, resolve } from 'node:path';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { calibrate, significant } from '../../costs/calibrate.ts';
import type { Calibration } from '../../costs/calibrate.ts';
import { predictRow } from '../../costs/predict-row.ts';
import type { MeasuredRow } from '../../costs/measured-row.ts';
import { validateProfile } from '../../costs/validate.ts';
import type { CostProfile } from '../../model/profile.ts';
import { InputError, quote } from '../../scenarios/errors.ts';
import { loadProfile } from '../../scenarios/load-profile.ts';
import { profileText, yamlPath } from '../../scenarios/profile-document.ts';
import { readMeasuredFiles } from '../measured-file.ts';
import { assertWritable } from '../output-folder.ts';
import { alignedTable } from '../text-table.ts';
import { summaryLine } from '../validation-text.ts';

interface CalibrateFlags {
  readonly measured?: readonly string[];
  readonly out?: string;
  readonly base?: string;
  readonly name?: string;
  readonly l2Bytes?: number;
}

const DEFAULT_BASES = { ns: 'linux-6.18-native', instructions: 'linux-6.1-instructions' } as const;

export function calibrateCommand(flags: CalibrateFlags): void {
  if (flags.measured === undefined) {
    throw new InputError('Nothing to calibrate to; expected --measured FILE.csv with rows of `chainwalk measure`.');
  }
  const out = outputPath(flags.out);
  const rows = readMeasuredFiles(flags.measured);
  const base = baseProfile(flags, rows);
  const files = flags.measured.map((path) => basename(path)).join(', ');
  const found = calibrate(base, rows, files);
  assertIdentified(found, base, flags.base);
  const name = flags.name ?? basename(out).replace(/\.ya?ml$/, '');
  const sources = [...new Set(rows.map((row) => row.source))].sort((a, b) => (a < b ? -1 : 1));
  const profile: CostProfile = {
    ...found.profile,
    name,
    description: `Calibrated to ${files} (${sources.join(', ')}); numbers that no row tells are those of ${base.name}.`,
    kernel: sources.join(', '),
    cpuModel: '',
  };
  const text = profileText(profile);
  // What sweeps will read: a profile that cannot be read must not take an older one's place.
  loadProfile(resolve(out), (path) => (path === resolve(out) ? text : readFileSync(path)));
  const temporary = `${out}.partial`;
  writeFileSync(temporary, text);
  renameSync(temporary, out);
  process.stdout.write(report(found, profile, base, rows, out));
}

function outputPath(out: string | undefined): string {
  if (out === undefined) throw new InputError('--out is missing; expected --out PROFILE.yaml for the new profile.');
  if (!/\.ya?ml$/.test(out)) throw new InputError(`--out ${quote(out)} must end in .yaml, as profiles do.`);
  assertWritable(dirname(out), '--out');
  return out;
}

function baseProfile(flags: CalibrateFlags, rows: readonly MeasuredRow[]): CostProfile {
  const units = new Set(rows.filter((row) => row.unit.endsWith('/packet')).map((row) => row.unit));
  if (units.size > 1) {
    throw new InputError(
      `The rows are of two kinds, ${[...units].join(' and ')}; expected files of one kind. Calibrate a profile for each.`,
    );
  }
  const unit = units.has('instructions/packet') ? 'instructions' : 'ns';
  const base = loadProfile(flags.base ?? DEFAULT_BASES[unit]);
  if (base.unit !== unit) {
    throw new InputError(
      `--base ${quote(base.name)} is a profile in ${base.unit}; the rows are in ${unit}. Expected one such as ${DEFAULT_BASES[unit]}.`,
    );
  }
  if (!rows.some((row) => 'value' in predictRow(base, row))) {
    throw new InputError('None of the rows is of an engine, mode and unit that a profile has numbers for.');
  }
  if (flags.l2Bytes === undefined) return base;
  const bytes = flags.l2Bytes;
  const l2Bytes = { value: bytes, low: bytes, high: bytes, source: 'given as --l2-bytes' };
  return { ...base, cache: { ...base.cache, l2Bytes } };
}

/** Numbers that the rows of an engine leave open are only taken from elsewhere when somebody says so. */
function assertIdentified(found: Calibration<CostProfile>, base: CostProfile, given: string | undefined): void {
  if (found.unidentified.length === 0 || given !== undefined) return;
  const lines = found.unidentified.map(
    ({ path, block, needs }) => `  ${yamlPath(path, base.unit)} (${block}): needs ${needs}`,
  );
  throw new InputError(
    `The rows cannot tell ${found.unidentified.length === 1 ? 'a number' : `${found.unidentified.length} numbers`} of the profile:\n` +
      `${lines.join('\n')}\n` +
      `Measure such rows too, or take these numbers from another profile with --base ${base.name}.`,
  );
}

function report(
  found: Calibration<CostProfile>,
  profile: CostProfile,
  base: CostProfile,
  rows: readonly MeasuredRow[],
  out: string,
): string {
  const fitted = found.values.map((each) => [
    yamlPath(each.path, base.unit),
    String(significant(each.value)),
    each.standardError === 0 ? '-' : String(significant(each.standardError, 2)),
    String(each.rows),
  ]);
  const parts = [alignedTable(['fitted', 'value', 'standard error', 'rows'], fitted)];
  if (found.unidentified.length > 0) {
    const taken = found.unidentified.map(({ path }) => yamlPath(path, base.unit));
    parts.push(`Taken from ${base.name}, as the rows cannot tell them: ${taken.join(', ')}\n`);
  }
  if (found.withoutRows.length > 0) {
    parts.push(`Taken from ${base.name}, for want of rows: everything of ${found.withoutRows.join(', ')}\n`);
  }
  const { groups, overall } = validateProfile(profile, rows);
  parts.push('Residuals:\n');
  for (const group of groups) parts.push(`${group.engine} ${group.mode}: ${summaryLine(group)}\n`);
  parts.push(`overall: ${summaryLine(overall)}\n`);
  return `${parts.join('')}Wrote ${out}\n`;
}
