/** What a worker does with a trial: it never throws. */
import type { EventLog } from './event-log.ts';
import type { Trial } from './sweep-plan.ts';
import { runTrial, type TrialResult } from './trial.ts';

export type WorkerReply =
  { readonly status: 'ok'; readonly result: TrialResult } | { readonly status: 'failed'; readonly reason: string };

/** `log` takes down what the control plane does. */
export function attemptTrial(trial: Trial, log?: EventLog): WorkerReply {
  try {
    return { status: 'ok', result: runTrial(trial, log) };
  } catch (error) {
    return { status: 'failed', reason: reasonOf(error) };
  }
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
