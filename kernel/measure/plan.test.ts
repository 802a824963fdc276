import { describe, expect, it } from 'vitest';
import { expectedSeconds, MEASURED_ENGINES, planOf, stepName } from './plan.ts';

const seconds = (size: 'full' | 'quick' | 'smoke'): number =>
  planOf(size, MEASURED_ENGINES).reduce((sum, step) => sum + expectedSeconds(step), 0);

describe('a plan', () => {
  it('takes a minute at quick size, and a quarter of an hour at full size', () => {
    expect(seconds('smoke')).toBeLessThan(15);
    expect(seconds('quick')).toBeLessThan(75);
    expect(seconds('full')).toBeLessThan(900);
  });

  it('begins with the baselines, made with the tool of the first engine', () => {
    expect(planOf('quick', ['ipset', 'nft', 'ipt-nft'])[0]).toEqual({ kind: 'baselines', engine: 'ipt-nft' });
    expect(planOf('quick', ['ipset']).map(({ kind }) => kind)).toEqual(['control', 'control']);
  });

  it('has the sizes that slopes need, small before large', () => {
    const names = planOf('quick', ['ipt-legacy', 'nft']).map(stepName);
    expect(names.filter((name) => /^\S+ \d+ Services$/.test(name))).toEqual(
      ['ipt-legacy', 'nft'].flatMap((engine) => [1, 100, 1000, 5000].map((n) => `${engine} ${n} Services`)),
    );
    expect(names).toContain('nft programming 1000 x 2');
    expect(names).toContain('ipt-legacy 1 x 100 endpoints');
  });

  it('names every step once', () => {
    const names = planOf('full', MEASURED_ENGINES).map(stepName);
    expect(new Set(names).size).toBe(names.length);
  });
});
