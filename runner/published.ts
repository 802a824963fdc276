/**
 * `validate --published`: what the model says of every published point, those of the shipped experiments, those of scenarios/published.yaml
 * and those of files from outside. A point of a trial's column gets its trial, each trial once.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import type { Observation } from '../model/observation.ts';
import { didYouMean, InputError, quote } from '../scenarios/errors.ts';
import { listExperiments, loadExperiment, scenariosFolder, type LoadedExperiment } from '../scenarios/load.ts';
import { loadProfile } from '../scenarios/load-profile.ts';
import { checkPlace, loadReferences } from '../scenarios/references.ts';
import type { FreeReference, Reference } from '../scenarios/references.ts';
import { DIRECT_METRICS, directValue } from './direct-metrics.ts';
import type { Executor } from './executor.ts';
import { startProgress } from './progress.ts';
import { checkReferences, referenceRow } from './reference-rows.ts';
import type { ReferenceRow } from './reference-rows.ts';
import { expectedSeconds, type Trial } from './sweep-plan.ts';

export interface PublishedRow extends ReferenceRow {
  /** Empty for a metric that needs no trial. */
  readonly experiment: string;
  /** File and line of the point. */
  readonly place: string;
  /** Why there is no prediction. */
  readonly reason: string | null;
}

export interface PublishedOptions {
  /** Runs the trials; nothing is run twice. */
  readonly executor: Executor;
  readonly signal: AbortSignal;
  /** Where progress is shown; none without. */
  readonly stream?: NodeJS.WriteStream;
  /** Only points that this holds for. */
  readonly only?: (reference: Reference, experiment: string) => boolean;
}

/** A point with what its value is read from. */
interface Question {
  readonly reference: Reference;
  readonly experiment: LoadedExperiment | undefined;
}

/** Names and mistakes of all points are checked before the first trial is run. */
export async function publishedRows(files: readonly string[], options: PublishedOptions): Promise<PublishedRow[]> {
  const { only = () => true } = options;
  const questions = [...shippedQuestions(), ...files.flatMap((file) => questionsOf(file))].filter((each) =>
    only(each.reference, each.experiment?.name ?? ''),
  );
  const trials = new TrialSet();
  const asked = questions.map((question) => ({ question, keys: trials.add(question) }));
  const results = await trials.run(options);
  return asked.map(({ question, keys }) => rowOf(question, keys, results));
}

function shippedQuestions(): Question[] {
  const folder = join(scenariosFolder(), 'experiments');
  const own = listExperiments(folder)
    .filter(({ file }) => /^reference:/m.test(readFileSync(file, 'utf8')))
    .flatMap(({ file }) => {
      const experiment = loadExperiment(shortPath(file));
      checkReferences(experiment);
      return experiment.references.map((reference) => ({ reference, experiment }));
    });
  const shared = join(scenariosFolder(), 'published.yaml');
  return [...own, ...(existsSync(shared) ? questionsOf(shortPath(shared)) : [])];
}

/** Relative to where the user is, where that is shorter. */
function shortPath(file: string): string {
  const path = relative(process.cwd(), file);
  return path.startsWith('..') ? file : path;
}

function questionsOf(file: string): Question[] {
  const loaded = new Map<string, LoadedExperiment>();
  return loadReferences(file).map((reference) => {
    if (reference.experiment === undefined) return { reference: checkedDirect(reference), experiment: undefined };
    const path = experimentFile(reference, dirname(file));
    const experiment = loaded.get(path) ?? loadExperiment(path);
    loaded.set(path, experiment);
    checkPlace(reference, experiment);
    checkReferences({ references: [reference], axes: experiment.axes });
    return { reference, experiment };
  });
}

function checkedDirect(reference: FreeReference): Reference {
  const known = Object.keys(DIRECT_METRICS);
  if (known.includes(reference.metric)) return reference;
  throw new InputError(
    `${quote(reference.metric)} needs a trial, so this reference must say its "experiment"; without one expected ${known.join(', ')}.${didYouMean(reference.metric, known)}`,
    reference.position,
  );
}

function experimentFile({ experiment: name, position }: FreeReference, folder: string): string {
  if (name !== undefined && /[/\\]|\.ya?ml$/.test(name)) return resolve(folder, name);
  const shipped = listExperiments(join(scenariosFolder(), 'experiments'));
  const found = shipped.find((each) => each.name === name);
  if (found !== undefined) return shortPath(found.file);
  const names = shipped.map((each) => each.name);
  throw new InputError(
    `There is no experiment ${quote(name)}; expected a shipped one or a file.${didYouMean(name ?? '', names)}`,
    position,
  );
}

/** Trials by their key: an experiment's point, engine and replication. */
class TrialSet {
  readonly #trials = new Map<string, Trial>();

  /** Keys of the trials that the question needs, one a replication. */
  add({ reference, experiment }: Question): string[] {
    if (experiment === undefined) return [];
    const { at } = reference;
    const engine = reference.engine ?? experiment.engines[0];
    const point = located(reference, () => experiment.resolvePoint(at));
    return Array.from({ length: experiment.replications }, (_, i) => {
      const key = JSON.stringify([
        experiment.file,
        engine,
        i + 1,
        Object.entries(at).sort(([a], [b]) => (a < b ? -1 : 1)),
      ]);
      if (!this.#trials.has(key)) {
        this.#trials.set(key, {
          index: this.#trials.size,
          experiment: experiment.name,
          engine,
          replication: i + 1,
          seed: experiment.seed,
          values: at,
          point,
        });
      }
      return key;
    });
  }

  async run({ executor, signal, stream }: PublishedOptions): Promise<Map<string, Observation | string>> {
    const results = new Map<string, Observation | string>();
    const keys = [...this.#trials.keys()];
    const trials = [...this.#trials.values()].sort(
      (a, b) => expectedSeconds(b) - expectedSeconds(a) || a.index - b.index,
    );
    const weight = trials.reduce((sum, trial) => sum + expectedSeconds(trial), 0);
    const progress = stream === undefined ? undefined : startProgress(trials.length, weight, stream);
    try {
      await executor.run(
        trials,
        (outcome) => {
          const { trial } = outcome;
          results.set(keys[trial.index], outcome.status === 'ok' ? outcome.result.observation : outcome.reason);
          progress?.done(`${trial.experiment} ${trial.engine}`, expectedSeconds(trial));
        },
        signal,
      );
    } finally {
      progress?.stop();
    }
    return results;
  }
}

/** An InputError of the point stands at the reference. */
function located<T>(reference: Reference, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof InputError) throw new InputError(error.message, reference.position);
    throw error;
  }
}

function rowOf(
  { reference, experiment }: Question,
  keys: readonly string[],
  results: ReadonlyMap<string, Observation | string>,
): PublishedRow {
  const { file, line } = reference.position;
  const place = line === undefined ? file : `${file}:${line}`;
  if (experiment === undefined) {
    const profile = located(reference, () =>
      loadProfile(String(reference.at['profile'] ?? 'linux-6.18-native'), undefined, dirname(file)),
    );
    return {
      experiment: '',
      ...referenceRow(reference, reference.engine ?? '', directValue(reference, profile)),
      place,
      reason: null,
    };
  }
  const engine = reference.engine ?? experiment.engines[0];
  const values: number[] = [];
  let reason: string | null = null;
  for (const key of keys) {
    const result = results.get(key);
    if (typeof result === 'object') {
      const value = result[reference.metric];
      if (typeof value === 'number') values.push(value);
      else reason ??= `its trial has no ${reference.metric}`;
    } else reason ??= result ?? 'its trial was not run';
  }
  const mean = values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
  return { experiment: experiment.name, ...referenceRow(reference, engine, mean), place, reason };
}
