/** manifest.json: what a results folder says about how it came to be. Untyped data becomes typed here. */
import { z } from 'zod';
import { ResultsError } from './results-error.ts';

const cell = z.union([z.number(), z.string(), z.boolean(), z.null()]);

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
  }),
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
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    throw new ResultsError({ file }, `not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const result = manifestSchema.safeParse(data);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const column = issue?.path.map(String).join('.') ?? '';
  throw new ResultsError(column === '' ? { file } : { file, column }, issue?.message ?? 'is not a manifest');
}
