/** What an experiment showed, in sentences computed from its rows: printed at the end of a sweep and opening its report. */
import type { TimelineRow } from '../model/observation.ts';
import type { SummaryRow } from '../reports/csv.ts';
import type { ChurnSpec } from '../scenarios/spec.ts';
import { logLogSlope } from './statistics.ts';
import { FAILURE_KINDS } from './trial-meter.ts';

export interface Finding {
  readonly id: string;
  readonly text: string;
}

/** Mean of one metric at each number of services, for one engine, in ascending order; other axes at their first value. */
export interface Series {
  readonly services: number[];
  readonly rules: number[];
  readonly means: number[];
}

export function seriesOf(summary: readonly SummaryRow[], engine: string, metric: string): Series {
  const rows = summary
    .filter((row) => row.engine === engine && row.metric === metric && row.mean !== null)
    .sort((a, b) => (a.services ?? 0) - (b.services ?? 0));
  const series: Series = { services: [], rules: [], means: [] };
  for (const row of rows) {
    if (series.services.at(-1) === row.services) continue;
    series.services.push(row.services ?? 0);
    series.rules.push(row.rules ?? 0);
    series.means.push(row.mean ?? 0);
  }
  return series;
}

/** Sentences of at most this many combinations of the other axes; the charts and the table show the rest. */
const COMBINATIONS = 4;

/** The most important first. Where other axes than `services` vary, a set of sentences for each of their combinations. */
export function findingsOf(
  summary: readonly SummaryRow[],
  engines: readonly string[],
  timeline: readonly TimelineRow[] = [],
  churn: readonly ChurnSpec[] = [],
): Finding[] {
  const combinations = new Map<string, SummaryRow[]>();
  const endpointsVary = new Set(summary.map((row) => row.endpoints_per_service)).size > 1;
  for (const row of summary) {
    const axes = Object.entries(row.axes).map(([name, value]) => `${name} = ${value ?? ''}`);
    if (endpointsVary) axes.unshift(`endpoints_per_service = ${row.endpoints_per_service ?? ''}`);
    const label = axes.join(', ');
    combinations.set(label, [...(combinations.get(label) ?? []), row]);
  }
  if (combinations.size <= 1) return findingsOfOne(summary, engines, timeline, churn);
  // The rows of a timeline do not name their point: only summaries speak here.
  return [...combinations].slice(0, COMBINATIONS).flatMap(([label, rows]) =>
    findingsOfOne(rows, engines, [], churn).map(({ id, text }) => ({
      id: `${id} (${label})`,
      text: `At ${label}: ${text}`,
    })),
  );
}

function findingsOfOne(
  summary: readonly SummaryRow[],
  engines: readonly string[],
  timeline: readonly TimelineRow[],
  churn: readonly ChurnSpec[],
): Finding[] {
  const sizes = seriesOf(summary, engines[0] ?? '', 'rules_evaluated_per_first_packet_mean').services;
  if (sizes.length < 3) return engines.flatMap((engine) => churnFindings(summary, engine, timeline, churn));
  return [
    ...ruleClaim(summary, engines),
    ...comparison(summary, engines),
    ...engines.flatMap((engine) => scaling(summary, engine)),
    ...scanBend(summary, engines),
    ...engines.flatMap((engine) => establishedPackets(summary, engine)),
    ...engines.flatMap((engine) => churnFindings(summary, engine, timeline, churn)),
  ];
}

/** Number of services from which the exponents are fitted: below it the fixed rules of every walk still show. */
const FIT_FROM_SERVICES = 1000;

function scaling(summary: readonly SummaryRow[], engine: string): Finding[] {
  const findings: Finding[] = [];
  const rules = seriesOf(summary, engine, 'rules_evaluated_per_first_packet_mean');
  const slope = slopeFrom(rules, FIT_FROM_SERVICES);
  const last = rules.services.length - 1;
  if (slope !== undefined) {
    const shape =
      slope.exponent > 0.9 ? 'grow linearly with services' : slope.exponent < 0.1 ? 'stay flat' : 'grow with services';
    findings.push({
      id: `rules-exponent-${engine}`,
      text:
        `${shown(engine)}: rules evaluated per first packet ${shape}: exponent ${fixed(slope.exponent, 3)} ` +
        `(95 % interval ${fixed(slope.low, 3)} to ${fixed(slope.high, 3)}) from ${FIT_FROM_SERVICES.toString()} services up; ` +
        `${short(rules.means[last])} rules at ${count(rules.services[last])} services.`,
    });
  }
  const chain = seriesOf(summary, engine, 'service_chain_entries_per_first_packet_mean');
  const chainLast = chain.means.length - 1;
  if (chainLast >= 0 && chain.means[chainLast] > 0) {
    const half = (chain.services[chainLast] / 256 + 1) / 2;
    const passed = chain.means[chainLast];
    // With several ports or node ports a Service has more than one virtual server, and the chains are longer.
    const isHalf = passed > 0.9 * half && passed < 1.1 * half;
    findings.push({
      id: `service-chain-${engine}`,
      text:
        `${shown(engine)}: a first packet passes ${fixed(passed, 1)} entries of its service-table chain at ` +
        `${count(chain.services[chainLast])} services` +
        `${isHalf ? `; half of a chain of services / 256 is ${fixed(half, 1)}` : ''}.`,
    });
  }
  return findings;
}

/** Established packets: do their rules, their table look-ups and their cost change with services? */
function establishedPackets(summary: readonly SummaryRow[], engine: string): Finding[] {
  const cost = seriesOf(summary, engine, 'cost_established_packet_mean_ns').means;
  const rules = seriesOf(summary, engine, 'rules_evaluated_per_established_packet_mean').means;
  const entries = seriesOf(summary, engine, 'service_chain_entries_per_established_packet_mean').means;
  if (cost.length < 3 || rules.length < 3) return [];
  const low = Math.min(...cost);
  const high = Math.max(...cost);
  const sameWork = Math.max(...rules) - Math.min(...rules) < 0.01 && Math.max(...entries) < 0.01;
  const work = sameWork
    ? `evaluates ${short(rules[0])} rules and passes no service-table entry at every size: its work does not depend on services`
    : `evaluates ${short(Math.min(...rules))} to ${short(Math.max(...rules))} rules`;
  const change = fixed((high / low - 1) * 100, 1);
  return [
    {
      id: `established-${engine}`,
      text:
        `${shown(engine)}: an established packet ${work}. It costs ${short(low)}` +
        `${change === '0.0' ? '' : ` to ${short(high)}`} ns over the whole sweep (${change} % apart` +
        `${engine === 'ipvs' && change !== '0.0' ? ', from the addresses bound to kube-ipvs0 and the longer connection chains' : ''}).`,
    },
  ];
}

function comparison(summary: readonly SummaryRow[], engines: readonly string[]): Finding[] {
  if (!engines.includes('iptables') || !engines.includes('ipvs')) return [];
  const iptables = seriesOf(summary, 'iptables', 'cost_first_packet_mean_ns');
  const ipvs = seriesOf(summary, 'ipvs', 'cost_first_packet_mean_ns');
  const last = iptables.means.length - 1;
  if (last < 0 || ipvs.means.length !== iptables.means.length) return [];
  const crossing = iptables.means.findIndex((cost, i) => cost > ipvs.means[i]);
  const where =
    crossing < 0
      ? 'IPVS is never the cheaper one'
      : crossing === 0
        ? 'IPVS is the cheaper one at every size'
        : `from somewhere between ${count(iptables.services[crossing - 1])} and ` +
          `${count(iptables.services[crossing])} services on, IPVS is the cheaper one`;
  const a = iptables.means[last];
  const b = ipvs.means[last];
  return [
    {
      id: 'first-packet-comparison',
      text:
        `First packet at ${count(iptables.services[last])} services: iptables ${micro(a)}, IPVS ${micro(b)} ` +
        `(${fixed(a / b, 1)} times). By the mean, ${where}.`,
    },
  ];
}

/** The seed's claim: with 5,000 rules or more, network performance may drop. Where does the cost really bend? */
const CLAIMED_RULES = 5000;

function ruleClaim(summary: readonly SummaryRow[], engines: readonly string[]): Finding[] {
  if (!engines.includes('iptables')) return [];
  const cost = seriesOf(summary, 'iptables', 'cost_first_packet_mean_ns');
  const work = seriesOf(summary, 'iptables', 'rules_evaluated_per_first_packet_mean');
  const established = seriesOf(summary, 'iptables', 'cost_established_packet_mean_ns');
  const at = cost.rules.findIndex((rules) => rules >= CLAIMED_RULES);
  // Only a sweep with points close to both sides of the claimed number can judge the claim.
  if (at < 1 || cost.rules[at] > 1.5 * cost.rules[at - 1]) return [];
  const growth = (values: readonly number[]): number => (values[at] / values[at - 1] - 1) * 100;
  const change = established.means[at] - established.means[0];
  const steep = growth(cost.means) > growth(cost.rules) ? 'more than in proportion: a drop' : 'no cliff';
  return [
    {
      id: 'rule-claim',
      text:
        `"5,000 or more rules": ${steep}. From ${count(cost.rules[at - 1])} to ${count(cost.rules[at])} installed rules ` +
        `(${fixed(growth(cost.rules), 0)} % more) a first packet evaluates ${short(work.means[at])} rules and its cost rises by ` +
        `${fixed(growth(cost.means), 0)} %, to ${micro(cost.means[at])}; an established packet changes by ${fixed(change, 0)} ns.`,
    },
  ];
}

/** Where does one more rule scanned begin to cost more? */
function scanBend(summary: readonly SummaryRow[], engines: readonly string[]): Finding[] {
  if (!engines.includes('iptables')) return [];
  const text = bend(
    seriesOf(summary, 'iptables', 'cost_first_packet_mean_ns'),
    seriesOf(summary, 'iptables', 'rules_evaluated_per_first_packet_mean'),
  );
  return text === undefined ? [] : [{ id: 'scan-bend', text }];
}

/** Walks must differ by this many rules before the cost of one rule can be read off their difference. */
const WALK_DIFFERENCE = 200;

/** Where the cost of one more rule scanned has at least doubled; undefined when the walks of the sweep are too short to tell. */
function bend(cost: Series, work: Series): string | undefined {
  const steps: { from: number; to: number; nsPerRule: number }[] = [];
  let from = 0;
  for (let to = 1; to < cost.means.length; to++) {
    const rules = work.means[to] - work.means[from];
    if (rules < WALK_DIFFERENCE) continue;
    steps.push({ from, to, nsPerRule: (cost.means[to] - cost.means[from]) / rules });
    from = to;
  }
  const cheapest = Math.min(...steps.map((step) => step.nsPerRule));
  const cheapestAt = steps.findIndex((step) => step.nsPerRule === cheapest);
  const knee = steps.find((step, i) => i > cheapestAt && step.nsPerRule > 2 * cheapest);
  if (steps.length < 2) return undefined;
  if (knee === undefined) {
    return `iptables: a rule scanned costs ${fixed(cheapest, 1)} to ${fixed(Math.max(...steps.map((s) => s.nsPerRule)), 1)} ns throughout this sweep, with no bend.`;
  }
  return (
    `iptables: the cost bends between ${count(cost.services[knee.from])} and ${count(cost.services[knee.to])} services ` +
    `(${count(cost.rules[knee.from])} to ${count(cost.rules[knee.to])} rules): one more rule scanned comes to ${fixed(knee.nsPerRule, 1)} ns ` +
    `against ${fixed(cheapest, 1)} ns before, as what the walks touch outgrows the L2 cache.`
  );
}

function churnFindings(
  summary: readonly SummaryRow[],
  engine: string,
  timeline: readonly TimelineRow[],
  churn: readonly ChurnSpec[],
): Finding[] {
  const value = (metric: string): number | undefined =>
    summary.find((row) => row.engine === engine && row.metric === metric)?.mean ?? undefined;
  const p50 = value('programming_latency_p50_ms');
  const p99 = value('programming_latency_p99_ms');
  if (p50 === undefined || p99 === undefined) return [];
  const findings: Finding[] = [];
  const rows = timeline.filter((row) => row.engine === engine);
  const [first] = churn;
  if (first?.kind === 'probe_failure')
    findings.push(...probeFailure(rows, engine, first.atSeconds, first.durationSeconds));
  else findings.push(...failureWindow(rows, engine));
  const reasons = FAILURE_KINDS.map((kind) => [kind, value(`failed_connections_${kind}`) ?? 0] as const)
    .filter(([, mean]) => mean > 0)
    .map(([kind, mean]) => `${fixed(mean, 1)} ${kind.replace('_', ' ')}`);
  const failed = value('failed_connections') ?? 0;
  findings.push({
    id: `churn-${engine}`,
    text:
      `${shown(engine)}: of ${short(value('connections') ?? 0)} connections ${fixed(failed, 1)} failed` +
      `${reasons.length > 0 ? ` (${reasons.join(', ')})` : ''}, ${fixed(value('stale_connections') ?? 0, 1)} reached a pod that was not ready, ` +
      `${fixed(value('broken_connections') ?? 0, 1)} were cut. From a pod's change to this node's rules it took ${fixed(p50, 0)} ms ` +
      `(median; p99 ${fixed(p99, 0)} ms; means of the replications).`,
  });
  return findings;
}

/** From the first failed probe to the rules, and back, as the timeline has it. */
function probeFailure(
  rows: readonly TimelineRow[],
  engine: string,
  atSeconds: number,
  durationSeconds: number,
): Finding[] {
  const gone: number[] = [];
  const back: number[] = [];
  for (const trial of byTrial(rows)) {
    const before = trial.findLast((row) => row.time_s <= atSeconds)?.installed_endpoints ?? 0;
    const left = trial.find((row) => row.time_s > atSeconds && row.installed_endpoints < before);
    if (left === undefined) continue;
    gone.push(left.time_s - atSeconds);
    const returned = trial.find((row) => row.time_s > left.time_s && row.installed_endpoints >= before);
    if (returned !== undefined) back.push(returned.time_s - atSeconds - durationSeconds);
  }
  if (gone.length === 0)
    return [{ id: `probe-${engine}`, text: `${shown(engine)}: the failing pod never left this node's rules.` }];
  const returned =
    back.length === 0
      ? 'It did not come back within the trial.'
      : `It was back ${spread(back)} after it answered again.`;
  return [
    {
      id: `probe-${engine}`,
      text: `${shown(engine)}: the pod got new connections for ${spread(gone)} after its probe began to fail. ${returned}`,
    },
  ];
}

/** How long connections went on failing, from the first to the last row with a failed one. */
function failureWindow(rows: readonly TimelineRow[], engine: string): Finding[] {
  const windows: number[] = [];
  for (const trial of byTrial(rows)) {
    const from = trial.findIndex((row) => row.failed_connections > 0);
    if (from < 0) continue;
    const to = trial.findLast((row) => row.failed_connections > 0);
    // A row counts what happened since the one before.
    windows.push((to?.time_s ?? 0) - (trial[from - 1]?.time_s ?? 0));
  }
  if (windows.length === 0) return [];
  return [{ id: `window-${engine}`, text: `${shown(engine)}: connections failed over a span of ${spread(windows)}.` }];
}

/** The rows of each service in each replication, in order of time. */
function byTrial(rows: readonly TimelineRow[]): TimelineRow[][] {
  const trials = new Map<string, TimelineRow[]>();
  for (const row of rows) {
    const key = `${row.replication} ${row.service}`;
    trials.set(key, [...(trials.get(key) ?? []), row]);
  }
  return [...trials.values()];
}

/** `5.1 s (4.3 to 5.9 over 5 trials)`. */
function spread(values: readonly number[]): string {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length === 1) return `${fixed(mean, 1)} s`;
  return `${fixed(mean, 1)} s (${fixed(Math.min(...values), 1)} to ${fixed(Math.max(...values), 1)} over ${values.length} trials)`;
}

export function slopeFrom(series: Series, fromServices: number) {
  const start = series.services.findIndex((services) => services >= fromServices);
  if (start < 0) return undefined;
  return logLogSlope(series.services.slice(start), series.means.slice(start));
}

function fixed(value: number, digits: number): string {
  return value.toFixed(digits);
}

/** Four significant digits are enough for a sentence. */
function short(value: number): string {
  return value >= 1000 ? count(Math.round(value)) : String(Number(value.toPrecision(4)));
}

/** 20000 to `20,000`, by hand: locale functions differ between machines. */
function count(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

function micro(ns: number): string {
  return `${fixed(ns / 1000, ns < 100_000 ? 1 : 0)} µs`;
}

function shown(engine: string): string {
  return engine === 'ipvs' ? 'IPVS' : engine;
}
