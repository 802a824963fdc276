/** For tests: the committed profiles as they stand in YAML, and the kernel measurements where they are present. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse as parseCsv } from 'csv-parse/sync';
import { parse as parseYaml } from 'yaml';
import type { InstructionProfile, NanosecondProfile } from '../model/profile.ts';
import { measuredRow } from './measured-row.ts';
import type { MeasuredRow } from './measured-row.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

type Tree = Record<string, unknown>;

/** Read without the checks of scenarios/, which this room may not import. */
function committed(name: string): Tree {
  return camelKeys(parseYaml(readFileSync(join(root, 'scenarios/profiles', `${name}.yaml`), 'utf8'))) as Tree;
}

export function instructionProfile(): InstructionProfile {
  const profile = committed('linux-6.1-instructions');
  // Quantities of cold memory are left out of an instruction profile's file; they cost nothing there.
  const none = { value: 0, low: 0, high: 0, source: 'none' };
  for (const [name, section] of Object.entries(committed('linux-6.18-native'))) {
    if (typeof section !== 'object' || !(name in profile)) continue;
    const own = profile[name] as Tree;
    for (const key of Object.keys(section as Tree)) own[key] ??= none;
  }
  return profile as unknown as InstructionProfile;
}

export function committedProfile(): NanosecondProfile {
  const profile = committed('linux-6.18-native');
  (profile['ipvsBridge'] as Tree)['from'] = instructionProfile();
  return profile as unknown as NanosecondProfile;
}

function camelKeys(input: unknown): unknown {
  if (typeof input !== 'object' || input === null) return input;
  return Object.fromEntries(
    Object.entries(input).map(([key, value]) => [
      key.replace(/_(ns|instructions)$/, '').replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      camelKeys(value),
    ]),
  );
}

/** Relative to the repository's root, unless CHAINWALK_SHARED is absolute. */
const folder = join(resolve(root, process.env['CHAINWALK_SHARED'] ?? '../shared'), 'kernel-data');

export const hasKernelData = existsSync(folder);

export function kernelRows(...files: readonly string[]): MeasuredRow[] {
  return files.flatMap((file) => csvRows(join(folder, `${file}.csv`)));
}

/** Walks about the knee of the committed profile, which the kernel measurements leave out. */
export function kneeRows(): MeasuredRow[] {
  return csvRows(join(root, 'scenarios/profiles/linux-6.18-knee.csv'));
}

function csvRows(path: string): MeasuredRow[] {
  const records = parseCsv<Record<string, string>>(readFileSync(path, 'utf8'), { columns: true });
  return records.map((record, i) => measuredRow(record, `${path}:${i + 2}`));
}

export const NATIVE_FILES = ['native-data', 'native-control'] as const;
const IPVS_FILES = ['qemu-ipvs', 'qemu-ipvsconn', 'qemu-ipvsct', 'qemu-ipvskube', 'qemu-ipvssched'] as const;
export const GUEST_FILES = [...IPVS_FILES, 'qemu-ipt', 'qemu-iptnft', 'qemu-nft'] as const;

/** A row of the rig as its CSV has it: the last of 5,000 services, through iptables-legacy. */
export const RECORD = {
  source: 'native-6.18',
  engine: 'ipt-legacy',
  mode: 'first',
  services: '5000',
  endpoints_per_service: '1',
  position: 'last',
  rules_evaluated: '5000',
  value: '23003.8',
  unit: 'ns/packet',
  comments: '1',
  variant: '',
  min: '',
};

/** The same as a row, with some cells changed. */
export function rowWith(over: Partial<typeof RECORD> = {}, place = ''): MeasuredRow {
  return measuredRow({ ...RECORD, ...over }, place);
}
