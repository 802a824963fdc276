/** Published points: what a source says of a metric at a point, in an experiment or in a file of their own. */
import type { EngineName } from '../model/engine-name.ts';
import { InputError, quote } from './errors.ts';
import { isMapping } from './overrides.ts';
import type { ReferenceInput } from './reference-schema.ts';
import { referenceFileSchema } from './reference-schema.ts';
import { check } from './schema-issues.ts';
import { parseSingleSource, readText } from './source.ts';
import type { Position, ReadFile } from './source.ts';
import type { Experiment } from './spec.ts';

type ReferenceLabel = 'text' | 'chart' | 'derived' | 'memory';

export interface Reference {
  readonly source: string;
  readonly label: ReferenceLabel;
  /** A column of observations.csv. */
  readonly metric: string;
  /** Of `value` and `readingError`. */
  readonly unit: string;
  readonly value: number;
  readonly readingError: number | undefined;
  readonly use: 'calibrate' | 'validate';
  /** Absent: the experiment's only one. */
  readonly engine: EngineName | undefined;
  /** Dotted path to value. */
  readonly at: Readonly<Record<string, number | string | boolean>>;
  readonly note: string | undefined;
  /** Where it stands. */
  readonly position: Position;
}

/** A point of a file: it names its experiment; without one its metric needs no trial. */
export interface FreeReference extends Reference {
  readonly experiment: string | undefined;
}

export function toReference(input: ReferenceInput, position: Position): Reference {
  const label = input.label.toLowerCase() as ReferenceLabel;
  if (label === 'memory' && input.use === 'calibrate') {
    throw new InputError(
      'A number from memory must not be calibrated with; expected "use: validate", or a label of text, chart or derived.',
      position,
    );
  }
  return {
    source: input.source,
    label,
    metric: input.metric,
    unit: input.unit,
    value: input.value,
    readingError: input.reading_error,
    use: input.use,
    engine: input.engine,
    at: input.at,
    note: input.note,
    position,
  };
}

/** A point says where on each axis it stands, and for which engine where there is a choice. */
export function checkPlace(reference: Reference, to: Pick<Experiment, 'axes' | 'engines'>): void {
  const { at, engine, position } = reference;
  const axis = to.axes.find(({ name }) => at[name] === undefined);
  if (axis !== undefined) {
    throw new InputError(
      `This reference must say where on the axis "${axis.name}" it stands, such as "at: { ${axis.name}: ${axis.values[0]} }".`,
      position,
    );
  }
  if (engine === undefined && to.engines.length > 1) {
    throw new InputError(`This reference must say its "engine"; expected one of ${to.engines.join(', ')}.`, position);
  }
  if (engine !== undefined && !to.engines.includes(engine)) {
    throw new InputError(
      `The experiment does not have the engine ${quote(engine)} of this reference; expected one of ${to.engines.join(', ')}.`,
      position,
    );
  }
}

/** The points of a file with a top-level `reference:` list. Mistakes are InputErrors with file, line and column. */
export function loadReferences(file: string, readFile?: ReadFile): FreeReference[] {
  const source = parseSingleSource(readText(file, readFile), file);
  if (!isMapping(source.data)) {
    throw new InputError('A file of published points must be a mapping with the key "reference".', source.position([]));
  }
  const result = check(referenceFileSchema, source.data, 'the file of published points');
  if (result.mistake !== undefined) {
    const { message, path, atKey } = result.mistake;
    throw new InputError(message, atKey ? source.keyPosition(path) : source.position(path));
  }
  return result.value.reference.map((input, i) => {
    const position = source.position(['reference', i]);
    const { profile } = input;
    if (profile !== undefined && input.at['profile'] !== undefined && input.at['profile'] !== profile) {
      throw new InputError(
        '"profile" and "at.profile" name different profiles.',
        source.position(['reference', i, 'profile']),
      );
    }
    const reference = toReference(input, position);
    return {
      ...reference,
      at: profile === undefined ? reference.at : { ...reference.at, profile },
      experiment: input.experiment,
    };
  });
}
