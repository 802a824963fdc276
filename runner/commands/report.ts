/** `chainwalk report`: charts and HTML again, from a results folder of `sweep` (or of one experiment in it). */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { renderExperiment, renderIndex } from '../../reports/html/report.ts';
import { InputError } from '../../scenarios/errors.ts';
import { readSite } from '../site.ts';

export async function reportCommand(folder: string): Promise<void> {
  const site = readSite();
  if (existsSync(join(folder, 'manifest.json'))) {
    await renderExperiment(folder, site);
    process.stdout.write(`Report: ${join(folder, 'report.html')}\n`);
    return;
  }
  const experiments = existsSync(folder)
    ? readdirSync(folder)
        .sort((a, b) => (a < b ? -1 : 1))
        .map((name) => join(folder, name))
        .filter((path) => existsSync(join(path, 'manifest.json')))
    : [];
  if (experiments.length === 0) {
    throw new InputError(`There are no results in "${folder}". Expected a folder that \`chainwalk sweep\` wrote`);
  }
  for (const experiment of experiments) await renderExperiment(experiment, site);
  await renderIndex(folder, experiments, site);
  process.stdout.write(`Report: ${join(folder, 'report.html')}\n`);
}
