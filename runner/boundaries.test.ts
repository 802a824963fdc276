import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, normalize, dirname, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectRoot } from './host.ts';

/** docs/architecture.md: which room may import which. Anything of Node's that a room needs is listed, too. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  model: [],
  sim: [],
  scenarios: ['model', 'sim'],
  engines: ['model', 'sim'],
  costs: ['model'],
  control: ['model', 'sim'],
  reports: ['model', 'costs'],
  kernel: ['model', 'engines', 'costs'],
  runner: ['model', 'sim', 'scenarios', 'engines', 'costs', 'control', 'reports', 'kernel'],
};
/** Engines are siblings: none imports another. All may use the contract, conntrack, proxy and what their tests and benchmarks share; the oracle uses the contract alone. */
const SHARED_BY_ENGINES = ['engine.ts', 'conntrack', 'proxy', 'packet-bench.ts', 'synthetic.ts'];

const root = projectRoot();

function sources(folder: string): string[] {
  return readdirSync(folder)
    .sort((a, b) => (a < b ? -1 : 1))
    .flatMap((name) => {
      const path = join(folder, name);
      if (statSync(path).isDirectory()) return sources(path);
      return name.endsWith('.ts') ? [path] : [];
    });
}

function imports(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [
    ...text.matchAll(/^\s*(?:import|export)\b[^;]*?from\s+'([^']+)'/gm),
    ...text.matchAll(/\bimport\('([^']+)'\)/g),
  ].map((match) => match[1]);
}

const files = Object.keys(ALLOWED).flatMap((room) => sources(join(root, room)));
const production = files.filter((file) => !file.endsWith('.test.ts'));

describe('boundaries', () => {
  it('sees the whole project', () => {
    expect(production.length).toBeGreaterThan(80);
  });

  it('holds the import directions between rooms', () => {
    const broken: string[] = [];
    for (const file of production) {
      const here = relative(root, file);
      const room = here.split('/')[0];
      for (const target of imports(file).filter((t) => t.startsWith('.'))) {
        const there = relative(root, normalize(join(dirname(file), target)));
        const otherRoom = there.split('/')[0];
        if (otherRoom !== room && !ALLOWED[room].includes(otherRoom)) broken.push(`${here} -> ${there}`);
      }
    }
    expect(broken).toEqual([]);
  });

  it('keeps sibling engines apart, and the oracle alone', () => {
    const broken: string[] = [];
    for (const file of production.filter((f) => relative(root, f).startsWith('engines/'))) {
      const here = relative(join(root, 'engines'), file);
      const engine = here.split('/')[0];
      if (!here.includes('/') || engine === 'conformance') continue;
      for (const target of imports(file).filter((t) => t.startsWith('.'))) {
        const there = relative(join(root, 'engines'), normalize(join(dirname(file), target)));
        if (there.startsWith('..')) continue;
        const other = there.split('/')[0];
        const shared = engine === 'reference' ? ['engine.ts'] : SHARED_BY_ENGINES;
        if (other !== engine && !shared.includes(other)) broken.push(`${here} -> ${there}`);
      }
    }
    expect(broken).toEqual([]);
  });

  it('reads the clock, the operating system and git in runner/host.ts and kernel/ alone', () => {
    const broken = production.filter(
      (file) =>
        !file.endsWith('runner/host.ts') &&
        !file.endsWith('.bench.ts') &&
        !relative(root, file).startsWith('kernel/') &&
        (imports(file).some((t) => t === 'node:child_process' || t === 'node:perf_hooks') ||
          /\b(Date\.now|performance\.now|new Date)\b/.test(readFileSync(file, 'utf8'))),
    );
    expect(broken.map((file) => relative(root, file))).toEqual([]);
  });

  it('keeps files and names in the house style', () => {
    const broken = files.filter((file) => !/^[a-z0-9]+([.-][a-z0-9]+)*\.ts$/.test(file.split('/').at(-1) as string));
    expect(broken.map((file) => relative(root, file))).toEqual([]);
    const folders = ['src', 'utils', 'lib', 'common', 'helpers'];
    expect(files.filter((file) => file.split('/').some((part) => folders.includes(part)))).toEqual([]);
  });
});
