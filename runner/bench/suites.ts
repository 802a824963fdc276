/** The suites of the benchmark: the files of runner/bench/suites/, each of which exports SUITE. */
import { readdirSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { Suite } from './suite.ts';

/** The order in which `all` runs them; one that is not named here comes last. */
const ORDER = ['queue', 'rng', 'scan', 'lookup', 'ipvs', 'conntrack', 'loop', 'compile', 'workers', 'sweep'];

const FOLDER = join(import.meta.dirname, 'suites');

export function suiteNames(): string[] {
  const names = readdirSync(FOLDER)
    .filter((file) => /^[a-z-]+\.[jt]s$/.test(file))
    .map((file) => file.slice(0, -extname(file).length));
  const rank = (name: string): number => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  return [...new Set(names)].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** Imports that suite alone: code of others would be compiled, and shapes of theirs seen, in its process. */
export async function loadSuite(name: string): Promise<Suite> {
  const { SUITE } = (await import(join(FOLDER, `${name}${extname(import.meta.filename)}`))) as { SUITE: Suite };
  if (SUITE.name !== name) throw new Error(`runner/bench/suites/${name}.ts has the suite "${SUITE.name}"`);
  return SUITE;
}
