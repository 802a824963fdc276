/** The loop that probes one container: startup, readiness or liveness [pkg/kubelet/prober/worker.go run, doProbe]. */
import { NS_PER_S } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import type { ProbeName } from '../model/churn.ts';
import type { Probe } from '../model/workload.ts';
import type { EventHandle } from '../sim/event-queue.ts';
import type { Simulation } from '../sim/simulation.ts';
import { PRIORITY_KUBELET } from './priorities.ts';
import { probeOutcome } from './probe-outcome.ts';
import type { ProbeAnswer, ProbeOutcome } from './probe-outcome.ts';

/** The container that a worker probes. */
export interface ProbeTarget {
  /** The container's process exists. */
  isRunning(): boolean;
  /** Its startup probe has succeeded, or it has none. */
  hasStarted(): boolean;
  startedAt(): SimTime;
  /** The kubelet knows that the pod is being deleted. */
  isBeingDeleted(): boolean;
  /** The kubelet works; while its node is down it probes nothing. */
  isWatched(): boolean;
  /** What a probe that begins now will meet. */
  answer(name: ProbeName): ProbeAnswer;
  /** When the check began to fail that fails now. */
  failingSince(name: ProbeName): SimTime;
}

export interface ProbeWorkerOptions {
  readonly simulation: Simulation;
  readonly name: ProbeName;
  readonly probe: Probe;
  readonly target: ProbeTarget;
  /** Nanoseconds until the first probe: part of a period when the kubelet has just started, else 0. */
  readonly phaseNs: SimTime;
  /** The pod ran and was ready before the trial; else its container is still to come. */
  readonly wasRunning: boolean;
  /** Called when the published result changes. */
  readonly onResult: (success: boolean) => void;
}

/** Of a new container before its first probe [newWorker]; a startup probe's result is not known. */
const INITIAL_RESULTS: Record<ProbeName, boolean | undefined> = {
  readiness: false,
  liveness: true,
  startup: undefined,
};

/**
 * The first probe runs after the phase, the next ones on a ticker, which does not wait for a slow probe: as Go's ticker it
 * keeps one tick for later and drops the rest. Until the startup probe has succeeded the others do not run, and from then
 * on it does not run.
 */
export class ProbeWorker {
  readonly #simulation: Simulation;
  readonly #name: ProbeName;
  readonly #probe: Probe;
  readonly #target: ProbeTarget;
  readonly #onResult: (success: boolean) => void;
  #result: boolean | undefined;
  #lastResult: boolean | undefined = undefined;
  #resultRun = 0;
  #failingSince: SimTime = 0;
  #onHold = false;
  #stopped = false;
  /** Counts containers, so an answer that comes after a restart is thrown away. */
  #containerNumber = 0;
  #probing = false;
  #probeWaits = false;
  #nextTick: EventHandle;

  constructor(options: ProbeWorkerOptions) {
    this.#simulation = options.simulation;
    this.#name = options.name;
    this.#probe = options.probe;
    this.#target = options.target;
    this.#onResult = options.onResult;
    this.#result = options.wasRunning ? true : INITIAL_RESULTS[options.name];
    const first = options.simulation.now + options.phaseNs;
    this.#nextTick = options.simulation.at(first, PRIORITY_KUBELET, () => this.#tick(first));
  }

  /** The published result is Success. */
  get succeeded(): boolean {
    return this.#result === true;
  }

  /** When the check began to fail, as the first probe of the present run of failures met it; undefined while there is none. */
  get failingSince(): SimTime | undefined {
    return this.#lastResult === false ? this.#failingSince : undefined;
  }

  /**
   * The container was started anew: its readiness is Failure, its liveness Success and its startup not known until a probe
   * says otherwise. The run of equal results goes on over a restart.
   */
  containerStarted(): void {
    this.#containerNumber++;
    this.#onHold = false;
    const initial = INITIAL_RESULTS[this.#name];
    if (initial === undefined) this.#result = initial;
    else this.#publish(initial);
  }

  /** A probe beside the ticker's: readiness has one as soon as the container has started [prober_manager.go UpdatePodStatus]. */
  trigger(): void {
    if (this.#probing) this.#probeWaits = true;
    else this.#run();
  }

  stop(): void {
    this.#stopped = true;
    this.#simulation.cancel(this.#nextTick);
  }

  #tick(at: SimTime): void {
    const next = at + this.#probe.periodSeconds * NS_PER_S;
    this.#nextTick = this.#simulation.at(next, PRIORITY_KUBELET, () => this.#tick(next));
    this.trigger();
  }

  #run(): void {
    if (this.#stopped || this.#onHold || !this.#target.isWatched()) return;
    const target = this.#target;
    if (!target.isRunning()) {
      if (this.#name === 'readiness') this.#publish(false);
      return;
    }
    if (this.#name !== 'readiness' && target.isBeingDeleted()) {
      this.stop();
      // A startup probe that had not succeeded yet sets the readiness probe free by this.
      this.#publish(true);
      return;
    }
    if (this.#isInInitialDelay()) return;
    if (target.hasStarted() === (this.#name === 'startup')) return;
    const outcome = probeOutcome(this.#probe.kind, target.answer(this.#name));
    if (outcome.result === 'failure' && this.#lastResult !== false) {
      this.#failingSince = target.failingSince(this.#name);
    }
    if (outcome.afterTimeout) this.#wait(outcome);
    else this.#take(outcome);
  }

  #wait(outcome: ProbeOutcome): void {
    this.#probing = true;
    const container = this.#containerNumber;
    const end = this.#simulation.now + this.#probe.timeoutSeconds * NS_PER_S;
    this.#simulation.at(end, PRIORITY_KUBELET, () => {
      this.#probing = false;
      if (this.#stopped) return;
      if (container === this.#containerNumber && this.#target.isWatched()) this.#take(outcome);
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

  /** A result that is thrown away does not end the run of equal ones. */
  #take({ result }: ProbeOutcome): void {
    if (result === 'error') return;
    const success = result === 'success';
    if (this.#lastResult === success) {
      this.#resultRun++;
    } else {
      this.#lastResult = success;
      this.#resultRun = 1;
    }
    const threshold = success ? this.#probe.successThreshold : this.#probe.failureThreshold;
    if (this.#resultRun < threshold) return;
    if (this.#name !== 'readiness' && !success) {
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
