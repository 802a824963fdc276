/** What each kind of probe makes of what it meets [pkg/probe/http, tcp, exec, grpc; pkg/kubelet/prober/prober.go]. Pure functions. */
import type { FailureMode } from '../model/churn.ts';
import type { Probe } from '../model/workload.ts';

/** What a probe that begins now meets in the pod. */
export type ProbeAnswer = 'success' | FailureMode;

export interface ProbeOutcome {
  /** error: the probe could not be run; its result is thrown away [worker.go doProbe]. */
  readonly result: 'success' | 'failure' | 'error';
  /** It comes after the probe's timeout, not at once. */
  readonly afterTimeout: boolean;
}

const SUCCESS: ProbeOutcome = { result: 'success', afterTimeout: false };
const FAILURE: ProbeOutcome = { result: 'failure', afterTimeout: false };
const TIMED_OUT: ProbeOutcome = { result: 'failure', afterTimeout: true };
/** Tried three times, at once [prober.go runProbeWithRetries]. */
const NOT_RUN: ProbeOutcome = { result: 'error', afterTimeout: false };

const OUTCOMES: Record<Probe['kind'], Record<ProbeAnswer, ProbeOutcome>> = {
  /** Any error of the request is a failure, a status of 200 to 399 a success [http.go DoHTTPProbe]; a body that cannot be read is an error. */
  httpGet: { success: SUCCESS, error: FAILURE, refuse: FAILURE, hang: TIMED_OUT, probe_error: NOT_RUN },
  /** A connection is all it asks for, and the kernel accepts it for a process that fails or hangs [tcp.go DoTCPProbe]. It has no errors. */
  tcpSocket: { success: SUCCESS, error: SUCCESS, refuse: FAILURE, hang: SUCCESS, probe_error: SUCCESS },
  /** An exit status or a timeout (ExecProbeTimeout, since v1.20) is a failure, what the runtime cannot run an error [exec.go Probe]. */
  exec: { success: SUCCESS, error: FAILURE, refuse: FAILURE, hang: TIMED_OUT, probe_error: NOT_RUN },
  /** Dials with WithBlock, which tries a refused connection again until the timeout; every error is a failure [grpc.go Probe]. */
  grpc: { success: SUCCESS, error: FAILURE, refuse: TIMED_OUT, hang: TIMED_OUT, probe_error: FAILURE },
};

export function probeOutcome(kind: Probe['kind'], answer: ProbeAnswer): ProbeOutcome {
  return OUTCOMES[kind][answer];
}
