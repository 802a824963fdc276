/** The entry of a worker thread: one trial in, its result or the reason of its failure out. */
import { attemptTrial, type WorkerReply } from './executor.ts';
import type { Trial } from './sweep-plan.ts';

// piscina calls a worker file's default export.
// eslint-disable-next-line no-restricted-syntax
export default function work(trial: Trial): WorkerReply {
  return attemptTrial(trial);
}
