import { describe, expect, it } from 'vitest';
import { growthRows, hostRows } from './host-rows.ts';
import type { Job } from './suite.ts';

function job(changes: Partial<Job> = {}): Job {
  return {
    name: 'made up',
    size: 10,
    sizeOf: 'things',
    operations: 100,
    contenders: () => [],
    peers: [],
    bars: [{ against: 'C', atMost: 2 }],
    ...changes,
  };
}

/** Nine rounds: the interval of the median runs from the second to the eighth value. */
const NINE = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const times = (name: string, roundNs: readonly number[]) => ({ name, roundNs, checksum: 0xdeadbeef });

describe('hostRows', () => {
  it('divides by the operations, and has the interval between two order statistics', () => {
    const [ours] = hostRows(
      's',
      job(),
      [
        times(
          'ours',
          NINE.map((n) => n * 1000),
        ),
      ],
      true,
    );
    expect(ours).toMatchObject({
      suite: 's',
      job: 'made up',
      size: 10,
      size_of: 'things',
      contender: 'ours',
      rounds: 9,
      operations: 100,
      operation_median_ns: 50,
      operation_low_ns: 20,
      operation_high_ns: 80,
      median_ratio: null,
      bar_ratio: null,
      verdict: '',
      checksum: 'deadbeef',
    });
  });

  it('pairs ratios round by round: what slows a round for all leaves them alone', () => {
    const theirs = [100, 900, 100, 300, 100, 700, 100, 100, 500];
    const rows = hostRows(
      's',
      job(),
      [
        times(
          'ours',
          theirs.map((ns) => ns * 1.5),
        ),
        times('C', theirs),
      ],
      true,
    );
    expect(rows[1]).toMatchObject({
      median_ratio: 1.5,
      low_ratio: 1.5,
      high_ratio: 1.5,
      bar_ratio: 2,
      verdict: 'pass',
    });
  });

  it.each([
    [1.9, 'pass'],
    [0.5, 'unclear'],
    [0.01, 'missed'],
  ] as const)('a bar decides only from one side of the whole interval: below 9 x %f it is %s', (theirs, verdict) => {
    // Ratios 1/theirs .. 9/theirs with an interval from 2/theirs to 8/theirs.
    const atMost = verdict === 'pass' ? 8 / theirs : 2;
    const rows = hostRows(
      's',
      job({ bars: [{ against: 'C', atMost }] }),
      [
        times('ours', NINE),
        times(
          'C',
          NINE.map(() => (verdict === 'unclear' ? 2 : theirs)),
        ),
      ],
      true,
    );
    expect(rows[1].verdict).toBe(verdict);
  });

  it('judges a time of ours by itself, and nothing in the smoke size', () => {
    const made = job({ atMostNs: 0.07 });
    const all = [times('ours', NINE), times('C', NINE)];
    expect(hostRows('s', made, all, true).map((row) => row.verdict)).toEqual(['unclear', 'pass']);
    expect(hostRows('s', made, all, true)[0].bar_ns).toBe(0.07);
    expect(hostRows('s', made, all, false).map((row) => [row.verdict, row.bar_ratio, row.bar_ns])).toEqual([
      ['', null, null],
      ['', null, null],
    ]);
  });
});

describe('growthRows', () => {
  const rowsAt = (sizes: readonly number[], ns: (size: number) => number) =>
    sizes.flatMap((size) =>
      hostRows(
        's',
        job({ size }),
        [
          times(
            'ours',
            NINE.map(() => ns(size)),
          ),
          times(
            'C',
            NINE.map(() => 7),
          ),
        ],
        true,
      ),
    );

  it('gives the exponent of jobs that differ in size', () => {
    const [ours, theirs] = growthRows(rowsAt([10, 1000, 100, 10_000], (size) => 300 * Math.sqrt(size)));
    expect(ours).toMatchObject({ suite: 's', job: 'made up', size_of: 'things', contender: 'ours', points: 4 });
    expect(ours.exponent).toBeCloseTo(0.5, 3);
    expect(ours.exponent_high - ours.exponent_low).toBeLessThan(0.001);
    expect(theirs).toMatchObject({ contender: 'C', exponent: 0 });
  });

  it('of two sizes takes the medians, and the farthest ends of their intervals', () => {
    const at = (size: number, factor: number) =>
      hostRows(
        's',
        job({ size }),
        [
          times(
            'ours',
            NINE.map((n) => n * factor),
          ),
        ],
        true,
      );
    const [line] = growthRows([...at(10, 1), ...at(1000, 100)]);
    expect(line.exponent).toBeCloseTo(1, 3);
    // From 8 to 200 and from 2 to 800, over two decades.
    expect(line.exponent_low).toBeCloseTo(Math.log10(200 / 8) / 2, 3);
    expect(line.exponent_high).toBeCloseTo(Math.log10(800 / 2) / 2, 3);
  });

  it('holds our own line to a bar', () => {
    const rows = rowsAt([10, 100, 1000], (size) => 300 * Math.sqrt(size));
    const verdicts = (bar: number) => growthRows(rows, () => bar).map((line) => [line.bar_exponent, line.verdict]);
    expect(verdicts(0.1)).toEqual([
      [0.1, 'missed'],
      [null, ''],
    ]);
    expect(verdicts(0.6)[0]).toEqual([0.6, 'pass']);
  });

  it('has nothing to say of one size', () => {
    expect(growthRows(rowsAt([10], () => 1))).toEqual([]);
  });
});
