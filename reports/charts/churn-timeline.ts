/** Change over simulated time, one panel an engine: endpoints that are ready and that are installed, connections that went wrong. */
import type { Cell } from '../../model/observation.ts';
import type { TimelineFileRow } from '../csv.ts';
import type { Chart, Json, JsonObject } from './chart.ts';
import { VEGA_LITE_SCHEMA } from './chart.ts';
import { engineLabel, orderEngines } from './engine-style.ts';
import { DESIGN_WIDTH } from './layout.ts';
import { field } from './scale.ts';
import { MARK_COLOUR } from './theme.ts';
import { axisTitle } from './series.ts';
import { countOf, formatNumber, joinWords } from './words.ts';

/** Ready is what Kubernetes says, installed is what the node does; wrong connections are failed or stale. */
const READY = 'ready endpoints (Kubernetes)';
const INSTALLED = 'installed endpoints (this node)';
const FAILED = 'failed connections';
const STALE = 'stale connections';
const COLOURS: Readonly<Record<string, string>> = {
  [READY]: 'var(--chart-mark, #6b7280)',
  [INSTALLED]: '#0f7fc4',
  [FAILED]: '#d55e00',
  [STALE]: '#c98a00',
};

/** One instant of one engine, summed over the services that change. */
interface Instant {
  readonly time_s: number;
  ready: number;
  installed: number;
  connections: number;
  failed: number;
  stale: number;
  events: string[];
}

interface EngineTimeline {
  readonly engine: string;
  readonly instants: readonly Instant[];
}

/** Rows of one replication at one point; undefined when nothing is there to draw. */
export function churnTimeline(rows: readonly TimelineFileRow[]): Chart | undefined {
  const { shown, pointText: point, otherPoints } = oneReplication(rows);
  const services = changingServices(shown);
  const engines = orderEngines(shown.map((row) => row.engine));
  const timelines = engines.map((engine) => ({ engine, instants: instantsOf(shown, engine, services) }));
  if (timelines.every((timeline) => timeline.instants.length < 2)) return undefined;
  const replication = shown[0]?.replication ?? 1;
  const end = Math.max(...timelines.map((timeline) => timeline.instants.at(-1)?.time_s ?? 0));
  const context = [
    `Replication ${replication}`,
    services.length > 3 ? countOf(services.length, 'service') : joinWords(services),
    ...(point === '' ? [] : [point]),
  ].join(', ');
  const more = otherPoints > 0 ? ` ${countOf(otherPoints, 'other point')} of the sweep are not drawn.` : '';
  return {
    id: 'churn-timeline',
    title: 'Endpoints and connections over time',
    kind: 'simulated time',
    spec: {
      $schema: VEGA_LITE_SCHEMA,
      spacing: 34,
      vconcat: timelines.flatMap((timeline, i) => enginePanels(timeline, end, i === timelines.length - 1)),
      resolve: { scale: { color: 'independent' } },
    },
    finding: `${timelines.map(engineSentence).join(' ')}${more}`,
    reading:
      `${context}. Where the blue line leaves the grey one, the node still sends connections to endpoints that are gone, or not yet ` +
      'to new ones. Bars count connections in each interval; thin vertical lines are events, whose text shows on pointing at them.',
    table: {
      columns: ['engine', 'time (s)', 'ready', 'installed', 'connections', 'failed', 'stale', 'events'],
      rows: timelines.flatMap(({ engine, instants }) =>
        notable(instants).map((instant) => [
          engineLabel(engine),
          instant.time_s,
          instant.ready,
          instant.installed,
          instant.connections,
          instant.failed,
          instant.stale,
          instant.events.join('; '),
        ]),
      ),
    },
  };
}

/**
 * The first replication of the first point, and what else the file has. A trial's rows stand together in ascending time,
 * so a new trial begins where the engine, the replication or the point changes, or where time steps back.
 */
function oneReplication(rows: readonly TimelineFileRow[]): {
  shown: TimelineFileRow[];
  pointText: string;
  otherPoints: number;
} {
  const trials: TimelineFileRow[][] = [];
  let last: TimelineFileRow | undefined;
  for (const row of rows) {
    const same =
      last !== undefined &&
      last.engine === row.engine &&
      last.replication === row.replication &&
      pointText(last.point) === pointText(row.point) &&
      row.time_s >= last.time_s;
    if (same) trials.at(-1)?.push(row);
    else trials.push([row]);
    last = row;
  }
  const replication = rows.reduce((least, row) => Math.min(least, row.replication), Infinity);
  const shown = new Map<string, TimelineFileRow[]>();
  const points = new Map<string, number>();
  for (const trial of trials) {
    const first = trial[0];
    if (first?.replication !== replication) continue;
    if (!shown.has(first.engine)) shown.set(first.engine, trial);
    points.set(first.engine, (points.get(first.engine) ?? 0) + 1);
  }
  return {
    shown: [...shown.values()].flat(),
    pointText: pointText(rows[0]?.point ?? {}),
    otherPoints: Math.max(0, ...points.values()) - 1,
  };
}

function pointText(point: Readonly<Record<string, Cell>>): string {
  return Object.entries(point)
    .map(([name, value]) => `${axisTitle(name)} ${String(value)}`)
    .join(', ');
}

/** Services whose endpoints change or that lose connections; all when none does. */
function changingServices(rows: readonly TimelineFileRow[]): string[] {
  const first = new Map<string, TimelineFileRow>();
  const changing = new Set<string>();
  for (const row of rows) {
    const start = first.get(row.service);
    if (start === undefined) first.set(row.service, row);
    const moved =
      start !== undefined &&
      (row.ready_endpoints !== start.ready_endpoints || row.installed_endpoints !== start.installed_endpoints);
    if (moved || row.failed_connections > 0 || row.stale_connections > 0) changing.add(row.service);
  }
  return [...(changing.size > 0 ? changing : first.keys())].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** A service has rows at the regular steps and at its own events; between them its endpoint counts stay as they were. */
function instantsOf(rows: readonly TimelineFileRow[], engine: string, services: readonly string[]): Instant[] {
  const state = new Map<string, TimelineFileRow>();
  const instants: Instant[] = [];
  for (const row of rows) {
    if (row.engine !== engine) continue;
    const drawn = services.includes(row.service);
    if (drawn) state.set(row.service, row);
    let instant = instants.at(-1);
    if (instant?.time_s !== row.time_s) {
      instant = { time_s: row.time_s, ready: 0, installed: 0, connections: 0, failed: 0, stale: 0, events: [] };
      instants.push(instant);
    }
    // An event belongs to the cluster: it counts even where its row is that of a service that is not drawn.
    if (row.event !== '' && !instant.events.includes(row.event)) instant.events.push(row.event);
    instant.ready = 0;
    instant.installed = 0;
    for (const known of state.values()) {
      instant.ready += known.ready_endpoints;
      instant.installed += known.installed_endpoints;
    }
    if (!drawn) continue;
    instant.connections += row.connections;
    instant.failed += row.failed_connections;
    instant.stale += row.stale_connections;
  }
  return instants;
}

/** Instants for the table: where something differs from the one before, or went wrong, or happened. */
function notable(instants: readonly Instant[]): Instant[] {
  return instants.filter((instant, i) => {
    const before = instants[i - 1];
    return (
      before === undefined ||
      i === instants.length - 1 ||
      instant.ready !== before.ready ||
      instant.installed !== before.installed ||
      instant.failed > 0 ||
      instant.stale > 0 ||
      instant.events.some((event) => !isSync(event))
    );
  });
}

function isSync(event: string): boolean {
  return event.startsWith('sync');
}

/** "With iptables 12 of 4,000 connections failed, and 3 more went to an endpoint that was gone, between 10.5 s and 14 s; …" */
function engineSentence({ engine, instants }: EngineTimeline): string {
  const name = engineLabel(engine);
  let connections = 0;
  let failed = 0;
  let stale = 0;
  let apart = 0;
  let from: number | undefined;
  let to = 0;
  instants.forEach((instant, i) => {
    connections += instant.connections;
    failed += instant.failed;
    stale += instant.stale;
    if (instant.failed > 0 || instant.stale > 0) {
      from ??= instant.time_s;
      to = instant.time_s;
    }
    const next = instants[i + 1];
    if (next !== undefined && instant.ready !== instant.installed) apart += next.time_s - instant.time_s;
  });
  const gap =
    apart > 0
      ? `the node's rules differed from the ready endpoints for ${formatNumber(apart)} s`
      : `the node's rules never differed from the ready endpoints`;
  if (from === undefined)
    return `With ${name} none of ${countOf(connections, 'connection')} failed or went stale; ${gap}.`;
  const when = from === to ? `at ${formatNumber(from)} s` : `between ${formatNumber(from)} s and ${formatNumber(to)} s`;
  return `With ${name}, of ${countOf(connections, 'connection')} ${formatNumber(failed)} failed and ${formatNumber(stale)} went stale, all ${when}; ${gap}.`;
}

function enginePanels({ engine, instants }: EngineTimeline, end: number, last: boolean): Json[] {
  const x = (title: string | null): JsonObject => ({
    field: 'time_s',
    type: 'quantitative',
    title,
    scale: { domain: [0, end], nice: false, zero: true },
    axis: { grid: false, tickCount: 8, labelFlush: true },
  });
  const name = engineLabel(engine);
  const heading: JsonObject = {
    text: name,
    anchor: 'start',
    fontSize: 14,
    fontWeight: 600,
    offset: 14,
    color: 'var(--chart-strong, #1b2027)',
  };
  return [
    {
      title: heading,
      width: DESIGN_WIDTH,
      height: 130,
      layer: [...eventLayer(instants, x(null)), ...endpointLayers(instants, x(null))],
    },
    {
      width: DESIGN_WIDTH,
      height: 70,
      layer: connectionLayers(instants, x(last ? 'simulated time (s)' : null), end),
    },
  ];
}

function eventLayer(instants: readonly Instant[], x: JsonObject): Json[] {
  const values = instants.flatMap((instant) =>
    instant.events.map((event) => ({ time_s: instant.time_s, event, sync: isSync(event) })),
  );
  if (values.length === 0) return [];
  const tooltip = [field('time_s', 'time (s)', 'quantitative'), field('event', 'event')];
  return [
    {
      data: { values },
      mark: { type: 'rule', color: MARK_COLOUR, tooltip: false },
      encoding: {
        x,
        opacity: { condition: { test: 'datum.sync', value: 0.22 }, value: 0.75 },
        strokeDash: { condition: { test: 'datum.sync', value: [1, 0] }, value: [3, 3] },
      },
    },
    { data: { values }, mark: { type: 'rule', strokeWidth: 9, opacity: 0 }, encoding: { x, tooltip } },
  ];
}

function endpointLayers(instants: readonly Instant[], x: JsonObject): Json[] {
  const values = instants.flatMap((instant) => [
    { time_s: instant.time_s, series: READY, endpoints: instant.ready },
    { time_s: instant.time_s, series: INSTALLED, endpoints: instant.installed },
  ]);
  const highest = Math.max(1, ...values.map((value) => value.endpoints));
  const y: JsonObject = {
    field: 'endpoints',
    type: 'quantitative',
    title: 'endpoints',
    scale: { domain: [0, highest * 1.08], nice: false },
    axis: { tickCount: Math.min(4, highest), format: '~g', tickMinStep: 1 },
  };
  const legend: JsonObject = { symbolType: 'stroke', symbolSize: 400 };
  return [
    {
      data: { values },
      mark: { type: 'line', interpolate: 'step-after', strokeWidth: 2.2, tooltip: false },
      encoding: {
        x,
        y,
        color: seriesColour([READY, INSTALLED], legend),
        strokeDash: {
          field: 'series',
          type: 'nominal',
          scale: {
            domain: [READY, INSTALLED],
            range: [
              [5, 3],
              [1, 0],
            ],
          },
          legend,
        },
      },
    },
    {
      data: { values },
      mark: { type: 'point', filled: true, size: 120, opacity: 0 },
      encoding: {
        x,
        y,
        tooltip: [
          field('time_s', 'time (s)', 'quantitative'),
          field('series', 'series'),
          field('endpoints', 'endpoints', 'quantitative'),
        ],
      },
    },
  ];
}

function connectionLayers(instants: readonly Instant[], x: JsonObject, end: number): Json[] {
  const buckets = wrongByBucket(instants, end);
  const values = buckets.flatMap((bucket) => {
    const bar = (series: string, count: number, below: number): JsonObject => ({
      from_s: bucket.from_s,
      until_s: bucket.until_s,
      series,
      count,
      below,
      above: below + count,
      of: bucket.connections,
    });
    return [bar(FAILED, bucket.failed, 0), bar(STALE, bucket.stale, bucket.failed)].filter((row) => row['count'] !== 0);
  });
  const highest = Math.max(1, ...buckets.map((bucket) => bucket.failed + bucket.stale));
  return [
    {
      data: { values },
      mark: { type: 'rect' },
      encoding: {
        x: { ...x, field: 'from_s' },
        x2: { field: 'until_s' },
        y: {
          field: 'below',
          type: 'quantitative',
          title: 'connections that went wrong',
          scale: { domain: [0, highest], nice: true },
          axis: { tickCount: Math.min(3, highest), format: '~g', tickMinStep: 1 },
        },
        y2: { field: 'above' },
        color: seriesColour([FAILED, STALE], { symbolType: 'square' }),
        tooltip: [
          field('from_s', 'from (s)', 'quantitative'),
          field('until_s', 'until (s)', 'quantitative'),
          field('series', 'what'),
          field('count', 'connections', 'quantitative'),
          field('of', 'of all connections', 'quantitative'),
        ],
      },
    },
  ];
}

interface Bucket {
  readonly from_s: number;
  readonly until_s: number;
  connections: number;
  failed: number;
  stale: number;
}

/** Counts on a regular grid of about 60 bars: rows also stand at events, so their own intervals are uneven. */
function wrongByBucket(instants: readonly Instant[], end: number): Bucket[] {
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
    };
    bucket.connections += instant.connections;
    bucket.failed += instant.failed;
    bucket.stale += instant.stale;
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

function seriesColour(names: readonly string[], legend: JsonObject): JsonObject {
  const range = names.map((name) => COLOURS[name] ?? '#808080');
  return { field: 'series', type: 'nominal', title: null, scale: { domain: names, range }, legend };
}
