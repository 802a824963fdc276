/**
 * What is charted against an experiment's own axes, in this order. A metric has a chart where its columns are present and an axis
 * changes it; `all.ts` draws the first few of them.
 */
import type { Chart } from './chart.ts';
import type { Unit } from './scale.ts';
import { UNIT_BYTES, UNIT_COUNT, UNIT_INSTRUCTIONS, UNIT_NS, UNIT_SHARE } from './scale.ts';

export interface ChangeStatistic {
  readonly label: string;
  /** A column of observations.csv. */
  readonly metric: string;
  /** Another one that it is a share of. */
  readonly over?: string;
}

export interface ChangeMetric {
  readonly id: string;
  readonly title: string;
  readonly kind: Chart['kind'];
  readonly unit: Unit;
  /** From the columns' unit to `unit`. */
  readonly factor: number;
  /** The first has points and intervals; no chart without it. */
  readonly statistics: readonly ChangeStatistic[];
  /** The first statistic as the subject of a sentence. */
  readonly subject: string;
  /** What the axis of values shows. */
  readonly heading: string;
  readonly reading: string;
  /** Counts of what should be none: any difference is worth a chart, and zero is said in words. */
  readonly isLoss: boolean;
  /** A smaller difference, in `unit`, is what chance does to few connections. */
  readonly leastDifference?: number;
  /** Also against services or endpoints per service, for which work and cost have charts of their own. */
  readonly isOfChange: boolean;
}

export const NS_PER_MS = 1e6;

/** Established connections that were cut count against all connections too: each of these could have been. */
export const LOSSES: ChangeMetric = {
  id: 'losses',
  title: 'Connections lost',
  kind: 'simulated time',
  unit: UNIT_SHARE,
  factor: 1,
  statistics: [
    { label: 'new ones lost', metric: 'failed_connections', over: 'connections' },
    { label: 'established ones cut', metric: 'broken_connections', over: 'connections' },
  ],
  subject: 'the share of new connections lost',
  heading: 'share of all connections',
  reading:
    'A new connection is lost when it gets no answer or a refusal and its client gives up; an established one is cut when its pod stops first.',
  isLoss: true,
  isOfChange: true,
};

const LATENCY: ChangeMetric = {
  id: 'programming-latency',
  title: 'From a change to the rules',
  kind: 'simulated time',
  unit: UNIT_NS,
  factor: NS_PER_MS,
  statistics: [
    { label: 'median', metric: 'programming_latency_p50_ms' },
    { label: '99th percentile', metric: 'programming_latency_p99_ms' },
  ],
  subject: 'the median programming latency',
  heading: 'network programming latency',
  reading:
    "Network programming latency runs from a pod's readiness change or deletion to the end of the sync that puts it into a node's rules.",
  isLoss: false,
  isOfChange: true,
};

/** Compared with a wait that is there to outlast it; in no chart of its own. */
export const LONGEST_LATENCY: ChangeStatistic = { label: 'longest', metric: 'programming_latency_max_ms' };

const SIMPLE = { factor: 1, isLoss: false, isOfChange: false } as const;

const firstPacket = (id: string, unit: Unit): ChangeMetric => ({
  ...SIMPLE,
  id,
  title: 'Cost of a first packet',
  kind: 'modelled cost',
  unit,
  statistics: [{ label: 'mean', metric: `cost_first_packet_mean_${unit.suffix}` }],
  subject: 'the mean cost of a first packet',
  heading: 'modelled cost of a first packet',
  reading:
    "The first packet of a connection is the one that walks the rules and chooses an endpoint. The profile's range, which all values of a mode share, is in the table and in tooltips.",
});

export const CHANGE_METRICS: readonly ChangeMetric[] = [
  LOSSES,
  LATENCY,
  {
    ...SIMPLE,
    id: 'probe-detection',
    title: 'Time to detect a failed probe',
    kind: 'simulated time',
    unit: UNIT_NS,
    factor: NS_PER_MS,
    statistics: [
      { label: 'mean', metric: 'probe_detection_mean_ms' },
      { label: 'longest', metric: 'probe_detection_max_ms' },
    ],
    subject: 'the mean time to detect a failed probe',
    heading: 'from the failure to an unready pod',
    reading: 'It ends where the kubelet has seen enough failed probes in a row; what follows is programming latency.',
    isOfChange: true,
  },
  {
    ...SIMPLE,
    id: 'slice-bytes',
    title: 'Bytes of endpoint updates',
    kind: 'work',
    unit: UNIT_BYTES,
    statistics: [{ label: 'bytes', metric: 'endpoint_slice_bytes' }],
    subject: 'the number of bytes sent to watchers',
    heading: 'bytes sent to all nodes',
    reading:
      'Every write is sent to every node that watches: bytes are the size of each object written times the nodes.',
    isOfChange: true,
  },
  {
    ...SIMPLE,
    id: 'dns-queries',
    title: 'Queries of a name',
    kind: 'work',
    unit: UNIT_COUNT,
    statistics: [{ label: 'mean', metric: 'dns_queries_per_connection_mean' }],
    subject: 'the mean number of queries before a connection',
    heading: 'queries before a connection, mean',
    reading: 'Each is a datagram with one question; names that do not exist are asked for, too.',
  },
  {
    ...SIMPLE,
    id: 'dns-delay',
    title: 'Delay of a look-up',
    kind: 'simulated time',
    unit: UNIT_NS,
    factor: NS_PER_MS,
    statistics: [
      { label: 'mean', metric: 'dns_delay_mean_ms' },
      { label: '99th percentile', metric: 'dns_delay_p99_ms' },
    ],
    subject: 'the mean delay of a look-up',
    heading: 'from its beginning to its end',
    reading: 'A look-up ends with an address or without one, after all of its queries and time-outs.',
  },
  {
    ...SIMPLE,
    id: 'affinity',
    title: 'Clients that come back to their endpoint',
    kind: 'work',
    unit: UNIT_SHARE,
    statistics: [
      {
        label: 'same endpoint',
        metric: 'returning_connections_same_endpoint',
        over: 'returning_connections',
      },
    ],
    subject: 'the share of returning connections that meet the endpoint of the one before',
    heading: 'share of returning connections',
    reading: 'A returning connection is of a client that has had one to the same service port before.',
  },
  {
    ...SIMPLE,
    id: 'first-byte',
    title: 'Delay of the first byte',
    kind: 'simulated time',
    unit: UNIT_NS,
    factor: NS_PER_MS,
    statistics: [
      { label: 'mean', metric: 'first_byte_delay_mean_ms' },
      { label: '99th percentile', metric: 'first_byte_delay_p99_ms' },
    ],
    subject: 'the mean delay of the first byte',
    heading: 'from the first SYN to the answered one',
    reading: 'Retransmissions and retries of clients are in it; a connection that is answered at once has none.',
  },
  firstPacket('first-packet', UNIT_NS),
  firstPacket('first-packet-instructions', UNIT_INSTRUCTIONS),
  {
    ...SIMPLE,
    id: 'load-max',
    title: 'Balance: the busiest endpoint',
    kind: 'work',
    unit: UNIT_COUNT,
    statistics: [{ label: 'largest over mean', metric: 'load_max_over_mean_ratio' }],
    subject: 'the largest number of connections of an endpoint over the mean',
    heading: 'busiest endpoint, over the mean',
    reading: '1 is a perfect balance; the number of endpoints is all connections on one of them.',
    leastDifference: 0.1,
  },
  {
    ...SIMPLE,
    id: 'load-variation',
    title: 'Balance: spread over endpoints',
    kind: 'work',
    unit: UNIT_COUNT,
    statistics: [{ label: 'standard deviation over mean', metric: 'load_variation_ratio' }],
    subject: 'the coefficient of variation of connections over endpoints',
    heading: 'standard deviation over mean',
    leastDifference: 0.1,
    reading: '0 is a perfect balance. A single busy endpoint among many idle ones makes it large.',
  },
  {
    ...SIMPLE,
    id: 'sync-cpu',
    title: 'Time in syncs',
    kind: 'modelled cost',
    unit: UNIT_NS,
    factor: 1e9,
    statistics: [{ label: 'all syncs of a trial', metric: 'sync_cpu_s' }],
    subject: 'the time that kube-proxy spends in syncs over a trial',
    heading: 'modelled time of all syncs',
    reading: 'The first sync is in it. It is what the node pays for change.',
  },
];
