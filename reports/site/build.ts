/** Bundles main.ts with Vega, Vega-Lite and vega-embed into the one script that reports carry inline. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const HERE = dirname(fileURLToPath(import.meta.url));
const SOURCES = [
  'main.ts',
  'build.ts',
  '../charts/chart.ts',
  '../charts/layout.ts',
  '../charts/theme.ts',
  '../../package-lock.json',
];

/**
 * Writes `outDir`/main.js and returns its path; does nothing when it is newer than every source. `sourceDir` is reports/site of
 * the sources: the compiled form of this file lies elsewhere.
 */
export async function buildSite(outDir: string, sourceDir: string = HERE): Promise<string> {
  const outfile = join(outDir, 'main.js');
  if (isFresh(outfile, sourceDir)) return outfile;
  const { metafile } = await build({
    entryPoints: [join(sourceDir, 'main.ts')],
    outfile,
    bundle: true,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    charset: 'ascii',
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
    absWorkingDir: sourceDir,
  });
  const script = readFileSync(outfile, 'utf8');
  writeFileSync(outfile, `${script}${licences(Object.keys(metafile.inputs), sourceDir)}`);
  return outfile;
}

/** The licences of every bundled package as one comment: a report is a copy of them, and they ask to be kept with it. */
function licences(inputs: readonly string[], sourceDir: string): string {
  const packages = new Set<string>();
  for (const input of inputs) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match?.[1] !== undefined) packages.add(match[1]);
  }
  const namesByText = new Map<string, string[]>();
  for (const path of [...packages].sort((a, b) => (a < b ? -1 : 1))) {
    const folder = resolve(sourceDir, path);
    const file = readdirSync(folder).find((name) => /^licen[sc]e(\.|$)/i.test(name));
    if (file === undefined) throw new Error(`no licence file in ${path}`);
    const text = readFileSync(join(folder, file), 'utf8').replaceAll('\r', '').replaceAll('*/', '* /').trim();
    namesByText.set(text, [...(namesByText.get(text) ?? []), path.slice(path.lastIndexOf('node_modules/') + 13)]);
  }
  const parts = [...namesByText].map(([text, names]) => `${names.join(', ')}:\n${text}`);
  // ASCII only, as the rest of the file: its hash must not depend on how a page is decoded.
  const ascii = parts.join('\n\n').replace(/[^\x20-\x7e\n]/g, '?');
  return `/* Bundled packages and their licences\n\n${ascii}\n*/\n`;
}

function isFresh(outfile: string, sourceDir: string): boolean {
  const built = statSync(outfile, { throwIfNoEntry: false })?.mtimeMs;
  if (built === undefined) return false;
  return SOURCES.every(
    (source) => (statSync(join(sourceDir, source), { throwIfNoEntry: false })?.mtimeMs ?? 0) <= built,
  );
}
