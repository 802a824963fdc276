/** Runs one tool to its end, or to an interrupt. */
import { spawn } from 'node:child_process';

export interface ToolRun {
  readonly cwd?: string;
  readonly signal?: AbortSignal;
  /** A line of its standard output, as it comes. */
  readonly onLine?: (line: string) => void;
  readonly timeoutSeconds?: number;
}

export interface ToolResult {
  /** 137 when it was killed. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Thrown for what was interrupted. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** The tool is in a process group of its own, which is killed as a whole. Rejects with Interrupted when the signal came. */
export function runTool(command: string, args: readonly string[], run: ToolRun = {}): Promise<ToolResult> {
  const { signal } = run;
  if (signal?.aborted === true) return Promise.reject(new Interrupted());
  const child = spawn(command, args, {
    ...(run.cwd === undefined ? {} : { cwd: run.cwd }),
    detached: true,
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  };
  const timer = run.timeoutSeconds === undefined ? undefined : setTimeout(kill, run.timeoutSeconds * 1000);
  signal?.addEventListener('abort', kill, { once: true });
  let stdout = '';
  let stderr = '';
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (run.onLine === undefined) {
      stdout += text;
      return;
    }
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) run.onLine(line.trimEnd());
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', kill);
      if (signal?.aborted === true) reject(new Interrupted());
      else settle();
    };
    child.on('error', (error) => end(() => reject(error)));
    child.on('close', (status) => end(() => resolve({ status: status ?? 137, stdout, stderr })));
  });
}

/** The same for a tool that must succeed. */
export async function runWell(command: string, args: readonly string[], run: ToolRun = {}): Promise<string> {
  const { status, stdout, stderr } = await runTool(command, args, run);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${stderr.trim().slice(-400)}`);
  return stdout;
}
