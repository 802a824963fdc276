/**
 * What the kubelets do with pods: start, probe, restart and terminate their containers [pkg/kubelet/kuberuntime,
 * pkg/kubelet/prober]. One object stands for the kubelets of all nodes, since they share nothing. A pod has one container.
 */
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import type { PodBehaviour, ProbeName } from '../model/churn.ts';
import type { Deployment, Probe } from '../model/workload.ts';
import { assert } from '../sim/assert.ts';
import type { Distribution } from '../sim/distributions.ts';
import type { EventHandle } from '../sim/event-queue.ts';
import type { Rng } from '../sim/rng.ts';
import type { Simulation } from '../sim/simulation.ts';
import { drawDelayNs } from './api-fanout.ts';
import type { ApiFanout } from './api-fanout.ts';
import type { EmitWorkloadEvent } from './control-event.ts';
import { PodProcess } from './pod-process.ts';
import type { ProbeFault } from './pod-process.ts';
import { LONG_AGO } from './pod-store.ts';
import type { PodRecord } from './pod-store.ts';
import { PRIORITY_KUBELET, PRIORITY_STATUS_UPDATE } from './priorities.ts';
import type { ProbeAnswer } from './probe-outcome.ts';
import { ProbeWorker } from './probe-worker.ts';
import { RestartBackOff } from './restart-back-off.ts';

/** From SIGTERM, at which the process stops listening, to its end and that of the pod's network namespace. An assumption: a server without long requests. */
export const PROCESS_EXIT_NS = 100 * NS_PER_MS;

/** SIGKILL comes no sooner than this after SIGTERM, however long the preStop hook took [kuberuntime_manager.go minimumGracePeriodInSeconds]. */
const MINIMUM_GRACE_SECONDS = 2;

export interface KubeletOptions {
  readonly simulation: Simulation;
  readonly rng: Rng;
  readonly fanout: ApiFanout;
  readonly podStart: Distribution;
  readonly deployments: readonly Deployment[];
  readonly behaviours: readonly PodBehaviour[];
  readonly emit: EmitWorkloadEvent;
  /** The API server has a new status of the pod. */
  readonly onStatus: (pod: PodRecord) => void;
}

/** What a kubelet remembers of a pod besides the pod itself. */
interface PodWorker {
  readonly process: PodProcess;
  readonly probes: Readonly<Partial<Record<ProbeName, ProbeWorker>>>;
  readonly backOff: RestartBackOff;
  deletionSeen: boolean;
  statusPlanned: boolean;
  /** The kubelet was down when it should have stopped the container, or when it would have: it does so when it is back. */
  stopWanted: boolean;
  /** What is planned for the container: its start, its process listening, that process's own end, its no longer listening after SIGTERM, its end then. */
  start: EventHandle | undefined;
  listen: EventHandle | undefined;
  crash: EventHandle | undefined;
  sigterm: EventHandle | undefined;
  exit: EventHandle | undefined;
}

export class Kubelet {
  readonly #options: KubeletOptions;
  readonly #simulation: Simulation;
  readonly #rng: Rng;
  readonly #workers = new Map<PodRecord, PodWorker>();
  /** Nodes whose kubelet is down. */
  readonly #silentNodes = new Set<string>();

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
    this.#planCrash(pod, this.#addPod(pod, true));
  }

  /** Starts a new pod: its container starts after a draw of podStart. */
  create(pod: PodRecord): void {
    const worker = this.#addPod(pod, false);
    if (!this.#isSilent(pod)) this.#planFirstStart(pod, worker);
  }

  /** The deletion has reached the kubelet: preStop hook, SIGTERM, SIGKILL at the end of the grace period. */
  terminate(pod: PodRecord): void {
    const worker = this.#workers.get(pod);
    if (worker === undefined || worker.deletionSeen) return;
    if (this.#isSilent(pod)) {
      worker.stopWanted = true;
      return;
    }
    worker.deletionSeen = true;
    if (pod.container === 'running') {
      this.#stopContainer(pod, worker);
    } else if (pod.container === 'waiting') {
      this.#cancel(worker.start);
      this.#finish(pod);
    }
    // 'stopping': a failed probe has begun to kill the container; the pod ends with it.
  }

  /** From now on the answers to the pod's probes have this fault, too. */
  addFault(pod: PodRecord, fault: ProbeFault): void {
    this.#worker(pod).process.addFault(fault);
  }

  /** The process ends of itself; SIGTERM and its hook have nothing left to do. */
  crash(pod: PodRecord): void {
    const worker = this.#workers.get(pod);
    if (worker === undefined || (pod.container !== 'running' && pod.container !== 'stopping')) return;
    pod.listening = false;
    this.#options.emit('process_crashed', `process of pod ${pod.name} crashed`, pod.deployment);
    this.#containerExited(pod, worker);
  }

  /** The node's kubelet is not heard of any more; `withMachine`: neither are its pods. */
  nodeFailed(node: string, withMachine: boolean): void {
    this.#silentNodes.add(node);
    for (const [pod, worker] of this.#workersOn(node)) {
      this.#cancel(worker.start);
      worker.start = undefined;
      // A hook that was running is run again.
      if (this.#cancel(worker.sigterm)) {
        pod.container = 'running';
        worker.stopWanted = true;
      }
      if (!withMachine || pod.container === 'ended') continue;
      if (worker.deletionSeen) worker.stopWanted = true;
      for (const planned of [worker.listen, worker.crash, worker.exit]) this.#cancel(planned);
      pod.container = 'waiting';
      pod.listening = false;
      pod.hasSandbox = false;
      pod.ready = false;
      pod.readyChangedAt = this.#simulation.now;
    }
  }

  /** The kubelet is back: it reports its pods, does what was asked of it meanwhile, and starts what does not run. */
  nodeReturned(node: string): void {
    this.#silentNodes.delete(node);
    for (const [pod, worker] of this.#workersOn(node)) {
      // The node controller has called the pod not ready; what the kubelet says now is news.
      if (pod.ready) pod.readyChangedAt = this.#simulation.now;
      if (worker.stopWanted) {
        worker.stopWanted = false;
        if (pod.deletedAt !== undefined) {
          worker.deletionSeen = false;
          this.terminate(pod);
        } else this.#kill(pod);
      }
      this.#updateReadiness(pod, worker);
      if (pod.container === 'waiting') {
        if (pod.hasSandbox) this.#planRestart(pod, worker);
        else this.#planFirstStart(pod, worker);
      }
      this.#planStatus(pod, worker);
    }
  }

  #addPod(pod: PodRecord, wasRunning: boolean): PodWorker {
    assert(!this.#workers.has(pod), `pod ${pod.name} has a kubelet already`);
    const { startupProbe, livenessProbe, readinessProbe } = this.#deployment(pod);
    const behaviour = this.#options.behaviours.find((each) => each.deployment === pod.deployment);
    const probes: Partial<Record<ProbeName, ProbeWorker>> = {};
    const worker: PodWorker = {
      process: new PodProcess(behaviour, this.#rng, pod, this.#simulation.now),
      probes,
      backOff: new RestartBackOff(),
      deletionSeen: false,
      statusPlanned: false,
      stopWanted: false,
      start: undefined,
      listen: undefined,
      crash: undefined,
      sigterm: undefined,
      exit: undefined,
    };
    this.#workers.set(pod, worker);
    // In this order: of probes that run at one instant, readiness has always been the first.
    if (readinessProbe) probes.readiness = this.#probeWorker(pod, worker, 'readiness', readinessProbe, wasRunning);
    if (livenessProbe) probes.liveness = this.#probeWorker(pod, worker, 'liveness', livenessProbe, wasRunning);
    if (startupProbe) probes.startup = this.#probeWorker(pod, worker, 'startup', startupProbe, wasRunning);
    return worker;
  }

  #probeWorker(pod: PodRecord, worker: PodWorker, name: ProbeName, probe: Probe, wasRunning: boolean): ProbeWorker {
    const stream = this.#rng.stream(`probe-phase/${name}/${pod.namespace}/${pod.name}`);
    return new ProbeWorker({
      simulation: this.#simulation,
      name,
      probe,
      target: {
        isRunning: () => isRunning(pod),
        hasStarted: () => hasStarted(worker),
        startedAt: () => pod.startedAt,
        isBeingDeleted: () => worker.deletionSeen,
        isWatched: () => !this.#isSilent(pod),
        answer: (asked) => this.#answer(pod, worker, asked),
      },
      phaseNs: wasRunning ? Math.floor(stream.nextFloat() * probe.periodSeconds * NS_PER_S) : 0,
      wasRunning,
      onResult: (success) => {
        if (name === 'readiness') this.#updateReadiness(pod, worker);
        else if (!success) this.#kill(pod);
        else if (name === 'startup') this.#containerHasStarted(pod, worker);
      },
    });
  }

  #answer(pod: PodRecord, worker: PodWorker, name: ProbeName): ProbeAnswer {
    return pod.listening ? worker.process.answer(name, this.#simulation.now) : 'refuse';
  }

  #planFirstStart(pod: PodRecord, worker: PodWorker): void {
    const delay = drawDelayNs(this.#options.podStart, this.#rng.stream(`start/${pod.namespace}/${pod.name}`));
    worker.start = this.#simulation.at(this.#simulation.now + delay, PRIORITY_KUBELET, () =>
      this.#startContainer(pod, worker),
    );
  }

  #planRestart(pod: PodRecord, worker: PodWorker): void {
    const at = this.#simulation.now + worker.backOff.delayNs(this.#simulation.now);
    worker.start = this.#simulation.at(at, PRIORITY_KUBELET, () => {
      worker.backOff.restarted(this.#simulation.now);
      pod.restarts++;
      const text = `container of pod ${pod.name} restarted (${pod.restarts})`;
      this.#options.emit('container_restarted', text, pod.deployment);
      this.#startContainer(pod, worker);
    });
  }

  #startContainer(pod: PodRecord, worker: PodWorker): void {
    const { startup, liveness, readiness } = worker.probes;
    worker.start = undefined;
    pod.container = 'running';
    pod.hasSandbox = true;
    pod.startedAt = this.#simulation.now;
    const startNs = worker.process.drawStartNs();
    if (startNs === 0) this.#listen(pod, worker);
    else {
      const at = this.#simulation.now + startNs;
      worker.listen = this.#simulation.at(at, PRIORITY_KUBELET, () => this.#listen(pod, worker));
    }
    startup?.containerStarted();
    liveness?.containerStarted();
    readiness?.containerStarted();
    if (hasStarted(worker)) readiness?.trigger();
    this.#updateReadiness(pod, worker);
    this.#planStatus(pod, worker);
  }

  #listen(pod: PodRecord, worker: PodWorker): void {
    pod.listening = true;
    worker.process.beginWarmUp(this.#simulation.now);
    this.#planCrash(pod, worker);
  }

  #planCrash(pod: PodRecord, worker: PodWorker): void {
    const crashNs = worker.process.drawCrashNs();
    if (crashNs === undefined) return;
    worker.crash = this.#simulation.at(this.#simulation.now + crashNs, PRIORITY_KUBELET, () => this.crash(pod));
  }

  /** The startup probe has succeeded, or the deletion has ended it: the others run from now on, readiness at once. */
  #containerHasStarted(pod: PodRecord, worker: PodWorker): void {
    const text = `container of pod ${pod.name} has started`;
    this.#options.emit('container_started', text, pod.deployment);
    worker.probes.readiness?.trigger();
    this.#updateReadiness(pod, worker);
  }

  /** A failed liveness or startup probe: the container is stopped as at a deletion, and a new one follows. */
  #kill(pod: PodRecord): void {
    if (pod.container === 'running') this.#stopContainer(pod, this.#worker(pod));
  }

  /** The hook counts against the grace period and is cut off at its end; without a grace period it is left out [kuberuntime_container.go killContainer]. */
  #stopContainer(pod: PodRecord, worker: PodWorker): void {
    const { preStopSleepSeconds, terminationGracePeriodSeconds: graceSeconds } = this.#deployment(pod);
    pod.container = 'stopping';
    const hookSeconds = Math.min(preStopSleepSeconds, graceSeconds);
    const restSeconds = Math.max(graceSeconds - hookSeconds, MINIMUM_GRACE_SECONDS);
    const leftNs = graceSeconds === 0 ? 0 : restSeconds * NS_PER_S;
    const servesNs = Math.min(worker.process.drawStopNs(), leftNs);
    const exitNs = Math.min(PROCESS_EXIT_NS, leftNs - servesNs);
    const closeAt = this.#simulation.now + Math.round(hookSeconds * NS_PER_S) + servesNs;
    worker.sigterm = this.#simulation.at(closeAt, PRIORITY_KUBELET, () => {
      this.#cancel(worker.listen);
      this.#cancel(worker.crash);
      pod.listening = false;
      this.#options.emit('process_stopped', `process of pod ${pod.name} stopped listening`, pod.deployment);
      worker.exit = this.#simulation.at(closeAt + exitNs, PRIORITY_KUBELET, () => this.#containerExited(pod, worker));
    });
  }

  #containerExited(pod: PodRecord, worker: PodWorker): void {
    for (const planned of [worker.listen, worker.crash, worker.sigterm, worker.exit]) this.#cancel(planned);
    if (worker.deletionSeen) {
      this.#finish(pod);
      return;
    }
    pod.container = 'waiting';
    if (this.#isSilent(pod)) return;
    this.#updateReadiness(pod, worker);
    this.#planStatus(pod, worker);
    this.#planRestart(pod, worker);
  }

  /** The pod is over: its address answers no more, and its last status is on the way. */
  #finish(pod: PodRecord): void {
    const worker = this.#worker(pod);
    for (const probe of Object.values(worker.probes)) probe.stop();
    pod.container = 'ended';
    pod.listening = false;
    pod.ready = false;
    this.#options.emit('pod_gone', `pod ${pod.name} gone`, pod.deployment);
    this.#planStatus(pod, worker);
  }

  /** Without a readiness probe a container is ready as soon as it has started. */
  #updateReadiness(pod: PodRecord, worker: PodWorker): void {
    const { readiness } = worker.probes;
    const ready = isRunning(pod) && hasStarted(worker) && (readiness === undefined || readiness.succeeded);
    if (ready === pod.ready) return;
    pod.ready = ready;
    pod.readyChangedAt = this.#simulation.now;
    const text = `pod ${pod.name} ${ready ? 'ready' : 'not ready'}`;
    this.#options.emit(ready ? 'pod_ready' : 'pod_not_ready', text, pod.deployment);
    this.#planStatus(pod, worker);
  }

  /** A kubelet that is down sends nothing; when it is back it reports every pod. */
  #planStatus(pod: PodRecord, worker: PodWorker): void {
    if (worker.statusPlanned || this.#isSilent(pod)) return;
    worker.statusPlanned = true;
    this.#simulation.at(this.#simulation.now, PRIORITY_STATUS_UPDATE, () => {
      worker.statusPlanned = false;
      if (this.#isSilent(pod)) return;
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

  #isSilent(pod: PodRecord): boolean {
    return this.#silentNodes.has(pod.nodeName);
  }

  #workersOn(node: string): [PodRecord, PodWorker][] {
    return [...this.#workers].filter(([pod]) => pod.nodeName === node);
  }

  #cancel(planned: EventHandle | undefined): boolean {
    return planned !== undefined && this.#simulation.cancel(planned);
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

/** The container's process exists, though it may be told to stop. */
function isRunning(pod: PodRecord): boolean {
  return pod.container === 'running' || pod.container === 'stopping';
}

/** The container's startup probe has succeeded, or it has none [prober_manager.go UpdatePodStatus]. */
function hasStarted(worker: PodWorker): boolean {
  return worker.probes.startup === undefined || worker.probes.startup.succeeded;
}
