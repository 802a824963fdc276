/** Golden cases below a folder: found, run in their modes, and reported one by one. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { compareBytes } from '../model/ip-text.ts';
import { formatInputError, InputError } from '../scenarios/errors.ts';
import { readGoldenCase } from '../scenarios/golden-case.ts';
import { checkCounts, checkHashes, checkIptablesSync, checkOrder, checkProbabilities } from './golden-iptables.ts';
import { checkGraceful, checkIpvsSync, checkLegacy, checkSyncService } from './golden-ipvs.ts';
import { checkNames, checkNftablesSync } from './golden-nftables.ts';
import type { GoldenBody, GoldenCase, GoldenMode } from '../scenarios/golden-case.ts';

export interface CaseResult {
  /** As the case calls itself, or its folder where it cannot be read. */
  readonly name: string;
  /** Undefined where the case cannot be read. */
  readonly mode: GoldenMode | undefined;
  /** Readable differences; none: the case passed. */
  readonly failures: readonly string[];
  /** The case itself is wrong: a key, an object or a setting. Its one failure says what. */
  readonly badInput: boolean;
}

/** Folders below `folder`, itself included, that hold an `input.yaml`; in byte order. */
export function findCases(folder: string): string[] {
  if (!existsSync(folder)) throw new InputError('No such folder.', { file: folder });
  if (!statSync(folder).isDirectory()) throw new InputError('This is no folder.', { file: folder });
  const found = search(folder);
  if (found.length === 0) throw new InputError('No folder below here holds an input.yaml.', { file: folder });
  return found;
}

function search(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true });
  if (entries.some((entry) => entry.name === 'input.yaml')) return [folder];
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort(compareBytes)
    .flatMap((name) => search(join(folder, name)));
}

/** Reads and runs one case. Never throws for what is wrong with it: that is its failure. */
export function runCase(folder: string, root: string = folder): CaseResult {
  let golden: GoldenCase;
  try {
    golden = readGoldenCase(folder);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const name = relative(root, folder);
    const failures = [formatInputError(error)];
    return { name: name === '' ? folder : name, mode: undefined, failures, badInput: true };
  }
  const { name, mode } = golden;
  try {
    return { name, mode, failures: checkBody(golden.body, mode), badInput: false };
  } catch (error) {
    // One case that breaks a compiler must not hide the others.
    if (!(error instanceof InputError)) {
      return { name, mode, failures: [(error as Error).stack ?? String(error)], badInput: false };
    }
    const { message, path, file = join(folder, 'input.yaml') } = error;
    return { name, mode, failures: [formatInputError(new InputError(message, { file, path }))], badInput: true };
  }
}

function checkBody(body: GoldenBody, mode: GoldenMode): string[] {
  switch (body.kind) {
    case 'sync':
      if (mode === 'iptables') return checkIptablesSync(body);
      return mode === 'ipvs' ? checkIpvsSync(body) : checkNftablesSync(body);
    case 'hashes':
      return checkHashes(body);
    case 'names':
      return checkNames(body);
    case 'probability':
      return checkProbabilities(body);
    case 'order':
      return checkOrder(body);
    case 'counts':
      return checkCounts(body);
    case 'legacy':
      return checkLegacy(body);
    case 'graceful':
      return checkGraceful(body);
    case 'sync-service':
      return checkSyncService(body);
  }
}
