/** From the rows of timeline.csv to the instants of a chart: one trial an engine, summed over the services that change. */
import type { Cell } from '../../model/observation.ts';
import type { TimelineFileRow } from '../csv.ts';
import { axisTitle } from './axis-words.ts';

/** One instant of one engine, summed over the services that change. */
export interface Instant {
  readonly time_s: number;
  ready: number;
  installed: number;
  serving: number;
  connections: number;
  failed: number;
  stale: number;
  cut: number;
  events: string[];
}

/** The rows of one observed node in one trial, in ascending time. */
interface NodeTrial {
  readonly engine: string;
  readonly replication: number;
  readonly node: string;
  readonly rows: TimelineFileRow[];
}

/**
 * The first replication of the first point, and what else the file has. A node's rows of a trial are in ascending time, with those
 * of other nodes between them or after them, so a new trial begins where the engine, the replication or the point changes, or where
 * a node's time steps back.
 */
export function oneReplication(rows: readonly TimelineFileRow[]): {
  /** Of the first observed node. */
  shown: TimelineFileRow[];
  /** Of each further node that was observed. */
  otherNodes: NodeTrial[];
  pointText: string;
  otherPoints: number;
} {
  const replication = rows.reduce((least, row) => Math.min(least, row.replication), Infinity);
  const firsts = new Map<string, NodeTrial>();
  const points = new Map<string, number>();
  for (const trial of nodeTrials(rows)) {
    if (trial.replication !== replication) continue;
    const key = JSON.stringify([trial.engine, trial.node]);
    if (!firsts.has(key)) firsts.set(key, trial);
    points.set(key, (points.get(key) ?? 0) + 1);
  }
  const node = rows[0]?.node;
  const trials = [...firsts.values()];
  return {
    shown: trials.filter((trial) => trial.node === node).flatMap((trial) => trial.rows),
    otherNodes: trials.filter((trial) => trial.node !== node),
    pointText: pointText(rows[0]?.point ?? {}),
    otherPoints: Math.max(0, ...points.values()) - 1,
  };
}

function nodeTrials(rows: readonly TimelineFileRow[]): NodeTrial[] {
  const trials: NodeTrial[] = [];
  /** The trial that each node is in. */
  const open = new Map<string, NodeTrial>();
  let last: TimelineFileRow | undefined;
  for (const row of rows) {
    const same =
      last !== undefined &&
      last.engine === row.engine &&
      last.replication === row.replication &&
      pointText(last.point) === pointText(row.point);
    if (!same) open.clear();
    last = row;
    const trial = open.get(row.node);
    if (trial !== undefined && row.time_s >= (trial.rows.at(-1)?.time_s ?? 0)) {
      trial.rows.push(row);
      continue;
    }
    const next: NodeTrial = { engine: row.engine, replication: row.replication, node: row.node, rows: [row] };
    open.set(row.node, next);
    trials.push(next);
  }
  return trials;
}

function pointText(point: Readonly<Record<string, Cell>>): string {
  return Object.entries(point)
    .map(([name, value]) => `${axisTitle(name)} ${String(value)}`)
    .join(', ');
}

/** Services whose endpoints change or that lose connections; all when none does. */
export function changingServices(rows: readonly TimelineFileRow[]): string[] {
  const first = new Map<string, TimelineFileRow>();
  const changing = new Set<string>();
  for (const row of rows) {
    const start = first.get(row.service);
    if (start === undefined) first.set(row.service, row);
    const moved =
      start !== undefined &&
      (row.ready_endpoints !== start.ready_endpoints ||
        row.installed_endpoints !== start.installed_endpoints ||
        row.serving_endpoints !== start.serving_endpoints);
    const wrong = row.failed_connections + row.stale_connections + row.broken_connections;
    if (moved || wrong > 0) changing.add(row.service);
  }
  return [...(changing.size > 0 ? changing : first.keys())].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** A service has rows at the regular steps and at its own events; between them its endpoint counts stay as they were. */
export function instantsOf(rows: readonly TimelineFileRow[], engine: string, services: readonly string[]): Instant[] {
  const state = new Map<string, TimelineFileRow>();
  const instants: Instant[] = [];
  for (const row of rows) {
    if (row.engine !== engine) continue;
    const drawn = services.includes(row.service);
    if (drawn) state.set(row.service, row);
    let instant = instants.at(-1);
    if (instant?.time_s !== row.time_s) {
      instant = {
        time_s: row.time_s,
        ready: 0,
        installed: 0,
        serving: 0,
        connections: 0,
        failed: 0,
        stale: 0,
        cut: 0,
        events: [],
      };
      instants.push(instant);
    }
    // An event belongs to the cluster: it counts even where its row is that of a service that is not drawn.
    if (row.event !== '' && !instant.events.includes(row.event)) instant.events.push(row.event);
    instant.ready = 0;
    instant.installed = 0;
    instant.serving = 0;
    for (const known of state.values()) {
      instant.ready += known.ready_endpoints;
      instant.installed += known.installed_endpoints;
      instant.serving += known.serving_endpoints;
    }
    if (!drawn) continue;
    instant.connections += row.connections;
    instant.failed += row.failed_connections;
    instant.stale += row.stale_connections;
    instant.cut += row.broken_connections;
  }
  return instants;
}

/** Instants for the table: where something differs from the one before, or went wrong, or happened. */
export function notable(instants: readonly Instant[]): Instant[] {
  return instants.filter((instant, i) => {
    const before = instants[i - 1];
    return (
      before === undefined ||
      i === instants.length - 1 ||
      instant.ready !== before.ready ||
      instant.installed !== before.installed ||
      instant.serving !== before.serving ||
      wentWrong(instant) ||
      instant.events.some((event) => !isSync(event))
    );
  });
}

/** Whether a connection failed, went stale or was cut up to this instant, since the one before. */
export function wentWrong(instant: Instant): boolean {
  return instant.failed > 0 || instant.stale > 0 || instant.cut > 0;
}

/** Events of kube-proxy's own loop (`partial sync started: ...`), of which there are many; a pod may be named anything. */
export function isSync(event: string): boolean {
  return !event.startsWith('pod ') && /\bsync\b/.test(event);
}

interface Bucket {
  readonly from_s: number;
  readonly until_s: number;
  connections: number;
  failed: number;
  stale: number;
  cut: number;
}

/** Counts on a regular grid of about 60 bars: rows also stand at events, so their own intervals are uneven. */
export function wrongByBucket(instants: readonly Instant[], end: number): Bucket[] {
  const width = barWidth(end);
  const buckets = new Map<number, Bucket>();
  for (const instant of instants) {
    // A row counts what happened up to its time.
    const index = Math.max(0, Math.ceil(instant.time_s / width) - 1);
    const bucket = buckets.get(index) ?? {
      from_s: tidySeconds(index * width),
      until_s: tidySeconds((index + 1) * width),
      connections: 0,
      failed: 0,
      stale: 0,
      cut: 0,
    };
    bucket.connections += instant.connections;
    bucket.failed += instant.failed;
    bucket.stale += instant.stale;
    bucket.cut += instant.cut;
    buckets.set(index, bucket);
  }
  return [...buckets.values()];
}

/** The smallest of 1, 2 and 5 times a power of ten that makes at most 60 bars. */
function barWidth(end: number): number {
  for (let exponent = -6; exponent <= 9; exponent++) {
    for (const step of [1, 2, 5]) {
      const width = Number(`${step}e${exponent}`);
      if (end / width <= 60) return width;
    }
  }
  return end;
}

/** Without the last bits of a product such as 3 x 0.1. */
function tidySeconds(seconds: number): number {
  return Number(seconds.toPrecision(12));
}
