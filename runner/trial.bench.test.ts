import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectRoot } from './host.ts';

/** Benchmarks run as compiled output in plain Node: the test runner's own module loader distorts hot loops. */
function bench(suite: string): Record<string, string>[] {
  const main = join(projectRoot(), 'dist', 'runner', 'main.js');
  const run = spawnSync(process.execPath, [main, 'bench', '--suite', suite, '--size', 'full'], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  expect(run.stderr).toBe('');
  expect(run.status).toBe(0);
  const rows = run.stdout.split('\n').filter((line) => line.startsWith('  '));
  return rows.map((row) =>
    Object.fromEntries(
      row
        .trim()
        .split('  ')
        .map((cell) => cell.split('=') as [string, string]),
    ),
  );
}

function nanoseconds(rows: readonly Record<string, string>[], name: string, services: number): number {
  const row = rows.find(
    (r) => r['name'] === name && r['evaluator'] === 'indexed' && Number(r['services']) === services,
  );
  return Number(row?.['nsPerPacket']);
}

// Machines are shared: a run that others disturbed may be repeated, the bounds stay.
describe('host time', { retry: 2 }, () => {
  it('a trial of 20,000 services x 10 endpoints takes at most 3 s and 500 MB', () => {
    const rows = bench('trial').filter((row) => Number(row['services']) === 20_000);
    expect(rows).toHaveLength(2);
    for (const row of rows) {
      expect(Number(row['packets'])).toBeGreaterThanOrEqual(100_000);
      expect(Number(row['seconds'])).toBeLessThanOrEqual(3);
      expect(Number(row['peak_memory_mb'])).toBeLessThanOrEqual(500);
    }
  });

  it.each(['iptables', 'ipvs'])(
    '%s: at twenty times the services an indexed packet takes at most 1.5 times',
    (suite) => {
      const rows = bench(`packets-${suite}`);
      for (const name of ['new flows', 'established flows']) {
        const ratio = nanoseconds(rows, name, 20_000) / nanoseconds(rows, name, 1000);
        expect(ratio, `${name} ${ratio}`).toBeLessThanOrEqual(1.5);
      }
    },
  );
});
