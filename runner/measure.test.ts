import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { afterAll, describe, expect, it } from 'vitest';
import { missingForNative, thisMachine } from '../kernel/measure/requirements.ts';
import { projectRoot } from './host.ts';

const main = join(projectRoot(), 'dist', 'runner', 'main.js');
const MISSING = missingForNative(['nft'], thisMachine());
const scratch = mkdtempSync(join(tmpdir(), 'chainwalk-measure-cli-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function measure(args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'measure', ...args], {
    encoding: 'utf8',
    cwd: scratch,
    env,
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}

/** Command lines of processes that mention the text. */
function processes(text: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')];
      } catch {
        return [];
      }
    })
    .filter((line) => line.includes(text));
}

describe('chainwalk measure', () => {
  it('says in one line what is missing and how to get it, exit 2', () => {
    const env = { ...process.env, PATH: scratch };
    // Tools of /usr/sbin and /sbin are found without a PATH; the compiler is not.
    for (const args of [['--engine', 'nft'], ['--guest']]) {
      const { status, stderr } = measure(args, env);
      expect(status).toBe(2);
      expect(stderr).toMatch(/^(\S*error:\S* )measure.* needs .*cc.*: apt-get install .*gcc libc6-dev.*\n$/);
    }
  });

  it('refuses engines and files that it cannot take, exit 2', (ctx) => {
    const refused = (...args: string[]): string => {
      const { status, stderr } = measure(args);
      expect(status).toBe(2);
      return stderr;
    };
    expect(refused('--engine', 'nftt')).toContain('Did you mean "nft"?');
    expect(refused('--engine', 'ipvs')).toContain('add --guest');
    expect(refused('--guest', '--engine', 'ipset')).toContain('leave --guest out');
    expect(refused('--guest-kernel', '/nowhere')).toContain('add --guest');
    ctx.skip(MISSING !== undefined, MISSING);
    expect(refused('--engine', 'nft', '--out', 'rows.txt')).toContain('ends in .csv');
    writeFileSync(join(scratch, 'old.csv'), 'precious');
    expect(refused('--engine', 'nft', '--out', 'old.csv')).toContain('are not overwritten');
    expect(readFileSync(join(scratch, 'old.csv'), 'utf8')).toBe('precious');
  });

  it.for(['SIGINT', 'SIGTERM'] as const)(
    'ends at once on %s: whole rows, exit 130, nothing left',
    async (name, ctx) => {
      ctx.skip(MISSING !== undefined, MISSING);
      const path = join(scratch, `${name}.csv`);
      const child = spawn(process.execPath, [main, 'measure', '--quick', '--engine', 'nft', '--out', path], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let stderr = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
      const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
      while (!existsSync(path) || readFileSync(path, 'utf8').split('\n').length < 6) {
        expect(child.exitCode, stderr).toBe(null);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const own = `chainwalk-measure-${child.pid}-`;
      expect(readdirSync(tmpdir()).some((folder) => folder.startsWith(own))).toBe(true);
      const begin = performance.now();
      child.kill(name);
      expect(await ended).toBe(130);
      expect(performance.now() - begin).toBeLessThan(2500);
      expect(stderr).toContain('Interrupted: ');
      expect(readdirSync(tmpdir()).filter((folder) => folder.startsWith(own))).toEqual([]);
      expect(processes(own)).toEqual([]);
      const text = readFileSync(path, 'utf8');
      expect(text.endsWith('\n')).toBe(true);
      const rows = parse<Record<string, string>>(text, { columns: true });
      expect(rows.length).toBeGreaterThan(3);
      const facts = JSON.parse(readFileSync(path.replace('.csv', '.json'), 'utf8')) as Record<string, unknown>;
      expect(facts).toMatchObject({ ended: 'interrupted', rows: rows.length });
      expect(facts['cpu_model']).toEqual(expect.any(String));
    },
  );
});
