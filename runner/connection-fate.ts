/** What a verdict and the pod behind its endpoint mean for a new connection. */
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_ENDPOINT,
  OUTCOME_REJECT,
  REASON_CONNTRACK_FULL,
  REASON_NO_ANSWER,
  REASON_NO_LOCAL_ENDPOINTS,
  REASON_SOURCE_RANGE,
  type VerdictBatch,
} from '../model/verdict.ts';
import type { FailureKind } from './trial-meter.ts';

/** What the traffic needs to know of the pods behind the endpoints. */
export interface PodView {
  podCondition(address: number): 'serving' | 'not_listening' | 'gone';
  isReady(address: number): boolean;
}

export type ConnectionOutcome = 'ok' | 'stale' | 'broken' | FailureKind;

/** Whether packet `i` of a client was sent on to a pod: translated, or as it is where the client itself has the pod's address (`direct`). */
export function isAimed(verdicts: VerdictBatch, i: number, direct: boolean): boolean {
  const outcome = verdicts.outcome[i];
  return outcome === OUTCOME_ENDPOINT || (direct && outcome === OUTCOME_ACCEPT);
}

/** Fate of a connection whose first packet has verdict `i`. */
export function connectionFate(
  verdicts: VerdictBatch,
  i: number,
  pods: PodView,
  direct = false,
): 'ok' | 'stale' | FailureKind {
  const outcome = verdicts.outcome[i];
  if (outcome === OUTCOME_REJECT || outcome === OUTCOME_DROP) return refusal(outcome, verdicts.reason[i]);
  if (!isAimed(verdicts, i, direct)) return 'no_answer';
  const address = verdicts.dstAddress[i];
  const condition = pods.podCondition(address);
  if (condition === 'not_listening') return 'refused';
  if (condition === 'gone') return 'no_answer';
  return pods.isReady(address) ? 'ok' : 'stale';
}

function refusal(outcome: number, reason: number): FailureKind {
  switch (reason) {
    case REASON_NO_LOCAL_ENDPOINTS:
      return 'no_local_endpoints';
    case REASON_SOURCE_RANGE:
      return 'source_range';
    case REASON_CONNTRACK_FULL:
      return 'conntrack_full';
    case REASON_NO_ANSWER:
      return 'no_answer';
    default:
      return outcome === OUTCOME_REJECT ? 'rejected' : 'dropped';
  }
}
