/** Cost profiles by name, or from a file. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CostProfile } from '../model/profile.ts';
import { didYouMean, InputError, quote } from './errors.ts';
import { profileSchema, toProfile } from './profile-schema.ts';
import { check } from './schema-issues.ts';
import { parseSingleSource, readText } from './source.ts';
import type { ReadFile } from './source.ts';

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

/** The same with the file's text, which belongs to what a result depends on. */
export function readProfile(
  nameOrPath: string,
  readFile?: ReadFile,
  folder = '.',
): { profile: CostProfile; text: string } {
  const isFile = /[/\\]|\.ya?ml$/.test(nameOrPath);
  const path = isFile ? resolve(folder, nameOrPath) : join(scenariosFolder(), 'profiles', `${nameOrPath}.yaml`);
  if (!isFile && !existsSync(path)) {
    const known = listProfiles();
    throw new InputError(
      `There is no cost profile ${quote(nameOrPath)}; expected one of ${known.join(', ')}, or a file.${didYouMean(nameOrPath, known)}`,
    );
  }
  const shown = isFile ? nameOrPath : path;
  const text = isFile ? readText(path, readFile) : readText(path);
  const source = parseSingleSource(text, shown);
  const checked = check(profileSchema, source.data, 'the profile');
  if (checked.mistake !== undefined) {
    const { message, path: at, atKey } = checked.mistake;
    throw new InputError(message, atKey ? source.keyPosition(at) : source.position(at));
  }
  return { profile: toProfile(checked.value), text };
}
