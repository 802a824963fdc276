import { parse } from 'csv-parse/sync';
import { describe, expect, it } from 'vitest';
import { measuredRow } from '../../costs/measured-row.ts';
import { csvHeader, csvLine, NANOSECONDS, summaryOfRuns } from './rows.ts';
import type { Point } from './rows.ts';

const POINT: Point = {
  engine: 'ipt-legacy',
  mode: 'first',
  services: 1000,
  endpoints: 1,
  position: 'uniform',
  rulesEvaluated: 500.5,
  statisticRules: 0,
  comments: true,
  variant: '',
};
const SUMMARY = { value: 4859.72, repeats: 16384, stddev: 12.34, min: 4700, mean: 4900, p10: 4800, p90: 5000 };

describe('rows', () => {
  it('have the columns of the shared measurements, in their order', () => {
    expect(csvHeader()).toBe(
      'source,engine,mode,services,endpoints_per_service,position,rules_evaluated,value,unit,repeats,stddev,statistic_rules,comments,variant,min,p10,mean,p90\n',
    );
  });

  it('are lines that the costs read back', () => {
    const line = csvLine('native-6.18', POINT, SUMMARY, NANOSECONDS);
    expect(line).toBe(
      'native-6.18,ipt-legacy,first,1000,1,uniform,500.5,4859.7,ns/packet,16384,12.3,0,1,,4700.0,4800.0,4900.0,5000.0\n',
    );
    const records = parse(csvHeader() + line, { columns: true });
    expect((records as Record<string, string>[]).map((record) => measuredRow(record, ''))).toMatchObject([
      { engine: 'ipt-legacy', services: 1000, rulesEvaluated: 500.5, value: 4859.7, comments: true, min: 4700 },
    ]);
  });

  it('leave out the tenths of few runs', () => {
    const line = csvLine('native-6.18', { ...POINT, mode: 'sync' }, summaryOfRuns([0.2, 0.1]), {
      name: 'wall_s',
      digits: 5,
    });
    expect(line).toMatch(/,0\.15000,wall_s,2,0\.07071,0,1,,0\.10000,,0\.15000,\n$/);
  });
});

describe('a summary of runs', () => {
  it('has the middle one of an odd number', () => {
    expect(summaryOfRuns([3, 1, 2])).toEqual({ value: 2, repeats: 3, stddev: 1, min: 1, mean: 2 });
  });

  it('knows no spread of one run, and refuses none', () => {
    expect(summaryOfRuns([5])).toEqual({ value: 5, repeats: 1, stddev: 0, min: 5, mean: 5 });
    expect(() => summaryOfRuns([])).toThrow('no runs');
  });
});
