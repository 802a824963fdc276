/** Finds and loads the experiments that a command was asked for. */
import { relative, join } from 'node:path';
import { InputError } from '../../scenarios/errors.ts';
import { listExperiments, loadExperiment, type LoadedExperiment } from '../../scenarios/load.ts';
import { projectRoot } from '../host.ts';
import { checkReferences } from '../reference-rows.ts';

export interface ScenarioOptions {
  readonly seed?: number;
  readonly set?: readonly string[];
  readonly quick?: boolean;
  readonly all?: boolean;
}

/** Experiments in order of name; without files the ones marked `default: true`. Warnings go to standard error, once each. */
export function loadExperiments(files: readonly string[], options: ScenarioOptions): LoadedExperiment[] {
  const paths = files.length > 0 ? files : shippedExperiments(options.all === true);
  const experiments = paths.map((path) => load(path, options));
  const names = new Set<string>();
  for (const experiment of experiments) {
    if (names.has(experiment.name)) {
      throw new InputError(
        `Two experiments are called "${experiment.name}": their results would share a folder. Expected different names`,
        { file: experiment.file },
      );
    }
    names.add(experiment.name);
  }
  return experiments;
}

export function load(path: string, options: ScenarioOptions): LoadedExperiment {
  const experiment = loadExperiment(path, {
    ...(options.set === undefined ? {} : { set: options.set }),
    ...(options.seed === undefined ? {} : { seed: options.seed }),
    quick: options.quick === true,
  });
  checkReferences(experiment);
  for (const warning of experiment.warnings) process.stderr.write(`warning: ${warning}\n`);
  return experiment;
}

function shippedExperiments(all: boolean): string[] {
  const folder = join(projectRoot(), 'scenarios', 'experiments');
  return listExperiments(folder)
    .filter((entry) => all || entry.isDefault)
    .map((entry) => {
      const path = relative(process.cwd(), entry.file);
      return path.startsWith('..') ? entry.file : path;
    });
}
