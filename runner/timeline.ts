/** Gathers timeline.csv of one observed node in one trial: per bucket of time and service, endpoints ready and installed, connections and events. */
import type { TimelineRow } from '../model/observation.ts';
import { NS_PER_S, type SimTime } from '../model/time.ts';
import type { ConnectionOutcome } from './connection-fate.ts';

export interface EndpointView {
  readyEndpoints(servicePortId: number): number;
  installedEndpoints(servicePortId: number): number;
  servingEndpoints(servicePortId: number): number;
}

interface Tally {
  connections: number;
  failed: number;
  stale: number;
  broken: number;
}

export class Timeline {
  readonly #services: ReadonlyMap<number, string>;
  readonly #view: EndpointView;
  readonly #engine: string;
  readonly #replication: number;
  readonly #node: string;
  readonly #tallies = new Map<number, Tally>();
  readonly rows: TimelineRow[] = [];

  /** `services`: id to printed name of the service ports that are followed. */
  constructor(
    services: ReadonlyMap<number, string>,
    view: EndpointView,
    engine: string,
    replication: number,
    node: string,
  ) {
    this.#services = services;
    this.#view = view;
    this.#engine = engine;
    this.#replication = replication;
    this.#node = node;
    for (const id of services.keys()) this.#tallies.set(id, { connections: 0, failed: 0, stale: 0, broken: 0 });
  }

  count(servicePortId: number, outcome: ConnectionOutcome): void {
    const tally = this.#tallies.get(servicePortId);
    if (tally === undefined) return;
    // A broken connection was counted when it was made.
    if (outcome === 'broken') {
      tally.broken++;
      return;
    }
    tally.connections++;
    if (outcome === 'stale') tally.stale++;
    else if (outcome !== 'ok') tally.failed++;
  }

  /** A row for each followed service (or the given one): endpoint counts now, connections since its last row. */
  sample(at: SimTime, event = '', servicePortIds: Iterable<number> = this.#services.keys()): void {
    for (const id of servicePortIds) {
      const tally = this.#tallies.get(id);
      if (tally === undefined) continue;
      this.rows.push({
        engine: this.#engine,
        replication: this.#replication,
        node: this.#node,
        service: this.#services.get(id) as string,
        time_s: at / NS_PER_S,
        ready_endpoints: this.#view.readyEndpoints(id),
        installed_endpoints: this.#view.installedEndpoints(id),
        serving_endpoints: this.#view.servingEndpoints(id),
        connections: tally.connections,
        failed_connections: tally.failed,
        stale_connections: tally.stale,
        broken_connections: tally.broken,
        event,
      });
      tally.connections = 0;
      tally.failed = 0;
      tally.stale = 0;
      tally.broken = 0;
    }
  }
}
