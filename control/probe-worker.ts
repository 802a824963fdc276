/** The loop that probes one container, readiness or liveness [pkg/kubelet/prober/worker.go run, doProbe]. */
import { NS_PER_S } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import type { FailureMode } from '../model/churn.ts';
import type { Probe } from '../model/workload.ts';
import type { EventHandle } from '../sim/event-queue.ts';
import type { Simulation } from '../sim/simulation.ts';
import type { ProbeKind } from './pod-store.ts';
import { PRIORITY_KUBELET } from './priorities.ts';

/** The container that a worker probes. */
export interface ProbeTarget {
  /** The container's process exists. */
  isRunning(): boolean;
  startedAt(): SimTime;
  /** The kubelet knows that the pod is being deleted. */
  isBeingDeleted(): boolean;
  /** What a probe that begins now will meet. */
  answer(kind: ProbeKind): 'success' | FailureMode;
}

export interface ProbeWorkerOptions {
  readonly simulation: Simulation;
  readonly kind: ProbeKind;
  readonly probe: Probe;
  readonly target: ProbeTarget;
  /** Nanoseconds until the first probe: part of a period when the kubelet has just started, else 0. */
  readonly phaseNs: SimTime;
  /** The result that holds now: false for a new container's readiness, true for liveness and for a pod that was ready before the trial. */
  readonly initialResult: boolean;
  /** Called when the published result changes. */
  readonly onResult: (success: boolean) => void;
}

/**
 * A refused connection or an error status comes back at once, a hang costs the probe's timeout. The first probe runs
 * after the phase, the next ones on a ticker, which does not wait for a slow probe: as Go's ticker it keeps one tick for
 * later and drops the rest.
 */
export class ProbeWorker {
  readonly #simulation: Simulation;
  readonly #kind: ProbeKind;
  readonly #probe: Probe;
  readonly #target: ProbeTarget;
  readonly #onResult: (success: boolean) => void;
  #result: boolean;
  #lastResult: boolean | undefined = undefined;
  #resultRun = 0;
  #onHold = false;
  #stopped = false;
  /** Counts containers, so an answer that comes after a restart is thrown away. */
  #containerNumber = 0;
  #probing = false;
  #probeWaits = false;
  #nextTick: EventHandle;

  constructor(options: ProbeWorkerOptions) {
    this.#simulation = options.simulation;
    this.#kind = options.kind;
    this.#probe = options.probe;
    this.#target = options.target;
    this.#onResult = options.onResult;
    this.#result = options.initialResult;
    const first = options.simulation.now + options.phaseNs;
    this.#nextTick = options.simulation.at(first, PRIORITY_KUBELET, () => this.#tick(first));
  }

  /** The published result. */
  get result(): boolean {
    return this.#result;
  }

  /**
   * The container was started anew: its readiness is Failure and its liveness Success until a probe says otherwise. The
   * run of equal results goes on over a restart. Readiness is probed at once [prober_manager.go UpdatePodStatus].
   */
  containerStarted(): void {
    this.#containerNumber++;
    this.#onHold = false;
    this.#publish(this.#kind === 'liveness');
    if (this.#kind === 'readiness') this.#trigger();
  }

  stop(): void {
    this.#stopped = true;
    this.#simulation.cancel(this.#nextTick);
  }

  #tick(at: SimTime): void {
    const next = at + this.#probe.periodSeconds * NS_PER_S;
    this.#nextTick = this.#simulation.at(next, PRIORITY_KUBELET, () => this.#tick(next));
    this.#trigger();
  }

  #trigger(): void {
    if (this.#probing) this.#probeWaits = true;
    else this.#run();
  }

  #run(): void {
    if (this.#stopped || this.#onHold) return;
    const target = this.#target;
    if (!target.isRunning()) {
      if (this.#kind === 'readiness') this.#publish(false);
      return;
    }
    if (this.#kind === 'liveness' && target.isBeingDeleted()) {
      this.stop();
      return;
    }
    if (this.#isInInitialDelay()) return;
    const answer = target.answer(this.#kind);
    if (answer !== 'hang') {
      this.#take(answer === 'success');
      return;
    }
    this.#probing = true;
    const container = this.#containerNumber;
    const end = this.#simulation.now + this.#probe.timeoutSeconds * NS_PER_S;
    this.#simulation.at(end, PRIORITY_KUBELET, () => {
      this.#probing = false;
      if (this.#stopped) return;
      if (container === this.#containerNumber) this.#take(false);
      if (this.#probeWaits) {
        this.#probeWaits = false;
        this.#run();
      }
    });
  }

  /** startedAt has whole seconds, and so has the difference; a delay may thus end up to a second early. */
  #isInInitialDelay(): boolean {
    const startedAtSeconds = Math.floor(this.#target.startedAt() / NS_PER_S);
    const ageNs = this.#simulation.now - startedAtSeconds * NS_PER_S;
    return Math.floor(ageNs / NS_PER_S) < this.#probe.initialDelaySeconds;
  }

  #take(success: boolean): void {
    if (this.#lastResult === success) {
      this.#resultRun++;
    } else {
      this.#lastResult = success;
      this.#resultRun = 1;
    }
    const threshold = success ? this.#probe.successThreshold : this.#probe.failureThreshold;
    if (this.#resultRun < threshold) return;
    if (this.#kind === 'liveness' && !success) {
      // On hold until there is a new container.
      this.#onHold = true;
      this.#resultRun = 0;
    }
    this.#publish(success);
  }

  #publish(success: boolean): void {
    if (this.#result === success) return;
    this.#result = success;
    this.#onResult(success);
  }
}
