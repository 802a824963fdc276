/**
 * The API server and its watches as delays: kubelet -> API server -> EndpointSlice controller -> the observed node.
 * A watch and a kubelet's status updates are ordered streams, so a later message never overtakes an earlier one.
 */
import type { SimTime } from '../model/time.ts';
import type { Distribution } from '../sim/distributions.ts';
import type { RandomStream, Rng } from '../sim/rng.ts';
import type { Simulation } from '../sim/simulation.ts';
import type { PodRecord } from './pod-store.ts';
import { PRIORITY_CONTROLLER, PRIORITY_KUBELET, PRIORITY_WATCH } from './priorities.ts';

/** Delays of the control plane, each in seconds. */
export interface Propagation {
  /** From a kubelet's decision to the pod's status in the API server. */
  readonly statusUpdate: Distribution;
  /** From a pod's change in the API server to the EndpointSlices that show it. */
  readonly endpointSlice: Distribution;
  /** From a write in the API server to a watcher: the observed node's kube-proxy, and any node's kubelet. */
  readonly watch: Distribution;
  /** From a pod's creation to its process listening: scheduling, image, sandbox, container, start of the process. */
  readonly podStart: Distribution;
  /** How long the API server takes to make a pod: the pace of a ReplicaSet's slow start. Absent: no time. */
  readonly apiCall?: Distribution;
}

/** A draw in whole nanoseconds; a distribution's negative value counts as zero. */
export function drawDelayNs(distribution: Distribution, stream: RandomStream): SimTime {
  return Math.max(0, Math.round(distribution.next(stream) * 1e9));
}

/** A first-in-first-out channel with a random delay. */
export class DelayLine {
  readonly #simulation: Simulation;
  readonly #distribution: Distribution;
  readonly #stream: RandomStream;
  readonly #priority: number;
  #lastArrival: SimTime = 0;

  constructor(simulation: Simulation, distribution: Distribution, stream: RandomStream, priority: number) {
    this.#simulation = simulation;
    this.#distribution = distribution;
    this.#stream = stream;
    this.#priority = priority;
  }

  send(arrive: () => void): void {
    const arrival = this.#simulation.now + drawDelayNs(this.#distribution, this.#stream);
    this.#lastArrival = Math.max(this.#lastArrival, arrival);
    this.#simulation.at(this.#lastArrival, this.#priority, arrive);
  }
}

export class ApiFanout {
  readonly #simulation: Simulation;
  readonly #rng: Rng;
  readonly #propagation: Propagation;
  readonly #statusLines = new Map<PodRecord, DelayLine>();
  readonly #endpointStreams = new Map<string, RandomStream>();
  #dnsLine: DelayLine | undefined;

  constructor(simulation: Simulation, rng: Rng, propagation: Propagation) {
    this.#simulation = simulation;
    this.#rng = rng.sub('propagation');
    this.#propagation = propagation;
  }

  /** A kubelet's status update of one pod [pkg/kubelet/status/status_manager.go]. */
  sendStatus(pod: PodRecord, arrive: () => void): void {
    let line = this.#statusLines.get(pod);
    if (line === undefined) {
      const stream = this.#rng.stream(`status/${pod.namespace}/${pod.name}`);
      line = new DelayLine(this.#simulation, this.#propagation.statusUpdate, stream, PRIORITY_CONTROLLER);
      this.#statusLines.set(pod, line);
    }
    line.send(arrive);
  }

  /** A pod will send no more. */
  closeStatus(pod: PodRecord): void {
    this.#statusLines.delete(pod);
  }

  /** A pod's deletion on its way to its kubelet, which watches the API server as kube-proxy does. */
  sendDeletion(pod: PodRecord, arrive: () => void): void {
    const stream = this.#rng.stream(`deletion/${pod.namespace}/${pod.name}`);
    const delay = drawDelayNs(this.#propagation.watch, stream);
    this.#simulation.at(this.#simulation.now + delay, PRIORITY_KUBELET, arrive);
  }

  /**
   * The EndpointSlice controller's work on one Service: its informer's lag, its queue and its write. Later changes do not put off what
   * waits in the queue for the batch period to pass [client-go workqueue/delaying_queue.go insert].
   */
  runEndpointSync(service: string, batchNs: SimTime, run: () => void): void {
    let stream = this.#endpointStreams.get(service);
    if (stream === undefined) {
      stream = this.#rng.stream(`endpoint-slice/${service}`);
      this.#endpointStreams.set(service, stream);
    }
    const delay = drawDelayNs(this.#propagation.endpointSlice, stream);
    this.#simulation.at(this.#simulation.now + batchNs + delay, PRIORITY_CONTROLLER, run);
  }

  /** The watch of a node's kube-proxy; the first observed node's has no name in its stream. */
  watchOf(node?: string): DelayLine {
    const stream = node === undefined ? this.#rng.stream('watch') : this.watchStream(node);
    return new DelayLine(this.#simulation, this.#propagation.watch, stream, PRIORITY_WATCH);
  }

  /** The delays of a node's watch. */
  watchStream(node: string): RandomStream {
    return this.#rng.stream(`watch/${node}`);
  }

  /** The same event on its way to CoreDNS, whose watch is another. */
  sendToDns(arrive: () => void): void {
    this.#dnsLine ??= new DelayLine(
      this.#simulation,
      this.#propagation.watch,
      this.#rng.stream('watch-dns'),
      PRIORITY_WATCH,
    );
    this.#dnsLine.send(arrive);
  }
}
