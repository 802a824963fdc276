/** A pod's process as probes meet it: faults that are scripted, and a behaviour that is drawn for each start. */
import type { FailureMode, PodBehaviour, ProbeName, ProbeSelection, RandomSeconds } from '../model/churn.ts';
import { NS_PER_MS } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import type { RandomStream, Rng } from '../sim/rng.ts';
import { LONG_AGO } from './pod-store.ts';
import type { PodRecord } from './pod-store.ts';
import type { ProbeAnswer } from './probe-outcome.ts';

/** A fault of the answers to probes, active for `from <= now < until`: all the time, or the first `failingNs` of each `periodNs`. */
export interface ProbeFault {
  readonly probe: ProbeSelection;
  readonly mode: FailureMode;
  readonly from: SimTime;
  readonly until: SimTime;
  readonly flapping?: { readonly periodNs: SimTime; readonly failingNs: SimTime };
}

/** Keeps a distribution that gives 0 from making endless cycles. */
const SHORTEST_CYCLE_NS = NS_PER_MS;

export class PodProcess {
  readonly #behaviour: PodBehaviour | undefined;
  readonly #rng: Rng;
  readonly #pod: PodRecord;
  /** Made when they are needed: most pods of a large cluster have none. */
  #streams: Map<string, RandomStream> | undefined;
  #faults: ProbeFault[] | undefined;
  #warmUntil: SimTime = LONG_AGO;
  /** The cycle of flapping that was looked at last. */
  #cycle: { failingFrom: SimTime; until: SimTime } | undefined;
  readonly #createdAt: SimTime;

  /** Streams are named after the pod. */
  constructor(behaviour: PodBehaviour | undefined, rng: Rng, pod: PodRecord, now: SimTime) {
    this.#behaviour = behaviour;
    this.#rng = rng;
    this.#pod = pod;
    this.#createdAt = now;
  }

  addFault(fault: ProbeFault): void {
    (this.#faults ??= []).push(fault);
  }

  /** From the container's start to the process listening, for one start. */
  drawStartNs(): SimTime {
    return this.#draw('start', this.#behaviour?.startSeconds) ?? 0;
  }

  /** The process listens: it warms up from now on. */
  beginWarmUp(now: SimTime): void {
    const warmUpNs = this.#draw('warm-up', this.#behaviour?.warmUpSeconds);
    this.#warmUntil = warmUpNs === undefined ? LONG_AGO : now + warmUpNs;
  }

  /** From SIGTERM to the process not listening any more. */
  drawStopNs(): SimTime {
    return this.#draw('stop', this.#behaviour?.stopSeconds) ?? 0;
  }

  /** From now on to the process ending of itself; undefined when it does not. */
  drawCrashNs(): SimTime | undefined {
    return this.#draw('crash', this.#behaviour?.crashSeconds);
  }

  /** What a probe that begins now meets in a process that listens. A scripted fault is stronger than the behaviour. */
  answer(name: ProbeName, now: SimTime): ProbeAnswer {
    const fault = this.#faults?.find((each) => isMeant(each.probe, name) && isActive(each, now));
    if (fault !== undefined) return fault.mode;
    const behaviour = this.#behaviour;
    if (behaviour === undefined) return 'success';
    if (name === 'readiness' && now < this.#warmUntil) return behaviour.warmUpMode;
    const { flapping } = behaviour;
    if (flapping === undefined || !isMeant(flapping.probe, name)) return 'success';
    return this.#isFlapping(flapping, now) ? flapping.mode : 'success';
  }

  /** Cycles follow each other from a random phase on, whoever looks and when. */
  #isFlapping(flapping: NonNullable<PodBehaviour['flapping']>, now: SimTime): boolean {
    const next = (from: SimTime): { failingFrom: SimTime; until: SimTime } => {
      const drawn = this.#draw('flapping', flapping.periodSeconds) ?? 0;
      const periodNs = Math.max(SHORTEST_CYCLE_NS, drawn);
      return { failingFrom: from + Math.round(periodNs * (1 - flapping.failingRatio)), until: from + periodNs };
    };
    if (this.#cycle === undefined) {
      const first = next(0);
      const shift = this.#createdAt - Math.floor(this.#stream('phase').nextFloat() * first.until);
      this.#cycle = { failingFrom: first.failingFrom + shift, until: first.until + shift };
    }
    while (this.#cycle.until <= now) this.#cycle = next(this.#cycle.until);
    return now >= this.#cycle.failingFrom;
  }

  #draw(what: string, seconds: RandomSeconds | undefined): SimTime | undefined {
    if (seconds === undefined) return undefined;
    return Math.max(0, Math.round(seconds.next(this.#stream(what)) * 1e9));
  }

  #stream(what: string): RandomStream {
    const streams = (this.#streams ??= new Map<string, RandomStream>());
    const known = streams.get(what);
    if (known !== undefined) return known;
    const stream = this.#rng.stream(`behaviour/${what}/${this.#pod.namespace}/${this.#pod.name}`);
    streams.set(what, stream);
    return stream;
  }
}

function isMeant(selection: ProbeSelection, name: ProbeName): boolean {
  return selection === 'all' || selection === name;
}

function isActive({ from, until, flapping }: ProbeFault, now: SimTime): boolean {
  if (now < from || now >= until) return false;
  return flapping === undefined || (now - from) % flapping.periodNs < flapping.failingNs;
}
