/** The shape of a published point: in an experiment's `reference:` list, and in a file of points alone. */
import { z } from 'zod';
import { ENGINE_NAMES } from '../model/engine-name.ts';

const scalar = z.union([z.number(), z.string(), z.boolean()]);
const REFERENCE_LIMIT = 10_000;

const common = {
  source: z.string().min(1).describe('Who published it, and where'),
  label: z
    .enum(['text', 'chart', 'derived', 'memory', 'TEXT', 'CHART', 'DERIVED', 'MEMORY'])
    .describe(
      "In the source's words; read off its chart; arithmetic on such numbers; or not found again: never to calibrate with",
    ),
  metric: z.string().min(1).describe('A column of observations.csv'),
  unit: z.string().min(1).describe('Of `value`: ns, us, ms, s, min, B, kB, MB, GB, or what is counted'),
  value: z.number().positive().max(1e15),
  reading_error: z
    .number()
    .min(0)
    .max(1e15)
    .optional()
    .describe('How far the value may be off in its source, in its unit'),
  use: z.enum(['calibrate', 'validate']).describe('Whether a profile may be fitted to it'),
  engine: z.enum(ENGINE_NAMES).optional().describe('Needed where the experiment has several'),
  at: z
    .record(z.string(), scalar)
    .default({})
    .describe('Dotted path -> value, as in `sweep`: each axis of the experiment, and whatever else differs from it'),
  note: z.string().min(1).optional(),
};

const embedded = z.strictObject(common);
export const referenceList = z.array(embedded).max(REFERENCE_LIMIT);
export type ReferenceInput = z.output<typeof embedded>;

const free = z.strictObject({
  ...common,
  experiment: z
    .string()
    .min(1)
    .optional()
    .describe(
      'A shipped experiment by its name, or a file relative to this one; none for a metric that needs no trial',
    ),
  profile: z.string().min(1).optional().describe("A cost profile in place of the experiment's; short for `at.profile`"),
});
export const referenceFileSchema = z.strictObject({ reference: z.array(free).min(1).max(REFERENCE_LIMIT) });
