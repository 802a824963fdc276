/** For tests: the committed profile as it stands in YAML, and the kernel measurements where they are present. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse as parseCsv } from 'csv-parse/sync';
import { parse as parseYaml } from 'yaml';
import type { CostProfile } from '../model/profile.ts';
import { measuredRows } from './measured-row.ts';
import type { MeasuredRow } from './measured-row.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Read without the checks of scenarios/, which this room may not import. */
export function committedProfile(): CostProfile {
  const text = readFileSync(join(root, 'scenarios/profiles/linux-6.18-native.yaml'), 'utf8');
  return camelKeys(parseYaml(text)) as CostProfile;
}

function camelKeys(input: unknown): unknown {
  if (typeof input !== 'object' || input === null) return input;
  return Object.fromEntries(
    Object.entries(input).map(([key, value]) => [
      key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      camelKeys(value),
    ]),
  );
}

/** Relative to the repository's root, unless CHAINWALK_SHARED is absolute. */
const folder = join(resolve(root, process.env['CHAINWALK_SHARED'] ?? '../shared'), 'kernel-data');

export const hasKernelData = existsSync(folder);

export function kernelRows(...files: readonly string[]): MeasuredRow[] {
  return files.flatMap((file) =>
    measuredRows(
      parseCsv<Record<string, string>>(readFileSync(join(folder, `${file}.csv`), 'utf8'), { columns: true }),
    ),
  );
}

export const IPVS_FILES = ['qemu-ipvs', 'qemu-ipvsconn', 'qemu-ipvsct', 'qemu-ipvskube', 'qemu-ipvssched'] as const;
