import { describe, expect, it } from 'vitest';
import { readCommandTimes, readSamples } from './samples.ts';

const LINE =
  '{"what":"first","min":914.0,"p10":967.9,"median":1025.6,"mean":1043.9,"p90":1098.9,"stddev":151.1,"repeats":16384}\n';

describe('what the load programs say', () => {
  it('is read as samples', () => {
    expect(readSamples(LINE)).toEqual({
      what: 'first',
      summary: { value: 1025.6, repeats: 16384, stddev: 151.1, min: 914, mean: 1043.9, p10: 967.9, p90: 1098.9 },
    });
  });

  it('is read as times', () => {
    const line = '{"what":"command","wall":0.001346,"user":0.001272,"sys":0.000000,"ticks":3505902}';
    expect(readCommandTimes(line)).toEqual({ wall: 0.001346, user: 0.001272, sys: 0, ticks: 3505902 });
  });

  it('is refused when it is torn, or something else', () => {
    expect(() => readSamples(LINE.slice(0, 60))).toThrow(/no result: \{"what":"first"/);
    expect(() => readSamples('no reply came back')).toThrow('no result: no reply came back');
    expect(() => readSamples('{"what":"first","median":1}')).toThrow('no number "repeats"');
    expect(() => readSamples('{"median":1}')).toThrow('no samples');
    expect(() => readCommandTimes('{"wall":null}')).toThrow('no number "wall"');
  });
});
