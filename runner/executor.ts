/** Runs trials on a pool of worker threads and hands back each result or failure as data. */
import { setMaxListeners } from 'node:events';
import { Piscina } from 'piscina';
import type { EventLog } from './event-log.ts';
import { runTrial, type TrialResult } from './trial.ts';
import type { Trial } from './sweep-plan.ts';

/** A trial that ended, well or not. A failure is data: fields of a thrown error would be lost between threads. */
export type TrialOutcome =
  | { readonly status: 'ok'; readonly trial: Trial; readonly result: TrialResult }
  | { readonly status: 'failed'; readonly trial: Trial; readonly reason: string };

export type WorkerReply =
  { readonly status: 'ok'; readonly result: TrialResult } | { readonly status: 'failed'; readonly reason: string };

export interface Executor {
  /** Runs every trial; `onOutcome` is called as each one ends, in any order. Stops handing out trials when `signal` aborts. */
  run(trials: readonly Trial[], onOutcome: (outcome: TrialOutcome) => void, signal: AbortSignal): Promise<void>;
}

/** What a worker does with one trial: never throws. */
export function attemptTrial(trial: Trial, log?: EventLog): WorkerReply {
  try {
    return { status: 'ok', result: runTrial(trial, log) };
  } catch (error) {
    return { status: 'failed', reason: reasonOf(error) };
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** A piscina pool (see docs/adr/0002-worker-threads.md). A worker that dies fails its trial only. */
export function poolExecutor(workerFile: string, workers: number): Executor {
  return {
    async run(trials, onOutcome, signal) {
      const threads = Math.max(1, Math.min(workers, trials.length));
      setMaxListeners(0, signal);
      const pool = new Piscina<Trial, WorkerReply>({
        filename: workerFile,
        minThreads: threads,
        maxThreads: threads,
        concurrentTasksPerWorker: 1,
        // A trial of a large cluster makes many objects that live: a larger young generation copies them less often.
        resourceLimits: { maxOldGenerationSizeMb: 4096, maxYoungGenerationSizeMb: 192 },
      });
      let next = 0;
      const lane = async (): Promise<void> => {
        while (next < trials.length && !signal.aborted) {
          const trial = trials[next++];
          const reply = await pool
            .run(trial, { signal })
            .catch((error: unknown): WorkerReply => ({ status: 'failed', reason: reasonOf(error) }));
          if (signal.aborted) return;
          onOutcome({ trial, ...reply });
        }
      };
      try {
        await Promise.all(Array.from({ length: threads }, lane));
      } finally {
        await pool.destroy();
      }
    },
  };
}
