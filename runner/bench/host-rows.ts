/** From the times of rounds to rows: medians with intervals, ratios paired round by round, verdicts on bars, growth with size. */
import type { BarVerdict, GrowthRow, HostRow } from '../../reports/host-time.ts';
import { log } from '../../sim/math.ts';
import type { MedianEstimate } from '../statistics.ts';
import { logLogSlope, medianEstimate } from '../statistics.ts';
import type { Bar, Job } from './suite.ts';

/** What a contender did in a job: the nanoseconds of each round, and the checksum after the last one. */
export interface ContenderTimes {
  readonly name: string;
  readonly roundNs: readonly number[];
  readonly checksum: number;
}

/** Rows of one job, ours first, as in `all`; a round has the same number in all of them. `judged`: whether its bars count. */
export function hostRows(suite: string, job: Job, all: readonly ContenderTimes[], judged: boolean): HostRow[] {
  const [ours] = all;
  return all.map((each) => {
    const time = medianEstimate(each.roundNs.map((ns) => ns / job.operations));
    const ratio = each === ours ? undefined : medianEstimate(ours.roundNs.map((ns, i) => ns / each.roundNs[i]));
    const bar: Bar | undefined =
      judged && each !== ours ? job.bars.find(({ against }) => against === each.name) : undefined;
    const barRatio = bar?.atMost;
    const barNs = judged && each === ours ? job.atMostNs : undefined;
    return {
      suite,
      job: job.name,
      size: job.size,
      size_of: job.sizeOf,
      contender: each.name,
      rounds: each.roundNs.length,
      operations: job.operations,
      operation_median_ns: rounded(time.median),
      operation_low_ns: rounded(time.low),
      operation_high_ns: rounded(time.high),
      median_ratio: ratio === undefined ? null : rounded(ratio.median),
      low_ratio: ratio === undefined ? null : rounded(ratio.low),
      high_ratio: ratio === undefined ? null : rounded(ratio.high),
      bar_ratio: barRatio ?? null,
      bar_ns: barNs ?? null,
      verdict: ratio === undefined ? verdictOn(time, barNs) : verdictOn(ratio, barRatio),
      checksum: (each.checksum >>> 0).toString(16).padStart(8, '0'),
    };
  });
}

/** Only an interval that lies on one side of the bar decides. */
function verdictOn({ low, high }: Pick<MedianEstimate, 'low' | 'high'>, bar: number | undefined): BarVerdict {
  if (bar === undefined) return '';
  if (high <= bar) return 'pass';
  return low > bar ? 'missed' : 'unclear';
}

/**
 * A line for each contender and each name of jobs with two sizes or more, in the order in which they first appear. `barOf`: the exponent
 * that ours must not exceed in a job of that suite.
 */
export function growthRows(
  rows: readonly HostRow[],
  barOf: (suite: string, job: string) => number | undefined = () => undefined,
): GrowthRow[] {
  const lines = new Map<string, HostRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.suite, row.job, row.size_of, row.contender]);
    const line = lines.get(key);
    if (line === undefined) lines.set(key, [row]);
    else line.push(row);
  }
  return [...lines.values()].flatMap((line) => {
    const slope = slopeOf([...line].sort((a, b) => a.size - b.size));
    if (slope === undefined) return [];
    const { suite, job, size_of, contender, median_ratio } = line[0];
    const bar = median_ratio === null ? barOf(suite, job) : undefined;
    const verdict = verdictOn({ low: slope.exponent_low, high: slope.exponent_high }, bar);
    return [{ suite, job, size_of, contender, points: line.length, ...slope, bar_exponent: bar ?? null, verdict }];
  });
}

type Exponent = Pick<GrowthRow, 'exponent' | 'exponent_low' | 'exponent_high'>;

/** By least squares from three sizes on. Between two sizes by the medians, and the interval by the farthest ends of theirs. */
function slopeOf(line: readonly HostRow[]): Exponent | undefined {
  const slope = logLogSlope(
    line.map((row) => row.size),
    line.map((row) => row.operation_median_ns),
  );
  if (slope !== undefined) {
    return { exponent: rounded(slope.exponent), exponent_low: rounded(slope.low), exponent_high: rounded(slope.high) };
  }
  const [first, last] = line;
  if (line.length !== 2 || !(first.size > 0 && last.size > first.size)) return undefined;
  const steps = log(last.size / first.size);
  const between = (from: number, to: number): number => rounded(log(to / from) / steps);
  return {
    exponent: between(first.operation_median_ns, last.operation_median_ns),
    exponent_low: between(first.operation_high_ns, last.operation_low_ns),
    exponent_high: between(first.operation_low_ns, last.operation_high_ns),
  };
}

/** Four significant digits: a clock of this kind tells no more. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
