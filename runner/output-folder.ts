/** Checks and makes the folders that commands write to. */
import { accessSync, constants, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { InputError } from '../scenarios/errors.ts';

/** Makes the folder and refuses one that cannot be written, before anything runs. `flag` is the option that chose it. */
export function assertWritable(folder: string, flag: string): void {
  const path = resolve(folder);
  try {
    makeFolders(path);
    if (!statSync(path).isDirectory()) throw new Error('it is a file');
    accessSync(path, constants.W_OK);
    // Root passes every access check, also on a read-only file system: only a write tells.
    const probe = join(path, '.chainwalk-probe');
    writeFileSync(probe, '');
    rmSync(probe);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InputError(
      `The folder "${folder}" cannot be written: ${reason}. Expected a folder that exists or can be made; choose another with ${flag}`,
    );
  }
}

/** One level at a time: Node's recursive mkdir never returns below /proc (it takes ENOENT for a missing parent). */
function makeFolders(path: string): void {
  if (existsSync(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolders(parent);
  mkdirSync(path);
}
