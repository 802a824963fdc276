/** Reads an experiment: the only place where YAML becomes typed data. Every mistake is an InputError with file, line and column. */
import { InputError, quote } from './errors.ts';
import { Draft, isMapping, parseAssignment, resolvePath } from './overrides.ts';
import type { Assignment } from './overrides.ts';
import { axisValues } from './ranges.ts';
import { at, Resolver } from './resolve-point.ts';
import type { AxisValues, PlacedAxis } from './resolve-point.ts';
import { parseSingleSource, readText } from './source.ts';
import { checkPlace, toReference } from './references.ts';
import type { Reference } from './references.ts';
import type { ExperimentInput } from './schema.ts';
import type { ReadFile, SourceDocument } from './source.ts';
import type { Axis, Experiment, PointSpec } from './spec.ts';

export { listExperiments } from './list-experiments.ts';
export { scenariosFolder } from './load-profile.ts';

export interface LoadOptions {
  /** `path=value`, in order; a swept path's value replaces the values of its axis. */
  readonly set?: readonly string[] | undefined;
  readonly seed?: number | undefined;
  /** Applies `quick.overrides`, before `set`. */
  readonly quick?: boolean | undefined;
  readonly readFile?: ReadFile | undefined;
}

export interface LoadedExperiment extends Experiment {
  /** Where the profiles lie that its points have, by their names. */
  readonly profileFiles: ReadonlyMap<string, string>;
  /** The point at these axis values (every axis of the experiment; a dotted path that is no axis is allowed, too). */
  resolvePoint(values: AxisValues): PointSpec;
}

/** Points of a sweep, all axes together. */
const POINT_LIMIT = 100_000;
/** Values of an axis that are checked on loading; the rest when their point is made. */
const CHECKED_VALUES = 64;
const SEED_LIMIT = 9007199254740991;

export function loadExperiment(file: string, options: LoadOptions = {}): LoadedExperiment {
  const text = readText(file, options.readFile);
  const source = parseSingleSource(text, file);
  if (!isMapping(source.data)) {
    throw new InputError('An experiment must be a mapping of keys to values.', source.position([]));
  }
  const draft = new Draft(source, source.data);
  for (const assignment of assignments(source, options)) assign(draft, assignment);
  const axes = readAxes(draft);
  const resolver = new Resolver(draft, axes, file, options.readFile);
  // A value that an axis replaces is never used; one that is wrong is a mistake all the same.
  resolver.document(firstValues(axes.filter((axis) => !draft.has(axis.name))));
  const first = resolver.document(firstValues(axes));
  checkAxes(axes, resolver);
  return {
    name: first.experiment,
    question: first.question.trim(),
    isDefault: first.default,
    engines: draft.has('engines') ? first.engines : resolver.defaultEngines(first),
    replications: first.replications,
    seed: first.seed,
    axes: axes.map(({ name, values }) => ({ name, values })),
    references: readReferences(first, draft, axes, resolver),
    file,
    canonicalText: resolver.canonicalText(),
    warnings: resolver.warnings(),
    profileFiles: resolver.profileFiles,
    resolvePoint: (values) => resolver.point(values),
  };
}

/** Each must stand at a point that the experiment can make. */
function readReferences(
  input: ExperimentInput,
  draft: Draft,
  axes: readonly PlacedAxis[],
  resolver: Resolver,
): Reference[] {
  return input.reference.map((each, i) => {
    const path = ['reference', i];
    const position = draft.position(path);
    const reference = toReference(each, position);
    checkPlace(reference, { axes, engines: input.engines });
    try {
      resolver.document(reference.at);
    } catch (error) {
      if (error instanceof InputError) throw new InputError(error.message, draft.position([...path, 'at']));
      throw error;
    }
    return reference;
  });
}

/** What --quick, --set and --seed put over the file, in that order. */
function assignments(source: SourceDocument, options: LoadOptions): Assignment[] {
  const list: Assignment[] = [];
  const quick = isMapping(source.data) ? source.data['quick'] : undefined;
  const overrides = isMapping(quick) ? quick['overrides'] : undefined;
  if (options.quick === true && isMapping(overrides)) {
    for (const [name, value] of Object.entries(overrides)) {
      list.push({ name, value, position: source.keyPosition(['quick', 'overrides', name]) });
    }
  }
  for (const text of options.set ?? []) list.push(parseAssignment(text));
  if (options.seed !== undefined) {
    const seed = options.seed;
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new InputError(`The seed must be an integer from 0 to ${SEED_LIMIT}, got ${quote(seed)}.`, {
        file: '--seed',
      });
    }
    list.push({ name: 'seed', value: seed, position: { file: `--seed ${seed}` } });
  }
  return list;
}

/** Sets a value, or the values of the axis that sweeps its path: otherwise the sweep would silently win. */
function assign(draft: Draft, assignment: Assignment): void {
  const { name, value, position } = assignment;
  const sweep = draft.data['sweep'];
  at(position, () => {
    const axes = isMapping(sweep) ? Object.keys(sweep) : [];
    const path = resolvePath(name, draft.data).join('.');
    // The keys of a sweep hold dots themselves: all that follows `sweep.` is one key.
    const axis = name.startsWith('sweep.')
      ? name.slice('sweep.'.length)
      : axes.find((key) => resolvePath(key, draft.data).join('.') === path);
    if (axis === undefined) draft.set(name, value, position);
    else draft.setPath(['sweep', axis], value, position);
  });
}

function readAxes(draft: Draft): PlacedAxis[] {
  const sweep = draft.data['sweep'];
  if (!isMapping(sweep)) return [];
  const axes: PlacedAxis[] = [];
  const paths = new Map<string, string>();
  let points = 1;
  for (const [name, written] of Object.entries(sweep)) {
    const position = draft.position(['sweep', name]);
    const key = draft.position(['sweep', name], true);
    const path = at(key, () => resolvePath(name, draft.data)).join('.');
    const other = paths.get(path);
    if (other !== undefined) throw new InputError(`"${name}" and "${other}" sweep the same key, ${path}.`, key);
    paths.set(path, name);
    const flat = Array.isArray(written) ? (written as unknown[]) : [written];
    const wrong = flat.find((each) => !['number', 'string', 'boolean'].includes(typeof each) || Number.isNaN(each));
    if (wrong !== undefined || flat.length === 0) {
      const got = flat.length === 0 ? 'an empty list' : quote(wrong);
      throw new InputError(
        `The sweep of "${name}" must be values or a range such as "1..50000:log10x3", got ${got}.`,
        position,
      );
    }
    const values = at(position, () => axisValues(flat as (number | string | boolean)[], name));
    points *= values.length;
    if (points > POINT_LIMIT) {
      throw new InputError(
        `The sweep has more than ${POINT_LIMIT} points; shorten its axes.`,
        draft.position(['sweep'], true),
      );
    }
    axes.push({ name, values, position });
  }
  return axes;
}

function firstValues(axes: readonly Axis[]): AxisValues {
  return Object.fromEntries(axes.map((axis) => [axis.name, axis.values[0]]));
}

/** Makes points along each axis, the others at their first value, so that a mistake shows before the sweep starts. */
function checkAxes(axes: readonly PlacedAxis[], resolver: Resolver): void {
  const base = firstValues(axes);
  resolver.point(base);
  for (const axis of axes) {
    const step = Math.max(1, Math.ceil(axis.values.length / CHECKED_VALUES));
    for (let i = 0; i < axis.values.length; i += step) {
      resolver.point({ ...base, [axis.name]: axis.values[i] });
    }
    resolver.point({ ...base, [axis.name]: axis.values.at(-1) as number | string | boolean });
  }
}
