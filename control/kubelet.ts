/**
 * What the kubelets do with pods: start, probe, restart and terminate their containers [pkg/kubelet/kuberuntime,
 * pkg/kubelet/prober]. One object stands for the kubelets of all nodes, since they share nothing. A pod has one container.
 */
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import type { FailureMode } from '../model/churn.ts';
import type { Deployment, Probe } from '../model/workload.ts';
import { assert } from '../sim/assert.ts';
import type { Distribution } from '../sim/distributions.ts';
import type { EventHandle } from '../sim/event-queue.ts';
import type { Rng } from '../sim/rng.ts';
import type { Simulation } from '../sim/simulation.ts';
import { drawDelayNs } from './api-fanout.ts';
import type { ApiFanout } from './api-fanout.ts';
import type { EmitWorkloadEvent } from './control-event.ts';
import { LONG_AGO } from './pod-store.ts';
import type { PodRecord, ProbeKind } from './pod-store.ts';
import { PRIORITY_KUBELET, PRIORITY_STATUS_UPDATE } from './priorities.ts';
import { ProbeWorker } from './probe-worker.ts';

/** From SIGTERM, at which the process stops listening, to its end and that of the pod's network namespace. An assumption: a server without long requests. */
export const PROCESS_EXIT_NS = 100 * NS_PER_MS;

/** From a container's end to its successor's start without back-off: the kubelet looks for dead containers each second [pkg/kubelet/kubelet.go genericPlegRelistPeriod]. */
export const RESTART_DELAY_NS = NS_PER_S;

/** Crash-loop back-off: none before the first restart, then 10 s, doubling up to 300 s [pkg/kubelet/kubelet.go backOffPeriod, MaxContainerBackOff]. */
const BACK_OFF_FIRST_NS = 10 * NS_PER_S;
const BACK_OFF_MAX_NS = 300 * NS_PER_S;

/** SIGKILL comes no sooner than this after SIGTERM, however long the preStop hook took [kuberuntime_manager.go minimumGracePeriodInSeconds]. */
const MINIMUM_GRACE_SECONDS = 2;

export interface KubeletOptions {
  readonly simulation: Simulation;
  readonly rng: Rng;
  readonly fanout: ApiFanout;
  readonly podStart: Distribution;
  readonly deployments: readonly Deployment[];
  readonly emit: EmitWorkloadEvent;
  /** The API server has a new status of the pod. */
  readonly onStatus: (pod: PodRecord) => void;
}

/** What a kubelet remembers of a pod besides the pod itself. */
interface PodWorker {
  readonly readiness: ProbeWorker | undefined;
  readonly liveness: ProbeWorker | undefined;
  deletionSeen: boolean;
  /** The start or restart that is planned while the container waits. */
  start: EventHandle | undefined;
  statusPlanned: boolean;
  /** The back-off that the next restart waits for; 0 = none yet. */
  backOffNs: SimTime;
  backOffSetAt: SimTime;
}

export class Kubelet {
  readonly #options: KubeletOptions;
  readonly #simulation: Simulation;
  readonly #rng: Rng;
  readonly #workers = new Map<PodRecord, PodWorker>();

  constructor(options: KubeletOptions) {
    this.#options = options;
    this.#simulation = options.simulation;
    this.#rng = options.rng.sub('kubelet');
  }

  /** Takes over a pod that has been running and ready since before the trial. Its probes tick at random phases. */
  adopt(pod: PodRecord): void {
    pod.container = 'running';
    pod.listening = true;
    pod.hasSandbox = true;
    pod.startedAt = LONG_AGO;
    pod.ready = true;
    pod.readyChangedAt = LONG_AGO;
    pod.status = { running: true, ready: true, readyChangedAt: LONG_AGO, finished: false };
    this.#addPod(pod, true);
  }

  /** Starts a new pod: its process listens after a draw of podStart. */
  create(pod: PodRecord): void {
    const worker = this.#addPod(pod, false);
    const delay = drawDelayNs(this.#options.podStart, this.#rng.stream(`start/${pod.namespace}/${pod.name}`));
    this.#planStart(pod, worker, delay);
  }

  /** The deletion has reached the kubelet: preStop hook, SIGTERM, SIGKILL at the end of the grace period. */
  terminate(pod: PodRecord): void {
    const worker = this.#workers.get(pod);
    if (worker === undefined || worker.deletionSeen) return;
    worker.deletionSeen = true;
    if (pod.container === 'running') {
      this.#stopContainer(pod);
    } else if (pod.container === 'waiting') {
      if (worker.start !== undefined) this.#simulation.cancel(worker.start);
      this.#finish(pod);
    }
    // 'stopping': a failed liveness probe has begun to kill the container; the pod ends with it.
  }

  /** From now on for `durationNs` the probe's handler fails in this way. */
  failProbe(pod: PodRecord, probe: ProbeKind, mode: FailureMode, durationNs: SimTime): void {
    pod.faults.push({ probe, mode, from: this.#simulation.now, until: this.#simulation.now + durationNs });
  }

  #addPod(pod: PodRecord, wasRunning: boolean): PodWorker {
    assert(!this.#workers.has(pod), `pod ${pod.name} has a kubelet already`);
    const deployment = this.#deployment(pod);
    const worker: PodWorker = {
      readiness: this.#probeWorker(pod, 'readiness', deployment.readinessProbe, wasRunning),
      liveness: this.#probeWorker(pod, 'liveness', deployment.livenessProbe, wasRunning),
      deletionSeen: false,
      start: undefined,
      statusPlanned: false,
      backOffNs: 0,
      backOffSetAt: LONG_AGO,
    };
    this.#workers.set(pod, worker);
    return worker;
  }

  #probeWorker(
    pod: PodRecord,
    kind: ProbeKind,
    probe: Probe | undefined,
    wasRunning: boolean,
  ): ProbeWorker | undefined {
    if (probe === undefined) return undefined;
    const stream = this.#rng.stream(`probe-phase/${kind}/${pod.namespace}/${pod.name}`);
    return new ProbeWorker({
      simulation: this.#simulation,
      kind,
      probe,
      target: {
        isRunning: () => pod.container === 'running' || pod.container === 'stopping',
        startedAt: () => pod.startedAt,
        isBeingDeleted: () => this.#worker(pod).deletionSeen,
        answer: (asked) => this.#answer(pod, asked),
      },
      phaseNs: wasRunning ? Math.floor(stream.nextFloat() * probe.periodSeconds * NS_PER_S) : 0,
      initialResult: kind === 'liveness' || wasRunning,
      onResult: (success) => {
        if (kind === 'readiness') this.#updateReadiness(pod);
        else if (!success) this.#kill(pod);
      },
    });
  }

  #answer(pod: PodRecord, kind: ProbeKind): 'success' | FailureMode {
    if (!pod.listening) return 'refuse';
    const now = this.#simulation.now;
    const fault = pod.faults.find((each) => each.probe === kind && each.from <= now && now < each.until);
    return fault === undefined ? 'success' : fault.mode;
  }

  #planStart(pod: PodRecord, worker: PodWorker, delay: SimTime): void {
    worker.start = this.#simulation.at(this.#simulation.now + delay, PRIORITY_KUBELET, () => this.#startContainer(pod));
  }

  #startContainer(pod: PodRecord): void {
    const worker = this.#worker(pod);
    worker.start = undefined;
    pod.container = 'running';
    pod.listening = true;
    pod.hasSandbox = true;
    pod.startedAt = this.#simulation.now;
    worker.liveness?.containerStarted();
    worker.readiness?.containerStarted();
    this.#updateReadiness(pod);
    this.#planStatus(pod);
  }

  /** A failed liveness probe: the container is stopped as at a deletion, and a new one follows. */
  #kill(pod: PodRecord): void {
    if (pod.container === 'running') this.#stopContainer(pod);
  }

  /** The hook counts against the grace period and is cut off at its end; without a grace period it is left out [kuberuntime_container.go killContainer]. */
  #stopContainer(pod: PodRecord): void {
    const { preStopSleepSeconds, terminationGracePeriodSeconds: graceSeconds } = this.#deployment(pod);
    pod.container = 'stopping';
    const hookSeconds = Math.min(preStopSleepSeconds, graceSeconds);
    const restSeconds = Math.max(graceSeconds - hookSeconds, MINIMUM_GRACE_SECONDS);
    const exitNs = graceSeconds === 0 ? 0 : Math.min(PROCESS_EXIT_NS, restSeconds * NS_PER_S);
    const sigtermAt = this.#simulation.now + Math.round(hookSeconds * NS_PER_S);
    this.#simulation.at(sigtermAt, PRIORITY_KUBELET, () => {
      pod.listening = false;
      this.#options.emit('process_stopped', `process of pod ${pod.name} stopped listening`, pod.deployment);
      this.#simulation.at(sigtermAt + exitNs, PRIORITY_KUBELET, () => this.#containerExited(pod));
    });
  }

  #containerExited(pod: PodRecord): void {
    const worker = this.#worker(pod);
    if (worker.deletionSeen) {
      this.#finish(pod);
      return;
    }
    pod.container = 'waiting';
    this.#updateReadiness(pod);
    this.#planStatus(pod);
    const now = this.#simulation.now;
    // A container that ran well for twice the longest back-off starts from the beginning [client-go flowcontrol/backoff.go hasExpired].
    if (now - worker.backOffSetAt > 2 * BACK_OFF_MAX_NS) worker.backOffNs = 0;
    const delay = Math.max(worker.backOffNs, RESTART_DELAY_NS);
    worker.start = this.#simulation.at(now + delay, PRIORITY_KUBELET, () => {
      worker.backOffNs = worker.backOffNs === 0 ? BACK_OFF_FIRST_NS : Math.min(2 * worker.backOffNs, BACK_OFF_MAX_NS);
      worker.backOffSetAt = this.#simulation.now;
      pod.restarts++;
      this.#options.emit(
        'container_restarted',
        `container of pod ${pod.name} restarted (${pod.restarts})`,
        pod.deployment,
      );
      this.#startContainer(pod);
    });
  }

  /** The pod is over: its address answers no more, and its last status is on the way. */
  #finish(pod: PodRecord): void {
    const worker = this.#worker(pod);
    worker.readiness?.stop();
    worker.liveness?.stop();
    pod.container = 'ended';
    pod.listening = false;
    pod.ready = false;
    this.#options.emit('pod_gone', `pod ${pod.name} gone`, pod.deployment);
    this.#planStatus(pod);
  }

  /** Without a readiness probe a container is ready as soon as it runs. */
  #updateReadiness(pod: PodRecord): void {
    const isRunning = pod.container === 'running' || pod.container === 'stopping';
    const readiness = this.#workers.get(pod)?.readiness;
    const ready = isRunning && (readiness === undefined || readiness.result);
    if (ready === pod.ready) return;
    pod.ready = ready;
    pod.readyChangedAt = this.#simulation.now;
    this.#options.emit(
      ready ? 'pod_ready' : 'pod_not_ready',
      `pod ${pod.name} ${ready ? 'ready' : 'not ready'}`,
      pod.deployment,
    );
    this.#planStatus(pod);
  }

  #planStatus(pod: PodRecord): void {
    const worker = this.#worker(pod);
    if (worker.statusPlanned) return;
    worker.statusPlanned = true;
    this.#simulation.at(this.#simulation.now, PRIORITY_STATUS_UPDATE, () => {
      worker.statusPlanned = false;
      const finished = pod.container === 'ended';
      const status = { running: pod.hasSandbox, ready: pod.ready, readyChangedAt: pod.readyChangedAt, finished };
      this.#options.fanout.sendStatus(pod, () => {
        pod.status = status;
        this.#options.onStatus(pod);
      });
      if (!finished) return;
      this.#workers.delete(pod);
      this.#options.fanout.closeStatus(pod);
    });
  }

  #deployment(pod: PodRecord): Deployment {
    const deployment = this.#options.deployments[pod.deployment];
    assert(deployment !== undefined, `pod ${pod.name} belongs to no Deployment`);
    return deployment;
  }

  #worker(pod: PodRecord): PodWorker {
    const worker = this.#workers.get(pod);
    assert(worker !== undefined, `pod ${pod.name} has no kubelet`);
    return worker;
  }
}
