/** The report's browser bundle, as the build left it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from './host.ts';

export function readSite(): { script: string } {
  return { script: readFileSync(join(projectRoot(), 'dist', 'reports', 'site', 'main.js'), 'utf8') };
}
