/** manifest.json: what a results folder says about how it came to be. Untyped data becomes typed here. */
import { z } from 'zod';
import { ResultsError } from './results-error.ts';
import { validationSchema } from './validation.ts';
import type { Validation } from './validation.ts';

const cell = z.union([z.number(), z.string(), z.boolean(), z.null()]);

/** A point that others have published, and what the model says of it. */
export const referenceSchema = z
  .object({
    source: z.string(),
    label: z.string(),
    engine: z.string(),
    /** A column of observations.csv, and the values of the axes where it was taken. */
    metric: z.string(),
    at: z.record(z.string(), cell),
    /** In the metric's unit. */
    value: z.number(),
    predicted: z.number().nullish(),
    /** Of the prediction, as a share of the published value. */
    error_ratio: z.number().nullish(),
    /** What a value of the metric's column times this is in the source's unit. */
    unit_per_metric: z.number().positive().default(1),
  })
  // From here on numbers are in the unit that the metric's name ends in, as every other number of it.
  .transform(({ unit_per_metric: factor, ...reference }) => ({
    ...reference,
    value: reference.value / factor,
    ...(typeof reference.predicted === 'number' ? { predicted: reference.predicted / factor } : {}),
  }));

export type Reference = z.infer<typeof referenceSchema>;

const manifestSchema = z.object({
  experiment: z.string(),
  /** One sentence ending in a question mark. */
  question: z.string(),
  scenario_file: z.string(),
  scenario_text: z.string(),
  scenario_sha256: z.string(),
  seed: z.number(),
  commit: z.string(),
  versions: z.record(z.string(), z.string()),
  machine: z.object({
    cpu: z.string(),
    cores: z.number(),
    memory_gb: z.number(),
    platform: z.string(),
  }),
  command: z.string(),
  workers: z.number(),
  elapsed_s: z.number(),
  status: z.enum(['complete', 'interrupted']),
  axes: z.array(z.object({ name: z.string(), values: z.array(cell) })),
  engines: z.array(z.string()),
  replications: z.number(),
  profile: z.object({
    name: z.string(),
    title: z.string().optional(),
    sources: z.array(z.string()).optional(),
    /** How far modelled costs may be off, as shares of them. */
    ranges: z
      .array(
        z.object({
          engine: z.string(),
          part: z.string(),
          low_ratio: z.number(),
          high_ratio: z.number(),
          source: z.string(),
        }),
      )
      .optional(),
  }),
  /** The profile's errors against measured rows; absent where it was not validated. */
  validation: validationSchema.optional(),
  references: z.array(referenceSchema).optional(),
  trials: z.object({ total: z.number(), ok: z.number(), failed: z.number() }),
  failures: z.array(
    z.object({
      trial: z.number(),
      services: cell.optional(),
      engine: z.string(),
      replication: z.number(),
      reason: z.string(),
    }),
  ),
  /** The verdict in words, the most important first. */
  findings: z.array(z.object({ id: z.string(), text: z.string() })),
  warnings: z.array(z.string()),
});

export type Manifest = z.infer<typeof manifestSchema>;

/** Throws ResultsError that names the first wrong value by its dotted path. Keys that are not known are ignored. */
export function parseManifest(text: string, file: string): Manifest {
  return parseJson(text, file, manifestSchema, 'a manifest');
}

/** The file that `validate` leaves beside a profile; throws as above. */
export function parseValidation(text: string, file: string): Validation {
  return parseJson(text, file, validationSchema, 'a validation');
}

function parseJson<T>(text: string, file: string, schema: z.ZodType<T>, what: string): T {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    throw new ResultsError({ file }, `not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const result = schema.safeParse(data);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const column = issue?.path.map(String).join('.') ?? '';
  throw new ResultsError(column === '' ? { file } : { file, column }, issue?.message ?? `is not ${what}`);
}
