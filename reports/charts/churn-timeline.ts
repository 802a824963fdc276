/** Change over simulated time, one panel an engine: endpoints that are ready and that are installed, connections that went wrong. */
import type { TimelineFileRow } from '../csv.ts';
import type { Chart, Json, JsonObject } from './chart.ts';
import { VEGA_LITE_SCHEMA } from './chart.ts';
import type { Instant } from './churn-instants.ts';
import {
  changingServices,
  instantsOf,
  isSync,
  notable,
  oneReplication,
  wentWrong,
  wrongByBucket,
} from './churn-instants.ts';
import { engineLabel, engineStyle, orderEngines } from './engine-style.ts';
import { axisHeading, DESIGN_WIDTH } from './layout.ts';
import { field } from './scale.ts';
import { MARK_COLOUR, STRONG_COLOUR } from './theme.ts';
import { countOf, formatNumber, joinWords } from './words.ts';

/** Ready is what Kubernetes says, installed is what the node does; wrong connections are failed, stale or cut. */
const READY = 'ready (Kubernetes)';
const INSTALLED = 'installed (this node)';
const SERVING = 'of those, serving';
const FAILED = 'failed connections';
const STALE = 'stale connections';
const CUT = 'cut connections';
/** None is an engine's colour, which the installed line has; told apart with any colour vision, at least 3:1 on either page. */
const FAILED_COLOUR = '#c0377a';
const STALE_COLOUR = '#b08900';
const CUT_COLOUR = '#6a5acd';
export const WRONG_COLOURS: readonly string[] = [FAILED_COLOUR, STALE_COLOUR, CUT_COLOUR];

interface EngineTimeline {
  readonly engine: string;
  readonly instants: readonly Instant[];
  /** Of each further observed node: when how many endpoints were installed. */
  readonly others: readonly { readonly node: string; readonly instants: readonly Instant[] }[];
}

/** Rows of one replication at one point; undefined when nothing is there to draw. */
export function churnTimeline(rows: readonly TimelineFileRow[]): Chart | undefined {
  const { shown, otherNodes, pointText: point, otherPoints } = oneReplication(rows);
  const services = changingServices(shown);
  const engines = orderEngines(shown.map((row) => row.engine));
  const timelines = engines.map((engine) => ({
    engine,
    instants: instantsOf(shown, engine, services),
    others: otherNodes
      .filter((other) => other.engine === engine)
      .map(({ node, rows: own }) => ({ node, instants: instantsOf(own, engine, services) })),
  }));
  if (timelines.every((timeline) => timeline.instants.length < 2)) return undefined;
  const replication = shown[0]?.replication ?? 1;
  const end = Math.max(...timelines.map((timeline) => timeline.instants.at(-1)?.time_s ?? 0));
  const others = new Set(otherNodes.map((other) => other.node)).size;
  const context = [
    `Replication ${replication}`,
    ...(others > 0 ? [`node ${shown[0]?.node ?? ''}`] : []),
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
      // Each panel has an installed line of its engine's colour, so each has a legend of its own.
      resolve: { scale: { color: 'independent', strokeDash: 'independent' } },
    },
    finding: `${timelines.map(engineSentence).join(' ')}${more}`,
    reading:
      `${context}. ${faintLines(others)}Where the coloured line leaves the grey dashed one, the node does not use the ready endpoints yet; where the dotted line drops ` +
      'below it, the node still sends connections to pods that have stopped. Bars count connections by interval: failed ones got no answer or a refusal, stale ones reached a pod that was not ready, cut ones were established when their pod stopped. Vertical lines are events (faint: syncs of kube-proxy); pointing at one shows its text.',
    table: {
      columns: [
        'engine',
        'time (s)',
        'ready',
        'installed',
        'serving',
        'connections',
        'failed',
        'stale',
        'cut',
        'events',
      ],
      rows: timelines.flatMap(({ engine, instants }) =>
        notable(instants).map((instant) => [
          engineLabel(engine),
          instant.time_s,
          instant.ready,
          instant.installed,
          instant.serving,
          instant.connections,
          instant.failed,
          instant.stale,
          instant.cut,
          instant.events.join('; '),
        ]),
      ),
    },
  };
}

function faintLines(others: number): string {
  if (others === 0) return '';
  const what = others === 1 ? 'The faint coloured line is' : 'Faint coloured lines are';
  return `${what} what ${countOf(others, 'other observed node')} had installed; all else is of this node. `;
}

/** "With iptables, of 4,000 connections 12 failed, 3 went stale and 80 were cut, all between 10.5 s and 14 s; …" */
function engineSentence({ engine, instants }: EngineTimeline): string {
  const name = engineLabel(engine);
  let connections = 0;
  let failed = 0;
  let stale = 0;
  let cut = 0;
  let apart = 0;
  let dead = 0;
  let from: number | undefined;
  let to = 0;
  instants.forEach((instant, i) => {
    connections += instant.connections;
    failed += instant.failed;
    stale += instant.stale;
    cut += instant.cut;
    if (wentWrong(instant)) {
      from ??= instant.time_s;
      to = instant.time_s;
    }
    const next = instants[i + 1];
    if (next === undefined) return;
    if (instant.ready !== instant.installed) apart += next.time_s - instant.time_s;
    if (instant.serving < instant.installed) dead += next.time_s - instant.time_s;
  });
  const gaps = [
    ...(apart > 0 ? [`had another number of endpoints than are ready for ${formatNumber(apart)} s`] : []),
    ...(dead > 0 ? [`led to stopped pods for ${formatNumber(dead)} s`] : []),
  ];
  const gap = gaps.length > 0 ? `the node's rules ${gaps.join(' and ')}` : "the node's rules followed at once";
  if (from === undefined)
    return `With ${name} none of ${countOf(connections, 'connection')} failed, went stale or was cut; ${gap}.`;
  // Compared as printed: rounding may make two instants one.
  const [start, stop] = [formatNumber(from), formatNumber(to)];
  const when = start === stop ? `at ${start} s` : `between ${start} s and ${stop} s`;
  return (
    `With ${name}, of ${countOf(connections, 'connection')} ${formatNumber(failed)} failed, ${formatNumber(stale)} went stale ` +
    `and ${formatNumber(cut)} ${cut === 1 ? 'was' : 'were'} cut, all ${when}; ${gap}.`
  );
}

function enginePanels({ engine, instants, others }: EngineTimeline, end: number, last: boolean): Json[] {
  const x = (title: string | null): JsonObject => ({
    field: 'time_s',
    type: 'quantitative',
    title,
    scale: { domain: [0, end], nice: false, zero: true },
    axis: { grid: false, tickCount: 8, labelFlush: true, labelOverlap: 'greedy' },
  });
  const { label, colour } = engineStyle(engine);
  return [
    {
      title: {
        ...axisHeading(label),
        fontSize: 14,
        fontWeight: 600,
        color: STRONG_COLOUR,
        subtitle: 'endpoints',
        subtitlePadding: 8,
      },
      width: DESIGN_WIDTH,
      height: 130,
      layer: [...eventLayer(instants, x(null)), ...endpointLayers(instants, others, x(null), colour)],
    },
    {
      title: axisHeading('connections that went wrong'),
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

function endpointLayers(
  instants: readonly Instant[],
  others: EngineTimeline['others'],
  x: JsonObject,
  colour: string,
): Json[] {
  const values = instants.flatMap((instant) => [
    // Drawn first: where all installed endpoints serve, the installed line covers it.
    { time_s: instant.time_s, series: SERVING, endpoints: instant.serving },
    { time_s: instant.time_s, series: READY, endpoints: instant.ready },
    { time_s: instant.time_s, series: INSTALLED, endpoints: instant.installed },
  ]);
  const faint = others.flatMap(({ node, instants: own }) =>
    own.map((instant) => ({ time_s: instant.time_s, node, endpoints: instant.installed })),
  );
  const highest = Math.max(1, ...[...values, ...faint].map((value) => value.endpoints));
  const y: JsonObject = {
    field: 'endpoints',
    type: 'quantitative',
    title: null,
    scale: { domain: [0, highest * 1.08], nice: false },
    axis: { tickCount: Math.min(4, highest), format: ',d', tickMinStep: 1 },
  };
  const legend: JsonObject = { symbolType: 'stroke', symbolSize: 400 };
  const faintLayer: Json = {
    data: { values: faint },
    mark: { type: 'line', interpolate: 'step-after', strokeWidth: 1, opacity: 0.45, color: colour, tooltip: false },
    encoding: { x, y, detail: { field: 'node' } },
  };
  return [
    ...(faint.length > 0 ? [faintLayer] : []),
    {
      data: { values },
      mark: { type: 'line', interpolate: 'step-after', strokeWidth: 2.2, tooltip: false },
      encoding: {
        x,
        y,
        color: seriesColour([READY, INSTALLED, SERVING], [MARK_COLOUR, colour, FAILED_COLOUR], legend),
        strokeDash: {
          field: 'series',
          type: 'nominal',
          scale: {
            domain: [READY, INSTALLED, SERVING],
            range: [
              [5, 3],
              [1, 0],
              [2, 2],
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
    return [
      bar(FAILED, bucket.failed, 0),
      bar(STALE, bucket.stale, bucket.failed),
      bar(CUT, bucket.cut, bucket.failed + bucket.stale),
    ].filter((row) => row['count'] !== 0);
  });
  const highest = Math.max(1, ...buckets.map((bucket) => bucket.failed + bucket.stale + bucket.cut));
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
          title: null,
          scale: { domain: [0, highest], nice: true },
          axis: { tickCount: Math.min(3, highest), format: ',d', tickMinStep: 1 },
        },
        y2: { field: 'above' },
        color: seriesColour([FAILED, STALE, CUT], WRONG_COLOURS, { symbolType: 'square' }),
        tooltip: [
          field('from_s', 'from (s)', 'quantitative'),
          field('until_s', 'until (s)', 'quantitative'),
          field('series', 'what'),
          field('count', 'connections', 'quantitative'),
          // A cut connection may be older than its bar, so this is no share.
          field('of', 'connections begun', 'quantitative'),
        ],
      },
    },
  ];
}

function seriesColour(names: readonly string[], range: readonly string[], legend: JsonObject): JsonObject {
  return { field: 'series', type: 'nominal', title: null, scale: { domain: names, range }, legend };
}
