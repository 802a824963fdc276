/** `chainwalk schema`: the JSON Schema of an experiment file. */
import { experimentJsonSchema } from '../../scenarios/schema.ts';

export function schemaCommand(): void {
  process.stdout.write(`${JSON.stringify(experimentJsonSchema(), null, 2)}\n`);
}
