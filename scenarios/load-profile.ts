/** Cost profiles by name, or from a file. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { z } from 'zod';
import type { CostProfile, InstructionProfile } from '../model/profile.ts';
import { didYouMean, InputError, quote } from './errors.ts';
import { isMapping } from './overrides.ts';
import { toInstructionProfile, toNanosecondProfile } from './profile-document.ts';
import { instructionSchema, nanosecondSchema, unitSchema } from './profile-schema.ts';
import { check } from './schema-issues.ts';
import { parseSingleSource, readText } from './source.ts';
import type { ReadFile, SourceDocument } from './source.ts';

/** The folder with experiments/, clusters/ and profiles/; in a built package the compiled code stands in dist/ beside it. */
export function scenariosFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const source = join(here, '..', '..', 'scenarios');
  return existsSync(join(here, 'experiments')) || !existsSync(source) ? here : source;
}

/** Names of the committed profiles, in order. */
export function listProfiles(): string[] {
  const folder = join(scenariosFolder(), 'profiles');
  const files = existsSync(folder) ? readdirSync(folder) : [];
  return files
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .sort((a, b) => (a < b ? -1 : 1));
}

/**
 * The profile called `nameOrPath`; a text with a slash or ending in .yaml is a file, relative to `folder`.
 * Throws an InputError; an unknown name's has no file, since the caller knows where the name stands.
 */
export function loadProfile(nameOrPath: string, readFile?: ReadFile, folder = '.'): CostProfile {
  return readProfile(nameOrPath, readFile, folder).profile;
}

export interface ReadProfile {
  readonly profile: CostProfile;
  /** All that was read, the profile that the IPVS part comes from included: what a result depends on. */
  readonly text: string;
  /** Where the profile's file lies. */
  readonly file: string;
}

export function readProfile(nameOrPath: string, readFile?: ReadFile, folder = '.'): ReadProfile {
  const isFile = /[/\\]|\.ya?ml$/.test(nameOrPath);
  const path = isFile ? resolve(folder, nameOrPath) : join(scenariosFolder(), 'profiles', `${nameOrPath}.yaml`);
  if (!isFile && !existsSync(path)) {
    const known = listProfiles();
    throw new InputError(
      `There is no cost profile ${quote(nameOrPath)}; expected one of ${known.join(', ')}, or a file.${didYouMean(nameOrPath, known)}`,
    );
  }
  const text = isFile ? readText(path, readFile) : readText(path);
  const own = parseSingleSource(text, isFile ? nameOrPath : path);
  const based = onBase(own, text, readFile, dirname(path));
  const { source } = based;
  const { unit } = checked(source, unitSchema);
  if (unit === 'instructions') {
    return { profile: toInstructionProfile(checked(source, instructionSchema)), text: based.text, file: path };
  }
  const input = checked(source, nanosecondSchema);
  // The section's other keys are quantities, which its type cannot tell from this one.
  const from = input.ipvs_bridge['from'] as unknown as string;
  const bridged = readBridged(source, from, readFile, dirname(path));
  return { profile: toNanosecondProfile(input, bridged.profile), text: based.text + bridged.text, file: path };
}

/** How many profiles may stand on one another. */
const BASES = 8;

/**
 * A profile with `base: NAME` says only what differs from that one: the rest is taken from the base's file, which may have a base itself.
 * A place that only the base has is shown in the file that names it.
 */
function onBase(
  source: SourceDocument,
  text: string,
  readFile: ReadFile | undefined,
  folder: string,
  depth = 0,
): { source: SourceDocument; text: string } {
  if (!isMapping(source.data) || source.data['base'] === undefined) return { source, text };
  const { base, ...own } = source.data;
  const at = source.position(['base']);
  if (typeof base !== 'string') {
    throw new InputError(`"base" must be the name of a profile or a file, got ${quote(base)}.`, at);
  }
  if (depth === BASES) throw new InputError("These profiles are each other's base.", at);
  const isFile = /[/\\]|\.ya?ml$/.test(base);
  const path = isFile ? resolve(folder, base) : join(scenariosFolder(), 'profiles', `${base}.yaml`);
  if (!isFile && !existsSync(path)) {
    throw new InputError(`There is no cost profile ${quote(base)} to stand on.${didYouMean(base, listProfiles())}`, at);
  }
  const below = isFile ? readText(path, readFile) : readText(path);
  const under = onBase(parseSingleSource(below, isFile ? base : path), below, readFile, dirname(path), depth + 1);
  const data = merged(under.source.data, own);
  return {
    source: {
      file: source.file,
      data,
      position: (place) => source.position(place),
      keyPosition: (place) => source.keyPosition(place),
    },
    text: text + under.text,
  };
}

/** `over` put over `under`, mapping by mapping; a quantity is replaced as a whole, so that no value keeps another one's source. */
function merged(under: unknown, over: unknown): unknown {
  if (!isMapping(under) || !isMapping(over) || 'value' in over) return over;
  const keys = [...new Set([...Object.keys(under), ...Object.keys(over)])];
  return Object.fromEntries(
    keys.map((key) => [key, key in over ? (key in under ? merged(under[key], over[key]) : over[key]) : under[key]]),
  );
}

function readBridged(
  source: SourceDocument,
  name: string,
  readFile: ReadFile | undefined,
  folder: string,
): { profile: InstructionProfile; text: string } {
  const at = ['ipvs_bridge', 'from'];
  const read = located(source, at, () => readProfile(name, readFile, folder));
  if (read.profile.unit === 'instructions') return { profile: read.profile, text: read.text };
  throw new InputError(
    `"ipvs_bridge.from" must name a profile in instructions, got ${quote(name)}, which is in nanoseconds.`,
    source.position(at),
  );
}

/** An unknown name has no place of its own: it stands at `path`. */
function located<T>(source: SourceDocument, path: readonly string[], read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof InputError && error.file === undefined) {
      throw new InputError(error.message, source.position([...path]));
    }
    throw error;
  }
}

function checked<S extends z.ZodType>(source: SourceDocument, schema: S): z.output<S> {
  const result = check<z.output<S>>(schema as z.ZodType<z.output<S>>, source.data, 'the profile');
  if (result.mistake === undefined) return result.value;
  const { message, path, atKey } = result.mistake;
  throw new InputError(message, atKey ? source.keyPosition(path) : source.position(path));
}
