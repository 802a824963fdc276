/** What a kubelet remembers of a pod besides the pod itself, and what follows from it. */
import type { ProbeName } from '../model/churn.ts';
import type { SimTime } from '../model/time.ts';
import { assert } from '../sim/assert.ts';
import type { EventHandle } from '../sim/event-queue.ts';
import type { PodProcess } from './pod-process.ts';
import { LONG_AGO } from './pod-store.ts';
import type { PodRecord } from './pod-store.ts';
import type { ProbeWorker } from './probe-worker.ts';
import { RestartBackOff } from './restart-back-off.ts';

export interface PodWorker {
  readonly process: PodProcess;
  readonly probes: Partial<Record<ProbeName, ProbeWorker>>;
  readonly backOff: RestartBackOff;
  deletionSeen: boolean;
  statusPlanned: boolean;
  /** The kubelet was down when it should have stopped the container, or when it would have: it does so when it is back. */
  stopWanted: boolean;
  /** Since when the process has not been listening: its start, or SIGTERM, or its end. */
  deafSince: SimTime;
  /** What is planned for the container: its start, its process listening, that process's own end, SIGTERM, the end after SIGTERM. */
  start: EventHandle | undefined;
  listen: EventHandle | undefined;
  crash: EventHandle | undefined;
  sigterm: EventHandle | undefined;
  exit: EventHandle | undefined;
}

export function newPodWorker(process: PodProcess): PodWorker {
  return {
    process,
    probes: {},
    backOff: new RestartBackOff(),
    deletionSeen: false,
    statusPlanned: false,
    stopWanted: false,
    deafSince: LONG_AGO,
    start: undefined,
    listen: undefined,
    crash: undefined,
    sigterm: undefined,
    exit: undefined,
  };
}

/** The container's process exists, though it may be told to stop. */
export function isRunning(pod: PodRecord): boolean {
  return pod.container === 'running' || pod.container === 'stopping';
}

/** Of a pod that is called not ready now: the earlier of its check's beginning to fail and, where the container has ended, of its process's end. */
export function failingSince(pod: PodRecord, { probes, deafSince }: PodWorker): SimTime {
  const since = probes.readiness?.failingSince;
  if (isRunning(pod)) {
    assert(since !== undefined, `pod ${pod.name} is called not ready and its readiness probe succeeds`);
    return since;
  }
  return Math.min(since ?? deafSince, deafSince);
}

/** The container's startup probe has succeeded, or it has none [prober_manager.go UpdatePodStatus]. */
export function hasStarted(worker: PodWorker): boolean {
  return worker.probes.startup === undefined || worker.probes.startup.succeeded;
}
