import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { hasKernelData } from '../costs/test-data.ts';
import { loadProfile } from '../scenarios/load-profile.ts';
import { projectRoot } from './host.ts';

/** The compiled program, as a user runs it: `npm test` builds it first. */
const main = join(projectRoot(), 'dist', 'runner', 'main.js');
const scratch = mkdtempSync(join(tmpdir(), 'chainwalk-validate-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const HEADER =
  'source,engine,mode,services,endpoints_per_service,position,rules_evaluated,value,unit,repeats,stddev,statistic_rules,comments,variant,min,p10,mean,p90';
const LAST =
  'native-6.18,ipt-legacy,first,5000,1,last,5000,23003.8,ns/packet,3072,952.6,0,1,,22278.1,22807.6,23446.8,24854.2';
const UNKNOWN = 'native-6.18,ipt-legacy,first,5000,1,last,5000,23003.8,ns/packet,3072,952.6,0,1,moon=full,,,,';

function chainwalk(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
    cwd: scratch,
    timeout: 60_000,
    env: { ...process.env, NO_COLOR: '1' },
  });
  return { status, stdout, stderr };
}

function file(name: string, ...lines: string[]): string {
  writeFileSync(join(scratch, name), `${lines.join('\n')}\n`);
  return name;
}

describe('validate', () => {
  it('prints measured, predicted and error, what it cannot predict, and a line an engine and mode', () => {
    const rows = file('rows.csv', HEADER, LAST, UNKNOWN);
    const { status, stdout } = chainwalk('validate', '--measured', rows, '--profile', 'linux-6.18-native');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ipt-legacy first 5000x1 last +ns\/packet +23004 +2\d{4} +[+-]\d\.\d+ %$/m);
    expect(stdout).toMatch(
      /^ipt-legacy first 5000x1 last moon=full +rows\.csv:3 +the variant "moon=full" .* is not modelled$/m,
    );
    const line = 'rows 1 of 2, median \\|error\\| \\d+(\\.\\d+)? %, p90 \\d+(\\.\\d+)? %, max \\d+(\\.\\d+)? %';
    expect(stdout).toMatch(new RegExp(`^ipt-legacy first: ${line}$`, 'm'));
    expect(stdout.trimEnd().split('\n').at(-1)).toMatch(new RegExp(`^overall: ${line}$`));
  });

  it('prints the same as JSON, and writes a summary', () => {
    const rows = file('rows.csv', HEADER, LAST);
    const { status, stdout } = chainwalk('validate', '--measured', rows, '--json', '--out', 'summary.json');
    expect(status).toBe(0);
    const json = JSON.parse(stdout) as { rows: Record<string, unknown>[]; overall: Record<string, number> };
    expect(json.rows[0]).toMatchObject({
      place: 'rows.csv:2',
      engine: 'ipt-legacy',
      position: 'last',
      measured: 23003.8,
    });
    expect(json.overall).toMatchObject({ rows: 1, of: 1, judged: 1 });
    const summary = JSON.parse(readFileSync(join(scratch, 'summary.json'), 'utf8')) as { splits: { name: string }[] };
    expect(summary.splits.map(({ name }) => name)).toEqual(['all rows']);
  });

  it('fails by a median that is too large or too few rows that it predicts, with exit code 1', () => {
    const rows = file('rows.csv', HEADER, LAST, UNKNOWN);
    const bound = (...args: string[]) => chainwalk('validate', '--measured', rows, ...args);
    expect(bound('--max-median', '9%', '--min-coverage', '50').status).toBe(0);
    const median = bound('--max-median', '0.01');
    expect(median.status).toBe(1);
    expect(median.stderr).toMatch(/median \|error\| is \d\.\d+ %, above --max-median 0\.01 %/);
    const coverage = bound('--min-coverage', '95');
    expect(coverage.status).toBe(1);
    expect(coverage.stderr).toMatch(/50 % of the rows are predicted, below --min-coverage 95 %/);
  });

  it('points at what is wrong in a file', () => {
    const wrong = (name: string, ...lines: string[]) =>
      chainwalk('validate', '--measured', file(name, ...lines))
        .stderr.replace(/^error: /, '')
        .trim();
    expect(wrong('cell.csv', HEADER, LAST.replace('23003.8', 'fast'))).toBe(
      'cell.csv:2:47: "fast" in column "value" must be a number of at least 0.',
    );
    expect(wrong('columns.csv', HEADER.replace('variant', 'varaint'), LAST)).toMatch(
      /^columns\.csv:1:1: There is no column "variant"; .* Did you mean "varaint"\?$/,
    );
    expect(wrong('short.csv', HEADER, LAST, 'a,b')).toMatch(/^short\.csv:3:1: This is no CSV: /);
    expect(wrong('none.csv', HEADER)).toMatch(/^none\.csv:1:1: The file has no rows/);
    const absent = chainwalk('validate', '--measured', 'rowz.csv');
    expect(absent.status).toBe(2);
    expect(absent.stderr).toMatch(/rowz\.csv: No such file\./);
    expect(chainwalk('validate').stderr).toMatch(/expected --measured FILE\.csv/);
    expect(chainwalk('validate', '--measured', 'rows.csv', '--profile', 'linux-6.18').stderr).toMatch(
      /There is no cost profile/,
    );
  });
});

const shared = resolve(projectRoot(), process.env['CHAINWALK_SHARED'] ?? '../shared', 'kernel-data');
const skipped = hasKernelData ? '' : ' (skipped: not present)';

describe('calibrate', () => {
  it('refuses rows that cannot tell a number, names it and what it needs, and leaves no file', () => {
    const { status, stderr } = chainwalk(
      'calibrate',
      '--measured',
      file('rows.csv', HEADER, LAST),
      '--out',
      'mine.yaml',
    );
    expect(status).toBe(2);
    expect(stderr).toMatch(
      /iptables\.service_rule_ns \(ipt-legacy\): needs first packets behind few and behind many rules/,
    );
    expect(stderr).toMatch(/--base linux-6\.18-native/);
    expect(existsSync(join(scratch, 'mine.yaml'))).toBe(false);
  });

  it('refuses rows of two kinds, none that a profile knows, and no file to write', () => {
    const guest = LAST.replace('ns/packet', 'instructions/packet');
    expect(
      chainwalk('calibrate', '--measured', file('two.csv', HEADER, LAST, guest), '--out', 'x.yaml').stderr,
    ).toMatch(/of two kinds/);
    expect(chainwalk('calibrate', '--measured', file('odd.csv', HEADER, UNKNOWN), '--out', 'x.yaml').stderr).toMatch(
      /None of the rows/,
    );
    expect(chainwalk('calibrate', '--measured', 'odd.csv').stderr).toMatch(/--out is missing/);
    expect(chainwalk('calibrate', '--measured', 'odd.csv', '--out', 'x.txt').stderr).toMatch(/must end in \.yaml/);
  });

  it.skipIf(!hasKernelData)(`writes a profile that sweeps and validate take${skipped}`, () => {
    const rows = join(shared, 'qemu-ipt.csv');
    const made = chainwalk(
      'calibrate',
      '--measured',
      rows,
      '--out',
      'guest.yaml',
      '--base',
      'linux-6.1-instructions',
      '--l2-bytes',
      '1048576',
    );
    expect(made.stderr).toBe('');
    expect(made.status).toBe(0);
    expect(made.stdout).toMatch(/^iptables\.service_rule_instructions +26 +0\.\d+ +56$/m);
    expect(made.stdout).toMatch(/for want of rows: everything of ipt-nft, ipt-nft random endpoints, nft, ipvs alone/);
    const profile = loadProfile(join(scratch, 'guest.yaml'));
    expect(profile.name).toBe('guest');
    expect(profile.cache.l2Bytes.value).toBe(1048576);
    expect(profile.iptables.serviceRule.source).toMatch(/^fit to qemu-ipt\.csv/);
    const validated = chainwalk('validate', '--measured', rows, '--profile', './guest.yaml', '--max-median', '0.5');
    expect(validated.status).toBe(0);
  });
});
