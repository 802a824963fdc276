/** The only place of the runner that looks at the machine: clock, processors, git, versions, where the project lies. */
import type { ChildProcess, ForkOptions, SpawnOptions } from 'node:child_process';
import { execFileSync, fork, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { getHeapStatistics } from 'node:v8';

/** Seconds since an arbitrary start, for progress and elapsed time only; never part of a result. */
export function hostSeconds(): number {
  return performance.now() / 1000;
}

/** The folder that holds package.json: the project root both for sources (tsx, vitest) and for compiled files in dist/. */
export function projectRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`No package.json above ${import.meta.dirname}`);
    folder = parent;
  }
  return folder;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_gb: number;
  readonly platform: string;
}

export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory_gb: Math.round(totalmem() / 1e9),
    platform: `${process.platform} ${process.arch}`,
  };
}

export function defaultWorkers(): number {
  return Math.max(1, availableParallelism());
}

/** `abc1234`, with `+changes` when the working tree differs; `unknown` outside a git checkout. */
export function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: projectRoot(), encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    const hash = git('rev-parse', '--short=12', 'HEAD');
    return git('status', '--porcelain') === '' ? hash : `${hash}+changes`;
  } catch {
    return 'unknown';
  }
}

export function versions(): { chainwalk: string; node: string } {
  const manifest = JSON.parse(readFileSync(join(projectRoot(), 'package.json'), 'utf8')) as { version: string };
  return { chainwalk: manifest.version, node: process.version };
}

/** The largest resident set of this process so far, in bytes. */
export function peakMemoryBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}

/** Of the JavaScript heap of this thread, in bytes: live objects and what has not been collected. */
export function usedHeapBytes(): number {
  return getHeapStatistics().used_heap_size;
}

export type { ChildProcess } from 'node:child_process';

export interface ToolRun {
  /** Exit code; null when the tool is not there or was killed. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a tool to its end. */
export function runTool(command: string, args: readonly string[]): ToolRun {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  // Both are null when the tool is not there.
  const text = (output: string | null): string => output ?? '';
  return { status, stdout: text(stdout), stderr: text(stderr) };
}

/** Starts a program and returns at once. */
export function startProgram(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn(command, args, options);
}

/** Starts another Node process on a compiled module, with a channel for messages. */
export function startNode(module: string, args: readonly string[], options: ForkOptions): ChildProcess {
  return fork(module, args, options);
}

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}
