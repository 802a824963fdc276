/**
 * Ends a test run with what was skipped and why, and one plain closing line: `N passed, N failed, N skipped`.
 * With CHAINWALK_REQUIRE=all a skip for want of a tool or a right counts as failed.
 */
import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** Reasons that are no fault of the machine: shared material is optional where it was not named. */
const ALWAYS_ALLOWED = /^not present$|shared/i;

export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    let passed = 0;
    let failed = errors.length;
    const skipped: Skip[] = [];
    for (const module of modules) {
      failed += module.errors().length;
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === 'passed') passed++;
        else if (result.state === 'failed') failed++;
        else skipped.push({ file: module.relativeModuleId, name: test.fullName, reason: reasonOf(test) });
      }
    }
    const print = (line: string): void => void process.stdout.write(`${line}\n`);
    if (skipped.length > 0) print('\nSkipped:');
    for (const [line, tests] of byReason(skipped)) print(`  ${line}${tests > 1 ? ` (${tests} tests)` : ''}`);
    if (process.env['CHAINWALK_REQUIRE'] === 'all') {
      const refused = skipped.filter(
        ({ reason }) => process.env['CHAINWALK_SHARED'] !== undefined || !ALWAYS_ALLOWED.test(reason),
      );
      for (const { file, name } of refused) print(`  FAILED: CHAINWALK_REQUIRE=all and ${file}: ${name} was skipped`);
      if (refused.length > 0) process.exitCode = 1;
      failed += refused.length;
    }
    print(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`);
  }
}

interface Skip {
  readonly file: string;
  readonly name: string;
  readonly reason: string;
}

/** One line a file and reason, with the number of tests. */
function byReason(skipped: readonly Skip[]): Map<string, number> {
  const lines = new Map<string, number>();
  for (const { file, reason } of skipped) {
    const line = `${file}: ${reason}`;
    lines.set(line, (lines.get(line) ?? 0) + 1);
  }
  return lines;
}

/** The note of `ctx.skip(note)`, or what stands behind `(skipped: ...)` in the name of the test or of a suite around it. */
function reasonOf(test: TestCase): string {
  const result = test.result();
  if (result.state === 'skipped' && result.note !== undefined && result.note !== '') return result.note;
  const named = /skipped: ([^)]+)/.exec(test.fullName)?.[1];
  return named ?? (test.options.mode === 'todo' ? 'to do' : 'no reason given');
}
