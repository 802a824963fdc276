/** The entry of a worker thread: trials in, and of each its result or the reason of its failure out, in their order. */
import { attemptTrial, type WorkerReply } from './attempt-trial.ts';
import type { Trial } from './sweep-plan.ts';

// piscina calls a worker file's default export.
// eslint-disable-next-line no-restricted-syntax
export default function work(trials: readonly Trial[]): WorkerReply[] {
  return trials.map((trial) => attemptTrial(trial));
}
