/** What an experiment showed, in sentences computed from its rows: printed at the end of a sweep and opening its report. */
import type { Observation } from '../model/observation.ts';
import type { SummaryRow } from '../reports/csv.ts';
import { logLogSlope } from './statistics.ts';

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

export function findingsOf(
  summary: readonly SummaryRow[],
  observations: readonly Observation[],
  engines: readonly string[],
): Finding[] {
  const findings: Finding[] = [];
  const sizes = seriesOf(summary, engines[0] ?? '', 'rules_evaluated_per_first_packet_mean').services;
  if (sizes.length >= 3) {
    for (const engine of engines) findings.push(...scaling(summary, engine));
    findings.push(...comparison(summary, engines), ...ruleClaim(summary, engines));
  }
  findings.push(...churn(summary, observations, engines));
  return findings;
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
        `${engine}: rules evaluated per first packet ${shape}: exponent ${fixed(slope.exponent, 3)} ` +
        `(95 % interval ${fixed(slope.low, 3)} to ${fixed(slope.high, 3)}) from ${FIT_FROM_SERVICES.toString()} services up; ` +
        `${short(rules.means[last] as number)} rules at ${count(rules.services[last] as number)} services.`,
    });
  }
  const chain = seriesOf(summary, engine, 'service_chain_entries_per_first_packet_mean');
  const chainLast = chain.means.length - 1;
  if (chainLast >= 0 && (chain.means[chainLast] as number) > 0) {
    const expected = ((chain.services[chainLast] as number) / 256 + 1) / 2;
    findings.push({
      id: `service-chain-${engine}`,
      text:
        `${engine}: a first packet passes ${fixed(chain.means[chainLast] as number, 1)} entries of its service-table chain at ` +
        `${count(chain.services[chainLast] as number)} services; half of a chain of services / 256 is ${fixed(expected, 1)}.`,
    });
  }
  const established = seriesOf(summary, engine, 'cost_established_packet_mean_ns');
  if (established.means.length >= 3) {
    const low = Math.min(...established.means);
    const high = Math.max(...established.means);
    const change = (high / low - 1) * 100;
    findings.push({
      id: `established-${engine}`,
      text:
        `${engine}: an established packet costs ${short(low)} to ${short(high)} ns over the whole sweep ` +
        `(${fixed(change, 1)} % apart)${change < 2 ? ': it does not depend on services' : ''}.`,
    });
  }
  return findings;
}

function comparison(summary: readonly SummaryRow[], engines: readonly string[]): Finding[] {
  if (!engines.includes('iptables') || !engines.includes('ipvs')) return [];
  const iptables = seriesOf(summary, 'iptables', 'cost_first_packet_mean_ns');
  const ipvs = seriesOf(summary, 'ipvs', 'cost_first_packet_mean_ns');
  const last = iptables.means.length - 1;
  if (last < 0 || ipvs.means.length !== iptables.means.length) return [];
  const crossing = iptables.means.findIndex((cost, i) => cost > (ipvs.means[i] as number));
  const where =
    crossing < 0
      ? 'IPVS is never cheaper here'
      : crossing === 0
        ? 'IPVS is cheaper at every size'
        : `IPVS is the cheaper one between ${count(iptables.services[crossing - 1] as number)} and ` +
          `${count(iptables.services[crossing] as number)} services and beyond`;
  const a = iptables.means[last] as number;
  const b = ipvs.means[last] as number;
  return [
    {
      id: 'first-packet-comparison',
      text:
        `First packet at ${count(iptables.services[last] as number)} services: iptables ${micro(a)}, IPVS ${micro(b)} ` +
        `(${fixed(a / b, 1)} times). On the mean first packet ${where}.`,
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
  if (at < 1 || at >= cost.rules.length) return [];
  const perRule = cost.means.map((ns, i) =>
    i === 0 ? 0 : (ns - (cost.means[i - 1] as number)) / ((work.means[i] as number) - (work.means[i - 1] as number)),
  );
  const around = perRule[at] as number;
  const knee = perRule.findIndex((ns, i) => i > at && ns > 2 * around);
  const change = (established.means[at] as number) - (established.means[0] as number);
  const bend =
    knee < 0
      ? 'No step is seen anywhere in this sweep.'
      : `The step is later: between ${count(cost.rules[knee - 1] as number)} and ${count(cost.rules[knee] as number)} rules ` +
        `(${count(cost.services[knee - 1] as number)} to ${count(cost.services[knee] as number)} services) ` +
        `a rule scanned comes to ${fixed(perRule[knee] as number, 1)} ns, since the walk outgrows the L2 cache.`;
  return [
    {
      id: 'rule-claim',
      text:
        `"5,000 or more rules": at ${count(cost.rules[at] as number)} installed rules (${count(cost.services[at] as number)} services) ` +
        `a first packet evaluates ${short(work.means[at] as number)} of them and costs ${micro(cost.means[at] as number)}; ` +
        `each further rule scanned adds ${fixed(around, 1)} ns, as before it; an established packet changes by ${fixed(change, 0)} ns. ${bend}`,
    },
  ];
}

function churn(summary: readonly SummaryRow[], observations: readonly Observation[], engines: readonly string[]): Finding[] {
  const findings: Finding[] = [];
  for (const engine of engines) {
    const value = (metric: string): number | undefined => {
      const row = summary.find((r) => r.engine === engine && r.metric === metric);
      return row?.mean ?? undefined;
    };
    const p50 = value('programming_latency_p50_ms');
    const p99 = value('programming_latency_p99_ms');
    if (p50 === undefined || p99 === undefined) continue;
    const trials = observations.filter((row) => row['engine'] === engine && row['status'] === 'ok').length;
    const reasons = ['rejected', 'dropped', 'refused', 'no_answer']
      .map((kind) => [kind, value(`failed_connections_${kind}`) ?? 0] as const)
      .filter(([, mean]) => mean > 0)
      .map(([kind, mean]) => `${fixed(mean, 1)} ${kind.replace('_', ' ')}`);
    const failed = value('failed_connections') ?? 0;
    findings.push({
      id: `churn-${engine}`,
      text:
        `${engine}: a change reached this node's rules after ${fixed(p50, 0)} ms (median; p99 ${fixed(p99, 0)} ms). ` +
        `Of ${short(value('connections') ?? 0)} connections a trial ${fixed(failed, 1)} failed` +
        `${reasons.length > 0 ? ` (${reasons.join(', ')})` : ''}, ${fixed(value('stale_connections') ?? 0, 1)} reached a pod that was not ready, ` +
        `${fixed(value('broken_connections') ?? 0, 1)} were cut (means of ${trials} trials).`,
    });
  }
  return findings;
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
