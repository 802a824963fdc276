/** What the command line loads before it knows what it is asked for. Host time differs from machine to machine; modules do not. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { projectRoot } from './host.ts';

const MAIN = join(projectRoot(), 'dist', 'runner', 'main.js');

/** Writes the address of every module to standard error as it is loaded. */
const HOOKS = `
  import { writeSync } from 'node:fs';
  export async function load(url, context, next) {
    writeSync(2, url + '\\n');
    return next(url, context);
  }`;
const REGISTER = `import { register } from 'node:module'; register(${JSON.stringify(dataUrl(HOOKS))});`;

function dataUrl(source: string): string {
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

function modulesOf(...args: string[]): string[] {
  const run = spawnSync(process.execPath, ['--import', dataUrl(REGISTER), MAIN, ...args], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  expect(run.status).toBe(0);
  return run.stderr.split('\n').filter((line) => line.startsWith('file:'));
}

function packagesOf(modules: readonly string[]): string[] {
  const names = modules.map((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1]);
  return [...new Set(names.filter((name) => name !== undefined))].sort((a, b) => (a < b ? -1 : 1));
}

describe('chainwalk --help', () => {
  it.each([['--help'], ['sweep', '--help'], ['--version']])(
    '%s %s loads no command, and of packages two',
    (...args) => {
      const modules = modulesOf(...args.filter((arg) => arg !== ''));
      expect(modules).toContain(pathToFileURL(MAIN).href);
      expect(packagesOf(modules)).toEqual(['commander', 'picocolors']);
      expect(modules.filter((url) => url.includes('/runner/commands/'))).toEqual([]);
      expect(modules.length).toBeLessThan(20);
    },
  );
});

describe('a command', () => {
  it('loads neither charts nor threads where it needs none', () => {
    const packages = packagesOf(modulesOf('plan', '--quick'));
    expect(packages).toContain('yaml');
    for (const heavy of ['vega', 'vega-lite', 'piscina', 'tinybench']) expect(packages).not.toContain(heavy);
  });
});
