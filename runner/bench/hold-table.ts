/** The increments of a hold model as a file: what the peer programs read. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../../reports/results.ts';
import { cacheFolder } from './peer.ts';

/** Writes the increments, one a line, unless it has been done before. Returns the path: the first argument of the programs. */
export function holdTable(distribution: string, increments: Float64Array): string {
  const text = `${increments.join('\n')}\n`;
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 12);
  const file = join(cacheFolder(), `hold-${distribution.replaceAll(/[^a-z0-9]+/gi, '-')}-${digest}.txt`);
  if (!existsSync(file)) writeFileAtomic(file, text);
  return file;
}
