/** Axes of a sweep as a reader knows them: `proxy.min_sync_period_s` 1 is "minSyncPeriod 1 s"; one that is not known keeps its path. */
import type { Cell } from '../../model/observation.ts';
import { formatNumber } from './words.ts';

/** Between a number and its unit, which a line break should not part. */
const NBSP = '\u00a0';

interface AxisWords {
  /** What the numbers count or measure: on a chart's axis, and behind "from 0 to 10". */
  readonly title: string;
  readonly span: string;
  /** Behind a value that stands alone: a space and `s`, or nothing. */
  readonly unit: string;
  /** One value with its name. */
  readonly at: (value: string) => string;
  /** Values that have a word of their own. */
  readonly words?: Readonly<Record<string, string>>;
}

/** A setting in seconds, by the name that Kubernetes gives it. */
const seconds = (name: string): AxisWords => ({
  title: `${name} (s)`,
  span: `s of ${name}`,
  unit: `${NBSP}s`,
  at: (value) => `${name} ${value}${NBSP}s`,
});
/** A count, which stands before its noun. */
const counted = (noun: string): AxisWords => ({
  title: noun,
  span: noun,
  unit: '',
  at: (value) => `${value} ${noun}`,
});
const named = (name: string): AxisWords => ({
  title: name,
  span: `of ${name}`,
  unit: '',
  at: (value) => `${name} ${value}`,
});

/** A setting whose values are words that need no name before them. */
const choice = (title: string, words: Readonly<Record<string, string>>): AxisWords => ({
  ...named(title),
  at: (value) => value,
  words,
});

const KNOWN: readonly (readonly [path: RegExp, words: AxisWords])[] = [
  [/^cluster\.pre_stop_s$/, seconds('preStop')],
  [/^proxy\.min_sync_period_s$/, seconds('minSyncPeriod')],
  [/^proxy\.sync_period_s$/, seconds('syncPeriod')],
  [/^traffic\.connect_timeout_s$/, seconds('connect timeout')],
  [/^traffic\.retries$/, counted('retries')],
  [/^traffic\.client_ports$/, counted('client ports')],
  [/^(cluster|cluster\.synthetic)\.nodes$/, counted('nodes')],
  [/^propagation\.max_endpoints_per_slice$/, counted('endpoints per slice')],
  [/^propagation\.endpoint_batch_s$/, seconds('batch period')],
  [/^churn\.\d+\.pods\.shutdown_s$/, seconds('shutdown')],
  [/^services$/, counted('services')],
  [/^endpoints_per_service$/, counted('endpoints per service')],
  [/^churn\.\d+\.pod_churn\.per_s$/, counted('pod changes per s')],
  [/^churn\.\d+\.probe_\w+\.mode$/, named('mode of failure')],
  [/^churn\.\d+\.probe_flapping\.period_s$/, seconds('flapping period')],
  [/^churn\.\d+\.probe_flapping\.failing_ratio$/, named('failing share')],
  [/^cluster\.readiness_probe\.kind$/, named('probe')],
  [/^cluster\.readiness_probe\.period_s$/, seconds('probe period')],
  [/^cluster\.readiness_probe\.timeout_s$/, seconds('probe timeout')],
  [/^cluster\.readiness_probe\.failure_threshold$/, named('failureThreshold')],
  [/^proxy\.ipvs_scheduler$/, named('scheduler')],
  [/^proxy\.minimize_iptables_restore$/, choice('syncs', { true: 'partial syncs', false: 'full syncs' })],
  [/^propagation\.endpoints_api$/, choice('API', { endpoints: 'Endpoints', slices: 'EndpointSlices' })],
  [/^traffic\.dns\.name$/, named('name')],
  [/^traffic\.dns\.ndots$/, named('ndots')],
  [/^kube_?proxy$/i, named('kube-proxy')],
];

function wordsOf(axis: string): AxisWords {
  return KNOWN.find(([path]) => path.test(axis))?.[1] ?? named(axisTitle(axis));
}

/** `endpoints_per_service` -> `endpoints per service`; a dotted axis keeps its path. */
export function axisTitle(name: string): string {
  return name.includes('.') ? name : name.replaceAll('_', ' ');
}

/** For the axis of a chart and the head of a column: "preStop (s)". */
export function axisHead(axis: string): string {
  return wordsOf(axis).title;
}

/** The axis without its unit: "preStop". */
export function axisName(axis: string): string {
  return wordsOf(axis).title.replace(/ \(s\)$/, '');
}

/** Behind a range of values: "s of preStop", "nodes". */
export function axisSpan(axis: string): string {
  return wordsOf(axis).span;
}

/** One value of an axis with its name: "preStop 5 s", "5,000 nodes". */
export function axisAt(axis: string, value: Cell): string {
  const words = wordsOf(axis);
  return words.at(valueText(value, words));
}

/** One value where the axis is known from what stands before: "5 s", "5,000". */
export function axisValue(axis: string, value: Cell): string {
  const words = wordsOf(axis);
  return `${valueText(value, words)}${words.unit}`;
}

function valueText(value: Cell, { words }: AxisWords): string {
  if (value === null) return 'not set';
  return typeof value === 'number' ? formatNumber(value) : (words?.[String(value)] ?? String(value));
}
