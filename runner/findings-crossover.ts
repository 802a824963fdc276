/**
 * Where the costs of two modes cross along services. Two things make such a place uncertain, and they are never mixed: the sampling interval,
 * which more replications make narrower, and the range of the cost profile, which nothing but a better measurement does.
 */
import type { SummaryRow } from '../reports/csv.ts';
import { count, shown } from './finding-words.ts';
import type { Finding } from './finding-words.ts';
import { costUnit, rowsAlongServices } from './summary-series.ts';

/** What is compared, and how a sentence calls it. */
const COMPARED = [
  { stem: 'cost_first_packet_mean', of: 'for a first packet' },
  { stem: 'cost_per_packet_mean', of: 'over all packets' },
] as const;

/** One sentence for each pair of modes that cross, by their means or somewhere within the profile's range. */
export function crossovers(summary: readonly SummaryRow[], engines: readonly string[]): Finding[] {
  const compared = engines.filter((engine) => engine !== 'reference');
  return compared.flatMap((a, i) => compared.slice(i + 1).flatMap((b) => crossover(summary, a, b)));
}

function crossover(summary: readonly SummaryRow[], a: string, b: string): Finding[] {
  const parts = COMPARED.flatMap(({ stem, of }) => {
    const difference = differenceOf(summary, a, b, `${stem}_${costUnit(summary)}`);
    return difference === undefined ? [] : [{ of, difference, answer: answerOf(difference) }];
  });
  if (!parts.some(({ answer }) => answer.kind === 'once' || answer.open !== undefined)) return [];
  const texts = parts.map(({ of, difference, answer }) => partText(of, difference, answer));
  const first = texts.join('; ');
  const estimated = parts[0].difference.estimated.map((engine) => shown(engine));
  const note = estimated.length === 0 ? '' : ` (${estimated.join(' and ')} estimated)`;
  return [{ id: `crossover-${a}-${b}`, text: `Crossover of ${shown(a)} and ${shown(b)}${note}: ${first}.` }];
}

/** Cost of one mode less that of another at each number of services that both have, with its two kinds of bounds. */
interface Difference {
  readonly services: readonly number[];
  readonly means: readonly number[];
  /** Of the 95 % sampling interval; undefined where a point has a single replication. */
  readonly sampled: Bounds | undefined;
  /** Of the profile's range, each mode's anywhere in its own; undefined where a file has none. */
  readonly ranged: Bounds | undefined;
  /** The mode that is dearer where the difference is above zero, and the other one. */
  readonly dearer: string;
  readonly cheaper: string;
  readonly estimated: readonly string[];
}

interface Bounds {
  readonly low: readonly number[];
  readonly high: readonly number[];
}

/** Turned so that it is above zero at the largest number of services; undefined where the modes have fewer than two sizes in common. */
function differenceOf(summary: readonly SummaryRow[], a: string, b: string, metric: string): Difference | undefined {
  const others = new Map(rowsAlongServices(summary, b, metric).map((row) => [row.services, row]));
  const pairs = rowsAlongServices(summary, a, metric).flatMap((row) => {
    const other = others.get(row.services);
    return other === undefined ? [] : [{ row, other }];
  });
  const last = pairs.at(-1);
  if (pairs.length < 2 || last === undefined) return undefined;
  const turned = mean(last.row) < mean(last.other);
  const oriented = turned ? pairs.map(({ row, other }) => ({ row: other, other: row })) : pairs;
  const estimated = [last.row, last.other]
    .filter((row) => row.basis !== undefined && row.basis !== 'measured')
    .map((row) => row.engine);
  return {
    services: oriented.map(({ row }) => row.services ?? 0),
    means: oriented.map(({ row, other }) => mean(row) - mean(other)),
    sampled: sampledBounds(oriented),
    ranged: rangedBounds(oriented),
    dearer: turned ? b : a,
    cheaper: turned ? a : b,
    estimated,
  };
}

type Pair = Readonly<Record<'row' | 'other', SummaryRow>>;

function mean(row: SummaryRow): number {
  return row.mean ?? 0;
}

/** Half the width of the difference's interval is the root of the squares of the halves of both: no chance is shared. */
function sampledBounds(pairs: readonly Pair[]): Bounds | undefined {
  const halves = pairs.map(({ row, other }) => {
    if (row.ci95_high === null || other.ci95_high === null) return NaN;
    const [own, its] = [row.ci95_high - mean(row), other.ci95_high - mean(other)];
    return Math.sqrt(own * own + its * its);
  });
  if (halves.some((half) => Number.isNaN(half))) return undefined;
  return {
    low: pairs.map(({ row, other }, i) => mean(row) - mean(other) - halves[i]),
    high: pairs.map(({ row, other }, i) => mean(row) - mean(other) + halves[i]),
  };
}

function rangedBounds(pairs: readonly Pair[]): Bounds | undefined {
  const has = (row: SummaryRow): boolean => row.range_low !== undefined && row.range_high !== undefined;
  if (!pairs.every(({ row, other }) => has(row) && has(other))) return undefined;
  return {
    low: pairs.map(({ row, other }) => (row.range_low ?? 0) - (other.range_high ?? 0)),
    high: pairs.map(({ row, other }) => (row.range_high ?? 0) - (other.range_low ?? 0)),
  };
}

/** A place along services: a number of them, or beyond the sweep's smallest or largest. */
type Place = number | 'below' | 'beyond';

type Answer =
  | { readonly kind: 'once'; readonly at: number; readonly open: undefined }
  | { readonly kind: 'several'; readonly open: undefined }
  /** `open`: numbers of services, first and last, at which the profile's range lets either mode be the cheaper one. */
  | { readonly kind: 'never'; readonly open: readonly [number, number] | undefined };

function answerOf({ services, means, ranged }: Difference): Answer {
  const changes = means.filter((value, i) => i > 0 && means[i - 1] < 0 !== value < 0).length;
  if (changes > 1) return { kind: 'several', open: undefined };
  if (changes === 1) return { kind: 'once', at: firstAbove(services, means) as number, open: undefined };
  // Turned so that the last one is above zero: so are all of them, unless there is no difference at all.
  if (means.every((value) => value === 0)) return { kind: 'never', open: undefined };
  const open = services.filter((_, i) => (ranged?.low[i] ?? 0) < 0);
  return { kind: 'never', open: open.length === 0 ? undefined : [open[0], open.at(-1) ?? open[0]] };
}

/** From where to where the curves of `bounds` rise through zero. */
function crossingInterval(services: readonly number[], { low, high }: Bounds): [Place, Place] {
  return [firstAbove(services, high), lastAbove(services, low)];
}

/** Where a curve first reaches zero, on a straight line between two sizes: what iptables scans grows along one. */
function firstAbove(services: readonly number[], curve: readonly number[]): Place {
  const at = curve.findIndex((value) => value >= 0);
  if (at < 0) return 'beyond';
  return at === 0 ? 'below' : between(services, curve, at - 1);
}

/** Where a curve leaves zero for good. */
function lastAbove(services: readonly number[], curve: readonly number[]): Place {
  const at = curve.findLastIndex((value) => value < 0);
  if (at < 0) return 'below';
  return at === curve.length - 1 ? 'beyond' : between(services, curve, at);
}

function between(services: readonly number[], curve: readonly number[], at: number): number {
  const step = services[at + 1] - services[at];
  return services[at] - (curve[at] * step) / (curve[at + 1] - curve[at]);
}

function partText(of: string, difference: Difference, answer: Answer): string {
  const { services, sampled, ranged } = difference;
  const cheaper = shown(difference.cheaper);
  if (answer.kind === 'several') return `${of} they cross more than once`;
  if (answer.kind === 'once') {
    const sampling =
      sampled === undefined
        ? 'one replication, no sampling interval'
        : `95 % sampling interval ${placesText(services, crossingInterval(services, sampled))}`;
    const range =
      ranged === undefined
        ? ''
        : `; by the profile's range ${placesText(services, crossingInterval(services, ranged))}`;
    return `${of} at ${servicesText(answer.at)} services (${sampling}${range}), beyond which ${cheaper} is the cheaper one`;
  }
  if (difference.means.every((value) => value === 0)) return `${of} they cost the same at every size`;
  if (answer.open === undefined) {
    const firmly = ranged === undefined ? '' : ", by the profile's range, too";
    return `${of} ${cheaper} is the cheaper one at every size${firmly}`;
  }
  const [from, to] = answer.open;
  const where =
    from === services[0] && to === services.at(-1)
      ? 'at every size'
      : from === to
        ? `at ${servicesText(from)} services`
        : `from ${servicesText(from)} to ${servicesText(to)} services`;
  return `${of} ${cheaper} is the cheaper one at every size by the mean, and the profile's range leaves that open ${where}`;
}

/** "175 to 225", "anywhere up to 517", "anywhere from 1,310 on". */
function placesText(services: readonly number[], [from, to]: readonly [Place, Place]): string {
  const isOpen = from === 'below' && to === 'beyond';
  if (isOpen || from === to) return isOpen ? 'anywhere in this sweep' : servicesOf(services, from);
  if (from === 'below') return `anywhere up to ${servicesOf(services, to)}`;
  if (to === 'beyond') return `anywhere from ${servicesOf(services, from)} on`;
  const [first, last] = [servicesOf(services, from), servicesOf(services, to)];
  return first === last ? first : `${first} to ${last}`;
}

function servicesOf(services: readonly number[], place: Place): string {
  return servicesText(place === 'below' ? services[0] : place === 'beyond' ? (services.at(-1) ?? 0) : place);
}

/** Three significant digits: a crossing lies between two sizes. */
function servicesText(services: number): string {
  return count(Number(services.toPrecision(3)));
}
