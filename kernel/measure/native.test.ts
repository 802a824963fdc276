import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { afterAll, describe, expect, it } from 'vitest';
import { measuredRow } from '../../costs/measured-row.ts';
import type { MeasuredRow } from '../../costs/measured-row.ts';
import { lastCpu } from './machine-facts.ts';
import { measureNative } from './native.ts';
import { missingForNative, thisMachine } from './requirements.ts';
import { RowFile } from './row-file.ts';
import { Interrupted } from './tool.ts';

const ENGINES = ['ipt-legacy', 'ipt-nft', 'nft', 'ipset'] as const;
const MISSING = missingForNative(ENGINES, thisMachine());

const folder = mkdtempSync(join(tmpdir(), 'chainwalk-measure-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

function ownFolders(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith(`chainwalk-measure-${process.pid}-`));
}

/** Everything of the root namespace that a measurement could have touched. */
function rootNamespace(): string {
  const list = (command: string, ...args: string[]): string => {
    const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
    return execFileSync(command, args, { encoding: 'utf8', env });
  };
  return [
    list('nft', 'list', 'ruleset'),
    list('ipset', 'list', '-n'),
    list('ip', 'address'),
    list('ip', 'route', 'show', 'table', 'all'),
  ]
    .join('\n')
    .replace(/(valid|preferred)_lft \S+/g, '');
}

async function run(name: string, signal: AbortSignal): Promise<MeasuredRow[]> {
  const path = join(folder, `${name}.csv`);
  const rows = new RowFile(path, 'native-test');
  try {
    const lines: string[] = [];
    const say = (line: string): void => void lines.push(line);
    const outcome = await measureNative({
      size: 'smoke',
      engines: ENGINES,
      named: false,
      cpu: lastCpu(),
      rows,
      signal,
      say,
    });
    expect(outcome, lines.join('\n')).toEqual({ failed: 0 });
  } finally {
    rows.close();
  }
  return readRows(path);
}

function readRows(path: string): MeasuredRow[] {
  const text = readFileSync(path, 'utf8');
  expect(text.endsWith('\n')).toBe(true);
  return parse<Record<string, string>>(text, { columns: true }).map((record) => measuredRow(record, ''));
}

describe('the own kernel, at the smallest size', () => {
  it('is measured for every engine between baselines, and nothing is touched or left', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const before = rootNamespace();
    const rows = await run('all', new AbortController().signal);
    expect(rootNamespace()).toBe(before);
    expect(ownFolders()).toEqual([]);
    const engines = new Set(rows.filter(({ mode }) => mode !== 'sync').map(({ engine }) => engine));
    // A kernel may lack an engine; every kernel that the tests run on has one of them.
    expect(engines.size).toBeGreaterThan(3);
    for (const engine of ['none', 'conntrack', 'conntrack+nat']) expect(engines).toContain(engine);
    const value = (engine: string, mode: string): number =>
      Math.min(...rows.filter((row) => row.engine === engine && row.mode === mode).map((row) => row.min));
    expect(value('conntrack+nat', 'first')).toBeGreaterThan(value('none', 'first'));
    const longer = rows.filter(
      (row) => row.engine.startsWith('ipt-') && row.mode === 'first' && row.position === 'only',
    );
    for (const row of longer) expect(row.min).toBeGreaterThan(value('none', 'first'));
    // The bare namespace comes before every ruleset.
    const kinds = rows
      .filter(({ mode }) => mode !== 'sync')
      .map(({ engine, services }) => (engine === 'none' ? '-' : `${engine} ${services}`));
    kinds.forEach((kind, at) => {
      if (kind !== '-' && /^(ipt|nft)/.test(kind) && kinds[at - 1] !== kind)
        expect(kinds[at - 1], `before ${kind}`).toMatch(/^-$|^(ipt|nft).* 1$/);
    });
    const operations = new Set(
      rows.filter(({ mode }) => mode === 'sync').map(({ engine, position }) => `${engine} ${position}`),
    );
    expect(operations).toContain('ipset add-1');
  });

  it('is let go of at once when it is interrupted', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const controller = new AbortController();
    const begin = performance.now();
    const running = run('interrupted', controller.signal);
    setTimeout(() => controller.abort(), 1500);
    await expect(running).rejects.toBeInstanceOf(Interrupted);
    expect(performance.now() - begin).toBeLessThan(4000);
    expect(ownFolders()).toEqual([]);
    readRows(join(folder, 'interrupted.csv'));
  });
});
