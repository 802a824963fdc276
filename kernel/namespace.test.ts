import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { runInNamespace } from './namespace.ts';
import { whatIsMissing } from './tools.ts';

const MISSING = whatIsMissing([]);

/** A number of seconds that no other process sleeps for. */
function mark(): string {
  return `${3000 + (process.pid % 1000)}.${process.pid}`;
}

function commandLines(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')];
      } catch {
        return [];
      }
    });
}

function leftFolders(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith(`chainwalk-namespace-${process.pid}-`));
}

describe('a namespace', () => {
  it('has a loopback device that is up, and no other', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const result = await runInNamespace({ script: 'ip -o link show up', timeoutSeconds: 5 });
    expect(result.stdout.trim().split('\n')).toHaveLength(1);
    expect(result.stdout).toMatch(/^1: lo: .*UP/);
  });

  it('is another than ours, and gone afterwards', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const own = readlinkSync('/proc/self/ns/net');
    const script = 'readlink /proc/self/ns/net; ip address add 192.0.2.9/32 dev lo';
    const result = await runInNamespace({ script, timeoutSeconds: 5 });
    expect(result.status).toBe(0);
    expect(result.stdout).toMatch(/^net:\[\d+\]\n/);
    expect(result.stdout).not.toContain(own);
    expect(JSON.stringify(networkInterfaces())).not.toContain('192.0.2.9');
  });

  it('gives files in, and files, streams and status out', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const result = await runInNamespace({
      script: 'cat in > out; echo said; echo complained >&2; exit 3',
      files: { in: 'text' },
      outputs: ['out', 'never'],
      timeoutSeconds: 5,
    });
    expect(result).toEqual({
      status: 3,
      stdout: 'said\n',
      stderr: 'complained\n',
      outputs: new Map([['out', 'text']]),
    });
    expect(leftFolders()).toEqual([]);
  });

  it('ends at the first command that fails', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const result = await runInNamespace({ script: 'false\necho on', timeoutSeconds: 5 });
    expect(result).toMatchObject({ status: 1, stdout: '' });
  });

  it('takes its processes with it', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const script = `sleep ${mark()} > /dev/null 2>&1 &\nsleep 0.1\ncat /proc/*/cmdline | tr '\\0' ' '`;
    const result = await runInNamespace({ script, timeoutSeconds: 5 });
    expect(result.stdout).toContain(`sleep ${mark()}`);
    expect(commandLines().filter((line) => line.includes(mark()))).toEqual([]);
  });

  it('is ended with all its processes when its time is over', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const begin = performance.now();
    const result = await runInNamespace({ script: `sleep ${mark()} &\nsleep ${mark()}`, timeoutSeconds: 0.5 });
    expect(result.status).toBe(137);
    expect(performance.now() - begin).toBeLessThan(4000);
    expect(commandLines().filter((line) => line.includes(mark()))).toEqual([]);
    expect(leftFolders()).toEqual([]);
  });
});
