/** Charts of host time: pictures against their goldens, sentences against the rows. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GROWTH_ROWS, HOST_ROWS } from '../fixtures/host-time.ts';
import { renderSvg } from '../render-svg.ts';
import type { Chart } from './chart.ts';
import { hostGrowth } from './host-growth.ts';
import { hostRatios } from './host-ratios.ts';

/** Compares with goldens/`name`.svg; on a mismatch leaves `name`-changed.svg beside it for the eye. */
async function expectGolden(name: string, chart: Chart, width?: number): Promise<void> {
  const svg = await renderSvg(chart.spec, width === undefined ? {} : { width });
  expect(svg).not.toMatch(/NaN|undefined|var\(/);
  const golden = join(import.meta.dirname, 'goldens', `${name}.svg`);
  const changed = join(import.meta.dirname, 'goldens', `${name}-changed.svg`);
  rmSync(changed, { force: true });
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, svg);
  if (existsSync(golden) && readFileSync(golden, 'utf8') === svg) return;
  writeFileSync(changed, svg);
  expect.fail(`${name}.svg differs from its golden: compare it with ${changed}, then UPDATE_GOLDEN=1 if it is right`);
}

describe('hostRatios', () => {
  const chart = hostRatios('queue', HOST_ROWS) as Chart;

  it('is as committed, and on a narrow screen', async () => {
    await expectGolden('host-ratios', chart);
    await expectGolden('host-ratios-narrow', chart, 340);
  });

  it('counts the bars, and names the largest and the smallest ratio', () => {
    expect(chart.kind).toBe('host time');
    expect(chart.finding).toBe(
      '2 bars met, 1 missed and 1 within the interval. Ours takes 0.92 times as long as std::priority_queue ' +
        '(exponential, 1,000 pending events) at most and 0.036 times as long as SimPy (exponential, 10,000 pending events) at least.',
    );
    expect(chart.table.rows).toHaveLength(5);
    expect(chart.table.rows[1]).toEqual([
      'exponential, 1,000 pending events',
      'SimPy',
      '0.04',
      '0.039 to 0.041',
      '≤ 0.083',
      'pass',
    ]);
  });

  it('is not there where nobody is compared', () => {
    expect(hostRatios('queue', HOST_ROWS.slice(0, 1))).toBeUndefined();
  });
});

describe('hostGrowth', () => {
  it('is as committed', async () => {
    const [chart] = hostGrowth('queue', HOST_ROWS, GROWTH_ROWS);
    await expectGolden('host-growth', chart);
    expect(chart.id).toBe('queue-growth');
    expect(chart.finding).toBe(
      'In pending events, our time of an operation has the exponent 0.02 (exponential: 0.01 to 0.03).',
    );
  });

  it('draws each kind of size by itself', () => {
    const others = HOST_ROWS.map((row) => ({ ...row, job: 'services', size_of: 'services' }));
    const lines = GROWTH_ROWS.map((line) => ({ ...line, job: 'services', size_of: 'services' }));
    const charts = hostGrowth('queue', [...HOST_ROWS, ...others], [...GROWTH_ROWS, ...lines]);
    expect(charts.map(({ id, title }) => [id, title])).toEqual([
      ['queue-growth', 'Time of an operation against pending events'],
      ['queue-growth-2', 'Time of an operation against services'],
    ]);
    expect(hostGrowth('queue', HOST_ROWS, [])).toEqual([]);
  });
});
