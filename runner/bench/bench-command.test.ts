/** The compiled command, as a user runs it, in its smoke size: `npm test` builds it first. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseGrowthRows, parseHostRows } from '../../reports/host-time.ts';
import { projectRoot } from '../host.ts';
import { whatPeerLacks } from './peer.ts';
import { suiteNames } from './suites.ts';

const main = join(projectRoot(), 'dist', 'runner', 'main.js');
const scratch = mkdtempSync(join(tmpdir(), 'chainwalk-bench-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function bench(args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const run = spawnSync(process.execPath, [main, 'bench', ...args], {
    encoding: 'utf8',
    cwd: scratch,
    timeout: 120_000,
    env: { ...process.env, ...env },
  });
  return { status: run.status, stdout: run.stdout, stderr: run.stderr };
}

const NO_CC = whatPeerLacks({ name: 'C', source: 'rng.c', args: [] })?.reason;

describe('bench --size smoke', () => {
  let run: Run;
  beforeAll(() => {
    run = bench(['--size', 'smoke', '--out', 'all']);
  });

  it('runs every suite, with a line a job and a table', () => {
    expect(run.status, run.stderr).toBe(0);
    for (const suite of suiteNames()) {
      expect(run.stderr).toMatch(new RegExp(`^${suite}, .*: [\\d.,]+ (ns|µs|ms|s)`, 'm'));
      expect(run.stdout).toMatch(new RegExp(`^${suite} `, 'm'));
    }
    const [header, ...lines] = run.stdout.split('\n\n')[0].trimEnd().split('\n');
    expect(header).toMatch(/^suite +job +size +contender +an operation +95 % interval +ours over it/);
    const at = header.indexOf('contender');
    for (const line of lines) expect(line.slice(at - 2, at)).toBe('  ');
  });

  it('leaves host.csv, growth.csv, bench.json, charts and a report', () => {
    const text = (name: string): string => readFileSync(join(scratch, 'all', name), 'utf8');
    expect(text('host.csv').split('\n')[0]).toBe(
      'suite,job,size,size_of,contender,rounds,operations,operation_median_ns,operation_low_ns,operation_high_ns,' +
        'median_ratio,low_ratio,high_ratio,bar_ratio,bar_ns,verdict,checksum',
    );
    const rows = parseHostRows(text('host.csv'), 'host.csv');
    expect([...new Set(rows.map((row) => row.suite))]).toEqual(suiteNames());
    expect(rows.every((row) => row.verdict === '' && row.operation_low_ns <= row.operation_median_ns)).toBe(true);
    parseGrowthRows(text('growth.csv'), 'growth.csv');
    const facts = JSON.parse(text('bench.json')) as Record<string, unknown>;
    expect(facts).toMatchObject({ size: 'smoke', command: 'chainwalk bench --size smoke --out all' });
    const charts = readdirSync(join(scratch, 'all', 'charts'));
    expect(charts.filter((name) => name.endsWith('.svg'))).toHaveLength(charts.length / 2);
    // Without the browser bundle, which is long and not ours.
    const [report] = text('report.html').split('<script>');
    for (const suite of suiteNames()) expect(report).toContain(`<section class="experiment" id="${suite}">`);
    expect(report).toContain('host time');
    expect(report).not.toMatch(/NaN|undefined/);
  });

  it('has one checksum for all contenders of a job', (context) => {
    context.skip(NO_CC !== undefined, NO_CC);
    const rows = parseHostRows(readFileSync(join(scratch, 'all', 'host.csv'), 'utf8'), 'host.csv');
    const first = new Map<string, string>();
    for (const row of rows) {
      const job = `${row.suite}, ${row.job}, ${row.size}`;
      if (!first.has(job)) first.set(job, row.checksum);
      expect(row.checksum, job).toBe(first.get(job));
    }
    expect(rows.filter((row) => row.suite === 'rng' && row.contender === 'C')).toHaveLength(4);
    expect(rows.some((row) => row.median_ratio !== null)).toBe(true);
  });
});

describe('bench', () => {
  it('leaves out a peer that cannot be had, and says how to get it', () => {
    // A folder with node alone: neither cc nor git nor anything else is found.
    const path = mkdtempSync(join(scratch, 'path-'));
    symlinkSync(process.execPath, join(path, 'node'));
    const run = bench(['--suite', 'rng', '--size', 'smoke', '--out', 'no-cc'], {
      PATH: path,
      CHAINWALK_REQUIRE: 'all',
    });
    expect(run.status, run.stderr).toBe(0);
    const said = 'C (a C compiler (cc) is not installed: apt-get install -y gcc libc6-dev)';
    expect(run.stderr.split('\n').filter((line) => line.startsWith('left out:'))).toEqual([`left out: ${said}`]);
    const rows = parseHostRows(readFileSync(join(scratch, 'no-cc', 'host.csv'), 'utf8'), 'host.csv');
    expect(new Set(rows.map((row) => row.contender))).toEqual(new Set(['chainwalk']));
    expect(readFileSync(join(scratch, 'no-cc', 'report.html'), 'utf8')).toContain(said);
  });

  it('prints JSON', () => {
    const run = bench(['--suite', 'rng', '--size', 'smoke', '--out', 'json', '--json']);
    const { rows } = JSON.parse(run.stdout) as { rows: { suite: string; rounds: number }[] };
    expect(rows[0]).toMatchObject({ suite: 'rng', rounds: 3 });
  });

  it('profiles our own side of a suite', () => {
    const run = bench(['--profile', 'rng', '--size', 'smoke', '--out', 'profile']);
    expect(run.status, run.stderr).toBe(0);
    expect(run.stdout).toMatch(/^self ms +share +function +where\n/);
    expect(run.stdout.trimEnd().split('\n')).toHaveLength(11);
    const file = join('profile', 'rng.cpuprofile');
    expect(run.stderr).toContain(`Profile: ${file}`);
    expect(JSON.parse(readFileSync(join(scratch, file), 'utf8'))).toHaveProperty('samples');
  });

  it.each([
    [['--suite', 'qeue'], /--suite "qeue" is not known\. Expected all, .*rng/],
    [['--suite', 'rgn'], /Did you mean "rng"\?/],
    [['--profile', 'trial'], /--profile "trial" is not known/],
    [['--size', 'big'], /--size "big" is not known\. Expected smoke or full/],
    [['--suite', 'rng', '--size', 'smoke', '--out', join('/proc', 'bench')], /--out/],
  ])('refuses %j', (args, message) => {
    const run = bench(args);
    expect(run.stderr).toMatch(message);
    expect(run.status).toBe(2);
  });

  it('still has the benchmarks without peers', () => {
    const run = bench(['--suite', 'events', '--size', 'smoke']);
    expect(run.status).toBe(0);
    expect(run.stdout).toMatch(/^events\n {2}name=exponential {2}size=64 {2}nsPerHold=/);
  });
});
