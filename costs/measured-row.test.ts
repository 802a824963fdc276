import { describe, expect, it } from 'vitest';
import { withCpuSeconds } from './cpu-seconds.ts';
import { measuredRow, pointName } from './measured-row.ts';
import { RECORD, rowWith } from './test-data.ts';

const row = (over: Partial<typeof RECORD> = {}) => rowWith(over, 'x.csv:2');

describe('measuredRow', () => {
  it('reads a record, and says what is wrong with a bad one', () => {
    expect(row()).toMatchObject({ services: 5000, comments: true, value: 23003.8, min: 23003.8, place: 'x.csv:2' });
    expect(() => row({ value: 'fast' })).toThrow('"fast" in column "value" must be a number of at least 0');
    expect(() => row({ services: '-1' })).toThrow('"-1" in column "services"');
    const short: Record<string, string> = { ...RECORD };
    delete short['variant'];
    expect(() => measuredRow(short, '')).toThrow('There is no column "variant"');
  });

  it('ignores a word and a colon in front of a variant, and no option', () => {
    const variant = (text: string) => row({ variant: text }).variant;
    expect(['ci:endpoints', 'quiet:', 'rerun:flows=1', 'quiet:conn_tab_bits=8:conns=256'].map(variant)).toEqual([
      'endpoints',
      '',
      'flows=1',
      'conn_tab_bits=8:conns=256',
    ]);
    expect(['conn_tab_bits=8:conns=256', 'kube-rules+kube-ipvs0', 'evict=8MiB'].map(variant)).toEqual([
      'conn_tab_bits=8:conns=256',
      'kube-rules+kube-ipvs0',
      'evict=8MiB',
    ]);
  });

  it('names what a row measured', () => {
    expect(pointName(row())).toBe('ipt-legacy first 5000x1 last');
    expect(pointName(row({ comments: '0', variant: 'endpoints' }))).toBe(
      'ipt-legacy first 5000x1 last endpoints without comments',
    );
  });
});

describe('withCpuSeconds', () => {
  const seconds = (unit: string, value: string, min: string, position = 'full-sync') =>
    row({ mode: 'sync', unit, value, min, position, variant: position });

  it('adds the best user and system seconds of an operation up', () => {
    const merged = withCpuSeconds([
      seconds('wall_s', '3', '2'),
      seconds('user_s', '1.5', '1.25'),
      seconds('sys_s', '0.5', '0.25'),
      row(),
    ]);
    expect(merged.map(({ unit, value }) => [unit, value])).toEqual([
      ['cpu_s', 1.5],
      ['ns/packet', 23003.8],
    ]);
  });

  it('takes the medians where a best half fell between two ticks', () => {
    const merged = withCpuSeconds([seconds('user_s', '0.004', '0'), seconds('sys_s', '0.009', '0.006')]);
    expect(merged[0]?.value).toBeCloseTo(0.013, 12);
  });

  it('leaves out what has only one of the two', () => {
    expect(withCpuSeconds([seconds('user_s', '1', '1'), seconds('sys_s', '1', '1', 'save-nat')])).toEqual([]);
  });
});
