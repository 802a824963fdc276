/** When kube-proxy syncs: the two generations of its bounded-frequency runner behind one face. */
import type { SimTime } from '../model/time.ts';
import type { Simulation } from '../sim/simulation.ts';
import { CompletionRunner } from './completion-runner.ts';
import { TokenBucketRunner } from './token-bucket-runner.ts';

export interface SyncRunnerOptions {
  readonly simulation: Simulation;
  readonly minIntervalNs: SimTime;
  /** From the completion of a run to the start of one that nobody asked for. */
  readonly maxIntervalNs: SimTime;
  /** From the end of a run that has failed to the next one, unless one comes before. */
  readonly retryIntervalNs: SimTime;
  /** Begins a run; `completed` or `failed` must be called when it is over. */
  readonly run: (reason: RunReason) => void;
}

export type RunReason = 'requested' | 'interval' | 'retry';

/** Runs never overlap. A runner begins in the state of a run: the caller's first run is under way, `completed` tells of its end. */
export interface SyncRunner {
  /** Asks for a run as soon as allowed; false when one was asked for already. */
  request(): boolean;
  /** The run is over: now, or, for the run that was before the beginning, at an earlier time. */
  completed(at?: SimTime): void;
  /** The run is over, and was in vain: there is another one after the retry interval at the latest. */
  failed(): void;
}

export type SyncRunnerKind = 'token-bucket' | 'from-completion';

export function createSyncRunner(kind: SyncRunnerKind, options: SyncRunnerOptions): SyncRunner {
  return kind === 'token-bucket' ? new TokenBucketRunner(options) : new CompletionRunner(options);
}
