import { mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { NamespaceSession } from './namespace-session.ts';
import { whatIsMissing } from './tools.ts';

const MISSING = whatIsMissing([]);
const folder = mkdtempSync(join(tmpdir(), 'chainwalk-session-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

function isRunning(pid: string): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}

describe('a session in a namespace', () => {
  it('keeps what commands leave in it, and has loopback alone', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const session = new NamespaceSession(folder, 'keeps', 20);
    expect(await session.run('ip address add 192.0.2.9/32 dev lo', 5)).toEqual({ status: 0, stdout: '', stderr: '' });
    const { stdout } = await session.run('ip -o address', 5);
    expect(stdout).toContain('192.0.2.9');
    expect(stdout).not.toMatch(/^\d+: (?!lo)/m);
    expect((await session.run('readlink /proc/self/ns/net', 5)).stdout.trim()).not.toBe(
      readlinkSync('/proc/self/ns/net'),
    );
    await session.close();
  });

  it('gives status and streams of each command', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const session = new NamespaceSession(folder, 'gives', 20);
    const failed = await session.run("bash -c 'echo said; echo complained >&2; exit 3'", 5);
    expect(failed).toEqual({ status: 3, stdout: 'said\n', stderr: 'complained\n' });
    expect(await session.run('echo on', 5)).toEqual({ status: 0, stdout: 'on\n', stderr: '' });
    expect((await session.run('sleep 10', 0.2)).status).toBe(137);
    await session.close();
  });

  it('ends with everything in it when it is closed, in the middle of a command too', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const session = new NamespaceSession(folder, 'ends', 20);
    // Process numbers of the outer namespace: /proc is the machine's.
    const self = (await session.run('readlink /proc/self', 5)).stdout.trim();
    expect(Number(self)).toBeGreaterThan(0);
    const running = session.run('sleep 30', 40);
    const begin = performance.now();
    setTimeout(() => void session.close(), 100);
    expect(await running).toEqual({ status: 137, stdout: '', stderr: 'the namespace has ended' });
    await session.close();
    expect(performance.now() - begin).toBeLessThan(3000);
    expect(isRunning(self)).toBe(false);
    expect((await session.run('true', 5)).status).toBe(137);
  });
});
