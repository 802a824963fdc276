/** What an experiment showed, in sentences computed from its rows: printed at the end of a sweep and opening its report. */
import type { TimelineRow } from '../model/observation.ts';
import type { SummaryRow } from '../reports/csv.ts';
import type { ChurnSpec } from '../scenarios/spec.ts';
import { changeFindings } from './findings-change.ts';
import { churnFindings, detectionFindings } from './findings-churn.ts';
import { crossovers } from './findings-crossover.ts';
import { dnsFindings } from './findings-dns.ts';
import { costWords, count, duration, fixed, short, shown, unitWord } from './finding-words.ts';
import type { Finding } from './finding-words.ts';
import { ruleReadings } from './findings-rules.ts';
import { logLogSlope } from './statistics.ts';
import { costSeries, seriesOf } from './summary-series.ts';
import type { CostSeries, Series } from './summary-series.ts';

export type { Finding } from './finding-words.ts';

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
  const { curve, others } = changeFindings(summary);
  // A curve says in a sentence what single points would say in many.
  if (curve.length > 0) return [...curve, ...others];
  // Charts speak for all points; a few of many would be chosen by nothing but their place.
  if (others.length > 0 && combinations.size > COMBINATIONS) return others;
  // The rows of a timeline do not name their point: only summaries speak here.
  const each = [...combinations].slice(0, COMBINATIONS).flatMap(([label, rows]) =>
    findingsOfOne(rows, engines, [], churn).map(({ id, text }) => ({
      id: `${id} (${label})`,
      text: `At ${label}: ${text}`,
    })),
  );
  return [...others, ...each];
}

function findingsOfOne(
  summary: readonly SummaryRow[],
  engines: readonly string[],
  timeline: readonly TimelineRow[],
  churn: readonly ChurnSpec[],
): Finding[] {
  const sizes = seriesOf(summary, engines[0] ?? '', 'rules_evaluated_per_first_packet_mean').services;
  const change = [
    ...detectionFindings(summary, engines),
    ...engines.flatMap((engine) => churnFindings(summary, engine, timeline, churn)),
    ...engines.flatMap((engine) => dnsFindings(summary, engine)),
  ];
  if (sizes.length < 3) return change;
  return [
    ...ruleClaim(summary, engines),
    ...ruleReadings(summary, engines),
    ...comparison(summary, engines),
    ...crossovers(summary, engines),
    ...engines.flatMap((engine) => scaling(summary, engine)),
    ...flatWork(summary, engines),
    ...scanBend(summary, engines),
    ...engines.flatMap((engine) => establishedPackets(summary, engine)),
    ...fullSyncs(summary, engines),
    ...change,
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
  const { means: cost, unit } = costSeries(summary, engine, 'cost_established_packet_mean');
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
        `${change === '0.0' ? '' : ` to ${short(high)}`} ${unitWord(unit)} over the whole sweep (${change} % apart` +
        `${engine === 'ipvs' && change !== '0.0' ? ', from the addresses bound to kube-ipvs0 and the longer connection chains' : ''}).`,
    },
  ];
}

/** iptables, whose walk grows with services, against each other engine: where do the lines cross? */
function comparison(summary: readonly SummaryRow[], engines: readonly string[]): Finding[] {
  if (!engines.includes('iptables')) return [];
  const others = engines.filter((engine) => engine !== 'iptables' && engine !== 'reference');
  return others.flatMap((engine) => comparisonWith(summary, engine));
}

function comparisonWith(summary: readonly SummaryRow[], engine: string): Finding[] {
  const iptables = costSeries(summary, 'iptables', 'cost_first_packet_mean');
  const other = costSeries(summary, engine, 'cost_first_packet_mean');
  const last = iptables.means.length - 1;
  if (last < 0 || other.means.length !== iptables.means.length) return [];
  const name = shown(engine);
  const isCheaper = iptables.means.map((cost, i) => cost > other.means[i]);
  const crossing = isCheaper.indexOf(true);
  const where =
    crossing < 0
      ? `${name} is never the cheaper one`
      : isCheaper.indexOf(false, crossing) >= 0
        ? 'the two cross more than once'
        : crossing === 0
          ? `${name} is the cheaper one at every size`
          : `from somewhere between ${count(iptables.services[crossing - 1])} and ` +
            `${count(iptables.services[crossing])} services on, ${name} is the cheaper one`;
  const a = iptables.means[last];
  const b = other.means[last];
  const times = a >= b ? `${fixed(a / b, 1)} times` : `${fixed(b / a, 1)} times as much`;
  return [
    {
      id: engine === 'ipvs' ? 'first-packet-comparison' : `first-packet-comparison-${engine}`,
      text:
        `First packet at ${count(iptables.services[last])} services: iptables ${costWords(a, iptables.unit)}, ${name} ${costWords(b, other.unit)} ` +
        `(${times}). By the mean, ${where}.`,
    },
  ];
}

/** A first packet in nftables mode does the same work at every size: what becomes of its cost? */
function flatWork(summary: readonly SummaryRow[], engines: readonly string[]): Finding[] {
  if (!engines.includes('nftables')) return [];
  const rules = seriesOf(summary, 'nftables', 'rules_evaluated_per_first_packet_mean').means;
  const cost = costSeries(summary, 'nftables', 'cost_first_packet_mean');
  const last = cost.means.length - 1;
  if (last < 1 || Math.max(...rules) > 1.1 * Math.min(...rules)) return [];
  const growth = (cost.means[last] / cost.means[0] - 1) * 100;
  const why =
    growth > 5
      ? ': the rules and map look-ups stay the same, the memory that they read moves out of the caches'
      : ': neither its work nor its cost depends on services';
  return [
    {
      id: 'flat-nftables',
      text:
        `nftables: a first packet evaluates ${short(rules[0])} rules at every size and costs ${costWords(cost.means[0], cost.unit)} at ` +
        `${count(cost.services[0])} services, ${costWords(cost.means[last], cost.unit)} at ${count(cost.services[last])} ` +
        `(${fixed(growth, 0)} % more)${why}.`,
    },
  ];
}

/** What nftables mode pays for its flat walk: the first sync of a large table. */
function fullSyncs(summary: readonly SummaryRow[], engines: readonly string[]): Finding[] {
  if (!engines.includes('nftables')) return [];
  const nftables = seriesOf(summary, 'nftables', 'sync_full_ms');
  const slope = slopeFrom(nftables, FIT_FROM_SERVICES);
  const last = nftables.services.length - 1;
  if (last < 0) return [];
  const each = engines.flatMap((engine) => {
    const ms = seriesOf(summary, engine, 'sync_full_ms').means.at(-1);
    return ms === undefined ? [] : [`${shown(engine)} ${duration(ms)}`];
  });
  const grows =
    slope === undefined ? '' : ` With nftables it grows with services to the power of ${fixed(slope.exponent, 1)}.`;
  return [
    {
      id: 'full-sync',
      text: `A first full sync at ${count(nftables.services[last])} services takes ${each.join(', ')}.${grows}`,
    },
  ];
}

/** The seed's claim: with 5,000 rules or more, network performance may drop. Where does the cost really bend? */
const CLAIMED_RULES = 5000;

function ruleClaim(summary: readonly SummaryRow[], engines: readonly string[]): Finding[] {
  if (!engines.includes('iptables')) return [];
  const cost = costSeries(summary, 'iptables', 'cost_first_packet_mean');
  const work = seriesOf(summary, 'iptables', 'rules_evaluated_per_first_packet_mean');
  const established = costSeries(summary, 'iptables', 'cost_established_packet_mean');
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
        `${fixed(growth(cost.means), 0)} %, to ${costWords(cost.means[at], cost.unit)}; an established packet changes by ${fixed(change, 0)} ${unitWord(cost.unit)}.`,
    },
  ];
}

/** Where does one more rule scanned begin to cost more? */
function scanBend(summary: readonly SummaryRow[], engines: readonly string[]): Finding[] {
  if (!engines.includes('iptables')) return [];
  const text = bend(
    costSeries(summary, 'iptables', 'cost_first_packet_mean'),
    seriesOf(summary, 'iptables', 'rules_evaluated_per_first_packet_mean'),
  );
  return text === undefined ? [] : [{ id: 'scan-bend', text }];
}

/** Walks must differ by this many rules before the cost of one rule can be read off their difference. */
const WALK_DIFFERENCE = 200;

/** Where the cost of one more rule scanned has at least doubled; undefined when the walks of the sweep are too short to tell. */
function bend(cost: CostSeries, work: Series): string | undefined {
  const steps: { from: number; to: number; perRule: number }[] = [];
  let from = 0;
  for (let to = 1; to < cost.means.length; to++) {
    const rules = work.means[to] - work.means[from];
    if (rules < WALK_DIFFERENCE) continue;
    steps.push({ from, to, perRule: (cost.means[to] - cost.means[from]) / rules });
    from = to;
  }
  const cheapest = Math.min(...steps.map((step) => step.perRule));
  const cheapestAt = steps.findIndex((step) => step.perRule === cheapest);
  const knee = steps.find((step, i) => i > cheapestAt && step.perRule > 2 * cheapest);
  const unit = unitWord(cost.unit);
  if (steps.length < 2) return undefined;
  if (knee === undefined) {
    return `iptables: a rule scanned costs ${fixed(cheapest, 1)} to ${fixed(Math.max(...steps.map((s) => s.perRule)), 1)} ${unit} throughout this sweep, with no bend.`;
  }
  return (
    `iptables: the cost bends between ${count(cost.services[knee.from])} and ${count(cost.services[knee.to])} services ` +
    `(${count(cost.rules[knee.from])} to ${count(cost.rules[knee.to])} rules): one more rule scanned comes to ${fixed(knee.perRule, 1)} ${unit} ` +
    `against ${fixed(cheapest, 1)} ${unit} before, as what the walks touch outgrows the L2 cache.`
  );
}

export function slopeFrom(series: Series, fromServices: number) {
  const start = series.services.findIndex((services) => services >= fromServices);
  if (start < 0) return undefined;
  return logLogSlope(series.services.slice(start), series.means.slice(start));
}
