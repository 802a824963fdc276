/** `chainwalk conformance`: the golden cases below a folder, one line each, then how many passed. */
import { basename } from 'node:path';
import pc from 'picocolors';
import { InputError } from '../../scenarios/errors.ts';
import { findCases, runCase } from '../conformance.ts';
import { EXIT_BAD_INPUT, EXIT_CHECK_FAILED } from '../exit-codes.ts';
import type { CaseResult } from '../conformance.ts';

interface ConformanceFlags {
  readonly mode?: string;
  readonly case?: string;
}

const MODES = ['iptables', 'ipvs', 'nftables'];

export function conformanceCommand(folder: string, flags: ConformanceFlags): void {
  if (flags.mode !== undefined && !MODES.includes(flags.mode)) {
    throw new InputError(`--mode "${flags.mode}" is not known. Expected one of ${MODES.join(', ')}`);
  }
  let passed = 0;
  let failed = 0;
  let isBadInput = false;
  for (const each of findCases(folder)) {
    if (flags.case !== undefined && !isNamed(each, flags.case)) continue;
    const result = runCase(each, folder);
    // A case that cannot be read has no mode: it is everybody's failure.
    if (flags.mode !== undefined && result.mode !== undefined && result.mode !== flags.mode) continue;
    if (result.failures.length === 0) passed++;
    else failed++;
    isBadInput ||= result.badInput;
    process.stdout.write(formatResult(result));
  }
  if (passed + failed === 0)
    throw new InputError('No case below this folder is of that mode and name.', { file: folder });
  process.stdout.write(`\n${passed} passed, ${failed} failed, 0 skipped\n`);
  // A case that is wrong itself has checked nothing: that comes before what others found.
  if (failed > 0) process.exitCode = isBadInput ? EXIT_BAD_INPUT : EXIT_CHECK_FAILED;
}

/** `overall-six-services` and `iptables/overall-six-services` both name a case. */
function isNamed(folder: string, name: string): boolean {
  return basename(folder) === name || folder.endsWith(`/${name}`);
}

function formatResult({ name, failures }: CaseResult): string {
  if (failures.length === 0) return `${pc.green('ok')}      ${name}\n`;
  const details = failures.map((failure) => `    ${failure.split('\n').join('\n    ')}\n`);
  return `${pc.red('FAILED')}  ${name}\n${details.join('')}`;
}
