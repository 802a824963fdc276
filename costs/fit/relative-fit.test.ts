import { describe, expect, it } from 'vitest';
import { relativeFit } from './relative-fit.ts';

const number = (start: number, low = 0.01, high = 1000) => ({ start, low, high });

describe('relativeFit', () => {
  it('finds the numbers that made the points, through a model that is not linear', async () => {
    const xs = [1, 2, 5, 10];
    const model = (a: number, b: number) => xs.map((x) => a + (b * x * x) / (x + b));
    const published = model(3, 7);
    const fit = await relativeFit([number(1), number(20)], ([a, b]) =>
      Promise.resolve(model(a, b).map((value, i) => value / published[i])),
    );
    expect(fit.values[0]).toBeCloseTo(3, 3);
    expect(fit.values[1]).toBeCloseTo(7, 3);
    expect(fit.error).toBeLessThan(1e-4);
  });

  it('weighs points by their relative errors', async () => {
    // One level for 1 and 1000: the mean of relative errors is what counts.
    const fit = await relativeFit([number(50)], ([a]) => Promise.resolve([a / 100, a / 110]));
    expect(fit.values[0]).toBeGreaterThan(100);
    expect(fit.values[0]).toBeLessThan(105);
  });

  it('stays between its bounds', async () => {
    const fit = await relativeFit([number(5, 1, 6)], ([a]) => Promise.resolve([a / 10]));
    expect(fit.values).toEqual([6]);
  });
});
