import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from './errors.ts';
import { axisValues } from './ranges.ts';

describe('axisValues', () => {
  it('takes lists and single values as they are', () => {
    expect(axisValues([3, 1, 2], 'x')).toEqual([3, 1, 2]);
    expect(axisValues('rr', 'x')).toEqual(['rr']);
    expect(axisValues([true, false], 'x')).toEqual([true, false]);
  });

  it('expands ranges of integers, logarithmic and linear', () => {
    expect(axisValues('1..5', 'x')).toEqual([1, 2, 3, 4, 5]);
    expect(axisValues('1..1000:log10x3', 'x')).toEqual([1, 2, 5, 10, 22, 46, 100, 215, 464, 1000]);
    expect(axisValues('1..50000:log10x1', 'x')).toEqual([1, 10, 100, 1000, 10000, 50000]);
    expect(axisValues('1..100:lin5', 'x')).toEqual([1, 26, 51, 75, 100]);
    expect(axisValues('0..1:lin2', 'x')).toEqual([0, 1]);
    expect(axisValues('0.1..0.5:lin5', 'x')).toEqual([0.1, 0.2, 0.3, 0.4, 0.5]);
    expect(axisValues('7..7', 'x')).toEqual([7]);
  });

  it('mixes values and ranges in a list', () => {
    expect(axisValues([0, '1..3', 10], 'x')).toEqual([0, 1, 2, 3, 10]);
  });

  it('always holds both ends of a logarithmic range, in rising order, each once', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.integer({ min: 0, max: 1_000_000 }),
        fc.integer({ min: 1, max: 30 }),
        (from, more, n) => {
          const values = axisValues(`${from}..${from + more}:log10x${n}`, 'x') as number[];
          expect(values[0]).toBe(from);
          expect(values.at(-1)).toBe(from + more);
          for (let i = 1; i < values.length; i++) expect(values[i]).toBeGreaterThan(values[i - 1]);
        },
      ),
      { numRuns: 200 },
    );
  });

  it.each([
    ['1..20000', /more than 10000 values/],
    ['1..100000:lin10001', /1 to 10000 points/],
    ['1..1e300:log10x999', /more than 10000 values/],
    ['5..1', /runs backwards/],
    ['0..100:log10x3', /must begin above 0/],
    ['1..100:log2x3', /not understood; expected a\.\.b/],
    ['1...5', /not understood/],
    ['a..b', /not understood/],
    ['1..5.5', /must be integers/],
    ['1..100:log10x0', /1 to 10000 points/],
    ['1..100:lin1', /at least 2 points/],
  ])('refuses %s', (text, message) => {
    expect(() => axisValues(text, 'services')).toThrow(message);
    expect(() => axisValues(text, 'services')).toThrow(InputError);
  });

  it('refuses a value that stands twice', () => {
    expect(() => axisValues([1, '1..3'], 'services')).toThrow('The sweep of "services" holds the value 1 twice.');
  });
});
