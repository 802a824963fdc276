/** A process of its own for one suite: `suite-process.js SUITE SIZE [ourselves]`. Tells its parent of each job as it ends. */
import type { JobRun } from './run-suite.ts';
import { ChecksumError, describeJob, runSuite } from './run-suite.ts';
import type { GrowthBar } from './suite.ts';
import { loadSuite } from './suites.ts';

export type SuiteMessage =
  | { readonly kind: 'job'; readonly job: string; readonly run: JobRun }
  | { readonly kind: 'suite'; readonly question: string; readonly growthBars: readonly GrowthBar[] }
  /** Contenders do not agree. */
  | { readonly kind: 'wrong'; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string };

const [name, size, ourselves] = process.argv.slice(2);

function tell(message: SuiteMessage): void {
  process.send?.(message);
}

try {
  const suite = await loadSuite(name);
  tell({ kind: 'suite', question: suite.question, growthBars: suite.growthBars ?? [] });
  const onJob: Parameters<typeof runSuite>[2] = (job, run) => tell({ kind: 'job', job: describeJob(name, job), run });
  await runSuite(suite, size === 'full' ? 'full' : 'smoke', onJob, ourselves !== undefined);
} catch (error) {
  if (error instanceof ChecksumError) tell({ kind: 'wrong', reason: error.message });
  else tell({ kind: 'failed', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  process.exitCode = 1;
} finally {
  process.disconnect();
}
