/** The entry of a worker thread: trials in, and of each its result or the reason of its failure out, in their order. */
import { attemptTrial, type WorkerReply } from './attempt-trial.ts';
import { TaskReader, type TrialTask } from './trial-task.ts';

const reader = new TaskReader();

// piscina calls a worker file's default export.
// eslint-disable-next-line no-restricted-syntax
export default function work(task: TrialTask): WorkerReply[] {
  return reader.read(task).map((trial) => attemptTrial(trial));
}
