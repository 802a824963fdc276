/** Runs trials on a pool of worker threads and hands back each result or failure as data. */
import { setMaxListeners } from 'node:events';
import { Piscina } from 'piscina';
import { reasonOf, type WorkerReply } from './attempt-trial.ts';
import type { TrialResult } from './trial.ts';
import { groupTrials } from './trial-groups.ts';
import type { Trial } from './sweep-plan.ts';
import { TaskWriter, type TrialTask } from './trial-task.ts';

export { attemptTrial } from './attempt-trial.ts';

/** A trial that ended, well or not. A failure is data: fields of a thrown error would be lost between threads. */
export type TrialOutcome =
  | { readonly status: 'ok'; readonly trial: Trial; readonly result: TrialResult }
  | { readonly status: 'failed'; readonly trial: Trial; readonly reason: string };

export interface Executor {
  /** Runs every trial; `onOutcome` is called as each one ends, in any order. Stops handing out trials when `signal` aborts. */
  run(trials: readonly Trial[], onOutcome: (outcome: TrialOutcome) => void, signal: AbortSignal): Promise<void>;
}

/** An executor whose threads wait for more trials until it is closed. */
export interface PoolExecutor extends Executor {
  close(): Promise<void>;
}

/**
 * A piscina pool (see docs/adr/0002-worker-threads.md) that starts with its threads. A worker that dies fails its trial only: the
 * others of its group run again, each alone.
 */
export function poolExecutor(workerFile: string, workers: number): PoolExecutor {
  const threads = Math.max(1, workers);
  const pool = new Piscina<TrialTask, WorkerReply[]>({
    filename: workerFile,
    minThreads: threads,
    maxThreads: threads,
    concurrentTasksPerWorker: 1,
    // A trial of a large cluster makes many objects that live: a larger young generation copies them less often.
    resourceLimits: { maxOldGenerationSizeMb: 4096, maxYoungGenerationSizeMb: 192 },
  });
  const writer = new TaskWriter();
  /** The replies of all, or the reason why there are none. */
  const attempt = (trials: readonly Trial[], signal: AbortSignal): Promise<WorkerReply[] | string> =>
    pool.run(writer.write(trials), { signal }).catch(reasonOf);
  return {
    async run(trials, onOutcome, signal) {
      setMaxListeners(0, signal);
      const groups = groupTrials(trials, threads);
      let next = 0;
      const runOne = async (trial: Trial): Promise<void> => {
        const replies = await attempt([trial], signal);
        if (signal.aborted) return;
        onOutcome({ trial, ...(typeof replies === 'string' ? { status: 'failed', reason: replies } : replies[0]) });
      };
      const lane = async (): Promise<void> => {
        while (next < groups.length && !signal.aborted) {
          const group = groups[next++];
          if (group.length === 1) {
            await runOne(group[0]);
            continue;
          }
          const replies = await attempt(group, signal);
          if (signal.aborted) return;
          if (typeof replies !== 'string') group.forEach((trial, i) => onOutcome({ trial, ...replies[i] }));
          else for (const trial of group) if (!signal.aborted) await runOne(trial);
        }
      };
      await Promise.all(Array.from({ length: Math.min(threads, groups.length) }, lane));
    },
    close: () => pool.destroy(),
  };
}
