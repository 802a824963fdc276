import { describe, expect, it } from 'vitest';
import type { Probe } from '../model/workload.ts';
import { probeOutcome } from './probe-outcome.ts';
import type { ProbeAnswer } from './probe-outcome.ts';

/** ok, failed at once, failed after the timeout (late), no result. */
function word(kind: Probe['kind'], answer: ProbeAnswer): string {
  const { result, afterTimeout } = probeOutcome(kind, answer);
  if (result === 'error') return 'none';
  return result === 'success' ? 'ok' : afterTimeout ? 'late' : 'failed';
}

describe('probeOutcome', () => {
  const answers = ['success', 'error', 'refuse', 'hang', 'probe_error'] as const;

  it.each([
    ['httpGet', ['ok', 'failed', 'failed', 'late', 'none']],
    // The kernel accepts a connection for a process that answers 500 or nothing at all.
    ['tcpSocket', ['ok', 'ok', 'failed', 'ok', 'ok']],
    ['exec', ['ok', 'failed', 'failed', 'late', 'none']],
    // A refused dial is tried again until the timeout, and no error is anything but a failure.
    ['grpc', ['ok', 'failed', 'late', 'late', 'failed']],
  ] as const)('%s', (kind, expected) => {
    expect(answers.map((answer) => word(kind, answer))).toEqual(expected);
  });
});
