import { describe, expect, it } from 'vitest';
import { didYouMean, editDistance, formatInputError, InputError, nearest, quote } from './errors.ts';

describe('editDistance', () => {
  it('counts insertions, deletions, changes and transpositions', () => {
    expect(editDistance('', 'abc')).toBe(3);
    expect(editDistance('services', 'services')).toBe(0);
    expect(editDistance('servces', 'services')).toBe(1);
    expect(editDistance('sevrices', 'services')).toBe(1);
    expect(editDistance('kitten', 'sitting')).toBe(3);
  });
});

describe('nearest', () => {
  const known = ['services', 'endpoints_per_service', 'min_sync_period_s', 'rr'];

  it('finds the word that is meant', () => {
    expect(nearest('servces', known)).toBe('services');
    expect(nearest('minSyncPeriodS', known)).toBe('min_sync_period_s');
    expect(nearest('rrr', known)).toBe('rr');
  });

  it('guesses nothing for a word that is like none', () => {
    expect(nearest('banana', known)).toBeUndefined();
    expect(didYouMean('banana', known)).toBe('');
  });
});

describe('formatInputError', () => {
  it('prints as much of the place as is known', () => {
    expect(formatInputError(new InputError('Wrong.'))).toBe('Wrong.');
    expect(formatInputError(new InputError('Wrong.', { file: 'a.yaml' }))).toBe('a.yaml: Wrong.');
    expect(formatInputError(new InputError('Wrong.', { file: 'a.yaml', line: 12 }))).toBe('a.yaml:12: Wrong.');
    expect(formatInputError(new InputError('Wrong.', { file: 'a.yaml', line: 12, column: 5 }))).toBe(
      'a.yaml:12:5: Wrong.',
    );
  });
});

describe('quote', () => {
  it('shows a value and cuts a long one', () => {
    expect(quote('a')).toBe('"a"');
    expect(quote(Number.NaN)).toBe('NaN');
    expect(quote(undefined)).toBe('nothing');
    expect(quote('x'.repeat(200)).length).toBe(80);
  });
});
