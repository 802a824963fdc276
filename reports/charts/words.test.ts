/** Numbers in words: units change where three digits would become four, and nothing depends on a locale. */
import { describe, expect, it } from 'vitest';
import { countOf, formatNs, formatNumber, formatTimes, joinWords } from './words.ts';

const plain = (text: string): string => text.replaceAll('\u00a0', ' ');

describe('words', () => {
  it('prints numbers with three digits or with thousands', () => {
    expect([0, 0.5, 1.005, 12.34, 99.96, 100, 12345.6, -1234567, 0.00001].map(formatNumber)).toEqual([
      '0',
      '0.5',
      '1',
      '12.3',
      '100',
      '100',
      '12,346',
      '-1,234,567',
      '1.00e-5',
    ]);
  });

  it('prints nanoseconds in the unit that fits', () => {
    expect([0, 12, 999.4, 999.5, 4321, 999499, 999600, 1.5e6, 2e9].map((ns) => plain(formatNs(ns)))).toEqual([
      '0 ns',
      '12 ns',
      '999 ns',
      '1 µs',
      '4.32 µs',
      '999 µs',
      '1 ms',
      '1.5 ms',
      '2 s',
    ]);
  });

  it('joins and counts', () => {
    expect([[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map(joinWords)).toEqual(['', 'a', 'a and b', 'a, b and c']);
    expect([countOf(1, 'trial'), countOf(1200, 'trial')]).toEqual(['1 trial', '1,200 trials']);
    expect([1.04, 2.44, 260.4].map(formatTimes)).toEqual(['1 times', '2.4 times', '260 times']);
  });
});
