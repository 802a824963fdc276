/** The validation that stands beside a cost profile: `linux-6.18-native.yaml` has its own in `linux-6.18-native.validation.json`. */
import { existsSync, readFileSync } from 'node:fs';
import { parseValidation } from '../reports/manifest.ts';
import type { Validation } from '../reports/validation.ts';

/** Of the profile in `profileFile`; undefined where it was not validated. Throws a ResultsError on a file that is none. */
export function readValidation(profileFile: string): Validation | undefined {
  const file = profileFile.replace(/\.ya?ml$/, '.validation.json');
  return file !== profileFile && existsSync(file) ? parseValidation(readFileSync(file, 'utf8'), file) : undefined;
}
