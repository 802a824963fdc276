/** The experiments of a folder, by the head of their files. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from './errors.ts';
import { experimentSchema } from './schema.ts';
import { check } from './schema-issues.ts';
import { parseSingleSource, readText } from './source.ts';

export interface ExperimentSummary {
  readonly file: string;
  readonly name: string;
  readonly question: string;
  readonly isDefault: boolean;
}

const head = experimentSchema.pick({ experiment: true, question: true, default: true }).strip();

/** All *.yaml and *.yml files of `folder`, in order of their names. Two experiments of one name are an InputError: they would share a folder of results. */
export function listExperiments(folder: string): ExperimentSummary[] {
  const seen = new Map<string, string>();
  return experimentFiles(folder).map((file) => {
    const source = parseSingleSource(readText(file), file);
    const { mistake, value } = { value: undefined, ...check(head, source.data, 'the experiment') };
    if (value === undefined) throw new InputError(mistake.message, source.position(mistake.path));
    const { experiment, question, default: isDefault } = value;
    const other = seen.get(experiment);
    if (other !== undefined) {
      throw new InputError(
        `The experiment "${experiment}" is also in ${other}; names must differ.`,
        source.position(['experiment']),
      );
    }
    seen.set(experiment, file);
    return { file, name: experiment, question: question.trim(), isDefault };
  });
}

function experimentFiles(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    throw new InputError('No such folder of experiments.', { file: folder });
  }
  return names
    .filter((name) => /\.ya?ml$/.test(name))
    .sort((a, b) => (a < b ? -1 : 1))
    .map((name) => join(folder, name));
}
